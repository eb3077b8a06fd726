r"""Where a share on a file server is: `smb://server[:port]/share/dir`, or as Windows writes it, `\\server\share\dir`."""

from __future__ import annotations

import re
from dataclasses import dataclass

PORT = 445
_SERVER = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+")
_NAME = re.compile(r"[^\x00-\x1f\x7f\"*/:<>?\\|]{1,80}")
EXPECTED = "expected smb://server[:port]/share or smb://server[:port]/share/folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmbAddress:
    """A folder of a share; `folder` is empty for its top."""

    server: str
    port: int
    share: str
    folder: tuple[str, ...] = ()

    def __str__(self) -> str:
        server = f"[{self.server}]" if ":" in self.server else self.server
        port = "" if self.port == PORT else f":{self.port}"
        return "smb://" + "/".join((f"{server}{port}", self.share, *self.folder))


def is_smb(text: str) -> bool:
    """Whether an address means a file server."""
    return text.lower().startswith(("smb://", "\\\\", "//"))


def parse_smb(text: str) -> SmbAddress:
    """Read an address. Raises ValueError."""
    plain = (
        text.replace("\\", "/") if text.startswith("\\\\") else text[4:] if text.lower().startswith("smb:") else text
    )
    if not is_smb(text) or "@" in plain.split("/")[2]:
        raise ValueError(f"{EXPECTED}; the account stands in the credentials file")
    server, *names = plain.removeprefix("//").rstrip("/").split("/")
    found = re.fullmatch(rf"({_SERVER.pattern})(?::(\d{{1,5}}))?", server)
    if found is None or not names:
        raise ValueError(f"{text!r} is no address of a share: {EXPECTED}")
    port = int(found[2] or PORT)
    if not 0 < port < 65536:
        raise ValueError(f"{text!r}: there is no port {port}")
    for name in names:
        if not _NAME.fullmatch(name) or name in {".", ".."} or name != name.strip(" ").rstrip("."):
            raise ValueError(f"{text!r}: {name!r} is no name of a share or folder")
    return SmbAddress(server=found[1].strip("[]"), port=port, share=names[0], folder=tuple(names[1:]))

"""The sum over all files: what the application wrote into a tree while it was served there is somewhere, or was given up knowingly.

A version is the digest of what a file held; every write brings content that no other one brought. Each knows the version that it replaced
where it was written: that one was overwritten knowingly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256


@dataclass(slots=True)
class FileAccounts:
    """Every accepted version of a file that is neither given up nor deleted knowingly, and what it replaced."""

    replaced: dict[str, str] = field(default_factory=dict)
    open: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Versions that must be found: where each was accepted, and its path."""
    loose: set[str] = field(default_factory=set)
    """Those that a store knew which was set back since: they are somewhere, but nothing tells the server of them any more."""

    def accepted(self, pool: str, path: bytes, before: bytes | None, content: bytes) -> None:
        """The application of a pool wrote a file."""
        version = digest(content)
        if before is not None and digest(before) != version:
            self.replaced[version] = digest(before)
        self.open[version] = (pool, path)

    def deleted(self, before: bytes | None) -> None:
        """It deleted a file: what that held, and all that it replaced, need not be found any more."""
        at = digest(before) if before is not None else None
        while at is not None:
            self.open.pop(at, None)
            at = self.replaced.get(at)

    def give_up(self, path: bytes) -> None:
        """Somebody tampered with it."""
        for version in [version for version, (_, at) in self.open.items() if at == path]:
            del self.open[version]

    def loosen(self) -> None:
        """A store was set back: what it knew of files written since is lost with it, but not the files."""
        self.loose |= self.open.keys()

    def missing(self, held: Iterable[str], *, strict: bool = False) -> list[str]:
        """Stories of accepted versions that are neither held nor replaced by what is; with `strict` of those alone that are not loose."""
        alive: set[str] = set()
        for version in held:
            at: str | None = version
            while at is not None and at not in alive:
                alive.add(at)
                at = self.replaced.get(at)
        return [
            f"{path.decode()} of digest {version[:8]}, accepted at {pool}"
            for version, (pool, path) in self.open.items()
            if version not in alive and not (strict and version in self.loose)
        ]


def digest(content: bytes) -> str:
    """A version's name."""
    return sha256(content).hexdigest()

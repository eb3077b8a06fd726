"""Orders given by command: entered in the same audit as those over HTTP, with the account, the terminal and the machine."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from poolpair.audit import audited
from poolpair.cli.context import chosen_config
from poolpair.errors import Code, PoolpairError
from poolpair.pipeline.site import Site
from poolpair.printable import LINE_MAX, is_line
from poolpair.wiring import open_site

NO_LOGIN = 2**32 - 1
"""What the kernel says of a process that nobody logged in for."""
WORD_MAX = 64


@contextmanager
def ordered(words: str, *, needs_key: bool = True) -> Iterator[Site]:
    """The chosen pool's site, on which an order is carried out; closed at the end."""
    site = open_site(chosen_config(), needs_key=needs_key)
    try:
        with ordering(site, words):
            yield site
    finally:
        site.store.close()


@contextmanager
def ordering(site: Site, words: str) -> Iterator[None]:
    """Enter an order in the audit, and how it ends."""
    left: typer.Exit | typer.Abort | None = None
    with audited(site, who(), whence(), words) as outcome:
        try:
            yield
        except typer.Exit as ended:
            left, outcome.words = ended, f"done, exit status {ended.exit_code}" if ended.exit_code else "done"
        except typer.Abort as ended:
            left, outcome.words = ended, "not confirmed: nothing was changed"
    if left is not None:
        raise left


def refuse_odd_reason(reason: str) -> None:
    """Raises USAGE unless a reason is one line of printable text: status and audit show it, on both sides."""
    if not is_line(reason):
        raise PoolpairError(Code.USAGE, f"--reason: one line of 1 to {LINE_MAX} printable characters")


def who() -> str:
    """The account of this process, and behind it whoever logged in, or called sudo.

    The account is the kernel's word, and so is who logged in where the machine notes that; what sudo says stands in the environment, which
    the caller may have written himself.
    """
    account = account_here()
    behind = _logged_in() or _word(os.environ.get("SUDO_USER", ""))
    return account if behind in {"", account} else f"{account} (for {behind})"


def account_here() -> str:
    """The account of this process, by the kernel's word; its number where it has no name."""
    return _name_of(os.getuid())


def whence() -> str:
    """The terminal if there is one, the machine, and the address from which somebody came by SSH, as the environment says."""
    terminal = "no terminal"
    for number in (0, 1, 2):
        with suppress(OSError):
            terminal = os.ttyname(number).removeprefix("/dev/")
            break
    client = _word(os.environ.get("SSH_CONNECTION", "").partition(" ")[0])
    return f"{terminal} at {socket.gethostname()}{f', by SSH from {client}' if client else ''}"


def _logged_in() -> str:
    with suppress(OSError, ValueError):
        number = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
        return "" if number == NO_LOGIN else _name_of(number)
    return ""


def _name_of(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"


def _word(text: str) -> str:
    return text[:WORD_MAX] if text.isprintable() else "?"

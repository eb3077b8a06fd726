"""A file server, and the two roles on a folder of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest

from poolpair.format.layout import folders
from poolpair.model import Channel
from poolpair.share.smb.line import Line
from poolpair.share.smb.own import SmbOwnShare
from poolpair.share.smb.partner import SmbPartnerShare
from tests.smb.server import ACCOUNT, SmbServer


@dataclass
class Ends:
    """A share as its owner and as the partner has it, on one server."""

    server: SmbServer
    root: Path
    lines: tuple[Line, Line]
    own: SmbOwnShare
    partner: SmbPartnerShare


@pytest.fixture
def server() -> Iterator[SmbServer]:
    """A server with one share, `pools`, that runs; a test may do to it what it likes."""
    folder = Path(mkdtemp(prefix="poolpair-smb-"))
    folder.chmod(0o755)
    made = SmbServer(folder / "smbd", {"pools": folder / "pools"})
    if os.geteuid() == 0:
        shutil.chown(folder / "pools", ACCOUNT)
    try:
        made.start()
        yield made
    finally:
        made.kill()
        shutil.rmtree(folder)


@pytest.fixture
def ends(server: SmbServer) -> Iterator[Ends]:
    """A prepared share."""
    lines = server.line("pools"), server.line("pools", whose="partner's")
    made = Ends(server, server.shares["pools"], lines, SmbOwnShare(lines[0]), SmbPartnerShare(lines[1]))
    made.own.prepare(folders([Channel.USERS]))
    yield made
    for line in lines:
        line.close()

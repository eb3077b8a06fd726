"""What the partner's account can do in a share that was set up as `share setup` says: all that the protocol needs, and nothing else."""

from __future__ import annotations

import io
import os
import pwd
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest
from smbprotocol.header import NtStatus
from smbprotocol.open import CreateDisposition
from typer.testing import CliRunner

from poolpair.cli.main import app
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import (
    COOKIE_NAME,
    POOL_JSON,
    QUARANTINE,
    REPLICA_NAME,
    REPORT_NAME,
    TEMP,
    cookie_dir,
    data_dir,
    folders,
    replica_folders,
)
from poolpair.model import Channel
from poolpair.share.directory import DirectoryOwnShare
from poolpair.share.smb import messages
from poolpair.share.smb.folders import SmbFolders
from poolpair.share.smb.line import first_bad
from poolpair.share.smb.partner import SmbPartnerShare
from poolpair.share_access import entries, section
from tests.smb.server import SmbServer
from tests.unit.test_config import GOOD

OWNER, PARTNER = "daemon", "games"
"""Two accounts that every system has."""
DATA, COOKIE = data_dir(Channel.USERS), cookie_dir(Channel.USERS)
REPLICA, (REPLICAS_OF_FE1, ANSWERS) = "Replicas/fe1/to-replica/data.zip", replica_folders("fe1")
ANSWER = f"{ANSWERS}/{REPORT_NAME}"
PACKAGE = b"a package that was delivered"


@dataclass
class Guarded:
    """A share, its owner's view, and the partner's line into it."""

    root: Path
    own: DirectoryOwnShare
    thief: SmbFolders
    partner: SmbPartnerShare


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """A server with the section that is printed, on folders with the owners and modes that the commands give."""
    folder = Path(mkdtemp(prefix="poolpair-smb-"))
    folder.chmod(0o755)
    root = folder / "pool"
    server = SmbServer(folder / "smbd", {}, accounts=(OWNER, PARTNER), sections=section("pool", root, [PARTNER, OWNER]))
    root.mkdir()
    own = DirectoryOwnShare(root)
    own.prepare(folders([Channel.USERS]))
    own.write_small(POOL_JSON, b"{}")
    own.prepare(replica_folders("fe1"))
    for entry in entries([Channel.USERS], ["fe1"]):
        shutil.chown(root / entry.path, OWNER, PARTNER)
        (root / entry.path).chmod(entry.mode)
    own.write_small("TaskAssignment/backup-service.txt", b"fe1\n")
    own.write_small(ANSWER, b"what fe1 has")
    try:
        server.start()
        line = server.line("pool", account=PARTNER, whose="partner's")
        made = Guarded(root, own, SmbFolders(line), SmbPartnerShare(line))
        yield made
        line.close()
    finally:
        server.kill()
        shutil.rmtree(folder)


@pytest.fixture
def share(guarded: Guarded) -> Iterator[Guarded]:
    """One package was delivered; a cookie and a replica lie there."""
    guarded.partner.deliver(io.BytesIO(PACKAGE), DATA, "p.zip", "a-1.part")
    guarded.partner.replace(COOKIE, COOKIE_NAME, b"word", "a-2.part")
    guarded.partner.replace(REPLICAS_OF_FE1, REPLICA_NAME, b"replica", "a-6.part")
    yield guarded
    guarded.own.remove(DATA, "p.zip")


def test_the_protocol_needs_no_more(share: Guarded) -> None:
    """Packages large and small, words again and again, whose share it is, how much room there is, and the checks of `check`."""
    large = os.urandom(3_000_000)
    assert share.partner.deliver(io.BytesIO(large), DATA, "large.zip", "a-3.part") == len(large)
    with share.own.open(DATA, "large.zip") as source:
        assert source.read() == large
    assert share.own.remove(DATA, "large.zip")
    for word in (b"one", b"another"):
        share.partner.replace(COOKIE, COOKIE_NAME, word, "a-4.part")
        assert share.own.read_small(f"{COOKIE}/{COOKIE_NAME}", 99) == word
    assert share.partner.deliver(io.BytesIO(PACKAGE), DATA, "p.zip", "a-5.part") == len(PACKAGE)
    assert share.own.list(TEMP) == ()
    share.own.write_small(POOL_JSON, b'{"as": "after init"}')
    assert share.partner.identity(POOL_JSON, 99) == b'{"as": "after init"}'
    assert share.partner.free_bytes() > 0
    assert [check.words for check in share.partner.check_access([COOKIE, DATA]) if not check.ok] == []
    assert [each.name for each in share.own.list(DATA)] == ["p.zip"]
    assert [check.code for check in share.partner.check_access(["TaskAssignment"]) if not check.ok] == [
        Code.SHARE_DENIED
    ]


def test_who_holds_a_management_store_needs_no_more(share: Guarded) -> None:
    """A replica is replaced, again and again, and the server reads it; the store reads each of the server's answers."""
    for said in (b"one", b"two"):
        share.partner.replace(REPLICAS_OF_FE1, REPLICA_NAME, said, "a-8.part")
        assert share.own.read_small(REPLICA, 99) == said
        share.own.write_small(ANSWER, b"has " + said)
        assert share.partner.identity(ANSWER, 99) == b"has " + said


def test_a_large_package_goes_in_pieces(share: Guarded) -> None:
    """The file is held open between two pieces: nobody could open it again. After a cut it is begun anew, in pieces as well."""
    large = random.Random(1).randbytes(900_000)
    source = io.BytesIO(large)
    ends = 0
    for limit in (1, 300_000, 300_000):
        ends = share.partner.bring(source, "a-7.part", ends, limit)
    assert ends == 600_001
    share.thief.line.close()
    assert share.partner.bring(source, "a-7.part", ends, 300_000) == 0
    ends = share.partner.bring(source, "a-7.part", 0, 300_000)
    assert share.partner.bring(source, "a-7.part", ends, 300_000) == 600_000
    assert share.partner.deliver(source, DATA, "pieces.zip", "a-7.part", 600_000) == len(large)
    with share.own.open(DATA, "pieces.zip") as found:
        assert found.read() == large
    assert share.own.remove(DATA, "pieces.zip")
    assert share.own.list(TEMP) == ()


def test_what_was_delivered_belongs_to_the_owner(share: Guarded) -> None:
    """In the file system, too: nobody but the owner can read it there."""
    found = (share.root / DATA / "p.zip").stat()
    assert (found.st_uid, found.st_mode & 0o777) == (pwd.getpwnam(OWNER).pw_uid, 0o600)


def opens(share: Guarded, path: str, access: int, options: int = messages.FILE) -> int:
    """The server's answer to an opening, which is closed again."""
    return first_bad(share.thief.line.ask(messages.create(path, access, options), messages.close()))


ADDED = "UserServices\\Data\\PresenceFocusData\\p.zip"
THEFTS: dict[str, Callable[[Guarded], int]] = {
    "list the top": lambda share: opens(share, "", messages.READ, messages.FOLDER),
    "list Temp": lambda share: opens(share, TEMP, messages.READ, messages.FOLDER),
    "list packages": lambda share: opens(share, DATA.replace("/", "\\"), messages.READ, messages.FOLDER),
    "list cookies": lambda share: opens(share, COOKIE.replace("/", "\\"), messages.READ, messages.FOLDER),
    "read a package": lambda share: opens(share, ADDED, messages.READ),
    "write into a package": lambda share: opens(share, ADDED, messages.WRITE),
    "delete a package": lambda share: opens(share, ADDED, messages.DELETE, messages.FILE | messages.GOES),
    "take a package back": lambda share: share.thief.move(DATA, "p.zip", TEMP, "mine"),
    "rename a package": lambda share: share.thief.move(DATA, "p.zip", DATA, "q.zip"),
    "put a file over a package": lambda share: over(share, DATA, "p.zip"),
    "read a cookie": lambda share: opens(share, f"{COOKIE}/{COOKIE_NAME}".replace("/", "\\"), messages.READ),
    "write pool.json": lambda share: opens(share, POOL_JSON, messages.WRITE),
    "put a file over pool.json": lambda share: over(share, "", POOL_JSON),
    "read the task assignment": lambda share: opens(share, "TaskAssignment\\backup-service.txt", messages.READ),
    "make a file in Quarantine": lambda share: made(share, f"{QUARANTINE}\\x"),
    "make a file at the top": lambda share: made(share, "x"),
    "make a folder at the top": lambda share: made(share, "x", messages.FOLDER),
    "list who has replicas": lambda share: opens(share, "Replicas", messages.READ, messages.FOLDER),
    "read a replica": lambda share: opens(share, REPLICA.replace("/", "\\"), messages.READ),
    "write an answer": lambda share: opens(share, ANSWER.replace("/", "\\"), messages.WRITE),
    "put a file over an answer": lambda share: over(share, ANSWERS, REPORT_NAME),
    "leave the share": lambda share: opens(share, "..\\smbd\\smb.conf", messages.READ),
    "leave the share from below": lambda share: opens(share, "Temp\\..\\..\\smbd\\smb.conf", messages.READ),
    "a stream of a package": lambda share: made(share, f"{ADDED}:hidden"),
}


def made(share: Guarded, path: str, options: int = messages.FILE) -> int:
    """The server's answer to the making of a file or folder."""
    opening = messages.create(path, messages.WRITE, options, CreateDisposition.FILE_CREATE)
    return first_bad(share.thief.line.ask(opening, messages.close()))


def over(share: Guarded, folder: str, name: str) -> int:
    """The server's answer to a rename over a file that is there."""
    made_id = share.thief.create("mine.part").file_id
    renaming = messages.rename(share.thief.path(folder, name), replacing=True, file_id=made_id)
    status = share.thief.line.ask(renaming)[0].status
    share.thief.line.ask(messages.close(made_id))
    share.thief.remove(TEMP, "mine.part")
    return status


@pytest.mark.parametrize("theft", THEFTS)
def test_a_thief_with_the_partners_password_is_refused(share: Guarded, theft: str) -> None:
    """Everything stays as it was, and the server says no."""
    assert THEFTS[theft](share) != NtStatus.STATUS_SUCCESS
    with share.own.open(DATA, "p.zip") as source:
        assert source.read() == PACKAGE
    assert [each.name for each in share.own.list(DATA)] == ["p.zip"]
    assert share.own.read_small(f"{COOKIE}/{COOKIE_NAME}", 99) == b"word"
    assert share.own.list("") == (next(each for each in share.own.list("") if each.name == POOL_JSON),)
    assert share.own.list(QUARANTINE) == share.own.list(TEMP) == ()


def test_a_handle_that_was_kept_open(share: Guarded) -> None:
    """What SMB cannot forbid: whoever made a file may write into it while he holds it open, in Data, too. The seal finds it."""
    made_id = share.thief.create("a-9.part").file_id
    share.thief.line.ask(messages.write(0, b"good", made_id))
    renaming = messages.rename(share.thief.path(DATA, "held.zip"), replacing=False, file_id=made_id)
    assert share.thief.line.ask(renaming)[0].status == 0
    assert share.thief.line.ask(messages.write(0, b"evil", made_id))[0].status == 0
    share.thief.line.ask(messages.close(made_id))
    assert share.own.remove(DATA, "held.zip")


def test_the_command_prints_it(tmp_path: Path) -> None:
    """Commands for root, and the section; nothing is done. What makes no sense is refused."""
    toml = tmp_path / "a.toml"
    toml.write_text(GOOD)
    runner = CliRunner()
    words = ["-c", str(toml), "share", "setup", "--partner-account", "pool-b", "--owner", "prosody"]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.output
    for line in (
        "smbpasswd -a pool-b",
        "install -d -o prosody -g pool-b -m 1730 /srv/share-a/UserServices/Data/PresenceFocusData",
        "[ ! -f /srv/share-a/pool.json ] || { chown prosody:pool-b /srv/share-a/pool.json; chmod 0640 /srv/share-a/pool.json; }",
        "[a]",
        "   valid users = pool-b",
    ):
        assert line in done.output.splitlines()
    assert "Replicas" not in done.output
    for wrong in (
        ["--owner", "pool-b"],
        ["--store-account", "prosody"],
        ["--store-account", "a b"],
        ["--owner", "a; rm"],
        ["--path", "relative"],
    ):
        refused = runner.invoke(app, [*words, *wrong])
        assert isinstance(refused.exception, PoolpairError)
        assert refused.exception.code is Code.USAGE
    toml.write_text(GOOD.replace("/srv/share-a", "smb://files/a"))
    assert isinstance(runner.invoke(app, words).exception, PoolpairError)
    done = runner.invoke(app, [*words, "--path", "/srv/a", "--name", "pools"])
    assert "   valid users = pool-b prosody" in done.output.splitlines()
    toml.write_text(GOOD + '[cms]\nhome = "a"\n')
    done = runner.invoke(app, [*words, "--store-account", "store"])
    for line in (
        "usermod -a -G pool-b store",
        "   valid users = pool-b store",
        "install -d -o prosody -g pool-b -m 1730 /srv/share-a/CentralMgmt/Data/CMSMasterData",
        f"install -d -o prosody -g pool-b -m 0730 /srv/share-a/Replicas/{socket.gethostname()}/to-replica",
    ):
        assert line in done.output.splitlines(), done.output
    assert "chmod 0640 /srv/share-a/CentralMgmt/pool.json" in done.output

"""What a file server can do to a pool: it dies, stops, refuses, is full, is not there. Each is said in time, and gone when it is over."""

from __future__ import annotations

import io
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import COOKIE_NAME, cookie_dir, data_dir
from poolpair.model import Channel
from poolpair.share.port import CHUNK_BYTES, TEMP
from poolpair.share.smb import line as line_module
from poolpair.share.smb.line import Line
from poolpair.share.smb.login import Login
from poolpair.share.smb.own import SmbOwnShare
from poolpair.share.smb.partner import SmbPartnerShare
from poolpair.smb_address import SmbAddress
from tests.smb.conftest import Ends
from tests.smb.server import ACCOUNT, PASSWORD, SmbServer

DATA = data_dir(Channel.USERS)
COOKIE = cookie_dir(Channel.USERS)
LARGE = bytes(range(256)) * (12 * 1024 * 1024 // 256)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience ends after a second."""
    monkeypatch.setattr(line_module, "ANSWER_S", 1.0)
    monkeypatch.setattr(line_module, "CONNECT_S", 1.0)
    monkeypatch.setattr(line_module, "REST_S", 0.0)


def test_nobody_waits_twice_for_a_server_that_stands_still(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command asks for ten things: the first waits, the others are told the same at once, and after a while somebody tries again."""
    all_well(ends)
    monkeypatch.setattr(line_module, "ANSWER_S", 1.0)
    with stopped(ends.server):
        assert failure(lambda: ends.own.list(DATA)).code is Code.SHARE_FAILED
        monkeypatch.setattr(line_module, "CONNECT_S", 3600.0)  # whoever tried to connect would wait for ever
        assert "did not answer in time" in failure(lambda: ends.own.list(DATA)).detail
    monkeypatch.setattr(line_module, "REST_S", 0.0)
    monkeypatch.setattr(line_module, "CONNECT_S", 10.0)
    assert ends.own.list(DATA) == ()


def failure(attempt: Callable[[], object]) -> PoolpairError:
    """What an attempt raises."""
    with pytest.raises(PoolpairError) as caught:
        attempt()
    return caught.value


def deliver(ends: Ends, name: str = "p.zip", data: bytes = b"package") -> int:
    """Deliver a package."""
    return ends.partner.deliver(io.BytesIO(data), DATA, name, "a-1.part")


class Interrupted(io.BytesIO):
    """A package of whose reading something else comes in between."""

    def __init__(self, data: bytes, what: Callable[[], object]) -> None:
        super().__init__(data)
        self._what: list[Callable[[], object]] = [what]

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= CHUNK_BYTES and self._what:
            self._what.pop()()
        return super().read(size)


@contextmanager
def stopped(server: SmbServer) -> Iterator[None]:
    """Every process of the server stands still."""
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


def attempts(ends: Ends) -> dict[str, Callable[[], object]]:
    """Everything that a service asks of shares."""
    return {
        "list": lambda: ends.own.list(DATA),
        "read": lambda: ends.own.read_small("pool.json", 99),
        "write": lambda: ends.own.write_small("pool.json", b"x"),
        "free": ends.own.free_bytes,
        "identity": lambda: ends.partner.identity("pool.json", 99),
        "deliver": lambda: deliver(ends),
        "word": lambda: ends.partner.replace(COOKIE, COOKIE_NAME, b"word", "a-2.part"),
    }


def all_well(ends: Ends) -> None:
    """Everything works, and nothing was left behind."""
    for attempt in attempts(ends).values():
        attempt()
    assert ends.own.remove(DATA, "p.zip")
    assert ends.own.list(TEMP) == ()


def test_a_server_that_died_and_came_back(ends: Ends) -> None:
    """Each call says that it cannot be reached, and which share is meant; the first one after its return works."""
    all_well(ends)
    ends.server.kill()
    for name, attempt in attempts(ends).items():
        error = failure(attempt)
        assert (name, error.code) == (name, Code.SHARE_FAILED)
        assert "cannot be reached: " in error.detail
        assert str(ends.lines[0].address) in error.detail
    assert "Failed to connect" in str(ends.own.changed_hint([DATA]))
    ends.server.start()
    all_well(ends)


@pytest.mark.usefixtures("quick")
def test_a_server_that_stands_still(ends: Ends) -> None:
    """Its connections are open, and nothing answers: the wait has an end, for what is open and for what connects anew."""
    all_well(ends)
    with stopped(ends.server):
        for line in ends.lines:
            error = failure(lambda line=line: SmbOwnShare(line).list(DATA))  # type: ignore[misc]
            assert (error.code, "did not answer in time" in error.detail) == (Code.SHARE_FAILED, True)
        assert failure(lambda: deliver(ends)).code is Code.SHARE_FAILED
    all_well(ends)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_server_that_ends_in_the_middle_of_a_package(ends: Ends, how: str) -> None:
    """Nothing stands under the package's name; what lies in Temp goes when it is old; the next delivery is whole."""
    server = ends.server
    what = server.kill if how == "killed" else lambda: server.signal(signal.SIGSTOP)
    error = failure(lambda: ends.partner.deliver(Interrupted(LARGE, what), DATA, "p.zip", "a-1.part"))
    assert error.code is Code.SHARE_FAILED
    if how == "killed":
        server.start()
    else:
        server.signal(signal.SIGCONT)
    assert ends.own.list(DATA) == ()
    assert deliver(ends, data=LARGE) == len(LARGE)
    with ends.own.open(DATA, "p.zip") as source:
        assert source.read() == LARGE
    ends.own.remove(DATA, "p.zip")
    ends.own.sweep_temp(-3600)
    all_well(ends)


@pytest.mark.usefixtures("quick")
def test_a_server_that_ends_while_a_package_is_read(ends: Ends) -> None:
    """The reader hears of it in our words, and reads it again later."""
    deliver(ends, data=LARGE)
    with ends.own.open(DATA, "p.zip") as source:
        source.read(100)
        ends.server.kill()
        source.seek(5_000_000)
        assert failure(source.read).code is Code.SHARE_FAILED
    ends.server.start()
    with ends.own.open(DATA, "p.zip") as source:
        assert source.read() == LARGE


def test_a_rename_whose_answer_was_lost(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was done and reported failed: the next try of the same package finds it done."""
    asked = Line.ask

    def lost(line: Line, *messages: object) -> object:
        answers = asked(line, *messages)
        if type(messages[0]).__name__ == "SMB2SetInfoRequest":
            raise PoolpairError(Code.SHARE_FAILED, "the answer was lost")
        return answers

    monkeypatch.setattr(Line, "ask", lost)
    assert failure(lambda: deliver(ends)).detail == "the answer was lost"
    monkeypatch.setattr(Line, "ask", asked)
    assert deliver(ends) == 7
    assert [listed.name for listed in ends.own.list(DATA)] == ["p.zip"]
    assert ends.own.list(TEMP) == ()


def test_a_password_that_was_changed(server: SmbServer) -> None:
    """The account is named, its password is not; the right one is taken from the next try on."""
    logins = [Login(ACCOUNT, "an old one")]
    address = SmbAddress(server="127.0.0.1", port=server.port, share="pools")
    share = SmbOwnShare(Line(address, lambda: logins[-1], "own"))
    error = failure(lambda: share.list(""))
    assert error.code is Code.SHARE_DENIED
    assert f"{ACCOUNT} is not let in" in error.detail
    assert "an old one" not in str(error)
    logins.append(Login(ACCOUNT, PASSWORD))
    assert share.list("") == ()
    share.close()


def test_a_share_that_is_not_there(server: SmbServer) -> None:
    """A name that the server does not know, and a folder that the share does not have."""
    assert failure(server_share(server, "other").free_bytes).code is Code.SHARE_MISSING
    error = failure(server_share(server, "pools", "absent").free_bytes)
    assert error.code is Code.SHARE_MISSING


def server_share(server: SmbServer, *where: str) -> SmbOwnShare:
    """A share of the server, own."""
    return SmbOwnShare(server.line(*where))


def test_a_permission_that_was_taken_away(ends: Ends) -> None:
    """What may not be done and where is said, and works again when it may."""
    folder = ends.root / DATA
    mode = folder.stat().st_mode
    folder.chmod(0o555)
    try:
        error = failure(lambda: deliver(ends))
        assert (error.code, DATA in error.detail) == (Code.SHARE_DENIED, True)
        assert failure(lambda: ends.own.check([DATA])).code is Code.SHARE_DENIED
        lacking = [check for check in ends.partner.check_access([DATA]) if not check.ok]
        assert [(check.folder, check.code) for check in lacking] == [(DATA, Code.SHARE_DENIED)]
    finally:
        folder.chmod(mode)
    all_well(ends)


def test_a_server_that_nobody_knows() -> None:
    """A name without an address."""
    address = SmbAddress(server="nowhere.invalid", port=445, share="pools")
    share = SmbPartnerShare(Line(address, lambda: Login("a", "b"), "partner's"))
    error = failure(share.free_bytes)
    assert error.code is Code.SHARE_FAILED
    assert "smb://nowhere.invalid/pools cannot be reached" in error.detail


@pytest.mark.usefixtures("quick")
def test_a_server_that_accepts_and_says_nothing() -> None:
    """Whatever listens there is no file server."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = SmbAddress(server="127.0.0.1", port=listening.getsockname()[1], share="pools")
        share = SmbOwnShare(Line(address, lambda: Login("a", "b"), "own"))
        assert failure(share.free_bytes).code is Code.SHARE_FAILED


@pytest.fixture
def other_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], SmbOwnShare]]:
    """Makes a server of another kind, by lines of its configuration; gives its share."""
    made: list[SmbServer] = []
    folder = Path(mkdtemp(prefix="poolpair-smb-"))
    folder.chmod(0o755)

    def make(extra: str) -> SmbOwnShare:
        server = SmbServer(folder / "smbd", {"pools": folder / "pools"}, extra=extra, read_only=not extra)
        made.append(server)
        server.start(wait=False)
        return SmbOwnShare(server.line("pools"))

    yield make
    for server in made:
        server.kill()
    shutil.rmtree(folder)


WEAK = {
    "no encryption": "   smb encrypt = off\n",
    "an old protocol": "   server min protocol = SMB2_02\n   server max protocol = SMB2_10\n   smb encrypt = off\n",
}


@pytest.mark.parametrize("kind", WEAK)
def test_a_server_that_offers_less_is_refused(other_server: Callable[[str], SmbOwnShare], kind: str) -> None:
    """Nothing of a share passes over a line that others can read."""
    share = other_server(WEAK[kind])
    error = failure(share.free_bytes)
    assert (error.code, error.hint) == (Code.SHARE_FAILED, "have the server offer SMB 3.1.1 with encryption")
    assert "does not offer what is needed" in error.detail


def test_a_full_disk(ends: Ends) -> None:
    """Nothing stands half, in Temp neither; when there is room again it goes on."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=777", "none", str(ends.root)], check=True)
    for line in ends.lines:
        line.close()  # the server's process for an open one stands in the folder below
    try:
        ends.own.prepare([DATA, COOKIE])
        assert failure(lambda: deliver(ends, data=LARGE)).code is Code.SHARE_FULL
        assert ends.own.list(TEMP) == ends.own.list(DATA) == ()
        deliver(ends, "filling.zip", bytes(ends.partner.free_bytes() - 200_000))
        assert failure(lambda: deliver(ends, data=bytes(900_000))).code is Code.SHARE_FULL
        assert ends.own.list(TEMP) == ()
        ends.own.remove(DATA, "filling.zip")
        all_well(ends)
    finally:
        for line in ends.lines:
            line.close()
        subprocess.run(["umount", "-l", str(ends.root)], check=True)


def test_a_share_that_is_read_only(other_server: Callable[[str], SmbOwnShare]) -> None:
    """Whoever only may read is told so."""
    share = other_server("")
    share.free_bytes()
    error = failure(lambda: share.prepare([DATA]))
    assert error.code in {Code.SHARE_DENIED, Code.SHARE_READ_ONLY}


def test_what_things_cost(ends: Ends) -> None:
    """In round trips, which are what a long line charges for."""
    all_well(ends)
    deliver(ends, "old.zip")
    counts = {}
    for name, attempt in attempts(ends).items():
        before = sum(line.requests for line in ends.lines)
        attempt()
        counts[name] = sum(line.requests for line in ends.lines) - before
    before = ends.lines[0].requests
    with ends.own.open(DATA, "old.zip") as source:
        assert source.read() == b"package"
    assert ends.lines[0].requests - before == 2
    assert counts == {"list": 1, "read": 1, "write": 1, "free": 1, "identity": 1, "deliver": 3, "word": 2}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "answer", [b"\xff" * 64, bytes(64), b"\0\0\0\x40" + b"\xfeSMB" + bytes(60), b"HTTP/1.1 400 Bad Request\r\n"]
)
def test_a_stranger_that_answers_something_else(answer: bytes) -> None:
    """Whatever it says, it is no file server: no room is made for what it promises, and nothing but our error comes of it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(4096)
                client.sendall(answer)
                client.recv(4096)

        threading.Thread(target=serve, daemon=True).start()
        address = SmbAddress(server="127.0.0.1", port=listening.getsockname()[1], share="pools")
        share = SmbOwnShare(Line(address, lambda: Login("a", "b"), "own"))
        assert failure(share.free_bytes).code is Code.SHARE_FAILED


@pytest.mark.parametrize("data", [b"package", LARGE], ids=["small", "large"])
def test_a_server_that_writes_less_than_it_was_sent(ends: Ends, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """It says so, and reports no error: the package gets no name."""
    monkeypatch.setattr(
        "poolpair.share.smb.messages.written_bytes", lambda body: int.from_bytes(body[4:8], "little") - 1
    )
    error = failure(lambda: deliver(ends, data=data))
    assert (error.code, "only a part was written" in error.detail) == (Code.SHARE_FAILED, True)
    assert ends.own.list(DATA) == ends.own.list(TEMP) == ()

"""The share port's promises, each on a directory, in memory, and on a file server."""

from __future__ import annotations

import io
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import BinaryIO

import pytest

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format import layout
from poolpair.model import Channel
from poolpair.share import port
from poolpair.share.counted import CountedPartnerShare, Delivered
from poolpair.share.directory import DirectoryOwnShare, DirectoryPartnerShare
from poolpair.share.memory import MemoryShare
from poolpair.share.port import FileVanished, Listed, OwnShare, PartnerShare, safe_component
from poolpair.share.smb.own import SmbOwnShare
from poolpair.share.smb.partner import SmbPartnerShare
from tests.smb.server import ACCOUNT, SmbServer

DATA = layout.data_dir(Channel.USERS)
COOKIE = layout.cookie_dir(Channel.USERS)
FOLDERS = layout.folders([Channel.USERS])
BAD_NAMES = ["", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", "\x7f", "a:b", "ü", "a" * 201, "a.", " a", "*"]


class Bench(ABC):
    """One share seen from both sides, and hands to reach into it from outside."""

    own: OwnShare
    partner: PartnerShare

    @abstractmethod
    def plant(self, folder: str, name: str, age_s: float = 0) -> None:
        """Put a file there as nobody's port would."""

    @abstractmethod
    def drop(self, folder: str) -> None:
        """Take an empty folder away."""


class DirectoryBench(Bench):
    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.root = root
        self.own = DirectoryOwnShare(root, quarantine_max=3)
        self.partner = DirectoryPartnerShare(root)

    def plant(self, folder: str, name: str, age_s: float = 0) -> None:
        path = self.root / folder / name
        path.write_bytes(b"planted")
        when = path.stat().st_mtime - age_s
        os.utime(path, (when, when))

    def drop(self, folder: str) -> None:
        (self.root / folder).rmdir()


class MemoryBench(Bench):
    def __init__(self) -> None:
        self.now_s = 1e6
        self.share = MemoryShare(lambda: self.now_s, quarantine_max=3)
        self.own = self.partner = self.share

    def plant(self, folder: str, name: str, age_s: float = 0) -> None:
        self.now_s -= age_s
        self.share.replace(folder, name, b"planted", "planted.part")
        self.now_s += age_s

    def drop(self, folder: str) -> None:
        del self.share.tree[folder]


class SmbBench(Bench):
    def __init__(self, server: SmbServer, number: int) -> None:
        folder = f"s{number}"
        self.root = server.shares["pools"] / folder
        self.root.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.root, ACCOUNT)
        self.lines = [server.line("pools", folder), server.line("pools", folder, whose="partner's")]
        self.own = SmbOwnShare(self.lines[0], quarantine_max=3)
        self.partner = SmbPartnerShare(self.lines[1])

    plant = DirectoryBench.plant
    drop = DirectoryBench.drop


@pytest.fixture(scope="module")
def server() -> Iterator[SmbServer]:
    """A file server; each test has a folder of its share."""
    folder = Path(mkdtemp(prefix="poolpair-smb-"))
    folder.chmod(0o755)
    made = SmbServer(folder / "smbd", {"pools": folder / "pools"})
    try:
        made.start()
        yield made
    finally:
        made.kill()
        shutil.rmtree(folder)


_NUMBERS = count()


@pytest.fixture(params=["directory", "memory", "smb"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A prepared share."""
    if request.param == "smb":
        on_server = SmbBench(request.getfixturevalue("server"), next(_NUMBERS))
        on_server.own.prepare(FOLDERS)
        yield on_server
        for line in on_server.lines:
            line.close()
        return
    made: Bench = DirectoryBench(tmp_path / "share") if request.param == "directory" else MemoryBench()
    made.own.prepare(FOLDERS)
    yield made


def deliver(bench: Bench, name: str = "p.zip", data: bytes = b"package") -> int:
    """Deliver a package."""
    return bench.partner.deliver(io.BytesIO(data), DATA, name, "a-1.part")


def names(bench: Bench, folder: str) -> list[str]:
    """What stands in a folder."""
    return [listed.name for listed in bench.own.list(folder)]


class Breaking(io.BytesIO):
    """A source that ends in an error of the local disk."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(5, "Input/output error")


def test_words_of_the_layout_are_the_same_here() -> None:
    """The share may not import the layout, so the two words that they have in common are held equal here."""
    assert (port.TEMP, port.QUARANTINE) == (layout.TEMP, layout.QUARANTINE)


def refused(attempt: Callable[[], object]) -> Code:
    """The code with which a name is refused."""
    with pytest.raises(Refused) as error:
        attempt()
    return error.value.code


def opened(bench: Bench, folder: str, name: str) -> bytes:
    """Open and read."""
    with bench.own.open(folder, name) as source:
        return source.read()


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_could_mean_more_never_becomes_a_path(bench: Bench, name: str) -> None:
    """Whatever takes a file name from outside refuses such a one as misnamed."""
    assert refused(lambda: safe_component(name)) is Code.MISNAMED
    assert refused(lambda: opened(bench, DATA, name)) is Code.MISNAMED
    assert refused(lambda: bench.own.remove(DATA, name)) is Code.MISNAMED
    assert refused(lambda: bench.own.quarantine(DATA, name, "why", "1")) is Code.MISNAMED
    assert refused(lambda: bench.partner.deliver(io.BytesIO(b""), DATA, name, "t")) is Code.MISNAMED
    assert refused(lambda: bench.partner.deliver(io.BytesIO(b""), DATA, "n", name)) is Code.MISNAMED
    assert refused(lambda: bench.partner.replace(DATA, name, b"", "t")) is Code.MISNAMED


@pytest.mark.parametrize("name", [name for name in BAD_NAMES if name != "a/b"])
def test_a_folder_that_could_mean_more_never_becomes_a_path(bench: Bench, name: str) -> None:
    """Whatever takes a folder from outside refuses such a one as misnamed."""
    folder = f"{DATA}/{name}"
    assert refused(lambda: bench.own.list(folder)) is Code.MISNAMED
    assert refused(lambda: bench.own.prepare([folder])) is Code.MISNAMED
    assert refused(lambda: bench.own.write_small(f"{folder}/y", b"")) is Code.MISNAMED
    assert refused(lambda: bench.own.read_small(f"{folder}/y", 9)) is Code.MISNAMED
    assert refused(lambda: bench.partner.replace(folder, "n", b"", "t")) is Code.MISNAMED


def test_prepare_may_be_repeated(bench: Bench) -> None:
    """Folders that are there are left with what they hold."""
    deliver(bench)
    bench.own.prepare(FOLDERS)
    assert names(bench, DATA) == ["p.zip"]
    assert names(bench, port.QUARANTINE) == []


def test_a_package_arrives_whole_and_leaves_nothing_in_temp(bench: Bench) -> None:
    """What was delivered is listed with its size, in order of names, and reads back."""
    assert deliver(bench, "b.zip", b"12345") == 5
    assert deliver(bench, "a.zip", b"") == 0
    assert bench.own.list(DATA) == (Listed("a.zip", 0), Listed("b.zip", 5))
    assert names(bench, port.TEMP) == []
    with bench.own.open(DATA, "b.zip") as source:
        source.seek(-2, io.SEEK_END)
        assert source.read() == b"45"


def test_a_large_package_is_copied_in_pieces(bench: Bench) -> None:
    """A package larger than one piece arrives byte for byte."""
    data = os.urandom(port.CHUNK_BYTES + 12345)
    assert deliver(bench, data=data) == len(data)
    with bench.own.open(DATA, "p.zip") as source:
        assert source.read() == data


def test_a_delivery_that_was_done_before_is_success(bench: Bench) -> None:
    """A name that stands with the same size counts as delivered and is not touched."""
    deliver(bench, data=b"package")
    assert deliver(bench, data=b"packagE") == 7
    with bench.own.open(DATA, "p.zip") as source:
        assert source.read() == b"package"
    assert names(bench, port.TEMP) == []


def test_a_delivery_never_overwrites(bench: Bench) -> None:
    """A name that stands with another size is an error that names it, and stays as it was."""
    deliver(bench, data=b"package")
    with pytest.raises(PoolpairError, match=r"p\.zip") as error:
        deliver(bench, data=b"longer than it")
    assert error.value.code is Code.SHARE_FAILED
    assert bench.own.list(DATA) == (Listed("p.zip", 7),)
    assert names(bench, port.TEMP) == []


def test_a_temp_file_of_an_earlier_try_is_no_obstacle(bench: Bench) -> None:
    """A leftover of the same temporary name is replaced."""
    bench.plant(port.TEMP, "a-1.part")
    deliver(bench, data=b"x")
    assert bench.own.list(DATA) == (Listed("p.zip", 1),)
    assert names(bench, port.TEMP) == []


def test_an_unreadable_source_is_not_the_shares_fault(bench: Bench) -> None:
    """A local error while a package is read says scratch, and nothing stays in Temp."""
    source: BinaryIO = Breaking()
    with pytest.raises(PoolpairError) as error:
        bench.partner.deliver(source, DATA, "p.zip", "a-1.part")
    assert error.value.code is Code.SCRATCH
    assert names(bench, port.TEMP) == names(bench, DATA) == []


class Counting(io.BytesIO):
    """A package of which it is counted how much is read."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


PIECES = b"".join(number.to_bytes(2, "big") for number in range(50_000))
TEMP_NAME = "a-1.part"


def test_pieces_are_put_together_and_sent_once(bench: Bench) -> None:
    """Whatever size they have; nothing stands under the package's name before the last is there, and nothing in Temp after it."""
    source = Counting(PIECES)
    reached = 0
    for limit in (1, 30_000, 40_001):
        reached = bench.partner.bring(source, TEMP_NAME, reached, limit)
        assert names(bench, DATA) == []
    assert reached == 70_002
    assert bench.partner.deliver(source, DATA, "p.zip", TEMP_NAME, reached) == len(PIECES)
    with bench.own.open(DATA, "p.zip") as found:
        assert found.read() == PIECES
    assert source.taken == len(PIECES)
    assert names(bench, port.TEMP) == []


def test_a_piece_goes_on_after_the_line_was_cut(bench: Bench) -> None:
    """Another connection finds what the first one brought."""
    source = Counting(PIECES)
    reached = bench.partner.bring(source, TEMP_NAME, 0, 60_000)
    if isinstance(bench, SmbBench):
        bench.lines[1].close()
    reached = bench.partner.bring(source, TEMP_NAME, reached, 10_000)
    assert reached == 70_000
    assert bench.partner.deliver(source, DATA, "p.zip", TEMP_NAME, reached) == len(PIECES)
    assert source.taken == len(PIECES)
    with bench.own.open(DATA, "p.zip") as found:
        assert found.read() == PIECES


def test_what_was_brought_and_went_is_sent_again(bench: Bench) -> None:
    """Somebody swept Temp, or what lies there is less than was brought: a piece says so, a delivery begins anew."""
    source = io.BytesIO(PIECES)
    for planted in (False, True):
        assert bench.partner.bring(source, TEMP_NAME, 0, 60_000) == 60_000
        if isinstance(bench, SmbBench):
            bench.lines[1].close()
        bench.own.remove(port.TEMP, TEMP_NAME)
        if planted:
            bench.plant(port.TEMP, TEMP_NAME)
        assert bench.partner.bring(source, TEMP_NAME, 60_000, 10) == 0
        assert bench.partner.deliver(source, DATA, f"{planted}.zip", TEMP_NAME, 60_000) == len(PIECES)
        with bench.own.open(DATA, f"{planted}.zip") as found:
            assert found.read() == PIECES
    assert names(bench, port.TEMP) == []


def test_a_last_piece_that_was_done_before_is_success(bench: Bench) -> None:
    """Done but reported failed: not a byte is sent again."""
    source = Counting(PIECES)
    reached = bench.partner.bring(source, TEMP_NAME, 0, 60_000)
    for _ in range(2):
        assert bench.partner.deliver(source, DATA, "p.zip", TEMP_NAME, reached) == len(PIECES)
    assert source.taken == len(PIECES)
    assert names(bench, DATA) == ["p.zip"]
    assert names(bench, port.TEMP) == []


def test_what_was_brought_outlives_a_failure(bench: Bench) -> None:
    """The source breaks, or another file stands under the name: earlier pieces are not sent once more."""
    source = Counting(PIECES)
    reached = bench.partner.bring(source, TEMP_NAME, 0, 60_000)
    with pytest.raises(PoolpairError):
        bench.partner.bring(Breaking(PIECES), TEMP_NAME, reached, 10_000)
    with pytest.raises(PoolpairError):
        bench.partner.deliver(Breaking(PIECES), DATA, "p.zip", TEMP_NAME, reached)
    assert names(bench, port.TEMP) == [TEMP_NAME]
    assert bench.partner.deliver(source, DATA, "p.zip", TEMP_NAME, reached) == len(PIECES)
    assert source.taken == len(PIECES)


def test_what_was_brought_can_be_taken_away(bench: Bench) -> None:
    """It is of no use any more; that it is not there is no error, and nothing goes on from it."""
    source = io.BytesIO(PIECES)
    assert bench.partner.bring(source, TEMP_NAME, 0, 60_000) == 60_000
    for _ in range(2):
        bench.partner.forget(TEMP_NAME)
        assert names(bench, port.TEMP) == []
    assert bench.partner.bring(source, TEMP_NAME, 60_000, 10) == 0
    if not isinstance(bench, MemoryBench):
        bench.drop(port.TEMP)
        bench.partner.forget(TEMP_NAME)


def test_a_half_package_with_another_name_is_left_alone(bench: Bench) -> None:
    """Somebody gave it a second name, or put another file in its place: what goes on would go into that."""
    if not isinstance(bench, DirectoryBench | SmbBench):
        return
    source = io.BytesIO(PIECES)
    assert bench.partner.bring(source, TEMP_NAME, 0, 60_000) == 60_000
    if isinstance(bench, SmbBench):
        bench.lines[1].close()
    other = bench.root / "precious"
    other.hardlink_to(bench.root / port.TEMP / TEMP_NAME)
    assert bench.partner.bring(source, TEMP_NAME, 60_000, 10) == 0
    assert other.stat().st_size == 60_000


def test_a_piece_has_a_plain_name(bench: Bench) -> None:
    """As everything that comes into a path."""
    assert refused(lambda: bench.partner.bring(io.BytesIO(b""), "../x", 0, 1)) is Code.MISNAMED


def test_a_cookie_replaces_the_old_one(bench: Bench) -> None:
    """The newest cookie stands alone; whoever had opened the old one still reads that."""
    bench.partner.replace(COOKIE, "cookie.zip", b"old", "a-2.part")
    with bench.own.open(COOKIE, "cookie.zip") as source:
        bench.partner.replace(COOKIE, "cookie.zip", b"new one", "a-2.part")
        assert source.read() == b"old"
    assert bench.own.read_small(f"{COOKIE}/cookie.zip", 7) == b"new one"
    assert names(bench, port.TEMP) == []


def test_a_small_file_is_read_within_its_limit(bench: Bench) -> None:
    """At the limit it is read, above it is refused, absent it is None; both roles read alike."""
    bench.own.write_small("pool.json", b"12345")
    for read in (bench.own.read_small, bench.partner.identity):
        assert read("pool.json", 5) == b"12345"
        assert read("other.json", 5) is None
        with pytest.raises(Refused) as refused:
            read("pool.json", 4)
        assert refused.value.code is Code.LIMIT


def test_equal_content_is_not_written_again(bench: Bench) -> None:
    """TaskAssignment changes only when its text does."""
    path = layout.TASK_ASSIGNMENT
    bench.own.write_small(path, b"fe1\n")
    before = bench.own.changed_hint(["TaskAssignment"])
    bench.own.write_small(path, b"fe1\n")
    assert bench.own.changed_hint(["TaskAssignment"]) == before
    bench.own.write_small(path, b"fe\n")
    assert bench.own.changed_hint(["TaskAssignment"]) != before
    assert bench.own.read_small(path, 100) == b"fe\n"


def test_removal_says_whether_there_was_something(bench: Bench) -> None:
    """The first removal finds the file, the second does not, and opening it then says that it vanished."""
    deliver(bench)
    assert bench.own.remove(DATA, "p.zip")
    assert not bench.own.remove(DATA, "p.zip")
    with pytest.raises(FileVanished), bench.own.open(DATA, "p.zip"):
        pass


def test_a_missing_folder_is_said(bench: Bench) -> None:
    """Every operation in a folder that is not there says that the share lacks it, and names it."""
    bench.drop(COOKIE)
    tries: list[Callable[[], object]] = [
        lambda: bench.own.list(COOKIE),
        lambda: opened(bench, COOKIE, "c"),
        lambda: bench.own.read_small(f"{COOKIE}/c", 10),
        lambda: bench.own.write_small(f"{COOKIE}/c", b""),
        lambda: bench.own.remove(COOKIE, "c"),
        lambda: bench.own.quarantine(COOKIE, "c", "why", "1"),
        lambda: bench.partner.deliver(io.BytesIO(b""), COOKIE, "c", "t"),
        lambda: bench.partner.replace(COOKIE, "c", b"", "t"),
    ]
    for attempt in tries:
        with pytest.raises(PoolpairError, match=COOKIE) as error:
            attempt()
        assert error.value.code is Code.SHARE_MISSING
    assert names(bench, port.TEMP) == []
    bench.own.changed_hint([COOKIE])


def test_a_refused_file_moves_with_its_reason(bench: Bench) -> None:
    """It leaves its folder, and Quarantine shows it under its stamp with the reason, without what steers a terminal."""
    deliver(bench, data=b"12345")
    new = bench.own.quarantine(DATA, "p.zip", "P501: dam\x1b[2Jaged", "20260101T000000Z")
    assert new == "20260101T000000Z-p.zip"
    assert names(bench, DATA) == []
    assert bench.own.quarantined() == (port.Quarantined(new, "P501: dam?[2Jaged", 5),)
    with pytest.raises(FileVanished):
        bench.own.quarantine(DATA, "p.zip", "again", "20260101T000001Z")


def test_quarantine_never_uses_a_name_twice(bench: Bench) -> None:
    """Files of one name and one stamp stand side by side, even one that is named like a reason."""
    reasons = {}
    for number, name in enumerate(["p.zip", "p.zip", "p.zip.reason.txt"]):
        deliver(bench, name)
        reasons[bench.own.quarantine(DATA, name, f"why {number}", "1")] = f"why {number}"
    assert len(reasons) == 3
    assert {each.name: each.reason for each in bench.own.quarantined()} == reasons


def test_quarantine_takes_the_longest_name(bench: Bench) -> None:
    """A name at the limit of length is cut, keeps its stamp, and has its reason."""
    name = "n" * 196 + ".zip"
    deliver(bench, name)
    new = bench.own.quarantine(DATA, name, "why", "20260101T000000Z")
    assert new.startswith("20260101T000000Z-nnn")
    assert new.endswith(".zip")
    assert [each.reason for each in bench.own.quarantined()] == ["why"]


def test_quarantine_keeps_the_newest(bench: Bench) -> None:
    """Above its bound the oldest files go, each with its reason."""
    for number in range(5):
        deliver(bench)
        bench.own.quarantine(DATA, "p.zip", "why", f"2026010{number}")
    assert [each.name for each in bench.own.quarantined()] == ["20260102-p.zip", "20260103-p.zip", "20260104-p.zip"]
    assert len(bench.own.list(port.QUARANTINE)) == 6


def test_only_old_temp_files_are_swept(bench: Bench) -> None:
    """What changed within the time stays, what did not goes and is counted."""
    bench.plant(port.TEMP, "old.part", age_s=90_000)
    bench.plant(port.TEMP, "live.part", age_s=80_000)
    assert bench.own.sweep_temp(86_400) == 1
    assert names(bench, port.TEMP) == ["live.part"]
    assert bench.own.sweep_temp(86_400) == 0


def test_the_hint_sees_every_change(bench: Bench) -> None:
    """Arrival, replacement and removal each change the hint, and rest does not, however quickly they follow."""
    folders = [DATA, COOKIE]
    seen = [bench.own.changed_hint(folders)]
    for change in (
        lambda: deliver(bench, "1.zip"),
        lambda: deliver(bench, "2.zip"),
        lambda: bench.partner.replace(COOKIE, "cookie.zip", b"1", "t"),
        lambda: bench.own.remove(DATA, "1.zip"),
    ):
        change()
        seen.append(bench.own.changed_hint(folders))
        assert seen[-1] == bench.own.changed_hint(folders)
        assert seen[-1] not in seen[:-1]


def test_what_this_account_lacks_is_said(bench: Bench) -> None:
    """A healthy share passes, and a folder that is not there is named."""
    bench.own.check(FOLDERS)
    bench.drop(COOKIE)
    with pytest.raises(PoolpairError, match=COOKIE) as error:
        bench.own.check(FOLDERS)
    assert error.value.code is Code.SHARE_MISSING


def test_what_is_cleared_is_gone_with_all_it_held(bench: Bench) -> None:
    """The named folders go, whatever is in them, and nothing beside them; a second time there is nothing to do."""
    deliver(bench)
    top = DATA.partition("/")[0]
    bench.own.write_small("pool.json", b"1")
    for _ in range(2):
        bench.own.clear([top, port.QUARANTINE])
        with pytest.raises(PoolpairError):
            bench.own.list(DATA)
    assert names(bench, port.TEMP) == []
    assert bench.own.read_small("pool.json", 9) == b"1"
    assert refused(lambda: bench.own.clear([".."])) is Code.MISNAMED


def test_space_left_is_told(bench: Bench) -> None:
    """Both roles tell how much space there is."""
    assert bench.own.free_bytes() > 0
    assert bench.partner.free_bytes() > 0


def test_access_is_told_folder_by_folder(bench: Bench) -> None:
    """A healthy share has nothing lacking and no probe left; a missing folder is named, and the others still tried."""
    checks = bench.partner.check_access(FOLDERS)
    assert [check.folder for check in checks] == list(dict.fromkeys([port.TEMP, *FOLDERS]))
    assert all(check.ok and check.folder in check.words for check in checks)
    assert all(names(bench, folder) == [] for folder in FOLDERS)
    bench.drop(COOKIE)
    lacking = [check for check in bench.partner.check_access(FOLDERS) if not check.ok]
    assert [(check.folder, check.code) for check in lacking] == [(COOKIE, Code.SHARE_MISSING)]
    assert COOKIE in lacking[0].words


def test_what_is_delivered_is_counted(bench: Bench) -> None:
    """Packages and cookies that arrived are counted, failures are not."""
    counted = CountedPartnerShare(bench.partner)
    counted.deliver(io.BytesIO(b"12345"), DATA, "p.zip", "t")
    counted.replace(COOKIE, "cookie.zip", b"123", "t")
    with pytest.raises(PoolpairError):
        counted.deliver(io.BytesIO(b"12345"), "Absent", "p.zip", "t")
    assert counted.delivered == Delivered(packages=1, package_bytes=5, cookies=1, cookie_bytes=3)
    assert counted.free_bytes() > 0
    assert counted.identity("pool.json", 10) is None
    assert all(check.ok for check in counted.check_access([DATA]))

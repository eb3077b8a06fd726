"""The tree port's promises, each on a directory and in memory."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.store.tree import DirectoryTree, FileVanished, Tree, TreeFile
from poolpair.store.tree_memory import MemoryTree

WHEN_NS = 1_700_000_000_123_456_789
OUTSIDE = [b"", b"/etc/passwd", b"..", b"../x", b"a/../x", b"a//b", b"a/", b"./a", b"a\0b", b"x" * 256, b".poolpair-1"]


class Bench(ABC):
    """A tree, and hands to change it as the application would."""

    tree: Tree

    @abstractmethod
    def write(self, path: bytes, data: bytes = b"data", *, mode: int = 0o644) -> None:
        """Write a file, with the folders above it."""

    @abstractmethod
    def link(self, path: bytes) -> None:
        """Put a link to a file there."""

    @abstractmethod
    def spooled(self) -> dict[str, bytes]:
        """What was set aside."""

    @abstractmethod
    def lose_root(self) -> None:
        """Take the root away."""

    @abstractmethod
    def age_folders(self) -> None:
        """Set every folder's time back, so that the next change is seen however coarse the clock is."""


class DirectoryBench(Bench):
    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        self.root.mkdir()
        self.spool = folder / "spool"
        self.tree = DirectoryTree(self.root, self.spool)

    def _path(self, path: bytes) -> Path:
        found = self.root / os.fsdecode(path)
        found.parent.mkdir(parents=True, exist_ok=True)
        return found

    def write(self, path: bytes, data: bytes = b"data", *, mode: int = 0o644) -> None:
        self._path(path).write_bytes(data)
        self._path(path).chmod(mode)

    def link(self, path: bytes) -> None:
        self._path(path).symlink_to("/etc/passwd")

    def spooled(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.spool.glob("*")}

    def lose_root(self) -> None:
        self.root.rename(self.root.with_name("elsewhere"))

    def age_folders(self) -> None:
        for folder in (self.root, *self.root.rglob("*/")):
            os.utime(folder, (0, 0))


class MemoryBench(Bench):
    def __init__(self) -> None:
        self.memory = MemoryTree()
        self.tree = self.memory

    def write(self, path: bytes, data: bytes = b"data", *, mode: int = 0o644) -> None:
        self.memory.write(path, data, mode=mode)

    def link(self, path: bytes) -> None:
        self.memory.odd.add(path)

    def spooled(self) -> dict[str, bytes]:
        return self.memory.spooled

    def lose_root(self) -> None:
        self.memory.missing = True

    def age_folders(self) -> None:
        """Its hint counts, so there is nothing to set back."""


@pytest.fixture(params=["directory", "memory"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """An empty tree."""
    return DirectoryBench(tmp_path) if request.param == "directory" else MemoryBench()


def everything(_path: bytes) -> bool:
    """Want every file."""
    return True


def place(
    bench: Bench, path: bytes, data: bytes = b"placed", *, size: int | None = None, mode: int = 0o640
) -> TreeFile:
    """Place a file."""
    whole = len(data) if size is None else size
    return bench.tree.place(path, io.BytesIO(data), size=whole, mtime_ns=WHEN_NS, mode=mode)


def read(bench: Bench, path: bytes) -> bytes:
    """Read a whole file."""
    with bench.tree.open(path) as source:
        return source.read()


def paths(bench: Bench) -> list[bytes]:
    """What a scan finds."""
    return [file.path for file in bench.tree.scan(everything)]


def code_of(attempt: Callable[[], object]) -> Code:
    """The code with which something fails."""
    with pytest.raises(PoolpairError) as error:
        attempt()
    return error.value.code


def test_a_scan_goes_folder_by_folder_in_order(bench: Bench) -> None:
    """Files come before the folders beside them, each sorted by bytes, and the order repeats."""
    for path in (b"b", b"a/z", b"a/b/c", b"c", b"\xff", b"a.x/1", "ä/ü".encode(), b"sp ace\n/x"):
        bench.write(path)
    expected = [b"b", b"c", b"\xff", b"a/z", b"a/b/c", b"a.x/1", b"sp ace\n/x", "ä/ü".encode()]
    assert paths(bench) == paths(bench) == expected


def test_a_scan_tells_what_stat_tells(bench: Bench) -> None:
    """A scanned file equals a look at that one file, and carries its size and mode."""
    bench.write(b"a/x", b"12345", mode=0o600)
    (found,) = bench.tree.scan(everything)
    assert found == bench.tree.stat(b"a/x")
    assert (found.path, found.size, found.mode) == (b"a/x", 5, 0o600)


def test_only_wanted_files_are_scanned(bench: Bench) -> None:
    """The caller chooses by the relative path."""
    bench.write(b"a/x.bin")
    bench.write(b"a/x.txt")
    assert [file.path for file in bench.tree.scan(lambda path: path.endswith(b".bin"))] == [b"a/x.bin"]


def test_an_empty_tree_has_no_files(bench: Bench) -> None:
    """An empty root is no error."""
    assert paths(bench) == []
    assert bench.tree.skipped == 0


def test_a_missing_root_is_an_error_everywhere(bench: Bench) -> None:
    """Without its root nothing is found empty, vanished or done: it is an error; only the hint stays silent."""
    bench.write(b"x")
    bench.lose_root()
    assert code_of(lambda: paths(bench)) is Code.TREE
    assert code_of(lambda: read(bench, b"x")) is Code.TREE
    assert code_of(lambda: bench.tree.stat(b"x")) is Code.TREE
    assert code_of(lambda: bench.tree.is_odd(b"x")) is Code.TREE
    assert code_of(lambda: place(bench, b"x")) is Code.TREE
    assert code_of(lambda: bench.tree.remove(b"x")) is Code.TREE
    assert code_of(lambda: bench.tree.set_aside(b"x", "s")) is Code.TREE
    bench.tree.hint()


def test_links_are_passed_over_and_counted(bench: Bench) -> None:
    """A link is no file: not scanned, not opened, not seen, but counted at every scan anew."""
    bench.write(b"a/x")
    bench.link(b"a/link")
    assert paths(bench) == paths(bench) == [b"a/x"]
    assert bench.tree.skipped == 1
    assert bench.tree.stat(b"a/link") is None
    with pytest.raises(FileVanished):
        read(bench, b"a/link")
    assert not bench.tree.remove(b"a/link")


def test_what_lies_behind_a_link_is_odd(bench: Bench) -> None:
    """A link in the place of a file or of a folder above it is told from what is not there, or is a file or folder."""
    bench.write(b"a/x")
    bench.link(b"a/link")
    assert [bench.tree.is_odd(path) for path in (b"a/link", b"a/link/y", b"a/link/b/y")] == [True, True, True]
    assert [bench.tree.is_odd(path) for path in (b"a/x", b"a", b"a/y", b"a/b/y", b"a/x/y")] == [False] * 5


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_path_leaves_the_tree(bench: Bench, path: bytes) -> None:
    """A path that could leave the root, or is a temporary name of ours, is refused by everything that takes one."""
    bench.write(b"a/b")
    for attempt in (
        lambda: read(bench, path),
        lambda: bench.tree.stat(path),
        lambda: place(bench, path),
        lambda: bench.tree.remove(path),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.code is Code.MISNAMED


def test_a_placed_file_is_whole_and_keeps_its_time(bench: Bench) -> None:
    """It has its bytes, its modification time and what it was said to be; the folders above it came with it."""
    placed = place(bench, b"a/b/c", b"12345")
    assert placed == bench.tree.stat(b"a/b/c")
    assert (placed.size, placed.mtime_ns) == (5, WHEN_NS)
    assert read(bench, b"a/b/c") == b"12345"
    assert paths(bench) == [b"a/b/c"]


@pytest.mark.parametrize(("given", "kept"), [(0o777, 0o640), (0o4755, 0o640), (0o600, 0o600), (0o444, 0o440)])
def test_a_placed_file_gets_no_more_than_the_mask(bench: Bench, given: int, kept: int) -> None:
    """Others get nothing, the group reads at most, and nothing becomes executable."""
    assert place(bench, b"x", mode=given).mode == kept


def test_placing_replaces_the_whole_file(bench: Bench) -> None:
    """The new file is another one; whoever had opened the old one still reads that."""
    before = place(bench, b"a/x", b"a long old text")
    with bench.tree.open(b"a/x") as old:
        after = place(bench, b"a/x", b"new")
        assert old.read() == b"a long old text"
    assert read(bench, b"a/x") == b"new"
    assert before.inode != after.inode


@pytest.mark.parametrize("size", [0, 5, 7, 1 << 40])
def test_content_of_another_size_is_refused(bench: Bench, size: int) -> None:
    """The old file stands, and nothing half-written is left."""
    place(bench, b"a/x", b"old")
    with pytest.raises(Refused) as refused:
        place(bench, b"a/x", b"placed", size=size)
    assert refused.value.code is Code.DAMAGED
    assert read(bench, b"a/x") == b"old"
    assert paths(bench) == [b"a/x"]


def test_nothing_is_placed_below_a_link_or_file(bench: Bench) -> None:
    """What stands where a folder is needed, or a folder in the file's place, is an error and stays."""
    bench.write(b"file")
    bench.write(b"folder/x")
    bench.link(b"link")
    assert code_of(lambda: place(bench, b"file/x")) is Code.TREE
    assert code_of(lambda: place(bench, b"link/x")) is Code.TREE
    assert code_of(lambda: place(bench, b"folder")) is Code.TREE
    assert paths(bench) == [b"file", b"folder/x"]


def test_a_removed_file_is_gone(bench: Bench) -> None:
    """The first removal finds it, the second does not, nor does one in a folder that never was."""
    bench.write(b"a/x")
    assert bench.tree.remove(b"a/x")
    assert not bench.tree.remove(b"a/x")
    assert not bench.tree.remove(b"b/c/x")
    assert bench.tree.stat(b"a/x") is None
    with pytest.raises(FileVanished):
        read(bench, b"a/x")


def test_what_is_set_aside_is_never_overwritten(bench: Bench) -> None:
    """Files set aside under one name stand side by side in the spool; one that is gone changes nothing."""
    for data in (b"first", b"second"):
        bench.write(b"a/x", data)
        bench.tree.set_aside(b"a/x", "name")
    bench.tree.set_aside(b"a/x", "name")
    assert bench.spooled() == {"name": b"first", "name.2": b"second"}
    assert paths(bench) == []


def test_what_is_replaced_lies_aside_first(bench: Bench) -> None:
    """Asked for, what a placed file replaces is in the spool under a free name; a file that is placed anew leaves nothing there."""
    bench.write(b"a/x", b"first")
    for data in (b"second", b"third"):
        bench.tree.place(b"a/x", io.BytesIO(data), size=len(data), mtime_ns=WHEN_NS, mode=0o640, aside="name")
    bench.tree.place(b"a/y", io.BytesIO(b"new"), size=3, mtime_ns=WHEN_NS, mode=0o640, aside="other")
    assert bench.spooled() == {"name": b"first", "name.2": b"second"}
    assert (read(bench, b"a/x"), read(bench, b"a/y")) == (b"third", b"new")
    with pytest.raises(Refused):
        bench.tree.place(b"a/x", io.BytesIO(b"long"), size=5, mtime_ns=WHEN_NS, mode=0o640, aside="short")
    assert read(bench, b"a/x") == b"third"
    assert "short" not in bench.spooled()


def test_a_file_is_kept_once(bench: Bench) -> None:
    """It lies in the spool whole, beside what was set aside; what has its name already stays, and can be read."""
    bench.write(b"a/x", b"aside")
    bench.tree.set_aside(b"a/x", "name")
    for name in ("name", "other"):
        bench.tree.keep(name, io.BytesIO(b"kept"), size=4, mtime_ns=WHEN_NS)
    assert bench.spooled() == {"name": b"aside", "other": b"kept"}
    with bench.tree.kept("other") as source:
        assert source.read() == b"kept"
    with pytest.raises(FileVanished), bench.tree.kept("another"):
        pass
    with pytest.raises(Refused):
        bench.tree.keep("long", io.BytesIO(b"kept"), size=5, mtime_ns=WHEN_NS)
    assert "long" not in bench.spooled()


@pytest.mark.parametrize("name", ["", "..", "a/b", "/x"])
def test_the_spool_takes_plain_names_only(bench: Bench, name: str) -> None:
    """A name that could leave the spool is refused, and the file stays."""
    bench.write(b"x")
    with pytest.raises(Refused):
        bench.tree.set_aside(b"x", name)
    if name:
        with pytest.raises(Refused):
            bench.tree.place(b"x", io.BytesIO(b""), size=0, mtime_ns=0, mode=0o640, aside=name)
    with pytest.raises(Refused):
        bench.tree.keep(name, io.BytesIO(b""), size=0, mtime_ns=0)
    with pytest.raises(Refused), bench.tree.kept(name):
        pass
    assert paths(bench) == [b"x"]


def test_the_hint_changes_with_the_folders(bench: Bench) -> None:
    """A file that comes, one in a new folder deep below, and one that goes change the hint; rest and scans do not."""
    bench.write(b"a/b/x")
    for change in (
        lambda: bench.write(b"a/b/y"),
        lambda: bench.write(b"a/b/c/d/z"),
        lambda: bench.write(b"a/b/c/d/z2"),
        lambda: bench.tree.remove(b"a/b/x"),
    ):
        bench.age_folders()
        before = bench.tree.hint()
        assert paths(bench)
        assert bench.tree.hint() == before
        change()
        assert bench.tree.hint() != before


def test_what_is_written_later_is_stamped_no_earlier(bench: Bench) -> None:
    """The tree's own clock tells which files may still change without a trace in their times; asking leaves none."""
    bench.write(b"a/x")
    before, hint = bench.tree.now_ns(), bench.tree.hint()
    assert bench.tree.now_ns() >= before > 0
    assert bench.tree.hint() == hint
    bench.write(b"a/y")
    found = bench.tree.stat(b"a/y")
    assert found is not None
    assert found.ctime_ns >= before
    assert (paths(bench), bench.spooled()) == ([b"a/x", b"a/y"], {})


def test_files_are_placed_together(bench: Bench) -> None:
    """Nothing of what was written is seen before it is put; then all of it is, each with its time and mode."""
    bench.write(b"a/x", b"old")
    with bench.tree.placing() as placing:
        for path in (b"b/z", b"a/x", b"a/y"):
            placing.write(path, io.BytesIO(b"new" + path), size=6, mtime_ns=WHEN_NS, mode=0o777)
        placing.sync()
        assert paths(bench) == [b"a/x"]
        assert read(bench, b"a/x") == b"old"
        placed = placing.put({b"a/x": "aside"})
    assert [file.path for file in placed] == [b"b/z", b"a/x", b"a/y"]
    assert all(bench.tree.stat(file.path) == file for file in placed)
    assert {(file.mtime_ns, file.mode) for file in placed} == {(WHEN_NS, 0o640)}
    assert [read(bench, file.path) for file in placed] == [b"newb/z", b"newa/x", b"newa/y"]
    assert bench.spooled() == {"aside": b"old"}


def test_what_was_not_put_is_gone(bench: Bench) -> None:
    """A batch that ends early, or with an error, leaves the tree as it was, without temporary files; so do files of a wrong length."""
    bench.write(b"a/x", b"old")
    with bench.tree.placing() as placing:
        placing.write(b"a/x", io.BytesIO(b"new"), size=3, mtime_ns=WHEN_NS, mode=0o640)
        placing.sync()
        with pytest.raises(Refused):
            placing.write(b"a/y", io.BytesIO(b"short"), size=9, mtime_ns=WHEN_NS, mode=0o640)
    assert paths(bench) == [b"a/x"]
    assert read(bench, b"a/x") == b"old"
    if isinstance(bench, DirectoryBench):
        assert [path.name for path in (bench.root / "a").iterdir()] == ["x"]


def test_a_path_is_placed_once_in_a_batch(bench: Bench) -> None:
    """A second file of one path is refused before anything was put; the next batch may place that path."""
    with bench.tree.placing() as placing:
        placing.write(b"x", io.BytesIO(b"x"), size=1, mtime_ns=WHEN_NS, mode=0o640)
        with pytest.raises(Refused) as refused:
            placing.write(b"x", io.BytesIO(b"y"), size=1, mtime_ns=WHEN_NS, mode=0o640)
    assert refused.value.code is Code.DAMAGED
    assert paths(bench) == []
    with bench.tree.placing() as placing:
        for data in (b"1", b"2"):
            placing.write(b"x", io.BytesIO(data), size=1, mtime_ns=WHEN_NS, mode=0o640)
            placing.sync()
            placing.put({})
    assert read(bench, b"x") == b"2"

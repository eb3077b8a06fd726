"""What only a tree in a real directory shows: permissions, owners, disks, links that lead elsewhere."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.store.tree import DirectoryTree, FileVanished, TreeFile
from tests.unit.unprivileged import NOBODY, as_nobody, fill, make_read_only, names_in, reachable_folder, small_disk


@pytest.fixture
def root() -> Iterator[Path]:
    """A tree with one file in a folder, that everybody may enter and only root may write."""
    with reachable_folder() as folder:
        (folder / "a").mkdir(mode=0o755)
        (folder / "a" / "x").write_bytes(b"data")
        yield folder


def tree_of(root: Path) -> DirectoryTree:
    """A tree whose spool lies beside it."""
    return DirectoryTree(root, root.with_name(root.name + "-spool"))


def paths(tree: DirectoryTree) -> list[bytes]:
    """What a scan finds."""
    return [file.path for file in tree.scan(lambda _path: True)]


def place(tree: DirectoryTree, path: bytes, data: bytes = b"placed", aside: str = "") -> TreeFile:
    """Place a file."""
    return tree.place(path, io.BytesIO(data), size=len(data), mtime_ns=10**18, mode=0o640, aside=aside)


def read(tree: DirectoryTree, path: bytes) -> bytes:
    """Read a whole file."""
    with tree.open(path) as source:
        return source.read()


def test_a_folder_that_cannot_be_read_is_an_error(root: Path) -> None:
    """It is never taken for an empty one: its files would look deleted."""
    (root / "a").chmod(0o700)
    assert as_nobody(lambda: paths(tree_of(root))) == "P222: this account may not enter folder a of the tree"


def test_what_may_not_be_done_is_said(root: Path) -> None:
    """Reading, placing and deleting name the file and what lacks."""
    (root / "a" / "x").chmod(0o600)
    tree = tree_of(root)
    assert as_nobody(lambda: read(tree, b"a/x")) == "P222: this account may not read a/x"
    assert as_nobody(lambda: place(tree, b"a/y")) == "P222: this account may not place a/y"
    assert as_nobody(lambda: tree.remove(b"a/x")) == "P222: this account may not delete a/x"
    assert paths(tree) == [b"a/x"]


def test_a_placed_file_belongs_to_its_folders_owner(root: Path) -> None:
    """Root gives the file, and folders that it makes, to the owner of the folder above, with 0750 for folders."""
    os.chown(root / "a", NOBODY, 1234)
    place(tree_of(root), b"a/b/c/x")
    for path in ("a/b", "a/b/c", "a/b/c/x"):
        found = (root / path).stat()
        assert (found.st_uid, found.st_gid) == (NOBODY, 1234)
        assert stat.S_IMODE(found.st_mode) == (0o640 if path.endswith("x") else 0o750)


def test_who_may_not_give_files_away_still_places_them(root: Path) -> None:
    """Without the right to change owners a file keeps that of the account."""
    (root / "a").chmod(0o777)
    assert as_nobody(lambda: place(tree_of(root), b"a/y").size) == "6"
    assert (root / "a" / "y").stat().st_uid == NOBODY


def test_no_component_is_followed_out_of_the_tree(root: Path, tmp_path: Path) -> None:
    """Behind a folder that is a link nothing is read, placed, deleted or scanned; the link is counted."""
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "out").symlink_to(tmp_path)
    tree = tree_of(root)
    assert paths(tree) == [b"a/x"]
    assert tree.skipped == 1
    with pytest.raises(FileVanished):
        read(tree, b"out/secret")
    assert tree.stat(b"out/secret") is None
    assert not tree.remove(b"out/secret")
    tree.set_aside(b"out/secret", "s")
    with pytest.raises(PoolpairError, match="out in the tree is a link or no folder"):
        place(tree, b"out/new")
    assert names_in(tmp_path) == ["secret"]


def test_a_file_that_is_a_link_is_replaced_not_followed(root: Path, tmp_path: Path) -> None:
    """Placing over a link puts the file in the link's place, and the link's target stays."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (root / "a" / "link").symlink_to(victim)
    place(tree_of(root), b"a/link")
    assert victim.read_bytes() == b"precious"
    assert not (root / "a" / "link").is_symlink()


def test_empty_folders_make_way_for_a_file(root: Path) -> None:
    """So does what a crash left of placing in them; one that holds anything else stays, and that is said."""
    (root / "a" / "b" / "c").mkdir(parents=True)
    (root / "a" / "b" / ".poolpair-left").write_bytes(b"half")
    tree = tree_of(root)
    place(tree, b"a/b")
    assert read(tree, b"a/b") == b"placed"
    (root / "d" / "e").mkdir(parents=True)
    (root / "d" / "link").symlink_to(root / "a")
    with pytest.raises(PoolpairError, match="could not place d"):
        place(tree, b"d")
    assert names_in(root) == ["a", "d"]
    assert names_in(root / "d") == ["link"]


def test_devices_are_passed_over_and_never_waited_for(root: Path) -> None:
    """A pipe is counted, and opening it says at once that there is no file."""
    os.mkfifo(root / "a" / "pipe")
    tree = tree_of(root)
    assert paths(tree) == [b"a/x"]
    assert tree.skipped == 1
    with pytest.raises(FileVanished):
        read(tree, b"a/pipe")
    tree.set_aside(b"a/pipe", "s")
    assert (root / "a" / "pipe").is_fifo()


def test_names_are_bytes(root: Path) -> None:
    """A name that is no text in any encoding is scanned, read, placed and removed like any other."""
    tree = tree_of(root)
    place(tree, b"a/\xff\xfe\n")
    assert paths(tree) == [b"a/x", b"a/\xff\xfe\n"]
    assert read(tree, b"a/\xff\xfe\n") == b"placed"
    assert tree.remove(b"a/\xff\xfe\n")


def test_leftovers_of_a_crash_are_not_scanned_and_do_not_pile_up(root: Path) -> None:
    """A temporary file that a killed placing left is invisible, and the next placing of that path takes it away."""
    tree = tree_of(root)
    seen: list[str] = []

    class Peeking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            seen.extend(name for name in names_in(root / "a") if name.startswith(".poolpair-"))
            return super().read(size)

    tree.place(b"a/y", Peeking(b"1"), size=1, mtime_ns=0, mode=0o640)
    leftover = root / "a" / seen[0]
    leftover.write_bytes(b"half")
    assert paths(tree) == [b"a/x", b"a/y"]
    place(tree, b"a/y")
    assert names_in(root / "a") == ["x", "y"]


def test_a_file_systems_own_folder_is_not_scanned(root: Path) -> None:
    """The closed lost+found at the top of a disk stops nobody."""
    (root / "lost+found").mkdir(mode=0o700)
    assert as_nobody(lambda: paths(tree_of(root))) == "[b'a/x']"


def test_an_unmount_half_way_is_not_a_deletion(tmp_path: Path) -> None:
    """A scan goes on in the root that it began with, even if another folder takes its name meanwhile."""
    moved = tmp_path / "tree"
    moved.mkdir()
    place(tree_of(moved), b"a/x")
    place(tree_of(moved), b"b/y")
    found = tree_of(moved).scan(lambda _path: True)
    first = next(found)
    moved.rename(tmp_path / "elsewhere")
    moved.mkdir()
    assert [first.path, *(file.path for file in found)] == [b"a/x", b"b/y"]


def test_a_full_disk_is_said_and_the_old_file_stands() -> None:
    """Placing what does not fit changes nothing and leaves nothing."""
    with small_disk() as disk:
        tree = tree_of(disk)
        place(tree, b"x", b"old")
        fill(disk).rename(disk / "z")
        with pytest.raises(PoolpairError, match="no space is left: could not place x") as error:
            place(tree, b"x", b"y" * 100_000)
        assert error.value.code is Code.TREE
        assert names_in(disk) == ["x", "z"]
        assert read(tree, b"x") == b"old"


def test_a_read_only_disk_is_said() -> None:
    """Placing and deleting fail in words, looking works."""
    with small_disk() as disk:
        tree = tree_of(disk)
        place(tree, b"x", b"old")
        make_read_only(disk)
        for attempt in (lambda: place(tree, b"x"), lambda: tree.remove(b"x")):
            with pytest.raises(PoolpairError, match="Read-only") as error:
                attempt()
            assert error.value.code is Code.TREE
        assert paths(tree) == [b"x"]


def test_a_tree_on_another_disk_than_its_spool_has_its_own_clock(tmp_path: Path) -> None:
    """It is asked there, and leaves nothing; a disk that may not be written says nothing."""
    with small_disk() as disk:
        tree = DirectoryTree(disk, tmp_path / "spool")
        before = tree.now_ns()
        place(tree, b"x")
        found = tree.stat(b"x")
        assert found is not None
        assert found.ctime_ns >= before > 0
        assert names_in(disk) == ["x"]
        make_read_only(disk)
        assert tree.now_ns() == 0
    assert DirectoryTree(tmp_path / "gone", tmp_path / "spool").now_ns() == 0


def test_the_spool_may_lie_on_another_disk(tmp_path: Path) -> None:
    """What is set aside across disks is copied whole, with its time, and leaves the tree."""
    with small_disk() as disk:
        tree = DirectoryTree(disk, tmp_path / "spool")
        for data in (b"first", b"second"):
            place(tree, b"a/x", data)
            tree.set_aside(b"a/x", "kept")
        assert paths(tree) == []
    assert {path.name: path.read_bytes() for path in (tmp_path / "spool").iterdir()} == {
        "kept": b"first",
        "kept.2": b"second",
    }
    assert (tmp_path / "spool" / "kept").stat().st_mtime_ns == 10**18
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700


def test_what_is_replaced_is_copied_to_another_disk(tmp_path: Path) -> None:
    """Where no link can be made the old file is copied into the spool; if that has no room, the old file stands."""
    with small_disk("64k") as disk:
        tree = DirectoryTree(tmp_path / "tree", disk / "spool")
        (tmp_path / "tree").mkdir()
        for data in (b"first", b"x" * 100_000):
            place(tree, b"x", data, aside="kept")
        with pytest.raises(PoolpairError, match="no space is left: could not set x aside") as error:
            place(tree, b"x", b"third", aside="kept")
        assert error.value.code is Code.SCRATCH
        assert (disk / "spool" / "kept").read_bytes() == b"first"
        assert names_in(disk / "spool") == ["kept"]
    assert (tmp_path / "tree" / "x").stat().st_size == 100_000
    assert paths(tree) == [b"x"]


def test_a_spool_without_space_keeps_the_file_in_the_tree(tmp_path: Path) -> None:
    """If the spool does not take the file, that is said, no half copy stays, and the file stands."""
    tmp_path.joinpath("x").write_bytes(b"x" * 100_000)
    with small_disk("64k") as disk:
        tree = DirectoryTree(tmp_path, disk / "spool")
        with pytest.raises(PoolpairError, match="no space is left: could not set x aside") as error:
            tree.set_aside(b"x", "kept")
        assert error.value.code is Code.SCRATCH
        assert names_in(disk / "spool") == []
    assert paths(tree) == [b"x"]


def test_the_name_of_a_file_that_stands_is_made_durable_once_per_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever put it there may have been killed before its folder was synced, and the power may go as soon as it is acknowledged."""
    for name in ("one", "two"):
        (tmp_path / "tree" / "folder").mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / "folder" / name).write_bytes(b"there")
    synced: list[int] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    with DirectoryTree(tmp_path / "tree", tmp_path / "spool").placing() as placing:
        for path in (b"folder/one", b"folder/two"):
            placing.stands(path)
    assert synced == [(tmp_path / "tree" / "folder").stat().st_ino]

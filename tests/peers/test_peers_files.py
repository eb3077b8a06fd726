"""Bugs that peers of poolpair had, each as a test: files, names and disks (T10 to T14)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from poolpair.errors import Code
from poolpair.model import Channel
from poolpair.store.tree import Tree
from tests.badinput.ground import Ground, first_copy, make_ground

FILES = Channel.CONFERENCES


@pytest.mark.parametrize("damage", ["half", "empty", "zeros", "zero tail"])
def test_t10_a_half_written_package_is_taken_for_a_whole_one(ground: Ground, damage: str) -> None:
    """A package that is cut or filled with zeros is refused and sent anew; what lies in Temp is never looked at."""
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'new', 1)")
    ground.turn("a")
    (path,) = ground.standing("b")
    whole = path.read_bytes()
    (ground.share("b") / "Temp" / path.name).write_bytes(whole[: len(whole) // 2])
    half = len(whole) // 2
    path.write_bytes(
        {"half": whole[:half], "empty": b"", "zeros": bytes(len(whole)), "zero tail": whole[:half] + bytes(half)}[
            damage
        ]
    )
    ground.turn("b")
    assert [file.reason[:4] for file in ground.quarantined("b")] == [Code.DAMAGED]
    assert ground.ask("b", "SELECT count(*) FROM item WHERE name = 'new'") == [(0,)]
    ground.whole()
    assert (ground.share("b") / "Temp" / path.name).exists()


ODD = ["Case", "case", "CASE", "50%20off", "a b", " lead", "tail.", "semi;colon", "quo'te\"s", "back\\slash", "*?[x]"]
ODD += ["ä", "a\u0308", "🙂", "-rf", "$(x)"]


def test_t10_names_with_odd_characters_or_another_case_are_lost_or_mixed_up(ground: Ground) -> None:
    """Keys and file names that differ only in case or form, hold percent signs, quotes or blanks, or are no text, arrive as they are."""
    with ground.sql("a") as connection:
        connection.executemany(
            "INSERT INTO item VALUES ('u@a', ?, ?)", [(name, name) for name in [*ODD, "line\nend", "nul\0l"]]
        )
    for name in ODD:
        ground.write_file("a", name, name.encode() * 40)
    odd = os.fsencode(ground.folder) + b"/data-a/up/u@a/no\xfftext\xc3.bin"
    Path(os.fsdecode(odd)).write_bytes(b"no text in its name")
    ground.whole()
    assert len(ground.files("b")) == 2 * 3 + len(ODD) + 1
    for name in ODD:
        (ground.folder / "data-a" / "up" / "u@a" / f"{name}.bin").unlink()
    ground.do("a", "DELETE FROM item WHERE name = value AND owner = 'u@a'")
    ground.whole()
    assert ground.ask("b", "SELECT count(*) FROM item WHERE name = value") == [(0,)]


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A file system of its own; gives the file that fills it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], check=True)
    try:
        yield place / "filler"
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(filler: Path) -> None:
    """Leave no space."""
    with filler.open("wb", buffering=0) as sink:
        try:
            while True:
                sink.write(bytes(4096))
        except OSError:
            return


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("share-b", Code.SHARE_FULL),
        ("share-a", Code.SHARE_FULL),
        ("data-a/app.sqlite.poolpair", Code.SCRATCH),
        ("data-b/up", Code.TREE),
    ],
    ids=["partner's share", "own share", "scratch folder", "files of the copy"],
)
def test_t11_a_full_disk_stops_everything_silently_or_for_good(tmp_path: Path, place: str, code: Code) -> None:
    """Wherever space runs out, status says which place, nothing is lost or half there, and with space it goes on by itself."""
    made = make_ground(tmp_path)
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    if place == "data-b/up":
        _take_files_away(made)
    with small_disk(tmp_path / place, "2m") as filler:
        first_copy(made)
        content = os.urandom(100_000)
        fill(filler)
        made.do("a", "INSERT INTO item VALUES ('u@a', 'new', 1)")
        made.do("b", "INSERT INTO item VALUES ('u@b', 'new', 1)")
        made.write_file("a", "new", content)
        for _ in range(4):
            made.clock.advance(130)
            made.turn(force=True)
        said = [made.fault(pool, channel) for pool in "ab" for channel in (Channel.USERS, FILES)]
        assert any(code in words for words in said), said
        assert made.files("b").get("up/u@a/new.bin") in (None, content)
        filler.unlink()
        made.whole()
        for pool in ("a", "b"):
            made.stop(pool)


def _take_files_away(made: Ground) -> None:
    """Begin with an empty folder of files at B, which the disk will be mounted over."""
    for path in (made.folder / "data-b" / "up").rglob("*.bin"):
        path.unlink()
    made.do("b", "DELETE FROM upload")


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Ground]:
    """A pair with 3000 groups of each pool."""
    made = first_copy(make_ground(tmp_path, rows=3000))
    yield made
    for pool in tuple(made.sites):
        made.stop(pool)


def test_t12_a_wiped_database_looks_like_all_deleted(crowded: Ground) -> None:
    """An emptied table at A deletes nothing at B: the package is held, both sides say so, and refusing it brings all back."""
    before = crowded.rows("b")
    crowded.tamper("a", "CREATE TABLE kept AS SELECT * FROM item WHERE owner = 'u@a'", "DELETE FROM item")
    crowded.settle()
    assert crowded.rows("b") == before
    assert crowded.channel("b").imports.held == 1
    assert crowded.status("a").exit_status == crowded.status("b").exit_status == 1
    assert crowded.command("b", "held", "refuse", "users").exit_code == 0
    crowded.do("a", "INSERT INTO item SELECT * FROM kept")
    crowded.settle()
    assert crowded.rows("b") == before


def test_t12_an_empty_mount_point_looks_like_all_deleted(ground: Ground) -> None:
    """Files that are all gone at once, however few, are held at B; mounted again, they were never missed."""
    top = ground.folder / "data-a" / "up"
    top.rename(ground.folder / "away")
    top.mkdir()
    before = ground.files("b")
    for _ in range(3):
        ground.clock.advance(130)
        ground.settle()
    assert ground.files("b") == before
    assert ground.channel("b", FILES).imports.held == 1


class Growing:
    """A tree in which one file grows by a piece whenever it is opened, as an upload does."""

    def __init__(self, inner: Tree, path: Path, pieces: int) -> None:
        self._inner = inner
        self._path = path
        self.pieces = pieces

    @contextmanager
    def open(self, path: bytes) -> Iterator[BinaryIO]:
        with self._inner.open(path) as source:
            if path.endswith(b"growing.bin") and self.pieces:
                self.pieces -= 1
                with self._path.open("ab") as sink:
                    sink.write(b"another piece " * 1000)
            yield source

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_t13_a_file_that_grows_while_it_is_copied_arrives_cut(ground: Ground) -> None:
    """While it grows nothing of it is at B, and other files are; at rest it arrives whole."""
    path = ground.write_file("a", "growing", b"first piece")
    ground.write_file("a", "other", b"whole")
    site = ground.sites["a"]
    assert site.tree is not None
    tree = Growing(site.tree, path, pieces=5)
    ground.sites["a"] = replace(site, tree=tree)  # type: ignore[arg-type]
    while tree.pieces:
        ground.clock.advance(130)
        ground.turn()
        arrived = ground.files("b").get("up/u@a/growing.bin")
        assert arrived is None or arrived == path.read_bytes()
    ground.clock.advance(130)
    ground.whole()
    assert ground.files("b")["up/u@a/growing.bin"] == path.read_bytes()


class Unheard:
    """A tree that never tells that something changed, as on a network file system or after an overflow of notifications."""

    def __init__(self, inner: Tree) -> None:
        self._inner = inner

    def hint(self) -> object:
        return "nothing"

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_t14_a_change_without_a_notification_is_never_seen(ground: Ground) -> None:
    """Notifications only make it faster: new, changed and deleted files are found within the interval without any."""
    site = ground.sites["a"]
    assert site.tree is not None
    ground.sites["a"] = replace(site, tree=Unheard(site.tree))  # type: ignore[arg-type]
    ground.turn()
    ground.write_file("a", "new", b"new")
    ground.write_file("a", "f1", b"changed")
    (ground.folder / "data-a" / "up" / "u@a" / "f2.bin").unlink()
    ground.turn()
    assert "up/u@a/new.bin" not in ground.files("b"), "the hint is all that a quick look asks"
    ground.clock.advance(121)
    ground.whole()
    assert ground.files("b")["up/u@a/f1.bin"] == b"changed"

"""The tree at its worst moments: files that vanish, cannot be read, or change without a trace of size and time."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel, ExportStatus
from poolpair.pipeline import capture
from poolpair.store.tree import FileVanished, Tree, TreeFile
from tests.pair import Pair, make_pair

CONFERENCES = Channel.CONFERENCES


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A pair after its first copy."""
    made = make_pair(tmp_path)
    for pool in ("a", "b"):
        made.start(pool)
    made.settle()
    return made


def upload(pair: Pair, name: str, content: bytes) -> Path:
    """A file at A."""
    path = pair.folder / "data-a" / "share%2ea%2eexample" / "http_file_share" / name
    path.write_bytes(content)
    return path


def copied(pair: Pair, path: Path) -> bytes | None:
    """The same file at B."""
    return pair.files("b").get(str(path.relative_to(pair.folder / "data-a")))


def hindered(inner: Tree, before_open: Callable[[bytes], None]) -> Tree:
    """The tree, with something that happens whenever a file is opened."""

    class Hindered:
        def open(self, path: bytes) -> AbstractContextManager[BinaryIO]:
            before_open(path)
            return inner.open(path)

        def __getattr__(self, name: str) -> object:
            return getattr(inner, name)

    return cast("Tree", Hindered())


def later(pair: Pair) -> None:
    """After the next whole look at the tree."""
    pair.clock.advance(130)
    pair.settle()


def test_a_change_that_hides_is_found(pair: Pair) -> None:
    """Other bytes under the same size, time and inode, as some tools leave them, are seen by the time of the change itself."""
    path = upload(pair, "sly.bin", b"one")
    later(pair)
    info = path.stat()
    with path.open("r+b") as file:
        file.write(b"two")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns, path.stat().st_ino) == (3, info.st_mtime_ns, info.st_ino)
    later(pair)
    assert copied(pair, path) == b"two"


def test_two_writes_within_one_tick_are_both_seen(pair: Pair) -> None:
    """On a file system whose clock stands still for a while: what was read in the tick of its last write is read once more, not again."""
    site = pair.sites["a"]
    inner, read = site.tree, list[bytes]()
    assert inner is not None
    coarse = Coarse(hindered(inner, read.append))
    pair.sites["a"] = replace(site, tree=cast("Tree", coarse))
    path = upload(pair, "slot.bin", b"one")
    coarse.stamp(path)
    later(pair)
    assert copied(pair, path) == b"one"
    with path.open("r+b") as file:
        file.write(b"two")
    later(pair)
    assert copied(pair, path) == b"two"
    coarse.tick += 1
    later(pair)
    read.clear()
    later(pair)
    assert read == []


class Coarse:
    """A tree whose clock is set by hand: all of what was written lately bears the time of one tick."""

    def __init__(self, inner: Tree) -> None:
        self.tick = 1
        self._inner = inner
        self._stamps: dict[bytes, int] = {}

    def stamp(self, path: Path) -> None:
        """A file was written within this tick."""
        self._stamps[path.name.encode()] = self.tick

    def _stamped(self, file: TreeFile) -> TreeFile:
        tick = self._stamps.get(file.path.rpartition(b"/")[2])
        return file if tick is None else replace(file, mtime_ns=tick, ctime_ns=tick)

    def scan(self, wanted: Callable[[bytes], bool]) -> Iterator[TreeFile]:
        return map(self._stamped, self._inner.scan(wanted))

    def stat(self, path: bytes) -> TreeFile | None:
        found = self._inner.stat(path)
        return found and self._stamped(found)

    def now_ns(self) -> int:
        return self.tick

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_a_look_that_was_cut_off_goes_on_from_there(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was hashed is noted by the gigabyte (here: by the file), and each file is a sign of life for the watchdog."""
    hashed: list[bytes] = []
    alive: list[int] = []
    digest = capture._hash

    def hashing(tree: Tree, path: bytes, alive: Callable[[], object]) -> str:
        if len(hashed) == 2:
            raise KeyboardInterrupt
        hashed.append(path)
        return digest(tree, path, alive)

    monkeypatch.setattr(capture, "BATCH_BYTES", 10)
    monkeypatch.setattr(capture, "_hash", hashing)
    pair.sites["a"].memory.alive = lambda: alive.append(1)
    for number in range(4):
        upload(pair, f"large{number}.bin", b"x" * 20)
    with pytest.raises(KeyboardInterrupt):
        later(pair)
    assert len(alive) >= 2
    first, hashed[:] = set(hashed), [b""] * 3
    later(pair)
    assert first.isdisjoint(hashed)
    assert len(hashed) == 5


def test_a_file_that_vanishes_while_a_package_is_applied_hinders_nothing(pair: Pair) -> None:
    """Somebody deletes the copy at the very moment in which it is compared: it is simply placed."""
    path = upload(pair, "gone.bin", b"one")
    later(pair)
    path.write_bytes(b"two")
    (pair.folder / "data-b" / path.relative_to(pair.folder / "data-a")).write_bytes(b"own")
    site = pair.sites["b"]
    assert site.tree is not None

    def vanish(path: bytes) -> None:
        if path.endswith(b"gone.bin"):
            raise FileVanished

    pair.sites["b"] = replace(site, tree=hindered(site.tree, vanish))
    pair.turn("a")
    pair.clock.advance(130)
    pair.turn("a")
    pair.turn("b")
    pair.sites["b"] = site
    later(pair)
    assert copied(pair, path) == b"two"


def test_one_unreadable_file_holds_up_its_conference_only(pair: Pair) -> None:
    """The others go on, status names the file, and it follows as soon as it can be read."""
    site = pair.sites["a"]
    assert site.tree is not None

    def refuse(path: bytes) -> None:
        if path.endswith(b"secret.bin"):
            raise PoolpairError(Code.TREE, "this account may not read secret.bin")

    pair.sites["a"] = replace(site, tree=hindered(site.tree, refuse))
    secret, plain = upload(pair, "secret.bin", b"one"), upload(pair, "plain.bin", b"two")
    later(pair)
    assert copied(pair, plain) == b"two"
    assert copied(pair, secret) is None
    found = pair.channel("a", CONFERENCES).export
    assert any("secret.bin" in words for words in found.left_behind)
    assert found.status is not ExportStatus.FINAL
    assert pair.status("a").exit_status == 1
    pair.sites["a"] = site
    later(pair)
    assert copied(pair, secret) == b"one"
    assert pair.channel("a", CONFERENCES).export.status is ExportStatus.FINAL


def uploads(pair: Pair, host: str, count: int) -> Path:
    """Files of a host at A that are copied; returns their folder."""
    folder = pair.folder / "data-a" / host / "http_file_share"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"kept{number}.bin").write_bytes(b"%d" % number)
    later(pair)
    assert sum(path.startswith(f"{host}/http_file_share/kept") for path in pair.files("b")) == count
    return folder


def test_a_folder_that_became_a_link_is_not_deleted(pair: Pair) -> None:
    """Moved to a larger disk and linked: its files stay at the copy and status names them; put back, all is as before."""
    uploads(pair, "share%2ea%2eexample", 1)
    folder, before = uploads(pair, "share2%2ea%2eexample", 10), pair.files("b")
    folder.rename(pair.folder / "larger")
    folder.symlink_to(pair.folder / "larger")
    later(pair)
    assert pair.files("b") == before
    found = pair.channel("a", CONFERENCES).export
    assert sum("kept" in words and "link" in words for words in found.left_behind) == 10
    assert found.status is not ExportStatus.FINAL
    folder.unlink()
    (pair.folder / "larger").rename(folder)
    later(pair)
    assert pair.files("b") == before
    assert pair.channel("a", CONFERENCES).export.status is ExportStatus.FINAL


def test_a_folder_with_a_stale_handle_is_not_empty(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file server says of a folder that it does not know it any more: the look fails as a whole, and nothing is taken for deleted."""
    uploads(pair, "share2%2ea%2eexample", 10)
    before, real = pair.files("b"), os.open

    def stale(path: str | bytes, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == b"share2%2ea%2eexample":
            raise OSError(errno.ESTALE, "Stale file handle")
        return real(path, flags, mode, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", stale)
        later(pair)
    fault = pair.channel("a", CONFERENCES).export.fault
    assert fault is not None
    assert fault.code is Code.TREE
    assert "Stale" in fault.detail
    later(pair)
    assert pair.files("b") == before
    assert pair.channel("a", CONFERENCES).export.status is ExportStatus.FINAL


def test_a_held_package_has_touched_no_file(pair: Pair) -> None:
    """The guard of the rows is asked before the first file is placed, and a refusal leaves everything as it was."""
    path = upload(pair, "kept.bin", b"old")
    with pair.sql("a") as connection:
        row = "SELECT 'share.a.example', '', 'uploads', printf('slot-%d', value), 1, 'x', 'xml', '<r/>' FROM n"
        connection.execute(
            "WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 1500)"
            f' INSERT INTO prosodyarchive (host, user, store, key, "when", "with", type, value) {row}'
        )
    later(pair)
    assert copied(pair, path) == b"old"
    path.write_bytes(b"new")
    with pair.sql("a") as connection:
        connection.execute("DELETE FROM prosodyarchive WHERE key LIKE 'slot-%'")
    later(pair)
    assert pair.channel("b", CONFERENCES).imports.held == 1
    assert copied(pair, path) == b"old"


def test_rows_without_a_home_are_said_at_once(pair: Pair) -> None:
    """They are counted by the pass that sees them, not by the next whole count; once given up they are forgotten."""
    with pair.sql("a") as connection:
        connection.execute("INSERT INTO prosody VALUES ('elsewhere.example', 'x', 'accounts', 'salt', 'string', 'x')")
    pair.turn("a")
    assert pair.channel("a").imports.unhomed == 1
    assert pair.status("a").exit_status == 1


def test_a_migration_on_both_sides_while_a_package_stands_goes_on(pair: Pair) -> None:
    """What stands has the old columns and fits nowhere any more: it is cut again with the new ones."""
    pair.stop("b")
    with pair.sql("a") as connection:
        connection.execute("UPDATE prosody SET value = 'before' WHERE user = 'myriel' AND key = 'napoleon@b.example'")
    pair.turn("a")
    assert pair.package_files("b")
    for pool in ("a", "b"):
        with pair.sql(pool) as connection:
            connection.execute("ALTER TABLE prosody ADD COLUMN extra TEXT DEFAULT 'x'")
    pair.start("b")
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
    assert pair.channel("a").export.status is ExportStatus.FINAL

"""An operator's `verify` reads the files of both sides again; other comparisons trust the catalogue."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import pytest

from poolpair.decisions import begin_verify
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.pipeline.site import outbound_name, owed_name
from poolpair.state import Outbound, Owed, Seed, VerifyResult
from poolpair.store.tree import Tree
from tests.badinput.ground import Ground, first_copy, make_ground

FILES = Channel.CONFERENCES


@dataclass
class ReadTree:
    """A tree that remembers what was read, and in which some files cannot be."""

    inner: Tree
    read: list[bytes] = field(default_factory=list)
    broken: set[bytes] = field(default_factory=set)

    def open(self, path: bytes) -> AbstractContextManager[BinaryIO]:
        self.read.append(path)
        if path in self.broken:
            raise PoolpairError(Code.TREE, "cannot read: Input/output error")
        return self.inner.open(path)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """Two pools before their first copy; B's reads are watched."""
    made = make_ground(tmp_path)
    yield made
    for pool in tuple(made.sites):
        made.stop(pool)


def watch(ground: Ground) -> ReadTree:
    """Watch what B reads from now on."""
    site = ground.sites["b"]
    assert site.tree is not None
    tree = ReadTree(site.tree)
    ground.sites["b"] = replace(site, tree=tree)  # type: ignore[arg-type]
    return tree


def rot(ground: Ground, name: str) -> Path:
    """Other bytes in a file of A's at B, with size and everything that the catalogue knows as they were."""
    path = ground.folder / "data-b" / "up" / "u@a" / f"{name}.bin"
    content = path.read_bytes()
    path.write_bytes(bytes(byte ^ 1 for byte in content))
    seen = path.stat()
    with ground.sql("b") as connection:
        changed = connection.execute(
            "UPDATE poolpair_file SET mtime_ns = ?, ctime_ns = ?, inode = ? WHERE path = ?",
            (seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino, os.fsencode(f"up/u@a/{name}.bin")),
        )
        assert changed.rowcount == 1
    return path


def verified(ground: Ground, *, repair: bool = False) -> VerifyResult:
    """What A's operator learns."""
    begin_verify(ground.sites["a"], FILES, repair=repair)
    ground.settle()
    result = ground.channel("a", FILES).export.last_verify
    assert result is not None
    assert result.reason == "verify"
    return result


def test_a_rotten_file_of_the_copy_is_found_and_healed(ground: Ground) -> None:
    """No scan sees it, `verify` does, and `verify --repair` puts it right; what was there is set aside."""
    first_copy(ground)
    path = rot(ground, "f1")
    ground.clock.advance(130)
    ground.settle()
    assert ground.files("a") != ground.files("b")
    assert ground.channel("b", FILES).imports.foreign_writes == 0
    found = verified(ground)
    assert not found.equal
    assert found.differing_buckets == 1
    healed = verified(ground, repair=True)
    assert healed.equal
    assert healed.repaired
    assert path.read_bytes() == b"a1" * 50
    ground.whole()


def test_only_a_verify_costs_a_reading_and_only_once(ground: Ground) -> None:
    """B reads its copy once for a verify with a repair in it, its own files not at all, and nothing for other comparisons."""
    first_copy(ground)
    tree = watch(ground)
    with ground.sites["a"].store.transaction() as tx:
        out = tx.load(Outbound, outbound_name(FILES))
        assert out is not None
        tx.save(outbound_name(FILES), replace(out, seed=Seed(reason="a cure")))
    ground.settle()
    assert tree.read == []
    ground.tamper("b", "UPDATE upload SET note = 'forged' WHERE owner = 'u@a' AND name = 'f2'")
    ground.settle()
    assert verified(ground, repair=True).repaired
    assert sorted(tree.read) == [f"up/u@a/f{n}.bin".encode() for n in range(3)]


def test_a_first_copy_reads_nothing_again(ground: Ground) -> None:
    """Neither side is asked to read anew what was just written."""
    from poolpair.wiring import initialise

    for pool in ("a", "b"):
        initialise(ground.config(pool))
        ground.start(pool)
    tree = watch(ground)
    ground.whole()
    assert [path for path in tree.read if b"u@a" in path] == []


def test_a_file_that_cannot_be_read_counts_as_different(ground: Ground) -> None:
    """Nobody knows that it is right, so `verify` does not say equal; readable again, it does."""
    first_copy(ground)
    tree = watch(ground)
    tree.broken.add(b"up/u@a/f1.bin")
    assert not verified(ground).equal
    tree.broken.clear()
    assert verified(ground).equal
    ground.whole()


def test_a_reading_that_was_interrupted_goes_on(ground: Ground) -> None:
    """Killed after the files were put in doubt, the target reads them before it answers."""
    first_copy(ground)
    rot(ground, "f0")
    tree = watch(ground)
    begin_verify(ground.sites["a"], FILES, repair=False)

    def dies(*_: object) -> Iterator[object]:
        raise KeyboardInterrupt

    tree.scan = dies  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        ground.settle()
    owed = ground.sites["b"].store.read(Owed, owed_name(FILES))
    assert owed is not None
    assert (owed.reread, owed.doubted) == (True, True)
    ground.stop("b")
    ground.start("b")
    ground.settle()
    result = ground.channel("a", FILES).export.last_verify
    assert result is not None
    assert not result.equal

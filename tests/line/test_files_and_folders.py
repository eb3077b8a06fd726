"""A name that was a file's becomes a folder's, or the other way round: the copy follows, and nothing that somebody made there is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from poolpair.model import Channel, ExportStatus
from poolpair.pipeline.capture import scan
from poolpair.pipeline.site import FileHome
from poolpair.store.tree import Tree
from poolpair.store.tree_placing import DirectoryPlacing
from tests.pair import Pair, make_pair


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A pair whose profile carries everything below `docs`, after its first copy."""
    made = make_pair(tmp_path)
    for pool in ("a", "b"):
        made.start(pool)
        made.sites[pool] = replace(made.sites[pool], file_home=whose)
    write(made, "other", b"other")
    look(made)
    assert at_rest(made) == {"other": b"other"}
    return made


def whose(path: bytes) -> FileHome | None:
    """As a profile says it."""
    return FileHome("a", path.decode()) if path.startswith(b"docs/") else None


def write(pair: Pair, name: str, data: bytes) -> None:
    """The application of A writes a file, and the folders above it."""
    path = pair.folder / "data-a" / "docs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def delete(pair: Pair, name: str, *folders: str) -> None:
    """It deletes a file, and then folders."""
    (pair.folder / "data-a" / "docs" / name).unlink()
    for folder in folders:
        (pair.folder / "data-a" / "docs" / folder).rmdir()


def look(pair: Pair) -> None:
    """A whole look at the tree of A, and what follows from it."""
    pair.sites["a"].memory.scanned_s = None
    pair.settle()


def files(pair: Pair, pool: str) -> dict[str, bytes]:
    """Every file below `docs`."""
    root = pair.folder / f"data-{pool}" / "docs"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def at_rest(pair: Pair) -> dict[str, bytes]:
    """The files of B, which are A's, and of which nothing waits or was touched by somebody else."""
    copy = pair.channel("b", Channel.CONFERENCES).imports
    assert pair.channel("a", Channel.CONFERENCES).export.status is ExportStatus.FINAL, copy.fault
    assert (copy.fault, copy.foreign_writes) == (None, 0)
    assert files(pair, "b") == files(pair, "a")
    return files(pair, "b")


@pytest.mark.parametrize("in_two", [False, True])
def test_a_file_becomes_a_folder(pair: Pair, *, in_two: bool) -> None:
    """Deleted and made anew as a folder with files, within one package or in two."""
    write(pair, "x", b"file")
    look(pair)
    delete(pair, "x")
    if in_two:
        look(pair)
    write(pair, "x/y/z", b"below")
    look(pair)
    assert at_rest(pair) == {"other": b"other", "x/y/z": b"below"}


@pytest.mark.parametrize("in_two", [False, True])
def test_a_folder_becomes_a_file(pair: Pair, *, in_two: bool) -> None:
    """The folder is empty at the copy when its last file is gone, with that package or one before, and makes way."""
    write(pair, "x/y/z", b"below")
    write(pair, "x/w", b"below too")
    look(pair)
    delete(pair, "x/w")
    delete(pair, "x/y/z", "x/y", "x")
    if in_two:
        look(pair)
    write(pair, "x", b"file")
    look(pair)
    assert at_rest(pair) == {"other": b"other", "x": b"file"}


def test_what_somebody_changed_there_is_set_aside(pair: Pair) -> None:
    """The file that makes way for a folder was changed at the copy: it lies in the spool afterwards."""
    write(pair, "x", b"file")
    look(pair)
    (pair.folder / "data-b" / "docs" / "x").write_bytes(b"somebody's")
    delete(pair, "x")
    write(pair, "x/y", b"below")
    look(pair)
    assert files(pair, "b") == {"other": b"other", "x/y": b"below"}
    assert b"somebody's" in [path.read_bytes() for path in (pair.sites["b"].scratch / "spool").iterdir()]


@pytest.mark.parametrize("dies_at", ["remove", "placing"])
def test_a_crash_in_between_is_made_up_for(pair: Pair, dies_at: str) -> None:
    """The old file is about to make way, or has: the next process looks at its tree first, applies the package, and nobody wrote there."""
    write(pair, "x", b"file")
    look(pair)
    delete(pair, "x")
    write(pair, "x/y", b"below")
    pair.sites["a"].memory.scanned_s = None
    pair.turn("a")
    pair.sites["b"] = replace(pair.sites["b"], tree=dying(pair.sites["b"].tree, dies_at))
    with pytest.raises(KeyboardInterrupt):
        pair.turn("b")
    pair.stop("b")
    site = pair.sites["b"] = replace(pair.start("b"), file_home=whose)
    assert site.tree is not None
    scan(site, site.tree, rescan=True)
    look(pair)
    assert at_rest(pair) == {"other": b"other", "x/y": b"below"}


def test_a_file_that_was_placed_before_a_crash_is_nobodys_change(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands there, and its package is not applied yet: a look at the tree knows what was about to be placed."""
    real = DirectoryPlacing.put

    def put(self: DirectoryPlacing, asides: Mapping[bytes, str]) -> None:
        real(self, asides)
        raise KeyboardInterrupt

    write(pair, "x", b"file")
    pair.sites["a"].memory.scanned_s = None
    pair.turn("a")
    with monkeypatch.context() as patch:
        patch.setattr(DirectoryPlacing, "put", put)
        with pytest.raises(KeyboardInterrupt):
            pair.turn("b")
    pair.stop("b")
    site = pair.sites["b"] = replace(pair.start("b"), file_home=whose)
    assert site.tree is not None
    assert files(pair, "b") == {"other": b"other", "x": b"file"}
    scan(site, site.tree, rescan=True)
    look(pair)
    assert at_rest(pair) == {"other": b"other", "x": b"file"}


def test_what_was_changed_there_stays_until_the_new_file_replaces_it(pair: Pair) -> None:
    """Whoever opens it when a process dies while it places files finds the old or the new one."""
    write(pair, "x", b"file")
    look(pair)
    (pair.folder / "data-b" / "docs" / "x").write_bytes(b"somebody's")
    write(pair, "x", b"newer")
    pair.sites["a"].memory.scanned_s = None
    pair.turn("a")
    tree = pair.sites["b"].tree
    assert tree is not None
    pair.sites["b"] = replace(pair.sites["b"], tree=cast("Tree", DyingAtPut(tree)))
    with pytest.raises(KeyboardInterrupt):
        pair.turn("b")
    assert files(pair, "b")["x"] == b"somebody's"


class DyingAtPut:
    """The tree of a process that ends when it gives files their names."""

    def __init__(self, inner: Tree) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    @contextmanager
    def placing(self) -> Iterator[object]:
        with self._inner.placing() as placing:
            yield dying(placing, "put")


def dying(inner: object, at: str) -> Tree:
    """The tree of a process that ends at a call."""

    class Dying:
        def __getattr__(self, name: str) -> object:
            if name == at:
                raise KeyboardInterrupt
            return getattr(inner, name)

    return cast("Tree", Dying())

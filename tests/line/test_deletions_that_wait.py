"""Deletions that were applied and cannot be carried out on the disk yet: they keep up nothing else, are named, and are made up for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from poolpair.cycle import run_pass
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.moves import Move, Plan, PlanStep, plan_name
from poolpair.serving.plan import advance, order
from poolpair.store.tree import DirectoryTree, Tree
from tests.pair import Pair, make_pair

UPLOADS = "share%2ea%2eexample/http_file_share"
NAMES = ("first.bin", "second.bin", "third.bin")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A pair after its first copy, with three files of a's; what B calls its tree is a link to it, which can be taken away."""
    made = make_pair(tmp_path)
    for pool in ("a", "b"):
        made.start(pool)
    for name in NAMES:
        (made.folder / "data-a" / UPLOADS / name).write_bytes(name.encode())
    mount(made)
    made.sites["b"] = replace(
        made.sites["b"], tree=DirectoryTree(tmp_path / "mount-b", made.sites["b"].scratch / "spool")
    )
    made.settle()
    assert all(copied(made, name) for name in NAMES)
    return made


def mount(pair: Pair) -> None:
    """B's tree is there."""
    (pair.folder / "mount-b").symlink_to(pair.folder / "data-b")


def copied(pair: Pair, name: str) -> bool:
    """Whether a file stands at B."""
    return f"{UPLOADS}/{name}" in pair.files("b")


def delete(pair: Pair, *names: str) -> None:
    """The application of A deletes files, and its pool looks."""
    for name in names:
        (pair.folder / "data-a" / UPLOADS / name).unlink()
    pair.sites["a"].memory.scanned_s = None
    pair.settle()


def tree_of_b(pair: Pair) -> Tree:
    """The tree of B."""
    tree = pair.sites["b"].tree
    assert tree is not None
    return tree


def with_undeletable(pair: Pair, name: str) -> Tree:
    """Let one file of B's resist, as in a folder that may not be written; returns the tree as it was."""
    inner = tree_of_b(pair)

    class Stubborn:
        def remove(self, path: bytes) -> bool:
            if path.endswith(name.encode()):
                raise PoolpairError(Code.TREE, f"this account may not delete {path.decode()}")
            return inner.remove(path)

        def __getattr__(self, attribute: str) -> object:
            return getattr(inner, attribute)

    pair.sites["b"] = replace(pair.sites["b"], tree=cast("Tree", Stubborn()))
    return inner


def check_others_go_on(pair: Pair) -> None:
    """A row of either channel that is written at A arrives at B, and A hears so."""
    with pair.sql("a") as connection:
        connection.execute(
            "INSERT INTO prosody (host, user, store, key, type, value) VALUES ('a.example', 'javert', 'private', 'note', 'string', 'x')"
        )
        connection.execute(
            'INSERT INTO prosodyarchive (host, user, store, key, "when", "with", type, value)'
            " VALUES ('share.a.example', '', 'uploads', 'slot-late', 1, 'x', 'xml', '<r/>')"
        )
    pair.settle()
    with pair.sql("b") as connection:
        assert connection.execute("SELECT count(*) FROM prosody WHERE key = 'note'").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM prosodyarchive WHERE key = 'slot-late'").fetchone() == (1,)
    for channel in (Channel.USERS, Channel.CONFERENCES):
        export = pair.channel("a", channel).export
        assert export.watermarks.acknowledged == export.watermarks.captured, channel


def check_named(pair: Pair, words: str) -> None:
    """Status at B says what waits, and of the meeting files alone; so does A's."""
    fault = pair.channel("b", Channel.CONFERENCES).imports.fault
    assert fault is not None
    assert fault.code is Code.TREE
    assert words in fault.detail
    assert pair.channel("b").imports.fault is None
    pair.beat()
    assert pair.channel("a", Channel.CONFERENCES).export.partner_fault == fault
    assert pair.channel("a").export.partner_fault is None


def check_over(pair: Pair) -> None:
    """Nothing waits any more, and nobody says so."""
    pair.settle()
    assert not any(copied(pair, name) for name in NAMES[:2])
    assert copied(pair, NAMES[2])
    assert pair.channel("b", Channel.CONFERENCES).imports.fault is None
    assert pair.sites["b"].store.pending_deletions() == ()


def test_a_file_that_cannot_be_deleted_keeps_up_nothing(pair: Pair) -> None:
    """Rows of both channels and the deletion of another file are applied; it is named, and deleted when that can be done."""
    inner = with_undeletable(pair, NAMES[0])
    delete(pair, *NAMES[:2])
    assert copied(pair, NAMES[0])
    assert not copied(pair, NAMES[1])
    check_others_go_on(pair)
    check_named(pair, f"{UPLOADS}/{NAMES[0]} was deleted, and is still here: this account may not delete")
    pair.sites["b"] = replace(pair.sites["b"], tree=inner)
    check_over(pair)


def test_a_tree_that_is_away_keeps_up_no_rows(pair: Pair) -> None:
    """A deletion of two files is applied while B's tree is not there: it waits for the tree, and nothing else does."""
    (pair.folder / "mount-b").unlink()
    delete(pair, *NAMES[:2])
    check_others_go_on(pair)
    check_named(pair, "; 1 more")
    mount(pair)
    check_over(pair)


def test_what_a_takers_application_writes_meanwhile_is_its_own(pair: Pair) -> None:
    """B takes A's users over while a deletion waits, and at once: a file that is written anew under that name stays, and is sent."""
    inner = with_undeletable(pair, NAMES[0])
    delete(pair, NAMES[0])
    pair.stop("a")
    order(pair.sites["b"], Move.TAKEOVER, "a")
    while advance(pair.sites["b"]):
        pass
    plan = pair.sites["b"].store.read(Plan, plan_name("a"))
    assert plan is not None
    assert (plan.step, plan.not_read, pair.sites["b"].served()) == (PlanStep.DONE, "", ("a", "b"))
    (pair.folder / "data-b" / UPLOADS / NAMES[0]).write_bytes(b"of the taker's")
    pair.sites["b"] = replace(pair.sites["b"], tree=inner)
    for _ in range(3):
        run_pass(pair.sites["b"], Channel.CONFERENCES, rescan=True)
    assert pair.files("b")[f"{UPLOADS}/{NAMES[0]}"] == b"of the taker's"
    pair.start("a")
    pair.settle()
    assert pair.files("a")[f"{UPLOADS}/{NAMES[0]}"] == b"of the taker's"

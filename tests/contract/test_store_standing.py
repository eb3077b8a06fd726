"""The store port's promises about packages that stand and cannot be applied: listed, and off the list when their pool returns."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.model import Channel
from poolpair.store.row_text import rows_from_text
from poolpair.store.values import Choice, Cut, LedgerEntry, LedgerNote, Reclaimed, RecoverPlan
from tests.contract.benches import Bench
from tests.contract.carrying import NOW, advance, carry, export
from tests.contract.test_store_failover import begin_reign, only_entry, recover, spool

USERS = Channel.USERS
STANDING = LedgerNote(reign_id="0" * 32, why="it stood", now_utc=NOW, state=Choice.STANDING)


def list_standing(
    origin: Bench, server: Bench, rows: Path, since: int | None, served: tuple[str, ...] = ("a",)
) -> Reclaimed:
    """Enter what a package of the origin holds that the server lacks."""
    exported = export(origin, rows, Cut(channel=USERS, served=served, since=since))
    plan = RecoverPlan(channel=USERS, home="a", reign_token=0, merge=False, note=STANDING)
    with server.store.incoming(rows, USERS, exported.tables) as incoming:
        return incoming.recover(plan, lambda _tx, _found: None)


def states(bench: Bench) -> list[Choice]:
    """Of every entry, oldest first."""
    return [entry.state for entry in bench.store.ledger()]


def test_what_a_package_holds_is_listed_and_nothing_else_changes(a: Bench, b: Bench, rows: Path) -> None:
    """A new group, a changed and a deleted one; what is equal, and other homes, are not. Only the entries are captured."""
    for user in ("valjean", "javert", "cosette"):
        a.account(user, 1)
    carry(a, b, rows)
    since, token = advance(a), begin_reign(b)
    a.account("valjean", 2)
    a.delete("account", ("a.example", "javert"))
    a.account("cosette", 1)
    a.setting("marius", 1, None, b"\0")
    a.account("thenardier", 1, host="b.example")
    before = {table: b.rows(table) for table in ("account", "setting")}
    for _ in range(2):
        assert list_standing(a, b, rows, since, ("a", "b")) == Reclaimed(in_ledger=3)
    assert states(b) == [Choice.STANDING] * 3
    assert {table: b.rows(table) for table in ("account", "setting")} == before
    assert b.store.pending(USERS, token) == 3
    assert {entry.home for entry in b.store.ledger()} == {"a"}


def _stood(a: Bench, b: Bench, rows: Path) -> tuple[int, int]:
    """A changed a group; its package stands at b, which took over. Returns from where a spools, and b's reign."""
    a.account("valjean", 1)
    carry(a, b, rows)
    since, token = advance(a), begin_reign(b)
    a.account("valjean", "theirs")
    list_standing(a, b, rows, since)
    assert only_entry(b).state is Choice.STANDING
    return since, token


@pytest.mark.parametrize("later", [False, True])
def test_it_is_off_the_list_when_it_is_handed_in(a: Bench, b: Bench, rows: Path, *, later: bool) -> None:
    """As it was in the package, or as it was written since; it is merged, as if it had never been listed."""
    since, token = _stood(a, b, rows)
    if later:
        a.account("valjean", "later")
    spool(a, since)
    assert recover(a, b, rows, token=token) == Reclaimed(merged=1)
    assert states(b) == [Choice.RETURNED]
    assert b.rows("account") == [("a.example", "valjean", "later" if later else "theirs")]


def test_a_conflict_is_an_entry_of_its_own(a: Bench, b: Bench, rows: Path) -> None:
    """The server wrote the group, too: that is to be decided."""
    since, token = _stood(a, b, rows)
    b.account("valjean", "ours")
    spool(a, since)
    assert recover(a, b, rows, token=token) == Reclaimed(in_ledger=1)
    assert states(b) == [Choice.RETURNED, Choice.OPEN]


def test_a_group_that_is_not_handed_in_stays(a: Bench, b: Bench, rows: Path) -> None:
    """The pool came back without it, or from an older copy, of which nothing is merged: the package was all there was."""
    since, token = _stood(a, b, rows)
    a.account("javert", 1)
    spool(a, advance(a))
    recover(a, b, rows, token=token)
    assert Choice.STANDING in states(b)
    a.account("valjean", "an older one")
    spool(a, since, number=2)
    recover(a, b, rows, number=2, token=token, merge=False)
    assert Choice.STANDING in states(b)


@pytest.mark.parametrize("choice", [Choice.THEIRS, Choice.OURS])
def test_who_decides_before_it_returns_is_asked_again(a: Bench, b: Bench, rows: Path, choice: Choice) -> None:
    """What was decided here counts as written here: what comes later is not merged over it."""
    since, token = _stood(a, b, rows)
    with b.store.transaction() as tx:
        tx.resolve(only_entry(b), choice, NOW)
    decided = b.rows("account")
    assert decided == [("a.example", "valjean", "theirs" if choice is Choice.THEIRS else 1)]
    a.account("valjean", "later")
    spool(a, since)
    assert recover(a, b, rows, token=token) == Reclaimed(in_ledger=1)
    assert b.rows("account") == decided
    assert states(b) == [choice, Choice.OPEN]


def test_another_ledger_does_not_put_it_back_on_the_list(a: Bench, b: Bench, rows: Path) -> None:
    """What somebody decided, or its own pool settled, is decided; the partner's copy of the entry may be older."""
    _, token = _stood(a, b, rows)
    carry(b, a, rows, served=("a",), since=token)
    assert states(a) == [Choice.STANDING]
    spool(a, None, number=3)
    with b.store.transaction() as tx:
        tx.resolve(only_entry(b), Choice.OURS, NOW)
    recover(a, b, rows, number=3, token=token)
    assert Choice.STANDING not in states(b)
    assert "theirs" in str(_theirs(b.store.ledger()[0]))


def _theirs(entry: LedgerEntry) -> object:
    return rows_from_text(entry.theirs)[0][-1]

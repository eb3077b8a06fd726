"""The store port's promises about failover: the fence, the spool, recovery and the ledger. Each on every kind of store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.model import Channel
from poolpair.store.row_text import rows_from_text
from poolpair.store.values import Choice, LedgerEntry, LedgerNote, Reclaimed, RecoverPlan
from tests.contract.benches import POISON, Bench
from tests.contract.carrying import NOW, advance, carry, differences

USERS = Channel.USERS
NOTE = LedgerNote(reign_id="1" * 32, why="written at both pools", now_utc=NOW)


def fence(bench: Bench, **refused: str) -> None:
    """Refuse the writes of some homes."""
    with bench.store.transaction(fencing=True) as tx:
        tx.fence(refused)


@contextmanager
def refused_by(pool: str) -> Iterator[None]:
    """The application's own error names the pool that serves."""
    with pytest.raises(Exception, match=f"pool {pool}") as caught:
        yield
    assert not isinstance(caught.value, PoolpairError)


def spool(bench: Bench, since: int | None, number: int = 1) -> int:
    """Put aside the groups of home a."""
    with bench.store.transaction(fencing=True) as tx:
        return tx.spool(number, USERS, "a", since)


def recover(
    returned: Bench, server: Bench, rows: Path, *, number: int = 1, token: int = 0, merge: bool = True, home: str = "a"
) -> Reclaimed:
    """Carry spooled groups to the server."""
    rows.unlink(missing_ok=True)
    with returned.store.snapshot(rows) as view:
        view.list_files(())
        exported = view.export_spool(number, USERS)
    plan = RecoverPlan(channel=USERS, home=home, reign_token=token, merge=merge, note=NOTE)
    with server.store.incoming(rows, USERS, exported.tables) as incoming:
        return incoming.recover(plan, lambda _tx, _found: None)


def begin_reign(server: Bench) -> int:
    """From here on everything that is written at the server is in the reign set."""
    with server.store.transaction() as tx:
        tx.prune(USERS, tx.advance())
        return tx.token()


def only_entry(bench: Bench) -> LedgerEntry:
    """The one entry of the ledger."""
    (entry,) = bench.store.ledger()
    return entry


def test_a_fenced_home_takes_no_write(a: Bench) -> None:
    """Insert, update, delete and a new key are refused, by the database itself; other homes and nobody's rows are not."""
    a.account("valjean", 1)
    a.setting("valjean", 1)
    fence(a, a="b")
    acts: tuple[Callable[[], None], ...] = (
        lambda: a.account("javert", 1),
        lambda: a.account("valjean", 2),
        lambda: a.delete("account", ("a.example", "valjean")),
        lambda: a.setting("valjean", 2),
        lambda: a.rekey("account", ("a.example", "valjean"), ("b.example", "valjean")),
        lambda: a.write("notice", ("motd",), ("motd", "x")),
    )
    for act in acts:
        with refused_by("b"):
            act()
    a.account("thenardier", 1, host="b.example")
    a.account("nobody", 1, host="nowhere.example")
    assert ("a.example", "valjean", 1) in a.rows("account")


def test_the_fence_can_be_lifted_and_set_again(a: Bench) -> None:
    """What counts is the last that was said, for each home alone."""
    fence(a, a="b", b="a")
    fence(a, b="a")
    a.account("valjean", 1)
    with refused_by("a"):
        a.account("thenardier", 1, host="b.example")
    fence(a)
    a.account("thenardier", 1, host="b.example")


def test_an_apply_passes_the_fence(a: Bench, b: Bench, rows: Path) -> None:
    """The fence is for the application: what the partner sends of its own home comes in, and is not captured again."""
    a.account("valjean", 1)
    fence(b, a="a")
    carry(a, b, rows)
    assert not differences(a, b)
    assert b.store.pending(USERS, 0) == 0


def test_a_fence_that_was_rolled_back_was_never_there(a: Bench) -> None:
    """It belongs to its transaction."""

    def fail() -> None:
        with a.store.transaction(fencing=True) as tx:
            tx.fence({"a": "b"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    a.account("valjean", 1)


def test_what_only_the_returned_pool_had_is_merged(a: Bench, b: Bench, rows: Path) -> None:
    """Changed, new and deleted groups of the spool replace what nobody touched at the server, and flow back from there."""
    for user in ("valjean", "javert", "cosette"):
        a.account(user, 1)
    carry(a, b, rows)
    since = advance(a)
    a.account("valjean", 2)
    a.delete("account", ("a.example", "javert"))
    a.account("marius", 1)
    a.setting("marius", 1, None, b"\0")
    assert spool(a, since) == 4
    token = begin_reign(b)
    assert recover(a, b, rows, token=token) == Reclaimed(merged=4)
    assert not differences(a, b)
    assert b.store.pending(USERS, token) == 4
    assert b.store.ledger() == ()


def test_what_both_pools_wrote_goes_to_the_ledger(a: Bench, b: Bench, rows: Path) -> None:
    """The server's version stands, the other is kept beside it, and both are told of."""
    a.account("valjean", 1)
    carry(a, b, rows)
    since, token = advance(a), begin_reign(b)
    a.account("valjean", "theirs")
    b.account("valjean", "ours")
    spool(a, since)
    assert recover(a, b, rows, token=token) == Reclaimed(in_ledger=1)
    assert b.rows("account") == [("a.example", "valjean", "ours")]
    entry = only_entry(b)
    assert (entry.home, entry.table, entry.state, entry.why) == ("a", "account", Choice.OPEN, NOTE.why)
    assert "theirs" in str(rows_from_text(entry.theirs))
    assert "ours" in str(rows_from_text(entry.ours))


def test_the_same_recovery_twice_is_one_entry(a: Bench, b: Bench, rows: Path) -> None:
    """A package that is sent again because its acknowledgement was lost finds what it left."""
    since, token = advance(a), begin_reign(b)
    a.account("valjean", "theirs")
    b.account("valjean", "ours")
    spool(a, since)
    for _ in range(2):
        recover(a, b, rows, token=token)
    assert only_entry(b).state is Choice.OPEN


def test_equal_groups_are_no_news(a: Bench, b: Bench, rows: Path) -> None:
    """A group written alike at both pools is neither merged nor in the ledger, but is told of."""
    since, token = advance(a), begin_reign(b)
    a.account("valjean", 1)
    b.account("valjean", 1)
    spool(a, since)
    assert recover(a, b, rows, token=token) == Reclaimed(equal=1)
    assert b.store.ledger() == ()


def test_nothing_is_merged_from_an_older_copy(a: Bench, b: Bench, rows: Path) -> None:
    """Where the writer may have stood on a copy that was set back, what differs goes to the ledger."""
    since, token = advance(a), begin_reign(b)
    a.account("valjean", 2)
    spool(a, since)
    assert recover(a, b, rows, token=token, merge=False) == Reclaimed(in_ledger=1)
    assert b.rows("account") == []


def test_a_group_that_the_server_refuses_goes_to_the_ledger(a: Bench, b: Bench, rows: Path) -> None:
    """The other groups are merged."""
    since, token = advance(a), begin_reign(b)
    a.account("valjean", POISON)
    a.account("javert", 1)
    spool(a, since)
    b.refuse_poison(refused=True)
    assert recover(a, b, rows, token=token) == Reclaimed(merged=1, in_ledger=1)
    assert b.rows("account") == [("a.example", "javert", 1)]


def test_a_whole_home_can_be_spooled(a: Bench, b: Bench, rows: Path) -> None:
    """Where the log does not tell everything, every group of the home is offered; those of others are not."""
    a.account("valjean", 1)
    a.account("thenardier", 1, host="b.example")
    carry(a, b, rows)
    with a.store.transaction() as tx:
        tx.prune(USERS, tx.advance())
    assert spool(a, None) == 1
    assert recover(a, b, rows) == Reclaimed(equal=1)


def test_the_spool_keeps_what_was_there_then(a: Bench, b: Bench, rows: Path) -> None:
    """Later packages may replace the rows here; the spooled version is not touched."""
    since = advance(a)
    a.account("valjean", "then")
    spool(a, since)
    b.account("valjean", "other")
    a.account("valjean", "later")
    recover(a, b, rows)
    assert "then" in only_entry(b).theirs


def test_another_home_than_the_package_names_is_refused(a: Bench, b: Bench, rows: Path) -> None:
    """A recovery cannot bring rows of a home that it does not name."""
    since = advance(a)
    a.account("valjean", 1)
    spool(a, since)
    with pytest.raises(Refused) as caught:
        recover(a, b, rows, home="b")
    assert caught.value.code is Code.FOREIGN_PACKAGE
    assert b.rows("account") == []


def test_a_spool_is_reclaimed_by_the_pool_that_serves_again(a: Bench) -> None:
    """What differs from what stands now goes to the ledger; all of it is logged; the spool is empty."""
    since = advance(a)
    a.account("valjean", "spooled")
    a.account("javert", "same")
    spool(a, since)
    a.account("valjean", "stands")
    with a.store.transaction() as tx:
        token = tx.advance()
        assert tx.reclaim_spool(1, USERS, NOTE) == 1
    assert a.store.pending(USERS, token) == 3  # two groups and the entry
    assert "spooled" in only_entry(a).theirs
    with a.store.transaction() as tx:
        assert tx.reclaim_spool(1, USERS, NOTE) == 0


def test_parked_groups_go_to_the_ledger_at_a_takeover(a: Bench, b: Bench, rows: Path) -> None:
    """The partner's word on them is its last: it is kept with what stands here."""
    a.account("valjean", POISON)
    b.refuse_poison(refused=True)
    carry(a, b, rows)
    assert len(b.store.parked()) == 1
    with b.store.transaction() as tx:
        assert tx.reclaim_parked(USERS, "b", NOTE) == 0
        assert tx.reclaim_parked(USERS, "a", NOTE) == 1
    assert b.store.parked() == ()
    assert POISON in only_entry(b).theirs


def test_the_log_of_a_home_can_be_forgotten(a: Bench) -> None:
    """Nothing of a home that is served elsewhere is sent; the others' changes are."""
    a.account("valjean", 1)
    a.account("thenardier", 1, host="b.example")
    with a.store.transaction() as tx:
        assert tx.forget_log(USERS, "a") == 0
    assert a.store.pending(USERS, 0) == 1


@pytest.mark.parametrize("choice", [Choice.THEIRS, Choice.OURS])
def test_a_decision_is_a_state_of_the_entry(a: Bench, b: Bench, rows: Path, choice: Choice) -> None:
    """The chosen version stands, captured; the entry keeps both."""
    token = _conflict(a, b, rows)
    before = only_entry(b)
    with b.store.transaction() as tx:
        tx.resolve(before, choice, NOW)
    after = only_entry(b)
    assert (after.state, after.theirs, after.ours) == (choice, before.theirs, before.ours)
    assert b.rows("account") == [("a.example", "valjean", choice.value)]
    assert b.store.pending(USERS, token) == 2


def test_a_group_that_moved_on_is_not_decided_blindly(a: Bench, b: Bench, rows: Path) -> None:
    """It was written again since; forced, what stood is kept in the entry."""
    _conflict(a, b, rows)
    b.account("valjean", "newer")
    with pytest.raises(PoolpairError) as caught, b.store.transaction() as tx:
        tx.resolve(only_entry(b), Choice.THEIRS, NOW)
    assert caught.value.code is Code.LEDGER_MOVED
    assert b.rows("account") == [("a.example", "valjean", "newer")]
    with b.store.transaction() as tx:
        tx.resolve(only_entry(b), Choice.THEIRS, NOW, force=True)
    assert b.rows("account") == [("a.example", "valjean", "theirs")]
    assert "newer" in only_entry(b).ours


def test_a_version_that_the_table_refuses_is_not_chosen(a: Bench, b: Bench, rows: Path) -> None:
    """It is said why, and the entry waits on; the other version can be chosen, and this one once the table takes it."""
    a.account("valjean", POISON)
    b.refuse_poison(refused=True)
    carry(a, b, rows)
    with b.store.transaction() as tx:
        tx.reclaim_parked(USERS, "a", NOTE)
    with pytest.raises(PoolpairError) as caught, b.store.transaction() as tx:
        tx.resolve(only_entry(b), Choice.THEIRS, NOW)
    assert caught.value.code is Code.PARKED
    assert "refuses the rows of the entry" in caught.value.detail
    assert (b.rows("account"), only_entry(b).state) == ([], Choice.OPEN)
    b.refuse_poison(refused=False)
    with b.store.transaction() as tx:
        tx.resolve(only_entry(b), Choice.THEIRS, NOW)
    assert b.rows("account") == [("a.example", "valjean", POISON)]


def test_the_ledger_travels_with_its_home(a: Bench, b: Bench, rows: Path) -> None:
    """Entries and decisions reach the partner in ordinary packages of the pool that serves the home."""
    token = _conflict(a, b, rows)
    with b.store.transaction() as tx:
        tx.resolve(only_entry(b), Choice.OURS, NOW)
    carry(b, a, rows, served=("a",), since=token)
    assert only_entry(a) == only_entry(b)


def test_an_entry_that_only_a_superseded_pool_had_is_taken_in(a: Bench, b: Bench, rows: Path) -> None:
    """It is in the server's ledger afterwards, and is told of like any other."""
    _conflict(b, a, rows)
    spool(a, None, number=2)
    token = begin_reign(b)
    recover(a, b, rows, number=2, merge=False)
    assert only_entry(a) in b.store.ledger()
    assert b.store.pending(USERS, token) > 0


def test_a_ledger_is_handed_in_without_the_rows(a: Bench, b: Bench, rows: Path) -> None:
    """Entries of one home, whatever the log says, and nothing else of it."""
    _conflict(b, a, rows)
    a.account("javert", "not to be handed in")
    with a.store.transaction() as tx:
        assert tx.spool_ledger(7, "b") == 0
        assert tx.spool_ledger(8, "a") == 1
    assert recover(a, b, rows, number=8) == Reclaimed()
    assert only_entry(b) == only_entry(a)
    assert ("a.example", "javert", "not to be handed in") not in b.rows("account")


def test_a_decision_of_a_superseded_pool_is_taken_in(a: Bench, b: Bench, rows: Path) -> None:
    """The server's entry is still open: the decision stands from now on."""
    since = _decided_at_a(a, b, rows)
    spool(a, since, number=2)
    token = begin_reign(b)
    assert recover(a, b, rows, number=2, token=token) == Reclaimed()
    assert only_entry(b) == only_entry(a)
    assert only_entry(b).state is Choice.OURS
    assert b.store.pending(USERS, token) == 1


def test_a_decision_is_not_undone_by_another_ledger(a: Bench, b: Bench, rows: Path) -> None:
    """The server's own decision stands, whether the other decided otherwise or not at all."""
    since = _decided_at_a(a, b, rows)
    spool(a, since, number=2)
    with b.store.transaction() as tx:
        tx.resolve(only_entry(b), Choice.THEIRS, NOW)
    decided = only_entry(b)
    recover(a, b, rows, number=2)
    assert only_entry(b) == decided
    carry(b, a, rows, served=("a",))
    assert only_entry(a) == decided
    with a.store.transaction() as tx:
        tx.reclaim_spool(2, USERS, NOTE)
    assert only_entry(a) == decided


def test_a_spooled_decision_is_taken_back(a: Bench, b: Bench, rows: Path) -> None:
    """The pool that serves again has the decisions that its partner's packages took away meanwhile."""
    since = _decided_at_a(a, b, rows)
    decided = only_entry(a)
    spool(a, since, number=2)
    carry(b, a, rows, served=("a",))
    assert only_entry(a).state is Choice.OPEN
    with a.store.transaction() as tx:
        tx.reclaim_spool(2, USERS, NOTE)
    assert only_entry(a) == decided


def _decided_at_a(a: Bench, b: Bench, rows: Path) -> int:
    """Both have the same open entry, then a decides; returns the token before that."""
    _conflict(a, b, rows)
    carry(b, a, rows, served=("a",))
    since = advance(a)
    with a.store.transaction() as tx:
        tx.resolve(only_entry(a), Choice.OURS, NOW)
    return since


def _conflict(a: Bench, b: Bench, rows: Path) -> int:
    """One group in the ledger of b; returns the token of its reign."""
    since, token = advance(a), begin_reign(b)
    a.account("valjean", "theirs")
    b.account("valjean", "ours")
    spool(a, since)
    recover(a, b, rows, token=token)
    return token


def test_the_fence_does_not_refuse_what_is_decided_here(a: Bench, b: Bench, rows: Path) -> None:
    """While a handover has fenced the server, or before a taker lifts its fence, what returns is taken in, and entries are made."""
    since, token = advance(a), begin_reign(b)
    a.account("valjean", "theirs")
    a.account("javert", 1)
    b.account("valjean", "ours")
    spool(a, since)
    fence(b, a="a")
    assert recover(a, b, rows, token=token) == Reclaimed(merged=1, in_ledger=1)
    carry(b, a, rows)
    a.account("valjean", "stands")
    fence(a, a="b")
    with a.store.transaction() as tx:
        assert tx.reclaim_spool(1, USERS, NOTE) == 1
    with b.store.transaction() as tx:
        tx.resolve(only_entry(b), Choice.THEIRS, NOW)
    with refused_by("a"):
        b.account("javert", 2)

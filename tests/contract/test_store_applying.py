"""The store port's promises about packages: export of a cut, apply, seeds, guards, parked groups. Each on every kind of store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.model import BucketSet, Channel, TableDigests
from poolpair.pipeline.site import Counts
from poolpair.store.port import Transaction
from poolpair.store.values import Applied, Cut, MassDelete
from tests.contract.benches import POISON, REFUSAL, Bench
from tests.contract.carrying import (
    NOW,
    advance,
    apply,
    carry,
    differences,
    digests,
    export,
    plan_for,
    settle_log,
)
from tests.contract.postgres_bench import PostgresBench

USERS = Channel.USERS
ACCOUNT, SETTING, NOTICE = 1, 2, 3


def whole(table: int, home: str = "a") -> BucketSet:
    """Every bucket of a table."""
    return BucketSet(home=home, table=table, of=1, buckets=(0,))


def fill(bench: Bench) -> None:
    """Some rows in each table of home a."""
    for user, value in (
        ("valjean", 1),
        ("javert", "24601"),
        ("cosette", b"\0\xff"),
        ("fantine", None),
        ("marius", 1.0),
    ):
        bench.account(user, value)
    bench.setting("valjean", 1, None, 1)
    bench.setting("javert", "a", "a")
    bench.setting("javert", "cron", store="local")
    bench.write("notice", ("motd",), ("motd", "hello"))


def test_a_delta_makes_the_copy_equal(a: Bench, b: Bench, rows: Path) -> None:
    """Rows of every storage class arrive as they were, in the origin's order, and nothing of other homes."""
    fill(a)
    a.account("thenardier", 1, host="b.example")
    a.account("gavroche", 1, host="nowhere.example")
    applied = carry(a, b, rows)
    assert applied == Applied(groups=8, rows=11, deleted=0, parked=0)
    assert not differences(a, b)
    assert b.rows("account") == a.rows("account")[:5]
    assert [row for row in a.rows("setting") if row[2] != "local"] == b.rows("setting")


def test_a_delta_carries_what_changed_since_its_token(a: Bench, b: Bench, rows: Path) -> None:
    """Only groups logged after the token are named; a deleted one is a tombstone."""
    fill(a)
    carry(a, b, rows)
    token = advance(a)
    a.account("valjean", 2)
    a.setting("javert", "b")
    a.delete("account", ("a.example", "fantine"))
    a.delete("setting", ("a.example", "valjean", "roster"))
    applied = carry(a, b, rows, since=token)
    assert applied == Applied(groups=4, rows=2, deleted=2, parked=0)
    assert not differences(a, b)


def test_without_token_or_buckets_nothing_is_carried(a: Bench, b: Bench, rows: Path) -> None:
    """`since` None stands for no delta at all."""
    fill(a)
    assert carry(a, b, rows, since=None).groups == 0
    assert b.rows("account") == []


def test_a_key_change_moves_the_group(a: Bench, b: Bench, rows: Path) -> None:
    """The old key is gone at the target, the new one is there."""
    fill(a)
    carry(a, b, rows)
    token = advance(a)
    a.rekey("account", ("a.example", "valjean"), ("a.example", "madeleine"))
    a.rekey("setting", ("a.example", "valjean", "roster"), ("a.example", "madeleine", "roster"))
    carry(a, b, rows, since=token)
    assert not differences(a, b)
    assert sorted(str(row[1]) for row in b.rows("account")) == ["cosette", "fantine", "javert", "madeleine", "marius"]


def test_applied_rows_are_no_changes_of_the_target(a: Bench, b: Bench, rows: Path) -> None:
    """There is no echo: after an apply nothing is pending at the target, for no home."""
    fill(a)
    carry(a, b, rows)
    token = advance(a)
    a.delete("account", ("a.example", "valjean"))
    carry(a, b, rows, since=token)
    assert b.store.pending(USERS, 0) == 0
    assert settle_log(b, ("b",)) == 0


def test_a_superset_changes_nothing_more(a: Bench, b: Bench, rows: Path) -> None:
    """Applying again from an older token leaves the copy equal, and rewrites no row of a table with a unique key."""
    fill(a)
    carry(a, b, rows)
    before = b.rows("account"), b.rows("setting"), b.rows("notice")
    applied = carry(a, b, rows)
    assert (b.rows("account"), b.rows("setting"), b.rows("notice")) == before
    assert (applied.groups, applied.rows) == (8, 5)
    token = advance(a)
    a.account("valjean", 2)
    carry(a, b, rows, since=token)
    carry(a, b, rows)
    assert not differences(a, b)


def test_rows_enter_in_the_origins_order(a: Bench, b: Bench, rows: Path) -> None:
    """New groups follow each other as at the origin, and so do the rows of a group, whatever the order of keys."""
    for user in ("zephine", "azelma", "montparnasse", "babet"):
        a.account(user, 1)
    a.write(
        "setting",
        ("a.example", "babet", "roster"),
        *[("a.example", "babet", "roster", name, 1) for name in ("z", "a", "z", "m")],
    )
    carry(a, b, rows)
    token = advance(a)
    a.account("claquesous", 1)
    a.account("azelma", 2)
    carry(a, b, rows, since=token)
    assert b.rows("account") == a.rows("account")
    assert [row[3] for row in b.rows("setting")] == ["z", "a", "z", "m"]
    names = ["zephine", "azelma", "montparnasse", "babet", "claquesous"]
    assert [row[1] for row in b.rows("account")] == names, "a changed row keeps its place"


def test_a_value_that_only_changes_its_storage_class_arrives(a: Bench, b: Bench, rows: Path) -> None:
    """1, 1.0 and '1' are equal to some comparisons; the copy must not keep the old one."""
    for value in (1, 1.0, "1", b"1", 1):
        a.account("valjean", value)
        carry(a, b, rows)
        assert not differences(a, b)
        assert type(b.rows("account")[0][2]) is type(value)


def test_an_export_is_one_consistent_view(a: Bench, b: Bench, rows: Path) -> None:
    """What is written between the view and the export is not in the package."""
    a.account("valjean", 1)
    rows.unlink(missing_ok=True)
    cut = Cut(channel=USERS, served=("a",), since=0)
    with a.store.snapshot(rows) as view:
        a.account("valjean", 2)
        a.account("javert", 1)
        view.list_files(())
        exported = view.export(cut, frozenset())
    assert (exported.groups, exported.rows, exported.tables) == (1, 1, a.store.shapes(USERS))
    apply(b, rows, exported, plan_for(cut))
    assert b.rows("account") == [("a.example", "valjean", 1)]


def test_rows_of_conferences_left_behind_wait(a: Bench, b: Bench, rows: Path) -> None:
    """Neither delta nor buckets carry them; a seed with the same list does not delete them at the target."""
    for slot in ("one", "two"):
        a.write("upload", ("a.example", slot), ("a.example", slot, 1))
    b.write("upload", ("a.example", "two"), ("a.example", "two", 0))
    tree = whole(4)
    cut = Cut(channel=Channel.CONFERENCES, served=("a",), since=0, buckets=(tree,))
    exported = export(a, rows, cut, left_behind={"two"})
    assert exported.groups == 1
    apply(b, rows, exported, plan_for(cut, left_behind=("two",)))
    assert sorted(b.rows("upload")) == [("a.example", "one", 1), ("a.example", "two", 0)]


def test_a_seed_makes_whole_buckets_equal(a: Bench, b: Bench, rows: Path) -> None:
    """Groups that the origin lacks are deleted in exactly the buckets named; nothing else is touched."""
    fill(a)
    for user in ("stray", "valjean", "marius"):
        b.account(user, "other")
        b.setting(user, "other")
    b.account("thenardier", 1, host="b.example")
    b.setting("javert", "cron", store="local")
    carry(a, b, rows, since=None, buckets=(whole(ACCOUNT),))
    assert {buckets.table for buckets in differences(a, b)} == {SETTING, NOTICE}
    assert ("b.example", "thenardier", 1) in b.rows("account")
    carry(a, b, rows, since=None, buckets=differences(a, b))
    assert not differences(a, b)
    assert ("a.example", "javert", "local", "name0", "cron") in b.rows("setting")


def test_a_seed_by_some_buckets_leaves_the_others(a: Bench, b: Bench, rows: Path) -> None:
    """Bucket by bucket the copies become equal; only differing ones are ever named."""
    for number in range(40):
        a.account(f"user{number}", number)
        b.account(f"user{number}", number if number % 10 else "other")
    like = (TableDigests(home="a", table=ACCOUNT, counts=(0,) * 8, sums=("0" * 16,) * 8),)
    theirs, ours = digests(a, like=like)[0], digests(b, like=like)[0]
    unequal = [n for n in range(8) if (theirs.counts[n], theirs.sums[n]) != (ours.counts[n], ours.sums[n])]
    assert 0 < len(unequal) <= 4
    for number, bucket in enumerate(unequal, 1):
        carry(a, b, rows, since=None, buckets=(BucketSet(home="a", table=ACCOUNT, of=8, buckets=(bucket,)),))
        ours = digests(b, like=like)[0]
        equal = [n for n in range(8) if theirs.sums[n] == ours.sums[n]]
        assert len(equal) == 8 - len(unequal) + number


def test_buckets_of_a_home_not_served_carry_and_delete_nothing(a: Bench, b: Bench, rows: Path) -> None:
    """Whatever buckets are named: only homes that the cut serves are exported or deleted."""
    a.account("thenardier", "stale", host="b.example")
    b.account("thenardier", "own", host="b.example")
    b.account("eponine", "own", host="b.example")
    applied = carry(a, b, rows, since=None, buckets=(whole(ACCOUNT, "b"),))
    assert applied == Applied(groups=0, rows=0, deleted=0, parked=0)
    assert len(b.rows("account")) == 2


def test_the_guard_trips_and_leaves_everything_as_it_was(a: Bench, b: Bench, rows: Path) -> None:
    """More deletions than both limits are reported, not done; approved they are done."""
    for number in range(10):
        a.account(f"user{number}", number)
    carry(a, b, rows)
    token = advance(a)
    for number in range(4):
        a.delete("account", ("a.example", f"user{number}"))
    a.account("user9", "changed")
    cut = Cut(channel=USERS, served=("a",), since=token)
    exported = export(a, rows, cut)
    before = digests(b)

    def record(tx: Transaction, _applied: Applied) -> None:
        tx.save("x", Counts())

    plan = plan_for(cut, guard_groups=3)
    assert apply(b, rows, exported, plan, record=record) == MassDelete(table="account", deletes=4, of=10)
    assert digests(b) == before
    assert b.store.read(Counts, "x") is None
    assert isinstance(apply(b, rows, exported, replace(plan, guard_fraction=0.4)), Applied)
    carry(a, b, rows, since=0)
    assert not differences(a, b)


def test_the_guard_counts_a_seeds_deletions_and_yields_to_approval(a: Bench, b: Bench, rows: Path) -> None:
    """A seed from an emptied store is held as well."""
    for number in range(10):
        b.account(f"user{number}", number)
    cut = Cut(channel=USERS, served=("a",), since=None, buckets=(whole(ACCOUNT),))
    exported = export(a, rows, cut)
    plan = plan_for(cut, guard_groups=9)
    assert apply(b, rows, exported, plan) == MassDelete(table="account", deletes=10, of=10)
    assert len(b.rows("account")) == 10
    done = apply(b, rows, exported, replace(plan, approved=True))
    assert isinstance(done, Applied)
    assert done.deleted == 10
    assert b.rows("account") == []


def test_a_first_copy_deletes_nothing_unasked(a: Bench, b: Bench, rows: Path) -> None:
    """One group of a home whose copy was never whole is enough; what the origin deleted itself is not counted, nor what it sends."""
    for bench in (a, b):
        bench.account("both", 1)
    b.account("mine", 1)
    b.account("gone", 1)
    a.store.check_capture()
    token = advance(a)
    a.account("gone", 1)
    a.delete("account", ("a.example", "gone"))
    cut = Cut(channel=USERS, served=("a",), since=None, buckets=(whole(ACCOUNT),))
    exported = export(a, rows, cut)
    unsettled = replace(plan_for(cut), unsettled=("a",))
    held = apply(b, rows, exported, unsettled)
    assert held == MassDelete(table="account", deletes=2, of=3, first=True)
    assert len(b.rows("account")) == 3
    delta = Cut(channel=USERS, served=("a",), since=token)
    exported = export(a, rows, delta)
    done = apply(b, rows, exported, replace(plan_for(delta), unsettled=("a",)))
    assert isinstance(done, Applied)
    assert len(b.rows("account")) == 2
    exported = export(a, rows, cut)
    assert apply(b, rows, exported, unsettled) == MassDelete(table="account", deletes=1, of=2, first=True)
    assert isinstance(apply(b, rows, exported, replace(unsettled, unsettled=("b",))), Applied)
    assert len(b.rows("account")) == 1


def test_a_failed_record_rolls_back_the_rows(a: Bench, b: Bench, rows: Path) -> None:
    """Rows, parked groups and what `record` writes commit together or not at all; the package applies afterwards."""
    fill(a)
    a.account("poisoned", POISON)
    b.refuse_poison(refused=True)
    cut = Cut(channel=USERS, served=("a",), since=0)
    exported = export(a, rows, cut)

    def fail(tx: Transaction, applied: Applied) -> None:
        tx.save("x", Counts())
        assert applied.parked == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        apply(b, rows, exported, plan_for(cut), record=fail)
    assert b.rows("account") == []
    assert b.store.parked() == ()
    assert b.store.read(Counts, "x") is None
    b.account("thenardier", 1, host="b.example")
    assert b.store.pending(USERS, 0) == 1, "after a rollback writes are captured again"
    apply(b, rows, exported, plan_for(cut), record=lambda tx, _: tx.save("x", Counts(unhomed=1)))
    assert b.store.read(Counts, "x") == Counts(unhomed=1)


def test_tables_that_differ_are_refused_or_wait(a: Bench, b: Bench, rows: Path) -> None:
    """Another table, key or column is SCHEMA, or on PostgreSQL makes the table wait; columns in another order do neither."""
    fill(a)
    cut = Cut(channel=USERS, served=("a",), since=0)
    exported = export(a, rows, cut)
    account, *others = exported.tables
    waits = isinstance(b, PostgresBench)
    for wrong in (
        (replace(account, columns=(*account.columns, "more")), *others),
        (replace(account, columns=account.columns[1:]), *others),
    ):
        if waits:
            with b.store.incoming(rows, USERS, wrong) as incoming:
                done = incoming.apply(plan_for(cut), (), lambda _tx, _applied: None)
            assert isinstance(done, Applied)
            assert [table.name for table in done.waiting] == ["account"]
            assert b.rows("account") == []
            continue
        with pytest.raises(PoolpairError) as caught, b.store.incoming(rows, USERS, wrong):
            pass
        assert caught.value.code is Code.SCHEMA
    for wrong in ((*others,), (replace(account, key=("user", "host")), *others)):
        with pytest.raises(PoolpairError) as caught, b.store.incoming(rows, USERS, wrong):
            pass
        assert caught.value.code in {Code.SCHEMA, Code.DAMAGED}


def test_a_damaged_rows_file_is_refused(a: Bench, b: Bench, rows: Path) -> None:
    """What no store wrote is DAMAGED, not an error of this store, so that its package is sent anew."""
    rows.write_bytes(b"this is no rows file" * 100)
    with pytest.raises(Refused) as caught, b.store.incoming(rows, USERS, a.store.shapes(USERS)):
        pass
    assert caught.value.code is Code.DAMAGED
    fill(a)
    carry(a, b, rows)


def test_a_refused_group_is_parked_and_the_rest_goes_on(a: Bench, b: Bench, rows: Path) -> None:
    """One bad row stops one group: what stood here of it stays, everything else is applied, and digests count it as applied."""
    fill(a)
    carry(a, b, rows)
    token = advance(a)
    b.refuse_poison(refused=True)
    a.account("valjean", POISON)
    a.account("javert", "fine")
    a.account("fauchelevent", POISON)
    a.setting("javert", "b", POISON, "c")
    a.setting("valjean", "fine")
    a.delete("account", ("a.example", "fantine"))
    applied = carry(a, b, rows, since=token, package_id="p7")
    assert (applied.groups, applied.deleted, applied.parked) == (6, 1, 3)
    left = {("cosette", b"\0\xff"), ("javert", "fine"), ("marius", 1.0), ("valjean", 1)}
    assert {row[1:] for row in b.rows("account")} == left
    assert {row[1:2] + row[4:] for row in b.rows("setting")} == {("javert", "a"), ("valjean", "fine")}
    parked = b.store.parked(USERS)
    assert {(group.table, group.key) for group in parked} == {
        ("account", "host=a.example, user=valjean"),
        ("account", "host=a.example, user=fauchelevent"),
        ("setting", "host=a.example, user=javert, store=roster"),
    }
    assert {(group.reason, group.package_id, group.since_utc) for group in parked} == {(REFUSAL, "p7", NOW)}
    assert b.store.parked(Channel.CONFERENCES) == ()
    assert b.store.parked() == parked
    assert not differences(a, b)


def park_one(a: Bench, b: Bench, rows: Path) -> int:
    """Let b refuse one account and one group of settings; gives the account's number."""
    b.refuse_poison(refused=True)
    a.account("valjean", POISON)
    a.setting("valjean", 1, POISON)
    carry(a, b, rows)
    account, setting = sorted(b.store.parked(), key=lambda group: group.table)
    assert (account.table, setting.table) == ("account", "setting")
    return account.group_id


def test_a_parked_group_is_tried_again(a: Bench, b: Bench, rows: Path) -> None:
    """A retry says why it is refused again; once it is taken the group is applied, unparked, and no change of ours."""
    b.account("valjean", "old")
    group_id = park_one(a, b, rows)
    settle_log(b, ("b",))
    assert b.store.retry_parked(group_id) == REFUSAL
    assert b.rows("account") == [("a.example", "valjean", "old")]
    assert len(b.store.parked()) == 2
    b.account("thenardier", 1, host="b.example")
    assert b.store.pending(USERS, 0) == 1, "after a refusal writes are captured again"
    b.refuse_poison(refused=False)
    for group in b.store.parked():
        assert b.store.retry_parked(group.group_id) is None
    assert b.store.parked() == ()
    assert b.store.pending(USERS, 0) == 1
    assert ("a.example", "valjean", POISON) in b.rows("account")
    assert not differences(a, b)
    with pytest.raises(PoolpairError) as caught:
        b.store.retry_parked(group_id)
    assert caught.value.code is Code.USAGE


def test_a_retry_leaves_what_the_site_numbers(a: Bench, b: Bench, rows: Path) -> None:
    """The row that stands is changed and not replaced: it keeps its place among the others."""
    a.account("valjean", "old")
    a.account("javert", 1)
    carry(a, b, rows)
    group_id = park_one(a, b, rows)
    b.refuse_poison(refused=False)
    assert b.store.retry_parked(group_id) is None
    assert [row[1:] for row in b.rows("account")] == [("valjean", POISON), ("javert", 1)]


def test_a_dropped_group_is_lacking(a: Bench, b: Bench, rows: Path) -> None:
    """After a drop the copy differs, and a repair brings the group again."""
    group_id = park_one(a, b, rows)
    with b.store.transaction() as tx:
        assert tx.drop_parked(group_id) is USERS
        assert tx.drop_parked(group_id) is None
    assert [group.table for group in b.store.parked()] == ["setting"]
    assert [buckets.table for buckets in differences(a, b)] == [ACCOUNT]
    b.refuse_poison(refused=False)
    carry(a, b, rows, since=None, buckets=differences(a, b))
    assert not differences(a, b)


def test_a_newer_package_replaces_what_was_parked(a: Bench, b: Bench, rows: Path) -> None:
    """A package that names the group unparks it: with rows that are taken, with a tombstone, or parked anew."""
    park_one(a, b, rows)
    carry(a, b, rows, package_id="again")
    assert {group.package_id for group in b.store.parked()} == {"again"}
    assert len(b.store.parked()) == 2
    token = advance(a)
    a.account("valjean", "fine")
    a.delete("setting", ("a.example", "valjean", "roster"))
    carry(a, b, rows, since=token)
    assert b.store.parked() == ()
    assert not differences(a, b)


def test_a_seed_never_deletes_a_parked_group(a: Bench, b: Bench, rows: Path) -> None:
    """Neither the parked rows nor what stands here of them, though the origin's buckets lack the group."""
    b.account("valjean", "old")
    park_one(a, b, rows)
    empty = a.copy("empty")
    empty.delete("account", ("a.example", "valjean"))
    carry(empty, b, rows, since=None, buckets=(whole(ACCOUNT), whole(SETTING), whole(NOTICE)))
    assert b.rows("account") == [("a.example", "valjean", "old")]
    empty.store.close()


def test_a_local_write_takes_a_group_out_of_parking(a: Bench, b: Bench, rows: Path) -> None:
    """What somebody wrote here after the parking is newer than the parked rows; what was written before is not."""
    b.account("valjean", "before")
    park_one(a, b, rows)
    assert settle_log(b, ("b",)) == 1
    assert len(b.store.parked()) == 2, "the write before the parking does not count"
    b.account("valjean", "after")
    settle_log(b, ("b",))
    assert [group.table for group in b.store.parked()] == ["setting"]
    assert b.rows("account") == [("a.example", "valjean", "after")]


def test_a_table_that_refuses_too_much_stops_the_package(a: Bench, b: Bench, rows: Path) -> None:
    """More refused groups than `parked_max` are no bad rows but a wrong table: nothing is applied."""
    b.refuse_poison(refused=True)
    for number in range(4):
        a.account(f"user{number}", POISON)
    a.account("javert", 1)
    cut = Cut(channel=USERS, served=("a",), since=0)
    exported = export(a, rows, cut)
    with pytest.raises(PoolpairError) as caught:
        apply(b, rows, exported, plan_for(cut, parked_max=3))
    assert caught.value.code is Code.PARKED
    assert (b.rows("account"), b.store.parked()) == ([], ())
    assert isinstance(apply(b, rows, exported, plan_for(cut, parked_max=4)), Applied)


def test_rows_of_a_home_that_the_package_may_not_carry_refuse_it(a: Bench, b: Bench, rows: Path) -> None:
    """Neither rows nor tombstones for other homes are applied, nor anything beside them."""
    a.account("valjean", 1)
    a.account("thenardier", 1, host="b.example")
    b.account("thenardier", "own", host="b.example")
    exported = export(a, rows, Cut(channel=USERS, served=("a", "b"), since=0))
    with pytest.raises(Refused) as caught:
        apply(b, rows, exported, plan_for(Cut(channel=USERS, served=("a",), since=0)))
    assert caught.value.code is Code.FOREIGN_PACKAGE
    assert b.rows("account") == [("b.example", "thenardier", "own")]


def test_a_lost_lease_stops_an_apply(a: Bench, b: Bench, rows: Path) -> None:
    """A service that was replaced applies nothing, parks nothing and retries nothing."""
    group_id = park_one(a, b, rows)
    b.store.take_lease("first", "fe1")
    other = b.open(lock="elsewhere")
    other.take_lease("second", "fe2")
    a.account("javert", 1)
    cut = Cut(channel=USERS, served=("a",), since=0)
    exported = export(a, rows, cut)
    with pytest.raises(PoolpairError, match="second"):
        apply(b, rows, exported, plan_for(cut))
    with pytest.raises(PoolpairError, match="second"):
        b.store.retry_parked(group_id)
    with pytest.raises(PoolpairError, match="second"), b.store.transaction() as tx:
        tx.drop_parked(group_id)
    assert b.rows("account") == []
    other.close()

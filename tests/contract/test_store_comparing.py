"""The store port's promises about comparing what changed since an earlier comparison. Each on every kind of store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from poolpair.model import Channel
from poolpair.store.buckets import differing
from poolpair.store.values import Applied, Cut
from tests.contract.benches import POISON, Bench
from tests.contract.carrying import advance, apply, carry, export, plan_for

USERS = Channel.USERS
ACCOUNT, SETTING = 1, 2


def fill(bench: Bench) -> None:
    """Some rows of home a."""
    for user, value in (
        ("valjean", 1),
        ("javert", "24601"),
        ("cosette", b"\0\xff"),
        ("fantine", None),
        ("marius", 1.0),
    ):
        bench.account(user, value)
    bench.setting("valjean", 1, None, 1)


def test_what_changed_is_digested_alone_at_both_ends(a: Bench, b: Bench, rows: Path) -> None:
    """The origin's digests of a delta are those of the same groups at the target after it was applied, whatever else is there."""
    fill(a)
    carry(a, b, rows)
    b.account("somebody", "else")
    since = advance(a)
    a.account("valjean", 2)
    a.account("eponine", None)
    a.delete("account", ("a.example", "javert"))
    a.setting("valjean", 1, None)
    cut = Cut(channel=USERS, served=("a",), since=since)
    with a.store.snapshot() as view:
        theirs, definition = view.changed_digests(cut), view.definition()
    assert [sum(each.counts) for each in theirs if each.table in (ACCOUNT, SETTING)] == [2, 2]
    applied = apply(b, rows, export(a, rows, cut), replace(plan_for(cut), digests=True))
    assert isinstance(applied, Applied)
    assert applied.changed is not None
    assert sorted(applied.changed.digests, key=repr) == sorted(theirs, key=repr)
    later = replace(cut, since=advance(a))
    with a.store.snapshot() as view:
        assert view.definition() == definition
        assert view.changed_digests(later) != theirs


def test_what_changed_is_found_to_differ(a: Bench, b: Bench, rows: Path) -> None:
    """A group that the target refused is not there as the origin has it."""
    fill(a)
    carry(a, b, rows)
    since = advance(a)
    a.account("valjean", POISON)
    a.account("marius", 3)
    cut = Cut(channel=USERS, served=("a",), since=since)
    with a.store.snapshot() as view:
        theirs = view.changed_digests(cut)
    b.refuse_poison(refused=True)
    applied = apply(b, rows, export(a, rows, cut), replace(plan_for(cut), digests=True))
    assert isinstance(applied, Applied)
    assert applied.parked == 1
    assert applied.changed is not None
    assert [each.table for each in differing(theirs, applied.changed.digests)] == [ACCOUNT]

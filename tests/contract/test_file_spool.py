"""The store port's promises about the spool of files, and about files in the ledger. Each on every kind of store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from poolpair.model import Channel
from poolpair.store.ledger_files import FILES, file_entry, path_of, version_from, version_of
from poolpair.store.values import CatalogueFile, Choice, LedgerNote, PackedFile, RecoverPlan
from tests.contract.benches import Bench
from tests.contract.carrying import NOW, advance, carry
from tests.contract.test_store_files import ODD, ONE, THREE, TWO, changed, entry, known, note

CONFERENCES = Channel.CONFERENCES
NOTE = LedgerNote(reign_id="1" * 32, why="written at both pools", now_utc=NOW)
GONE = replace(TWO, present=False, sha256="", size=0)


def keep(
    bench: Bench, since: int | None, *, first: int = 1, room_bytes: int = 1 << 30, home: str = "a"
) -> tuple[int, ...]:
    """Spool the files of a home."""
    with bench.store.transaction(fencing=True) as tx:
        return tx.file_spool.keep(first, home, since, room_bytes)


def spooled(bench: Bench, number: int = 1) -> tuple[CatalogueFile, ...]:
    """What lies under a number."""
    with bench.store.transaction() as tx:
        return tx.file_spool.files(number)


def bare(*files: CatalogueFile) -> tuple[CatalogueFile, ...]:
    """Files as the spool has them: without what only this disk knows."""
    return tuple(replace(file, inode=0, ctime_ns=0) for file in sorted(files, key=lambda file: file.path))


def test_files_logged_after_a_token_are_spooled(a: Bench) -> None:
    """Deletions too; those of other homes, and what was acknowledged, are not. The catalogue may then change."""
    note(a, ONE, TWO, entry(b"theirs", home="b"))
    since = advance(a)
    note(a, GONE, THREE, entry(b"their", home="b"))
    assert keep(a, since) == (2,)
    note(a, replace(THREE, sha256="9" * 64))
    assert spooled(a) == bare(GONE, THREE)
    assert spooled(a, 2) == ()


def test_a_whole_home_is_spooled_and_set_aside_from_then_on(a: Bench) -> None:
    """What is there, not what is gone; nobody overwrites it any more."""
    note(a, ONE)
    note(a, THREE, log=False)
    note(a, GONE)
    assert keep(a, None) == (2,)
    assert spooled(a) == bare(ONE, THREE)
    with a.store.transaction() as tx:
        assert tx.forget_log(CONFERENCES, "a") == 1
    assert all(found is not None and found.foreign for found in (known(a, ONE.path), known(a, ODD)))
    assert keep(a, None, first=2) == ()


def test_the_spool_is_cut_by_size(a: Bench) -> None:
    """Each number has about so many bytes; one file that is larger has one alone, and no number is left out."""
    sizes = {b"1": 60, b"2": 60, b"3": 350, b"4": 10, b"5": 0, b"6": 10}
    note(a, *(replace(entry(path), size=size) for path, size in sizes.items()))
    assert keep(a, 0, first=5, room_bytes=100) == (2, 1, 3)
    assert [[file.path for file in spooled(a, number)] for number in (5, 6, 7)] == [
        [b"1", b"2"],
        [b"3"],
        [b"4", b"5", b"6"],
    ]


def test_a_number_is_added_to_and_forgotten(a: Bench) -> None:
    """Each number by itself; a path stands in it once."""
    for number in (1, 2):
        with a.store.transaction() as tx:
            tx.file_spool.add(number, [ONE, THREE])
            tx.file_spool.add(number, [replace(ONE, size=9), TWO])
    with a.store.transaction() as tx:
        tx.file_spool.forget(1)
    assert (spooled(a, 1), spooled(a, 2)) == ((), bare(replace(ONE, size=9), TWO, THREE))


def test_whether_a_file_was_changed_since(a: Bench) -> None:
    """Also deleted; what was only touched, or is foreign, was not."""
    note(a, ONE)
    since = advance(a)
    note(a, replace(GONE, path=b"gone"))
    note(a, TWO, log=False)
    note(a, replace(THREE, foreign=True), log=False)
    with a.store.transaction() as tx:
        assert [tx.file_spool.was_changed(path, since) for path in (ONE.path, b"gone", TWO.path, ODD, b"?")] == [
            False, True, False, False, False,
        ]  # fmt: skip
        assert tx.file_spool.was_changed(ONE.path, since - 1)


def test_spooled_files_travel_with_or_without_their_bytes(a: Bench, b: Bench, rows: Path) -> None:
    """A recovered package lists them, and may name one that is nowhere any more."""
    packed = [PackedFile(file=file, member=0, offset=0) for file in bare(ONE, GONE)]
    with a.store.snapshot(rows) as view:
        view.list_files(packed)
        exported = view.export_spool(1, CONFERENCES)
    plan = RecoverPlan(channel=CONFERENCES, home="a", reign_token=0, merge=True, note=NOTE)
    with b.store.incoming(rows, CONFERENCES, exported.tables) as incoming:
        assert sorted(incoming.files(), key=lambda each: each.file.path) == packed
        incoming.recover(plan, lambda tx, _found: tx.enter(file_entry(ONE, None, NOTE)))
    assert len(b.store.ledger()) == 1


def test_a_file_in_the_ledger_is_entered_once_decided_and_carried(a: Bench, b: Bench, rows: Path) -> None:
    """Every byte of its name survives, and both versions do; it travels with its home, past the fence."""
    with a.store.transaction(fencing=True) as tx:
        token = tx.advance()
        tx.fence({"a": "b"})
    made = file_entry(THREE, ONE, NOTE)
    for _ in range(2):
        with a.store.transaction() as tx:
            tx.enter(made)
    assert a.store.ledger() == (made,)
    assert (made.table, path_of(made), version_from(made.theirs)) == (FILES, ODD, version_of(THREE))
    decided = replace(made, state=Choice.BOTH, decided_utc=NOW, ours="[]")
    with a.store.transaction() as tx:
        tx.decide(decided)
        tx.enter(made)
    assert a.store.ledger() == (decided,)
    assert a.store.pending(Channel.USERS, token) == 1
    carry(a, b, rows, since=token)
    assert b.store.ledger() == (decided,)


def test_what_is_served_here_again_is_logged(a: Bench) -> None:
    """Spooled and foreign files are sent by whoever serves their home again."""
    note(a, ONE)
    keep(a, 0)
    with a.store.transaction() as tx:
        tx.forget_log(CONFERENCES, "a")
        token = tx.advance()
        tx.claim_files("a")
    assert changed(a, token) == [ONE.path]

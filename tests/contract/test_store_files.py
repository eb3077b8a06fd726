"""The store port's promises about the catalogue of files. Each on every kind of store."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from poolpair.model import BucketSet, Channel
from poolpair.store.tree import TreeFile
from poolpair.store.values import Applied, CatalogueFile, Cut, Exported, MassDelete, PackedFile, TreeDiff
from tests.contract.benches import Bench
from tests.contract.carrying import advance, apply, digests, export, plan_for

FILES = Channel.CONFERENCES
TREE = BucketSet(home="a", table=0, of=1, buckets=(0,))


def entry(path: bytes, content: bytes = b"content", *, home: str = "a", conference: str = "one") -> CatalogueFile:
    """A file as a scan would catalogue it."""
    digest = sha256(content).hexdigest()
    return CatalogueFile(
        path=path, size=len(content), mtime_ns=7, inode=8, mode=0o640, sha256=digest, home=home, conference=conference
    )


def seen(file: CatalogueFile) -> TreeFile:
    """The same file as a scan sees it."""
    return TreeFile(path=file.path, size=file.size, mtime_ns=file.mtime_ns, inode=file.inode, mode=file.mode)


def note(bench: Bench, *files: CatalogueFile, log: bool = True) -> None:
    """Put files into the catalogue."""
    with bench.store.transaction() as tx:
        tx.note_files(files, log=log)


def known(bench: Bench, path: bytes) -> CatalogueFile | None:
    """One entry of the catalogue."""
    with bench.store.transaction() as tx:
        return tx.file(path)


def changed(bench: Bench, since: int | None, *buckets: BucketSet, served: tuple[str, ...] = ("a",)) -> list[bytes]:
    """Paths of a cut."""
    with bench.store.snapshot() as view:
        cut = Cut(channel=FILES, served=served, since=since, buckets=buckets)
        return [file.path for file in view.changed_files(cut)]


def cut_files(bench: Bench, rows: Path, cut: Cut) -> Exported:
    """Export a cut with its files, as packing does."""
    with bench.store.snapshot() as view:
        files = list(view.changed_files(cut))
    packed = [PackedFile(file=file, member=int(file.present), offset=n) for n, file in enumerate(files)]
    return export(bench, rows, cut, files=packed)


ODD = b"dir/\xff\xfe odd \xc3\xa9.bin"
ONE, TWO, THREE = entry(b"one.bin"), entry(b"two.bin", b"", conference="two"), entry(ODD, b"x" * 100)


def test_a_scan_finds_what_changed_and_what_vanished(a: Bench) -> None:
    """New files and other sizes, times or inodes count as changed; a mode does not; what is gone has vanished."""
    note(a, ONE, TWO, THREE)
    resting = [seen(ONE), seen(TWO), seen(THREE)]
    assert a.store.compare_tree(resting) == a.store.compare_tree(reversed(resting)) == TreeDiff(changed=(), vanished=())
    for other in (replace(seen(ONE), size=1), replace(seen(ONE), mtime_ns=1), replace(seen(ONE), inode=1)):
        diff = a.store.compare_tree([replace(seen(TWO), mode=0), seen(THREE), other])
        assert (diff.changed, diff.vanished) == ((other,), ())
    diff = a.store.compare_tree([seen(THREE), seen(entry(b"new.bin"))])
    assert (diff.changed, diff.vanished) == ((seen(entry(b"new.bin")),), (b"one.bin", b"two.bin"))


def test_names_that_are_no_text_survive(a: Bench, b: Bench, rows: Path) -> None:
    """Every byte of a name is kept by the catalogue and by a package."""
    note(a, THREE)
    assert known(a, ODD) == THREE
    exported = cut_files(a, rows, Cut(channel=FILES, served=("a",), since=0))
    with b.store.incoming(rows, FILES, exported.tables) as incoming:
        assert [packed.file for packed in incoming.files()] == [replace(THREE, inode=0)]


def test_logged_files_are_pending_until_pruned(a: Bench) -> None:
    """Files count beside rows; a tombstone leaves the catalogue when it is acknowledged, a file stays."""
    note(a, ONE, TWO)
    note(a, THREE, log=False)
    first = advance(a)
    note(a, replace(TWO, present=False, sha256="", size=0))
    second = advance(a)
    assert (a.store.pending(FILES, 0), a.store.pending(FILES, first), a.store.pending(Channel.USERS, 0)) == (2, 1, 0)
    assert (changed(a, 0), changed(a, first), changed(a, None)) == ([b"one.bin", b"two.bin"], [b"two.bin"], [])
    with a.store.transaction() as tx:
        assert tx.prune(FILES, first) == 1
        assert tx.prune(FILES, second) == 1
        assert tx.prune(FILES, second) == 0
    assert known(a, b"one.bin") == ONE
    assert known(a, b"two.bin") is None


def test_a_touched_file_stays_logged(a: Bench) -> None:
    """New time and inode of known content change neither home nor what is pending; unknown paths are left alone."""
    note(a, ONE)
    note(a, TWO, log=False)
    token = advance(a)
    with a.store.transaction() as tx:
        tx.touch_files([replace(each, mtime_ns=99, inode=98, home="b") for each in (ONE, TWO, THREE)])
    assert changed(a, 0) == [b"one.bin"]
    assert a.store.pending(FILES, token) == 0
    assert known(a, b"one.bin") == replace(ONE, mtime_ns=99, inode=98)
    assert known(a, ODD) is None


def test_doubted_files_are_looked_at_again(a: Bench) -> None:
    """After `doubt_files` every file counts as changed, and none as pending."""
    note(a, ONE, TWO, log=False)
    with a.store.transaction() as tx:
        tx.doubt_files()
    assert len(a.store.compare_tree([seen(ONE), seen(TWO)]).changed) == 2
    assert a.store.pending(FILES, 0) == 0


def test_files_of_some_homes_are_doubted_until_they_are_read(a: Bench) -> None:
    """Only files of the named homes are in doubt; one that was touched since is not any more."""
    theirs = replace(TWO, home="b")
    note(a, ONE, theirs, THREE, log=False)
    with a.store.transaction() as tx:
        tx.doubt_files(("b",))
        assert tx.doubted_files(("a",)) == ()
        (doubted,) = tx.doubted_files(("a", "b"))
        assert (doubted.path, doubted.mtime_ns) == (theirs.path, theirs.mtime_ns)  # a time travels, and is placed
        tx.touch_files([theirs])
        assert tx.doubted_files(("b",)) == ()


def test_foreign_files_are_marked_and_never_sent(a: Bench) -> None:
    """A file that somebody changed here although its home is not served keeps its mark until it is placed or logged."""
    note(a, replace(ONE, foreign=True), log=False)
    assert known(a, b"one.bin") == replace(ONE, foreign=True)
    assert changed(a, 0) == []
    with a.store.transaction() as tx:
        tx.touch_files([replace(ONE, mtime_ns=1)])
    assert known(a, b"one.bin") == replace(ONE, foreign=True, mtime_ns=1)
    note(a, ONE, log=False)
    assert known(a, b"one.bin") == ONE
    note(a, replace(TWO, present=False), log=False)
    assert known(a, b"two.bin") is None


def test_postponed_files_are_pending_again(a: Bench) -> None:
    """Only what was logged, and only of the named conferences."""
    note(a, ONE, TWO)
    note(a, THREE, log=False)
    token = advance(a)
    with a.store.transaction() as tx:
        tx.postpone(FILES, frozenset({"one"}), ("a",), whole=False)
    assert changed(a, token) == [b"one.bin"]


def test_files_that_a_comparison_left_out_are_pending_whole(a: Bench) -> None:
    """Logged or not, and tombstones too; not what somebody else changed here, nor another home's."""
    note(a, ONE, replace(TWO, conference="one", present=False))
    note(a, THREE, replace(entry(b"theirs"), home="b"), replace(entry(b"odd"), foreign=True), log=False)
    token = advance(a)
    with a.store.transaction() as tx:
        tx.postpone(FILES, frozenset({"one"}), ("a",), whole=True)
    assert changed(a, token) == [ODD, b"one.bin", b"two.bin"]


def test_too_large_conferences_are_named(a: Bench) -> None:
    """The files of a conference count together, deleted ones and other homes do not."""
    note(a, entry(b"1", b"x" * 60), entry(b"2", b"x" * 60), entry(b"3", b"x" * 90, conference="two"))
    note(a, replace(entry(b"4", b"x" * 90, conference="two"), present=False))
    note(a, entry(b"5", b"x" * 500, home="b", conference="three"))
    with a.store.snapshot() as view:
        assert view.too_large(("a",), 100) == {"one"}
        assert view.too_large(("a",), 120) == frozenset()
        assert view.too_large(("a", "b"), 89) == {"one", "two", "three"}


def test_digests_cover_the_tree_but_not_what_waits(a: Bench, b: Bench) -> None:
    """Equal files digest equally whatever their times; what is left behind counts at neither side."""
    note(a, ONE, TWO)
    note(b, replace(ONE, mtime_ns=1, inode=2), log=False)
    tree = next(each for each in digests(a, channel=FILES) if each.table == 0)
    assert tree.counts == (2,)
    with a.store.snapshot() as theirs, b.store.snapshot() as ours:
        left = frozenset({"two"})
        assert theirs.digests(FILES, ("a",), None, left) == ours.digests(FILES, ("a",), None, left)
        assert theirs.digests(FILES, ("a",), None, frozenset()) != ours.digests(FILES, ("a",), None, frozenset())


def test_unhomed_files_are_counted(a: Bench) -> None:
    """A file that is nobody's counts, a deleted one does not."""
    note(a, entry(b"1", home=""), replace(entry(b"2", home=""), present=False), ONE)
    with a.store.snapshot() as view:
        assert view.unhomed(FILES) == 1


def test_placing_is_remembered_across_a_crash(a: Bench, b: Bench, rows: Path) -> None:
    """After `mark_placing` a new process knows which digest was about to be placed; an apply settles it."""
    note(a, ONE, TWO)
    note(b, replace(TWO, sha256="0" * 64), log=False)
    cut = Cut(channel=FILES, served=("a",), since=0)
    exported = cut_files(a, rows, cut)
    with b.store.incoming(rows, FILES, exported.tables) as incoming:
        incoming.mark_placing()
    b.store.close()
    b.store = b.open()
    with b.store.transaction() as tx:
        assert (tx.placing(b"one.bin"), tx.placing(b"two.bin"), tx.placing(ODD)) == (ONE.sha256, TWO.sha256, None)
        assert tx.pending(FILES, 0) == 0
    diff = b.store.compare_tree([seen(ONE), seen(TWO)])
    assert [file.path for file in diff.changed] == [b"one.bin"]
    placed = [replace(ONE, mtime_ns=70), replace(TWO, mtime_ns=71)]
    assert isinstance(apply(b, rows, exported, plan_for(cut), placed=placed), Applied)
    with b.store.transaction() as tx:
        assert tx.placing(b"one.bin") is tx.placing(b"two.bin") is None
        assert tx.file(b"one.bin") == placed[0]
        assert tx.pending(FILES, 0) == 0, "placed files are no changes of the target"


def test_a_deletion_may_be_known_before_its_package_is_applied(a: Bench, b: Bench, rows: Path) -> None:
    """One that is marked with what is to be placed is pending across a crash, and nobody's change; the others wait for the apply."""
    note(a, ONE, TWO)
    note(b, TWO, entry(b"way"), log=False)
    cut = Cut(channel=FILES, served=("a",), since=0)
    exported = cut_files(a, rows, cut)
    with b.store.incoming(rows, FILES, exported.tables) as incoming:
        incoming.mark_placing([b"way", b"never there"])
    b.store.close()
    b.store = b.open()
    assert b.store.pending_deletions() == (replace(entry(b"way"), present=False),)
    assert b.store.compare_tree([seen(TWO), seen(entry(b"way"))]) == TreeDiff(changed=(), vanished=())
    b.store.finish_deletions([b"way"])
    assert known(b, b"way") is None
    assert known(b, b"two.bin") == TWO


def test_an_applied_deletion_is_pending_until_it_is_finished(a: Bench, b: Bench, rows: Path) -> None:
    """A tombstone takes the file out of digests at once, and out of the catalogue when the disk followed."""
    note(a, ONE, TWO)
    note(b, ONE, TWO, log=False)
    token = advance(a)
    note(a, replace(ONE, present=False, sha256="", size=0))
    cut = Cut(channel=FILES, served=("a",), since=token)
    exported = cut_files(a, rows, cut)
    assert isinstance(apply(b, rows, exported, plan_for(cut)), Applied)
    (gone,) = b.store.pending_deletions()
    assert gone == replace(ONE, present=False)
    assert digests(a, channel=FILES) == digests(b, channel=FILES)
    b.store.close()
    b.store = b.open()
    assert len(b.store.pending_deletions()) == 1
    assert changed(b, 0) == []
    still_there = b.store.compare_tree([seen(ONE), seen(TWO)])
    assert still_there == TreeDiff(changed=(), vanished=()), (
        "a deletion that the disk did not follow yet is nobody's change"
    )
    b.store.finish_deletions([b"one.bin", b"two.bin"])
    assert b.store.pending_deletions() == ()
    assert known(b, b"one.bin") is None
    assert known(b, b"two.bin") == TWO


def test_a_seed_names_and_deletes_surplus_files(a: Bench, b: Bench, rows: Path) -> None:
    """Files of the buckets that the package lacks go; other homes, and conferences left behind, stay."""
    note(a, ONE)
    theirs = entry(b"theirs.bin", home="b")
    note(b, ONE, TWO, THREE, theirs, log=False)
    cut = Cut(channel=FILES, served=("a",), since=None, buckets=(TREE,))
    exported = cut_files(a, rows, cut)
    plan = plan_for(cut, left_behind=("two",))
    with b.store.incoming(rows, FILES, exported.tables) as incoming:
        assert [file.path for file in incoming.surplus_files(plan)] == [ODD]
    assert isinstance(apply(b, rows, exported, plan, placed=[ONE]), Applied)
    assert [file.path for file in b.store.pending_deletions()] == [ODD]
    assert known(b, b"two.bin") == TWO
    assert known(b, b"theirs.bin") == theirs


def test_a_surplus_file_that_somebody_made_here_is_known_as_such(a: Bench, b: Bench, rows: Path) -> None:
    """A seed deletes it, but what lies on disk is not the partner's: whoever carries that out must be able to tell."""
    note(a, ONE)
    note(b, ONE, TWO, replace(THREE, foreign=True), log=False)
    cut = Cut(channel=FILES, served=("a",), since=None, buckets=(TREE,))
    exported = cut_files(a, rows, cut)
    assert isinstance(apply(b, rows, exported, plan_for(cut), placed=[ONE]), Applied)
    assert {file.path: file.foreign for file in b.store.pending_deletions()} == {b"two.bin": False, ODD: True}
    b.store.finish_deletions([b"two.bin", ODD])
    assert known(b, ODD) is None


def test_a_first_copy_deletes_no_file_unasked(a: Bench, b: Bench, rows: Path) -> None:
    """One file that stands here alone is enough."""
    note(a, ONE)
    note(b, ONE, TWO, log=False)
    cut = Cut(channel=FILES, served=("a",), since=None, buckets=(TREE,))
    exported = cut_files(a, rows, cut)
    unsettled = replace(plan_for(cut), unsettled=("a",))
    held = MassDelete(table="the files", deletes=1, of=2, first=True)
    assert apply(b, rows, exported, unsettled, placed=[ONE]) == held
    assert b.store.pending_deletions() == ()
    assert isinstance(apply(b, rows, exported, replace(unsettled, approved=True), placed=[ONE]), Applied)
    assert len(b.store.pending_deletions()) == 1


def test_the_guard_of_the_tree_trips(a: Bench, b: Bench, rows: Path) -> None:
    """Too many deletions, or an emptied tree of two files or more, are held; approved they are done."""
    note(b, ONE, TWO, log=False)
    cut = Cut(channel=FILES, served=("a",), since=None, buckets=(TREE,))
    exported = cut_files(a, rows, cut)
    tripped = MassDelete(table="the files", deletes=2, of=2)
    with b.store.incoming(rows, FILES, exported.tables) as incoming:
        assert incoming.mass_file_delete(plan_for(cut)) == tripped
        assert incoming.mass_file_delete(plan_for(cut, approved=True)) is None
    assert apply(b, rows, exported, plan_for(cut)) == tripped
    assert b.store.pending_deletions() == ()
    note(b, *(entry(b"%d.bin" % n) for n in range(8)), log=False)
    note(a, *(entry(b"%d.bin" % n) for n in range(4)))
    exported = cut_files(a, rows, cut)
    with b.store.incoming(rows, FILES, exported.tables) as incoming:
        assert incoming.mass_file_delete(plan_for(cut, guard_groups=6)) is None
        held = incoming.mass_file_delete(plan_for(cut, guard_groups=5))
    assert held == MassDelete(table="the files", deletes=6, of=10)
    assert isinstance(apply(b, rows, exported, plan_for(cut, guard_groups=5, approved=True)), Applied)
    assert len(b.store.pending_deletions()) == 6

"""Take back: what a returned partner had accepted for a home that is served here. In: a recovered package. Out: merged, or in the ledger.

Files first, as everywhere. Whatever becomes of one, it is logged, so that what stands here flows back; what goes to the ledger is kept
beside the tree before the entry is made. Nothing is lost for good: a file that is replaced, or deleted, lies aside. Killed anywhere, it is
done again with the same end: what was merged is equal then, and an entry that is there stays.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format.package import PackageReader
from poolpair.model import Channel, Manifest, Recovered
from poolpair.pipeline.apply_files import Members, finish_deletions
from poolpair.pipeline.capture import scan
from poolpair.pipeline.file_fates import Fate, fate
from poolpair.pipeline.kept import keep
from poolpair.pipeline.site import Site
from poolpair.reigns import may_merge
from poolpair.store.ledger_files import FILES, file_entry, path_of
from poolpair.store.port import Incoming, Transaction
from poolpair.store.tree import Source, Tree
from poolpair.store.values import (
    Applied,
    ApplyPlan,
    CatalogueFile,
    Choice,
    LedgerEntry,
    LedgerNote,
    PackedFile,
    Reclaimed,
    RecoverPlan,
    as_on_disk,
)

NOWHERE = "; what it held was not found there any more"


def take_back(
    site: Site,
    channel: Channel,
    reader: PackageReader,
    rows: Path,
    guard: ApplyPlan,
    record: Callable[[Transaction, Applied], None],
) -> bool:
    """Take in a recovered package. `guard` says how many deletions are too many. Raises Refused, STORE_*, SCHEMA, TREE, SCRATCH."""
    manifest = reader.manifest
    brings = manifest.recovered
    if brings is None:
        raise Refused(Code.DAMAGED, "it does not say what it recovers")
    plan = _plan(site, channel, brings)
    with site.store.incoming(rows, channel, manifest.tables) as incoming:
        files = _take_files(site, manifest, reader, incoming, plan, guard)

        def recorded(tx: Transaction, found: Reclaimed) -> None:
            for entry in files.entries:
                tx.enter(entry)
            for entry in _standing(site, plan, files) if plan.merge else ():
                tx.decide(replace(entry, state=Choice.RETURNED, decided_utc=plan.note.now_utc))
            tx.note_files(files.stand, log=True)
            groups = found.merged + found.equal + found.in_ledger + len(files.stand)
            record(tx, Applied(groups=groups, rows=0, deleted=0, parked=0))

        incoming.recover(plan, recorded)
    return True


def _plan(site: Site, channel: Channel, brings: Recovered) -> RecoverPlan:
    mine = site.serving(brings.home)
    note = LedgerNote(
        reign_id=mine.present.reign_id,
        why="written at both pools" if brings.merge else "written at the partner on an older copy",
        now_utc=site.clock.utc_iso(),
    )
    return RecoverPlan(
        channel=channel,
        home=brings.home,
        reign_token=mine.reign_token,
        merge=may_merge(mine, channel, brings),
        note=note,
    )


@dataclass(slots=True)
class _Taken:
    """What is to be recorded: what stands here of every file named, and what goes to the ledger."""

    stand: list[CatalogueFile] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)


def _take_files(
    site: Site, manifest: Manifest, reader: PackageReader, incoming: Incoming, plan: RecoverPlan, guard: ApplyPlan
) -> _Taken:
    """Bring the files to where they belong."""
    taken = _Taken()
    if manifest.files != sum(1 for _ in incoming.files()):
        raise Refused(Code.DAMAGED, "its list of files is not as long as its manifest says")
    if not manifest.files:
        return taken
    if site.tree is None:
        raise PoolpairError(Code.TREE, "the partner brings files, but `files` is not set in this pool's file")
    if left := finish_deletions(site):
        raise left  # else what still lies there would look like the application's own
    scan(site, site.tree, rescan=True)  # what was changed here until now counts as changed
    guarded = replace(guard, served=(plan.home,), buckets=(), approved=False)
    too_many = incoming.mass_file_delete(guarded) is not None  # an empty mount point looks the same
    with ExitStack() as stack:
        members = Members(reader, stack)
        for packed in incoming.files():
            file = _owned(site, packed.file, plan.home)
            _take(site, site.tree, members, replace(packed, file=file), plan, taken, too_many=too_many)
    return taken


def _standing(site: Site, plan: RecoverPlan, files: _Taken) -> list[LedgerEntry]:
    """Entries of files that stood in packages of the pool which hands them in now."""
    paths = {file.path for file in files.stand}
    listed = site.store.ledger() if paths else ()
    standing = (each for each in listed if each.state is Choice.STANDING and each.table == FILES)
    return [each for each in standing if each.home == plan.home and path_of(each) in paths]


def _owned(site: Site, file: CatalogueFile, home: str) -> CatalogueFile:
    """The file with the conference that it belongs to here. It must be of the home that is recovered."""
    owner = site.file_home(file.path)
    if owner is None or owner.home != home or file.home != home:
        raise Refused(Code.FOREIGN_PACKAGE, "it brings a file that is not of the home that it recovers")
    return replace(file, conference=owner.conference)


def _take(
    site: Site, tree: Tree, members: Members, packed: PackedFile, plan: RecoverPlan, taken: _Taken, *, too_many: bool
) -> None:
    file = packed.file
    lost = file.present and not packed.member
    with site.store.transaction() as tx:
        here, changed = tx.file(file.path), tx.file_spool.was_changed(file.path, plan.reign_token)
    merge = plan.merge and not lost and (file.present or not too_many)
    found = fate(file, here, rests=_rests(tree, file.path, here), changed=changed, merge=merge)
    content = None if lost or not file.present else members.part(packed)
    if found is Fate.MERGE and content is not None:
        placed = _place(tree, file, content, here)
        if placed is None:
            found, content = Fate.LEDGER, members.again(packed)
        here = placed or here
    elif found is Fate.MERGE and here is not None:
        tree.set_aside(file.path, here.sha256)
        here = None
    if found is Fate.LEDGER:
        if content is not None:
            keep(tree, file.sha256, content, size=file.size, mtime_ns=file.mtime_ns)
        note = replace(plan.note, why=plan.note.why + NOWHERE) if lost else plan.note
        taken.entries.append(file_entry(file, here, note))
    if content is not None:
        content.drain()
    taken.stand.append(here or replace(file, present=False, sha256="", size=0))


def _place(tree: Tree, file: CatalogueFile, content: Source, here: CatalogueFile | None) -> CatalogueFile | None:
    """Put a file in its place; None if what stands there, looked at last of all, is not `here` any more. What it replaces is kept."""
    with tree.placing() as placing:
        placing.write(file.path, content, size=file.size, mtime_ns=file.mtime_ns, mode=file.mode)
        placing.sync()
        if not _rests(tree, file.path, here):
            return None
        (placed,) = placing.put({file.path: here.sha256 if here is not None and here.present else file.sha256})
    return as_on_disk(file, placed)


def _rests(tree: Tree, path: bytes, here: CatalogueFile | None) -> bool:
    """Whether the disk holds what the catalogue says."""
    found = tree.stat(path)
    if here is None or not here.present:
        return found is None
    return found is not None and here.rests(found)

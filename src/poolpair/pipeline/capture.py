"""Capture: find out what changed here since the last package. In: the store's log, the tree of files. Out: `Captured`.

Rows are logged by triggers while the application writes; here they are only counted. Files are found by a scan that compares size,
time and inode with the catalogue and hashes only what differs; and once more what was written to in the present tick of its file
system's clock. A file that an unfinished apply was about to place is no change of ours; a file of a home not served here that changed is
counted as foreign and shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

from poolpair.errors import PoolpairError
from poolpair.model import Channel
from poolpair.pipeline.reach import look_at_tree
from poolpair.pipeline.site import Counts, FileHome, Site, counts_name, inbound_name, outbound_name
from poolpair.pipeline.spooled_files import spool_late
from poolpair.protocol import compare_anew
from poolpair.state import CaptureMark, Inbound, Outbound
from poolpair.store.port import Transaction
from poolpair.store.tree import FileVanished, Tree, TreeFile, text
from poolpair.store.values import CatalogueFile, Dropped

CAPTURE_MARK = "capture/mark"
BATCH_BYTES = 1 << 30
"""Hashed in about ten seconds."""
ALIVE_BYTES = 256 << 20
"""Of one file, between two signs of life for a watchdog."""
CHUNK_BYTES = 1 << 20
UNSETTLED_NS = -1
"""The time of change that is noted of a file which may change again under the one that it has: the next scan reads it once more."""
BATCH_FILES = 500
"""Files hashed between two commits: the application waits for one batch at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What waits to be packed: so many entries for groups and files."""

    pending: int


def capture(site: Site, channel: Channel, *, rescan: bool = False) -> Captured:
    """Count what changed. `rescan` looks at every file even if no directory changed. Raises CAPTURE_BROKEN, PROFILE, TREE."""
    site.memory.looked[channel] = (
        site.memory.echo
    )  # before anything is looked at: what it proves was accepted before that
    # Here and not only before packing: with its triggers gone nothing would ever seem to be there to be packed.
    note_schema(site, site.store.check_capture())
    if channel is Channel.CONFERENCES and site.tree is not None:
        scan(site, site.tree, rescan=rescan)
    out = site.store.read(Outbound, outbound_name(channel))
    base_token = out.base_token if out else 0
    looked_s = site.clock.monotonic_s()
    found = site.store.look(channel, site.served(), base_token)
    if found.foreign:
        with site.store.transaction() as tx:
            drop_foreign(site, tx, channel)
        found = site.store.look(channel, site.served(), base_token)
    pending = found.pending
    if pending:
        site.memory.captured_s.setdefault(channel, site.clock.monotonic_s())
    else:
        site.memory.captured_s.pop(channel, None)
        site.memory.clean_s[channel] = looked_s
    return Captured(pending=pending)


def drop_foreign(site: Site, tx: Transaction, channel: Channel) -> bool:
    """Count what somebody wrote into rows that are not served here; says whether there was any. No earlier comparison speaks of them."""
    dropped = tx.drop_foreign(channel, site.served())
    if not (dropped.foreign or dropped.unhomed):
        return False
    site.memory.proved.pop(channel, None)
    _count(tx, channel, dropped)
    return True


def note_schema(site: Site, mark: str) -> None:
    """Compare both copies anew when tables or triggers were put back: what was written while they were away is in no log.

    The partner's rows here may have changed as well: they are not known to be complete any more, which its side hears.
    """
    known = site.store.read(CaptureMark, CAPTURE_MARK)
    if known is not None and known.mark == mark:
        return
    site.memory.proved.clear()
    with site.store.transaction() as tx:
        for channel in site.channels if known is not None else ():
            out = tx.load(Outbound, outbound_name(channel))
            if out is not None:
                tx.save(outbound_name(channel), compare_anew(out, "tables or triggers were put back"))
            inbound = tx.load(Inbound, inbound_name(channel))
            if inbound is not None:
                tx.save(inbound_name(channel), replace(inbound, complete=(), doubts=True))
        tx.save(CAPTURE_MARK, CaptureMark(mark=mark))


def _count(tx: Transaction, channel: Channel, more: Dropped) -> None:
    """Count at once. Of what has no home only that there is some: how much is counted whole once per interval."""
    counts = tx.load(Counts, counts_name(channel)) or Counts()
    fresh = replace(
        counts, foreign_writes=counts.foreign_writes + more.foreign, unhomed=max(counts.unhomed, more.unhomed)
    )
    tx.save(counts_name(channel), fresh)


def scan(site: Site, tree: Tree, *, rescan: bool) -> None:
    """Look at the tree if a directory changed, or if the last whole look is older than the interval."""
    memory, now = site.memory, site.clock.monotonic_s()
    hint = look_at_tree(site, tree)
    due = memory.scanned_s is None or now - memory.scanned_s >= site.limits.interval_s
    if not (rescan or due or hint != memory.tree_hint):
        return
    unreadable: dict[str, str] = {}
    diff = site.store.compare_tree(tree.scan(lambda path: site.file_home(path) is not None))
    tick_ns = tree.now_ns() if diff.changed else 0
    for batch in _batches(diff.changed):
        _note(site, tree, batch, unreadable, tick_ns)
    for start in range(0, len(diff.vanished), BATCH_FILES):
        _note_vanished(site, tree, unreadable, diff.vanished[start : start + BATCH_FILES])
    if memory.restless:
        moving = {found.path for found in diff.changed}
        memory.restless = {path: since_s for path, since_s in memory.restless.items() if path in moving}
    _note_unreadable(site, unreadable)
    memory.tree_hint, memory.scanned_s = hint, now


def _batches(files: Iterable[TreeFile]) -> Iterator[list[TreeFile]]:
    """What is hashed before it is noted: whoever is ended in a look that takes hours goes on from there."""
    batch, batch_bytes = list[TreeFile](), 0
    for found in files:
        batch.append(found)
        batch_bytes += found.size
        if len(batch) == BATCH_FILES or batch_bytes >= BATCH_BYTES:
            yield batch
            batch, batch_bytes = [], 0
    yield batch


def _note_unreadable(site: Site, unreadable: dict[str, str]) -> None:
    """One file that cannot be read holds up its conference, not the others."""
    site.memory.unreadable = frozenset(unreadable)
    with site.store.transaction() as tx:
        counts = tx.load(Counts, counts_name(Channel.CONFERENCES)) or Counts()
        said = tuple(sorted(unreadable.values()))[:1000]
        if counts.unreadable != said:
            tx.save(counts_name(Channel.CONFERENCES), replace(counts, unreadable=said))


def _unless_settled(entry: CatalogueFile, tick_ns: int) -> CatalogueFile:
    """A file whose last write is no older than the tick in which it is read may be written to within that tick, which no time shows."""
    return replace(entry, ctime_ns=UNSETTLED_NS) if 0 < tick_ns <= entry.ctime_ns else entry


def _note(site: Site, tree: Tree, files: list[TreeFile], unreadable: dict[str, str], tick_ns: int) -> None:
    hashed = [_unless_settled(entry, tick_ns) for entry in _hash_all(site, tree, files, unreadable)]
    served = site.served()
    with site.store.transaction() as tx:
        applied, own, foreign, moved = [], [], [], []
        for entry in hashed:
            known = tx.file(entry.path)
            same = known if known is not None and known.present and known.sha256 == entry.sha256 else None
            whose = (same.home, same.conference) if same else None
            if whose == (entry.home, entry.conference) or tx.placing(entry.path) == entry.sha256:
                applied.append(entry)
            elif entry.home in served:
                own.append(entry)
            elif same:  # [homes] or the profile gave it to somebody else
                moved.append(replace(entry, foreign=same.foreign))
            else:
                foreign.append(replace(entry, foreign=True))
        tx.touch_files(applied)
        tx.note_files(own, log=True)
        tx.note_files((*foreign, *moved), log=False)
        spool_late(tx, foreign)
        _count_files(tx, foreign)


def _count_files(tx: Transaction, entries: list[CatalogueFile]) -> None:
    """Count files that changed here though nobody is served here whose they are."""
    homed = sum(1 for entry in entries if entry.home)
    unhomed = sum(1 for entry in entries if entry.present and not entry.home)
    if homed or unhomed:
        _count(tx, Channel.CONFERENCES, Dropped(foreign=homed, unhomed=unhomed))


def _note_vanished(site: Site, tree: Tree, unreadable: dict[str, str], paths: tuple[bytes, ...]) -> None:
    """Note what is gone; a file in whose place, or above it, a link or device stands now was not deleted: it is named, its copy stays."""
    served = site.served()
    odd = {path: owner for path in paths if tree.is_odd(path) and (owner := site.file_home(path))}
    for path, owner in odd.items():
        unreadable[owner.conference] = f"{text(path)} became a link or a device, or lies behind one: not carried"
    paths = tuple(path for path in paths if path not in odd)
    with site.store.transaction() as tx:
        known = [entry for path in paths if (entry := tx.file(path)) is not None]
        gone = [_gone(entry, site.file_home(entry.path)) for entry in known]
        tx.note_files([entry for entry in gone if entry.home in served], log=True)
        foreign = [entry for entry in gone if entry.home not in served]
        tx.note_files(foreign, log=False)
        _count_files(tx, foreign)


def _gone(entry: CatalogueFile, owner: FileHome | None) -> CatalogueFile:
    """The absence of a file, for whom it belongs to now; what the profile does not carry any more belongs to nobody."""
    home, conference = (owner.home, owner.conference) if owner else ("", "")
    return replace(entry, present=False, sha256="", size=0, home=home, conference=conference)


def _hash_all(site: Site, tree: Tree, files: list[TreeFile], unreadable: dict[str, str]) -> Iterator[CatalogueFile]:
    for found in files:
        owner = site.file_home(found.path)
        if owner is None:
            continue
        try:
            digest = _hash(tree, found.path, site.memory.alive)
        except FileVanished:
            continue  # it went away meanwhile; the next scan sees that
        except PoolpairError as error:
            tree.stat(found.path)  # raises too if it is not this one file but the whole tree
            unreadable[owner.conference] = error.detail
            continue
        if tree.stat(found.path) != found:
            # It is still being written; a scan takes it when it rests. One that never does is named.
            if _is_restless(site, found.path):
                unreadable[owner.conference] = f"{text(found.path)} does not come to rest"
            continue
        site.memory.restless.pop(found.path, None)
        yield CatalogueFile(
            path=found.path,
            size=found.size,
            mtime_ns=found.mtime_ns,
            inode=found.inode,
            mode=found.mode,
            ctime_ns=found.ctime_ns,
            sha256=digest,
            home=owner.home,
            conference=owner.conference,
        )


def _is_restless(site: Site, path: bytes) -> bool:
    """Whether a file has been written to at every look for longer than the interval."""
    now = site.clock.monotonic_s()
    return now - site.memory.restless.setdefault(path, now) >= site.limits.interval_s


def _hash(tree: Tree, path: bytes, alive: Callable[[], object]) -> str:
    digest, left = sha256(), 0
    with tree.open(path) as source:
        while chunk := source.read(CHUNK_BYTES):
            if left <= 0:
                alive()
                left = ALIVE_BYTES
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()

"""Capture: find out what changed here since the last package. In: the store's log, the tree of files. Out: `Captured`.

Rows are logged by triggers while the application writes; here they are only counted. Files are found by a scan that compares size,
time and inode with the catalogue and hashes only what differs. A file that an unfinished apply was about to place is no change of
ours; a file of a home not served here that changed is counted as foreign and shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

from poolpair.model import Channel
from poolpair.pipeline.site import Counts, FileHome, Site, counts_name, outbound_name
from poolpair.state import Outbound
from poolpair.store.port import Transaction
from poolpair.store.tree import FileVanished, Tree, TreeFile
from poolpair.store.values import CatalogueFile

CHUNK_BYTES = 1 << 20
BATCH_FILES = 500
"""Files hashed between two commits: the application waits for one batch at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What waits to be packed: `pending` groups and files."""

    pending: int


def capture(site: Site, channel: Channel, *, rescan: bool = False) -> Captured:
    """Count what changed. `rescan` looks at every file even if no directory changed. Raises CAPTURE_BROKEN, PROFILE, TREE."""
    # Here and not only before packing: with its triggers gone nothing would ever seem to be there to be packed.
    site.store.check_capture()
    if channel is Channel.CONFERENCES and site.tree is not None:
        _scan(site, site.tree, rescan=rescan)
    with site.store.transaction() as tx:
        out = tx.load(Outbound, outbound_name(channel))
        foreign = tx.drop_foreign(channel, site.served())
        if foreign:
            _count_foreign(tx, channel, foreign)
        pending = tx.pending(channel, out.base_token if out else 0)
    if pending:
        site.memory.captured_s.setdefault(channel, site.clock.monotonic_s())
    else:
        site.memory.captured_s.pop(channel, None)
    return Captured(pending=pending)


def _count_foreign(tx: Transaction, channel: Channel, more: int) -> None:
    counts = tx.load(Counts, counts_name(channel)) or Counts()
    tx.save(counts_name(channel), replace(counts, foreign_writes=counts.foreign_writes + more))


def _scan(site: Site, tree: Tree, *, rescan: bool) -> None:
    """Look at the tree if a directory changed, or if the last whole look is older than the interval."""
    memory, now = site.memory, site.clock.monotonic_s()
    hint = tree.hint()
    due = memory.scanned_s is None or now - memory.scanned_s >= site.limits.interval_s
    if not (rescan or due or hint != memory.tree_hint):
        return
    diff = site.store.compare_tree(tree.scan(lambda path: site.file_home(path) is not None))
    batch: list[TreeFile] = []
    for found in diff.changed:
        batch.append(found)
        if len(batch) == BATCH_FILES:
            _note(site, tree, batch)
            batch = []
    _note(site, tree, batch)
    for start in range(0, len(diff.vanished), BATCH_FILES):
        _note_vanished(site, diff.vanished[start : start + BATCH_FILES])
    memory.tree_hint, memory.scanned_s = hint, now


def _note(site: Site, tree: Tree, files: list[TreeFile]) -> None:
    hashed = list(_hash_all(site, tree, files))
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
        homed = sum(1 for entry in foreign if entry.home)
        if homed:
            _count_foreign(tx, Channel.CONFERENCES, homed)


def _note_vanished(site: Site, paths: tuple[bytes, ...]) -> None:
    served = site.served()
    with site.store.transaction() as tx:
        known = [entry for path in paths if (entry := tx.file(path)) is not None]
        gone = [_gone(entry, site.file_home(entry.path)) for entry in known]
        tx.note_files([entry for entry in gone if entry.home in served], log=True)
        foreign = [entry for entry in gone if entry.home not in served]
        tx.note_files(foreign, log=False)
        homed = sum(1 for entry in foreign if entry.home)
        if homed:
            _count_foreign(tx, Channel.CONFERENCES, homed)


def _gone(entry: CatalogueFile, owner: FileHome | None) -> CatalogueFile:
    """The absence of a file, for whom it belongs to now; what the profile does not carry any more belongs to nobody."""
    home, conference = (owner.home, owner.conference) if owner else ("", "")
    return replace(entry, present=False, sha256="", size=0, home=home, conference=conference)


def _hash_all(site: Site, tree: Tree, files: list[TreeFile]) -> Iterator[CatalogueFile]:
    for found in files:
        owner = site.file_home(found.path)
        if owner is None:
            continue
        try:
            digest = _hash(tree, found.path)
        except FileVanished:
            continue  # it went away meanwhile; the next scan sees that
        if tree.stat(found.path) != found:
            continue  # it is still being written; the next scan takes it when it rests
        yield CatalogueFile(
            path=found.path,
            size=found.size,
            mtime_ns=found.mtime_ns,
            inode=found.inode,
            mode=found.mode,
            sha256=digest,
            home=owner.home,
            conference=owner.conference,
        )


def _hash(tree: Tree, path: bytes) -> str:
    digest = sha256()
    with tree.open(path) as source:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()

"""Files of the spool: put there when another reign is adopted, packed as they were then, or taken back by a pool that serves again.

The store keeps what the catalogue knew; the bytes stay in the tree. Whatever the new server sends in their place sets them aside under
their digest first, so that they are found in one of the two places until they have arrived.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from poolpair.format.package import PackageWriter
from poolpair.model import Channel, Recovered
from poolpair.pipeline.kept import find_kept
from poolpair.pipeline.pack_files import FileMembers
from poolpair.pipeline.site import Late, Site, late_name, recovery_name, recovery_prefix
from poolpair.state import Recovery
from poolpair.store.ledger_files import file_entry
from poolpair.store.port import Transaction
from poolpair.store.tree import Tree
from poolpair.store.values import CatalogueFile, LedgerNote, PackedFile


def spool_files(site: Site, tx: Transaction, first: int, brings: Recovered, since: int | None) -> tuple[int, ...]:
    """Spool the files of a home, cut into recoveries from number `first` on; returns how many each of them has."""
    counts = tx.file_spool.keep(first, brings.home, since, site.limits.package_max_bytes)
    for number, files in enumerate(counts, first):
        recovery = Recovery(number=number, brings=brings, files=files)
        tx.save(recovery_name(Channel.CONFERENCES, number), recovery)
    return counts


def spool_late(tx: Transaction, files: list[CatalogueFile]) -> None:
    """Spool those files that were written while another reign was adopted: after the scan before it, and before the fence."""
    for home in sorted({file.home for file in files if file.home}):
        late = tx.load(Late, late_name(home))
        mine = [file for file in files if file.home == home and file.present]
        if late is not None and mine:
            names = tx.names(recovery_prefix(Channel.CONFERENCES))
            number = 1 + (int(names[-1].rpartition("/")[2]) if names else 0)
            tx.file_spool.add(number, mine)
            recovery = Recovery(number=number, brings=late.brings, files=len(mine))
            tx.save(recovery_name(Channel.CONFERENCES, number), recovery)


def pack_spooled(tree: Tree | None, writer: PackageWriter, files: tuple[CatalogueFile, ...]) -> Iterator[PackedFile]:
    """Pack what was spooled. What is in no place any more is named all the same: it has no bytes, and goes to the ledger."""
    with FileMembers(writer) as members:
        for file in files:
            if not file.present:
                yield members.add_deletion(file)
            else:
                yield _find(tree, members, file) or members.add_lost(file)


def _find(tree: Tree | None, members: FileMembers, file: CatalogueFile) -> PackedFile | None:
    if tree is None:
        return None
    here = tree.stat(file.path)
    found = members.add(file, partial(tree.open, file.path)) if here is not None and here.size == file.size else None
    if found is None and (name := find_kept(tree, file.sha256)) is not None:
        found = members.add(file, partial(tree.kept, name))
    return found


def reclaim_files(tx: Transaction, number: int, note: LedgerNote) -> None:
    """The home is served here again: every spooled file is logged as it stands now; where it is another, both go to the ledger."""
    for file in tx.file_spool.files(number):
        here, placing = tx.file(file.path), tx.placing(file.path)
        stands = here if here is not None and here.present else None
        if stands is not None and placing:  # a package of the partner's may have replaced it on disk already
            stands = replace(stands, sha256=placing)
        if (stands.sha256 if stands else "") != (file.sha256 if file.present else ""):
            tx.enter(file_entry(file, stands, note))
        if placing is None:
            tx.note_files([here or replace(file, present=False, sha256="", size=0)], log=True)

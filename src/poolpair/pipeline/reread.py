"""Reread: an operator's `verify` trusts no catalogue. In: digests to be compared. Out: a catalogue of what the disk holds now.

A disk may give other bytes than were written, with size, times and inode as they were. So the files in question are put in doubt, once,
and the scan reads them. What it cannot read, or what somebody is writing, is not known to be right, and so counts as different.
"""

from __future__ import annotations

from dataclasses import replace

from poolpair.model import Channel
from poolpair.pipeline.capture import scan
from poolpair.pipeline.site import Site, owed_name
from poolpair.state import Owed
from poolpair.store.tree import Tree


def reread(site: Site, tree: Tree, owed: Owed, homes: tuple[str, ...]) -> None:
    """Read every file of these homes again; killed anywhere, it goes on with what is still in doubt. Raises TREE."""
    if not owed.doubted:
        with site.store.transaction() as tx:
            tx.doubt_files(homes)
            tx.save(owed_name(Channel.CONFERENCES), replace(owed, doubted=True))
    scan(site, tree, rescan=True)
    with site.store.transaction() as tx:
        unread = tx.doubted_files(homes)
        tx.note_files((replace(file, sha256="", foreign=True) for file in unread), log=False)

"""What an operator decides about refused files: they may go, once somebody has looked at them.

Nothing of them is needed: what was refused is sent again, and what a dead pool left and nobody could apply is in the ledger, or is known
by its name alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from poolpair.decisions import nudge
from poolpair.errors import Code, PoolpairError
from poolpair.pipeline.site import Counts, Site, counts_name
from poolpair.share.port import QUARANTINE, REASON_SUFFIX, Quarantined


def chosen_files(site: Site, names: Collection[str]) -> tuple[Quarantined, ...]:
    """The refused files of these names, all without any. Raises USAGE for a name that none has."""
    found = site.own.quarantined()
    known = {file.name for file in found}
    for name in names:
        if name not in known:
            raise PoolpairError(
                Code.USAGE, f"no refused file is called {name}", "`poolpair quarantine list` names them"
            )
    return tuple(file for file in found if not names or file.name in names)


def clear_files(site: Site, files: Collection[Quarantined]) -> int:
    """Delete refused files, each with its reason, and count anew what is left; returns how many went.

    Which channel a file came on is not known any more: none counts more than are left, and one that comes meanwhile is never left out.
    """
    gone = 0
    for file in files:
        gone += site.own.remove(QUARANTINE, file.name)
        site.own.remove(QUARANTINE, file.name + REASON_SUFFIX)
    left = len(site.own.quarantined())
    with site.store.transaction() as tx:
        for channel in site.channels:
            counts = tx.load(Counts, counts_name(channel)) or Counts()
            if counts.quarantined > left:
                tx.save(counts_name(channel), replace(counts, quarantined=left))
    nudge(site)
    return gone

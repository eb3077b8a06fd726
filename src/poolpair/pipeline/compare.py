"""Compare: answer the digests that came with the applied package. In: `Owed`. Out: an answer, complete marks, and perhaps a reign.

Digests of everything are compared on a view taken before anything else is applied. If all is equal, what was found is remembered while this
process lives: a later package may bring digests of nothing but what changed since (`Manifest.since`). Those are as good as a
comparison of everything only if every other group is what it was, at both ends. At the origin the log says so. Here it is so as long as
nothing but deltas of that log was applied, nothing of the application's ran beside them, nobody wrote, and no table was changed:
whatever else happens forgets the proof, and so does the end of this process.
"""

from __future__ import annotations

from dataclasses import replace

from poolpair.errors import Code, PoolpairError
from poolpair.model import Answer, Channel, Reign
from poolpair.pipeline.adopt import begin_reign
from poolpair.pipeline.capture import drop_foreign, note_schema
from poolpair.pipeline.reread import reread
from poolpair.pipeline.site import Counts, Site, counts_name, inbound_name, owed_name
from poolpair.state import Inbound, Owed, Proof
from poolpair.store.buckets import differing


def compare(site: Site, channel: Channel) -> bool:
    """Answer digests that came with the applied package; sets or clears the complete marks of the homes they cover."""
    owed = site.store.read(Owed, owed_name(channel))
    if owed is None:
        return False
    if owed.since is not None:
        return compare_changed(site, channel, owed)
    site.memory.proved.pop(channel, None)
    homes = tuple(sorted({digests.home for digests in owed.digests}))
    if owed.reread and channel is Channel.CONFERENCES and site.tree is not None:
        reread(site, site.tree, owed, homes)
    with site.store.snapshot() as view:
        definition = view.definition()
        here = view.digests(channel, homes, owed.digests, frozenset(owed.left_behind), owed.tables)
        found = differing(owed.digests, here)
    unequal = {buckets.home for buckets in found}
    handed = tuple(reign for reign in owed.hands if _may_take(site, reign, unequal, owed))
    with site.store.transaction(fencing=bool(handed)) as tx:
        inbound = tx.load(Inbound, inbound_name(channel)) or Inbound()
        # Whoever wrote here meanwhile may have done so after the view.
        foreign = bool(handed) and drop_foreign(site, tx, channel)
        if foreign:
            handed = ()
        if inbound.waiting:  # nothing of these is asked for, and no home is whole without them, nor handed over
            handed = ()
            waits = {table.number for table in inbound.waiting}
            found, unequal = tuple(buckets for buckets in found if buckets.table not in waits), set(homes)
        complete = (set(inbound.complete) | set(homes)) - unequal
        answer = Answer(package_id=owed.package_id, differs=found)
        fresh = replace(inbound, answer=answer, complete=tuple(sorted(complete)), doubts=False)
        if inbound.settled is not None:
            fresh = replace(fresh, settled=tuple(sorted(complete.union(inbound.settled))))
        tx.save(inbound_name(channel), fresh)
        proves = not (unequal or foreign) and not owed.left_behind and inbound.applied is not None
        if proves:
            # What somebody wrote here into the partner's rows is proved undone.
            counts = tx.load(Counts, counts_name(channel)) or Counts()
            tx.save(counts_name(channel), replace(counts, foreign_writes=0))
        tx.delete(owed_name(channel))
        for reign in handed:
            begin_reign(site, tx, reign.home, "handover", complete=True)
    if handed:
        site.memory.serving.clear()
    elif proves and inbound.applied is not None and not site.store.parked():
        site.memory.proved[channel] = Proof(position=inbound.applied, token=0, definition=definition)
    return True


def compare_changed(site: Site, channel: Channel, owed: Owed) -> bool:
    """Answer digests of what changed since a comparison. They count if that was equal, and if nothing else was changed here since.

    A process that did not see it all itself says that everything is to be compared; so does one that is not certain.
    """
    proved, changed = _proved(site, channel), owed.changed
    needed = Proof(position=owed.since, token=0, definition=changed.definition) if owed.since and changed else None
    unequal = {buckets.home for buckets in differing(owed.digests, changed.digests if changed else ())}
    stands = not unequal and needed is not None and proved == needed
    handed = tuple(reign for reign in owed.hands if stands and _may_take(site, reign, set(), owed))
    with site.store.transaction(fencing=bool(handed)) as tx:
        inbound = tx.load(Inbound, inbound_name(channel)) or Inbound()
        if drop_foreign(site, tx, channel) or inbound.waiting or inbound.doubts:
            stands, handed = False, ()
        answer = Answer(package_id=owed.package_id, unproved=not stands)
        complete = tuple(home for home in inbound.complete if home not in unequal)
        tx.save(inbound_name(channel), replace(inbound, answer=answer, complete=complete))
        tx.delete(owed_name(channel))
        for reign in handed:
            begin_reign(site, tx, reign.home, "handover", complete=True)
    if handed:
        site.memory.serving.clear()
    return True


def _proved(site: Site, channel: Channel) -> Proof | None:
    """What is still proved when capture was looked at once more: with its triggers gone nobody's writes would be seen."""
    try:
        note_schema(site, site.store.check_capture())
    except PoolpairError as error:
        if error.code is not Code.CAPTURE_BROKEN:
            raise
        site.memory.proved.clear()
    return site.memory.proved.pop(channel, None)


def _may_take(site: Site, reign: Reign, unequal: set[str], owed: Owed) -> bool:
    """Whether a final package hands its home over: equal, nothing parked or left behind, and still the reign that it was cut in.

    Its digests are of rows. That somebody wrote into files here, or deleted some, is known, and only another comparison mends it.
    """
    files = site.store.read(Counts, counts_name(Channel.CONFERENCES)) or Counts()
    whole = reign.home not in unequal and not owed.left_behind and not site.store.parked()
    whole = whole and not files.foreign_writes
    return whole and site.serving(reign.home).present.reign_id == reign.reign_id

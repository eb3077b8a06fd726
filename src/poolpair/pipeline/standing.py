"""Standing: a package of a reign that a takeover ended cannot be applied any more. In: such a package. Out: entries of the ledger.

It may be all that is left of what its pool had accepted, so what it holds and this pool lacks is listed before it goes to Quarantine.
Nothing else is written here: its groups stay out of the reign set, or what the pool hands in when it returns could not be merged. As it
does so the entries are off the list. Killed anywhere, this is done again and finds its own entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import PackageName, data_dir
from poolpair.format.package import PackageReader
from poolpair.model import Channel, Manifest, PackageKind, Reign
from poolpair.pipeline.apply_files import Members
from poolpair.pipeline.kept import keep
from poolpair.pipeline.pack import ROWS_MEMBER
from poolpair.pipeline.site import Site
from poolpair.pipeline.unpack import extract_rows
from poolpair.reigns import serves
from poolpair.store.ledger_files import file_entry
from poolpair.store.port import Incoming, Transaction
from poolpair.store.values import Choice, LedgerEntry, LedgerNote, Reclaimed, RecoverPlan

WHY = "in a package that was not applied when its users were taken over"


def list_standing(site: Site, channel: Channel, name: PackageName) -> None:
    """Enter what a package holds of homes that were taken over from the partner, until that has handed in what it had.

    Raises Refused, STORE_*, SCHEMA, TREE, SCRATCH, SHARE_*.
    """
    manifest = site.memory.manifests.get(name.name)
    if manifest is None or manifest.kind is PackageKind.RECOVERED:
        return
    homes = [home for home in manifest.served if _is_awaited(site, channel, home)]
    if not homes:
        return
    rows = site.scratch_file(f"in-{channel}-rows")
    try:
        with site.own.open(data_dir(channel), name.name) as source:
            reader = PackageReader(
                source, site.ring, reader_pool=site.pool, origin=site.partner, channel=channel, name=name
            )
            reader.check(but=ROWS_MEMBER)
            extract_rows(site, reader, rows)
            with site.store.incoming(rows, channel, manifest.tables) as incoming:
                for home in homes:
                    _enter(site, reader, incoming, _plan(site, channel, manifest, home))
    finally:
        rows.unlink(missing_ok=True)


def _is_awaited(site: Site, channel: Channel, home: str) -> bool:
    mine = site.serving(home)
    return serves(mine, site.pool, site.partner) and mine.present.began == "takeover" and channel in mine.open


def _plan(site: Site, channel: Channel, manifest: Manifest, home: str) -> RecoverPlan:
    """Entries name the reign in which the package was cut: a conflict that comes up in a later one is another entry."""
    reign = next((each for each in reversed(manifest.homes) if each.home == home), Reign(home=home))
    note = LedgerNote(reign_id=reign.reign_id, why=WHY, now_utc=site.clock.utc_iso(), state=Choice.STANDING)
    return RecoverPlan(channel=channel, home=home, reign_token=0, merge=False, note=note)


def _enter(site: Site, reader: PackageReader, incoming: Incoming, plan: RecoverPlan) -> None:
    entries = tuple(_file_entries(site, reader, incoming, plan)) if reader.manifest.files else ()

    def record(tx: Transaction, _found: Reclaimed) -> None:
        for entry in entries:
            tx.enter(entry)

    incoming.recover(plan, record)


def _file_entries(site: Site, reader: PackageReader, incoming: Incoming, plan: RecoverPlan) -> Iterator[LedgerEntry]:
    """Keep what files of the home held that are not here like that."""
    if site.tree is None:
        raise PoolpairError(Code.TREE, "the partner sends files, but `files` is not set in this pool's file")
    with ExitStack() as stack:
        members = Members(reader, stack)
        for packed in incoming.files():
            file, content = packed.file, members.part(packed) if packed.file.present else None
            owner = site.file_home(file.path)
            with site.store.transaction() as tx:
                known = tx.file(file.path)
            here = known if known is not None and known.present else None
            mine = owner is not None and owner.home == file.home == plan.home
            if mine and (here.sha256 if here else "") != (file.sha256 if file.present else ""):
                if content is not None:
                    keep(site.tree, file.sha256, content, size=file.size, mtime_ns=file.mtime_ns)
                yield file_entry(file, here, plan.note)
            if content is not None:
                content.drain()

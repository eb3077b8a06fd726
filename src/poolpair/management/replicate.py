"""Replication, the store's side: each server is sent what its last answer lacks. Only the pool that holds the store does it.

It is not the backup: that keeps the other pool of the pair able to hold the store. What this side remembers of each server is for status
alone; what is sent goes by the server's own answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format import documents
from poolpair.format.keys import KeyRing
from poolpair.format.layout import REPLICA_NAME, REPORT_NAME, replica_folders
from poolpair.format.small import MAX_SMALL_BYTES, open_small, seal_small
from poolpair.management.documents import Document, Documents
from poolpair.management.members import STORE, newest_sealed, ring_of
from poolpair.management.replica import Replica, Report, is_up_to_date, mark_of, public, update_for
from poolpair.management.topology import TOPOLOGY, Topology, TopologyPool, parse_topology
from poolpair.management.words import PoolWord
from poolpair.model import Fault, new_nonce
from poolpair.pipeline.site import Site, outbound_name
from poolpair.reigns import takes_writes
from poolpair.share.port import PartnerShare
from poolpair.state import Outbound

REFRESH_S = 20.0
"""A server that has everything is written to all the same, so that its answer tells how old it is."""
SILENT_S = 150.0
"""An answer is asked for every REFRESH_S, and noted once a minute."""
SKEW_S = 5.0
"""By so much two clocks may differ that say when it was heard and what time it is."""
RETRY_S = 5.0
"""A server that lacks something is written to once more: what was sent may be lost."""
REPLICATION = "replication"
REPLICAS = "replica/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """Which state of all documents was made into which replica last."""

    term: int
    serial: int
    digest: str
    again: int = 0
    """Counts orders to send everything to everybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaState:
    """What the store knows of one server's replica; for `cms status`."""

    pool: str
    front_end: str
    up_to_date: bool = False
    since_utc: str = ""
    """Since when it is, or is not."""
    term: int = 0
    serial: int = 0
    heard_utc: str = ""
    fault: Fault | None = None
    release: str = ""
    files: tuple[str, ...] = ()
    """Watched files that are not as they were published there, and why."""
    again: int = 0
    """The newest order to send everything that it answered."""

    def is_silent(self, now_utc: str) -> bool:
        """Whether it has not answered for longer than a server that lives leaves unanswered: what it had then is not what it has."""
        if not self.heard_utc:
            return True
        silent_s = (datetime.fromisoformat(now_utc) - datetime.fromisoformat(self.heard_utc)).total_seconds()
        return not -SKEW_S <= silent_s <= SILENT_S  # a clock that was set back makes nobody younger


def digest_of_all(newest: Iterable[Document]) -> str:
    """By which one state of all documents is told from another."""
    said = "\n".join(f"{each.name} {mark_of(each)}" for each in public(newest))
    return sha256(said.encode()).hexdigest()


def is_caught_up(site: Site, newest: Iterable[Document]) -> bool:
    """Whether these documents are what the servers were sent last, and each of them has that."""
    known = site.store.read(Replication, REPLICATION)
    if known is None or known.digest != digest_of_all(newest):
        return False
    there = tuple(states(site))
    return bool(there) and all(
        each.up_to_date and (each.term, each.serial, each.again) == (known.term, known.serial, known.again)
        for each in there
    )


def replica_name(pool: str, front_end: str) -> str:
    """The document of one server's state."""
    return f"{REPLICAS}{pool}/{front_end}"


class Replicator:
    """Sends to all servers, one round after the other. `share_of` opens the share of a pool."""

    def __init__(
        self, site: Site, there: Documents, home: str, share_of: Callable[[TopologyPool], PartnerShare]
    ) -> None:
        self._site, self._there, self._home = site, there, home
        self._share_of = share_of
        self._shares: dict[str, tuple[str, PartnerShare]] = {}
        self._sent: dict[str, tuple[float, tuple[object, ...], str]] = {}
        """By server: when it was written to, what that was by, and the nonce."""
        self._words: dict[tuple[str, str], tuple[float, Report]] = {}
        """By server: the newest answer with a word, and when it came."""

    def round(self) -> bool:
        """Look at every server once; returns whether all have everything. Raises STORE_*, LEASE, TOPOLOGY."""
        site = self._site
        site.memory.serving.clear()
        serving = site.serving(self._home)
        out = site.store.read(Outbound, outbound_name(site.lead))
        if not takes_writes(serving, site.pool, site.partner) or out is None or out.stopped is not None:
            return True
        newest = newest_sealed(self._there, self._site.ring, self._site.clock.utc_iso())
        document = next((each for each in newest if each.name == TOPOLOGY and each.body), None)
        if document is None:
            return True
        topology, replication = parse_topology(document.body), self._marked(newest, serving.present.epoch)
        current = Replica(term=replication.term, serial=replication.serial, documents=public(newest))
        wanted = [(pool, name) for pool in topology.pools for name in pool.front_ends]
        self._forget_others(topology)
        return all([self._attend(pool, name, current, newest, replication.again) for pool, name in wanted])

    def _marked(self, newest: tuple[Document, ...], term: int) -> Replication:
        """The next serial whenever a document is another one, from 1 in each term."""
        digest = digest_of_all(newest)
        known = self._site.store.read(Replication, REPLICATION)
        if known is not None and (known.term, known.digest) == (term, digest):
            return known
        with self._site.store.transaction() as tx:
            known = tx.load(Replication, REPLICATION)
            serial = known.serial + 1 if known is not None and known.term == term else 1
            made = Replication(term=term, serial=serial, digest=digest, again=known.again if known else 0)
            tx.save(REPLICATION, made)
        return made

    def _attend(
        self, pool: TopologyPool, front_end: str, current: Replica, newest: tuple[Document, ...], again: int
    ) -> bool:
        report, fault = None, None
        try:
            share, ring = self._share(pool), ring_of(pool.name, self._pair, self._site.ring, newest)
            report = self._read(share, ring, pool.name, front_end)
            if report is not None:
                self._hear(report)
            if report is not None and report.term == current.term and report.serial > current.serial:
                detail = f"{front_end} has serial {report.serial}, this store only {current.serial}: it was set back"
                hint = (
                    "if what is here shall count: `poolpair --cms setback show`, then `poolpair cms replicate --full`"
                )
                raise PoolpairError(Code.STORE_SET_BACK, detail, hint)
            self._send(share, ring, pool.name, front_end, current, report, again)
        except PoolpairError as error:
            fault = self._site.fault(error)
        self._note(pool.name, front_end, current, report, fault)
        return fault is None and is_up_to_date(current, report)

    @property
    def _pair(self) -> tuple[str, str]:
        return self._site.pool, self._site.partner

    def _share(self, pool: TopologyPool) -> PartnerShare:
        known = self._shares.get(pool.name)
        if known is None or known[0] != pool.share:
            known = self._shares[pool.name] = (pool.share, self._share_of(pool))
        return known[1]

    def _read(self, share: PartnerShare, ring: KeyRing, pool: str, front_end: str) -> Report | None:
        """Its last answer; one that cannot be read is none, and is asked for again."""
        data = share.identity(f"{replica_folders(front_end)[1]}/{REPORT_NAME}", MAX_SMALL_BYTES)
        if data is None:
            return None
        try:
            text = open_small(data, ring, kind="report", origin=f"{pool}/{front_end}", target=STORE)
            report = documents.decode(Report, text)
        except Refused:
            return None
        speaks_of = {report.pool, report.word.pool if report.word else pool}
        return report if (speaks_of, report.front_end) == ({pool}, front_end) else None

    def _send(
        self,
        share: PartnerShare,
        ring: KeyRing,
        pool: str,
        front_end: str,
        current: Replica,
        report: Report | None,
        again: int,
    ) -> None:
        """Write, unless it was written what would be written now, and not long ago."""
        name, now_s = f"{pool}/{front_end}", self._site.clock.monotonic_s()
        sent_s, by, _ = self._sent.get(name, (0.0, (), ""))
        known = self._site.store.read(ReplicaState, replica_name(pool, front_end))
        full = known is not None and known.again != again
        has = tuple(sorted(report.have.items())) if report is not None else None
        wanted: tuple[object, ...] = (again, current.marks, ring.sealing.key_id, has)
        again_s = REFRESH_S if is_up_to_date(current, report) and not full else RETRY_S
        if by == wanted and now_s - sent_s < again_s:
            return
        update = replace(update_for(current, report, new_nonce(), full=full), words=self._aged(now_s))
        data = seal_small(documents.encode(update).encode(), ring, kind="replica", origin=STORE, target=name)
        share.replace(replica_folders(front_end)[0], REPLICA_NAME, data, f"{self._site.pool}-{update.nonce}.part")
        self._sent[name] = (now_s, wanted, update.nonce)

    def _hear(self, report: Report) -> None:
        """Keep what a server says of its pool, if it answers what was sent last; the same answer again is no news."""
        server = (report.pool, report.front_end)
        known = self._words.get(server)
        fresh = report.echo == self._sent.get("/".join(server), (0.0, (), ""))[2]
        if report.word is not None and fresh and (known is None or known[1] != report):
            self._words[server] = (self._site.clock.monotonic_s(), report)

    def _aged(self, now_s: float) -> tuple[PoolWord, ...]:
        """Of each pool the youngest word of its servers."""
        heard = sorted(self._words.values(), key=lambda each: each[0])
        words = {report.pool: (at_s, report.word) for at_s, report in heard}
        return tuple(replace(word, age_s=now_s - at_s) for at_s, word in words.values() if word is not None)

    def _note(self, pool: str, front_end: str, current: Replica, report: Report | None, fault: Fault | None) -> None:
        name, now_utc = replica_name(pool, front_end), self._site.clock.utc_iso()
        known = self._site.store.read(ReplicaState, name) or ReplicaState(pool=pool, front_end=front_end)
        fine = fault is None and is_up_to_date(current, report)
        _, by, nonce = self._sent.get(f"{pool}/{front_end}", (0.0, (), ""))
        fresh = report is not None and report.echo == nonce
        if fault is None and report is not None and report.fault:
            fault = Fault(code=Code.DAMAGED, detail=f"it says: {report.fault}")
        if fault is not None and known.fault is not None and fault.detail == known.fault.detail:
            fault = known.fault
        found = replace(
            known,
            up_to_date=fine,
            since_utc=known.since_utc if known.since_utc and known.up_to_date is fine else now_utc,
            term=report.term if report else known.term,
            serial=report.serial if report else known.serial,
            heard_utc=now_utc if fresh and report is not None else known.heard_utc,
            fault=fault,
            release=report.release if report else known.release,
            files=report.files if report else known.files,
            again=int(str(by[0])) if fresh and by else known.again,
        )
        if replace(found, heard_utc=known.heard_utc) != known or self._is_old(known, found):
            with self._site.store.transaction() as tx:
                tx.save(name, found)

    @staticmethod
    def _is_old(known: ReplicaState, found: ReplicaState) -> bool:
        """Whether the minute in which it was heard is another one; the store is not written to for less."""
        return known.heard_utc[:16] != found.heard_utc[:16]

    def _forget_others(self, topology: Topology) -> None:
        """Servers that the topology does not name any more."""
        named = {replica_name(pool.name, name) for pool in topology.pools for name in pool.front_ends}
        gone = [name for name in self._site.store.read_all(ReplicaState, REPLICAS) if name not in named]
        if gone:
            with self._site.store.transaction() as tx:
                for name in gone:
                    tx.delete(name)


def states(site: Site) -> Iterator[ReplicaState]:
    """What is known of each server, by name."""
    yield from site.store.read_all(ReplicaState, REPLICAS).values()


def send_again(site: Site) -> None:
    """Have everything sent to everybody, whatever they say that they have.

    A server that knows a higher serial of this term, because this store was set back since, takes it only under a higher one still.
    """
    reported = [(each.term, each.serial) for each in states(site)]
    with site.store.transaction() as tx:
        known = tx.load(Replication, REPLICATION)
        if known is not None:
            highest = max((serial for term, serial in reported if term == known.term), default=0)
            serial = known.serial if highest <= known.serial else highest + 1
            tx.save(REPLICATION, replace(known, serial=serial, again=known.again + 1))

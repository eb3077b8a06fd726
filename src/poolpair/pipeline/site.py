"""A site: the ports and settings that every step of the line is given, and the little that it remembers only while it runs.

Nothing in `Volatile` is needed for correctness: after a restart nonces are unknown, so no cookie counts as fresh until the partner
echoed a new one, and lags are counted from the start.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import RLock

from poolpair.bandwidth import Bandwidth
from poolpair.clock import Clock
from poolpair.errors import PoolpairError
from poolpair.format.keys import KeyRing
from poolpair.hooks.port import Hooks, NoHooks
from poolpair.model import Channel, Fault, Manifest, Position, Recovered, Reign, new_nonce
from poolpair.moves import GateRules, HookStep
from poolpair.pipeline.limits import Limits
from poolpair.pipeline.packed import Flow, Packed, Traffic
from poolpair.reigns import birth, serves
from poolpair.share.port import OwnShare, PartnerShare
from poolpair.state import Fencing, Proof, Serving
from poolpair.store.port import Store
from poolpair.store.tree import Tree

NONCES_KEPT = 64
"""How many of our own nonces are remembered; the partner echoes one of the newest few."""
SCRATCH_SUFFIX = ".part"


@dataclass(frozen=True, slots=True)
class FileHome:
    """Whose a path is, and which conference it belongs to."""

    home: str
    conference: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The partner says that everything it had accepted when we wrote a nonce, at `written_s`, is in packages up to a mark of `reach`."""

    mark: int
    written_s: float


@dataclass(slots=True)
class Volatile:
    """What a running site remembers and may forget."""

    run: str = field(default_factory=new_nonce)
    """Names this process's scratch files: a service that lost its lease without knowing it must not meet those of its successor."""
    started_s: float = 0.0
    alive: Callable[[], object] = bool  # called as a long step gets on, for a watchdog
    written: OrderedDict[str, float] = field(default_factory=OrderedDict)
    """Our nonces and when each was written."""
    echo: str = ""
    """The partner's newest nonce."""
    echoed_s: float | None = None
    """When the newest nonce of ours that the partner echoed was written: the partner's word is at most this old."""
    word_s: dict[Channel, float] = field(default_factory=dict)
    """The same per channel."""
    claims: dict[Channel, Claim] = field(default_factory=dict)
    looked: dict[Channel, str] = field(default_factory=dict)  # the partner's nonce when its changes were looked for
    streams: dict[Channel, str] = field(default_factory=dict)
    """Our own, when the partner was heard last."""
    accepted_s: dict[str, float] = field(default_factory=dict)
    """Monotonic times at which it was first seen that a home's forgotten reign is decided about."""
    heard: dict[Channel, str] = field(default_factory=dict)
    """Digest of the last cookie taken in; in `refused` why it was, if it was."""
    refused: dict[Channel, str] = field(default_factory=dict)
    serial: int = 0
    beat_s: dict[Channel, float] = field(default_factory=dict)
    sent: dict[Channel, str] = field(default_factory=dict)
    delivered_s: dict[Channel, float] = field(default_factory=dict)
    acknowledged_s: dict[Channel, float] = field(default_factory=dict)
    captured_s: dict[Channel, float] = field(default_factory=dict)
    """Since when changes are known that are not packed."""
    clean_s: dict[Channel, float] = field(default_factory=dict)
    """When there were none, the last time that anybody looked: what waits unseen is no older."""
    cut_s: dict[Channel, float] = field(default_factory=dict)
    tree_hint: object = None
    order: Iterator[int] = field(default_factory=count)
    """Numbers what two threads do, one after the other."""
    noticed: OrderedDict[str, int] = field(default_factory=OrderedDict)
    """The partner's newest nonces, each with its number when it was noticed first."""
    tree_seen: tuple[int, object] = (-1, None)
    """The tree's hint as it was read last, and a number from before that; in one value, for two threads."""
    scanned_s: float | None = None
    restless: dict[bytes, float] = field(default_factory=dict)
    """Files that were written to while they were read, and since when."""
    seen_behind: set[str] = field(default_factory=set)  # plans behind whose fence every file was looked at
    unreadable: frozenset[str] = frozenset()
    """Conferences one of whose files could not be read at the last scan."""
    undeleted: str = ""  # what is said of deletions that cannot be carried out yet
    store_hint: object = None
    ready: dict[Channel, Packed] = field(default_factory=dict)
    """Packages that were cut and could not be delivered yet."""
    flows: dict[Channel, Flow] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    proved: dict[Channel, Proof] = field(default_factory=dict)
    """Comparisons that found the copy here equal, as long as only the partner's deltas have changed it since."""
    manifests: dict[str, Manifest] = field(default_factory=dict)
    """Authenticated manifests of packages that stand, by file name."""
    doubled: set[str] = field(default_factory=set)
    """Packages of a stream in which a number stands twice: kept in Quarantine when the partner's operator has decided."""
    strays: dict[str, tuple[float, Position]] = field(default_factory=dict)
    """Packages that lead nowhere: since when, and what was applied then."""
    serving: dict[str, Serving] = field(default_factory=dict)
    """As read in this pass; forgotten whenever it changes."""
    vacant: dict[Channel, bool] = field(default_factory=dict)
    """Whether there was nothing of the partner's when this process first looked."""
    faults: dict[Channel, Fault] = field(default_factory=dict)
    unheard: dict[Channel, Fault] = field(default_factory=dict)  # what keeps the heartbeat from the partner
    crowded: set[Channel] = field(default_factory=set)  # more stands there than was looked at
    unfinished: dict[Channel, str] = field(default_factory=dict)
    """Why the last pass may have left something that stands and can be applied."""
    applying: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Plans that wait for passes to apply what stands: since when none got on, and how many packages were applied by then."""
    nothing_waits: set[Channel] = field(default_factory=set)  # on which no table is known to wait
    confirmed_s: float | None = None
    """An earlier service of this boot had written, then, what the partner echoed last."""
    unread_s: float = float("-inf")  # when the gate found the own share away last
    unconfirmed: bool = False
    """The service has started and nothing says yet that this pool still may serve."""
    gated: dict[str, bool] = field(default_factory=dict)
    """Homes for which a gate hook ended well: whether it opened."""
    gate_tried: dict[str, tuple[bool, float]] = field(default_factory=dict)
    """Which of them failed, to open or not, and when."""
    application: object = None
    """The run of the application that they told."""
    closing: dict[str, str] = field(default_factory=dict)
    """What is about to write rows of a home that is served here, and that home: the application lets go of it meanwhile."""
    speaking: RLock = field(default_factory=RLock)
    """Held while a cookie is made and written: the heartbeat thread speaks too."""


@dataclass(slots=True, kw_only=True)
class Site:
    """Everything a step needs. Built by `wiring` for the service, and by tests over memory ports."""

    pool: str
    partner: str
    pair_id: str
    keys: Callable[[], KeyRing]
    """The pair's secrets as they are now: they may be changed while a service works."""
    store: Store
    own: OwnShare
    other: PartnerShare
    tree: Tree | None
    file_home: Callable[[bytes], FileHome | None]
    clock: Clock
    settings: str
    profile: str = ""
    """A digest of the tables and files that are carried here."""
    limits: Limits
    scratch: Path
    channels: tuple[Channel, ...]
    front_end: str
    hooks: Hooks = field(default_factory=NoHooks)
    gate: GateRules = field(default_factory=GateRules)
    bandwidth: Bandwidth = field(default_factory=Bandwidth)
    memory: Volatile = field(default_factory=Volatile)

    @property
    def ring(self) -> KeyRing:
        """The pair's secrets."""
        return self.keys()

    @property
    def lead(self) -> Channel:
        """The channel that carries the heartbeat, asks and the ledger, and hands over: whatever else a home has goes before it."""
        return self.channels[0]

    @property
    def homes(self) -> tuple[str, ...]:
        """Both home pools, in the order of their names."""
        return tuple(sorted((self.pool, self.partner)))

    def serving(self, home: str) -> Serving:
        """What this site knows of who serves a home. Only the process with the lease changes it, so it is read once per pass."""
        known = self.memory.serving
        if home not in known:
            known[home] = self.store.read(Serving, serving_name(home)) or birth(home)
        return known[home]

    def reigns(self) -> tuple[Reign, ...]:
        """The reigns of both home pools as this site knows them; of each the present one last."""
        return tuple(reign for home in self.homes for reign in self.serving(home).reigns)

    def served(self) -> tuple[str, ...]:
        """The home pools that this site serves, that is: exports; writes for them may be fenced all the same."""
        return tuple(home for home in self.homes if serves(self.serving(home), self.pool, self.partner))

    def handing(self) -> tuple[str, ...]:
        """Homes whose final package is due or on its way."""
        return tuple(home for home in self.served() if self.serving(home).fencing is Fencing.HANDING)

    @property
    def closes_application(self) -> bool:
        """Whether hooks of the gate can close the application for a home, and open it."""
        return {HookStep.GATE_CLOSE, HookStep.GATE_OPEN} <= set(self.hooks.commands)

    def lets_go(self, home: str, what: str) -> bool:
        """Whether the application has let go of a home, so that `what` may write its rows; it is asked to if it has not.

        An application that has rows in its memory would go on with those, and write them back. Without gate hooks there is nobody to ask.
        """
        if not self.closes_application:
            return True
        self.memory.closing[what] = home
        return self.memory.gated.get(home) is False

    def scratch_file(self, name: str) -> Path:
        """A file of this process in the scratch folder; what an earlier one left behind is swept when a service starts."""
        return self.scratch / f"{name}.{self.memory.run}{SCRATCH_SUFFIX}"

    def fault(self, error: PoolpairError) -> Fault:
        """An error as status shows it."""
        return Fault(code=error.code, detail=error.detail, since_utc=self.clock.utc_iso())


def outbound_name(channel: Channel) -> str:
    """The document that holds `Outbound`."""
    return f"outbound/{channel}"


def inbound_name(channel: Channel) -> str:
    """The document that holds `Inbound`."""
    return f"inbound/{channel}"


def owed_name(channel: Channel) -> str:
    """The document that holds digests not yet compared."""
    return f"owed/{channel}"


def counts_name(channel: Channel) -> str:
    """The document that holds `Counts`."""
    return f"counts/{channel}"


def intent_name(channel: Channel, position: Position) -> str:
    """The document of one intent; names sort like sequences."""
    return f"intent/{channel}/{position.stream}/{position.sequence:016d}"


def serving_name(home: str) -> str:
    """The document that holds `Serving`."""
    return f"serving/{home}"


def recovery_prefix(channel: Channel) -> str:
    """How the names of a channel's `Recovery` documents begin."""
    return f"recovery/{channel}/"


def recovery_name(channel: Channel, number: int) -> str:
    """The document of one `Recovery`; names sort like numbers."""
    return f"{recovery_prefix(channel)}{number:08d}"


def late_name(home: str) -> str:
    """The document that holds `Late`."""
    return f"late/{home}"


def folded_name(channel: Channel, stream: str) -> str:
    """The document that stands for the old intents of a stream."""
    return f"folded/{channel}/{stream}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a channel counted at this site, besides its positions."""

    unhomed: int = 0
    foreign_writes: int = 0
    quarantined: int = 0
    left_behind: tuple[str, ...] = ()
    """Conferences that are larger than `conference_max`, not at rest, or found no room, and wait."""
    no_room: int = 0
    """Those that the last package was too full for."""
    goes_on: bool = False
    """They need not wait for the interval: each package leaves fewer of them."""
    unreadable: tuple[str, ...] = ()
    """Files that this account may not read, and why; their conferences wait."""
    skipped_files: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """Another reign was adopted, and the tree was not looked at since: files that the next scan finds changed were accepted before, too."""

    brings: Recovered

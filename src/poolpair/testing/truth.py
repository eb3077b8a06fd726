"""What really happened, seen from outside: cuts, applies, and what the simulator itself did to a copy.

The production code does not know of any of this. A cut is the state that a package was made of, by the package's id; it is taken
when the origin fixes its read view. `spoilt` holds what the simulator did to a copy behind the back of the pair (or its operator did on
purpose), which only the next package of that group, or a comparison with repair, puts right.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

from poolpair.model import Channel, Position
from poolpair.testing.accounts import Accounts, Version
from poolpair.testing.file_accounts import FileAccounts
from poolpair.testing.view import Group, View

At = tuple[str, Channel]
"""A pool and a channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutTaken:
    """The origin's state of which a package was made."""

    pool: str
    channel: Channel
    position: Position
    view: View
    left_behind: frozenset[str] = frozenset()
    """Conferences that the package does not carry."""
    step: int = 0
    """In which it was taken."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A state of a pool as it was first found after a step, and when, by the clock of its partner."""

    at_s: float
    step: int
    view: View


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What goes back together with a store that is set back."""

    applied: dict[Channel, tuple[str, ...]]
    spoilt: frozenset[Group]


@dataclass(slots=True, kw_only=True)
class AskSeen:
    """What was seen of one ask."""

    maker: str
    plan_id: str = ""
    """The plan that carries it out."""
    stood_s: float = 0.0
    """When it last stood in its maker's store, by the clock of the partner."""
    heard: bool = False
    """Its maker knows of an answer."""
    forgotten: bool = False
    """The partner's store was set back since it was begun."""
    withdrawn: bool = False
    """The partner said that it will not be begun."""


@dataclass(slots=True)
class Truth:
    """The outside view of one run."""

    cuts: dict[str, CutTaken] = field(default_factory=dict)
    applied: dict[At, tuple[str, ...]] = field(default_factory=lambda: defaultdict(tuple))
    """Package ids in the order in which the target committed them."""
    spoilt: dict[str, set[Group]] = field(default_factory=lambda: defaultdict(set))
    spoilt_files: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    acts: dict[str, float] = field(default_factory=dict)
    """When the simulator last did something to a pool's copy, by the clock of its partner, who must hear of it."""
    delivered: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """Packages by target and name, as their origin put them into its partner's share."""
    approved: set[str] = field(default_factory=set)
    """Packages whose deletions an operator approved."""
    written_here: dict[str, dict[bytes, bytes]] = field(default_factory=lambda: defaultdict(dict))
    """What somebody wrote into the partner's files at a pool, as long as it lies in their place."""
    deleted_here: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    """What the application of a pool ever deleted there, of whatever home it served then."""
    tampered: set[str] = field(default_factory=set)
    """Pools in which somebody wrote into the partner's rows or files, or whose store does not fit their tree any more."""
    before_apply: dict[str, View] = field(default_factory=dict)
    used: Counter[str] = field(default_factory=Counter)
    """How often each checker had something to look at."""
    fell_back_s: dict[str, float] = field(default_factory=dict)
    """When a pool's store was last set back, by its partner's clock."""
    forked: set[str] = field(default_factory=set)
    """Streams whose origin was set back: packages of the lost future may still come."""
    standing: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    """Packages that stood in a pool's share after the last step; what an intruder took is taken out here too."""
    quarantined: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Names in a pool's Quarantine that were looked at."""
    since: dict[str, float] = field(default_factory=dict)
    """Since when, by the origin's clock, something is parked or held at the end of a line."""
    looked: dict[tuple[str, str], tuple[object, ...]] = field(default_factory=dict)
    """What a checker saw last, per line: the same again is not looked at again."""
    carried: dict[str, tuple[Version, ...]] = field(default_factory=dict)
    """What the delta of a package of the users channel holds, by the package's id."""
    accounts: Accounts = field(default_factory=Accounts)
    files: FileAccounts = field(default_factory=FileAccounts)
    forgotten_reigns: set[str] = field(default_factory=set)
    """Which a store knew before an older one was put in its place."""
    handed: set[str] = field(default_factory=set)
    """Reigns that a handover began, each looked at once."""
    epochs: dict[tuple[str, str], int] = field(default_factory=dict)
    """The highest epoch that a pool's store has known, per home."""
    lines: tuple[tuple[View, ...], Any] | None = None
    """Both stores as `facts.lines` saw them last, and what it made of them."""
    packed_at_rest: dict[str, int] = field(default_factory=dict)
    """Per line, how much had been packed when the pair was first found at rest."""
    drab: dict[str, View] = field(default_factory=dict)
    """The state of a pool's store from which its status said nothing good."""
    dead_s: dict[str, float] = field(default_factory=dict)
    """Since when no process of a pool lives, by the clock of its partner."""
    asks: dict[str, AskSeen] = field(default_factory=dict)
    steps: int = 0
    """How many were looked at."""
    moments: dict[str, list[Moment]] = field(default_factory=lambda: defaultdict(list))
    """Every state of each pool that was seen."""
    broken: list[tuple[str, str]] = field(default_factory=list)
    """Violations seen in the middle of a step: checker and story."""

    def cut(self, taken: CutTaken) -> None:
        """A view was fixed for a package."""
        self.cuts[taken.position.package_id] = taken

    def left_behind(self, package_id: str, conferences: frozenset[str]) -> None:
        """The package was cut without these."""
        self.cuts[package_id] = replace(self.cuts[package_id], left_behind=conferences)

    def committed(self, at: At, package_id: str) -> None:
        """A target committed a package."""
        if package_id in self.applied[at]:
            self.broken.append(("nothing_is_applied_twice", f"{at[0]} applied {package_id[:8]} on {at[1]} again"))
        self.applied[at] = (*self.applied[at], package_id)

    def keep(self, pool: str) -> Kept:
        """What a backup of this pool's store holds of the truth."""
        return Kept(
            applied={channel: ids for (where, channel), ids in self.applied.items() if where == pool},
            spoilt=frozenset(self.spoilt[pool]),
        )

    def set_back(self, pool: str, kept: Kept) -> None:
        """That backup was put back."""
        for at in [at for at in self.applied if at[0] == pool]:
            self.applied[at] = kept.applied.get(at[1], ())
        self.spoilt[pool] = set(kept.spoilt)
        for seen in self.asks.values():
            if seen.maker == pool:
                seen.heard = False
            else:
                seen.forgotten, seen.withdrawn = True, False

    def is_news(self, checker: str, line: str, *facts: object) -> bool:
        """Whether a checker has not seen just these objects on this line; counts a use if so."""
        before = self.looked.get((checker, line), ())
        if len(before) == len(facts):
            for one, another in zip(before, facts, strict=True):
                if one is not another:
                    break
            else:
                return False
        self.looked[checker, line] = facts
        self.used[checker] += 1
        return True

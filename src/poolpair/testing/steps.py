"""What a history consists of: steps, and what shall go wrong at the port calls within one. Plain values.

A history is drawn whole before it runs, so that it can be shrunk by leaving steps out and replayed from its text. `number` is the
step's own random number: whatever a step must choose when it runs (a row, a package that stands) it chooses with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Verb(StrEnum):
    """What happens in a step. The value is the word in a trace."""

    WAIT = "wait"
    WRITE = "write"
    DELETE = "delete"
    BULK = "bulk"
    MASS_DELETE = "mass-delete"
    STRAY = "stray"
    TAMPER = "tamper"
    BEGIN_LONG = "begin-long"
    END_LONG = "end-long"
    FILE = "file"
    FILE_DELETE = "file-delete"
    FILE_LARGE = "file-large"
    FILE_SHRINK = "file-shrink"
    FILE_GROWS = "file-grows"
    FILE_TAMPER = "file-tamper"
    PASS = "pass"
    BEAT = "beat"
    COUNT = "count"
    KILL = "kill"
    START = "start"
    RIVAL = "rival"
    CLONE = "clone"
    AWAY = "away"
    CLOCK_JUMP = "clock-jump"
    CLOCK_SKEW = "clock-skew"
    LOCK = "lock"
    SAVE = "save"
    RESTORE = "restore"
    REFUSE_ROWS = "refuse-rows"
    TAKE_ROWS = "take-rows"
    SHARE_DOWN = "share-down"
    SHARE_FULL = "share-full"
    SHARE_READ_ONLY = "share-read-only"
    SHARE_SLOW = "share-slow"
    SHARE_STALE = "share-stale"
    SHARE_REORDERED = "share-reordered"
    SHARE_HEALS = "share-heals"
    TREE_MISSING = "tree-missing"
    TREE_BACK = "tree-back"
    PACKAGE_LOST = "package-lost"
    PACKAGE_CORRUPTED = "package-corrupted"
    PACKAGE_TRUNCATED = "package-truncated"
    PACKAGE_SWAPPED = "package-swapped"
    PACKAGE_REFLECTED = "package-reflected"
    PACKAGE_DUPLICATED = "package-duplicated"
    PACKAGE_REPLAYED = "package-replayed"
    PACKAGE_PARTIAL = "package-partial"
    TEMP_SWEPT = "temp-swept"
    COOKIE_LOST = "cookie-lost"
    COOKIE_CORRUPTED = "cookie-corrupted"
    COOKIE_REPLAYED = "cookie-replayed"
    COOKIE_REFLECTED = "cookie-reflected"
    HELD_APPLY = "held-apply"
    HELD_REFUSE = "held-refuse"
    PARKED_RETRY = "parked-retry"
    PARKED_DROP = "parked-drop"
    SETBACK_OURS = "setback-ours"
    VERIFY = "verify"
    RESUME = "resume"
    PAUSE = "pause"
    KEY_ADD = "key-add"
    KEY_ACTIVATE = "key-activate"
    HANDOVER = "handover"
    TAKEOVER = "takeover"
    GIVE_UP = "give-up"
    LEDGER = "ledger"
    HOOK_FAILS = "hook-fails"
    HOOK_AGAIN = "hook-again"
    HOOKS_WORK = "hooks-work"
    GATE = "gate"


class TripKind(StrEnum):
    """What goes wrong at a port call."""

    ERROR = "error"
    FAILS_AFTER = "fails-after"
    """Done, but reported failed."""
    CRASH_BEFORE = "crash-before"
    CRASH_AFTER = "crash-after"
    SLOW = "slow"
    INTERLUDE = "interlude"
    """Before this call something else happens: the application writes, or the other pool takes a step."""


@dataclass(frozen=True, slots=True)
class Trip:
    """At the `at`-th port call of a step this goes wrong. `then` is what an interlude does."""

    at: int
    kind: TripKind
    number: int = 0
    then: Step | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a history."""

    verb: Verb
    pool: str = ""
    number: int = 0
    trips: tuple[Trip, ...] = ()


History = tuple[Step, ...]
_STEP = re.compile(r"(?P<verb>[a-z-]+) (?P<pool>[ab-]) #(?P<number>\d+)(?P<trips>.*)")
_TRIP = re.compile(r" (?P<kind>[a-z-]+)@(?P<at>\d+)#(?P<number>\d+)(?:\((?P<then>[^()]*)\))?")


def describe(step: Step) -> str:
    """One dense line: verb, pool, #number, and trips as kind@call#number; `parse` reads it back."""
    trips = "".join(f" {_describe_trip(trip)}" for trip in step.trips)
    return f"{step.verb} {step.pool or '-'} #{step.number}{trips}"


def _describe_trip(trip: Trip) -> str:
    then = f"({describe(trip.then)})" if trip.then else ""
    return f"{trip.kind}@{trip.at}#{trip.number}{then}"


def parse(line: str) -> Step:
    """Read what `describe` wrote. Raises ValueError for anything else."""
    found = _STEP.fullmatch(line)
    if found is None or _TRIP.sub("", found["trips"]):
        raise ValueError(f"not a step: {line[:200]!r}")
    trips = tuple(_parse_trip(trip) for trip in _TRIP.finditer(found["trips"]))
    return Step(Verb(found["verb"]), found["pool"].strip("-"), int(found["number"]), trips)


def _parse_trip(found: re.Match[str]) -> Trip:
    then = parse(found["then"]) if found["then"] else None
    return Trip(int(found["at"]), TripKind(found["kind"]), int(found["number"]), then)

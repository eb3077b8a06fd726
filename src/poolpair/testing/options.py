"""How often each thing happens, by name, and how a history is drawn from a seed.

`Faults` is the one value with every fault; a number is a weight beside the 1000 of ordinary life, so 10 means about one step in a
hundred. Each seed takes only some of the faults, at other weights: histories where two faults meet often are found
by leaving the others out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from random import Random

from poolpair.testing.scenarios import DISPUTE
from poolpair.testing.schema import POOLS
from poolpair.testing.steps import Step, Trip, TripKind, Verb

ORDINARY: dict[Verb, int] = {
    Verb.PASS: 380,
    Verb.WRITE: 200,
    Verb.BEAT: 120,
    Verb.WAIT: 90,
    Verb.FILE: 60,
    Verb.START: 50,
    Verb.DELETE: 40,
    Verb.FILE_DELETE: 20,
    Verb.COUNT: 15,
    Verb.BULK: 10,
    Verb.SHARE_HEALS: 30,
}
INTERLUDES = (
    Verb.WRITE,
    Verb.WRITE,
    Verb.PASS,
    Verb.PASS,
    Verb.BEAT,
    Verb.FILE,
    Verb.FILE_GROWS,
    Verb.FILE_DELETE,
    Verb.DELETE,
    Verb.RIVAL,
)


RARE = (
    ("mass_delete", "held_apply", "held_refuse", "resume"),
    ("refuse_rows", "take_rows", "parked_drop", "parked_retry"),
    ("key_add", "key_activate", "kill"),
)
"""Themes of what needs several things in a row: little else happens in their histories."""
THEMES = (
    ("save", "restore"),
    ("save", "restore", "kill"),
    *RARE,
    ("cookie_replayed", "cookie_lost"),
    ("package_replayed", "package_duplicated", "package_lost"),
    ("package_corrupted", "package_truncated", "package_partial"),
    ("kill", "crash_before_permille", "crash_after_permille"),
    ("error_permille", "fails_after_permille"),
    *RARE,
    ("rival", "kill"),
    ("begin_long", "lock"),
    ("tamper", "file_tamper", "verify"),
    ("file_large", "file_grows", "tree_missing"),
    ("share_down", "share_full", "share_stale"),
    ("mass_delete", "held_apply", "package_lost", "package_corrupted"),
)
"""What may be the theme of a history: these faults come much more often, so that they meet each other."""
THEME_FACTOR = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Every fault by the name of its verb, as a weight; and per mille of passes and heartbeats in which a port call goes wrong."""

    kill: float = 8
    rival: float = 6
    clone: float = 3
    away: float = 2
    clock_jump: float = 4
    clock_skew: float = 4
    lock: float = 6
    begin_long: float = 15
    end_long: float = 40
    save: float = 20
    restore: float = 10
    refuse_rows: float = 6
    take_rows: float = 6
    mass_delete: float = 5
    stray: float = 5
    tamper: float = 6
    file_large: float = 8
    file_grows: float = 10
    file_tamper: float = 5
    share_down: float = 6
    share_full: float = 5
    share_read_only: float = 5
    share_slow: float = 4
    share_stale: float = 5
    share_reordered: float = 5
    tree_missing: float = 3
    tree_back: float = 10
    package_lost: float = 10
    package_corrupted: float = 8
    package_truncated: float = 6
    package_swapped: float = 6
    package_reflected: float = 5
    package_duplicated: float = 6
    package_replayed: float = 8
    package_partial: float = 6
    temp_swept: float = 5
    cookie_lost: float = 8
    cookie_corrupted: float = 6
    cookie_replayed: float = 10
    cookie_reflected: float = 4
    held_apply: float = 8
    held_refuse: float = 6
    parked_retry: float = 6
    parked_drop: float = 6
    setback_ours: float = 12
    verify: float = 5
    resume: float = 8
    pause: float = 5
    key_add: float = 6
    key_activate: float = 6
    error_permille: float = 40
    fails_after_permille: float = 20
    crash_before_permille: float = 20
    crash_after_permille: float = 20
    slow_permille: float = 10
    interlude_permille: float = 150

    def some(self, rng: Random, theme: int) -> Faults:
        """Some of these faults, at other weights; the themes take turns, so that few seeds have met them all."""
        names = THEMES[theme % len(THEMES)]
        share = 0.05 if names in RARE else rng.choice((0.1, 0.3, 0.3, 0.6, 1.0))
        weights = {
            name: weight * rng.choice((0.5, 1, 1, 3)) if rng.random() < share else 0.0
            for name, weight in asdict(self).items()
        }
        for more in (names, *rng.sample(THEMES, rng.choice((0, 0, 0, 1)))):
            weights |= {name: THEME_FACTOR * getattr(self, name) for name in more}
        # What undoes a fault, or decides what it left to be decided, is always there.
        always = ("end_long", "take_rows", "tree_back", "held_apply", "setback_ours", "resume", "parked_retry")
        return replace(self, **(weights | {name: max(weights[name], getattr(self, name)) for name in always}))


DEFAULT_STEPS = 250


def kinds_of_fault() -> tuple[str, ...]:
    """The names under which runs count faults."""
    faults = tuple(name.removesuffix("_permille").replace("_", "-") for name in asdict(Faults()))
    return (*faults, *(verb.value for verb in dict.fromkeys((*MOVES, *HOOKS, Verb.GATE))))


TRIPS = (
    TripKind.ERROR,
    TripKind.FAILS_AFTER,
    TripKind.CRASH_BEFORE,
    TripKind.CRASH_AFTER,
    TripKind.SLOW,
    TripKind.INTERLUDE,
)


def draw_history(seed: int, steps: int, faults: Faults | None = None) -> tuple[Step, ...]:
    """The history of a seed."""
    rng = Random(seed)
    chosen = (faults or Faults()).some(rng, seed)
    weights = asdict(chosen)
    verbs = [*ORDINARY, *(Verb(name.replace("_", "-")) for name in weights if not name.endswith("_permille"))]
    chances = [*ORDINARY.values(), *(weight for name, weight in weights.items() if not name.endswith("_permille"))]
    trips = {kind: weights[f"{kind.value.replace('-', '_')}_permille"] / 1000 for kind in TRIPS}
    return tuple(_draw_step(rng, verb, trips) for verb in rng.choices(verbs, chances, k=steps))


MOVES = (Verb.HANDOVER, Verb.HANDOVER, Verb.TAKEOVER, Verb.TAKEOVER, Verb.GIVE_UP, Verb.LEDGER, Verb.LEDGER)
MOVES_PERMILLE = 60
HOOKS = (Verb.HOOK_FAILS, Verb.HOOK_AGAIN, Verb.HOOK_AGAIN)
HOOKS_PERMILLE = 60
DECIDING_PERMILLE = 100


def draw(seed: int, steps: int) -> tuple[Step, ...]:
    """The history that a seed stands for: in every other one operators move homes from pool to pool."""
    return draw_moves(seed, steps) if seed % 2 else draw_history(seed, steps)


def draw_moves(seed: int, steps: int, faults: Faults | None = None) -> tuple[Step, ...]:
    """The history of a seed, and operators who move homes all the while."""
    moving = _sprinkled(Random(f"moves {seed}"), draw_history(seed, steps, faults), MOVES, MOVES_PERMILLE)
    found = _with_dispute(seed, moving)
    if seed % 4 == 1:  # in every other history of moves their hooks fail now and then
        return _sprinkled(Random(f"hooks {seed}"), found, HOOKS, HOOKS_PERMILLE)
    return (*_with_gates(seed), *found)


def _sprinkled(rng: Random, steps: tuple[Step, ...], verbs: tuple[Verb, ...], permille: int) -> tuple[Step, ...]:
    """The same steps, and before some of them one of these."""
    found: list[Step] = []
    for step in steps:
        if rng.random() < permille / 1000:
            found.append(Step(rng.choice(verbs), rng.choice(POOLS), rng.randrange(1 << 30)))
        found.append(step)
    return tuple(found)


def _with_dispute(seed: int, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """In every third of them both pools write for the same users early on, and operators decide in the ledger more often then."""
    rng = Random(f"dispute {seed}")
    if rng.randrange(3):
        return steps
    at = rng.randrange(len(steps) // 3 + 1)
    return (*steps[:at], *DISPUTE, *_sprinkled(rng, steps[at:], (Verb.LEDGER,), DECIDING_PERMILLE))


def _with_gates(seed: int) -> tuple[Step, ...]:
    """In the other histories of moves services begin with a gate at one pool or both, and there may be silence."""
    rng = Random(f"gate {seed}")
    set_up = [Step(Verb.GATE, pool, rng.randrange(1 << 30)) for pool in POOLS]
    return (*set_up, *(Step(verb, pool) for pool in POOLS for verb in (Verb.KILL, Verb.START)))


def _draw_step(rng: Random, verb: Verb, chances: dict[TripKind, float]) -> Step:
    step = Step(verb, rng.choice(POOLS), rng.randrange(1 << 30))
    if verb not in {Verb.PASS, Verb.BEAT, Verb.COUNT}:
        return step
    trips = [_draw_trip(rng, kind) for kind, chance in chances.items() if rng.random() < chance]
    if trips and trips[-1].kind is TripKind.INTERLUDE:
        trips += [_draw_trip(rng, TripKind.INTERLUDE) for _ in range(rng.randrange(4))]
    return replace(step, trips=tuple({trip.at: trip for trip in trips}.values()))


def _draw_trip(rng: Random, kind: TripKind) -> Trip:
    """At one of the first calls more often than at a late one: a pass that finds nothing to do makes few."""
    at = 1 + int(2 ** (rng.random() * 7.5))
    number = rng.randrange(1 << 30)
    if kind is not TripKind.INTERLUDE:
        return Trip(at, kind, number)
    return Trip(at, kind, number, Step(rng.choice(INTERLUDES), rng.choice(POOLS), number))

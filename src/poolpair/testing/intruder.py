"""What happens to files in a share behind the back of both pools: lost, altered, exchanged, brought again; and shares that fail."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from poolpair.format.layout import COOKIE_NAME, cookie_dir, data_dir, parse_package_name
from poolpair.share.memory import MemoryShare, Stored
from poolpair.share.port import TEMP
from poolpair.testing.schema import CHANNELS, other
from poolpair.testing.steps import Step
from poolpair.testing.world import World

Place = tuple[str, str]
"""A folder and a name."""


def _packages(share: MemoryShare) -> list[Place]:
    return [
        (folder, name)
        for folder in map(data_dir, CHANNELS)
        for name in sorted(share.tree[folder])
        if parse_package_name(name)
    ]


def _cookies(share: MemoryShare) -> list[Place]:
    return [(folder, COOKIE_NAME) for folder in map(cookie_dir, CHANNELS) if COOKIE_NAME in share.tree[folder]]


def _change(share: MemoryShare, place: Place, data: bytes) -> None:
    folder, name = place
    stored = share.tree[folder].get(name, Stored(b"", 0.0, -1))
    share.tree[folder][name] = replace(stored, data=data, serial=stored.serial + 1_000_000)


def package_lost(world: World, step: Step) -> str:
    """A package vanishes."""
    return _lose(world, step, _packages(world.pools[step.pool].share))


def cookie_lost(world: World, step: Step) -> str:
    """A cookie vanishes."""
    return _lose(world, step, _cookies(world.pools[step.pool].share))


def temp_swept(world: World, step: Step) -> str:
    """Whatever lies in Temp vanishes, pieces of a package among it."""
    temp = world.pools[step.pool].share.tree[TEMP]
    lost = len(temp)
    temp.clear()
    return f"{lost} files" if lost else "none stands"


def _lose(world: World, step: Step, places: list[Place]) -> str:
    if not places:
        return "none stands"
    folder, name = places[step.number % len(places)]
    del world.pools[step.pool].share.tree[folder][name]
    world.truth.standing[step.pool].discard((folder, name))
    return name


def package_corrupted(world: World, step: Step) -> str:
    """One bit of a package flips."""
    return _flip(world, step, _packages(world.pools[step.pool].share))


def cookie_corrupted(world: World, step: Step) -> str:
    """One bit of a cookie flips."""
    return _flip(world, step, _cookies(world.pools[step.pool].share))


def _flip(world: World, step: Step, places: list[Place]) -> str:
    if not places:
        return "none stands"
    share, rng = world.pools[step.pool].share, Random(step.number)
    folder, name = places[step.number % len(places)]
    data = bytearray(share.tree[folder][name].data)
    if not data:
        return "is empty"
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    _change(share, (folder, name), bytes(data))
    return f"{name} at {at}"


def package_truncated(world: World, step: Step) -> str:
    """A package loses its end, or all."""
    share, rng = world.pools[step.pool].share, Random(step.number)
    places = _packages(share)
    if not places:
        return "none stands"
    folder, name = places[step.number % len(places)]
    data = share.tree[folder][name].data
    _change(share, (folder, name), data[: rng.randrange(len(data) + 1)])
    return name


def package_partial(world: World, step: Step) -> str:
    """A package is seen half-written for a moment; the pool looks; then it is whole."""
    share = world.pools[step.pool].share
    places = _packages(share)
    if not places:
        return "none stands"
    folder, name = places[step.number % len(places)]
    whole = share.tree[folder][name].data
    _change(share, (folder, name), whole[: len(whole) // 2])
    world.interlude(Step(verb=step.verb.PASS, pool=step.pool))
    _change(share, (folder, name), whole)
    return name


def package_swapped(world: World, step: Step) -> str:
    """Two packages exchange their contents."""
    share = world.pools[step.pool].share
    places = _packages(share)
    if len(places) < 2:
        return "no two stand"
    one, two = places[step.number % len(places)], places[(step.number + 1) % len(places)]
    data = [share.tree[folder][name].data for folder, name in (one, two)]
    _change(share, one, data[1])
    _change(share, two, data[0])
    return f"{one[1]} {two[1]}"


def package_reflected(world: World, step: Step) -> str:
    """A package that was made for the partner comes into the share of its own maker."""
    there = world.pools[other(step.pool)]
    packages = [entry for entry in there.recorded if parse_package_name(entry[1])]
    return _bring(world, step, packages)


def package_replayed(world: World, step: Step) -> str:
    """An old package comes again, under its own name."""
    pool = world.pools[step.pool]
    return _bring(world, step, [entry for entry in pool.recorded if parse_package_name(entry[1])])


def package_duplicated(world: World, step: Step) -> str:
    """A package stands a second time, under a name with another sequence or another id."""
    pool, rng = world.pools[step.pool], Random(step.number)
    packages = [entry for entry in pool.recorded if parse_package_name(entry[1])]
    if not packages:
        return "none was seen"
    folder, name, data = packages[step.number % len(packages)]
    parsed = parse_package_name(name)
    assert parsed is not None
    sequence = parsed.sequence + rng.randrange(1, 4)
    twin = f"backup-{parsed.stream}-{sequence:08d}-{parsed.short_id}.zip"
    _change(pool.share, (folder, twin), data)
    return twin


def cookie_replayed(world: World, step: Step) -> str:
    """An old cookie takes the place of the present one."""
    pool = world.pools[step.pool]
    return _bring(world, step, [entry for entry in pool.recorded if entry[1] == COOKIE_NAME])


def cookie_reflected(world: World, step: Step) -> str:
    """A cookie that this pool wrote itself comes back to it."""
    there = world.pools[other(step.pool)]
    return _bring(world, step, [entry for entry in there.recorded if entry[1] == COOKIE_NAME])


def _bring(world: World, step: Step, entries: list[tuple[str, str, bytes]]) -> str:
    if not entries:
        return "none was seen"
    folder, name, data = entries[step.number % len(entries)]
    _change(world.pools[step.pool].share, (folder, name), data)
    return name


def _ports(step: Step) -> tuple[str, ...]:
    """Whose way to which share fails: the pool's own share, the partner's, or both."""
    return (("own",), ("other",), ("own", "other"))[step.number % 3]


def share_down(world: World, step: Step) -> str:
    """A share is not to be reached."""
    return _set(world, step, "down", True)


def share_full(world: World, step: Step) -> str:
    """No space is left."""
    return _set(world, step, "full", True)


def share_read_only(world: World, step: Step) -> str:
    """Nothing may be written."""
    return _set(world, step, "read_only", True)


def share_slow(world: World, step: Step) -> str:
    """Every call takes seconds."""
    return _set(world, step, "slow_s", 0.5 + step.number % 5)


def share_stale(world: World, step: Step) -> str:
    """Listings are those of some time ago."""
    return _set(world, step, "stale", True)


def share_reordered(world: World, step: Step) -> str:
    """Listings come in another order."""
    return _set(world, step, "reordered", True)


def _set(world: World, step: Step, what: str, value: object) -> str:
    for port in _ports(step):
        setattr(world.pools[step.pool].gate.modes[port], what, value)
    return " ".join(_ports(step))


def share_heals(world: World, step: Step) -> str:
    """Both ways of a pool are well again."""
    world.pools[step.pool].gate.heal()
    return "well"

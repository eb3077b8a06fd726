"""The topology: which pools there are, where their shares lie, which servers work for each, and who is paired with whom. Pure.

It is a document that people write, in TOML. What the original forbids on paper only is refused here, all of it at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from posixpath import normpath
from typing import Final

from poolpair.config_values import parse_line, parse_pool_name, parse_share
from poolpair.errors import Code, PoolpairError
from poolpair.share.port import is_plain
from poolpair.smb_address import is_smb
from poolpair.tomlfile import TomlFile, nearest
from poolpair.units import type_name

TOPOLOGY: Final = "topology"
KINDS: Final = ("sqlite", "postgresql")
POOLS_MAX: Final = 200
FRONT_ENDS_MAX: Final = 32
"""Of one pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyPool:
    """One pool: its kind of store, its share as the others reach it, the servers that run its service."""

    name: str
    kind: str
    share: str
    front_ends: tuple[str, ...]
    site: str = ""
    """Where it stands, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyPair:
    """Two pools that back each other up; one pair of all holds the management store."""

    pools: tuple[str, str]
    holds_store: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The whole deployment."""

    pools: tuple[TopologyPool, ...]
    pairs: tuple[TopologyPair, ...]

    @property
    def holding(self) -> TopologyPair:
        """The pair that holds the store."""
        return next(pair for pair in self.pairs if pair.holds_store)

    def pool(self, name: str) -> TopologyPool | None:
        """A pool by its name."""
        return next((pool for pool in self.pools if pool.name == name), None)

    def pair_of(self, name: str) -> TopologyPair | None:
        """The pair that a pool is in."""
        return next((pair for pair in self.pairs if name in pair.pools), None)


def parse_topology(text: str) -> Topology:
    """Read the document. Raises TOPOLOGY with everything that is wrong."""
    file = TomlFile(Code.TOPOLOGY, TOPOLOGY, text.encode())
    for key in file.data:
        if key not in {"pools", "pairs"}:
            near = nearest(key, ("pools", "pairs"))
            file.problem((key,), "unknown key" + (f", did you mean [[{near}]]?" if near else ""))
    pools = tuple(_pool(file, *entry) for entry in _entries(file, "pools"))
    pairs = tuple(pair for entry in _entries(file, "pairs") if (pair := _pair(file, *entry)) is not None)
    found = Topology(pools=pools, pairs=pairs)
    for problem in _contradictions(found):
        file.problem((TOPOLOGY,), problem, here=False, called="as a whole")
    file.raise_problems()
    return found


def check_against(topology: Topology, pool: str, partner: str, kind: str) -> None:
    """Raise TOPOLOGY if it does not say of this pair, which holds the store, what is so."""
    if not topology.pairs or set(topology.holding.pools) != {pool, partner}:
        detail = f"the store is held by the pair of {pool} and {partner}, and the topology says another"
        raise PoolpairError(
            Code.TOPOLOGY, f"{detail}; `holds_store = true` belongs to the pair of {pool} and {partner}"
        )
    mine = topology.pool(pool)
    if mine is not None and mine.kind != kind:
        raise PoolpairError(Code.TOPOLOGY, f"pool {pool} is on {kind}, and the topology says {mine.kind}")


def _contradictions(topology: Topology) -> Iterator[str]:
    names = {pool.name for pool in topology.pools}
    yield from (f"pool {name} is there twice" for name in _twice(pool.name for pool in topology.pools))
    yield from (
        f"one share is given to two pools: {share}" for share in _twice(_place(pool.share) for pool in topology.pools)
    )
    servers = _twice(name.casefold() for pool in topology.pools for name in pool.front_ends)
    yield from (f"front end {name} is there twice" for name in servers)
    yield from (
        f"pool {name} is in two pairs" for name in _twice(name for pair in topology.pairs for name in pair.pools)
    )
    kinds = {pool.name: pool.kind for pool in topology.pools}
    for pair in topology.pairs:
        one, other = pair.pools
        yield from (f"the pair of {one} and {other} names {name}, which is no pool" for name in {one, other} - names)
        if {one, other} <= names and kinds[one] != kinds[other]:
            yield f"{one} is on {kinds[one]} and {other} on {kinds[other]}: pools of a pair are of one kind"
    holding = sum(pair.holds_store for pair in topology.pairs)
    if holding != 1:
        yield f"{holding or 'no'} pairs hold the management store: say holds_store = true in exactly one"
    if len(topology.pools) > POOLS_MAX:
        yield f"more than {POOLS_MAX} pools"


def _place(share: str) -> str:
    """By which two addresses are told apart, however they are written; a file server knows no case."""
    return share.casefold() if is_smb(share) else normpath(share)


def _twice(values: Iterable[str]) -> list[str]:
    return sorted(value for value, count in Counter(values).items() if value and count > 1)


def _entries(file: TomlFile, key: str) -> Iterator[tuple[tuple[str, str], dict[str, object]]]:
    value = file.data.get(key, [])
    if not isinstance(value, list) or not value or not all(isinstance(entry, dict) for entry in value):
        file.problem((key,), f"write [[{key}]], with two brackets, before every entry; there must be one")
        return
    for number, entry in enumerate(value):
        yield (key, str(number)), entry


def _pool(file: TomlFile, path: tuple[str, str], entry: dict[str, object]) -> TopologyPool:
    known = ("name", "site", "kind", "share", "front_ends")
    _refuse_unknown(file, path, entry, known)
    found = {"name": "", "site": "", "share": "", "kind": ""}
    for key, parse in (("name", parse_pool_name), ("share", parse_share), ("site", parse_line)):
        if key not in entry and key != "site":
            file.problem((*path, key), "missing", called=f"{'.'.join(path)}.{key}")
        elif key in entry:
            try:
                found[key] = parse(entry[key])
            except ValueError as error:
                file.problem((*path, key), str(error))
    if entry.get("kind") not in KINDS:
        file.problem((*path, "kind"), f"expected {' or '.join(map(repr, KINDS))}, not {entry.get('kind')!r}")
    servers = entry.get("front_ends")
    if not isinstance(servers, list) or not 1 <= len(servers) <= FRONT_ENDS_MAX or not all(map(_is_server, servers)):
        file.problem((*path, "front_ends"), f'expected 1 to {FRONT_ENDS_MAX} names of servers, such as ["fe1"]')
        servers = []
    return TopologyPool(**found | {"kind": str(entry.get("kind", ""))}, front_ends=tuple(servers))


def _is_server(name: object) -> bool:
    """It names a folder in the pool's share."""
    return isinstance(name, str) and is_plain(name)


def _pair(file: TomlFile, path: tuple[str, str], entry: dict[str, object]) -> TopologyPair | None:
    _refuse_unknown(file, path, entry, ("pools", "holds_store"))
    pools, holds = entry.get("pools"), entry.get("holds_store", False)
    if not isinstance(holds, bool):
        file.problem((*path, "holds_store"), f"expected true or false, not {type_name(holds)}")
    if not isinstance(pools, list) or len(pools) != 2 or not all(isinstance(name, str) for name in pools):
        file.problem((*path, "pools"), 'expected two names of pools, such as ["a", "b"]')
        return None
    return TopologyPair(pools=(pools[0], pools[1]), holds_store=holds is True)


def _refuse_unknown(file: TomlFile, path: tuple[str, str], entry: dict[str, object], known: tuple[str, ...]) -> None:
    for key in entry:
        if key not in known:
            near = nearest(key, known)
            file.problem((*path, key), "unknown key" + (f", did you mean {near}?" if near else ""))

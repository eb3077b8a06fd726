"""The application of the simulator: four small tables of the shapes that matter, and a tree of files.

`account` has a unique key, `roster` none (its groups are replaced whole), `notice` is shared, and `upload` describes files in the
conferences channel: a file `host/slot` is the conference `slot`. Few keys, so that writes meet each other.
"""

from __future__ import annotations

import os
from functools import cache

from poolpair.homes import home_of, home_ranks, settings_digest
from poolpair.model import Channel
from poolpair.pipeline.limits import Limits
from poolpair.pipeline.site import FileHome
from poolpair.store.memory.schema import Key, MemorySchema, MemoryTable, Row

POOLS = ("a", "b")
MANAGEMENT = os.environ.get("POOLPAIR_SIMULATE") == "management-store"
"""Whether the pair is that of a management store: a single channel, and no files; all else is the same."""
CHANNELS = (Channel.CMS,) if MANAGEMENT else (Channel.USERS, Channel.CONFERENCES)
LEAD = CHANNELS[0]
HOSTS = {"a": "a.example", "b": "b.example"}
NOBODY = "nobody.example"
"""A host that no pattern gives a home."""
HOMES = (("a.example", "a"), ("b.example", "b"), ("shared", "a"))
SETTINGS = settings_digest(HOMES, "simulator")
USERS_PER_HOST = 10
SLOTS_PER_HOST = 5
LARGE_BYTES = 4096
LIMITS = Limits(
    interval_s=120.0,
    heartbeat_s=10.0,
    eager=True,
    window=3,
    conference_max_bytes=LARGE_BYTES - 1,
    package_max_bytes=3 * LARGE_BYTES,
    guard_fraction=0.5,
    guard_groups=4,
    parked_max=6,
    piece_min_bytes=1700,
    piece_max_bytes=1700,
    placed_together=2,
)
_RANKS = home_ranks(HOMES)


def other(pool: str) -> str:
    """The partner of a pool."""
    return POOLS[1 - POOLS.index(pool)]


def _first(key: Key) -> str:
    return str(key[0])


def _second(key: Key) -> str:
    return str(key[1])


SCHEMA = MemorySchema(
    (
        MemoryTable(
            number=1,
            name="account",
            key=("host", "user"),
            columns=("host", "user", "value"),
            unique=True,
            channel=LEAD,
            home_key=_first,
        ),
        MemoryTable(
            number=2,
            name="roster",
            key=("host", "user"),
            columns=("host", "user", "value"),
            channel=LEAD,
            home_key=_first,
        ),
        MemoryTable(number=3, name="notice", key=("name",), columns=("name", "value"), unique=True, channel=LEAD),
        MemoryTable(
            number=4,
            name="upload",
            key=("host", "slot"),
            columns=("host", "slot", "value"),
            unique=True,
            channel=CHANNELS[-1],
            home_key=_first,
            conference=None if MANAGEMENT else _second,
        ),
    ),
    HOMES,
)


def inherited(pool: str) -> tuple[tuple[str, Key, tuple[Row, ...]], ...]:
    """Groups that an application has before poolpair comes to it: no log names them, so only a comparison brings them over."""
    host, base = HOSTS[pool], -100 * (1 + POOLS.index(pool))
    accounts = [("account", (host, f"u{n}"), ((host, f"u{n}", base - n),)) for n in range(3)]
    rosters = [("roster", (host, f"u{n}"), ((host, f"u{n}", base - 10 - n), (host, f"u{n}", None))) for n in range(2)]
    notices = [("notice", ("n0",), (("n0", base - 20),))] if pool == POOLS[0] else []
    return (*accounts, *rosters, *notices, ("upload", (host, "s0"), ((host, "s0", base - 30),)))


def inherited_file(pool: str) -> tuple[bytes, bytes]:
    """A file that was there before, and what it holds."""
    return f"{HOSTS[pool]}/s0".encode(), b"from before"


@cache
def file_home(path: bytes) -> FileHome | None:
    """Whose a file is: the first component of its path is the host, the second the conference."""
    if MANAGEMENT:
        return None
    host, _, slot = path.decode("ascii").partition("/")
    return FileHome(home_of(host, _RANKS) or "", slot) if slot and "/" not in slot else None

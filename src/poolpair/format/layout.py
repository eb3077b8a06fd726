"""Names in a file share: folders, files, and the one grammar of package names. Nothing here touches a disk.

All paths are relative to the share's root, with forward slashes, ASCII only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from json import dumps
from typing import Final

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format import documents
from poolpair.model import Channel, Position

TEMP: Final = "Temp"
QUARANTINE: Final = "Quarantine"
POOL_JSON: Final = "pool.json"
TASK_ASSIGNMENT: Final = "TaskAssignment/backup-service.txt"
COOKIE_NAME: Final = "cookie.zip"
REPLICAS: Final = "Replicas"
REPLICA_NAME: Final = "data.zip"
REPORT_NAME: Final = "status.zip"

MAX_SEQUENCE: Final = 10**15
MAX_IDENTITY_BYTES: Final = 4 * 1024

_PACKAGE_NAME: Final = re.compile(
    r"backup-([0-9a-f]{32})-(0[0-9]{7}|[1-9][0-9]{7,15})-([0-9a-f]{8})\.zip",
    re.ASCII,
)
_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_MAX_NAME: Final = len("backup-") + 32 + 1 + 16 + 1 + 8 + len(".zip")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one channel lies in a share, in the original's words."""

    channel: Channel
    service: str
    module: str

    @property
    def data_dir(self) -> str:
        """The folder into which the partner drops packages."""
        return f"{self.service}/Data/{self.module}Data"

    @property
    def cookie_dir(self) -> str:
        """The folder into which the partner drops its cookie."""
        return f"{self.service}/Cookie/{self.module}Cookie"

    @property
    def lync_module(self) -> str:
        """The module's full name, as the original's commands take it."""
        return f"{self.service}.{self.module}"


PLACES: Final = (
    Place(Channel.USERS, "UserServices", "PresenceFocus"),
    Place(Channel.CONFERENCES, "ConfServices", "DataConf"),
    Place(Channel.CMS, "CentralMgmt", "CMSMaster"),
)


_BY_CHANNEL: Final = {each.channel: each for each in PLACES}


def place(channel: Channel) -> Place:
    """Give the place of a channel."""
    return _BY_CHANNEL[channel]


def data_dir(channel: Channel) -> str:
    """Give the folder of a channel's packages, e.g. `UserServices/Data/PresenceFocusData`."""
    return place(channel).data_dir


def cookie_dir(channel: Channel) -> str:
    """Give the folder of a channel's cookie, e.g. `UserServices/Cookie/PresenceFocusCookie`."""
    return place(channel).cookie_dir


def identity_file(lead: Channel) -> str:
    """Give the file that says whose share it is: for the pool, or for its management store, which is a store of its own."""
    return f"{place(lead).service}/{POOL_JSON}" if lead is Channel.CMS else POOL_JSON


def task_file(lead: Channel) -> str:
    """Give the file that names, for people, who works for the pool, or for its management store."""
    return "TaskAssignment/management-store.txt" if lead is Channel.CMS else TASK_ASSIGNMENT


def replica_folders(front_end: str) -> tuple[str, str]:
    """Give the folders in a pool's share into which one server gets its replica, and in which it answers."""
    return f"{REPLICAS}/{front_end}/to-replica", f"{REPLICAS}/{front_end}/from-replica"


def lync_module(channel: Channel) -> str:
    """Give the original's module name of a channel, e.g. `UserServices.PresenceFocus`."""
    return place(channel).lync_module


def channel_from_name(text: str) -> Channel:
    """Find a channel by its name, its module or its full module name, whatever the case.

    Raises PoolpairError(USAGE) naming the known ones.
    """
    wanted = text.lower()
    for each in PLACES:
        if wanted in (each.channel.value, each.module.lower(), each.lync_module.lower()):
            return each.channel
    known = ", ".join(f"{each.channel.value} ({each.lync_module})" for each in PLACES)
    raise PoolpairError(Code.USAGE, f"there is no channel {text[:100]!r}; the channels are {known}")


def folders(channels: Iterable[Channel]) -> tuple[str, ...]:
    """List every folder of a share that carries these channels, parents before children."""
    found: list[str] = [TASK_ASSIGNMENT.partition("/")[0], TEMP, QUARANTINE]
    for channel in channels:
        for path in (data_dir(channel), cookie_dir(channel)):
            parts = path.split("/")
            found += ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class PackageName:
    """What a package's file name says; only the sealed manifest proves it."""

    stream: str
    sequence: int
    short_id: str
    name: str

    def matches(self, position: Position) -> bool:
        """Say whether this is the name that a package at `position` has."""
        return (self.stream, self.sequence) == (position.stream, position.sequence) and (
            self.short_id == position.package_id[:8]
        )


def package_name(position: Position) -> str:
    """Give `backup-<stream>-<sequence>-<8 hex of package_id>.zip`.

    Raises ValueError for a position that no name can hold (ids not 32 hex digits, sequence not in 1..10**15).
    """
    if not (_ID.fullmatch(position.stream) and _ID.fullmatch(position.package_id)):
        raise ValueError("stream and package_id must be 32 lower-case hexadecimal digits")
    if not 1 <= position.sequence <= MAX_SEQUENCE:
        raise ValueError("sequence must be in 1..10**15")
    return f"backup-{position.stream}-{position.sequence:08d}-{position.package_id[:8]}.zip"


def parse_package_name(text: str) -> PackageName | None:
    """Read a file name; None for every name that `package_name` cannot have produced (such files are ignored)."""
    if len(text) > _MAX_NAME:
        return None
    match = _PACKAGE_NAME.fullmatch(text)
    if match is None:
        return None
    sequence = int(match[2])
    if not 1 <= sequence <= MAX_SEQUENCE:
        return None
    return PackageName(match[1], sequence, match[3], text)


@dataclass(frozen=True, slots=True)
class PoolIdentity:
    """Who owns a share: the content of `pool.json`, at most 4 KiB of indented JSON."""

    pool: str
    pair_id: str
    store_id: str
    location_digest: str = ""
    """Tells a copied share from a moved one; empty where the owner cannot tell."""

    def encode(self) -> str:
        """Give the text of `pool.json`. Raises ValueError if it would exceed 4 KiB."""
        text = dumps(asdict(self), indent=2) + "\n"
        if len(text) > MAX_IDENTITY_BYTES:
            raise ValueError("pool.json would exceed 4 KiB")
        return text

    @classmethod
    def parse(cls, text: str | bytes) -> PoolIdentity:
        """Read `pool.json`; unknown fields are ignored.

        Raises PoolpairError(SHARE_FOREIGN) if it is damaged: whose share it is cannot be told, so it is used by nobody.
        """
        if len(text) > MAX_IDENTITY_BYTES:
            raise PoolpairError(Code.SHARE_FOREIGN, f"{POOL_JSON} is larger than 4 KiB")
        try:
            found = documents.decode(cls, text)
        except Refused as error:
            raise PoolpairError(Code.SHARE_FOREIGN, f"{POOL_JSON} is damaged: {error.detail}") from None
        if not (found.pool and found.pair_id and found.store_id):
            raise PoolpairError(Code.SHARE_FOREIGN, f"{POOL_JSON} names no pool, pair or store")
        return found

"""A share in memory, for tests and the simulator: both roles over one object, no clock and no randomness of its own.

`before(operation, folder)` is called ahead of every step that a real share could fail at; it may raise. A PoolpairError is
a failure that the share reported; anything else is the end of the process, and leaves Temp as a crash would.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.share.folders import chunks
from poolpair.share.port import (
    QUARANTINE,
    QUARANTINE_MAX,
    REASON_SUFFIX,
    TEMP,
    AccessCheck,
    FileVanished,
    Listed,
    Quarantined,
    safe_component,
    safe_folder,
    split_path,
)
from poolpair.share.quarantine import quarantine_names, reason_bytes, reason_text, surplus

DEFAULT_CAPACITY = 1 << 40


@dataclass(frozen=True, slots=True)
class Stored:
    """One file. `serial` tells two files of equal content apart, as an inode does."""

    data: bytes
    mtime_s: float
    serial: int


class MemoryShare:
    """Implements `share.port.OwnShare` and `share.port.PartnerShare`."""

    def __init__(
        self,
        now_s: Callable[[], float] = lambda: 0.0,
        *,
        capacity_bytes: int = DEFAULT_CAPACITY,
        quarantine_max: int = QUARANTINE_MAX,
    ) -> None:
        self.tree: dict[str, dict[str, Stored]] = {"": {}}
        """Folder -> name -> file; the root is the empty text."""
        self.bytes_written: Counter[str] = Counter()
        """Bytes that the partner put into each folder: packages and cookies."""
        self.capacity_bytes = capacity_bytes
        self.before: Callable[[str, str], None] = lambda _operation, _folder: None
        self._now_s = now_s
        self._quarantine_max = quarantine_max
        self._serial = 0

    def _folder(self, operation: str, folder: str) -> dict[str, Stored]:
        safe_folder(folder)
        self.before(operation, folder)
        if folder not in self.tree:
            raise PoolpairError(Code.SHARE_MISSING, f"{folder} of the share in memory is not there")
        return self.tree[folder]

    def _used(self) -> int:
        return sum(len(stored.data) for files in self.tree.values() for stored in files.values())

    @contextmanager
    def _temp_file(self, temp_name: str, data: bytes, begins: int = 0) -> Iterator[Stored]:
        """Write a file in Temp; unless it was moved it goes afterwards, but for a crash, and for what was brought before a failure."""
        temp = self._folder("create", TEMP)
        before = temp.pop(safe_component(temp_name), None)
        if self._used() + len(data) > self.capacity_bytes:
            if begins and before is not None:
                temp[temp_name] = before
            raise PoolpairError(Code.SHARE_FULL, f"no space is left: could not write files in {TEMP}")
        self._serial += 1
        temp[temp_name] = stored = Stored(data, self._now_s(), self._serial)
        try:
            yield stored
        except PoolpairError:
            temp.pop(temp_name, None)
            if begins and before is not None:
                temp[temp_name] = before
            raise
        temp.pop(temp_name, None)

    def prepare(self, folders: Sequence[str]) -> None:
        """Make missing folders."""
        for folder in (*folders, TEMP, QUARANTINE):
            parts = safe_folder(folder)
            self.before("prepare", folder)
            for depth in range(len(parts)):
                self.tree.setdefault("/".join(parts[: depth + 1]), {})

    def list(self, folder: str) -> tuple[Listed, ...]:
        """List files."""
        files = self._folder("list", folder)
        return tuple(Listed(name, len(files[name].data)) for name in sorted(files))

    @contextmanager
    def open(self, folder: str, name: str) -> Iterator[BinaryIO]:
        """Open for reading."""
        safe_component(name)
        files = self._folder("open", folder)
        if name not in files:
            raise FileVanished(name)
        with io.BytesIO(files[name].data) as source:
            yield source

    def read_small(self, path: str, limit_bytes: int) -> bytes | None:
        """Read a small file."""
        folder, name = split_path(path)
        stored = self._folder("read", folder).get(safe_component(name))
        if stored is None:
            return None
        if len(stored.data) > limit_bytes:
            raise Refused(Code.LIMIT, f"{path} is larger than {limit_bytes} bytes")
        return stored.data

    def write_small(self, path: str, data: bytes) -> None:
        """Write a small file if its content differs."""
        folder, name = split_path(path)
        stored = self._folder("read", folder).get(safe_component(name))
        if stored is None or stored.data != data:
            self._put(folder, name, data, f"own-{self._serial}.part")

    def _put(self, folder: str, name: str, data: bytes, temp_name: str) -> None:
        goal = self._folder("enter", folder)
        with self._temp_file(temp_name, data) as stored:
            self.before("put", folder)
            goal[safe_component(name)] = stored

    def remove(self, folder: str, name: str) -> bool:
        """Delete a file."""
        return self._folder("remove", folder).pop(safe_component(name), None) is not None

    def quarantine(self, folder: str, name: str, reason: str, stamp: str) -> str:
        """Move a file into Quarantine, with its reason beside it."""
        source, goal = self._folder("quarantine", folder), self._folder("quarantine", QUARANTINE)
        if safe_component(name) not in source:
            raise FileVanished(name)
        new = next(free for free in quarantine_names(stamp, name) if free not in goal)
        goal[new] = source.pop(name)
        try:
            self.write_small(f"{QUARANTINE}/{new}{REASON_SUFFIX}", reason_bytes(reason))
        except PoolpairError as error:
            if error.code is not Code.SHARE_FULL:
                raise
        for old in surplus(sorted(goal), self._quarantine_max):
            del goal[old]
        return new

    def quarantined(self) -> tuple[Quarantined, ...]:
        """Refused files and why."""
        files = self._folder("list", QUARANTINE)
        reasons = {name: files[name + REASON_SUFFIX].data for name in files if name + REASON_SUFFIX in files}
        return tuple(
            Quarantined(each.name, reason_text(reasons.get(each.name)), each.size_bytes)
            for each in self.list(QUARANTINE)
            if not each.name.endswith(REASON_SUFFIX)
        )

    def sweep_temp(self, older_than_s: float) -> int:
        """Delete what did not change for so long."""
        temp, now_s = self._folder("sweep", TEMP), self._now_s()
        old = [name for name, stored in temp.items() if now_s - stored.mtime_s > older_than_s]
        for name in old:
            del temp[name]
        return len(old)

    def check(self, folders: Sequence[str]) -> None:
        """Every folder is there."""
        for folder in folders:
            self._folder("check", folder)

    def clear(self, folders: Sequence[str]) -> None:
        """Forget folders."""
        gone = [each for each in self.tree if each.partition("/")[0] in {safe_component(folder) for folder in folders}]
        for folder in gone:
            del self.tree[folder]

    def changed_hint(self, folders: Sequence[str]) -> object:
        """What stands where."""
        return tuple(
            frozenset((name, stored.serial) for name, stored in self.tree.get(folder, {}).items()) for folder in folders
        )

    def free_bytes(self) -> int:
        """Space left."""
        self._folder("look", "")
        return max(0, self.capacity_bytes - self._used())

    def identity(self, path: str, limit_bytes: int) -> bytes | None:
        """Read whose share it is."""
        return self.read_small(path, limit_bytes)

    def bring(self, source: BinaryIO, temp_name: str, begins: int, limit_bytes: int) -> int:
        """Write a piece."""
        before = self._brought(safe_component(temp_name), begins)
        if len(before) != begins:
            return 0
        data = before + b"".join(chunks(source, begins, limit_bytes))
        if self._used() + len(data) - begins > self.capacity_bytes:
            raise PoolpairError(Code.SHARE_FULL, f"no space is left: could not write files in {TEMP}")
        self._serial += 1
        self.tree[TEMP][temp_name] = Stored(data, self._now_s(), self._serial)
        return len(data)

    def forget(self, temp_name: str) -> None:
        """Delete it."""
        self.tree.get(TEMP, {}).pop(temp_name, None)

    def _brought(self, temp_name: str, begins: int) -> bytes:
        """What earlier pieces are there, nothing if it is less than it was."""
        stored = self._folder("create", TEMP).get(temp_name)
        return stored.data[:begins] if stored is not None and len(stored.data) >= begins else b""

    def deliver(self, source: BinaryIO, folder: str, name: str, temp_name: str, begins: int = 0) -> int:
        """Write through Temp to a name never used."""
        goal = self._folder("enter", folder)
        safe_component(name)
        size = source.seek(0, io.SEEK_END) if begins else 0
        if begins and name in goal and len(goal[name].data) == size:
            return size
        before = self._brought(safe_component(temp_name), begins)
        with self._temp_file(temp_name, before + b"".join(chunks(source, len(before))), len(before)) as stored:
            self.before("put", folder)
            size = len(stored.data)
            if len(goal.setdefault(name, stored).data) != size:
                raise PoolpairError(Code.SHARE_FAILED, f"another file stands as {name} in {folder}")
        self.bytes_written[folder] += size
        return size

    def replace(self, folder: str, name: str, data: bytes, temp_name: str) -> None:
        """Write through Temp over the old file."""
        self._put(folder, name, data, temp_name)
        self.bytes_written[folder] += len(data)

    def check_access(self, folders: Sequence[str]) -> tuple[AccessCheck, ...]:
        """Probe Temp and every other folder."""
        return tuple(self._probe(folder) for folder in dict.fromkeys((TEMP, *folders)))

    def _probe(self, folder: str) -> AccessCheck:
        try:
            self._put(folder, "probe.part", b"-", "probe.part")
            self._folder("remove", folder).pop("probe.part", None)
        except PoolpairError as error:
            return AccessCheck(folder, error.detail, error.code)
        return AccessCheck(folder, f"may create, rename and delete files in {folder}")

"""A share in a local or mounted directory. See `share.port` for what each method promises."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.share.folders import NO_LINKS, Folders, regular_size, sync_folder
from poolpair.share.port import (
    QUARANTINE,
    QUARANTINE_MAX,
    REASON_SUFFIX,
    TEMP,
    AccessCheck,
    FileVanished,
    Listed,
    Quarantined,
    is_plain,
    safe_component,
    safe_folder,
    split_path,
)
from poolpair.share.quarantine import REASON_MAX_BYTES, quarantine_names, reason_bytes, reason_text, surplus

RESTS_AFTER = 8
"""Looks without a change after which a folder's time alone is believed: by then it is older than a tick of any file system."""
_LIST_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class DirectoryOwnShare:
    """Implements `share.port.OwnShare`."""

    def __init__(self, root: Path, quarantine_max: int = QUARANTINE_MAX) -> None:
        self._folders = Folders(root, "own")
        self._quarantine_max = quarantine_max
        self._marks: dict[str, tuple[tuple[int, int], int, frozenset[tuple[str, int]]]] = {}

    def prepare(self, folders: Sequence[str]) -> None:
        """Make missing folders; they take the permissions of user and group from the root, others get none."""
        with self._folders.entered("") as root, self._folders.doing("look at", ""):
            mode = stat.S_IMODE(os.fstat(root).st_mode) & 0o2770 | stat.S_IRWXU
        for folder in (*folders, TEMP, QUARANTINE):
            above = ""
            for part in safe_folder(folder):
                self._make(above, part, mode)
                above = f"{above}/{part}" if above else part

    def _make(self, above: str, name: str, mode: int) -> None:
        with (
            self._folders.entered(above) as at,
            self._folders.doing("make folders in", above),
            suppress(FileExistsError),
        ):
            os.mkdir(name, mode, dir_fd=at)
            with suppress(OSError):  # a file server may set permissions of its own
                os.chmod(name, mode, dir_fd=at)
        with self._folders.entered(f"{above}/{name}" if above else name):
            pass  # it may have been there as something else: that is said now

    def list(self, folder: str) -> tuple[Listed, ...]:
        """List regular files."""
        found = []
        with self._listing(folder) as entries:
            for entry in entries:
                if is_plain(entry.name):
                    with suppress(FileNotFoundError):
                        info = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(info.st_mode):
                            found.append(Listed(entry.name, info.st_size))
        return tuple(sorted(found, key=lambda listed: listed.name))

    @contextmanager
    def _listing(self, folder: str) -> Iterator[Iterator[os.DirEntry[str]]]:
        with self._folders.entered(folder) as at, self._folders.doing("list", folder):
            fd = os.open(".", _LIST_FLAGS, dir_fd=at)
            try:
                with os.scandir(fd) as entries:
                    yield entries
            finally:
                os.close(fd)

    def open(self, folder: str, name: str) -> AbstractContextManager[BinaryIO]:
        """Open for reading."""
        return self._folders.opened(folder, name)

    def read_small(self, path: str, limit_bytes: int) -> bytes | None:
        """Read a small file."""
        return self._folders.read_small(path, limit_bytes)

    def write_small(self, path: str, data: bytes) -> None:
        """Write a small file if its content differs."""
        try:
            same = self._folders.read_small(path, len(data)) == data
        except Refused:  # longer than ours or a link, which is replaced; or a name that `replace` refuses too
            same = False
        if not same:
            folder, name = split_path(path)
            self._folders.replace(folder, name, data, f"own-{secrets.token_hex(8)}.part")

    def remove(self, folder: str, name: str) -> bool:
        """Delete a file."""
        safe_component(name)
        with self._folders.entered(folder) as at, self._folders.doing("delete files in", folder):
            try:
                os.unlink(name, dir_fd=at)
            except FileNotFoundError:
                return False
        return True

    def quarantine(self, folder: str, name: str, reason: str, stamp: str) -> str:
        """Move a file into Quarantine, with its reason beside it."""
        safe_component(name)
        doing = self._folders.doing(f"move {name} into {QUARANTINE} from", folder)
        with self._folders.entered(folder) as source, self._folders.entered(QUARANTINE) as goal, doing:
            # Only one service works here, so a name that is free stays free. A link would need rights on the file.
            new = next(free for free in quarantine_names(stamp, name) if regular_size(free, goal) is None)
            try:
                os.rename(name, new, src_dir_fd=source, dst_dir_fd=goal)
            except FileNotFoundError as error:
                raise FileVanished(name) from error
        try:
            self.write_small(f"{QUARANTINE}/{new}{REASON_SUFFIX}", reason_bytes(reason))
        except PoolpairError as error:
            if error.code is not Code.SHARE_FULL:
                raise
        for old in surplus([each.name for each in self.list(QUARANTINE)], self._quarantine_max):
            self.remove(QUARANTINE, old)
        return new

    def quarantined(self) -> tuple[Quarantined, ...]:
        """Refused files and why."""
        listed = [each for each in self.list(QUARANTINE) if not each.name.endswith(REASON_SUFFIX)]
        return tuple(Quarantined(each.name, self._reason(each.name), each.size_bytes) for each in listed)

    def _reason(self, name: str) -> str:
        try:
            return reason_text(self._folders.read_small(f"{QUARANTINE}/{name}{REASON_SUFFIX}", REASON_MAX_BYTES))
        except Refused:
            return ""

    def sweep_temp(self, older_than_s: float) -> int:
        """Compare with a probe's time, which the share's own clock gave."""
        swept = 0
        probe = f"own-{secrets.token_hex(8)}.part"
        with self._folders.temp_file(probe, b"") as (at, _), self._folders.doing("delete files in", TEMP):
            now_s = os.stat(probe, dir_fd=at, follow_symlinks=False).st_mtime
            fd = os.open(".", _LIST_FLAGS, dir_fd=at)
            try:
                for name in os.listdir(fd):
                    with suppress(FileNotFoundError):
                        info = os.stat(name, dir_fd=at, follow_symlinks=False)
                        if now_s - info.st_mtime > older_than_s and not stat.S_ISDIR(info.st_mode):
                            os.unlink(name, dir_fd=at)
                            swept += 1
            finally:
                os.close(fd)
        return swept

    def check(self, folders: Sequence[str]) -> None:
        """Ask the system for each folder."""
        for folder in folders:
            with self._folders.entered(folder) as at:
                if not os.access(".", os.R_OK | os.W_OK | os.X_OK, dir_fd=at):
                    where = self._folders.words(folder)
                    raise PoolpairError(Code.SHARE_DENIED, f"this account may not read and delete in {where}")

    def clear(self, folders: Sequence[str]) -> None:
        """Delete trees; `rmtree` follows no links."""
        for folder in folders:
            safe_component(folder)
            with self._folders.entered("") as at, self._folders.doing("delete", folder), suppress(FileNotFoundError):
                if stat.S_ISDIR(os.stat(folder, dir_fd=at, follow_symlinks=False).st_mode):
                    shutil.rmtree(folder, dir_fd=at)

    def changed_hint(self, folders: Sequence[str]) -> object:
        """Times of the folders, and what stands in them: two changes may fall into one tick of a folder's time.

        A folder whose time stood still for `RESTS_AFTER` looks is not listed again until it moves.
        """
        return tuple(self._mark(folder) for folder in folders)

    def _mark(self, folder: str) -> object:
        try:
            found = self._folders.stat_folder(folder)
            time = (found.st_ino, found.st_mtime_ns)
            known, looks, entries = self._marks.get(folder, ((0, 0), 0, frozenset[tuple[str, int]]()))
            if known != time or looks < RESTS_AFTER:
                looks = looks + 1 if known == time else 0
                with self._listing(folder) as listed:
                    entries = frozenset((entry.name, entry.inode()) for entry in listed)
                self._marks[folder] = (time, looks, entries)
        except (PoolpairError, OSError) as error:
            return str(error)
        return time, entries

    def free_bytes(self) -> int:
        """Space left for this account."""
        return self._folders.free_bytes()


class DirectoryPartnerShare:
    """Implements `share.port.PartnerShare`."""

    def __init__(self, root: Path) -> None:
        self._folders = Folders(root, "partner's")

    def identity(self, path: str, limit_bytes: int) -> bytes | None:
        """Read whose share it is."""
        return self._folders.read_small(path, limit_bytes)

    def bring(self, source: BinaryIO, temp_name: str, begins: int, limit_bytes: int) -> int:
        """Write a piece, and close the file again."""
        return self._folders.bring(temp_name, source, begins, limit_bytes)

    def forget(self, temp_name: str) -> None:
        """Delete it."""
        with suppress(PoolpairError, OSError), self._folders.entered(TEMP) as at:
            os.unlink(safe_component(temp_name), dir_fd=at)

    def deliver(self, source: BinaryIO, folder: str, name: str, temp_name: str, begins: int = 0) -> int:
        """Write through Temp, then link to a name never used; a rename where links are not to be had."""
        safe_component(name)
        # The folder is entered before anything is copied: one that is missing costs no traffic.
        with (
            self._folders.entered(folder) as goal,
            self._delivered(goal, source, name, temp_name, begins) as (at, size),
        ):
            if at is None:
                return size
            with self._folders.doing("put files into", folder):
                if not _publish(temp_name, at, name, goal) and regular_size(name, goal) != size:
                    words = f"another file stands as {name} in {self._folders.words(folder)}"
                    raise PoolpairError(Code.SHARE_FAILED, words)
            sync_folder(goal)
        return size

    @contextmanager
    def _delivered(
        self, goal: int, source: BinaryIO, name: str, temp_name: str, begins: int
    ) -> Iterator[tuple[int | None, int]]:
        """The file in Temp, or None and its size if an earlier try gave it its name: what was brought long ago is not sent once more."""
        size = source.seek(0, os.SEEK_END) if begins else 0
        source.seek(0)
        if begins and regular_size(name, goal) == size:
            yield None, size
            return
        with self._folders.temp_file(temp_name, source, begins=begins) as found:
            yield found

    def replace(self, folder: str, name: str, data: bytes, temp_name: str) -> None:
        """Write through Temp over the old file; nobody waits for the disk."""
        self._folders.replace(folder, name, data, temp_name, durable=False)

    def free_bytes(self) -> int:
        """Space left for this account."""
        return self._folders.free_bytes()

    def check_access(self, folders: Sequence[str]) -> tuple[AccessCheck, ...]:
        """Probe Temp and every other folder."""
        return tuple(self._probe(folder) for folder in dict.fromkeys((TEMP, *folders)))

    def _probe(self, folder: str) -> AccessCheck:
        probe = f"probe-{secrets.token_hex(8)}.part"
        try:
            with self._folders.entered(folder) as goal, self._folders.temp_file(probe, b"-") as (at, _):
                if folder != TEMP:
                    with self._folders.doing("put files into", folder):
                        os.rename(probe, probe, src_dir_fd=at, dst_dir_fd=goal)
                with self._folders.doing("delete files in", folder):
                    os.unlink(probe, dir_fd=goal)
        except PoolpairError as error:
            return AccessCheck(folder, error.detail, error.code)
        return AccessCheck(folder, f"may create, rename and delete files in {self._folders.words(folder)}")


def _publish(temp_name: str, at: int, name: str, goal: int) -> bool:
    """Give the file its name, never over another; False if the name is taken."""
    try:
        os.link(temp_name, name, src_dir_fd=at, dst_dir_fd=goal, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if regular_size(name, goal) is not None:
            return False
        os.rename(temp_name, name, src_dir_fd=at, dst_dir_fd=goal)
    return True

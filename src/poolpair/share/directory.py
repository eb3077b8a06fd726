"""A share in a local or mounted directory. See `share.port` for what each method promises."""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.share.port import (
    CHUNK_BYTES,
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

_GONE = {errno.ENOENT, errno.ESTALE}
REASON_MAX_BYTES = 4096


def share_error(error: OSError, doing: str) -> PoolpairError:
    """Say in our words what the file system said."""
    number = error.errno
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return PoolpairError(Code.SHARE_FULL, f"no space is left: {doing}")
    if number == errno.EROFS:
        return PoolpairError(Code.SHARE_READ_ONLY, f"the share is read-only: {doing}")
    if number in {errno.EACCES, errno.EPERM}:
        return PoolpairError(Code.SHARE_DENIED, f"this account lacks the permission: {doing}")
    if number in _GONE or number == errno.ENOTDIR:
        return PoolpairError(Code.SHARE_MISSING, f"a folder is not there: {doing}")
    return PoolpairError(Code.SHARE_FAILED, f"{error.strerror or error}: {doing}")


class _Directory:
    """Paths below one root, and files written whole."""

    def __init__(self, root: Path, whose: str) -> None:
        self._root = root
        self._whose = whose

    def _folder(self, folder: str) -> Path:
        return self._root.joinpath(*safe_folder(folder))

    def _words(self, verb: str, folder: str) -> str:
        return f"{verb} {folder or 'the top folder'} of the {self._whose} share {self._root}"

    @contextmanager
    def _doing(self, verb: str, folder: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise share_error(error, self._words(verb, folder)) from error

    def _write_temp(self, temp_name: str, source: BinaryIO | bytes) -> tuple[Path, int]:
        """Write a file in Temp, durable; nothing stays after a failure."""
        temp = self._folder(TEMP) / safe_component(temp_name)
        size = 0
        with self._doing("may not create files in", TEMP):
            try:
                fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
                with os.fdopen(fd, "wb", buffering=0) as sink:
                    if isinstance(source, bytes):
                        size = _write_all(sink, source)
                    else:
                        while chunk := source.read(CHUNK_BYTES):
                            size += _write_all(sink, chunk)
                    os.fsync(fd)
            except BaseException:  # whatever ended it: clean up, then let it pass
                with suppress(OSError):
                    temp.unlink()
                raise
        return temp, size

    def _replace(self, folder: str, name: str, data: bytes, temp_name: str) -> None:
        temp, _ = self._write_temp(temp_name, data)
        target = self._folder(folder) / safe_component(name)
        with self._doing("may not put files into", folder):
            try:
                os.replace(temp, target)
            except OSError:
                with suppress(OSError):
                    temp.unlink()
                raise
            _sync_folder(target.parent)

    def _read_small(self, path: str, limit_bytes: int) -> bytes | None:
        folder, name = split_path(path)
        with self._doing("may not read files in", folder):
            try:
                fd = os.open(
                    self._folder(folder) / safe_component(name),
                    os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
                )
            except OSError as error:
                if error.errno in {*_GONE, errno.ELOOP}:
                    return None
                raise
            with os.fdopen(fd, "rb") as source:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    return None
                data = source.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise Refused(Code.LIMIT, f"{path} is larger than {limit_bytes} bytes")
        return data

    def free_bytes(self) -> int:
        """Space left for this account."""
        with self._doing("may not look at", ""):
            found = os.statvfs(self._root)
        return found.f_bavail * found.f_frsize


def _write_all(sink: io.FileIO, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[sink.write(view) :]
    return len(data)


def _sync_folder(path: Path) -> None:
    with suppress(OSError):  # some network file systems cannot; the rename itself was done
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class DirectoryOwnShare(_Directory):
    """Implements `share.port.OwnShare`."""

    def __init__(self, root: Path, quarantine_max: int = QUARANTINE_MAX) -> None:
        super().__init__(root, "own")
        self._quarantine_max = quarantine_max

    def prepare(self, folders: Sequence[str]) -> None:
        """Make missing folders below a root that is there."""
        with self._doing("may not make folders in", ""):
            if not self._root.is_dir():
                raise PoolpairError(
                    Code.SHARE_MISSING,
                    f"{self._root} is not there",
                    hint="make or mount it; init does not, so that a lost mount is not hidden",
                )
            for folder in (*folders, TEMP, QUARANTINE):
                self._folder(folder).mkdir(mode=0o770, parents=True, exist_ok=True)

    def list(self, folder: str) -> tuple[Listed, ...]:
        """List regular files."""
        found = []
        with self._doing("may not list", folder), os.scandir(self._folder(folder)) as entries:
            for entry in entries:
                if is_plain(entry.name):
                    with suppress(FileNotFoundError):
                        if entry.is_file(follow_symlinks=False):
                            found.append(Listed(entry.name, entry.stat(follow_symlinks=False).st_size))
        return tuple(sorted(found, key=lambda listed: listed.name))

    @contextmanager
    def open(self, folder: str, name: str) -> Iterator[BinaryIO]:
        """Open for reading."""
        path = self._folder(folder) / safe_component(name)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in _GONE:
                raise FileVanished from error
            if error.errno == errno.ELOOP:
                raise Refused(Code.MISNAMED, f"{name} is a link") from error
            raise share_error(error, self._words("may not read files in", folder)) from error
        with os.fdopen(fd, "rb") as source:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Refused(Code.MISNAMED, f"{name} is no regular file")
            yield source

    def read_small(self, path: str, limit_bytes: int) -> bytes | None:
        """Read a small file."""
        return self._read_small(path, limit_bytes)

    def write_small(self, path: str, data: bytes) -> None:
        """Write a small file if its content differs."""
        if self._read_small(path, max(len(data), 1 << 16)) != data:
            folder, name = split_path(path)
            self._replace(folder, name, data, f"own-{secrets.token_hex(8)}.part")

    def remove(self, folder: str, name: str) -> bool:
        """Delete a file."""
        with self._doing("may not delete files in", folder):
            try:
                (self._folder(folder) / safe_component(name)).unlink()
            except FileNotFoundError:
                return False
        return True

    def quarantine(self, folder: str, name: str, reason: str, stamp: str) -> str:
        """Move a file into Quarantine, with its reason beside it."""
        new = f"{stamp}-{secrets.token_hex(3)}-{name}"[-200:]
        place = self._folder(QUARANTINE)
        with self._doing("may not move files into", QUARANTINE):
            try:
                os.rename(self._folder(folder) / safe_component(name), place / safe_component(new))
            except FileNotFoundError as error:
                raise FileVanished from error
        with suppress(OSError):
            (place / (new + REASON_SUFFIX)).write_text(reason[:REASON_MAX_BYTES] + "\n")
        files = sorted(each.name for each in self.list(QUARANTINE) if not each.name.endswith(REASON_SUFFIX))
        for old in files[: -self._quarantine_max]:
            self.remove(QUARANTINE, old)
            self.remove(QUARANTINE, old + REASON_SUFFIX)
        return new

    def quarantined(self) -> tuple[Quarantined, ...]:
        """Refused files and why."""
        listed = [each for each in self.list(QUARANTINE) if not each.name.endswith(REASON_SUFFIX)]
        reasons = [
            self._read_small(f"{QUARANTINE}/{each.name}{REASON_SUFFIX}", 2 * REASON_MAX_BYTES) for each in listed
        ]
        return tuple(
            Quarantined(each.name, (reason or b"").decode("utf-8", "replace").strip(), each.size_bytes)
            for each, reason in zip(listed, reasons, strict=True)
        )

    def sweep_temp(self, older_than_s: float) -> int:
        """Compare with a probe's time, which the share's own clock gave."""
        probe, _ = self._write_temp(f"probe-{secrets.token_hex(8)}.part", b"")
        swept = 0
        with self._doing("may not delete files in", TEMP):
            try:
                now = probe.stat().st_mtime
                for each in self.list(TEMP):
                    with suppress(FileNotFoundError):
                        path = self._folder(TEMP) / each.name
                        if now - path.stat(follow_symlinks=False).st_mtime > older_than_s:
                            path.unlink()
                            swept += 1
            finally:
                with suppress(OSError):
                    probe.unlink()
        return swept

    def changed_hint(self, folders: Sequence[str]) -> object:
        """Times of the folders."""
        marks = []
        for folder in folders:
            try:
                found = os.stat(self._folder(folder))
                marks.append((found.st_mtime_ns, found.st_ino))
            except OSError:
                marks.append((0, 0))
        return tuple(marks)


class DirectoryPartnerShare(_Directory):
    """Implements `share.port.PartnerShare`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "partner's")

    def identity(self, path: str, limit_bytes: int) -> bytes | None:
        """Read whose share it is."""
        if not self._root.is_dir():
            raise PoolpairError(Code.SHARE_MISSING, f"the partner's share {self._root} is not there")
        return self._read_small(path, limit_bytes)

    def deliver(self, source: BinaryIO, folder: str, name: str, temp_name: str) -> int:
        """Write through Temp, then link to a name never used; a rename where links are not to be had."""
        target = self._folder(folder) / safe_component(name)
        temp, size = self._write_temp(temp_name, source)
        with self._doing("may not put files into", folder):
            try:
                _publish(temp, target)
            except FileExistsError:
                if target.stat(follow_symlinks=False).st_size != size:
                    raise PoolpairError(
                        Code.SHARE_FAILED, f"{name} stands in {folder} already, with another size"
                    ) from None
            finally:
                with suppress(FileNotFoundError):
                    temp.unlink()
            _sync_folder(target.parent)
        return size

    def replace(self, folder: str, name: str, data: bytes, temp_name: str) -> None:
        """Write through Temp over the old file."""
        self._replace(folder, name, data, temp_name)

    def check_access(self, folders: Sequence[str]) -> tuple[AccessCheck, ...]:
        """Probe Temp and every folder."""
        return tuple(self._probe(folder) for folder in (TEMP, *folders))

    def _probe(self, folder: str) -> AccessCheck:
        name = f"probe-{secrets.token_hex(8)}.part"
        try:
            temp, _ = self._write_temp(name, b"")
            target = self._folder(folder) / name
            with self._doing("may not put files into", folder):
                if target != temp:
                    os.rename(temp, target)
                target.unlink()
        except PoolpairError as error:
            return AccessCheck(folder, error.detail, error.code)
        return AccessCheck(folder, f"may create files in {folder}")


def _publish(temp: Path, target: Path) -> None:
    try:
        os.link(temp, target)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}:
            raise
        if target.exists():
            raise FileExistsError from error
        os.rename(temp, target)

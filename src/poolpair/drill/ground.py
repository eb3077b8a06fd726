"""The ground of a drill: a copy of store, files and standing packages in a folder of its own, and a site on it whose partner is dead.

Packages are copied before the store: what is applied in between stands twice, and is passed over. The store and its digests are taken at
one view. Nothing is written to production: neither store, share nor tree.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from poolpair.config import HookCommands, PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import POOL_JSON, PoolIdentity, data_dir, folders, parse_package_name
from poolpair.model import Channel, TableDigests
from poolpair.moves import GateRules
from poolpair.pipeline.site import Site
from poolpair.scratch import make_scratch
from poolpair.share.port import CHUNK_BYTES, FileVanished
from poolpair.store.kind import StoreHandle
from poolpair.wiring import open_site, store_kind

FOLDER = "drill"
LOCK = "drill.lock"
ROOM = 1.2
"""So many times what is copied must be free before anything is."""

Digests = dict[Channel, tuple[TableDigests, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where a drill takes place."""

    config: PoolConfig
    """The pool file of the copy."""
    digests: Digests
    """Of the original, at the view that was copied."""


@contextmanager
def folder_of(config: PoolConfig, *, keep: bool) -> Iterator[Path]:
    """The folder of the one drill at a time, empty; what an earlier one left is removed. Raises DRILL, SCRATCH."""
    scratch = make_scratch(config)
    folder = scratch / FOLDER
    with (scratch / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PoolpairError(Code.DRILL, "another drill of this pool is under way", "wait for its end") from None
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            _check_room(config, folder)
            yield folder
        finally:
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)


def _check_room(config: PoolConfig, folder: Path) -> None:
    kind = store_kind(config)
    needed = kind.size_bytes() if kind.local_file() is not None else 0
    if config.files is not None:
        needed += sum(sizes_below(config.files))
    free = shutil.disk_usage(folder).free
    if free < ROOM * needed:
        detail = f"{folder} has {free:,} bytes free; a copy of store and files takes about {needed:,}"
        raise PoolpairError(Code.SCRATCH, detail, "set `scratch` to a disk with more room")


def sizes_below(top: Path) -> Iterator[int]:
    """In bytes. The tree lives: what goes meanwhile counts no more. Raises DRILL where a folder cannot be read."""
    folders = [top]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                found = list(entries)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise PoolpairError(Code.DRILL, f"cannot list {error.filename}: {error.strerror}") from error
        folders += [Path(entry.path) for entry in found if entry.is_dir(follow_symlinks=False)]
        for entry in found:
            with suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    yield entry.stat(follow_symlinks=False).st_size


def lay_out(config: PoolConfig, site: Site, folder: Path, url: str) -> Ground:
    """Copy packages and store. Raises DRILL, SCRATCH, STORE_*, SHARE_*."""
    share = folder / "share"
    for name in folders(site.channels):
        (share / name).mkdir(parents=True, exist_ok=True)
    for channel in site.channels:
        _copy_packages(site, channel, share / data_dir(channel))
    assert isinstance(site.store, StoreHandle)
    with site.store.snapshot() as view:
        digests = {channel: view.digests(channel, site.homes, None, frozenset()) for channel in site.channels}
        view.copy_whole(url)
    if config.files is not None:
        (folder / "files").mkdir()
    identity = PoolIdentity(pool=site.pool, pair_id=site.pair_id, store_id=site.store.identity().store_id)
    (share / POOL_JSON).write_text(identity.encode())
    return Ground(config=_config(config, folder, url), digests=digests)


def _copy_packages(site: Site, channel: Channel, target: Path) -> None:
    for listed in site.own.list(data_dir(channel)):
        if parse_package_name(listed.name) is None:
            continue
        place = target / listed.name
        try:
            with site.own.open(data_dir(channel), listed.name) as source, place.open("wb") as sink:
                shutil.copyfileobj(source, sink, CHUNK_BYTES)
        except FileVanished:  # it was applied meanwhile, and is in the store
            place.unlink(missing_ok=True)


def _config(config: PoolConfig, folder: Path, url: str) -> PoolConfig:
    """The same pool on the copy: without hooks and gate, and with a partner whose share is not there."""
    return replace(
        config,
        store=url,
        share=str(folder / "share"),
        files=folder / "files" if config.files is not None else None,
        partner=replace(config.partner, share=str(folder / "the partner is dead")),
        scratch=folder,
        hooks=HookCommands(),
        gate=GateRules(),
    )


@contextmanager
def copied_site(ground: Ground) -> Iterator[Site]:
    """Open the site on the copy; its store is told that it may work there."""
    site = open_site(ground.config)
    try:
        site.store.adopt(site.store.identity().store_id)
        yield site
    finally:
        site.store.release_lease()
        site.store.close()

"""`check`: a doctor. One line per check, `ok` or `FAIL` with code and hint.

What an earlier failure hides is not guessed. Nothing is changed: the partner's share is only tried with probes that are removed again.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import typer

from poolpair.cli.context import EXIT_STATUSES, chosen_config, tell
from poolpair.cli.examine import some_names
from poolpair.config import PoolConfig
from poolpair.errors import CATALOGUE, Code, PoolpairError
from poolpair.format.layout import cookie_dir, data_dir, folders
from poolpair.keyfile import read_key_file
from poolpair.pipeline.identity import check_own_share, check_partner_share
from poolpair.pipeline.site import Site
from poolpair.scratch import scratch_of
from poolpair.store import ledger
from poolpair.store.own_places import outside
from poolpair.store.profile import is_meant
from poolpair.store.tree import FileVanished, text
from poolpair.units import show_bytes, show_count
from poolpair.wiring import check_settings, open_site, own_places, profile_of, store_kind

FAIL = "FAIL"
NETWORK = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "ceph",
    "glusterfs",
    "fuse.sshfs",
    "fuse.glusterfs",
    "afs",
    "ncpfs",
}
MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Line:
    """The outcome of one check."""

    subject: str
    words: str
    code: Code | None = None
    hint: str = ""

    def __str__(self) -> str:
        if self.code is None:
            return f"ok    {self.subject}: {self.words}"
        return f"{FAIL}  {self.subject}: {self.code} {self.words}; {self.hint}"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog=EXIT_STATUSES)(check)


def check() -> None:
    """Look at everything that this pool needs, one line per check; exit status 2 if something is wrong."""
    lines = dict.fromkeys(str(line) for line in run_checks())
    for line in lines:
        tell(line)
    if any(line.startswith(FAIL) for line in lines):
        raise typer.Exit(2)


def run_checks() -> Iterator[Line]:
    """Every check that can be made, in an order in which the first failure explains the later ones."""
    found: list[PoolConfig] = []

    def read() -> str:
        found.append(chosen_config())
        return f"{found[0].path} describes pool {found[0].pool}, partner {found[0].partner.pool}"

    yield _one("pool file", read)
    if not found:
        return
    config = found[0]
    for line in config.overruled:
        yield Line("pool file", line, Code.CONFIG, "have both say the same")
    yield _one("key file", lambda: _key_file(config))
    yield from _profile(config)
    kind = store_kind(config)
    path = kind.local_file()
    if path is not None:
        yield _one("file system", lambda: local_disk(path, MOUNTS.read_text()))
    yield _one("store", lambda: kind.health(profile_of(config)))
    try:
        site = open_site(config)
    except PoolpairError as error:
        yield Line("pool", error.detail, error.code, error.hint)  # most of these were said above, and are printed once
        return
    try:
        yield from _site(config, site)
    finally:
        site.store.close()


def _site(config: PoolConfig, site: Site) -> Iterator[Line]:
    yield _one("prepared", lambda: _prepared(site))
    yield _one("capture", lambda: _capture(site))
    yield _one("own share", lambda: _own_share(config, site))
    partner = _one("partner", lambda: _partner(config, site))
    yield partner
    if partner.code is not Code.SHARE_MISSING:
        for checked in site.other.check_access([place(c) for c in site.channels for place in (data_dir, cookie_dir)]):
            hint = CATALOGUE[checked.code].hint if checked.code else ""
            yield Line("partner's share", checked.words, checked.code, hint)
    yield from _space(config, site)
    yield from _files(config, site)
    yield from _application(config)
    for step, command in site.hooks.commands.items():
        yield _one(f"hook {step}", partial(_program, command))
    if config.gate.watch is not None:
        yield _one("application", lambda: _watched(site, config.gate.watch))
    yield _one("service", lambda: _service(site))


def _one(subject: str, look: Callable[[], str]) -> Line:
    try:
        return Line(subject, look())
    except PoolpairError as error:
        return Line(subject, error.detail, error.code, error.hint)
    except OSError as error:
        return Line(subject, f"{error.filename}: {error.strerror}", Code.STORE_BROKEN, "look at the disk and its mount")


def _key_file(config: PoolConfig) -> str:
    ring = read_key_file(config.partner.key_file)
    count = len(ring.secrets)
    return f"{config.partner.key_file} is private, pair {ring.pair_id[:8]}, {count} secret{'' if count == 1 else 's'}"


def _profile(config: PoolConfig) -> Iterator[Line]:
    try:
        profile = profile_of(config)
        problems = store_kind(config).problems(profile)
    except PoolpairError as error:
        yield Line("profile", error.detail, error.code, error.hint)
        return
    for problem in problems:
        words = f"{problem.table}: {problem.reason}"
        if problem.fatal:
            yield Line("profile", words, Code.PROFILE, "correct the profile; nothing was changed")
        else:
            yield Line("profile", f"to know: {words}")
    if not any(problem.fatal for problem in problems):
        yield Line("profile", f"{profile.name} fits {len({spec.name for spec in profile.tables})} tables")


def local_disk(path: Path, mounts: str) -> str:
    """Say on which file system a path lies, by the text of mountinfo. Raises CONFIG if that is a network's."""
    real, best, kind = os.path.realpath(path), "", "unknown"
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        point = left.split(" ")[4].encode().decode("unicode_escape")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split(" ")[0]
    if kind in NETWORK:
        raise PoolpairError(
            Code.CONFIG,
            f"{path} lies on a network file system ({kind} at {best})",
            hint="move the database to a local disk: SQLite's write-ahead log does not work over a network",
        )
    return f"the database lies on {kind} at {best}, which is local"


def _prepared(site: Site) -> str:
    check_settings(site)
    return f"store {site.store.identity().store_id[:8]}, with these homes and this profile"


def _capture(site: Site) -> str:
    site.store.check_capture()
    shapes = [shape for channel in site.channels for shape in site.store.shapes(channel) if shape.name != ledger.TABLE]
    return f"every trigger is there, for {len(shapes)} entries of the profile"


def _own_share(config: PoolConfig, site: Site) -> str:
    check_own_share(site)
    site.own.check(folders(site.channels))
    return f"{config.share} is ours, with all its folders"


def _partner(config: PoolConfig, site: Site) -> str:
    check_partner_share(site)
    return f"{config.partner.share} belongs to {config.partner.pool}, of the same pair"


def _space(config: PoolConfig, site: Site) -> Iterator[Line]:
    """A first copy takes about the store's size, in either share and in the scratch folder."""
    wanted = store_kind(config).size_bytes()

    def roomy(place: str, free: Callable[[], int], code: Code) -> str:
        left = free()
        if left < wanted:
            raise PoolpairError(code, f"{place} has {show_bytes(left)} free, the store is {show_bytes(wanted)}")
        return f"{place} has {show_bytes(left)} free, the store is {show_bytes(wanted)}"

    def scratch_free() -> int:
        found = os.statvfs(scratch_of(config))
        return found.f_bavail * found.f_frsize

    yield _one("disk", lambda: roomy("the own share", site.own.free_bytes, Code.SHARE_FULL))
    yield _one("disk", lambda: roomy("the partner's share", site.other.free_bytes, Code.SHARE_FULL))
    yield _one("disk", lambda: roomy("the scratch folder", scratch_free, Code.SCRATCH))


def _files(config: PoolConfig, site: Site) -> Iterator[Line]:
    tree, folder = site.tree, config.files
    if tree is None or folder is None:
        yield Line("files", "`files` is not set: rows are carried, no files")
        return
    profile, belongs = profile_of(config), outside(folder, own_places(config))
    others: Counter[str] = Counter()

    def wanted(path: bytes) -> bool:
        if site.file_home(path) is not None:
            return True
        if profile.files and belongs(path) and not is_meant(profile, path):
            top, slash, _ = path.partition(b"/")
            others[text(top + slash)] += 1
        return False

    def look() -> str:
        count = size = 0
        for file in tree.scan(wanted):
            with suppress(FileVanished), tree.open(file.path):
                pass
            count, size = count + 1, size + file.size
        left_out = f", {tree.skipped} links or devices left out" if tree.skipped else ""
        return f"{folder} is readable: {count} files of {show_bytes(size)} belong{left_out}"

    yield _one("files", look)
    if others:
        where = some_names(sorted(others))
        count = show_count(others.total(), "file")
        does = "matches no pattern, and stays" if others.total() == 1 else "match no pattern, and stay"
        yield Line("files", f"to know: {count} below {folder} {does} at this site: in {where}")


def _application(config: PoolConfig) -> Iterator[Line]:
    """What the application's own configuration says, if the pool file names it."""
    if config.prosody is None:
        return
    from poolpair.adopt.checked import check_prosody  # other commands need no model of it

    try:
        for found in check_prosody(config, config.prosody):
            subject = f"prosody {found.subject}"
            wrong = (Code.UNFIT, found.hint) if found.is_wrong else ()
            yield Line(subject, found.told, *wrong)
    except PoolpairError as error:
        yield Line("prosody", error.detail, error.code, error.hint)


def _program(command: tuple[str, ...]) -> str:
    found = shutil.which(command[0])
    if found is None:
        raise PoolpairError(Code.CONFIG, f"{command[0]} is no program that this account may run")
    return f"runs {found}"


def _watched(site: Site, watch: Path | None) -> str:
    if down := site.hooks.down():
        raise PoolpairError(Code.APPLICATION_DOWN, down)
    return f"it runs, by {watch}"


def _service(site: Site) -> str:
    holder = site.store.lease_holder()
    return f"{holder.holder} works since {holder.since_utc}" if holder else "none runs for this pool now"

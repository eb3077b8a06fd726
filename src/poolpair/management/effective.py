"""What counts at a pool: its own file, and what the local replica says for the whole deployment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from poolpair.config import PoolConfig, load_config
from poolpair.errors import Code, PoolpairError
from poolpair.management.local import read_local, write_whole
from poolpair.management.replica import Replica
from poolpair.management.settings import document_of, laid, parse_settings
from poolpair.scratch import scratch_at
from poolpair.store.profile_file import load_profile, parse_profile
from poolpair.tomlfile import KeyPath, Laid, TomlFile, open_toml
from poolpair.wiring import profile_of, store_kind

PROFILES = "profiles"


def load_effective(path: Path) -> PoolConfig:
    """Read a pool file, with what the local replica says. Raises CONFIG with everything that is wrong."""
    file = open_toml(Code.CONFIG, path)
    folder = replica_folder(file)
    replica = read_local(folder) if folder is not None else None
    if folder is None or replica is None:
        return load_config(path)
    return load_config(path, given(replica, *_pools(file), folder))


def check_usable(path: Path, replica: Replica) -> None:
    """Raise CONFIG, TOPOLOGY or PROFILE if a pool cannot go by its file and this replica."""
    file = open_toml(Code.CONFIG, path)
    folder = replica_folder(file)
    if folder is None:
        return
    config = load_config(path, given(replica, *_pools(file), folder))
    load_profile(config.profile)
    try:
        problems = store_kind(config).problems(profile_of(config))
    except PoolpairError as error:
        if error.code is Code.PROFILE:
            raise
        return  # the database cannot be asked now; that says nothing against what was published
    if fatal := [f"{problem.table}: {problem.reason}" for problem in problems if problem.fatal]:
        raise PoolpairError(Code.PROFILE, f"profile {config.profile} does not fit the tables here: {'; '.join(fatal)}")


def says_the_same(one: PoolConfig, other: PoolConfig) -> bool:
    """Whether a service that runs by one may go on by the other; where a value comes from does not matter to it."""
    return replace(one, sources=(), overruled=()) == replace(other, sources=(), overruled=())


def replica_folder(file: TomlFile) -> Path | None:
    """Where the local replica lies, by what the pool file says; None where the store sends none."""
    pool, store, scratch = (file.data.get(key) for key in ("pool", "store", "scratch"))
    if "cms" not in file.data or not isinstance(pool, str) or not isinstance(store, str):
        return None
    try:
        return scratch_at(Path(scratch) if isinstance(scratch, str) else None, pool, store)
    except PoolpairError:
        return None  # it is said when the file is read


def _pools(file: TomlFile) -> tuple[str, str]:
    partner: Any = file.data.get("partner")
    return str(file.data.get("pool")), str(partner.get("pool") if isinstance(partner, dict) else "")


def given(replica: Replica, pool: str, partner: str, folder: Path) -> dict[KeyPath, Laid]:
    """What the replica says for a pool: settings of all, of this one, and what both pools of its pair agree on."""
    found: dict[KeyPath, Laid] = {}
    for name in (document_of(None), document_of(pool)):
        document = replica.document(name)
        if document is not None:
            source = f"the management store ({name}, version {document.version})"
            values = parse_settings(document.body, name)
            found |= {path: Laid(value, source) for path, value in laid(values)}
    return found | dict(_of_pair(replica, pool, partner, folder))


def pair_document(pool: str, partner: str) -> str:
    """The document of what both pools of a pair agree on."""
    return f"pair/{'+'.join(sorted((pool, partner)))}"


def _of_pair(replica: Replica, pool: str, partner: str, folder: Path) -> Iterator[tuple[KeyPath, Laid]]:
    name = pair_document(pool, partner)
    document = replica.document(name)
    if document is None:
        return
    source = f"the management store ({name}, version {document.version})"
    profile, homes = parse_pair(document.body, name)
    for pattern, owner in homes.items():
        yield ("homes", pattern), Laid(owner, source)
    if profile:
        own = replica.document(f"profile/{profile}")
        at = str(_profile_file(folder, profile, own.body)) if own is not None else profile
        yield ("profile",), Laid(at, source)


def parse_pair(text: str, name: str) -> tuple[str, dict[str, object]]:
    """The profile's name, and the homes map, of a pair. Raises TOPOLOGY."""
    file = TomlFile(Code.TOPOLOGY, name, text.encode())
    for key in file.data:
        if key not in {"profile", "homes"}:
            file.problem((key,), "unknown key: there is profile, and [homes]")
    profile, homes = file.data.get("profile", ""), file.data.get("homes", {})
    if not isinstance(profile, str):
        file.problem(("profile",), "expected the name of a profile")
    if not isinstance(homes, dict):
        file.problem(("homes",), "expected a section [homes]")
    file.raise_problems()
    return str(profile), homes if isinstance(homes, dict) else {}


def _profile_file(folder: Path, name: str, body: str) -> Path:
    """A profile as a file, called by what is in it: one that is in use does not change under its reader. Raises PROFILE."""
    parse_profile(body.encode(), name)
    path = folder / PROFILES / f"{name}-{sha256(body.encode()).hexdigest()[:12]}.toml"
    if not path.exists():
        write_whole(path, body.encode())
    return path

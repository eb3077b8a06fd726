"""Publishing: what people change of the documents, checked before anybody else sees it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from poolpair.config import PoolConfig
from poolpair.config_sections import checked_file_name
from poolpair.errors import Code, PoolpairError
from poolpair.homes import home_problem
from poolpair.keyfile import read_key_file
from poolpair.management.before import holder
from poolpair.management.documents import Document, Draft
from poolpair.management.effective import parse_pair
from poolpair.management.holding import documents_of, management_of
from poolpair.management.local import read_local
from poolpair.management.members import key_document, ring_of
from poolpair.management.settings import SETTINGS, parse_settings
from poolpair.management.topology import KINDS, TOPOLOGY, check_against, parse_topology
from poolpair.scratch import scratch_of
from poolpair.store.open import POSTGRES
from poolpair.store.profile_file import parse_profile, shipped_profiles
from poolpair.wiring import open_site


def there(config: PoolConfig) -> tuple[Document, ...]:
    """The newest documents, from the store where this pair holds it, else from the local replica. Raises USAGE where there is neither."""
    if config.cms is not None:
        with closing(documents_of(config)) as found:
            return found.newest()
    replica = read_local(scratch_of(config))
    if replica is None:
        detail = "this server has no replica of the management store"
        raise PoolpairError(Code.USAGE, detail, "it comes once the topology names this server, and its service runs")
    return replica.documents


def version_of(config: PoolConfig, name: str, version: int | None = None) -> Document | None:
    """A document; an earlier version only where the store is held. Raises USAGE for a version that is not kept."""
    if version is None:
        return next((document for document in there(config) if document.name == name), None)
    with closing(documents_of(config)) as found:
        kept = found.versions(name)
    chosen = next((document for document in kept if document.version == version), None)
    if chosen is None:
        known = ", ".join(str(document.version) for document in kept) or "none"
        raise PoolpairError(Code.USAGE, f"of {name} there is no version {version}; kept are {known}")
    return chosen


def publish(config: PoolConfig, draft: Draft, *, author: str, note: str, now_utc: str) -> Document:
    """Publish one document. Raises NOT_MASTER, OUTDATED, TOO_MUCH, and TOPOLOGY or PROFILE for one that does not hold together."""
    check_document(config, draft.name, draft.body)
    refuse_elsewhere(config)
    with closing(documents_of(config)) as found:
        return found.publish([draft], author=author, note=note, now_utc=now_utc)[0]


def refuse_elsewhere(config: PoolConfig) -> None:
    """Raise NOT_MASTER if the other pool holds the store, USAGE where neither of this pair does."""
    site = open_site(management_of(config))
    try:
        assert config.cms is not None
        name = holder(site, config.cms.home)
    finally:
        site.store.close()
    if name != config.pool:
        raise PoolpairError(Code.NOT_MASTER, f"pool {name} holds the management store, and this is pool {config.pool}")


def check_document(config: PoolConfig, name: str, body: str) -> None:
    """Raise TOPOLOGY or PROFILE for a body that means nothing under this name, USAGE for a name that means nothing."""
    what, _, which = name.partition("/")
    checks: dict[str, Callable[[], object]] = {
        TOPOLOGY: lambda: _check_topology(config, body),
        SETTINGS: lambda: parse_settings(body, name),
        "pair": lambda: _check_pair(config, which, body, name),
        "profile": lambda: parse_profile(body.encode(), which),
        "key": lambda: _check_key(config, which, body),
        "file": lambda: _check_file(which),
    }
    if what not in checks or (what == TOPOLOGY and which) or (what in {"pair", "profile", "key", "file"} and not which):
        known = "topology, backup, backup/POOL, pair/POOL+POOL, profile/NAME, file/NAME"
        raise PoolpairError(Code.USAGE, f"{name!r} is no document that can be published", f"there is {known}")
    checks[what]()


def _check_topology(config: PoolConfig, body: str) -> None:
    kind = KINDS[config.store.startswith(POSTGRES)]
    check_against(parse_topology(body), config.pool, config.partner.pool, kind)


def _check_key(config: PoolConfig, pool: str, body: str) -> None:
    """`cms invite` makes them; an earlier version may be brought back, and what is none would cut its pool off."""
    pair = (config.pool, config.partner.pool)
    if pool in pair:
        raise PoolpairError(Code.USAGE, f"{pool} is of this pair, whose key file serves")
    made = Document(name=key_document(pool), version=1, body=body)
    ring_of(pool, pair, read_key_file(config.partner.key_file), [made])


def _check_file(which: str) -> None:
    try:
        checked_file_name(which)
    except ValueError as error:
        raise PoolpairError(Code.USAGE, str(error)) from None


def _check_pair(config: PoolConfig, which: str, body: str, name: str) -> None:
    pools = which.split("+")
    if len(pools) != 2 or pools != sorted(pools):
        raise PoolpairError(Code.USAGE, f"{name!r}: a pair is called by both pools in order, such as pair/a+b")
    profile, homes = parse_pair(body, name)
    if profile and profile not in shipped_profiles() and not any(f"profile/{profile}" == d.name for d in there(config)):
        detail = f"{name}: profile {profile!r} is neither shipped ({', '.join(shipped_profiles())}) nor published"
        raise PoolpairError(Code.TOPOLOGY, detail, "`poolpair cms publish profile/NAME FILE` comes first")
    for pattern, owner in homes.items():
        if reason := home_problem(pattern, owner, set(pools)):
            raise PoolpairError(Code.TOPOLOGY, f"{name}: homes.{pattern}: {reason}")

"""Checker of recovered files: every version that was accepted is in a tree or beside one; at rest with the server, or in its ledger."""

from __future__ import annotations

from collections.abc import Iterator

from poolpair.store.ledger import COLUMNS, TABLE
from poolpair.store.ledger_files import FILES, version_from
from poolpair.testing.facts import Lines, Violation, digests_on_disk, homes_served
from poolpair.testing.file_accounts import digest
from poolpair.testing.view import View
from poolpair.testing.world import Pool, World

NAME = "every_accepted_file_is_accounted_for"


def every_accepted_file_is_accounted_for(world: World, _found: Lines) -> Violation | None:
    """It is in a tree or set aside beside one, or something that replaced it knowingly is."""
    accounts, trees = world.truth.files, [pool.tree for pool in world.pools.values()]
    if not accounts.open or not world.truth.is_news(NAME, "", *(tree.hint() for tree in trees)):
        return None
    held = [digest(content) for tree in trees for path in tree.paths() if (content := tree.content(path)) is not None]
    held += [digest(content) for tree in trees for content in tree.spooled.values()]
    missing = accounts.missing(held)
    return Violation(NAME, f"{missing[0]}, is nowhere") if missing else None


def check_files_at_rest(world: World) -> Violation | None:
    """At rest it is in the tree of the pool that serves its home, or its ledger names it; what the ledger names is kept at some pool."""
    if any(pool.tree.missing for pool in world.pools.values()):
        return None
    world.truth.used[NAME] += 1
    held = [version for pool in world.pools.values() for version in _with_the_server(pool)]
    missing = world.truth.files.missing(held, strict=True)
    return Violation(NAME, f"{missing[0]}, is neither with the server nor in its ledger") if missing else None


def _with_the_server(pool: Pool) -> Iterator[str]:
    homes = homes_served(pool)
    yield from digests_on_disk(pool, homes).values()
    yield from in_ledger(pool.database.view(), homes)


def in_ledger(view: View, homes: tuple[str, ...]) -> Iterator[str]:
    """Digests that the ledger of some homes names."""
    for (table, _), rows in view.groups.items():
        if table != TABLE or not rows:
            continue
        entry = dict(zip(COLUMNS, map(str, rows[0]), strict=True))
        if entry["tbl"] == FILES and entry["home"] in homes:
            versions = (version_from(entry[side]) for side in ("theirs", "ours"))
            yield from (version.sha256 for version in versions if version is not None)

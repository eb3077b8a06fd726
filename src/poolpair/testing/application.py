"""What the application does: rows and files, mass deletions, long transactions, rows of nobody's home; and people who tamper."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from poolpair.errors import Code, PoolpairError
from poolpair.reigns import serves
from poolpair.store.memory.disk import RowRefused
from poolpair.testing.facts import serving_of
from poolpair.testing.schema import HOSTS, LARGE_BYTES, NOBODY, POOLS, SLOTS_PER_HOST, USERS_PER_HOST, other
from poolpair.testing.steps import Step
from poolpair.testing.view import Write
from poolpair.testing.world import Pool, World

UNMOUNTED = "the disk is not there"
FEW = "there were few, now there are many"


def write(world: World, step: Step) -> str:
    """Write one group, or two groups of two tables in one transaction."""
    rng, pool = Random(step.number), world.pools[step.pool]
    home = _home(pool, step)
    writes = [_any_write(world, rng, home)]
    if rng.random() < 0.3:
        writes.append(_any_write(world, rng, home))
    return _commit(world, pool, tuple(writes))


def delete(world: World, step: Step) -> str:
    """Delete one group."""
    rng, pool = Random(step.number), world.pools[step.pool]
    target = _any_write(world, rng, _home(pool, step))
    return _commit(world, pool, (Write(target.table, target.key, ()),))


def bulk(world: World, step: Step) -> str:
    """Give every user an account and a roster in one transaction."""
    pool = world.pools[step.pool]
    host = HOSTS[_home(pool, step)]
    users = [f"u{number}" for number in range(USERS_PER_HOST)]
    return _commit(world, pool, tuple(_account(world, host, user) for user in users))


def mass_delete(world: World, step: Step) -> str:
    """Delete most accounts at once, or all files too: the partner's guard should hold that. Where there are few, they are made first."""
    pool = world.pools[step.pool]
    host = HOSTS[_home(pool, step)]
    accounts = [key for table, key in pool.database.view().groups if table == "account" and key[0] == host]
    if len(accounts) < USERS_PER_HOST // 2:
        bulk(world, step)
        return FEW
    served = _home(pool, step) not in pool.database.view().fence
    if step.number % 2 and served and not pool.tree.missing:  # an empty mount point looks the same
        for path in pool.tree.paths():
            if path.startswith(host.encode()):
                _remove(world, pool, path)
    users = [f"u{number}" for number in range(USERS_PER_HOST) if number != step.number % USERS_PER_HOST]
    return _commit(world, pool, tuple(Write("account", (host, user), ()) for user in users))


def stray(world: World, step: Step) -> str:
    """Write a row that has no home, or take it away again."""
    pool = world.pools[step.pool]
    rows = ((NOBODY, "x", _next(world)),) if step.number % 2 else ()
    return _commit(world, pool, (Write("account", (NOBODY, "x"), rows),))


def tamper(world: World, step: Step) -> str:
    """Somebody writes into the partner's rows here."""
    rng, pool = Random(step.number), world.pools[step.pool]
    written = _any_write(world, rng, other(pool.name))
    if rng.random() < 0.3:
        written = Write(written.table, written.key, ())
    said = _said(lambda: pool.database.write((written,), fenced=False))
    if said == "written":
        world.truth.spoilt[pool.name].add((written.table, written.key))
        world.truth.accounts.give_up_groups({(written.table, written.key)})
        world.truth.tampered.add(pool.name)
        world.acted(pool)
    return said


def begin_long(world: World, step: Step) -> str:
    """Begin a transaction that commits late."""
    rng, pool = Random(step.number), world.pools[step.pool]
    writes = (_any_write(world, rng, _home(pool, step)),)
    said = _said(lambda: pool.database.begin_long(writes))
    if said == "written":
        pool.long = writes
    return said


def end_long(world: World, step: Step) -> str:
    """Commit it, or roll it back."""
    pool, commit = world.pools[step.pool], step.number % 3 != 0
    before = pool.database.view()
    pool.database.end_long(commit=commit)
    if commit:
        world.truth.accounts.accepted(pool.name, before, pool.long)
    pool.long = ()
    return "ended"


def file(world: World, step: Step) -> str:
    """Upload: the row first, then the file; or change a file that is there."""
    rng, pool = Random(step.number), world.pools[step.pool]
    path = _path(rng, _home(pool, step))
    if pool.tree.missing:
        return UNMOUNTED
    said = _describe_file(world, pool, path) if rng.random() < 0.7 else "without a row"
    if _home(pool, step) in pool.database.view().fence:
        return "is not served here"
    _write_file(world, pool, path, f"{_next(world)} ".encode() * rng.randrange(1, 20))
    return said


def file_large(world: World, step: Step) -> str:
    """A file larger than a conference may be."""
    rng, pool = Random(step.number), world.pools[step.pool]
    path = _path(rng, _home(pool, step))
    if pool.tree.missing:
        return UNMOUNTED
    said = _describe_file(world, pool, path)
    if _home(pool, step) in pool.database.view().fence:
        return "is not served here"
    _write_file(world, pool, path, b"%d" % _next(world) + b"x" * LARGE_BYTES)
    return said


def file_delete(world: World, step: Step) -> str:
    """Delete a file, and its row with it or not."""
    rng, pool = Random(step.number), world.pools[step.pool]
    path = _path(rng, _home(pool, step))
    if pool.tree.missing:
        return UNMOUNTED
    if _home(pool, step) in pool.database.view().fence:
        return "is not served here"
    gone = _remove(world, pool, path)
    if rng.random() < 0.5:
        host, slot = path.decode().split("/")
        _commit(world, pool, (Write("upload", (host, slot), ()),))
    return "deleted" if gone else "was not there"


def _write_file(world: World, pool: Pool, path: bytes, content: bytes) -> None:
    world.truth.files.accepted(pool.name, path, pool.tree.content(path), content)
    pool.tree.write(path, content)


def _remove(world: World, pool: Pool, path: bytes) -> bool:
    world.truth.files.deleted(pool.tree.content(path))
    gone = pool.tree.remove(path)
    if gone:
        world.truth.deleted_here[pool.name].add(path)
    return gone


def file_grows(world: World, step: Step) -> str:
    """A file is in the middle of being written: now longer than at the last look."""
    rng, pool = Random(step.number), world.pools[step.pool]
    path = _path(rng, _home(pool, step))
    if pool.tree.missing:
        return UNMOUNTED
    if _home(pool, step) in pool.database.view().fence:
        return "is not served here"
    before = pool.tree.content(path) or b""
    _write_file(world, pool, path, before[:512] + b"+%d" % _next(world))
    return "grew"


def file_shrink(world: World, step: Step) -> str:
    """Files that are too large are made small."""
    pool = world.pools[step.pool]
    view = pool.database.view()
    hosts = tuple(HOSTS[home].encode() for home in POOLS if serves(serving_of(view, home), pool.name, other(pool.name)))
    large = [path for path in pool.tree.paths() if path.startswith(hosts)]
    large = [path for path in large if len(pool.tree.content(path) or b"") >= LARGE_BYTES]
    for path in large:
        _write_file(world, pool, path, b"small %d" % _next(world))
    return f"{len(large)} files"


def file_tamper(world: World, step: Step) -> str:
    """Somebody writes into, or deletes, the partner's file here."""
    rng, pool = Random(step.number), world.pools[step.pool]
    path = _path(rng, other(pool.name))
    if pool.tree.missing:
        return UNMOUNTED
    if rng.random() < 0.5:
        content = b"tampered %d" % _next(world)
        pool.tree.write(path, content)
        world.truth.written_here[pool.name][path] = content
    else:
        pool.tree.remove(path)
        world.truth.written_here[pool.name].pop(path, None)
    world.truth.files.give_up(path)
    world.truth.spoilt_files[pool.name].add(path)
    world.truth.tampered.add(pool.name)
    world.acted(pool)
    return path.decode()


def _home(pool: Pool, step: Step) -> str:
    """Whose rows the application writes here: those of its own users, unless they are served elsewhere or it serves others, too."""
    served = [name for name in POOLS if name not in pool.database.view().fence]
    if pool.name in served and (len(served) == 1 or step.number % 2):
        return pool.name
    return next((name for name in served if name != pool.name), pool.name)


def _next(world: World) -> int:
    world.value += 1
    return world.value


def _any_write(world: World, rng: Random, pool: str) -> Write:
    user = f"u{rng.randrange(USERS_PER_HOST)}"
    table = rng.choice(("account", "account", "roster", "notice" if pool == "a" else "roster"))
    host = HOSTS[pool]
    if table == "account":
        return _account(world, host, user)
    if table == "notice":
        name = f"n{rng.randrange(4)}"
        return Write("notice", (name,), ((name, _next(world)),))
    value = _next(world)
    rows = tuple((host, user, each) for each in rng.choice(((value,), (value, value), (value, None, b"x"), ())))
    return Write("roster", (host, user), rows)


def _account(world: World, host: str, user: str) -> Write:
    return Write("account", (host, user), ((host, user, _next(world)),))


def _describe_file(world: World, pool: Pool, path: bytes) -> str:
    host, slot = path.decode().split("/")
    return _commit(world, pool, (Write("upload", (host, slot), ((host, slot, _next(world)),)),))


def _path(rng: Random, pool: str) -> bytes:
    return f"{HOSTS[pool]}/s{rng.randrange(SLOTS_PER_HOST)}".encode()


def _commit(world: World, pool: Pool, writes: tuple[Write, ...]) -> str:
    before = pool.database.view()
    said = _said(lambda: pool.database.write(writes))
    if said == "written":
        world.truth.accounts.accepted(pool.name, before, writes)
    return said


def _said(act: Callable[[], None]) -> str:
    try:
        act()
    except RowRefused:
        return "refused by its own table"
    except PoolpairError as error:
        if error.code is not Code.STORE_LOCKED:
            raise
        return "waits for the lock"
    return "written"

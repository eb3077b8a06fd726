"""A site is lost for good. The survivor serves everybody, gives it up, and takes a new, empty partner: nobody is ever fenced away."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from poolpair.lab.compare import compare
from poolpair.lab.pool import HOMES, Pool, make_pools, run_command, wait_for

FINAL = ("sync", "--wait", "final", "--timeout", "60")
LOST = "UPDATE prosody SET value = ? WHERE host = 'a.example' AND user = 'myriel' AND key = 'napoleon@b.example'"
LOST_IS = "SELECT value FROM prosody WHERE host = 'a.example' AND user = 'myriel' AND key = 'napoleon@b.example'"
OWN = "INSERT INTO prosody (host, user, store, key, type, value) VALUES ('b.example', 'napoleon', 'private', ?, 'json', '{}')"
WAIT_S = 60.0


@pytest.fixture
def pools(tmp_path: Path) -> Iterator[tuple[Pool, Pool, Pool]]:
    """A and B after their first copy, and C: the same tables, without a row."""
    a, b = make_pools(tmp_path)
    c = Pool("c", "b", tmp_path)
    c.data.mkdir()
    c.share.mkdir()
    with closing(sqlite3.connect(a.database)) as old, closing(sqlite3.connect(c.database)) as new, new:
        for (statement,) in old.execute("SELECT sql FROM sqlite_master WHERE name GLOB 'prosody*' AND sql IS NOT NULL"):
            new.execute(statement)
    try:
        for pool in (a, b):
            pool.start()
        for pool in (a, b):
            pool.must(*FINAL)
        yield a, b, c
    finally:
        for pool in (a, b, c):
            pool.stop()


def write(pool: Pool, statement: str, value: str) -> str:
    """What the application's own client is told: nothing, or why it is refused."""
    try:
        with pool.sql() as connection:
            connection.execute(statement, (value,))
    except sqlite3.IntegrityError as error:
        return str(error)
    return ""


def write_both(pool: Pool, value: str) -> None:
    """A user of the lost pool and one of its own write here."""
    assert (write(pool, LOST, value), write(pool, OWN, value)) == ("", "")


def with_partner(pool: Pool, partner: str, key: Path) -> None:
    """The pool file as its operator edits it: the partner, its share, the key, and the homes of the lost pool."""
    homes = "".join(f'"{pattern}" = "{"c" if owner == "a" else "b"}"\n' for pattern, owner in HOMES.items())
    pool.toml.write_text(
        f'pool = "{pool.name}"\nstore = "{pool.store.url}"\nprofile = "prosody"\nshare = "{pool.share}"\nfiles = "{pool.data}"\n'
        f'front_end = "fe-{pool.name}"\n\n[partner]\npool = "{partner}"\nshare = "{pool.folder}/share-{partner}"\n'
        f'key_file = "{key}"\n\n[homes]\n{homes}'
    )


def served_by(pool: Pool, home: str) -> tuple[str, bool]:
    """Who serves a home, as one side says, and whether anything of it is still being brought together."""
    (found,) = [each for each in pool.status()["homes"] if each["home"] == home]
    return str(found["served_by"]), bool(found["recovering"] or found["plan"])


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_partner_lost_for_good_is_replaced(pools: tuple[Pool, Pool, Pool]) -> None:
    """Failover, unpair, init with C, first copy, failback to C. The old partner comes back as a ghost, and is heard by nobody."""
    a, b, c = pools
    a.kill()
    b.stop()
    too_early = b.run("unpair", "--yes")
    assert (too_early.exit_status, "failover a" in too_early.talk) == (64, True)
    b.start()
    b.must("failover", "a", "--disaster", "--yes")
    write_both(b, "served at b")
    assert "a service works for this pool" in b.run("unpair", "--yes").talk
    b.stop()
    ghostly = b.share / "UserServices" / "Data" / "PresenceFocusData" / f"backup-{'0' * 32}-00000099-{'0' * 8}.zip"
    ghostly.write_bytes(b"what the lost pool had sent")
    assert ghostly.name in b.must("unpair", "--yes").talk
    assert (ghostly.exists(), b.packages(), b.cookies()) == (False, [], [])
    write_both(b, "without a partner")
    assert "P104" in b.run("status").talk

    with_partner(b, "c", b.folder / "pair.key")
    assert "the key file is that of the pair with a" in b.run("init").talk
    new_key = b.folder / "new.key"
    assert run_command("key", "new", str(new_key)).exit_status == 0
    with_partner(b, "c", new_key)
    b.must("init")
    write_both(b, "before c is there")
    b.start()
    write_both(b, "while c is made")
    with_partner(c, "b", new_key)
    c.must("init")
    c.start()
    b.must(*FINAL)
    assert compare(b, c).equal
    assert (served_by(b, "c"), served_by(c, "c")) == (("b", False), ("b", False))
    assert "pool b serves" in write(c, LOST, "too early")
    write_both(b, "copied to c")

    before = b.ask(LOST_IS)
    assert write(a, LOST, "of a ghost") == ""
    a.start()
    wait_for("the ghost being refused", lambda: "P215" in a.run("status").out, WAIT_S)
    assert b.ask(LOST_IS) == before
    assert b.packages() == []

    assert "served by pool c (epoch 2)" in c.must("failback", "c", "--yes").out
    assert write(c, LOST, "at its new home") == ""
    assert "pool c serves" in write(b, LOST, "too late")
    assert write(b, OWN, "still at home") == ""
    for pool in (b, c):
        pool.must(*FINAL)
    assert compare(b, c).equal
    assert b.ask(LOST_IS) == [("at its new home",)]
    assert [b.run("status").exit_status, c.run("status").exit_status] == [0, 0]

"""Wrong profiles, homes and keys: refused by name before anything is done, or waited for until both sides agree."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.keyfile import new_key_file
from poolpair.lab.pool import run_command
from poolpair.model import ImportStatus
from poolpair.store.sqlite.binding import bind
from poolpair.store.sqlite.connection import connect
from poolpair.store.sqlite.setup import refuse_homeless
from poolpair.wiring import home_triples, initialise, profile_of
from tests.badinput.ground import HOMES, ITEM, PROFILE, SCHEMA, Ground, make_ground, said, write_toml


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "item"', 'name = "items"', "items: there is no such table"),
        (
            'key = ["owner", "name"]',
            'key = ["owner", "title"]',
            'item: key names column "title", which the table has not',
        ),
        ('key = ["owner", "name"]', 'key = ["Owner", "name"]', 'which is spelled "owner" there'),
        ("'\"owner\"'", "'\"value\"'", 'home_key: it uses column "value", which is not in the key'),
        ("'\"owner\"'", "'\"onwer\"'", '"onwer" is no column'),
        ("'\"owner\"'", "'lower(\"owner\"'", "its parentheses do not match"),
        ("'\"owner\"'", "'random()'", "does not give the same value at both sites"),
        ("'\"owner\"'", "'(SELECT 1)'", "SELECT has no place in it"),
        ('key = ["owner", "name"]', 'key = ["id", "owner"]', 'key column "id" is a serial'),
        ('key = ["owner", "name"]', 'kee = ["owner", "name"]', "key"),
        ("\n[[tables]]\nname", "\n[[table]]\nname", "tables"),
        (ITEM, "", "tables"),
    ],
)
def test_a_wrong_profile_is_refused_by_init(tmp_path: Path, old: str, new: str, words: str) -> None:
    """`init` says P102 with table and reason, and leaves database and share as they were."""
    assert old in ITEM
    schema = SCHEMA
    if '"id"' in new:
        schema = "CREATE TABLE item (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, value);"
    made = make_ground(tmp_path, schema=schema, profile=ITEM.replace(old, new, 1), columns={"item": "owner"})
    before = made.path("a").read_bytes()
    with pytest.raises(PoolpairError) as caught:
        initialise(made.config("a"))
    assert caught.value.code is Code.PROFILE
    assert words in caught.value.detail, caught.value.detail
    assert made.path("a").read_bytes() == before
    assert not list(made.share("a").iterdir())


def test_every_problem_of_a_profile_is_said_at_once(tmp_path: Path) -> None:
    """Two wrong tables are two reasons in one message."""
    profile = ITEM.replace('"name"]', '"nome"]') + ITEM.replace('name = "item"', 'name = "gone"')
    made = make_ground(tmp_path, profile=profile)
    with pytest.raises(PoolpairError) as caught:
        initialise(made.config("a"))
    assert 'key names column "nome"' in caught.value.detail
    assert "gone: there is no such table" in caught.value.detail


def test_a_profile_whose_rows_have_no_home_is_refused_by_init(tmp_path: Path) -> None:
    """If a table has rows and no pattern of [homes] matches any of them, home_key or [homes] is wrong: P102 says so."""
    made = make_ground(tmp_path, profile=PROFILE.replace("""'"owner"'""", """'"name"'""", 1))
    with pytest.raises(PoolpairError) as caught:
        initialise(made.config("a"))
    assert caught.value.code is Code.PROFILE
    assert "no pattern of [homes] matches any row of item" in caught.value.detail
    assert made.ask("a", "SELECT name FROM sqlite_master WHERE name GLOB 'poolpair*'") == []


def count_steps(connection: sqlite3.Connection, taken: Iterator[int]) -> None:
    """Count what the database does."""
    connection.set_progress_handler(lambda: next(taken) < 0, 1)


def test_the_look_for_homes_ends_at_the_first_row_that_has_one(tmp_path: Path) -> None:
    """It holds the write lock, also beside a live application: a table of many rows takes it no longer than one of few."""
    steps = []
    for rows in (2, 3000):
        (tmp_path / str(rows)).mkdir()
        made = make_ground(tmp_path / str(rows), rows=rows)
        with closing(connect(made.path("a"), 1.0)) as connection:
            bound = bind(connection, profile_of(made.config("a")))
            taken = count()
            count_steps(connection, taken)
            refuse_homeless(connection, bound, home_triples(made.config("a")))
            connection.set_progress_handler(None, 0)
            steps.append(next(taken))
    assert steps[0] == steps[1] > 0


def test_an_empty_table_is_no_wrong_profile(tmp_path: Path) -> None:
    """A new server without a single row can be prepared."""
    made = make_ground(tmp_path, rows=0, files=0)
    for pool in ("a", "b"):
        initialise(made.config(pool))


def change_homes(ground: Ground, pool: str, homes: dict[str, str]) -> None:
    """Change [homes] of one pool, with its service stopped, and prepare the store for it."""
    ground.stop(pool)
    write_toml(ground, pool, "b" if pool == "a" else "a", homes=homes)
    initialise(ground.config(pool))
    ground.start(pool)


def test_homes_that_differ_make_packages_wait(ground: Ground) -> None:
    """With [homes] changed on one side only both say P305 and nothing is applied; changed on the other too, all goes on."""
    more = {**HOMES, "*@aa": "a"}
    change_homes(ground, "a", more)
    for pool in ("a", "b"):
        ground.do(pool, f"INSERT INTO item VALUES ('u@{pool}', 'meanwhile', 1)")
    before = {pool: ground.rows(pool) for pool in ("a", "b")}
    ground.settle()
    for pool in ("a", "b"):
        assert "P305 homes or profile differ: the partner's are" in ground.fault(pool)
        assert ground.status(pool).exit_status == 2
        assert ground.rows(pool) == before[pool]
    change_homes(ground, "b", more)
    ground.whole()


def test_homes_changed_and_changed_back(ground: Ground) -> None:
    """Packages cut under the changed [homes] do not stand in the way when the change is taken back."""
    change_homes(ground, "a", {**HOMES, "*@aa": "a"})
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'meanwhile', 1)")
    ground.settle()
    assert ground.standing("b")
    change_homes(ground, "a", HOMES)
    ground.whole()


def test_a_changed_pool_file_needs_init(ground: Ground) -> None:
    """A service whose [homes] are not those the store was prepared with does not start: P104."""
    ground.stop("a")
    write_toml(ground, "a", "b", homes={**HOMES, "*@aa": "a"})
    code, words = said(ground.command("a", "run", "--allow-root"))
    assert code is Code.NOT_INSTALLED
    assert "homes or profile changed" in words


def test_rows_and_files_without_a_home_are_counted_and_come_when_they_get_one(ground: Ground) -> None:
    """What no pattern matches is never green; with a pattern for it on both sides its rows and files arrive."""
    ground.do("a", "INSERT INTO item VALUES ('u@new', 'x', 1)", "INSERT INTO upload VALUES ('u@new', 'x', 1)")
    path = ground.write_file("a", "x", b"homeless").rename
    folder = ground.folder / "data-a" / "up" / "u@new"
    folder.mkdir()
    path(folder / "x.bin")
    ground.settle()
    ground.stop("a")
    ground.start("a")
    ground.settle()
    assert ground.channel("a").imports.unhomed == 1
    assert ground.channel("a").imports.status is ImportStatus.DEGRADED
    assert ground.status("a").exit_status == 1
    assert ground.ask("b", "SELECT count(*) FROM item WHERE owner = 'u@new'") == [(0,)]
    for pool in ("a", "b"):
        change_homes(ground, pool, {**HOMES, "*@new": "a"})
    ground.settle()
    for pool in ("a", "b"):  # a service counts again at its start, and once per interval
        ground.stop(pool)
        ground.start(pool)
    ground.whole()
    assert ground.ask("b", "SELECT count(*) FROM item WHERE owner = 'u@new'") == [(1,)]
    assert ground.files("b")["up/u@new/x.bin"] == b"homeless"


def test_a_changed_profile_on_one_side_makes_packages_wait(ground: Ground) -> None:
    """A profile changed at A only is P305; the same at B, and both are compared anew."""
    less = PROFILE.replace(ITEM, ITEM + "where = '''\"name\" <> 'local' '''\n")
    for pool in ("a", "b"):
        ground.stop(pool)
        (ground.folder / f"profile-{pool}.toml").write_text(less if pool == "a" else PROFILE)
        write_toml(ground, pool, "b" if pool == "a" else "a", profile=f"{ground.folder}/profile-{pool}.toml")
        initialise(ground.config(pool))
        ground.start(pool)
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'n', 1)")
    ground.settle()
    assert "P305" in ground.fault("b")
    ground.stop("b")
    (ground.folder / "profile-b.toml").write_text(less)
    initialise(ground.config("b"))
    ground.start("b")
    ground.whole()


def test_different_keys_are_seen_at_once(tmp_path: Path) -> None:
    """Pools that were given two different key files refuse each other's share as that of another pair: P215."""
    made = make_ground(tmp_path)
    new_key_file(tmp_path / "other.key")
    write_toml(made, "b", "a", key_file=str(tmp_path / "other.key"))
    for pool in ("a", "b"):
        initialise(made.config(pool))
        made.start(pool)
    made.turn(force=True)
    for pool in ("a", "b"):
        assert made.fault(pool).startswith("P215 the partner's share belongs to pool")
        assert not made.standing(pool)
        made.stop(pool)


def test_a_key_file_that_others_may_read_is_refused(ground: Ground) -> None:
    """A key file with mode 0644, a damaged or a missing one is P103, and no command works with it."""
    ground.stop("a")
    key = ground.folder / "pair.key"
    right = key.read_bytes()
    key.chmod(0o644)
    assert said(ground.command("a", "status"))[0] is Code.KEY_FILE
    key.chmod(0o600)
    key.write_bytes(right[:20])
    assert said(ground.command("a", "status"))[0] is Code.KEY_FILE
    key.unlink()
    assert said(ground.command("a", "init"))[0] is Code.KEY_FILE
    key.write_bytes(right)
    key.chmod(0o600)
    ground.start("a")
    ground.whole()


def test_a_name_with_the_marks_of_a_terminal_library_is_printed_as_it_is() -> None:
    """Brackets and backslashes in what a message names are no markup: they end in no traceback, and nothing of them is lost."""
    said = run_command("-c", r"/nowhere/\[/x][bold]", "status")
    assert said.exit_status == 64
    assert r"/nowhere/\[/x][bold]" in said.talk
    assert "Traceback" not in said.talk

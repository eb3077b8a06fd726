"""More of what people found who tried to break it: set-backs that went unseen, a partner that looked well, folders that were not ours."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel, ExportStatus
from poolpair.wiring import initialise
from tests.badinput.ground import ITEM, Ground, first_copy, make_ground

SMALL = '[sync]\nconference_max="1KiB"\n'


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Two pools after their first copy."""
    return first_copy(make_ground(tmp_path))


def copied(source: Path, target: Path) -> None:
    """Copy a database as a backup does."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def test_a_number_that_stands_twice_is_decided_by_a_person(ground: Ground) -> None:
    """A was set back while its package stood at B: neither that nor the new one of its number is applied, and A's operator is asked."""
    ground.stop("b")
    copied(ground.path("a"), ground.folder / "backup")
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'accepted', 1)")
    ground.turn("a")
    ground.stop("a")
    copied(ground.folder / "backup", ground.path("a"))
    ground.start("a")
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'after', 1)")
    ground.turn("a")
    old, new = ground.standing("b")
    ground.start("b")
    ground.live(60, 2)
    assert Code.STORE_SET_BACK in ground.fault("a")
    assert (ground.status("a").exit_status, ground.status("b").exit_status) == (2, 2)
    assert ground.standing("b") == [old, new]
    result = ground.command("a", "setback", "resolve", "--ours", "--yes")
    assert result.exit_code == 0, result.output
    ground.live(200, 2)
    ground.whole()
    kept = [file.name for file in ground.quarantined("b")]
    assert len(kept) == 2, "what was accepted before the set back is not thrown away"


def test_the_partner_says_what_hinders_its_sending(ground: Ground) -> None:
    """While A cannot see its changes, B's copy of A is stale: B's own status says so, with A's reason."""
    ground.do("a", "DROP TRIGGER poolpair_1_insert", "INSERT INTO item VALUES ('u@a', 'unseen', 1)")
    ground.live(60, 5)
    assert ground.status("b").exit_status == 2
    said = ground.channel("b").imports.partner_sending
    assert said is not None
    assert said.code is Code.CAPTURE_BROKEN


def test_the_partner_says_that_a_conference_waits(tmp_path: Path) -> None:
    """What is too large at A is not at B: neither side is healthy."""
    ground = first_copy(make_ground(tmp_path, extra=SMALL))
    ground.write_file("a", "big", b"x" * 5000)
    ground.live(300, 5)
    assert (ground.status("a").exit_status, ground.status("b").exit_status) == (1, 1)


def test_a_migration_that_puts_the_triggers_back_is_seen(ground: Ground) -> None:
    """SQLite's own twelve steps rebuild a table and its triggers in one transaction: both directions are compared and made equal."""
    with closing(sqlite3.connect(ground.path("a"), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        query = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'item'"
        triggers = connection.execute(query).fetchall()
        connection.execute(
            "CREATE TABLE fresh (owner TEXT NOT NULL, name TEXT NOT NULL, value, PRIMARY KEY (owner, name))"
        )
        connection.execute("INSERT INTO fresh SELECT owner, name, 'migrated ' || value FROM item")
        connection.execute("DROP TABLE item")
        connection.execute("ALTER TABLE fresh RENAME TO item")
        for (sql,) in triggers:
            connection.execute(sql)
        connection.execute("COMMIT")
    ground.whole()
    assert ground.ask("b", "SELECT value FROM item WHERE owner = 'u@a' AND name = 'i00000'") == [("migrated 0",)]


def test_a_scratch_folder_of_others_keeps_what_is_theirs(tmp_path: Path) -> None:
    """Neither the mode nor the files of a folder that `scratch` names are touched; ours lies in it."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "movie.part").write_text("somebody's")
    ground = make_ground(tmp_path, files=0)
    ground.toml("a").write_text(f'scratch = "{shared}"\n' + ground.toml("a").read_text())
    initialise(ground.config("a"))
    ground.start("a")
    ground.stop("a")
    assert ground.command("a", "uninstall", "--yes").exit_code == 0
    assert [path.name for path in shared.iterdir()] == ["movie.part"]
    assert shared.stat().st_mode & 0o777 == 0o777


def test_the_application_may_drop_a_column_that_no_index_names(tmp_path: Path) -> None:
    """Our triggers over a partial index speak of its columns only."""
    schema = (
        "CREATE TABLE item (owner TEXT NOT NULL, name TEXT NOT NULL, value, note, PRIMARY KEY (owner, name));"
        "CREATE UNIQUE INDEX u ON item (owner, value) WHERE value > 5;"
    )
    ground = make_ground(tmp_path, schema=schema, profile=ITEM, columns={"item": "owner, name, value"})
    for pool in ("a", "b"):
        ground.do(pool, f"INSERT INTO item VALUES ('u@{pool}', 'n', 1, 2)")
    first_copy(ground)
    for pool in ("a", "b"):
        ground.do(pool, "ALTER TABLE item DROP COLUMN note")
    ground.live(200, 5)
    ground.whole()


def test_a_file_that_became_a_link_is_not_deleted_at_the_partner(ground: Ground) -> None:
    """The file was moved to another disk and linked back: its copy stays, and both sides say that it waits."""
    folder = ground.folder / "data-a" / "up" / "u@a"
    (folder / "f0.bin").rename(ground.folder / "elsewhere.bin")
    (folder / "f0.bin").symlink_to(ground.folder / "elsewhere.bin")
    ground.live(200, 5)
    assert (ground.folder / "data-b" / "up" / "u@a" / "f0.bin").is_file()
    found = ground.channel("a", Channel.CONFERENCES).export
    assert any("f0.bin" in words for words in found.left_behind)
    assert found.status is not ExportStatus.FINAL
    assert (ground.status("a").exit_status, ground.status("b").exit_status) == (1, 1)


def test_a_replaced_database_file_ends_the_service(ground: Ground) -> None:
    """A backup is moved into the file's place while the service works: it must not go on in the file that nobody sees any more."""
    copied(ground.path("a"), ground.folder / "backup")
    (ground.folder / "backup").replace(ground.path("a"))
    with pytest.raises(PoolpairError) as ended:
        ground.turn("a")
    assert ended.value.code is Code.STORE_REPLACED

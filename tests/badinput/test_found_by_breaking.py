"""What people found who tried to break it: each lost a row, showed a green that was none, or would not end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from poolpair.decisions import begin_verify
from poolpair.model import Channel, ExportStatus
from poolpair.wiring import initialise
from tests.badinput.ground import ITEM, PROFILE, SCHEMA, Ground, first_copy, make_ground

SMALL = '[sync]\nconference_max="1KiB"\n'


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Two pools after their first copy."""
    return first_copy(make_ground(tmp_path))


def test_a_row_of_no_conference_waits_for_none(tmp_path: Path) -> None:
    """A NULL conference is neither in the list of those that wait nor out of it: its row was pruned unsent."""
    schema = SCHEMA.replace("upload (owner TEXT NOT NULL, name TEXT NOT NULL", "upload (owner TEXT NOT NULL, name TEXT")
    ground = first_copy(make_ground(tmp_path, schema=schema, extra=SMALL))
    ground.write_file("a", "big", b"x" * 5000)
    ground.do("a", "INSERT INTO upload VALUES ('u@a', 'big', 1)", "INSERT INTO upload VALUES ('u@a', NULL, 'mine')")
    ground.advance(200)
    ground.settle()
    assert ground.ask("b", "SELECT note FROM upload WHERE name IS NULL") == [("mine",)]


def test_what_a_fired_trigger_writes_into_our_own_home_is_ours(ground: Ground) -> None:
    """The application at B answers a row of A's with one of B's: that one travels to A as any other change at B."""
    body = "BEGIN INSERT INTO item VALUES ('u@b', 'from ' || NEW.owner, 1); END"
    ground.do("b", f"CREATE TRIGGER app AFTER INSERT ON item WHEN NEW.name = 'hello' {body}")
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'hello', 1)")
    ground.whole()
    assert ground.ask("a", "SELECT count(*) FROM item WHERE name = 'from u@a'") == [(1,)]


def test_a_row_replaced_by_its_hidden_number_is_seen_to_go(ground: Ground) -> None:
    """INSERT OR REPLACE that names the rowid deletes whatever stood there without firing a delete trigger."""
    ground.do("a", "INSERT OR REPLACE INTO item (rowid, owner, name, value) VALUES (1, 'u@a', 'by number', 1)")
    ground.whole()


def test_minus_zero_does_not_keep_a_repair_busy_for_ever(ground: Ground) -> None:
    """SQLite takes 0.0 and -0.0 for equal, so the digests do too."""
    for value in ("0.0", "-0.0"):
        ground.do("a", f"UPDATE item SET value = {value} WHERE owner = 'u@a' AND name = 'i00000'")
        ground.settle()
    begin_verify(ground.sites["a"], Channel.USERS, repair=True)
    ground.whole()


def test_a_comparison_forgives_only_what_it_compared(tmp_path: Path) -> None:
    """A foreign write in a conference that was left out stays counted."""
    profile = PROFILE.replace("conference = '\"name\"'", "conference = 'substr(\"name\", 1, 3)'")
    ground = first_copy(make_ground(tmp_path, profile=profile, extra=SMALL))
    ground.write_file("a", "big", b"x" * 5000)
    ground.do("a", "INSERT INTO upload VALUES ('u@a', 'big', 1)")
    ground.advance(200)
    ground.settle()
    ground.tamper("b", "INSERT INTO upload VALUES ('u@a', 'big-2', 'foreign')")
    ground.settle()
    begin_verify(ground.sites["a"], Channel.CONFERENCES, repair=False)
    ground.settle()
    assert ground.channel("b", Channel.CONFERENCES).imports.foreign_writes == 1
    assert ground.status("a").exit_status == 1


def test_a_package_that_cannot_be_cut_leaves_no_intent(ground: Ground) -> None:
    """While the scratch folder is gone every pass tries again, and the application's database does not grow."""
    site = ground.sites["a"]
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'stuck', 1)")
    shutil.rmtree(site.scratch)
    query = "SELECT count(*) FROM poolpair_document WHERE name GLOB 'intent/*'"
    before = ground.ask("a", query)
    for _ in range(30):
        ground.turn("a")
    assert ground.ask("a", query) == before
    site.scratch.mkdir()
    ground.whole()


def test_a_table_of_many_columns_is_copied(tmp_path: Path) -> None:
    """SQLite reads a condition over 700 columns as deep as it allows: it is joined as a tree."""
    many = ", ".join(f"c{n}" for n in range(700))
    schema = f"CREATE TABLE item (owner TEXT NOT NULL, name TEXT NOT NULL, {many}, PRIMARY KEY (owner, name));"
    ground = make_ground(tmp_path, schema=schema, profile=ITEM, columns={"item": "owner, name, c0, c699"})
    for pool in ("a", "b"):
        ground.do(pool, f"INSERT INTO item (owner, name, c0, c699) VALUES ('u@{pool}', 'n', 1, 2)")
        initialise(ground.config(pool))
        ground.start(pool)
    ground.whole()


def test_rows_without_a_home_are_not_final_at_their_own_pool(ground: Ground) -> None:
    """They are captured by nobody and carried nowhere: no FinalState on the side that has them either."""
    ground.do("a", "INSERT INTO item VALUES ('nobody', 'x', 1)")
    ground.settle()
    assert ground.channel("a").export.status is not ExportStatus.FINAL
    assert ground.status("a").exit_status == 1

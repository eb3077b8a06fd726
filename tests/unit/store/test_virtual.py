"""What a trigger writes into, and what virtual tables hold, as far as their own statements tell."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from poolpair.store.sqlite.virtual import index_triggers, virtual_tables, written_by


@pytest.mark.parametrize(
    ("body", "written"),
    [
        ("INSERT INTO a VALUES (1);", {"a"}),
        (
            'INSERT OR REPLACE INTO "A b" SELECT 1; DELETE FROM [c] WHERE 1; UPDATE OR IGNORE `d` SET x = 1;',
            {"a b", "c", "d"},
        ),
        ("REPLACE INTO a VALUES ('DELETE FROM b', \"UPDATE c\"); -- DELETE FROM d\n/* UPDATE e SET f = 1 */", {"a"}),
        ("INSERT INTO a VALUES (1) ON CONFLICT DO UPDATE SET x = 1;", {"a"}),
        ("SELECT RAISE(ABORT, 'no');", set()),
    ],
)
def test_what_a_trigger_writes_into(body: str, written: set[str]) -> None:
    """Each way to write, each way to quote; not what stands in texts and comments, nor an UPSERT's own UPDATE."""
    assert written_by(f"CREATE TRIGGER t AFTER UPDATE ON x BEGIN {body} END") == written


def test_virtual_tables_and_who_fills_them() -> None:
    """Filled by triggers, kept elsewhere, or by nobody that could be seen; one that also writes a table fills nothing where rows arrive."""
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.executescript(
            "CREATE TABLE note (id INTEGER PRIMARY KEY, body); CREATE TABLE log (x);"
            'CREATE VIRTUAL TABLE filled USING fts5 (body, content = "note");'
            "CREATE VIRTUAL TABLE beside USING fts5 (body, content='note');"
            "CREATE VIRTUAL TABLE own USING fts5 (body);"
            "CREATE VIRTUAL TABLE partly USING fts5 (body, content='note');"
            "CREATE VIRTUAL TABLE counted USING fts5 (body);"
            "CREATE VIRTUAL TABLE viewed USING fts5 (body);"
            "CREATE VIEW shown AS SELECT body FROM note;"
            "CREATE TRIGGER fills AFTER INSERT ON NOTE BEGIN INSERT INTO Filled (rowid, body) VALUES (NEW.id, NEW.body); END;"
            "CREATE TRIGGER both AFTER DELETE ON note BEGIN DELETE FROM partly WHERE rowid = OLD.id; INSERT INTO log VALUES (1); END;"
            "CREATE TRIGGER fills_partly AFTER INSERT ON note BEGIN INSERT INTO partly (rowid, body) VALUES (NEW.id, NEW.body); END;"
            "CREATE TRIGGER counts AFTER INSERT ON note BEGIN INSERT INTO counted VALUES (NEW.body); UPDATE log SET x = x + 1; END;"
            "CREATE TRIGGER views INSTEAD OF INSERT ON shown BEGIN INSERT INTO viewed VALUES (NEW.body); END;"
        )
        assert index_triggers(memory) == {"note": ("fills", "fills_partly")}
        found = {each.name: each for each in virtual_tables(memory)}
    assert {name: (each.content, each.problem.fatal) for name, each in found.items()} == {
        "filled": ("note", False),
        "partly": ("note", False),
        "beside": ("note", False),
        "own": (None, True),
        "counted": (None, True),
        "viewed": (None, True),
    }
    assert (found["filled"].filled_by, found["filled"].resting) == (("fills",), ())
    assert (found["partly"].filled_by, found["partly"].resting) == (("fills_partly",), ("both",))
    assert "both, which writes tables too" in found["partly"].problem.reason
    assert "'rebuild'" in found["partly"].problem.reason
    assert "counts, which writes tables too" in found["counted"].problem.reason
    assert "'rebuild'" in found["beside"].problem.reason

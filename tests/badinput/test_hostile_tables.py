"""What SQLite lets a table be, end to end in a pair: it arrives as it is, or `init` and `check` say why not before anything is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from poolpair.errors import Code
from tests.badinput.ground import ITEM, Ground, first_copy, make_ground, said
from tests.badinput.test_values import whole

NAME = "a \"table\" of\n💬 'things'"
KEY = 'the\n"key" 🗝'
SCHEMA = f"""
CREATE TABLE "{NAME.replace('"', '""')}" ("{KEY.replace('"', '""')}" TEXT NOT NULL, "va'lue
💡", PRIMARY KEY ("{KEY.replace('"', '""')}"));
CREATE TABLE made (owner TEXT NOT NULL, n INTEGER NOT NULL, double INTEGER AS (n * 2) VIRTUAL UNIQUE,
                   said TEXT GENERATED ALWAYS AS (owner || ':' || n) STORED, note,
                   low TEXT AS (lower(note)) STORED UNIQUE, PRIMARY KEY (owner, n));
CREATE INDEX made_said ON made (said) WHERE double > 10;
CREATE TABLE exact (owner TEXT NOT NULL, i INT, r REAL, t TEXT, b BLOB, a ANY, PRIMARY KEY (owner, a)) STRICT, WITHOUT ROWID;
CREATE TABLE folded (owner TEXT NOT NULL, name TEXT COLLATE RTRIM NOT NULL UNIQUE, value COLLATE NOCASE, PRIMARY KEY (owner, name));
CREATE TABLE parent (owner TEXT NOT NULL, name TEXT NOT NULL, other TEXT UNIQUE, PRIMARY KEY (owner, name));
CREATE TABLE child (owner TEXT NOT NULL, name TEXT NOT NULL, parent TEXT, kind TEXT CHECK (json_valid(json_quote(kind)))
                    REFERENCES parent (other) ON DELETE SET NULL ON UPDATE CASCADE,
                    PRIMARY KEY (owner, name),
                    FOREIGN KEY (owner, parent) REFERENCES parent (owner, name) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE VIEW shown AS SELECT owner, name, other FROM parent;
CREATE TRIGGER shown_insert INSTEAD OF INSERT ON shown BEGIN INSERT INTO parent VALUES (NEW.owner, NEW.name, upper(NEW.other)); END;
CREATE TRIGGER shown_delete INSTEAD OF DELETE ON shown BEGIN DELETE FROM parent WHERE owner = OLD.owner AND name = OLD.name; END;
"""


def entry(name: str, *key: str, home: str = '"owner"') -> str:
    """One table of a profile."""
    import json

    listed = json.dumps(list(key), ensure_ascii=False)
    return f"[[tables]]\nname = {json.dumps(name, ensure_ascii=False)}\nkey = {listed}\nhome_key = '''{home}'''\n"


QUOTED_KEY = '"' + KEY.replace('"', '""') + '"'
PROFILE = (
    entry(NAME, KEY, home=QUOTED_KEY)
    + entry("made", "owner", "n")
    + entry("exact", "owner", "a")
    + entry("folded", "owner", "name")
    + entry("parent", "owner", "name")
    + entry("child", "owner", "name")
)
COLUMNS = {
    NAME.replace('"', '""'): f'{QUOTED_KEY}, "va\'lue\n💡"',
    "made": "owner, n, double, said, note, low",
    "exact": "owner, i, r, t, b, a",
    "folded": "owner, name, value",
    "parent": "owner, name, other",
    "child": "owner, name, parent, kind",
}


CHECK = " CHECK (json_valid(json_quote(kind)))"
"""Read by nobody who trusts no schema, in some releases of SQLite."""


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Ground]:
    """A pair on these tables, with a family at each site."""
    made = make_ground(tmp_path, schema=SCHEMA.replace(CHECK, ""), profile=PROFILE, columns=COLUMNS)
    for pool in ("a", "b"):
        made.do(
            pool,
            *(f"INSERT INTO parent VALUES ('u@{pool}', 'p{n}', '{pool}{n}')" for n in range(4)),
            *(f"INSERT INTO child VALUES ('u@{pool}', 'c{n}', 'p{n % 4}', '{pool}{n % 4}')" for n in range(8)),
            *(f"INSERT INTO made (owner, n) VALUES ('u@{pool}', {n + (100 if pool == 'b' else 0)})" for n in range(9)),
        )
    first_copy(made)
    yield made
    for pool in ("a", "b"):
        made.stop(pool)


def strictly(odd: Ground, *statements: str) -> None:
    """Change A's database as an application does that enforces foreign keys and trusts no schema."""
    with closing(sqlite3.connect(odd.path("a"))) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        for statement in statements:
            connection.execute(statement)


def test_a_check_by_a_function_of_sqlites_own(tmp_path: Path) -> None:
    """As a JSON field has it in many frameworks: prepared, copied and changed like any other."""
    assert CHECK in SCHEMA
    made = make_ground(tmp_path, schema=SCHEMA, profile=PROFILE, columns=COLUMNS)
    first_copy(made)
    made.do(
        "a", "INSERT INTO child VALUES ('u@a', 'c', NULL, NULL)", "INSERT INTO child VALUES ('u@a', 'd', NULL, NULL)"
    )
    made.do("a", "DELETE FROM child WHERE name = 'c'")
    whole(made)
    for pool in ("a", "b"):
        made.stop(pool)


def test_names_with_quotes_newlines_and_emoji(odd: Ground) -> None:
    """Tables and columns whose names hold quotes, line ends and emoji are captured, applied, parked, retried and compared."""
    table = '"' + NAME.replace('"', '""') + '"'
    odd.do("a", f"INSERT INTO {table} VALUES ('u@a', 'x''\n\"💬')", f"INSERT INTO {table} VALUES ('v@a', 2)")
    whole(odd)
    odd.do(
        "b",
        f"CREATE TRIGGER no BEFORE INSERT ON {table} WHEN NEW.{QUOTED_KEY} = 'w@a' BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    odd.do("a", f"INSERT OR REPLACE INTO {table} VALUES ('w@a', 3)", f"DELETE FROM {table} WHERE {QUOTED_KEY} = 'v@a'")
    odd.settle()
    (group,) = odd.sites["b"].store.parked()
    assert (group.table, group.key) == (NAME, f"{KEY}=w@a")
    odd.do("b", "DROP TRIGGER no")
    assert odd.command("b", "parked", "retry").exit_code == 0
    whole(odd)


def test_generated_columns_are_made_at_each_site(odd: Ground) -> None:
    """Virtual and stored columns are not sent and come out alike; REPLACE that deletes through an index over one is seen."""
    odd.do("a", "INSERT INTO made (owner, n, note) VALUES ('u@a', 50, 'x')", "UPDATE made SET n = 60 WHERE n = 50")
    whole(odd)
    assert odd.ask("b", "SELECT double, said, low FROM made WHERE note = 'x'") == [(120, "u@a:60", "x")]
    odd.do("a", "INSERT OR REPLACE INTO made (owner, n, note) VALUES ('v@a', 60, 'y')")
    odd.do("a", "UPDATE OR REPLACE made SET note = 'Y' WHERE owner = 'u@a' AND n = 1")
    whole(odd)
    assert odd.ask("b", "SELECT owner, n FROM made WHERE low = 'y'") == [("u@a", 1)]


def test_a_unique_index_over_a_stored_column_is_refused(tmp_path: Path) -> None:
    """Before an UPDATE SQLite shows NULL for stored generated columns, so REPLACE could delete unseen where an index has more than that."""
    ground = make_ground(tmp_path, profile=ITEM)
    ground.do(
        "a",
        "DROP TABLE item",
        "CREATE TABLE item (owner, name, value, low AS (lower(value)) STORED, PRIMARY KEY (owner, name))",
        "CREATE UNIQUE INDEX lowest ON item (owner) WHERE Low <> ''",
    )
    code, detail = said(ground.command("a", "init"))
    assert code is Code.PROFILE
    assert "unique index lowest is over the stored generated column low" in detail


def test_strict_tables_keep_every_type(odd: Ground) -> None:
    """A STRICT table without row numbers holds what its types allow, also NULL, and ANY as its key stays what it is."""
    odd.do(
        "a",
        "INSERT INTO exact VALUES ('u@a', 1, 1.5, 't', x'00ff', '1'), ('u@a', NULL, NULL, NULL, NULL, 1)",
        "INSERT INTO exact VALUES ('u@a', -9223372036854775808, 9e999, char(0x1f4ac, 0, 10), zeroblob(0), x'31')",
    )
    whole(odd)
    odd.do("a", "UPDATE exact SET t = 'u' WHERE typeof(a) = 'text'")
    odd.do("a", "DELETE FROM exact WHERE typeof(a) = 'blob'")
    whole(odd)


def test_collations_decide_who_is_in_the_way(odd: Ground) -> None:
    """A key that differs by blanks at its end is the same key, and a value that differs by its case is another value."""
    odd.do("a", "INSERT INTO folded VALUES ('u@a', 'n', 'x')")
    whole(odd)
    odd.do("a", "INSERT OR REPLACE INTO folded VALUES ('u@a', 'n  ', 'X')")
    whole(odd)
    odd.do("a", "INSERT OR REPLACE INTO folded VALUES ('v@a', 'n', 'x')", "UPDATE folded SET value = 'X'")
    whole(odd)
    assert odd.ask("b", "SELECT * FROM folded WHERE owner LIKE '%@a'") == [("v@a", "n", "X")]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM parent WHERE name = 'p1' AND owner = 'u@a'",
        "UPDATE parent SET name = 'moved', other = 'turned' WHERE name = 'p1' AND owner = 'u@a'",
        "INSERT OR REPLACE INTO parent VALUES ('u@a', 'p1', 'a2')",
        "INSERT OR REPLACE INTO parent VALUES ('u@a', 'new', 'a3')",
        "INSERT INTO parent VALUES ('u@a', 'p1', 'q') ON CONFLICT DO UPDATE SET other = excluded.other",
        "DELETE FROM shown WHERE name = 'p2' AND owner = 'u@a'",
        "INSERT INTO shown VALUES ('u@a', 'p9', 'loud')",
    ],
)
def test_cascades_arrive(odd: Ground, statement: str) -> None:
    """What foreign keys delete, change or set to NULL at the origin, and what is written through a view, is the same at B."""
    strictly(odd, statement)
    whole(odd)
    assert odd.ask("b", "PRAGMA foreign_key_check") == []


def test_every_way_to_write(odd: Ground) -> None:
    """UPDATE FROM, RETURNING, INSERT from a query, OR IGNORE, OR FAIL half-way, savepoints rolled back, DELETE of everything."""
    odd.do(
        "a",
        "UPDATE made SET note = p.other || made.n FROM parent p WHERE p.owner = made.owner AND p.name = 'p' || made.n AND p.owner = 'u@a'",
        "INSERT OR IGNORE INTO made (owner, n, note) SELECT owner, n + 1, 'again' || n FROM made WHERE owner = 'u@a'",
        "SAVEPOINT s",
        "DELETE FROM parent WHERE owner = 'u@a'",
        "ROLLBACK TO s",
        "RELEASE s",
    )
    with closing(sqlite3.connect(odd.path("a"))) as connection:
        connection.execute("DELETE FROM made WHERE n = 3 AND owner = 'u@a' RETURNING n").fetchall()
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT OR FAIL INTO parent VALUES ('u@a', 'fresh', 'f'), ('u@a', 'p1', 'g')")
        connection.commit()
    whole(odd)
    assert odd.ask("b", "SELECT count(*) FROM parent WHERE name = 'fresh'") == [(1,)]
    odd.do("a", "DELETE FROM child WHERE owner = 'u@a'")
    whole(odd)


def test_an_application_that_attaches_its_database(odd: Ground, tmp_path: Path) -> None:
    """Writes into the database under another schema's name, in one transaction with another file, are captured like any other."""
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE parent (owner, name, other)")
        connection.execute("CREATE TEMP TABLE poolpair_gen (value)")
        connection.commit()
        connection.execute("ATTACH DATABASE ? AS 'the application'", (str(odd.path("a")),))
        connection.execute("INSERT INTO parent VALUES ('u@a', 'elsewhere', 'x')")
        connection.execute("INSERT INTO \"the application\".parent VALUES ('u@a', 'attached', 'x')")
        connection.execute("INSERT OR REPLACE INTO \"the application\".parent VALUES ('u@a', 'p0', 'a1')")
    whole(odd)
    assert odd.ask("b", "SELECT count(*) FROM parent WHERE name = 'attached'") == [(1,)]


REFUSED = {
    "a collation": ("CREATE INDEX i ON item (value COLLATE own)", "no such collation sequence: own"),
    "a function in an index": ("CREATE UNIQUE INDEX i ON item (own(value))", "no such function: own"),
    "a function in a trigger": (
        "CREATE TRIGGER t AFTER UPDATE ON ITEM BEGIN UPDATE item SET value = own(NEW.value) WHERE name = NEW.name; END",
        "no such function: own",
    ),
    "a table that is not there": (
        "CREATE TRIGGER t AFTER DELETE ON item BEGIN DELETE FROM gone; END",
        "no such table: main.gone",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_only_the_application_can_write_is_refused(tmp_path: Path, what: str) -> None:
    """A function or collation that the application brings along is named by `init` and `check`; with its triggers skipped it goes."""
    statement, reason = REFUSED[what]
    ground = make_ground(tmp_path, profile=ITEM)
    with closing(sqlite3.connect(ground.path("a"))) as connection, connection:
        connection.create_collation("own", lambda one, other: (one > other) - (one < other))
        connection.create_function("own", 1, lambda value: value, deterministic=True)
        connection.execute(statement)
    code, detail = said(ground.command("a", "init"))
    assert code is Code.PROFILE
    assert reason in detail
    assert "FAIL  profile: P102 item: " in ground.command("a", "check").output
    assert ground.ask("a", "SELECT name FROM sqlite_master WHERE name LIKE 'poolpair%'") == []
    (tmp_path / "profile.toml").write_text(f'{ITEM}triggers = "skip"\n')
    assert (ground.command("a", "init").exit_code == 0) is ("trigger" in statement.lower())


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE VIEW named AS SELECT * FROM item", "it is a view: name the tables that it shows"),
        ("CREATE VIRTUAL TABLE named USING fts5 (owner, name)", "it is a virtual table, which has no triggers"),
        ("CREATE TABLE Named (owner, name)", 'it is spelled "Named" there'),
    ],
)
def test_what_is_no_table_is_called_what_it_is(tmp_path: Path, statement: str, reason: str) -> None:
    """A profile that names a view, a virtual table or a table in other letters is refused with what stands there."""
    ground = make_ground(tmp_path, profile=entry("named", "owner", "name"))
    ground.do("a", statement)
    code, detail = said(ground.command("a", "init"))
    assert (code, reason in detail) == (Code.PROFILE, True), detail


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    """A database whose text is UTF-16 is P102 at `init` and `check`: nothing is prepared."""
    ground = make_ground(tmp_path, profile=ITEM)
    ground.path("a").unlink()
    ground.do("a", "PRAGMA encoding = 'UTF-16le'", "CREATE TABLE item (owner, name, value, PRIMARY KEY (owner, name))")
    code, detail = said(ground.command("a", "init"))
    assert (code, "UTF-16le" in detail) == (Code.PROFILE, True)
    assert "FAIL  profile: P102 the database: it keeps its text as UTF-16le" in ground.command("a", "check").output


def test_a_virtual_table_of_an_unknown_kind_is_no_hindrance(tmp_path: Path) -> None:
    """Beside a table of a module that only the application has, others are prepared, carried and compared."""
    ground = make_ground(tmp_path, profile=ITEM, columns={"item": "owner, name, value"})
    for pool in ("a", "b"):
        with ground.sql(pool) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            row = "('table', 'vectors', 'vectors', 0, 'CREATE VIRTUAL TABLE vectors USING vec0(embedding float[3])')"
            connection.execute(f"INSERT INTO sqlite_master VALUES {row}")
        ground.do(pool, f"INSERT INTO item VALUES ('u@{pool}', 'n', 1)")
    first_copy(ground)
    ground.do("a", "UPDATE item SET value = 2 WHERE owner = 'u@a'")
    whole(ground)
    for pool in ("a", "b"):
        ground.stop(pool)

"""A whole application by a profile of a few lines: its tables are found, its database is no file, and what is new is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.errors import Code
from tests.badinput.ground import Ground, first_copy, make_ground, said
from tests.badinput.test_values import whole
from tests.line.test_file_recovery import settle, take_over

SCHEMA = """
CREATE TABLE note (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, body, parent INTEGER REFERENCES note);
CREATE TABLE tag (note INTEGER REFERENCES note ON DELETE CASCADE, name TEXT, UNIQUE (note, name));
CREATE TABLE loose (a, b);
CREATE TABLE django_migrations (id INTEGER PRIMARY KEY, app, name);
CREATE TABLE visit (token TEXT PRIMARY KEY, seen);
CREATE VIRTUAL TABLE found USING fts5 (title, body, content = 'note', content_rowid = 'id');
CREATE TRIGGER note_in AFTER INSERT ON note BEGIN INSERT INTO found (rowid, title, body) VALUES (NEW.id, NEW.title, NEW.body); END;
CREATE TRIGGER note_out AFTER DELETE ON note BEGIN
  INSERT INTO "found" ("found", rowid, title, body) VALUES ('delete', OLD.id, OLD.title, OLD.body); END;
CREATE TRIGGER note_new AFTER UPDATE ON note BEGIN
  INSERT INTO found (found, rowid, title, body) VALUES ('delete', OLD.id, OLD.title, OLD.body);
  INSERT OR REPLACE INTO [found] (rowid, title, body) VALUES (NEW.id, NEW.title, NEW.body); END;
CREATE TRIGGER note_tag AFTER INSERT ON note BEGIN INSERT INTO tag VALUES (NEW.id, 'new'); END;
"""
PROFILE = 'whole   = true\nwithout = ["visit*"]\nskip    = ["*.log", "cache/*"]\n'
HOMES = {"shared": "a", "*": "a"}
COLUMNS = {"note": "id, title, body, parent", "tag": "note, name", "loose": "a, b"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Ground]:
    """Pool a serves everything, pool b stands by; the database lies in the folder of files."""
    made = make_ground(tmp_path, schema=SCHEMA, profile=PROFILE, columns=COLUMNS, homes=HOMES)
    made.do("a", *(f"INSERT INTO note (title, body) VALUES ('t{n}', 'word{n}')" for n in range(5)))
    yield first_copy(made)
    for pool in tuple(made.sites):
        made.stop(pool)


def files(ground: Ground, pool: str) -> set[str]:
    """Every file below a pool's folder but what is poolpair's and the database's."""
    root = ground.folder / f"data-{pool}"
    names = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return {name for name in names if not name.startswith("app.sqlite")}


def test_everything_but_the_database_itself(site: Ground) -> None:
    """Rows, numbers, a search index and files of any depth are at B; the database, visits, migrations and logs stay each site's own."""
    site.do(
        "a",
        "INSERT INTO note (title, body, parent) VALUES ('child', 'bread', 1)",
        "INSERT INTO loose VALUES (NULL, 1), (NULL, 1)",
        "INSERT INTO visit VALUES ('secret', 1)",
        "INSERT INTO django_migrations VALUES (1, 'app', '0001')",
        "DELETE FROM note WHERE id = 3",
    )
    root = site.folder / "data-a"
    for name in ("top.txt", "deep/er/still/x.bin", "cache/y", "deep/a.log", "odd\nname 💬"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    whole(site)
    assert files(site, "b") == {"top.txt", "deep/er/still/x.bin", "odd\nname 💬"}
    for pool in ("a", "b"):
        site.do(pool, "INSERT INTO found (found, rank) VALUES ('integrity-check', 1)")
        assert site.ask(pool, "SELECT title FROM found WHERE found MATCH 'bread'") == [("child",)]
    assert site.ask("b", "SELECT count(*) FROM visit UNION ALL SELECT count(*) FROM django_migrations") == [
        (0,),
        (0,),
    ]
    before = site.ask("a", "SELECT seq FROM sqlite_sequence")
    assert site.ask("b", "SELECT max(id) FROM note") == before


def test_a_dead_site_returns(site: Ground) -> None:
    """What never left A before B took over, rows and files, arrives when A returns; where both wrote, the ledger has both."""
    whole(site)
    site.stop("a")
    take_over(site, "b")
    site.do("a", "INSERT INTO loose VALUES ('stranded', 1)", "UPDATE note SET body = 'theirs' WHERE id = 1")
    site.do("b", "INSERT INTO loose VALUES ('here', 1)", "UPDATE note SET body = 'ours' WHERE id = 1")
    for pool, name in (("a", "stranded.txt"), ("b", "here.txt")):
        (site.folder / f"data-{pool}" / name).write_text(name)
    site.start("a")
    settle(site)
    for pool in ("a", "b"):
        assert site.ask(pool, "SELECT a FROM loose ORDER BY a") == [("here",), ("stranded",)]
        assert site.ask(pool, "SELECT body FROM note WHERE id = 1") == [("ours",)]
        assert files(site, pool) == {"here.txt", "stranded.txt"}
    assert [entry.table for entry in site.sites["b"].store.ledger()] == ["note"]


def test_a_table_that_comes_is_said(site: Ground) -> None:
    """A table of a new release is P205 with its name, nothing leaves meanwhile; after `init` at both sites it is carried."""
    site.do("a", "CREATE TABLE extra (n INTEGER PRIMARY KEY)", "INSERT INTO extra VALUES (7)")
    site.turn("a")
    assert site.fault("a").startswith("P205 nothing captures table extra")
    assert said(site.command("a", "init"))[0] is Code.LEASE
    site.do("b", "CREATE TABLE extra (n INTEGER PRIMARY KEY)")
    for pool in ("a", "b"):
        site.stop(pool)
        assert site.command(pool, "init").exit_code == 0
        site.start(pool)
    site.columns = {**COLUMNS, "extra": "n"}
    whole(site)
    assert site.ask("b", "SELECT n FROM extra") == [(7,)]


def test_a_service_needs_the_tables_that_it_was_prepared_for(site: Ground) -> None:
    """A table that came while no service ran is P104 at the next command, which says what to do."""
    site.stop("a")
    site.do("a", "CREATE TABLE extra (n INTEGER PRIMARY KEY)")
    assert "P104 tables came, went or changed their keys" in site.command("a", "check").output
    site.do("a", "DROP TABLE extra")
    site.start("a")
    whole(site)


def test_what_nobody_would_see_is_refused(tmp_path: Path) -> None:
    """A virtual table that the application fills by itself is P102 at `init`, until `without` names it."""
    schema = "CREATE TABLE note (id INTEGER PRIMARY KEY); CREATE VIRTUAL TABLE words USING fts5 (word);"
    made = make_ground(tmp_path, schema=schema, profile="whole = true\n", columns={"note": "id"}, homes=HOMES)
    code, detail = said(made.command("a", "init"))
    assert (code, "words: it is a virtual table (fts5)" in detail, "`without`" in detail) == (Code.PROFILE, True, True)
    (tmp_path / "profile.toml").write_text('whole = true\nwithout = ["words"]\n')
    assert made.command("a", "init").exit_code == 0


def test_an_index_whose_trigger_writes_more_is_refused(tmp_path: Path) -> None:
    """It counts in a table as well, so it rests where rows arrive, and the index would lack them: P102 until `without` names it."""
    schema = (
        "CREATE TABLE note (id INTEGER PRIMARY KEY, body); CREATE TABLE stats (n INTEGER PRIMARY KEY);"
        "CREATE VIRTUAL TABLE words USING fts5 (body);"
        "CREATE TRIGGER fill AFTER INSERT ON note BEGIN INSERT INTO words VALUES (NEW.body); UPDATE stats SET n = n + 1; END;"
    )
    made = make_ground(tmp_path, schema=schema, profile="whole = true\n", columns={"note": "id"}, homes=HOMES)
    code, detail = said(made.command("a", "init"))
    assert (code, "words: it is a virtual table (fts5)" in detail, "fill, which writes tables" in detail) == (
        Code.PROFILE,
        True,
        True,
    )
    (tmp_path / "profile.toml").write_text('whole = true\nwithout = ["words"]\n')
    assert made.command("a", "init").exit_code == 0


def taken_again(site: Ground, reason: str, *way: str) -> None:
    """One group that came from A is parked at B for this reason, and stays so until that is out of the way; then it is taken."""
    site.settle()
    assert [group.reason for group in site.sites["b"].store.parked()] == [reason]
    refused = site.command("b", "parked", "retry")
    assert (refused.exit_code, reason in refused.output) == (1, True), refused.output
    site.do("b", *way)
    assert site.command("b", "parked", "retry").exit_code == 0
    whole(site)


def test_an_index_that_comes_changes_no_key(site: Ground) -> None:
    """A UNIQUE index made later at B parks what it refuses; commands and a service that begins anew know the groups as `init` did."""
    site.do("a", "INSERT INTO loose VALUES ('mine', 'taken')")
    whole(site)
    site.do("b", "CREATE UNIQUE INDEX one ON loose (b)")
    site.do("a", "INSERT INTO loose VALUES ('other', 'taken')")
    site.settle()
    assert "\tloose\ta=other, b=taken\t" in site.command("b", "parked", "list").output
    site.stop("b")
    site.start("b")
    taken_again(site, "UNIQUE constraint failed: loose.b", "DROP INDEX one")


def test_a_unique_index_at_both_sites_is_known_after_init(site: Ground) -> None:
    """Made by a migration at both, it is what tells rows apart once `init` ran at each; what REPLACE removes through it is carried."""
    for pool in ("a", "b"):
        site.stop(pool)
        site.do(pool, "CREATE UNIQUE INDEX one ON loose (b)")
        assert site.command(pool, "init").exit_code == 0
        site.start(pool)
    site.do("a", "INSERT INTO loose VALUES ('mine', 'taken')")
    whole(site)
    site.do("a", "REPLACE INTO loose VALUES ('other', 'taken')")
    whole(site)
    assert site.ask("b", "SELECT a, b FROM loose") == [("other", "taken")]


LATER = (
    "CREATE TRIGGER loose_seen AFTER INSERT ON loose BEGIN INSERT INTO visit VALUES (NEW.a, 1); END",
    "CREATE TRIGGER loose_in AFTER INSERT ON loose BEGIN INSERT INTO words (word) VALUES (NEW.a); END",
    "CREATE TRIGGER loose_no BEFORE INSERT ON note WHEN NEW.title = 'bad' BEGIN SELECT RAISE(ABORT, 'not here'); END",
)


def test_triggers_that_come_do_what_the_others_do(tmp_path: Path) -> None:
    """One that keeps a search index runs, the others rest: where rows arrive, also after a new start, and in a retry of what was parked."""
    schema = f"{SCHEMA}CREATE VIRTUAL TABLE words USING fts5 (word);"
    rules = 'whole = true\nwithout = ["visit*", "words"]\n'
    site = first_copy(make_ground(tmp_path, schema=schema, profile=rules, columns=COLUMNS, homes=HOMES))
    site.do("b", *LATER)
    site.do("a", "INSERT INTO note (title) VALUES ('bad')", "INSERT INTO loose VALUES ('arrives', 1)")
    whole(site)
    site.stop("b")
    site.start("b")
    site.do("a", "INSERT INTO loose VALUES ('later', 2)")
    whole(site)
    site.do("b", "CREATE UNIQUE INDEX one ON loose (b)")
    site.do("a", "INSERT INTO loose VALUES ('retried', 2)")
    taken_again(site, "UNIQUE constraint failed: loose.b", "DROP INDEX one")
    assert site.ask("b", "SELECT word FROM words ORDER BY word") == [("arrives",), ("later",), ("retried",)]
    assert site.ask("b", "SELECT token FROM visit") == []
    for pool in ("a", "b"):
        site.stop(pool)


def test_a_table_that_went_with_parked_groups(site: Ground) -> None:
    """A table dropped while one of its groups is parked: commands say so, the group can be dropped too, and `init` goes on without both."""
    site.do("b", "CREATE UNIQUE INDEX one ON loose (b)")
    site.tamper("b", "INSERT INTO loose VALUES ('mine', 'taken')")
    site.do("a", "INSERT INTO loose VALUES ('other', 'taken')")
    site.settle()
    assert [group.table for group in site.sites["b"].store.parked()] == ["loose"]
    for pool in ("a", "b"):
        site.stop(pool)
        site.do(pool, "DROP TABLE loose")
    assert "\tloose\t" in site.command("b", "parked", "list").output
    refused = site.command("b", "parked", "retry")
    assert (refused.exit_code, "is not carried here any more" in refused.output) == (1, True), refused.output
    assert site.command("b", "parked", "drop", "1", "--yes").exit_code == 0
    for pool in ("a", "b"):
        assert site.command(pool, "init").exit_code == 0
        site.start(pool)
    site.columns = {"note": COLUMNS["note"], "tag": COLUMNS["tag"]}
    whole(site)


@pytest.fixture(params=["this release", "an earlier one", "an earlier one after this"])
def parked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """A group of table beta is parked at b, by this release or by one that noted no table's name; no service works any more."""
    schema = "".join(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, title);" for name in ("alpha", "beta"))
    columns = {"alpha": "id, title", "beta": "id, title"}
    made = make_ground(tmp_path, schema=schema, profile=PROFILE, columns=columns, homes=HOMES)
    made.do("a", "INSERT INTO alpha VALUES (7, 'alpha seven')", "INSERT INTO beta VALUES (6, 'beta seven')")
    first_copy(made)
    made.do("b", "CREATE UNIQUE INDEX one ON beta (title)")
    made.do("a", "INSERT INTO beta VALUES (7, 'beta seven')")
    made.settle()
    assert [group.table for group in made.sites["b"].store.parked()] == ["beta"]
    for pool in ("a", "b"):
        made.stop(pool)
    made.do("b", "DROP INDEX one")
    if request.param == "an earlier one":
        made.do("b", "ALTER TABLE poolpair_parked DROP COLUMN table_name")
    if request.param == "an earlier one after this":
        made.do("b", "UPDATE poolpair_parked SET table_name = ''")
    yield made
    for pool in tuple(made.sites):
        made.stop(pool)


def test_a_parked_group_is_of_its_table_whatever_tables_come(parked: Ground) -> None:
    """A table that comes before it in the alphabet takes its number: the retry writes its own table still, and only then `init` goes on."""
    for pool in ("a", "b"):
        parked.do(pool, "CREATE TABLE aaa (id INTEGER PRIMARY KEY, title)")
    code, detail = said(parked.command("b", "init"))
    assert (code, detail) == (Code.PARKED, "groups are parked under the old profile")
    assert "\tbeta\tid=7\tUNIQUE constraint failed: beta.title\t" in parked.command("b", "parked", "list").output
    result = parked.command("b", "parked", "retry")
    assert (result.exit_code, "applied" in result.output) == (0, True), result.output
    assert parked.ask("b", "SELECT * FROM alpha") == [(7, "alpha seven")]
    assert parked.ask("b", "SELECT * FROM beta") == [(6, "beta seven"), (7, "beta seven")]
    for pool in ("a", "b"):
        assert parked.command(pool, "init").exit_code == 0
        parked.start(pool)
    parked.columns["aaa"] = "id, title"
    whole(parked)


def test_a_parked_group_is_of_its_table_whatever_the_profile_names(parked: Ground) -> None:
    """A table that is named now has another number: the retry still writes the table that the group was parked of."""
    profile = parked.folder / "profile.toml"
    profile.write_text(f'{profile.read_text()}\n[[tables]]\nname = "beta"\nkey = ["id"]\nhome = "shared"\n')
    result = parked.command("b", "parked", "retry")
    assert (result.exit_code, "applied" in result.output) == (0, True), result.output
    assert parked.ask("b", "SELECT * FROM beta") == [(6, "beta seven"), (7, "beta seven")]


def test_a_parked_group_whose_table_went_can_be_dropped(parked: Ground) -> None:
    """It is listed, the retry says that its table is gone, and dropping it lets `init` go on."""
    for pool in ("a", "b"):
        parked.do(pool, "DROP TABLE beta")
    listed = parked.command("b", "parked", "list")
    assert (listed.exit_code, "id=7\tUNIQUE constraint failed" in listed.output) == (0, True), listed.output
    result = parked.command("b", "parked", "retry")
    assert (result.exit_code, "its table is not carried here any more" in result.output) == (1, True), result.output
    assert said(parked.command("b", "init"))[0] is Code.PARKED
    assert parked.command("b", "parked", "drop", "1", "--yes").exit_code == 0
    del parked.columns["beta"]
    for pool in ("a", "b"):
        assert parked.command(pool, "init").exit_code == 0
        parked.start(pool)
    parked.settle(force=True)
    assert parked.rows("a") == parked.rows("b")

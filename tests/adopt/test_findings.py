"""Each thing in a Prosody configuration that a pair cannot have, or wants otherwise, is found and said; nothing else is."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from poolpair.adopt.findings import Level, look_at
from poolpair.adopt.owners import owners_by_domains
from poolpair.adopt.places import is_running, look_around, version
from poolpair.adopt.prosody import Prosody, read_prosody
from poolpair.errors import Code, PoolpairError
from tests.unit.unprivileged import as_nobody, reachable_folder

FIT = """
data_path = "{folder}"
modules_enabled = {{ "roster"; "admin_shell" }}
authentication = "internal_hashed"
storage = "sql"
sql = {{ driver = "PostgreSQL", database = "prosody", username = "prosody", password = "x", host = "localhost" }}
http_file_share_secret = "the same"
VirtualHost "localhost"
    storage = "memory"
VirtualHost "a.example"
    enabled = false
Component "rooms.a.example" "muc"
    enabled = false
Component "share.a.example" "http_file_share"
    enabled = false
VirtualHost "b.example"
    enabled = false
"""
SQL = 'sql = { driver = "PostgreSQL", database = "prosody", username = "prosody", password = "x", host = "localhost" }'
SQLITE = 'sql = { driver = "SQLite3" }'


def reading(folder: Path, text: str = FIT, **instead: str) -> Prosody:
    """A configuration in which each first word stands for the other; an option's whole line if it is one."""
    text = text.format(folder=folder)
    for old, new in instead.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "prosody.cfg.lua"
    path.write_text(text)
    return read_prosody(path)


def found(prosody: Prosody) -> set[tuple[Level, str, str]]:
    """What is said beside `ok`."""
    owners = owners_by_domains(prosody, "a", "b", ("b.example",))
    return {(each.level, each.subject, each.words) for each in look_at(prosody, owners) if each.level is not Level.OK}


def changed(folder: Path, old: str, new: str) -> set[tuple[Level, str, str]]:
    """What is said if one thing is otherwise."""
    text = FIT.format(folder=folder)
    assert old in text, old
    path = folder / "prosody.cfg.lua"
    path.write_text(text.replace(old, new))
    return found(read_prosody(path))


def test_one_that_fits_gives_no_word(tmp_path: Path) -> None:
    """Hosts of both pools, all disabled; one that serves nobody; sql for everything."""
    assert found(reading(tmp_path)) == set()


LOST, FILES = "it is lost when Prosody stops", "it lies in files that are not carried"
ARCHIVE_LOST = f'the store archive of a.example is kept by "memory": {LOST}'
AWAKE = "a.example: served as soon as Prosody starts, even while the other site serves them"
FAILS = [
    ('storage = "sql"', "", "storage", f'every store of a.example is kept by "internal": {FILES}'),
    ('storage = "sql"', 'storage = { archive = "memory" } default_storage = "sql"', "storage", ARCHIVE_LOST),
    ('storage = "sql"', 'storage = { archive = "sql" }', "storage", f'every other store of rooms.a.example is kept by "internal": {FILES}'),
    ('"muc"', '"muc" default_storage = "memory" storage = {}', "storage", f'every store of rooms.a.example is kept by "memory": {LOST}'),
    ('"PostgreSQL"', '"MySQL"', "database", 'the driver "MySQL" is not supported, only PostgreSQL and SQLite3 are'),
    ('driver = "PostgreSQL", ', "", "database", "an `sql` without a driver is not supported, only PostgreSQL and SQLite3 are"),
    ('database = "prosody", ', "", "database", "`sql` names no database"),
    ('username = "prosody", ', "", "database", "`sql` names no username"),
    (SQL, 'sql = { driver = "SQLite3", database = ":memory:" }', "database", "a database in memory is lost when Prosody stops"),
    ('"muc"', '"muc" sql = { driver = "SQLite3" }', "database", "a.example and rooms.a.example keep their rows in different databases"),
    ('Component "rooms.a.example"', 'Component "a.b.example"', "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "subject", "words"), FAILS, ids=range(len(FAILS)))
def test_what_a_pair_cannot_have_fails(tmp_path: Path, old: str, new: str, subject: str, words: str) -> None:
    """The host, the store and what keeps it are named. A component of a pool's domain is that pool's by its name."""
    said = changed(tmp_path, old, new)
    if subject:
        assert (Level.FAIL, subject, words) in said
    else:
        assert said == set()


CHANGES = [
    ('VirtualHost "a.example"\n    enabled = false', 'VirtualHost "a.example"', "start", AWAKE),
    ('VirtualHost "b.example"\n    enabled = false', "", "homes", "no host of b is defined here"),
    ('VirtualHost "localhost"\n    storage = "memory"', "", "start", "without one VirtualHost that is enabled Prosody does not start"),
    ('    storage = "memory"\n', "", "start", "localhost writes into the database, but belongs to no pool"),
    ('; "admin_shell"', "", "shell", "admin_shell is not enabled: nobody can activate a host"),
    ('http_file_share_secret = "the same"', "", "uploads", "share.a.example draws another secret at each start, so its links die with it"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "subject", "words"), CHANGES, ids=range(len(CHANGES)))
def test_what_is_to_be_changed_is_said(tmp_path: Path, old: str, new: str, subject: str, words: str) -> None:
    """That, and nothing else."""
    assert changed(tmp_path, old, new) == {(Level.CHANGE, subject, words)}


def test_what_an_operator_should_know(tmp_path: Path) -> None:
    """Accounts elsewhere, stores that are kept nowhere, other uploads, a variable that is not set here, and SQLite's hazards."""
    assert changed(tmp_path, '"internal_hashed"', '"ldap"') == {
        (Level.KNOW, "accounts", f'the accounts of {host} are kept by "ldap", outside the database')
        for host in ("a.example", "b.example")
    }
    nowhere = changed(
        tmp_path, '"muc"', '"muc" storage = { muc_log = "null", cron = "memory" } default_storage = "sql"'
    )
    assert nowhere == {
        (Level.KNOW, "storage", "the store muc_log of rooms.a.example is kept nowhere, so it is not carried either")
    }
    other = changed(tmp_path, '"muc"', '"muc" modules_enabled = { "http_upload" }')
    assert other == {(Level.KNOW, "uploads", "what http_upload of rooms.a.example keeps is not carried")}
    ((level, _, words),) = changed(tmp_path, '"x"', 'ENV_POOLPAIR_IS_NOT_SET or "x"')
    assert (level, words) == (Level.KNOW, "reads POOLPAIR_IS_NOT_SET from the environment, which is not set here")
    ((level, subject, words),) = changed(tmp_path, SQL, SQLITE)
    assert (level, subject) == (Level.KNOW, "database")
    assert words.startswith("SQLite has one writer, and Prosody does not wait for it")


def around(prosody: Prosody, *, prepared: bool = True) -> dict[str, str]:
    """What this machine says, by its subject."""
    owners = owners_by_domains(prosody, "a", "b", ("b.example",))
    return {each.subject: str(each) for each in look_around(prosody, owners, prepared=prepared)}


def test_the_machine_is_looked_at(tmp_path: Path) -> None:
    """The version by dpkg; the socket by connecting; the database's mode by its first bytes, which leave no trace."""
    prosody = reading(tmp_path, **{SQL: SQLITE})
    said = around(prosody)
    assert said["version"].startswith("ok        version: Prosody 0.12.")
    assert said["socket"].startswith("FAIL      socket: Prosody does not run now")
    assert said["folder"] == f"ok        folder: data_path {tmp_path} can be read and written"
    assert said["database"].startswith(f"FAIL      database: {tmp_path}/prosody.sqlite: No such file or directory")
    database = tmp_path / "prosody.sqlite"
    with closing(sqlite3.connect(database)) as made:
        made.execute("CREATE TABLE prosody (host TEXT)")
    assert around(prosody)["database"].startswith(
        f"FAIL      database: {database} is not in WAL mode; run `poolpair -c FILE init`"
    )
    assert around(prosody, prepared=False)["database"].startswith("to know")
    with closing(sqlite3.connect(database)) as made:
        made.execute("PRAGMA journal_mode = WAL")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert around(prosody)["database"] == f"ok        database: {database} is in WAL mode"
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    database.write_bytes(b"something else")
    assert "is no SQLite database" in around(prosody)["database"]


def test_a_socket_is_tried(tmp_path: Path) -> None:
    """Somebody listens, nobody does, nobody may, or no socket can have that name."""
    path = tmp_path / "prosody.sock"
    assert not is_running(path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert not is_running(path)
        server.listen()
        assert is_running(path)
    with pytest.raises(PoolpairError) as caught:
        is_running(tmp_path / ("x" * 120))
    assert caught.value.code is Code.UNFIT
    assert "too long for a socket" in caught.value.detail
    with reachable_folder() as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "s"))
        server.listen()
        (folder / "s").chmod(0o600)
        assert as_nobody(lambda: is_running(folder / "s")) == f"P109: {folder}/s: Permission denied"
        prosody = reading(folder, **{SQL: SQLITE})
        said = as_nobody(lambda: around(prosody)["folder"])
        assert said.startswith(f"FAIL      folder: this account may not read and write in data_path {folder}")


def test_the_version_is_known_without_asking_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is that of the package which is installed, else what prosodyctl says of itself, else nobody knows."""
    with reachable_folder() as folder:
        prosody = reading(folder)
        by_package = version(prosody.path)
        assert by_package is not None
        assert by_package.startswith("0.12.")
        bare = folder / "bin"
        bare.mkdir()
        monkeypatch.setenv("PATH", str(bare))
        assert version(prosody.path) is None
        assert around(prosody)["version"].startswith("to know   version: how new Prosody is cannot be told")
        for name in ("prosodyctl", "lua5.4"):
            (bare / name).symlink_to(f"/usr/bin/{name}")
        assert version(prosody.path) == by_package

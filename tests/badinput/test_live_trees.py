"""Trees and databases that change under a command, or that its account may not enter: told in words, never by a traceback."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poolpair.cli.examine import is_database
from poolpair.cli.main import app
from poolpair.drill.ground import sizes_below
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.store.open import kind_of
from poolpair.store.profile import Profile, ProfileTable
from poolpair.store.tree import DirectoryTree
from tests.unit.unprivileged import as_nobody, reachable_folder


def test_a_file_that_goes_while_it_is_looked_at(tmp_path: Path) -> None:
    """`profile check` found it in the tree, and asks whether it is a database when it is gone."""
    (tmp_path / "x").write_bytes(b"SQLite format 3\0 and more")
    tree = DirectoryTree(tmp_path, tmp_path)
    (file,) = tree.scan(lambda _: True)
    assert is_database(tree, file)
    (tmp_path / "x").unlink()
    assert not is_database(tree, file)


def test_a_tree_that_shrinks_while_a_drill_measures_it(tmp_path: Path) -> None:
    """Files and folders that went count no more, and the rest does."""
    for name in ("x", "y", "below/z"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("123")
    assert sum(sizes_below(tmp_path)) == 9
    sizes = sizes_below(tmp_path)
    assert next(sizes) == 3
    for path in tmp_path.glob("?"):
        path.unlink()
    (tmp_path / "below/z").unlink()
    (tmp_path / "below").rmdir()
    assert list(sizes) == []


def drafted(*words: str) -> str:
    """What ended a draft."""
    result = CliRunner().invoke(app, ["profile", "draft", *words])
    return str(result.exception) if isinstance(result.exception, PoolpairError) else result.output


def test_what_this_account_may_not_enter() -> None:
    """A folder of files is P105 and a database P201, with the system's words, from whatever release of Python."""
    with reachable_folder() as folder:
        shut, database = folder / "shut", folder / "app.sqlite"
        shut.mkdir(mode=0o750)
        for path in (database, shut / "app.sqlite"):
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("CREATE TABLE note (id INTEGER PRIMARY KEY)")
        said = as_nobody(lambda: drafted("--store", f"sqlite:///{database}", "--files", f"{shut}/inner"))
        assert (said.startswith(str(Code.USAGE)), "Permission denied" in said) == (True, True), said
        said = as_nobody(lambda: drafted("--store", f"sqlite:///{shut}/app.sqlite"))
        assert (said.startswith(str(Code.STORE_MISSING)), "Permission denied" in said) == (True, True), said


def taking(writer: sqlite3.Connection, *tables: ProfileTable) -> tuple[ProfileTable, ...]:
    """Tables of a profile; whoever looks at them, which is after the database was opened, finds that it was taken meanwhile."""

    class Taking(tuple[ProfileTable, ...]):
        __slots__ = ()

        def __iter__(self) -> Iterator[ProfileTable]:
            if not writer.in_transaction:
                writer.execute("BEGIN EXCLUSIVE")
            return super().__iter__()

    return Taking(tables)


def test_a_database_that_is_taken_while_it_is_looked_at_is_p202(tmp_path: Path) -> None:
    """Somebody has it to himself from the moment on at which it is open here: that is told in our words, not in the driver's."""
    path = tmp_path / "app.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE note (id INTEGER PRIMARY KEY)")
        tables = taking(writer, ProfileTable(number=1, name="note", channel=Channel.USERS, key=("id",)))
        with pytest.raises(PoolpairError) as refused:
            kind_of(f"sqlite:///{path}", 0.0, Path).problems(Profile(name="taken", tables=tables))
    assert refused.value.code is Code.STORE_LOCKED

"""The store port's promise about tables that the application changes while a package is cut; in memory they never change."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.store.values import Cut
from tests.contract.benches import Bench, SqliteBench, sqlite_bench
from tests.contract.carrying import apply, export, plan_for
from tests.contract.postgres_bench import PostgresBench

CUT = Cut(channel=Channel.USERS, served=("a",), since=0)
ALTERABLE = pytest.mark.parametrize("make_bench", ["sqlite", "postgres"], indirect=True)


def migrate(bench: Bench) -> None:
    """The application gives a table one column more, and every row a value in it, in one transaction."""
    assert isinstance(bench, SqliteBench | PostgresBench)
    with bench.connection() as connection:
        connection.execute("ALTER TABLE account ADD COLUMN extra TEXT")
        connection.execute("UPDATE account SET extra = 'filled'")


@ALTERABLE
def test_nothing_is_cut_from_tables_that_changed_since_the_check(a: Bench, rows: Path) -> None:
    """The view of a package refuses to begin, whoever only looks is let in, and after another check the column is in the package."""
    a.account("valjean", 1)
    a.store.check_capture()
    migrate(a)
    with pytest.raises(PoolpairError) as caught, a.store.snapshot(rows):
        pass
    assert caught.value.code is Code.STORE_LOCKED
    with a.store.snapshot() as view:
        assert view.token() == 0
    exported = export(a, rows, CUT)
    assert "extra" in exported.tables[0].columns
    assert (exported.groups, exported.rows) == (1, 1)


def test_nothing_is_applied_to_tables_that_changed_since_they_were_compared(prepared: Path, tmp_path: Path) -> None:
    """On SQLite an apply waits for the application's transaction, and does not write afterwards what fitted the tables before."""
    a, b = (sqlite_bench(prepared, tmp_path / name) for name in ("a", "b"))
    a.account("valjean", 1)
    exported = export(a, tmp_path / "rows", CUT)
    with b.store.incoming(tmp_path / "rows", Channel.USERS, exported.tables) as incoming:
        migrate(b)
        with pytest.raises(PoolpairError) as caught:
            incoming.apply(plan_for(CUT), (), lambda _tx, _applied: None)
    assert caught.value.code is Code.STORE_LOCKED
    assert b.rows("account") == []
    with pytest.raises(PoolpairError) as caught:
        apply(b, tmp_path / "rows", exported, plan_for(CUT))
    assert caught.value.code is Code.SCHEMA
    for bench in (a, b):
        bench.store.close()

"""A database that another release prepared: said before anything is done in it, and brought up to date by `init`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.lab.pool import run_command
from poolpair.store.prepared import LAYOUT, SETTINGS
from poolpair.wiring import initialise, open_site
from tests.pair import Pair, make_pair


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Both pools prepared, by this release."""
    return make_pair(tmp_path / "pair")


def prepared_by(pair: Pair, layout: int | None) -> None:
    """Have pool a's database say that a release of this layout prepared it; None: one that noted none."""
    with pair.sql("a") as connection:
        (body,) = connection.execute("SELECT body FROM poolpair_document WHERE name = ?", (SETTINGS,)).fetchone()
        noted = {**json.loads(body), "layout": layout}
        if layout is None:
            del noted["layout"]
            connection.execute("DROP TABLE poolpair_spool_file")  # what such a release did not make
        connection.execute("UPDATE poolpair_document SET body = ? WHERE name = ?", (json.dumps(noted), SETTINGS))


def refused(pair: Pair) -> PoolpairError:
    """Why the pool is not opened."""
    with pytest.raises(PoolpairError) as raised:
        open_site(pair.config("a"), pair.clock)
    return raised.value


def test_what_an_older_release_prepared_is_not_worked_in(pair: Pair) -> None:
    """Every command says what to do, none ends in the middle of its work; `init` does it, and both pools go on."""
    prepared_by(pair, None)
    error = refused(pair)
    assert (error.code, "layout 1" in error.detail, "`poolpair -c FILE init`" in error.hint) == (
        Code.NOT_INSTALLED,
        True,
        True,
    )
    for words in (("status",), ("ledger", "list"), ("check",), ("run", "--allow-root")):
        told = run_command("-c", str(pair.toml("a")), *words)
        assert told.exit_status in (64, 2)
        assert "prepared by an older poolpair" in told.out + told.talk
    initialise(pair.config("a"))
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
    for pool in ("a", "b"):
        pair.stop(pool)


def test_tables_are_not_changed_under_a_service(pair: Pair) -> None:
    """An `init` that would change what stands is refused while a service of the other release works; then nothing was changed."""
    pair.start("a")
    prepared_by(pair, LAYOUT - 1)
    with pytest.raises(PoolpairError) as raised:
        initialise(pair.config("a"))
    assert raised.value.code is Code.LEASE
    assert "older" in refused(pair).detail
    pair.stop("a")
    initialise(pair.config("a"))
    open_site(pair.config("a"), pair.clock).store.close()


def test_what_a_newer_release_prepared_is_left_alone(pair: Pair) -> None:
    """Neither opened nor prepared anew by a release that does not know it."""
    prepared_by(pair, LAYOUT + 1)
    assert (refused(pair).code, "upgrade" in refused(pair).hint) == (Code.NOT_INSTALLED, True)
    with pytest.raises(PoolpairError, match="by a newer poolpair"):
        initialise(pair.config("a"))


def test_a_database_that_was_never_prepared_says_so(pair: Pair) -> None:
    """Not that it is old."""
    with pair.sql("a") as connection:
        connection.execute("DROP TABLE poolpair_document")
    told = run_command("-c", str(pair.toml("a")), "status")
    assert (told.exit_status, "was not prepared for poolpair" in told.talk) == (64, True)

"""Comparing both copies, repairing one, and pairs of other shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from poolpair.keyfile import activate_key, rotate_key_file
from poolpair.model import Channel, ExportStatus
from poolpair.pipeline.site import outbound_name
from poolpair.state import Outbound, Seed
from tests.pair import Pair, make_pair


def _started(folder: Path, **more: object) -> Pair:
    pair = make_pair(folder, **more)  # type: ignore[arg-type]
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    return pair


def _verify(pair: Pair, *, repair: bool) -> None:
    with pair.sites["a"].store.transaction() as tx:
        out = tx.load(Outbound, outbound_name(Channel.USERS))
        assert out is not None
        tx.save(outbound_name(Channel.USERS), replace(out, seed=Seed(reason="verify", repair=repair)))
    pair.settle()


def test_tampering_at_the_copy_is_counted_found_and_healed(tmp_path: Path) -> None:
    """A changed, a lost and an invented row of A's users at B: counted as foreign, found by verify, put right by repair."""
    pair = _started(tmp_path)
    with pair.tampering("b") as connection:
        connection.execute("UPDATE prosody SET value = 'forged' WHERE user = 'myriel' AND key = 'napoleon@b.example'")
        connection.execute("DELETE FROM prosodyarchive WHERE host = 'a.example' AND user = 'judge'")
        connection.execute("INSERT INTO prosody VALUES ('a.example', 'ghost', 'accounts', 'salt', 'string', 'x')")
    pair.settle()
    assert pair.channel("b").imports.foreign_writes >= 3
    assert pair.rows("a") != pair.rows("b")
    _verify(pair, repair=False)
    found = pair.channel("a").export.last_verify
    assert found is not None
    assert not found.equal
    assert pair.rows("a") != pair.rows("b")
    assert pair.channel("b").imports.complete == ()
    _verify(pair, repair=True)
    healed = pair.channel("a").export.last_verify
    assert healed is not None
    assert healed.equal
    assert healed.repaired
    assert pair.rows("a") == pair.rows("b")
    assert pair.channel("b").imports.complete == ("a",)
    assert pair.channel("b").imports.foreign_writes == 0


def test_a_second_pool_may_home_nobody(tmp_path: Path) -> None:
    """One active site and one cold one are a full pair."""
    homes = {"a.example": "a", "*.a.example": "a", "b.example": "a", "*.b.example": "a"}
    pair = make_pair(tmp_path, homes=homes)
    with pair.tampering("b") as connection:
        connection.execute("DELETE FROM prosody")
        connection.execute("DELETE FROM prosodyarchive")
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    assert pair.rows("a") == [row for row in pair.rows("b")]
    for pool in ("a", "b"):
        assert pair.channel(pool).export.status is ExportStatus.FINAL


def test_homes_that_changed_are_compared_after_init(tmp_path: Path) -> None:
    """New homes on both sides, init on both: what is in flight is given up, both copies are compared."""
    from poolpair.wiring import initialise

    pair = _started(tmp_path)
    for pool in ("a", "b"):
        pair.stop(pool)
        toml = pair.toml(pool)
        toml.write_text(toml.read_text().replace('"*.b.example" = "b"', '"*.b.example" = "b"\n"c.example" = "a"'))
        initialise(pair.config(pool))
    with pair.sql("a") as connection:
        connection.execute("INSERT INTO prosody VALUES ('c.example', 'new', 'accounts', 'salt', 'string', 'x')")
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
    assert pair.channel("a").export.status is ExportStatus.FINAL


def test_a_key_is_rotated_without_a_gap(tmp_path: Path) -> None:
    """Packages sealed with the old and with the new secret are both taken while the sides change over one after the other."""
    pair = _started(tmp_path)
    key = tmp_path / "pair.key"
    rotate_key_file(key)
    for pool in ("a", "b"):
        pair.stop(pool)
        pair.start(pool)
    activate_key(key)
    pair.stop("a")
    pair.start("a")
    for value, pool in (("one", "a"), ("two", "b")):
        with pair.sql(pool) as connection:
            connection.execute(
                "UPDATE prosody SET value = ? WHERE host = ? AND store = 'account_details'", (value, f"{pool}.example")
            )
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
    assert pair.channel("a").imports.quarantined == 0
    assert pair.channel("b").imports.quarantined == 0


def test_rows_without_a_home_are_counted_and_never_green(tmp_path: Path) -> None:
    """A row that no pattern matches is not carried, and both sides say so."""
    pair = make_pair(tmp_path)
    with pair.sql("a") as connection:
        connection.execute("INSERT INTO prosody VALUES ('elsewhere.example', 'x', 'accounts', 'salt', 'string', 'x')")
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    assert pair.channel("a").imports.unhomed == 1
    assert pair.channel("b").export.partner_unhomed == 1
    assert pair.status("a").exit_status == 1
    assert pair.status("b").exit_status == 1

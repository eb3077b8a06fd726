"""Comparing both copies, repairing one, and pairs of other shapes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from poolpair.keyfile import activate_key, new_key_file, rotate_key_file
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
    for name in pair.files("b"):  # a first copy would be held before it deletes what stands there alone
        (pair.folder / "data-b" / name).unlink()
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


def _change(pair: Pair, value: str) -> None:
    for pool in ("a", "b"):
        with pair.sql(pool) as connection:
            connection.execute(
                "UPDATE prosody SET value = ? WHERE host = ? AND store = 'account_details'", (value, f"{pool}.example")
            )
    pair.settle()


def test_a_key_is_rotated_without_a_stop(tmp_path: Path) -> None:
    """Each side has a file of its own, as in life; nothing is refused while they change over one after the other, and nobody restarts."""
    pair = make_pair(tmp_path)
    here, there = tmp_path / "pair.key", tmp_path / "b.key"
    shutil.copy(here, there)
    pair.toml("b").write_text(pair.toml("b").read_text().replace(str(here), str(there)))
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    old = pair.sites["b"].ring.sealing
    rotate_key_file(here)
    _change(pair, "a alone has the new secret")
    there.write_bytes(here.read_bytes())
    _change(pair, "both have it")
    activate_key(here)
    _change(pair, "a seals with it")
    there.write_text("{half a copy")
    _change(pair, "b's file is being copied")
    there.write_bytes(here.read_bytes())
    _change(pair, "both seal with it")
    assert pair.rows("a") == pair.rows("b")
    for pool in ("a", "b"):
        assert pair.sites[pool].ring.sealing != old
        assert pair.channel(pool).imports.quarantined == 0
    new_key_file(tmp_path / "another.key")
    there.write_bytes((tmp_path / "another.key").read_bytes())
    _change(pair, "another pair's file counts for nothing")
    assert pair.rows("a") == pair.rows("b")


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

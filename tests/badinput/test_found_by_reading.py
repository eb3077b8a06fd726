"""What a reader of the code found for SQLite, each played in a pair: a row was lost or came twice, or one group stopped a channel."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.model import Channel
from poolpair.moves import Move
from poolpair.pipeline import pack as packing
from poolpair.pipeline.site import Site
from poolpair.protocol import Want
from poolpair.serving.plan import advance, order
from poolpair.state import Intent
from tests.badinput.ground import Ground, first_copy, make_ground
from tests.badinput.test_hostile_tables import entry
from tests.badinput.test_values import whole


def settle(ground: Ground) -> None:
    """Passes and plans until nothing moves."""
    for _ in range(8):
        ground.settle()
        if not any([advance(site) for site in ground.sites.values()]):
            return


def take_over(ground: Ground) -> None:
    """The service of a ends, and b takes over."""
    ground.stop("a")
    order(ground.sites["b"], Move.TAKEOVER, "a")
    while advance(ground.sites["b"]):
        pass


def stop(ground: Ground) -> None:
    """End both services."""
    for pool in tuple(ground.sites):
        ground.stop(pool)


@pytest.mark.parametrize("how", ["REPLACE", "IGNORE"])
def test_recovery_does_not_obey_what_a_table_says_of_conflicts(tmp_path: Path, how: str) -> None:
    """A place taken on both sides: what the server accepted stays, the returned row is in the ledger and not thrown away."""
    schema = (
        "CREATE TABLE seat (owner TEXT NOT NULL, name TEXT NOT NULL, place INTEGER, value, PRIMARY KEY (owner, name),"
        f" UNIQUE (owner, place) ON CONFLICT {how});"
    )
    ground = make_ground(
        tmp_path,
        schema=schema,
        profile=entry("seat", "owner", "name"),
        columns={"seat": "owner, name, place, value"},
    )
    first_copy(ground)
    take_over(ground)
    ground.do("a", "INSERT INTO seat VALUES ('u@a', 'old', 5, 'returned')")
    ground.do("b", "INSERT INTO seat VALUES ('u@a', 'new', 5, 'served')")
    ground.start("a")
    settle(ground)
    for pool in ("a", "b"):
        assert ground.ask(pool, "SELECT name, value FROM seat WHERE owner = 'u@a'") == [("new", "served")]
        (listed,) = ground.sites[pool].store.ledger()
        assert ("old" in listed.key, "returned" in listed.theirs, listed.ours) == (True, True, "[]")
    stop(ground)


def test_a_migration_while_a_package_is_cut_is_in_the_next_one(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """It commits between the look at the tables and the view: nothing is cut, no intent stays, and the pass after that is well."""
    query = "SELECT count(*) FROM poolpair_document WHERE name GLOB 'intent/users*'"
    before, intend = ground.ask("a", query), packing._intend

    def migrated(site: Site, channel: Channel, wanted: Want) -> tuple[Intent, int]:
        monkeypatch.undo()
        ground.do("a", "ALTER TABLE item ADD COLUMN extra DEFAULT 0", "UPDATE item SET extra = 42 WHERE owner = 'u@a'")
        return intend(site, channel, wanted)

    ground.do("a", "INSERT INTO item VALUES ('u@a', 'fresh', 1)")
    monkeypatch.setattr(packing, "_intend", migrated)
    ground.turn("a")
    assert ground.fault("a").startswith("P202")
    assert ground.ask("a", query) == before
    ground.turn("a")
    assert not ground.fault("a")
    ground.settle()
    ground.do("b", "ALTER TABLE item ADD COLUMN extra DEFAULT 0")
    ground.columns["item"] = "owner, name, value, extra"
    ground.whole()
    assert ground.ask("b", "SELECT DISTINCT extra FROM item WHERE owner = 'u@a'") == [(42,)]

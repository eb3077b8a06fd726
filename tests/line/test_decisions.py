"""What an operator decides changes what the pool remembers, at once and in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.decisions import begin_verify, drop_parked, request, retry_parked
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.pipeline.site import inbound_name, outbound_name
from poolpair.service import REQUEST, Request
from poolpair.state import Inbound, Outbound, Seed
from tests.badinput.ground import Ground, first_copy, make_ground

USERS = Channel.USERS
BAN = "CREATE TRIGGER ban BEFORE INSERT ON item WHEN NEW.name = 'bad' BEGIN SELECT RAISE(ABORT, 'not here'); END"


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """Two pools, whole; B has parked one group of A's."""
    made = first_copy(make_ground(tmp_path))
    made.do("b", BAN)
    made.do("a", "INSERT INTO item VALUES ('u@a', 'bad', 1)")
    made.settle()
    yield made
    for pool in tuple(made.sites):
        made.stop(pool)


def complete(ground: Ground) -> tuple[str, ...]:
    """The homes whose copy at B is complete, as A was told."""
    out = ground.sites["a"].store.read(Outbound, outbound_name(USERS))
    assert out is not None
    assert out.partner is not None
    return out.partner.complete


def test_a_copy_that_dropped_a_group_is_not_complete_until_a_repair(ground: Ground) -> None:
    """The drop clears the mark in its own transaction, the partner hears of it, and a repair there brings both back."""
    assert complete(ground) == ("a",)
    site = ground.sites["b"]
    (group,) = site.store.parked()
    drop_parked(site, group.group_id)
    inbound = site.store.read(Inbound, inbound_name(USERS))
    assert inbound is not None
    assert inbound.complete == ()
    ground.do("b", "DROP TRIGGER ban")
    ground.settle()
    assert complete(ground) == ()
    begin_verify(ground.sites["a"], USERS, repair=True)
    ground.settle()
    assert complete(ground) == ("a",)
    ground.whole()


def test_a_group_that_is_not_there_is_neither_tried_nor_dropped(ground: Ground) -> None:
    """A wrong number is an error of the command and changes nothing."""
    site = ground.sites["b"]
    for decide in (drop_parked, retry_parked):
        with pytest.raises(PoolpairError, match="no parked group has the number 77") as caught:
            decide(site, 77)
        assert caught.value.code is Code.USAGE
    inbound = site.store.read(Inbound, inbound_name(USERS))
    assert inbound is not None
    assert inbound.complete == ("a",)


def test_a_retry_says_why_it_is_refused_again(ground: Ground) -> None:
    """Each group comes back with its reason, or with none once it was applied."""
    site = ground.sites["b"]
    assert [(group.key, reason) for group, reason in retry_parked(site)] == [("owner=u@a, name=bad", "not here")]
    ground.do("b", "DROP TRIGGER ban")
    assert [reason for _, reason in retry_parked(site)] == [None]
    ground.whole()


def test_a_decision_has_a_running_service_look_at_once(ground: Ground) -> None:
    """A request stands in the store under the name that is returned, and a decision leaves one while a service works."""
    site = ground.sites["b"]
    name = request(site, (USERS,), rescan=True)
    assert site.store.read(Request, name) == Request(channels=(USERS,), rescan=True)
    (group,) = site.store.parked()
    drop_parked(site, group.group_id)
    assert len(site.store.read_all(Request, REQUEST)) == 2


def test_a_comparison_that_runs_is_not_begun_again(ground: Ground) -> None:
    """A plain verify does not take away the repair that runs."""
    site = ground.sites["a"]
    before = begin_verify(site, USERS, repair=True)
    assert before is not None
    assert before.equal
    begin_verify(site, USERS, repair=False)
    out = site.store.read(Outbound, outbound_name(USERS))
    assert out is not None
    assert out.seed == Seed(reason="verify", repair=True, reread=True)

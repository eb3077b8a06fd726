"""What the API answers, mostly on the memory pair: never that a home is served here when that cannot be relied on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.alongside import write_pulse
from poolpair.api.answers import STALE_AFTER_S, Answers
from poolpair.api.app import is_local_name
from poolpair.api.metrics import Figures, Series
from poolpair.errors import Code, PoolpairError
from poolpair.moves import GateRules, Move
from poolpair.outlook import Level
from poolpair.overview import headline
from poolpair.pipeline.site import Site
from poolpair.report import PULSE, Pulse, gather, pulse
from poolpair.serving.gate import close_by_hand
from poolpair.serving.plan import advance, order
from poolpair.state import Fencing
from poolpair.status import PairStatus
from poolpair.store.memory.store import MemoryStore
from poolpair.testing.clock import VirtualClock
from poolpair.wiring import open_site
from poolpair.wording import remarks
from tests.memory_pair import MemoryPair
from tests.pair import make_pair


class OtherMachine(VirtualClock):
    """The clock of another machine."""

    def boot_id(self) -> str:
        """Another boot."""
        return "elsewhere"


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy."""
    made = MemoryPair(tmp_path)
    for pool, other in (("a", "b"), ("b", "a")):
        with made.disks[pool].change() as draft:
            draft.fence.edit[other] = other
        made.start(pool)
    made.settle()
    return made


def answers(pair: MemoryPair, pool: str) -> Answers:
    """As a process beside the service has them: a connection of its own."""
    site = pair.sites[pool]

    def opened() -> Site:
        return replace(site, store=MemoryStore(pair.disks[pool], pair.clock))

    return Answers(opened, site.homes, pool)


def why(pair: MemoryPair, asked: Answers, home: str = "a") -> str:
    """Why a home is not served; empty if it is."""
    pair.clock.advance(1.0)
    found = asked.serving(home)
    assert found.serving is not bool(found.why)
    return found.why


def test_one_pool_of_the_pair_says_yes(pair: MemoryPair) -> None:
    """Before a takeover the home, after it the partner; the other names who serves."""
    a, b = answers(pair, "a"), answers(pair, "b")
    assert (why(pair, a), why(pair, b)) == ("", "pool a serves them")
    assert (why(pair, b, "b"), why(pair, a, "b")) == ("", "pool b serves them")
    order(pair.sites["b"], Move.TAKEOVER, "a")
    while advance(pair.sites["b"]):
        pass
    pair.settle()
    assert (why(pair, a), why(pair, b)) == ("pool b serves them", "")
    assert b.serving("a").epoch == 1


def test_a_fenced_home_is_not_served(pair: MemoryPair) -> None:
    """Neither while it is being handed over, nor while the gate is closed."""
    a = answers(pair, "a")
    order(pair.sites["a"], Move.HANDOVER, "a")
    while pair.sites["a"].serving("a").fencing is Fencing.NONE:
        advance(pair.sites["a"])
        pair.turn()
    assert why(pair, a) == "they are being handed over"
    pair.sites["b"].gate = GateRules(at_start=True)
    close_by_hand(pair.sites["b"])
    assert "gate is closed" in why(pair, answers(pair, "b"), "b")


def test_without_a_live_service_nothing_is_claimed(pair: MemoryPair) -> None:
    """A service that hangs, and one that is dead."""
    a = answers(pair, "a")
    assert a.ready().ready
    pair.clock.advance(STALE_AFTER_S)
    assert "last sign of life" in why(pair, a)
    assert not a.ready().ready
    pair.turn()
    assert why(pair, a) == ""
    pair.crash("a")
    assert why(pair, a) == "no service runs for this pool"


def test_a_pulse_of_another_machine_counts_once_it_was_seen_to_change(pair: MemoryPair) -> None:
    """Its times mean nothing here: what counts is how long ago it changed, by our own clock."""
    a, store = answers(pair, "a"), pair.sites["a"].store

    def beats(at_s: float) -> Pulse:
        there = replace(pulse(pair.sites["a"]), boot_id="elsewhere", at_s=at_s)
        with store.transaction() as tx:
            tx.save(PULSE, there)
        return there

    beats(5.0)
    assert why(pair, a) == "the service was not seen alive yet"
    assert why(pair, a) == "the service was not seen alive yet"
    beats(15.0)
    assert why(pair, a) == ""
    pair.clock.advance(STALE_AFTER_S)
    assert "last sign of life" in why(pair, a)
    beats(16.0)
    assert why(pair, a) == ""


def test_status_on_another_machine_is_as_old_as_the_pulse_of_the_one_at_work(pair: MemoryPair) -> None:
    """Where a front end stands by, `status` says what the service's own says, a heartbeat older at most; nothing of a dead one."""
    a = pair.sites["a"]
    pair.turn()
    write_pulse(a)
    here = gather(a)

    def there() -> PairStatus:
        return gather(replace(a, store=MemoryStore(pair.disks["a"], pair.clock), clock=OtherMachine(5e6)))

    found = there()
    assert here.word_age_s is not None
    assert found.word_age_s == pytest.approx(here.word_age_s + a.limits.heartbeat_s)
    assert found.exit_status == here.exit_status == 0
    assert [each.level for each in found.takeovers] == [each.level for each in here.takeovers]
    pair.crash("a")
    assert there().word_age_s is None


def test_what_has_changed_is_opened_anew_once_it_can_be(pair: MemoryPair) -> None:
    """Until then what was open goes on answering, and is not closed under whoever asks."""
    number, refuses, opened = [0], list[bool](), list[int]()

    def open_one() -> Site:
        if refuses:
            raise PoolpairError(Code.STORE_LOCKED, "not yet")
        opened.append(number[0])
        return replace(pair.sites["a"], store=MemoryStore(pair.disks["a"], pair.clock))

    asked = Answers(open_one, ("a", "b"), "a", changed=lambda: number[0])
    assert why(pair, asked) == ""
    number[0], refuses[:] = 1, [True]
    assert [why(pair, asked), why(pair, asked), opened] == ["", "", [0]]
    refuses.clear()
    assert [why(pair, asked), why(pair, asked), opened] == ["", "", [0, 1]]


def test_a_store_that_cannot_be_read_is_not_answered_for(pair: MemoryPair) -> None:
    """The answer says so, and the store is opened again for the next one."""
    good, broken = pair.sites["a"], [True]

    def opened() -> Site:
        if broken:
            raise PoolpairError(Code.STORE_MISSING, "the disk is gone")
        return replace(good, store=MemoryStore(pair.disks["a"], pair.clock))

    asked = Answers(opened, good.homes, "a")
    assert why(pair, asked) == "P201: the disk is gone"
    assert not asked.ready().ready
    with pytest.raises(PoolpairError):
        asked.status()
    broken.clear()
    assert why(pair, asked) == ""
    assert json.loads(asked.status())["pool"] == "a"


def test_a_database_that_is_moved_away_is_not_answered_for(tmp_path: Path) -> None:
    """At once, before the service has noticed; and the file that is put in its place has no service, though it says so itself."""
    pair = make_pair(tmp_path / "pair")
    for pool in ("a", "b"):
        pair.start(pool)
    pair.turn()
    path, config = pair.path("a"), pair.config("a")
    asked = Answers(lambda: open_site(config, pair.clock), ("a", "b"), "a", file=path)
    assert asked.serving("a").serving
    assert asked.ready().ready
    with pair.sql("a") as connection:
        connection.execute("VACUUM INTO ?", (f"{path}.backup",))
    for part in ("", "-wal", "-shm"):  # or what the old one had not put away yet would be read into the new one
        Path(f"{path}{part}").rename(f"{path}.away{part}")
    assert asked.serving("a").why == f"P201: {path} is not there"
    assert not asked.ready().ready
    with pytest.raises(PoolpairError, match="is not there"):
        asked.status()
    Path(f"{path}.backup").rename(path)
    assert asked.serving("a").why == asked.ready().why == "no service runs for this pool"
    assert json.loads(asked.status())["service_running"] is False
    for pool in ("a", "b"):
        pair.stop(pool)
    pair.start("a")
    pair.turn()
    pair.advance(1.0)
    assert asked.serving("a").serving
    asked.close()
    pair.stop("a")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("", True),
        ("localhost", True),
        ("localhost:7462", True),
        ("127.0.0.1:7462", True),
        ("127.0.0.1", True),
        ("[::1]:7462", True),
        ("[::1]", True),
        ("evil.example:7462", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.1:7462", False),
    ],
)
def test_a_page_elsewhere_cannot_ask_by_a_name_of_its_own(host: str, local: bool) -> None:
    """On loopback only loopback's own names are answered."""
    assert is_local_name(host) is local


def test_of_a_service_that_hangs_every_face_says_the_same(pair: MemoryPair) -> None:
    """The status as people read it, the page's sentence and the figures go by the same pulse as /v1/serving; the partner is not blamed."""
    a, site = answers(pair, "a"), pair.sites["a"]
    pair.turn()
    write_pulse(site)
    assert gather(site).service_works
    pair.clock.advance(STALE_AFTER_S + 16)
    found = gather(site)
    assert found.hanging_s is not None
    age_s = f"{found.hanging_s:.0f} s"
    assert "the service gave its last sign of life 7" in why(pair, a)
    assert (found.service_running, found.exit_status) == (True, 3)
    (remark,) = [each for each in remarks(found) if each.level is Level.BROKEN]
    assert remark.text.startswith("P406: the service on ")
    assert f"no sign of life for {age_s}" in remark.text
    assert headline(found) == "The service at a hangs: how the pair stands is not known."
    assert {each.level for each in found.takeovers} == {Level.BROKEN}
    assert not any("b was not heard" in why for each in found.takeovers for why in each.why)
    figures = Figures(
        status=found,
        sent_bytes={},
        received_bytes={},
        scratch_free_bytes=None,
        share_free_bytes=None,
        key_age_s=None,
        now_s=0.0,
    )
    values = {sample.name: sample.value for family in Series(figures).collect() for sample in family.samples}
    assert (values["poolpair_up"], values["poolpair_serving"], values["poolpair_status"]) == (0.0, 0.0, 3.0)
    pair.turn()
    write_pulse(site)
    assert gather(site).service_works

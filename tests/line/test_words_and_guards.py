"""What a simulated history seldom comes to: a word that is heard twice or never, an approval that is not for this package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.cycle import _import, beat, run_pass
from poolpair.decisions import approve_held, refuse_held
from poolpair.errors import Code, PoolpairError
from poolpair.format.cookie import open_cookie
from poolpair.format.layout import COOKIE_NAME, cookie_dir, data_dir
from poolpair.model import Fault, ImportStatus
from poolpair.pipeline.acknowledge import send_word
from poolpair.pipeline.deliver import deliver
from poolpair.pipeline.pack import pack
from poolpair.pipeline.site import inbound_name
from poolpair.protocol import Want
from poolpair.report import gather
from poolpair.state import Held, Inbound
from tests.memory_pair import LIMITS, POOLS, USERS, MemoryPair

HOST = "a.example"


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """A pair with twenty accounts of A's, after its first copy; B's guard lets no more than three deletions pass."""
    made = MemoryPair(tmp_path)
    for number in range(20):
        made.disks["a"].write("account", (HOST, f"user{number}"), [(HOST, f"user{number}", number)])
    for pool in POOLS:
        made.start(pool).limits = replace(LIMITS, guard_fraction=0.1, guard_groups=3)
    made.settle()
    return made


def _change_and_deliver(pair: MemoryPair) -> None:
    """A changes a row; B applies it, says so and falls silent."""
    pair.disks["a"].write("account", (HOST, "user1"), [(HOST, "user1", "changed")])
    pair.clock.advance(1)
    run_pass(pair.sites["a"], USERS)
    run_pass(pair.sites["b"], USERS)
    pair.crash("b")
    assert not _is_acknowledged(pair)


def _is_acknowledged(pair: MemoryPair) -> bool:
    out = pair.outbound("a")
    return out.acknowledged is not None and out.acknowledged.sequence == out.next_sequence - 1


def test_a_heartbeat_leaves_what_a_word_says_to_the_pass(pair: MemoryPair) -> None:
    """It listens only for the nonce; B's last word is still news to the pass that follows."""
    _change_and_deliver(pair)
    beat(pair.sites["a"], USERS)
    run_pass(pair.sites["a"], USERS)
    assert _is_acknowledged(pair)


def _while_listing(pair: MemoryPair, what: Callable[[], object]) -> None:
    """Let something happen once, while B lists what stands in its share to tell of it."""
    share = pair.shares["b"]

    def meanwhile(operation: str, folder: str) -> None:
        if (operation, folder) == ("list", data_dir(USERS)):
            share.before = lambda _operation, _folder: None
            what()

    share.before = meanwhile


def test_what_is_applied_while_a_word_is_composed_is_not_called_lost(pair: MemoryPair) -> None:
    """It stands in the word, or is applied in it, or both: else A would send it once more."""
    pair.disks["a"].write("account", (HOST, "user1"), [(HOST, "user1", "changed")])
    pair.clock.advance(1)
    run_pass(pair.sites["a"], USERS)
    beat(pair.sites["a"], USERS)
    beat(pair.sites["b"], USERS)
    _while_listing(pair, lambda: _import(pair.sites["b"], USERS))
    pair.clock.advance(1)
    beat(pair.sites["b"], USERS)
    run_pass(pair.sites["a"], USERS)
    assert pair.rows("a") == pair.rows("b")
    assert pair.outbound("a").rewinds == 0


def test_a_word_echoes_what_was_heard_before_it_was_composed(pair: MemoryPair) -> None:
    """A beat of the same service may hear A meanwhile: what the word tells was looked at before."""
    site = pair.sites["b"]
    heard = site.memory.echo

    def listens() -> None:
        site.memory.echo = "f" * 32

    _while_listing(pair, listens)
    send_word(site, USERS, force=True)
    sealed = pair.shares["a"].tree[cookie_dir(USERS)][COOKIE_NAME].data
    assert open_cookie(sealed, pair.sites["a"].ring, reader_pool="a", channel=USERS).echo == heard
    assert site.memory.echo != heard


def test_a_word_that_met_a_locked_store_is_heard_at_the_next_pass(pair: MemoryPair) -> None:
    """A word counts as heard once it was taken in."""
    _change_and_deliver(pair)
    with pair.disks["a"].transaction():
        run_pass(pair.sites["a"], USERS)
    run_pass(pair.sites["a"], USERS)
    assert _is_acknowledged(pair)


def _held(pair: MemoryPair) -> Held | None:
    inbound = pair.sites["b"].store.read(Inbound, inbound_name(USERS))
    assert inbound is not None
    return inbound.held


def _accounts(pair: MemoryPair, pool: str) -> int:
    return len(pair.disks[pool].rows("account"))


def _delete(pair: MemoryPair, first: int, last: int) -> None:
    for number in range(first, last + 1):
        pair.disks["a"].write("account", (HOST, f"user{number}"), [])


def test_an_approval_is_for_one_package_only(pair: MemoryPair) -> None:
    """What was approved is lost on its way; the package that comes instead deletes more, and is asked about again."""
    _delete(pair, 0, 9)
    pair.settle()
    first = _held(pair)
    assert first is not None
    pair.shares["b"].tree[data_dir(USERS)].clear()
    _delete(pair, 10, 18)
    approve_held(pair.sites["b"], USERS)
    pair.settle()
    second = _held(pair)
    assert second is not None
    assert (second.approved, second.position == first.position) == (False, False)
    assert (_accounts(pair, "a"), _accounts(pair, "b")) == (1, 20)
    approve_held(pair.sites["b"], USERS)
    pair.settle()
    assert _held(pair) is None
    assert _accounts(pair, "b") == 1


def test_what_was_held_and_is_overtaken_is_not_held_any_more(pair: MemoryPair) -> None:
    """The rows come back at home before anybody decided: the newer package deletes nothing, and nobody has to be asked."""
    _delete(pair, 0, 9)
    pair.settle()
    assert _held(pair) is not None
    for number in range(10):
        pair.disks["a"].write("account", (HOST, f"user{number}"), [(HOST, f"user{number}", "back")])
    pair.shares["b"].tree[data_dir(USERS)].clear()
    pair.settle()
    assert _held(pair) is None
    assert pair.rows("a") == pair.rows("b")


def test_a_channel_that_stops_at_the_last_moment_delivers_nothing(pair: MemoryPair) -> None:
    """The store was set back; that is heard when a package is packed already, and it must not leave any more."""
    backup = pair.disks["a"].copy("a")
    pair.disks["a"].write("account", (HOST, "user1"), [(HOST, "user1", "of the lost future")])
    pair.settle()
    pair.crash("a")
    pair.disks["a"].restore(backup)
    site = pair.start("a")
    pair.disks["a"].write("account", (HOST, "user2"), [(HOST, "user2", "of another future")])
    assert not deliver(site, USERS, pack(site, USERS, Want()))
    assert pair.packages("b") == []
    stopped = pair.outbound("a").stopped
    assert stopped is not None
    assert stopped.code is Code.STORE_SET_BACK


def test_a_service_that_lost_its_lease_ends_at_its_next_commit(pair: MemoryPair) -> None:
    """It works for nobody any more: that is no fault to be noted and tried again."""
    first = pair.sites["a"]
    pair.disks["a"].lose_lock()
    pair.start("a")
    pair.disks["a"].write("account", (HOST, "user1"), [(HOST, "user1", "changed")])
    with pytest.raises(PoolpairError) as ended:
        run_pass(first, USERS)
    assert ended.value.code is Code.LEASE
    pair.settle()
    assert pair.rows("a") == pair.rows("b")


@pytest.mark.parametrize(
    ("export", "imports", "expected"),
    [
        ({}, {}, 0),
        ({"partner_import": ImportStatus.DEGRADED}, {}, 1),
        ({"partner_import": ImportStatus.ERROR}, {}, 2),
        ({"partner_foreign_writes": 1}, {}, 1),
        ({"left_behind": ("one",)}, {}, 1),
        ({}, {"partner_sending": Fault(code=Code.TOO_LARGE, detail="one waits there")}, 1),
        ({}, {"partner_sending": Fault(code=Code.STORE_SET_BACK, detail="it stopped")}, 2),
        ({}, {"complete": ()}, 1),
        ({}, {"foreign_writes": 1}, 1),
    ],
)
def test_the_exit_status_is_0_only_if_both_sides_are_well(
    pair: MemoryPair, export: dict[str, object], imports: dict[str, object], expected: int
) -> None:
    """What a script asks either side counts what is wrong at the other."""
    status = gather(pair.sites["b" if imports else "a"])
    (channel,) = status.channels
    spoilt = replace(
        channel,
        export=replace(channel.export, **export),  # type: ignore[arg-type]
        imports=replace(channel.imports, **imports),  # type: ignore[arg-type]
    )
    assert replace(status, channels=(spoilt,)).exit_status == expected


class _Killed(BaseException):
    """The process ends."""


def test_what_was_refused_is_not_applied_though_it_still_stands(pair: MemoryPair) -> None:
    """The command was killed between its commit and the share: the package goes with the next pass, whatever the guard says by then."""
    a, b = pair.sites["a"], pair.sites["b"]
    _delete(pair, 0, 9)
    run_pass(a, USERS)
    _import(b, USERS)
    assert pair.channel("b").imports.held == 1

    def killed(operation: str, _folder: str) -> None:
        if operation == "remove":
            raise _Killed

    share, limits = pair.shares["b"], b.limits
    before, share.before = share.before, killed
    with pytest.raises(_Killed):
        refuse_held(b, USERS)
    share.before, b.limits = before, replace(limits, guard_fraction=1.0)
    assert len(pair.packages("b")) == 1
    _import(b, USERS)
    assert (len(pair.rows("b")["account"]), pair.packages("b")) == (20, [])
    beat(b, USERS)
    run_pass(a, USERS)
    stopped = pair.outbound("a").stopped
    assert stopped is not None
    assert stopped.code is Code.REFUSED_BY_PARTNER

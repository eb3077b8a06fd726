"""The store port's promises: documents, tokens, capture, snapshots, lease, identity. Each on every kind of store."""

from __future__ import annotations

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel, Position
from poolpair.pipeline.site import Counts
from poolpair.state import Outbound, Seed, SeedPhase
from poolpair.store.memory.disk import RowRefused
from tests.contract.benches import POISON, Bench
from tests.contract.carrying import advance, digests, settle_log
from tests.contract.conftest import MakeBench

LEDGER = 5
USERS = Channel.USERS


def pending(bench: Bench, since: int = 0) -> int:
    """Entries of the users channel after a token."""
    return bench.store.pending(USERS, since)


def test_a_document_comes_back_as_it_was(a: Bench) -> None:
    """What was saved is loaded equal, inside the transaction, after it, and from another handle."""
    out = Outbound(stream="s", base=Position("s", 1, "p"), seed=Seed(phase=SeedPhase.AWAIT), in_flight=())
    with a.store.transaction() as tx:
        assert tx.load(Outbound, "outbound/users") is None
        tx.save("outbound/users", out)
        assert tx.load(Outbound, "outbound/users") == out
    other = a.open()
    assert a.store.read(Outbound, "outbound/users") == other.read(Outbound, "outbound/users") == out
    other.close()


def test_documents_are_named_deleted_and_read_by_prefix(a: Bench) -> None:
    """Names come in order and only with the prefix; a deleted document is gone; deleting nothing is no error."""
    with a.store.transaction() as tx:
        for name in ("x/2", "x/1", "y/1", "x"):
            tx.save(name, Counts(unhomed=int(name[-1]) if name != "x" else 9))
        assert tx.names("x/") == ("x/1", "x/2")
        tx.delete("x/2")
        tx.delete("never")
        assert tx.names("x/") == ("x/1",)
    assert a.store.read_all(Counts, "x/") == {"x/1": Counts(unhomed=1)}


def test_a_failed_transaction_changes_nothing(a: Bench) -> None:
    """An exception rolls back documents, tokens and log together, and the next transaction works."""
    a.account("valjean", 1)

    def fail() -> None:
        with a.store.transaction() as tx:
            tx.save("x", Counts())
            tx.advance()
            tx.prune(USERS, tx.token())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert a.store.read(Counts, "x") is None
    assert pending(a) == 1
    with a.store.transaction() as tx:
        assert tx.token() == 0


def test_one_transaction_at_a_time(a: Bench) -> None:
    """A second writer does not wait for ever: it is refused with STORE_LOCKED, and works afterwards."""
    other = a.open()
    with a.store.transaction(), pytest.raises(PoolpairError) as caught, other.transaction():
        pass
    assert caught.value.code is Code.STORE_LOCKED
    with other.transaction() as tx:
        tx.save("x", Counts())
    other.close()


def test_a_token_divides_the_log(a: Bench) -> None:
    """What was written before a token is up to it, what comes later is after it; pruning forgets only up to it."""
    a.account("valjean", 1)
    first = advance(a)
    a.account("javert", 1)
    a.account("cosette", 1)
    second = advance(a)
    assert (pending(a, 0), pending(a, first), pending(a, second)) == (3, 2, 0)
    with a.store.transaction() as tx:
        assert tx.token() == second
        assert tx.pending(USERS, first) == 2
        assert tx.prune(USERS, first) == 1
        assert tx.pending(USERS, 0) == 2


def test_a_group_changed_twice_is_one_entry_after_the_newest_token(a: Bench) -> None:
    """The log grows with the groups that changed, not with the writes."""
    a.setting("valjean", 1, 2)
    token = advance(a)
    a.setting("valjean", 3, 4, 5)
    a.setting("valjean", 6)
    assert (pending(a, 0), pending(a, token)) == (1, 1)


def test_insert_update_and_delete_are_captured(a: Bench) -> None:
    """Each kind of write makes the group pending again."""
    for value in (1, 2):
        token = advance(a)
        a.account("valjean", value)
        assert pending(a, token) == 1
    token = advance(a)
    a.delete("account", ("a.example", "valjean"))
    assert pending(a, token) == 1
    token = advance(a)
    a.delete("account", ("a.example", "nobody"))
    assert pending(a, token) == 0


def test_a_key_change_is_captured_on_both_keys(a: Bench) -> None:
    """The old key is a tombstone, the new one a group."""
    a.account("madeleine", 1)
    a.setting("madeleine", 1)
    token = advance(a)
    a.rekey("account", ("a.example", "madeleine"), ("a.example", "valjean"))
    a.rekey("setting", ("a.example", "madeleine", "roster"), ("a.example", "valjean", "roster"))
    assert pending(a, token) == 4


def test_a_row_that_leaves_or_enters_the_tracked_part_is_captured(a: Bench) -> None:
    """Site-local rows are not logged; a key change across the condition logs the tracked side."""
    a.setting("valjean", 1, store="local")
    assert pending(a) == 0
    a.rekey("setting", ("a.example", "valjean", "local"), ("a.example", "valjean", "roster"))
    assert pending(a) == 1
    token = advance(a)
    a.rekey("setting", ("a.example", "valjean", "roster"), ("a.example", "valjean", "local"))
    assert pending(a, token) == 1


def test_what_the_application_rolled_back_was_never_captured(a: Bench) -> None:
    """Rows and log entries of the application's transaction stand or fall together."""

    def write_both() -> None:
        with a.application() as application:
            application.write("account", ("a.example", "cosette"), [("a.example", "cosette", 1)])
            application.write("account", ("a.example", "javert"), [("a.example", "javert", POISON)])

    a.refuse_poison(refused=True)
    with pytest.raises(RowRefused):
        write_both()
    assert a.rows("account") == []
    assert pending(a) == 0


def test_foreign_entries_are_dropped_and_counted(a: Bench) -> None:
    """Writes for another pool's home are counted, those for nobody's home are not; neither is pending any more."""
    a.account("valjean", 1)
    a.account("thenardier", 1, host="b.example")
    a.account("gavroche", 1, host="nowhere.example")
    a.write("notice", ("motd",), ("motd", "hello"))
    assert pending(a) == 4
    assert settle_log(a, ("a",)) == 1
    assert pending(a) == 2
    assert settle_log(a, ("a",)) == 0


def test_groups_without_a_home_are_counted(a: Bench) -> None:
    """Groups, not rows; site-local ones do not count."""
    a.setting("gavroche", 1, 2, 3, host="nowhere.example")
    a.setting("gavroche", 1, host="nowhere.example", store="local")
    a.account("gavroche", 1, host="nowhere.example")
    a.account("valjean", 1, host="conference.a.example")
    with a.store.snapshot() as view:
        assert view.unhomed(USERS) == 2
        assert view.unhomed(Channel.CONFERENCES) == 0


def test_postponed_conferences_are_logged_after_the_newest_token(a: Bench) -> None:
    """What waits for its file is pending again, the rest is not."""
    for slot in ("one", "two"):
        a.write("upload", ("a.example", slot), ("a.example", slot, 1))
    token = advance(a)
    with a.store.transaction() as tx:
        tx.postpone(Channel.CONFERENCES, frozenset({"two", "three"}), ("a",), whole=False)
        assert tx.pending(Channel.CONFERENCES, token) == 1
        assert tx.pending(Channel.CONFERENCES, 0) == 2


def test_what_a_comparison_left_out_is_logged_whole(a: Bench) -> None:
    """Rows that were acknowledged long ago are pending again, each once; those of other homes and conferences are not."""
    for host, slot in (("a.example", "one"), ("a.example", "two"), ("b.example", "one"), ("a.example", "gone")):
        a.write("upload", (host, slot), (host, slot, 1))
    token = advance(a)
    with a.store.transaction() as tx:
        tx.prune(Channel.CONFERENCES, token)
    a.write("upload", ("a.example", "one"), ("a.example", "one", 2))
    a.delete("upload", ("a.example", "gone"))
    token = advance(a)
    with a.store.transaction() as tx:
        tx.postpone(Channel.CONFERENCES, frozenset({"one", "gone"}), ("a",), whole=True)
        assert tx.pending(Channel.CONFERENCES, token) == 2
        assert tx.pending(Channel.CONFERENCES, 0) == 2


def test_channels_do_not_share_a_log(a: Bench) -> None:
    """Entries of one channel are neither counted nor pruned with another's."""
    a.account("valjean", 1)
    a.write("upload", ("a.example", "one"), ("a.example", "one", 1))
    token = advance(a)
    with a.store.transaction() as tx:
        assert tx.prune(USERS, token) == 1
        assert tx.pending(Channel.CONFERENCES, 0) == 1


def test_a_snapshot_sees_nothing_later(a: Bench) -> None:
    """Writes, tokens and prunes after a view was fixed are invisible in it."""
    a.account("valjean", 1)
    before = digests(a)
    token = advance(a)
    with a.store.snapshot() as view:
        a.account("valjean", 2)
        a.account("javert", 1)
        advance(a)
        with a.store.transaction() as tx:
            tx.prune(USERS, token)
        assert view.token() == token
        assert view.digests(USERS, ("a",), None, frozenset()) == before
    assert digests(a) != before


def test_hint_changes_with_every_foreign_write(a: Bench) -> None:
    """A write of the application changes the hint; a look does not."""
    hints = [a.store.hint()]
    a.account("valjean", 1)
    hints.append(a.store.hint())
    a.store.pending(USERS, 0)
    hints.append(a.store.hint())
    assert hints[0] != hints[1] == hints[2]


def test_the_lease_goes_to_one_living_service(a: Bench) -> None:
    """A second service is refused by name while the first lives; a lease given back is free, and its number is never used again."""
    first = a.store.take_lease("first", "fe1")
    assert a.store.lease_holder() == first
    other = a.open()
    assert other.lease_holder() == first
    with pytest.raises(PoolpairError, match="first") as caught:
        other.take_lease("second", "fe2")
    assert caught.value.code is Code.LEASE
    a.store.release_lease()
    assert other.lease_holder() is None
    assert other.take_lease("second", "fe2").number > first.number
    other.close()


def test_the_lease_of_a_dead_service_is_free_at_once(a: Bench) -> None:
    """A process that ends without giving its lease back holds up nobody."""
    first = a.store.take_lease("first", "fe1")
    a.store.close()
    a.store = a.open()
    assert a.store.lease_holder() is None
    assert a.store.take_lease("second", "fe2").number > first.number


def test_a_service_that_lost_its_lease_commits_nothing(a: Bench) -> None:
    """Whoever holds an old number is refused in each transaction, and can still read."""
    a.store.take_lease("first", "fe1")
    with a.store.transaction() as tx:
        tx.save("x", Counts(unhomed=1))
    other = a.open(lock="elsewhere")
    other.take_lease("second", "fe2")
    with pytest.raises(PoolpairError, match="second") as caught, a.store.transaction() as tx:
        tx.save("x", Counts(unhomed=2))
    assert caught.value.code is Code.LEASE
    assert a.store.read(Counts, "x") == Counts(unhomed=1)
    with other.transaction() as tx:
        tx.save("x", Counts(unhomed=3))
    other.close()


def test_a_copy_is_a_clone_until_it_is_adopted(a: Bench) -> None:
    """A copy has the same id at another place; adopting gives it an id of its own, and the first stays what it was."""
    a.account("valjean", 1)
    here = a.store.identity()
    assert not here.is_clone
    copy = a.copy("copy")
    assert copy.store.identity().store_id == here.store_id
    assert copy.store.identity().is_clone
    copy.store.adopt("f" * 32)
    assert copy.store.identity().store_id == "f" * 32
    assert not copy.store.identity().is_clone
    assert a.store.identity() == here
    assert digests(copy) == digests(a)
    copy.store.close()


def test_a_restore_in_place_brings_everything_back(a: Bench) -> None:
    """Rows, documents and tokens are those of the backup; the store is no clone."""
    a.account("valjean", 1)
    token = advance(a)
    backup = a.copy("backup")
    a.account("valjean", 2)
    advance(a)
    with a.store.transaction() as tx:
        tx.save("x", Counts())
    a.restore(backup)
    assert a.rows("account") == [("a.example", "valjean", 1)]
    assert a.store.read(Counts, "x") is None
    assert not a.store.identity().is_clone
    with a.store.transaction() as tx:
        assert tx.token() == token
    backup.store.close()


def test_digests_tell_storage_classes_apart(make_bench: MakeBench) -> None:
    """1, 1.0, '1' and a blob of it are four values; a text that looks empty is not NULL."""
    seen = []
    for number, value in enumerate((1, 1.0, "1", b"1", None, "", b"")):
        bench = make_bench(f"bench{number}")
        bench.account("valjean", value)
        seen.append(digests(bench)[0])
    assert len(set(seen)) == len(seen)


def test_digests_do_not_see_what_is_not_carried(a: Bench) -> None:
    """Other homes and site-local rows do not enter a home's digests."""
    a.account("valjean", 1)
    before = digests(a)
    a.account("thenardier", 1, host="b.example")
    a.setting("valjean", 1, store="local")
    assert digests(a) == before
    assert [(each.home, each.table) for each in digests(a, ("a", "b"))] == [
        (h, t) for h in "ab" for t in (1, 2, 3, LEDGER)
    ]


def test_shapes_say_what_travels(a: Bench) -> None:
    """Left-out columns are not in a shape; each channel has its own tables."""
    (upload,) = a.store.shapes(Channel.CONFERENCES)
    assert (upload.name, upload.key, upload.columns) == ("upload", ("host", "slot"), ("host", "slot", "value"))
    assert a.store.shapes(USERS)[0].columns == ("host", "user", "value")
    a.store.check_capture()

"""Replication: whatever is lost, repeated, late or damaged, a server has what was published at one moment, and at last the newest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from poolpair.errors import Code, PoolpairError
from poolpair.format.keys import KeyRing
from poolpair.format.layout import REPLICA_NAME, REPORT_NAME, replica_folders
from poolpair.format.small import open_small, seal_small
from poolpair.management.documents import Document
from poolpair.management.local import NAME, keep_words, read_local, words_known, write_local
from poolpair.management.members import STORE, key_document, new_membership, ring_of
from poolpair.management.replica import Replica, Report, Update, after, is_up_to_date, mark_of, public, update_for
from poolpair.management.taking import ReplicaTaker
from poolpair.management.words import PoolWord
from poolpair.share.memory import MemoryShare
from poolpair.testing.clock import VirtualClock

RING = KeyRing.of("1" * 32, bytes(range(32)))


def document(name: str, version: int, body: str = "x") -> Document:
    """One document."""
    return Document(name=name, version=version, body=f"{body} {version}")


MOVES = some.lists(
    some.tuples(
        some.sampled_from(("publish", "deliver", "repeat", "lose", "restore", "takeover")), some.integers(0, 99)
    ),
    max_size=40,
)


@given(MOVES)
def test_a_server_has_what_was_published_at_one_moment(moves: list[tuple[str, int]]) -> None:
    """Never a mixture, never older than what it had; one update and one answer after the last it has the newest."""
    documents: dict[str, Document] = {}
    current, states = Replica(term=0, serial=1), {(0, 1): Replica(term=0, serial=1)}
    sent: list[Update] = [update_for(current, None, "0")]
    has: Replica | None = None
    kept: Replica | None = None
    for what, number in moves:
        if what == "publish":
            name = f"d{number % 4}"
            documents[name] = document(name, documents[name].version + 1 if name in documents else 1)
            current = Replica(
                term=current.term, serial=current.serial + 1, documents=tuple(documents[n] for n in sorted(documents))
            )
            states[current.marks] = current
        elif what == "takeover":  # the new holder of the store lacks the last publication
            name = f"d{number % 4}"
            documents.pop(name, None)
            current = Replica(term=current.term + 1, serial=1, documents=tuple(documents[n] for n in sorted(documents)))
            states[current.marks] = current
        elif what == "restore":
            has, kept = kept, has
        else:
            if what != "repeat":
                report = (
                    Report(pool="c", front_end="f", term=has.term, serial=has.serial, have=has.have()) if has else None
                )
                sent.append(update_for(current, report if number % 3 else None, str(number)))
            if what != "lose":
                got = after(has, sent[number % len(sent)] if what == "repeat" else sent[-1])
                if got is not None:
                    assert has is None or got.marks >= has.marks
                    has = got
        assert has is None or has == states[has.marks]
    report = Report(pool="c", front_end="f", term=has.term, serial=has.serial, have=has.have()) if has else None
    has = after(has, update_for(current, report, "last"))
    assert has == current
    assert is_up_to_date(current, Report(pool="c", front_end="f", term=has.term, serial=has.serial, have=has.have()))


def test_what_cannot_be_made_whole_is_not_taken() -> None:
    """A server that was set back lacks what the store thinks it has: a mixture of both would be no moment's state."""
    before = Replica(term=0, serial=1, documents=(document("d", 1),))
    later = Replica(term=0, serial=3, documents=(document("d", 2), document("e", 1)))
    said = Report(pool="c", front_end="f", term=0, serial=2, have={"d": mark_of(document("d", 2))})
    update = update_for(later, said, "n")
    assert [each.name for each in update.documents] == ["e"]
    assert after(before, update) is None
    assert after(before, update_for(later, None, "n")) == later


@pytest.fixture
def server(tmp_path: Path) -> tuple[MemoryShare, Path, ReplicaTaker, list[Replica]]:
    """A server with its share, its folder, what takes its replica, and what that told."""
    share, told = MemoryShare(lambda: 0.0), list[Replica]()
    return (
        share,
        tmp_path,
        ReplicaTaker(
            Report(pool="c", front_end="fe"), share, tmp_path, lambda: RING, told.append, lambda: None, VirtualClock()
        ),
        told,
    )


def send(share: MemoryShare, update: Update, ring: KeyRing = RING, target: str = "c/fe") -> None:
    """As the store does."""
    from poolpair.format import documents

    data = seal_small(documents.encode(update).encode(), ring, kind="replica", origin=STORE, target=target)
    share.write_small(f"{replica_folders('fe')[0]}/{REPLICA_NAME}", data)


def answer(share: MemoryShare) -> Report:
    """What the server says."""
    from poolpair.format import documents

    data = share.read_small(f"{replica_folders('fe')[1]}/{REPORT_NAME}", 1 << 20)
    assert data is not None
    return documents.decode(Report, open_small(data, RING, kind="report", origin="c/fe", target=STORE))


FULL = Replica(term=1, serial=5, documents=(document("backup", 3), document("topology", 2)))


def test_a_server_takes_what_is_sent_and_says_so(server: tuple[MemoryShare, Path, ReplicaTaker, list[Replica]]) -> None:
    """At first it says that it has nothing; then what it has, once."""
    share, folder, taker, told = server
    assert taker.look()
    assert answer(share).have == {}
    send(share, update_for(FULL, answer(share), "n1"))
    assert taker.look()
    assert (read_local(folder), told) == (FULL, [FULL])
    assert is_up_to_date(FULL, answer(share))
    assert answer(share).echo == "n1"
    assert not taker.look()


Damage = Callable[[Path], object]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"topology", b"topologx")),
    ],
)
def test_a_replica_that_was_damaged_heals(
    damage: Damage, server: tuple[MemoryShare, Path, ReplicaTaker, list[Replica]]
) -> None:
    """The server says that it has nothing, and is sent everything; until then it does not go by what is damaged."""
    share, folder, taker, _ = server
    taker.look()
    send(share, update_for(FULL, answer(share), "n1"))
    taker.look()
    send(share, update_for(FULL, answer(share), "n2"))  # it lacks nothing, so nothing is in it
    taker.look()
    damage(folder / NAME)
    assert read_local(folder) is None
    taker.look()
    assert answer(share).have == {}
    send(share, update_for(FULL, answer(share), "n3"))
    taker.look()
    assert read_local(folder) == FULL


def test_one_that_a_server_could_not_go_on_by_is_not_taken(tmp_path: Path) -> None:
    """It stays with the one before, says why, and takes the one that is corrected: no mistake at the store ends the services elsewhere."""

    def check(replica: Replica) -> None:
        if any(each.body == "wrong" for each in replica.documents):
            raise PoolpairError(Code.PROFILE, "no such profile")

    share, told = MemoryShare(lambda: 0.0), list[Replica]()
    server = Report(pool="c", front_end="fe")
    taker = ReplicaTaker(server, share, tmp_path, lambda: RING, told.append, lambda: None, VirtualClock(), check=check)
    taker.look()
    send(share, update_for(FULL, answer(share), "n1"))
    taker.look()
    wrong = replace(FULL, serial=6, documents=(*FULL.documents, Document(name="pair/c+d", version=1, body="wrong")))
    send(share, update_for(wrong, answer(share), "n2"))
    assert taker.look()
    assert (read_local(tmp_path), told, answer(share).fault) == (FULL, [FULL], "P102: no such profile")
    assert (answer(share).echo, answer(share).have) == ("n2", FULL.have())
    backup, topology = FULL.documents
    corrected = Document(name="pair/c+d", version=2, body="right")
    right = replace(wrong, serial=7, documents=(backup, corrected, topology))
    send(share, update_for(right, answer(share), "n3"))
    taker.look()
    assert (read_local(tmp_path), answer(share).fault) == (right, "")


def test_an_older_one_is_not_taken(server: tuple[MemoryShare, Path, ReplicaTaker, list[Replica]]) -> None:
    """Of an old holder that returns, or brought again by whoever owns the share: the server keeps what it has, and says why."""
    share, folder, taker, told = server
    taker.look()
    write_local(folder, FULL)
    for marks in ((0, 9), (1, 4)):
        old = Replica(term=marks[0], serial=marks[1], documents=(document("backup", 1),))
        send(share, update_for(old, None, "old"))
        taker.look()
        assert (read_local(folder), told) == (FULL, [])
        assert "older" in answer(share).fault
        assert answer(share).marks == FULL.marks


@pytest.mark.parametrize(
    ("ring", "target"), [(KeyRing.of("1" * 32, bytes(32)), "c/fe"), (RING, "c/other"), (RING, "d/fe")]
)
def test_what_was_made_for_somebody_else_is_not_taken(
    ring: KeyRing, target: str, server: tuple[MemoryShare, Path, ReplicaTaker, list[Replica]]
) -> None:
    """Another secret, another server, another pool: refused, and said."""
    share, folder, taker, told = server
    taker.look()
    send(share, update_for(FULL, None, "n"), ring, target)
    taker.look()
    assert (read_local(folder), told) == (None, [])
    assert answer(share).fault.startswith("P502")


@given(some.binary(max_size=200), some.integers(0, 400), some.integers(0, 255))
def test_whatever_bytes_lie_there_are_refused(garbage: bytes, at: int, byte: int) -> None:
    """No damage is taken for a replica, and none ends in anything but an error with a code."""
    sealed = bytearray(seal_small(b"text", RING, kind="replica", origin=STORE, target="c/fe"))
    sealed[at % len(sealed)] ^= byte or 1
    for data in (garbage, bytes(sealed)):
        with pytest.raises(PoolpairError):
            open_small(data, RING, kind="replica", origin=STORE, target="c/fe")


def test_the_secret_of_a_member_is_for_the_holding_pair_alone() -> None:
    """It opens with the pair's secret, for the pool that it was made for; other servers are not even sent it."""
    made, body = new_membership("c", RING)
    kept = Document(name=key_document("c"), version=1, body=body)
    assert ring_of("c", ("a", "b"), RING, [kept]) == made.ring()
    assert ring_of("b", ("a", "b"), RING, [kept]) is RING
    assert made.secret not in body
    assert public([kept, document("backup", 1)]) == (document("backup", 1),)
    others = KeyRing.of("2" * 32, bytes(32))
    for pool, ring, there in (("d", RING, [kept]), ("c", others, [kept]), ("d", RING, [replace(kept, name="key/d")])):
        with pytest.raises(PoolpairError):
            ring_of(pool, ("a", "b"), ring, there)


def test_a_store_that_has_just_begun_takes_no_word_away(tmp_path: Path) -> None:
    """What a server knew of a pool grows older until that is heard again; after an hour it tells nothing."""
    clock = VirtualClock()
    keep_words(
        tmp_path,
        (PoolWord(pool="a", partner="b", exit_status=0), PoolWord(pool="c", partner="d", exit_status=1)),
        clock,
    )
    clock.advance(20)
    keep_words(tmp_path, (PoolWord(pool="a", partner="b", exit_status=2, age_s=1.0),), clock)
    assert {(word.pool, word.exit_status, word.age_s) for word in words_known(tmp_path, clock)} == {
        ("a", 2, 1.0),
        ("c", 1, 20.0),
    }
    clock.advance(3600)
    keep_words(tmp_path, (), clock)
    assert words_known(tmp_path, clock) == ()

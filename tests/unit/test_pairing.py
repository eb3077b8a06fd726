"""Invitation and answer: both sides come to one secret, and nobody else does."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolpair.errors import Code, PoolpairError
from poolpair.keyfile import new_key_file, read_key_file
from poolpair.pairing import (
    Invitation,
    accept,
    check_place,
    encode_answer,
    fingerprint,
    invite,
    join,
    read_invitation,
    refuse_second,
    write_invitation,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Where the key file of the inviting side will be."""
    return tmp_path / "a.key"


def carried(key: Path, path: Path) -> Invitation:
    """A invited B, and the file was carried."""
    made = invite(key, "a", "b", HOUR, NOW)
    write_invitation(made, path)
    return made


def summed(invitation: Invitation) -> Invitation:
    """With the checksum that belongs to it."""
    return replace(invitation, checksum=invitation.summed())


def test_both_sides_come_to_one_secret(key: Path, tmp_path: Path) -> None:
    """The joining side has it at once, the inviting one with the answer, under the same words; then nothing is left over."""
    made = carried(key, tmp_path / "carried")
    invitation, answer, secret = join(tmp_path / "carried", "b", "a")
    assert invitation == made
    assert accept(key, encode_answer(answer), NOW) == fingerprint(secret)
    ring = read_key_file(key)
    assert (ring.pair_id, ring.sealing.secret) == (made.pair_id, secret)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("a.key")] == ["a.key"]
    assert made.word not in key.read_text()
    with pytest.raises(PoolpairError, match="no invitation waits"):
        accept(key, encode_answer(answer), NOW)


def test_one_side_invites_and_the_other_joins(key: Path, tmp_path: Path) -> None:
    """Whoever has invited the partner does not join the partner's invitation, until its own is over."""
    refuse_second(key, "b", NOW)
    carried(key, tmp_path / "carried")
    with pytest.raises(PoolpairError) as caught:
        refuse_second(key, "b", NOW)
    assert caught.value.code is Code.USAGE
    assert "a.key.invited" in caught.value.hint
    refuse_second(key, "b", NOW + HOUR)


def test_an_invitation_that_still_counts_is_the_same(key: Path, tmp_path: Path) -> None:
    """The command given again waits for the same answer; later it makes another, and an answer to the first is none."""
    made = carried(key, tmp_path / "carried")
    assert invite(key, "a", "b", HOUR, NOW + HOUR / 2) == made
    write_invitation(made, tmp_path / "carried")
    _, answer, _ = join(tmp_path / "carried", "b", "a")
    second = invite(key, "a", "b", HOUR, NOW + HOUR)
    assert second.pair_id != made.pair_id
    assert accept(key, encode_answer(answer), NOW + HOUR) is None
    with pytest.raises(PoolpairError, match="exists and is kept"):
        write_invitation(second, tmp_path / "carried")


def test_an_old_invitation_makes_room_for_a_new_one(key: Path, tmp_path: Path) -> None:
    """The same command again, after the hour; whatever else lies there is kept, and nothing is begun."""
    path = tmp_path / "carried"
    made = carried(key, path)
    check_place(key, path, "a", NOW)
    assert read_invitation(path) == made
    with pytest.raises(PoolpairError, match="is another invitation, of pool a"):
        check_place(tmp_path / "other.key", path, "a", NOW)
    with pytest.raises(PoolpairError, match="is another invitation, of pool a"):
        check_place(tmp_path / "other.key", path, "b", NOW + HOUR)
    check_place(key, path, "a", NOW + HOUR)
    assert not path.exists()
    path.write_text("something else")
    path.chmod(0o600)
    with pytest.raises(PoolpairError, match="is no invitation"):
        check_place(key, path, "a", NOW)


def test_an_answer_that_comes_too_late_is_none(key: Path, tmp_path: Path) -> None:
    """By the clock of the side that invited, and then for good."""
    carried(key, tmp_path / "carried")
    _, answer, _ = join(tmp_path / "carried", "b", "a")
    for words in ("good until", "no invitation waits"):
        with pytest.raises(PoolpairError, match=words):
            accept(key, encode_answer(answer), NOW + HOUR)
    assert not key.exists()


def test_whoever_lacks_the_word_or_changes_anything_is_not_let_in(key: Path, tmp_path: Path) -> None:
    """He may know everything else that the invitation says."""
    made = carried(key, tmp_path / "carried")
    guessed = summed(replace(made, word="0" * 64))
    write_invitation(guessed, tmp_path / "guessed")
    _, forged, _ = join(tmp_path / "guessed", "b", "a")
    assert accept(key, encode_answer(forged), NOW) is None
    _, answer, _ = join(tmp_path / "carried", "b", "a")
    _, another, _ = join(tmp_path / "carried", "b", "a")
    changed = (
        replace(answer, public=another.public),
        replace(answer, proof=another.proof),
        replace(answer, pair_id="f" * 32),
        replace(answer, public="00" * 32),
        replace(answer, public="xyz"),
        replace(answer, proof="é"),
    )
    for each in changed:
        assert accept(key, encode_answer(each), NOW) is None
    assert accept(key, encode_answer(answer), NOW) is not None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_whatever_lies_in_the_share_is_no_answer(scratch: Path, data: bytes) -> None:
    """Nor does it make an error."""
    assert accept(scratch, data, NOW) is None


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A side that has invited."""
    key = tmp_path_factory.mktemp("pairing") / "a.key"
    invite(key, "a", "b", HOUR, NOW)
    return key


def test_an_invitation_is_for_one_pool(key: Path, tmp_path: Path) -> None:
    """Whoever it was not written for says so, and a pool that has a key file invites nobody."""
    carried(key, tmp_path / "carried")
    with pytest.raises(PoolpairError, match="invites pool b to a pair with a; this is c") as caught:
        join(tmp_path / "carried", "c", "a")
    assert caught.value.code is Code.USAGE
    other = tmp_path / "other.key"
    new_key_file(other)
    with pytest.raises(PoolpairError, match="exists and is kept"):
        invite(other, "a", "b", HOUR, NOW)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1}', "\x00"])
def test_what_is_no_invitation_says_so(tmp_path: Path, text: str) -> None:
    """A file of another kind, or half of one."""
    path = tmp_path / "carried"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(PoolpairError, match="is no invitation") as caught:
        join(path, "b", "a")
    assert caught.value.code is Code.KEY_FILE


def test_an_invitation_with_a_broken_half_says_so(key: Path, tmp_path: Path) -> None:
    """Every field of the right kind, one of them nonsense."""
    made = carried(key, tmp_path / "carried")
    broken = (replace(made, public="zz"), replace(made, word="zz"), replace(made, public="00" * 32))
    for number, each in enumerate((*map(summed, broken), *broken, replace(made, public=made.public[::-1]))):
        write_invitation(each, tmp_path / str(number))
        with pytest.raises(PoolpairError, match="is no invitation"):
            join(tmp_path / str(number), "b", "a")


def test_secrets_are_private_and_not_shown(key: Path, tmp_path: Path) -> None:
    """Mode 0600 for whatever holds one, and none in what a traceback would print; a file that is open to others is refused."""
    made = carried(key, tmp_path / "carried")
    assert made.word not in repr(made)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (tmp_path / "carried").chmod(0o644)
    with pytest.raises(PoolpairError, match="open to others"):
        join(tmp_path / "carried", "b", "a")
    private = json.loads((tmp_path / "a.key.invited").read_text())["private"]
    assert private not in (tmp_path / "carried").read_text()

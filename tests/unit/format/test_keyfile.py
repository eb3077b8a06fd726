"""The key file: private, well formed, and changed without a moment in which a side cannot open."""

import json
import os
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.keyfile import activate_key, new_key_file, parse_key_text, read_key_file, retire_secrets, rotate_key_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pair.key"


def refusal(path: Path) -> str:
    with pytest.raises(PoolpairError) as caught:
        read_key_file(path)
    assert caught.value.code is Code.KEY_FILE
    return caught.value.detail


def test_a_new_file_is_private_and_read_back(path: Path) -> None:
    """Whatever the umask, the file has mode 0600 and one secret."""
    before = os.umask(0o777)
    try:
        ring = new_key_file(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert read_key_file(path) == ring == parse_key_text(path.read_text())
    assert len(ring.secrets) == 1


def test_a_file_is_never_replaced(path: Path) -> None:
    """A second `new` at the same place keeps the first."""
    ring = new_key_file(path)
    with pytest.raises(PoolpairError, match="exists") as caught:
        new_key_file(path)
    assert caught.value.code is Code.KEY_FILE
    assert read_key_file(path) == ring


def test_a_place_that_cannot_be_written_is_named(path: Path) -> None:
    """A missing folder is an error of the key file."""
    with pytest.raises(PoolpairError, match=r"nowhere.*No such file"):
        new_key_file(path.parent / "nowhere" / "pair.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_an_open_file_is_refused(path: Path, mode: int) -> None:
    """Any bit for group or others is one too many."""
    new_key_file(path)
    path.chmod(mode)
    assert "chmod 600" in refusal(path)


def test_a_stranger_s_file_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who owns the file can change it, so only this user and root may."""
    new_key_file(path)
    own = os.geteuid()
    monkeypatch.setattr("poolpair.keyfile.os.geteuid", lambda: own + 1)
    if own == 0:
        read_key_file(path)
        os.chown(path, 4711, -1)
    assert "belongs to user" in refusal(path)


def test_a_link_is_followed(path: Path) -> None:
    """The file may lie elsewhere; a change goes to the file and keeps the link."""
    new_key_file(path)
    link = path.parent / "link.key"
    link.symlink_to(path)
    ring = rotate_key_file(link)
    assert link.is_symlink()
    assert read_key_file(path) == ring


def test_what_is_no_file_is_refused(path: Path) -> None:
    """Nothing, a folder and a pipe are refused at once."""
    assert "No such file" in refusal(path)
    assert "not a regular file" in refusal(path.parent)
    os.mkfifo(path, 0o600)
    assert "not a regular file" in refusal(path)


GOOD = {"format": 1, "pair_id": "0d" * 16, "secrets": ["00" * 32]}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "\0", json.dumps(GOOD) + " " * 65536, json.dumps(GOOD).replace("0d", "0D")),
        *(json.dumps(GOOD | {"format": 2}), json.dumps(GOOD | {"secrets": []}), json.dumps(GOOD | {"secrets": ["00"]})),
        *(json.dumps(GOOD | {"secrets": ["00" * 32] * 2}), json.dumps(GOOD | {"pending": "00000000"})),
        *(json.dumps(GOOD | {"secrets": [f"{i:064x}" for i in range(9)]}), json.dumps(GOOD | {"pair_id": ""})),
    ],
)
def test_a_malformed_file_is_refused(path: Path, text: str) -> None:
    """What is not a key file is refused, and no secret stands in the message."""
    path.write_text(text)
    path.chmod(0o600)
    assert "00" * 8 not in refusal(path)


def test_a_secret_is_changed_in_three_steps(path: Path) -> None:
    """Added at one side it opens only; after the copy each side may activate it when it likes, and all opens all."""
    first = new_key_file(path)
    added = rotate_key_file(path)
    assert added.sealing == first.sealing
    assert len(added.secrets) == 2
    other = path.parent / "other.key"
    other.write_bytes(path.read_bytes())
    other.chmod(0o600)
    active = activate_key(path)
    assert active.sealing == added.secrets[1]
    assert read_key_file(other).opening(active.sealing.key_id)
    assert active.opening(read_key_file(other).sealing.key_id)
    assert activate_key(other) == active == read_key_file(path)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert sorted(each.name for each in path.parent.iterdir()) == ["other.key", "pair.key"]


def test_steps_out_of_order_change_nothing(path: Path) -> None:
    """Activating twice does not bring the old secret back, and a second new one is not added before the first seals."""
    new_key_file(path)
    with pytest.raises(PoolpairError, match="no new secret"):
        activate_key(path)
    rotate_key_file(path)
    with pytest.raises(PoolpairError, match="waits") as caught:
        rotate_key_file(path)
    assert caught.value.code is Code.USAGE
    ring = activate_key(path)
    with pytest.raises(PoolpairError, match="no new secret"):
        activate_key(path)
    assert read_key_file(path) == ring


def test_an_old_secret_is_retired(path: Path) -> None:
    """Whoever knows it opens nothing any more; not while a new one waits, for then both sides do not have it yet."""
    old = new_key_file(path).sealing
    rotate_key_file(path)
    with pytest.raises(PoolpairError, match="holds a new secret that waits"):
        retire_secrets(path)
    new = activate_key(path).sealing
    ring = retire_secrets(path)
    assert ring.secrets == read_key_file(path).secrets == (new,)
    assert ring.opening(old.key_id) is None


def test_eight_secrets_are_kept(path: Path) -> None:
    """The ninth pushes the oldest out, never the one that seals or waits."""
    oldest = new_key_file(path).sealing
    for _ in range(8):
        before = read_key_file(path).sealing
        added = rotate_key_file(path)
        assert added.sealing == before
        assert activate_key(path).sealing == added.secrets[-1]
    assert len(read_key_file(path).secrets) == 8
    assert read_key_file(path).opening(oldest.key_id) is None


def test_a_failed_change_keeps_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk fails before the rename, the old file stands and nothing is left behind."""
    ring = new_key_file(path)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("poolpair.keyfile.os.fsync", full)
    with pytest.raises(PoolpairError, match="No space left"):
        rotate_key_file(path)
    monkeypatch.undo()
    assert read_key_file(path) == ring
    assert list(path.parent.iterdir()) == [path]

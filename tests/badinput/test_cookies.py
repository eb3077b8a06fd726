"""Bad cookies: none is believed, none is read twice, and the next heartbeat puts everything right."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from poolpair.errors import Code
from poolpair.format.container import unwrap_single, wrap_single
from poolpair.format.cookie import seal_cookie
from poolpair.keyfile import new_key_file
from poolpair.model import Channel
from poolpair.state import Outbound
from tests.badinput.ground import USERS_COOKIE, Ground, flipped


def word(ground: Ground) -> Path:
    """A fresh cookie of B lies in A's share, not yet heard."""
    ground.beat()
    ground.clock.advance(1)
    ground.turn("b", force=True)
    return ground.share("a") / USERS_COOKIE


def refused(ground: Ground, code: Code, words: str) -> None:
    """A's next pass quarantines the cookie and says why; what A knew of the partner stays."""
    before = ground.channel("a").export.watermarks
    ground.turn("a")
    (file,) = ground.quarantined("a")
    assert file.reason.startswith(f"{code}: ")
    assert words in file.reason
    assert ground.fault("a") == file.reason.replace(": ", " ", 1)
    assert not (ground.share("a") / USERS_COOKIE).exists()
    assert ground.channel("a").export.watermarks == before


@pytest.mark.parametrize(("keep", "words"), [(0.0, "not a ZIP"), (0.5, "not a ZIP"), (0.99, "not a ZIP")])
def test_a_truncated_cookie_is_refused(ground: Ground, keep: float, words: str) -> None:
    """A cookie cut anywhere, down to zero bytes, is P501; the next heartbeat is believed."""
    path = word(ground)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    refused(ground, Code.DAMAGED, words)
    ground.still_works("b-goes-on")
    ground.whole()
    assert not ground.fault("a")


def test_a_cookie_altered_anywhere_is_refused(ground: Ground) -> None:
    """One altered byte at any place of a cookie is found; A's watermarks never move by it, and of those refused alike one is kept."""
    path = word(ground)
    data, before = path.read_bytes(), ground.channel("a").export.watermarks
    reasons = []
    for at in range(0, len(data), 5):
        path.write_bytes(flipped(data, at))
        ground.turn("a")
        assert not path.exists(), at
        reasons.append(ground.fault("a"))
    assert all(reasons)
    changes = 1 + sum(later != earlier for earlier, later in pairwise(reasons))
    assert len(ground.quarantined("a")) == ground.channel("a").imports.quarantined == changes
    assert ground.channel("a").export.watermarks == before
    ground.still_works("b-goes-on")
    ground.whole()


def test_an_altered_cookie_inside_a_valid_zip_is_refused(ground: Ground) -> None:
    """Sealed bytes altered with the ZIP's checksums put right are refused by the seal itself."""
    path = word(ground)
    content = unwrap_single("cookie", path.read_bytes())
    path.write_bytes(wrap_single("cookie", flipped(content, len(content) - 20)))
    refused(ground, Code.DAMAGED, "altered")
    ground.whole()


def test_an_old_cookie_is_counted_and_not_believed(ground: Ground) -> None:
    """A cookie put back from before the last acknowledgement lowers nothing: it is counted as a replay, no seed follows."""
    path = word(ground)
    old = path.read_bytes()
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'new', 1)")
    ground.whole()
    before = ground.channel("a").export
    path.write_bytes(old)
    ground.turn("a")
    after = ground.channel("a").export
    assert after.watermarks == before.watermarks
    assert after.replays == before.replays + 1
    assert after.rewinds == before.rewinds
    assert not ground.fault("a")
    ground.still_works("b-goes-on")
    ground.whole()
    assert ground.channel("a").export.rewinds == before.rewinds


def test_an_old_cookie_is_not_believed_after_a_restart_either(ground: Ground) -> None:
    """A restarted service knows no nonce of its own, so an old cookie cannot frighten it into anything."""
    path = word(ground)
    old = path.read_bytes()
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'new', 1)")
    ground.whole()
    ground.stop("a")
    path.write_bytes(old)
    ground.start("a")
    ground.turn("a")
    assert ground.channel("a").export.replays == 1
    ground.whole()
    assert ground.channel("a").export.rewinds == 0


def test_a_reflected_cookie_is_refused(ground: Ground) -> None:
    """A's own cookie copied into A's share is P502."""
    word(ground)
    ground.turn("a", force=True)
    shutil.copy(ground.share("b") / USERS_COOKIE, ground.share("a") / USERS_COOKIE)
    refused(ground, Code.FOREIGN_PACKAGE, "comes from this pool itself")
    ground.whole()


def test_a_cookie_of_another_channel_is_refused(ground: Ground) -> None:
    """The cookie of meeting files laid over that of the users is P502."""
    word(ground)
    shutil.copy(ground.share("a") / "ConfServices/Cookie/DataConfCookie/cookie.zip", ground.share("a") / USERS_COOKIE)
    refused(ground, Code.FOREIGN_PACKAGE, "belongs to the channel conferences")
    ground.whole()


def test_a_foreign_cookie_is_refused(ground: Ground, tmp_path: Path) -> None:
    """A cookie sealed with another pair's key is P502."""
    path = word(ground)
    ground.turn("a")
    (tmp_path / "other").mkdir()
    ring = new_key_file(tmp_path / "other" / "pair.key")
    out = ground.sites["a"].store.read(Outbound, "outbound/users")
    assert out is not None
    cookie = out.partner
    assert cookie is not None
    path.write_bytes(seal_cookie(cookie, ring, target="a"))
    refused(ground, Code.FOREIGN_PACKAGE, "a secret that the key file lacks")
    ground.whole()


def test_a_cookie_of_a_future_format_waits(ground: Ground) -> None:
    """A newer cookie is said as P403 and left where it is; the import goes on, and the next cookie replaces it."""
    path = word(ground)
    header, _, sealed = unwrap_single("cookie", path.read_bytes()).partition(b"\n")
    newer = json.dumps({**json.loads(header), "format": 2}).encode()
    path.write_bytes(wrap_single("cookie", newer + b"\n" + sealed))
    ground.do("b", "INSERT INTO item VALUES ('u@b', 'meanwhile', 1)")
    ground.clock.advance(1)
    ground.sites["b"].memory.sent.clear()
    future = path.read_bytes()
    ground.turn("b")
    path.write_bytes(future)
    ground.turn("a")
    assert ground.fault("a").startswith("P403 the cookie has format 2")
    assert not ground.quarantined("a")
    assert ground.ask("a", "SELECT count(*) FROM item WHERE name = 'meanwhile'") == [(1,)]
    ground.whole()


def test_a_lost_cookie_costs_nothing(ground: Ground) -> None:
    """A cookie deleted before it was heard is followed by the next heartbeat; nothing is sent twice."""
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'new', 1)")
    ground.turn("a")
    ground.turn("b")
    (ground.share("a") / USERS_COOKIE).unlink()
    ground.turn("a")
    assert ground.channel("a").export.in_flight == 1
    ground.whole()
    assert ground.channel("a").export.rewinds == 0
    assert ground.channel("b", Channel.USERS).imports.superseded == 0


def test_a_huge_cookie_is_refused_unread(ground: Ground) -> None:
    """A cookie larger than any can be is P504: taken away, and the next is heard."""
    path = word(ground)
    with path.open("r+b") as sink:
        sink.truncate(64 << 20)
    refused(ground, Code.LIMIT, "larger than")
    ground.whole()

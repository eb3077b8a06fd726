"""SEED on cookies: which are there when, what they keep track of, and that they compare no clocks."""

from __future__ import annotations

import zipfile
from dataclasses import fields, replace
from pathlib import Path

from poolpair.format.cookie import open_cookie
from poolpair.format.layout import COOKIE_NAME, cookie_dir
from poolpair.keyfile import read_key_file
from poolpair.model import Channel, Cookie
from poolpair.status import ExportView, PairStatus
from poolpair.testing.clock import VirtualClock
from tests.pair import Pair, make_pair
from tests.seed.conftest import stop_all
from tests.seed.experiment import EDIT, Seen

PRESENCE = "UserServices/Cookie/PresenceFocusCookie/cookie.zip"
DATA_CONF = "ConfServices/Cookie/DataConfCookie/cookie.zip"
HOUR_S = 3600.0


def cookie_at(pair: Pair, pool: str, channel: Channel = Channel.USERS) -> Path:
    """Where the partner's cookie lies in a pool's share."""
    return pair.share(pool) / cookie_dir(channel) / COOKIE_NAME


def read_cookie(pair: Pair, pool: str, channel: Channel = Channel.USERS) -> Cookie:
    """The partner's cookie in a pool's share, opened with the key of the pair."""
    ring = read_key_file(pair.folder / "pair.key")
    return open_cookie(cookie_at(pair, pool, channel).read_bytes(), ring, reader_pool=pool, channel=channel)


def test_the_presencefocuscookie_folder_also_has_a_cookie_zip_file(experiment: Seen) -> None:
    """Seed: "The PresenceFocusCookie folder also has a cookie.zip file as well", and so has every module's, at both pools."""
    assert experiment.at_rest.cookies == {"a": [DATA_CONF, PRESENCE], "b": [DATA_CONF, PRESENCE]}


def test_extracting_those_files_is_possible_with_any_zip_tool(pair: Pair) -> None:
    """Seed: "Exacting those files reveals a series of folders and XML files": any tool opens the zips, and finds sealed members."""
    with pair.sql("a") as connection:
        connection.execute(EDIT)
    pair.turn("a", force=True)
    (package,) = pair.package_files("b")
    listed = {}
    for path in (package, cookie_at(pair, "b")):
        with zipfile.ZipFile(path) as opened:
            assert opened.testzip() is None
            listed[path.suffix + path.stem[:6]] = sorted(opened.namelist())
    assert listed == {".zipbackup": ["header.json", "manifest", "rows/0000.0001"], ".zipcookie": ["cookie"]}


def test_the_cookie_keeps_track_of_when_data_was_last_sent_and_received(pair: Pair) -> None:
    """Seed: "The Cookie appears to keep track of when the last time data was sent and received": by position, in both shares."""
    pair.stop("b")
    before = read_cookie(pair, "a").applied
    assert before is not None
    with pair.sql("a") as connection:
        connection.execute(EDIT)
    pair.turn("a", force=True)
    (package,) = pair.package_files("b")
    pair.start("b")
    pair.turn("b")
    applied = read_cookie(pair, "a").applied
    assert applied is not None
    assert (applied.stream, applied.sequence) == (before.stream, before.sequence + 1)
    assert package.name == f"backup-{applied.stream}-{applied.sequence:08d}-{applied.package_id[:8]}.zip"
    pair.settle()
    assert pair.channel("a").export.watermarks.acknowledged == pair.channel("b").imports.applied == applied.sequence


def test_the_presencefocuscookie_folder_was_empty_when_i_did_the_invoke(experiment: Seen) -> None:
    """Seed: "Back on LyncFE03 however, the PresenceFocusCookie folder was empty when I did the invoke", and only that one."""
    assert experiment.stopped.cookies["a"] == [DATA_CONF]
    assert experiment.after_more_syncs.cookies["a"] == [DATA_CONF]
    assert experiment.stopped.cookies["b"] == [DATA_CONF, PRESENCE]


def test_once_the_services_started_again_the_cookie_file_is_back(experiment: Seen) -> None:
    """Seed: "Once the services started again, the cookie file is back"."""
    assert experiment.started_again.cookies == {"a": [DATA_CONF, PRESENCE], "b": [DATA_CONF, PRESENCE]}


def test_the_servers_write_a_file_back(pair: Pair) -> None:
    """Seed: "So it appears as though the servers write a file back": B's service wrote it, after it had applied the package."""
    pair.stop("b")
    with pair.sql("a") as connection:
        connection.execute(EDIT)
    pair.turn("a", force=True)
    assert not cookie_at(pair, "a").exists()
    pair.live(600, step_s=10)
    assert not cookie_at(pair, "a").exists()
    (package,) = pair.package_files("b")
    pair.stop("a")
    pair.start("b")
    pair.turn("b")
    assert not package.exists()
    back = read_cookie(pair, "a")
    assert back.origin == "b"
    assert back.applied is not None
    assert package.name.endswith(f"-{back.applied.package_id[:8]}.zip")


def without_sizes(view: ExportView) -> ExportView:
    """The same, whatever came out of compressing random ids."""
    stretches = {each.name: replace(getattr(view.between, each.name), package_bytes=0) for each in fields(view.between)}
    return replace(view, in_flight_bytes=0, between=replace(view.between, **stretches))


def story(folder: Path, clocks: dict[str, VirtualClock]) -> list[PairStatus]:
    """Status at A, every ten seconds: a first copy, an edit, B stopped for ten minutes with an edit, B again, B set to another time."""
    pair = make_pair(folder, eager=False)
    pair.clocks.update(clocks)
    seen: list[PairStatus] = []

    def live(seconds: int) -> None:
        for _ in range(seconds // 10):
            pair.live(10, step_s=5)
            found = pair.status("a")
            channels = (replace(each, export=without_sizes(each.export)) for each in found.channels)
            takeovers = (replace(each, package_bytes=0) for each in found.takeovers)
            seen.append(replace(found, channels=tuple(channels), takeovers=tuple(takeovers)))

    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle(force=True)
    with pair.sql("a") as connection:
        connection.execute(EDIT)
    live(150)
    pair.stop("b")
    with pair.sql("a") as connection:
        connection.execute("UPDATE prosody SET value = 'again' WHERE user = 'myriel' AND store = 'roster'")
    live(600)
    pair.start("b")
    live(60)
    if "b" in clocks:
        clocks["b"].wall_offset_s -= 30 * HOUR_S
    live(60)
    assert pair.rows("a") == pair.rows("b")
    stop_all(pair)
    return seen


def test_the_cookie_keeps_track_without_comparing_clocks(tmp_path: Path) -> None:
    """Seed: "The Cookie appears to keep track of when [...]": hours between the two clocks change no word of A's status."""
    same = story(tmp_path / "same", {})
    assert {found.exit_status for found in same} == {0, 2}
    assert same[-1].exit_status == 0
    for ahead_s in (5 * HOUR_S, -5 * HOUR_S):
        skewed = VirtualClock(1000.0 + 10 * HOUR_S)
        skewed.wall_offset_s = ahead_s - 10 * HOUR_S
        assert story(tmp_path / f"skewed {ahead_s:.0f}", {"b": skewed}) == same

"""Settings of a deployment: by our names and the original's, in its units and ours, and never out of range."""

from __future__ import annotations

import pytest

from poolpair.config_settings import LYNC_NAMES
from poolpair.errors import Code, PoolpairError
from poolpair.management.settings import RANGES, explained, parse_settings, with_setting, write_settings


@pytest.mark.parametrize(
    ("name", "said", "key", "value"),
    [
        ("SyncInterval", "00:05:00", "sync.interval", "300s"),
        ("syncinterval", "5m", "sync.interval", "5m"),
        ("sync.interval", "3h", "sync.interval", "3h"),
        ("MaxDataConfPackageSizeKB", "204800", "sync.conference_max", "200MiB"),
        ("sync.eager", "false", "sync.eager", False),
        ("sync.window", "4", "sync.window", 4),
        ("guard.delete_fraction", "50%", "guard.delete_fraction", "50%"),
        (
            "bandwidth.users",
            '["500", "100 mon-fri 08:00-18:00"]',
            "bandwidth.users",
            ["500", "100 mon-fri 08:00-18:00"],
        ),
        ("bandwidth.zone", "Europe/Berlin", "bandwidth.zone", "Europe/Berlin"),
    ],
)
def test_a_setting_reads_back(name: str, said: str, key: str, value: object) -> None:
    """What is set is in the document, and in what is printed of it."""
    values = with_setting({}, name, said)
    assert values == {key: value}
    assert parse_settings(write_settings(values)) == values
    assert [known.key for known in explained(values) if known.given] == [key]
    assert with_setting(values, name, None) == {}


@pytest.mark.parametrize(
    ("name", "said", "wrong"),
    [
        ("SyncInterval", "00:00:04", "sync.interval"),
        ("SyncInterval", "03:00:01", "sync.interval"),
        ("sync.window", "0", "sync.window"),
        ("sync.eager", "yes", "sync.eager"),
        ("sync.intervall", "5s", "did you mean sync.interval"),
        ("share", "/x", "no setting for a deployment"),
        ("bandwidth.zone", "Berlin", "bandwidth.zone"),
        ("sync.interval", "{}", "a text, a number"),
        ("sync.interval", "[1]", "a text, a number"),
    ],
)
def test_what_does_not_count_is_refused(name: str, said: str, wrong: str) -> None:
    """Out of range, unknown or of another kind: nothing of it is published."""
    with pytest.raises(PoolpairError) as caught:
        with_setting({"sync.window": 3}, name, said)
    assert caught.value.code is Code.TOPOLOGY
    assert wrong in caught.value.detail + caught.value.hint


def test_every_setting_says_what_may_be_set() -> None:
    """No setting is printed without its range, and the original's names stand beside ours."""
    printed = {known.key: known for known in explained({})}
    assert printed.keys() == RANGES.keys()
    assert all(known.range and known.value for known in printed.values())
    assert {known.lync for known in printed.values()} - {""} == set(LYNC_NAMES.values())


@pytest.mark.parametrize(
    "text", ["[homes]\nx = 1\n", "pool = 'a'\n", "[sync]\nwindow = 'x'\n", "[sync\n", "sync = 1\n"]
)
def test_a_document_with_more_than_settings_is_refused(text: str) -> None:
    """What a pool file says of itself alone has no place there."""
    with pytest.raises(PoolpairError):
        parse_settings(text)

"""Names in a share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolpair.errors import Code, PoolpairError
from poolpair.format import layout
from poolpair.model import Channel, Position
from tests.unit.format.format_samples import POSITION

HEX32 = st.text("0123456789abcdef", min_size=32, max_size=32)
GOOD = layout.package_name(POSITION)


@given(HEX32, st.integers(1, 10**15), HEX32)
def test_a_name_survives(stream: str, sequence: int, package_id: str) -> None:
    """Every position has a name that reads back and matches it."""
    position = Position(stream, sequence, package_id)
    found = layout.parse_package_name(layout.package_name(position))
    assert found is not None
    assert found.matches(position)
    assert found.name == layout.package_name(position)


def test_a_name_looks_as_documented() -> None:
    """People and scripts may rely on the shape of the name."""
    assert f"backup-{'5e' * 16}-00000042-c0ffee00.zip" == GOOD


@pytest.mark.parametrize(
    "name",
    [
        *("", "cookie.zip", GOOD + "\n", " " + GOOD, "Data/" + GOOD, GOOD.upper(), GOOD.replace("00000042", "42")),
        *(GOOD.replace("00000042", each) for each in ("00000000", "000000042", "٠٠٠٠٠٠٤٢", f"{10**15 + 1}", "0" * 400)),
        *(GOOD.replace("c0ffee00", "c0ffee0"), GOOD.replace(".zip", ".zip.tmp"), GOOD.replace("backup", "backup\0")),
    ],
)
def test_other_names_are_ignored(name: str) -> None:
    """A name that no position has is nobody's package."""
    assert layout.parse_package_name(name) is None


@given(st.text() | st.from_regex(r"backup-[0-9a-f]{32}-[0-9]{8,17}-[0-9a-f]{8}\.zip"))
def test_only_canonical_names_parse(text: str) -> None:
    """Two different names never mean the same package."""
    found = layout.parse_package_name(text)
    if found is not None:
        position = Position(found.stream, found.sequence, found.short_id + "0" * 24)
        assert layout.package_name(position) == text


@pytest.mark.parametrize(
    "position",
    [
        *(Position("x" * 32, 1, "0" * 32), Position("0" * 32, 1, "0" * 31)),
        *(Position("0" * 32, 0, "0" * 32), Position("0" * 32, 10**15 + 1, "0" * 32)),
    ],
)
def test_a_position_without_name_is_an_error(position: Position) -> None:
    """A malformed position never becomes a file name."""
    with pytest.raises(ValueError, match="must be"):
        layout.package_name(position)


def test_places_are_those_of_the_original() -> None:
    """Folders and modules carry the original's names."""
    assert layout.data_dir(Channel.USERS) == "UserServices/Data/PresenceFocusData"
    assert layout.cookie_dir(Channel.CMS) == "CentralMgmt/Cookie/CMSMasterCookie"
    assert layout.lync_module(Channel.CONFERENCES) == "ConfServices.DataConf"
    assert {each.channel for each in layout.PLACES} == set(Channel)


@pytest.mark.parametrize("name", ["users", "USERS", "presencefocus", "UserServices.PresenceFocus"])
def test_a_channel_has_three_names(name: str) -> None:
    """Commands take our name, the module and the full module, in any case."""
    assert layout.channel_from_name(name) is Channel.USERS


def test_an_unknown_channel_is_named_with_the_known_ones() -> None:
    """The message tells what could have been typed."""
    with pytest.raises(PoolpairError, match=r"'mail'.*users.*CentralMgmt\.CMSMaster") as caught:
        layout.channel_from_name("mail")
    assert caught.value.code is Code.USAGE


def test_folders_come_parents_first() -> None:
    """They can be made one after the other."""
    folders = layout.folders([Channel.USERS])
    assert folders == (
        *("TaskAssignment", "Temp", "Quarantine", "UserServices", "UserServices/Data"),
        *("UserServices/Data/PresenceFocusData", "UserServices/Cookie", "UserServices/Cookie/PresenceFocusCookie"),
    )
    assert len(set(layout.folders(Channel))) == len(layout.folders(Channel)) == 18


def test_the_identity_survives() -> None:
    """pool.json reads back, with fields that a newer release added too."""
    identity = layout.PoolIdentity("lyon", "0d" * 16, "ab" * 16, "ff")
    text = identity.encode()
    assert layout.PoolIdentity.parse(text) == identity
    assert layout.PoolIdentity.parse(text.encode().replace(b"{", b'{"new": 1, ', 1)) == identity


@pytest.mark.parametrize("text", ["", "{}", '{"pool":"","pair_id":"a","store_id":"b"}', " " * 5000, b"\xff"])
def test_a_damaged_identity_belongs_to_nobody(text: str | bytes) -> None:
    """A share whose owner cannot be told is foreign."""
    with pytest.raises(PoolpairError) as caught:
        layout.PoolIdentity.parse(text)
    assert caught.value.code is Code.SHARE_FOREIGN


def test_an_identity_is_small() -> None:
    """What no reader would take is not written."""
    with pytest.raises(ValueError, match="4 KiB"):
        layout.PoolIdentity("x" * 4096, "a", "b").encode()

"""Values to JSON text and back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolpair.errors import Code, Refused
from poolpair.format.documents import decode, encode
from poolpair.model import Channel, Cookie, Manifest, Position, Reign
from poolpair.state import Inbound, Intent, Outbound
from tests.unit.format.format_samples import cookie, manifest

FINITE = st.floats(allow_nan=False, allow_infinity=False)
st.register_type_strategy(float, FINITE)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
st.register_type_strategy(str, TEXT)


@given(
    st.one_of(*(st.from_type(each) for each in (Cookie, Manifest, Intent, Outbound, Inbound, Reign, Position))),
)
def test_every_value_survives(value: object) -> None:
    """What is encoded decodes to the same value."""
    assert decode(type(value), encode(value)) == value


def test_defaults_are_left_out() -> None:
    """A birth reign is its home's name and nothing else."""
    assert encode(Reign(home="lyon")) == '{"home":"lyon"}'


def test_unknown_fields_are_ignored() -> None:
    """An older release reads what a newer one of the same format adds."""
    text = encode(cookie())[:-1] + ',"mood":{"of":["tomorrow"]}}'
    assert decode(Cookie, text) == cookie()


def test_an_absent_format_means_format_1_for_ever() -> None:
    """A cookie or manifest of format 1 omits the format that its writer reads; a raised constant must not change it."""
    assert decode(Cookie, encode(cookie())).reads_format == 1
    assert decode(Manifest, encode(manifest())).reply_format == 1


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "\ud800", "[" * 100_000, '{"stream":"a"}'),
        '{"stream":"a","sequence":"1","package_id":""}',
        '{"stream":"a","sequence":true,"package_id":""}',
        '{"stream":"a","sequence":1.5,"package_id":""}',
    ],
)
def test_a_bad_document_is_refused(text: str) -> None:
    """Whatever is not a document of the class is refused as damaged, without its content in the message."""
    with pytest.raises(Refused) as caught:
        decode(Position, text)
    assert caught.value.code is Code.DAMAGED
    assert len(caught.value.detail) < 300


@given(st.binary() | st.text())
def test_arbitrary_text_is_refused(text: str | bytes) -> None:
    """No other error leaves for arbitrary input."""
    with pytest.raises(Refused):
        decode(Manifest, text)


def test_channels_are_keys_of_a_reign() -> None:
    """The begin positions of a reign are keyed by channel names."""
    reign = Reign(home="lyon", begin={Channel.USERS: None})
    assert json.loads(encode(reign)) == {"home": "lyon", "begin": {"users": None}}
    assert decode(Reign, encode(reign)) == reign

"""Cookies: small, sealed, and read only by whom they are for."""

import io
import json
import zipfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format import cookie as cookie_module
from poolpair.format import documents
from poolpair.format.container import unwrap_single, wrap_single
from poolpair.format.cookie import MAX_COOKIE_BYTES, open_cookie, seal_cookie
from poolpair.format.keys import KeyRing
from poolpair.model import Ask, Channel, Cookie, Fault, new_id
from tests.unit.format.format_samples import OTHER_RING, RING, STORE, cookie

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
st.register_type_strategy(str, TEXT | st.text('0123456789abcdef\\"\1\2\4', min_size=14, max_size=70))
SEALED = seal_cookie(cookie(), RING, target="lyon")


def opened(data: bytes, ring: KeyRing = RING, reader_pool: str = "lyon", channel: Channel = Channel.USERS) -> Cookie:
    return open_cookie(data, ring, reader_pool=reader_pool, channel=channel)


def refusal(data: bytes, **how: object) -> Code:
    with pytest.raises(PoolpairError) as caught:
        opened(data, **how)  # type: ignore[arg-type]
    assert isinstance(caught.value, Refused) == (caught.value.code is not Code.NEWER_FORMAT)
    return caught.value.code


def with_header(**fields: object) -> bytes:
    line, _, sealed = unwrap_single("cookie", SEALED).partition(b"\n")
    return wrap_single("cookie", json.dumps(json.loads(line) | fields).encode() + b"\n" + sealed)


@settings(max_examples=200)
@given(st.from_type(Cookie).filter(lambda each: each.origin != "lyon" and len(each.origin.encode()) < 100))
def test_every_cookie_survives(value: Cookie) -> None:
    """What is sealed is opened again, whatever stands in its texts."""
    assert opened(seal_cookie(value, RING, target="lyon"), channel=value.channel) == value


def test_an_idle_cookie_is_small() -> None:
    """The heartbeat fits in 380 bytes, with the copy marked complete too."""
    sizes = [len(seal_cookie(replace(cookie(), store_id=new_id()), RING, target="lyon")) for _ in range(50)]
    assert max(sizes) <= 380


def test_any_zip_tool_lists_it() -> None:
    """An ordinary ZIP library finds the one member."""
    with zipfile.ZipFile(io.BytesIO(SEALED)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["cookie"]


def test_nothing_is_in_the_clear() -> None:
    """Only format, key id, channel, writer and file id can be read."""
    fault = Fault(code=Code.SCHEMA, detail="table prosody_archive of romeo@montague.example")
    sealed = seal_cookie(replace(cookie(), fault=fault), RING, target="lyon")
    for word in (b"prosody_archive", b"romeo@", b"lyon", cookie().store_id.encode(), bytes.fromhex(cookie().store_id)):
        assert word not in sealed
    line = json.loads(unwrap_single("cookie", SEALED).partition(b"\n")[0])
    assert list(line) == ["format", "key", "channel", "origin", "id"]


def test_every_cookie_has_its_own_id() -> None:
    """The same word sealed twice has no bytes of ciphertext in common."""
    again = seal_cookie(cookie(), RING, target="lyon")
    assert unwrap_single("cookie", again).partition(b"\n")[2] != unwrap_single("cookie", SEALED).partition(b"\n")[2]


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"ring": OTHER_RING}, Code.FOREIGN_PACKAGE),
        ({"ring": KeyRing.of("0e" * 16, bytes(range(32)))}, Code.FOREIGN_PACKAGE),
        ({"channel": Channel.CMS}, Code.FOREIGN_PACKAGE),
        ({"reader_pool": "oslo"}, Code.FOREIGN_PACKAGE),
        ({"reader_pool": "nice"}, Code.DAMAGED),
    ],
)
def test_what_is_not_for_us_is_refused(how: dict[str, object], code: Code) -> None:
    """Another pair, secret, channel, the own cookie and another target are each refused."""
    assert refusal(SEALED, **how) is code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"format": 2}, Code.NEWER_FORMAT),
        ({"format": 2, "channel": "moods", "id": 5}, Code.NEWER_FORMAT),
        ({"format": -1}, Code.DAMAGED),
        ({"channel": "moods"}, Code.DAMAGED),
        ({"origin": "nice"}, Code.DAMAGED),
        ({"id": "0" * 32}, Code.DAMAGED),
        ({"id": "../x"}, Code.DAMAGED),
        ({"more": 1}, Code.DAMAGED),
        ({"more": "x" * 2000}, Code.DAMAGED),
    ],
)
def test_a_changed_header_is_refused(fields: dict[str, object], code: Code) -> None:
    """The header line is bound to the content; a newer format is waited for."""
    assert refusal(with_header(**fields)) is code


def test_no_flipped_bit_makes_a_newer_format() -> None:
    """The checksum around a cookie covers its header line: one that was altered on the way is damaged, not newer."""
    for at in range(len(SEALED)):
        for bit in range(8):
            data = bytearray(SEALED)
            data[at] ^= 1 << bit
            assert refusal(bytes(data)) is Code.DAMAGED


def test_a_cookie_that_speaks_for_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sealed must agree with the header."""
    monkeypatch.setattr("poolpair.format.documents.encode", _for_nice(documents.encode))
    forged = seal_cookie(cookie(), RING, target="lyon")
    monkeypatch.undo()
    assert refusal(forged) is Code.MISNAMED


def _for_nice(encode: object) -> object:
    def change(value: object) -> str:
        assert callable(encode)
        return str(encode(replace(value, origin="nice") if isinstance(value, Cookie) else value))

    return change


@settings(max_examples=500)
@given(st.integers(0, 8 * len(SEALED) - 1), st.integers(0, len(SEALED)), st.integers(0, 60))
def test_damage_is_refused(bit: int, at: int, length: int) -> None:
    """No flipped bit, cut or repetition passes."""
    flipped = bytearray(SEALED)
    flipped[bit // 8] ^= 1 << bit % 8
    refusal(bytes(flipped))
    refusal(SEALED[:at] + SEALED[at + 1 + length :] if at < len(SEALED) else SEALED + b"\0")
    refusal(SEALED[: at + length + 1] + SEALED[at:] if at < len(SEALED) else SEALED * 2)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    """Nothing but a PoolpairError leaves, whether the ZIP or its content is arbitrary."""
    for each in (data, wrap_single("cookie", data), wrap_single("cookie", b'{"format":1}\n' + data)):
        refusal(each)


def test_limits_hold_both_ways() -> None:
    """Neither a large file nor a small one that unpacks to much is read, and neither is written."""
    assert refusal(bytes(MAX_COOKIE_BYTES + 1)) is Code.LIMIT
    asks = tuple(Ask(ask_id=STORE, verb="x" * 99, home="y" * 9, epoch=i, expires_utc="") for i in range(40_000))
    with pytest.raises(PoolpairError) as caught:
        seal_cookie(replace(cookie(), asks=asks), RING, target="lyon")
    assert caught.value.code is Code.LIMIT


@pytest.mark.parametrize("text", [b"x" * 5_000_000, b'"' + b"0" * 32 + b'",' * 2 + b"\1" * 3_000_000])
def test_a_bomb_is_stopped(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    """A sealed cookie that unpacks to more than 4 MiB is refused before it is parsed."""
    monkeypatch.setattr(cookie_module, "MAX_RAW_COOKIE_BYTES", 1 << 40)
    pack = cookie_module._pack
    monkeypatch.setattr(cookie_module, "_pack", lambda _text, dictionary: pack(text, dictionary))
    forged = seal_cookie(cookie(), RING, target="lyon")
    monkeypatch.undo()
    assert len(forged) < 20_000
    assert refusal(forged) is Code.LIMIT


def test_nothing_follows_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """More frames after the end of the compressed document are refused, even properly sealed ones."""
    pack = cookie_module._pack
    monkeypatch.setattr(cookie_module, "_pack", lambda text, dictionary: pack(text, dictionary) + bytes(400_000))
    forged = seal_cookie(cookie(), RING, target="lyon")
    monkeypatch.undo()
    with pytest.raises(Refused, match="more than its content"):
        opened(forged)


def test_a_cookie_goes_to_the_partner() -> None:
    """Sealing for oneself is an error of the caller."""
    with pytest.raises(ValueError, match="partner"):
        seal_cookie(cookie(), RING, target="oslo")

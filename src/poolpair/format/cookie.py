"""Cookies: the heartbeat of a channel. Small, because one is written every few seconds and again after each apply.

A ZIP with the one stored member `cookie`: a clear header line (compact JSON), a newline, sealed frames. What is sealed
is the cookie as JSON text, packed in two steps that save a third of it:

1. A quoted string of 16, 32 or 64 lower-case hexadecimal digits becomes one byte 1, 2 or 4 (JSON text never holds
   these) and 8, 16 or 32 raw bytes: most of a cookie is random ids.
2. zstd without its magic number, primed with a dictionary of what cookies say, which ends in the two pools' names. The
   dictionary is part of format 1 and never changes.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import IO, Final, cast

import zstandard

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format import documents
from poolpair.format.container import unwrap_single, wrap_single
from poolpair.format.frames import FrameReader, FrameWriter
from poolpair.format.header import refuse_newer
from poolpair.format.keys import KeyRing, derive
from poolpair.model import FORMAT_VERSION, Channel, Cookie, new_id

MEMBER: Final = "cookie"
MAX_COOKIE_BYTES: Final = 1024 * 1024
MAX_RAW_COOKIE_BYTES: Final = 4 * 1024 * 1024
MAX_HEADER_LINE_BYTES: Final = 1024

# What is likely stands at the end, where references are cheapest; bytes 1, 2 and 4 announce packed ids.
DICTIONARY: Final = (
    b'"answers":[{"ask_id":\2,"verb":"handover","home":"","epoch":1,"expires_utc":"2026-01-01T00:00:00Z","answer":"done"}],'
    b'"asks":[{"ask_id":\2,"verb":"handover","home":"","epoch":1,"expires_utc":"2026-01-01T00:00:00Z"}],'
    b'"fault":{"code":"P501","detail":"","since_utc":"2026-01-01T00:00:00Z"},"status":"Degraded","status":"ErrorState",'
    b'"answer":{"package_id":\2,"differs":[{"home":"","table":1,"of":256,"buckets":[0,1,2,3,4,5,6,7,8,9,10]}]},'
    b'"refused":[{"package_id":\2,"code":"P501"}],"parked":1,"held":1,"unhomed":1,"quarantined":1,"foreign_writes":1,'
    b'"homes":[{"home":"","epoch":1,"reign_id":\2,"began":"takeover","began":"handover","begin":{"conferences":null,'
    b'"cms":null,"users":{"stream":\2,"sequence":1,"package_id":\2}},"complete":false}],"reads_format":2,'
    b'"channel":"cms","channel":"conferences","standing":[1,2],'
)
_LEVEL: Final = 3
_PACKED_ID: Final = re.compile(rb"\x01(.{8})|\x02(.{16})|\x04(.{32})", re.DOTALL)
_HEX_ID: Final = re.compile(rb'"([0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{16})"')


@dataclass(frozen=True, slots=True)
class _HeaderLine:
    format: int
    key: str
    channel: Channel
    origin: str
    id: str


def seal_cookie(cookie: Cookie, ring: KeyRing, *, target: str) -> bytes:
    """Give the bytes of `cookie.zip` for the pool `target`; every call draws a new id and so gives new bytes.

    Raises ValueError if the writer is the target itself, PoolpairError(LIMIT) if the cookie exceeds 1 MiB, or 4 MiB
    before compression.
    """
    if cookie.origin == target:
        raise ValueError("a cookie goes to the partner")
    line = _HeaderLine(FORMAT_VERSION, ring.sealing.key_id, cookie.channel, cookie.origin, new_id())
    header = documents.encode(line).encode()
    key = derive(
        ring, ring.sealing, line.id, channel=cookie.channel, origin=cookie.origin, target=target, kind="cookie"
    )
    text = documents.encode(cookie).encode()
    content = io.BytesIO()
    content.write(header + b"\n")
    frames = FrameWriter(content, key, 0, header)
    frames.write(_pack(text, _dictionary(cookie.origin, target)))
    frames.close()
    data = wrap_single(MEMBER, content.getvalue())
    if len(header) > MAX_HEADER_LINE_BYTES or len(text) > MAX_RAW_COOKIE_BYTES or len(data) > MAX_COOKIE_BYTES:
        raise PoolpairError(Code.LIMIT, "the cookie would exceed its limits")
    return data


def open_cookie(data: bytes, ring: KeyRing, *, reader_pool: str, channel: Channel) -> Cookie:
    """Read the bytes of a `cookie.zip` that lies in the share of `reader_pool`, in the folder of `channel`.

    Whether it is fresh, and from the expected partner, is for the caller to judge. Raises PoolpairError(NEWER_FORMAT);
    Refused with DAMAGED (also a cookie for another target), LIMIT, FOREIGN_PACKAGE (unknown key, other channel, our
    own) or MISNAMED (sealed content and header disagree). No other exception leaves, whatever the bytes.
    """
    if len(data) > MAX_COOKIE_BYTES:
        raise Refused(Code.LIMIT, "the cookie exceeds 1 MiB")
    header, newline, sealed = unwrap_single(MEMBER, data).partition(b"\n")
    if not newline or len(header) > MAX_HEADER_LINE_BYTES:
        raise Refused(Code.DAMAGED, "the cookie has no header line")
    refuse_newer(header, "the cookie")
    line = documents.decode(_HeaderLine, header)
    if line.channel is not channel:
        raise Refused(Code.FOREIGN_PACKAGE, f"the cookie belongs to the channel {line.channel}")
    if line.origin == reader_pool:
        raise Refused(Code.FOREIGN_PACKAGE, "the cookie comes from this pool itself")
    secret = ring.opening(line.key)
    if secret is None:
        raise Refused(Code.FOREIGN_PACKAGE, "the cookie is sealed with a secret that the key file lacks")
    try:
        key = derive(ring, secret, line.id, channel=channel, origin=line.origin, target=reader_pool, kind="cookie")
    except ValueError:
        raise Refused(Code.DAMAGED, "the cookie's header names no id") from None
    frames = FrameReader(io.BytesIO(sealed), key, 0, header)
    cookie = documents.decode(Cookie, _unpack(frames, _dictionary(line.origin, reader_pool)))
    if (cookie.channel, cookie.origin) != (line.channel, line.origin):
        raise Refused(Code.MISNAMED, "the cookie's sealed content does not agree with its header")
    return cookie


def _dictionary(origin: str, target: str) -> zstandard.ZstdCompressionDict:
    own, other = origin.encode(), target.encode()
    names = (
        b'{"channel":"users","origin":"%s","serial":1,"store_id":\2,"nonce":\1,"echo":\1,'
        b'"applied":{"stream":\2,"sequence":1,"package_id":\2},'
        b'"homes":[{"home":"%s"},{"home":"%s"}],"complete":["%s"],"settings":\4}'
    ) % (own, *sorted((own, other)), other)
    return zstandard.ZstdCompressionDict(DICTIONARY + names, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _pack(text: bytes, dictionary: zstandard.ZstdCompressionDict) -> bytes:
    packed = _HEX_ID.sub(lambda found: bytes((len(found[1]) // 16,)) + bytes.fromhex(found[1].decode()), text)
    # No magic number, size or checksum: bytes that a sealed cookie of fixed format does not need.
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL,
        source_size=len(packed),
        dict_size=len(dictionary),
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_content_size=False,
    )
    return zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters).compress(packed)


def _unpack(frames: FrameReader, dictionary: zstandard.ZstdCompressionDict) -> bytes:
    decompressor = zstandard.ZstdDecompressor(
        dict_data=dictionary, max_window_size=2 * MAX_RAW_COOKIE_BYTES, format=zstandard.FORMAT_ZSTD1_MAGICLESS
    )
    source = cast("IO[bytes]", frames)  # only `read` is called
    try:
        with decompressor.stream_reader(source, read_across_frames=False, closefd=False) as stream:
            packed = stream.read(MAX_RAW_COOKIE_BYTES + 1)
    except zstandard.ZstdError:
        raise Refused(Code.DAMAGED, "the cookie does not decompress") from None
    if len(packed) <= MAX_RAW_COOKIE_BYTES:
        frames.finish()
        text = _PACKED_ID.sub(lambda found: b'"' + found[0][1:].hex().encode() + b'"', packed)
        if len(text) <= MAX_RAW_COOKIE_BYTES:
            return text
    raise Refused(Code.LIMIT, "the cookie holds more than 4 MiB")

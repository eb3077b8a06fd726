"""AES-256-GCM frames: bytes cut into sealed pieces that cannot be cut short, reordered, swapped or exchanged.

On the wire a frame is a 4-byte big-endian length, then that many bytes of ciphertext and tag. The nonce is member
number (4 bytes), frame number (7 bytes) and last-mark (1 byte: 1 in the last frame of a member, else 0). It is not
sent: the reader knows which frame it expects, and takes the one at the end of its source for the last. A cut, an
insertion or a swap gives another nonce and does not authenticate. The file's clear header is associated data of every
frame.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from poolpair.errors import Code, Refused

FRAME_BYTES: Final = 128 * 1024
"""Plain bytes in each frame that we write, but the last."""
MAX_FRAME_BYTES: Final = 1024 * 1024
"""Bytes on the wire after the length that we read; room for later releases."""
LENGTH_BYTES: Final = 4
TAG_BYTES: Final = 16

Buffer: TypeAlias = bytes | bytearray | memoryview


class Sink(Protocol):
    """Where bytes go; takes all it is given."""

    def write(self, data: bytes, /) -> object: ...


class Source(Protocol):
    """Where bytes come from; may give fewer than asked for, nothing only at the end."""

    def read(self, size: int, /) -> bytes: ...


def read_up_to(source: Source, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end of the source. OSErrors of the source pass through."""
    data = source.read(size)
    if len(data) == size or not data:
        return data
    parts = [data]
    missing = size - len(data)
    while missing and (data := source.read(missing)):
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


def _nonce(member_number: int, frame: int, last: bool) -> bytes:
    return member_number.to_bytes(4, "big") + frame.to_bytes(7, "big") + bytes((last,))


class FrameWriter:
    """Seals what is written, 128 KiB at a time. `close` writes the last frame, also for empty content.

    The sink stays open.
    """

    def __init__(self, sink: Sink, key: bytes, member_number: int, header: bytes) -> None:
        self._sink = sink
        self._aead = AESGCM(key)
        self._member = member_number
        self._header = header
        self._frame = 0
        self._held = bytearray()
        self._closed = False

    def write(self, data: Buffer) -> None:
        """Take bytes; keeps back at most one frame, because only `close` knows which is the last."""
        if self._closed:
            raise ValueError("the sealed member is closed")
        self._held += data
        while len(self._held) > FRAME_BYTES:
            self._seal(self._held[:FRAME_BYTES], last=False)
            del self._held[:FRAME_BYTES]

    def close(self) -> None:
        """Write the last frame. Without it no reader accepts the member."""
        if not self._closed:
            self._seal(self._held, last=True)
            self._held = bytearray()
            self._closed = True

    def _seal(self, plain: bytearray, *, last: bool) -> None:
        sealed = self._aead.encrypt(_nonce(self._member, self._frame, last), plain, self._header)
        self._frame += 1
        self._sink.write(len(sealed).to_bytes(LENGTH_BYTES, "big"))
        self._sink.write(sealed)


class FrameReader:
    """Opens frames one by one. Every byte it gives was authenticated; `finish` proves that it was all."""

    def __init__(self, source: Source, key: bytes, member_number: int, header: bytes) -> None:
        self._source = source
        self._aead = AESGCM(key)
        self._member = member_number
        self._header = header
        self._frame = 0
        self._plain = memoryview(b"")
        self._length: int | None = None
        self._begun = False

    def read(self, size: int = -1) -> bytes:
        """Give at most `size` bytes, all of the present frame for a negative size; nothing only after the last frame.

        Raises Refused(DAMAGED) for anything that was not sealed just so.
        """
        while not self._plain:
            if not self._open_next():
                return b""
        size = len(self._plain) if size < 0 else size
        piece, self._plain = self._plain[:size], self._plain[size:]
        return bytes(piece)

    def finish(self) -> None:
        """Check that the last frame was read and nothing is left. Raises Refused(DAMAGED)."""
        if self.read(1):
            raise Refused(Code.DAMAGED, "a sealed member holds more than its content")

    def _open_next(self) -> bool:
        if not self._begun:
            self._begun = True
            self._length = self._read_length()
            if self._length is None:
                raise Refused(Code.DAMAGED, "a sealed member is empty")
        if self._length is None:
            return False
        sealed = read_up_to(self._source, self._length)
        if len(sealed) < self._length:
            raise Refused(Code.DAMAGED, "a sealed member is cut short")
        following = self._read_length()
        nonce = _nonce(self._member, self._frame, following is None)
        try:
            plain = self._aead.decrypt(nonce, sealed, self._header)
        except InvalidTag:
            raise Refused(Code.DAMAGED, "a sealed member was altered or cut, or sealed with another key") from None
        self._plain = memoryview(plain)
        self._length = following
        self._frame += 1
        return True

    def _read_length(self) -> int | None:
        data = read_up_to(self._source, LENGTH_BYTES)
        if not data:
            return None
        length = int.from_bytes(data, "big")
        if len(data) < LENGTH_BYTES or not TAG_BYTES <= length <= MAX_FRAME_BYTES:
            raise Refused(Code.DAMAGED, "a sealed member has a frame of impossible length")
        return length

"""Sealed streams: zstd, then AES-256-GCM frames. Memory is flat in both directions, whatever passes through.

This module is also the one place to import the pair's secrets from (`PairSecret`, `KeyRing`, `derive`; made in `keys`).
"""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Final, cast

import zstandard

from poolpair.errors import Code, Refused
from poolpair.format.frames import FRAME_BYTES, MAX_FRAME_BYTES, Buffer, FrameReader, FrameWriter, Sink, Source
from poolpair.format.keys import FileKind, KeyRing, PairSecret, derive

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "FRAME_BYTES",
    "LEVEL",
    "MAX_FRAME_BYTES",
    "MAX_WINDOW_BYTES",
    "Buffer",
    "FileKind",
    "KeyRing",
    "PairSecret",
    "SealingReader",
    "SealingWriter",
    "Sink",
    "Source",
    "derive",
]

LEVEL: Final = 3
MAX_WINDOW_BYTES: Final = 8 * 1024 * 1024
"""What a reader lends to zstd; levels up to 19 stay within it."""
_MAX_LEVEL: Final = 19
_PIECE: Final = 256 * 1024


class SealingWriter:
    """A file-like sink: what is written comes out compressed and sealed. Not closing it leaves an unreadable member."""

    def __init__(self, sink: Sink, key: bytes, member_number: int, header: bytes, *, level: int = LEVEL) -> None:
        if not 1 <= level <= _MAX_LEVEL:
            raise ValueError("level must be in 1..19")
        self._frames = FrameWriter(sink, key, member_number, header)
        self._zstd = zstandard.ZstdCompressor(level=level).compressobj()
        self._closed = False

    def write(self, data: Buffer) -> int:
        """Take bytes of any length; gives their number."""
        if self._closed:
            raise ValueError("the sealed member is closed")
        view = memoryview(data).cast("B")
        # In pieces: one huge write must not make one huge compressed buffer.
        for start in range(0, len(view), _PIECE):
            self._frames.write(self._zstd.compress(view[start : start + _PIECE]))
        return len(view)

    def close(self) -> None:
        """End the stream and write the last frame; the sink stays open."""
        if not self._closed:
            self._closed = True
            self._frames.write(self._zstd.flush())
            self._frames.close()


class SealingReader(io.RawIOBase):
    """A readable raw stream over one sealed member.

    Raises Refused(DAMAGED) on truncation, trailing bytes, reordering or tampering; Refused(LIMIT) as soon as more than
    `max_raw_bytes` would come out. OSErrors of the source pass through. Only the end of the stream proves completeness.
    """

    def __init__(self, source: Source, key: bytes, member_number: int, header: bytes, max_raw_bytes: int) -> None:
        super().__init__()
        self._frames = FrameReader(source, key, member_number, header)
        # `stream_reader` gives no more than is asked for; `decompressobj` would unpack a whole zip bomb at once.
        self._zstd = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(
            cast("IO[bytes]", self._frames),  # only `read` is called
            read_size=FRAME_BYTES,
            read_across_frames=False,
            closefd=False,
        )
        self._left = max_raw_bytes

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer` as far as the content reaches; 0 only at its proven end."""
        view = memoryview(buffer).cast("B")
        if not view:
            return 0
        try:
            count: int = self._zstd.readinto(view)
        except zstandard.ZstdError:
            raise Refused(Code.DAMAGED, "a sealed member does not decompress") from None
        if count == 0:
            # Completeness must not hang on when this library stops to ask for more.
            self._frames.finish()
            return 0
        self._left -= count
        if self._left < 0:
            raise Refused(Code.LIMIT, "a sealed member holds more bytes than it may")
        return count

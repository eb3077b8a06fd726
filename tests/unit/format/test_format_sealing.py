"""Keys, frames and sealed streams."""

import io
import random
import subprocess
import sys
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format.frames import FrameReader, FrameWriter
from poolpair.format.keys import FileKind
from poolpair.format.sealing import FRAME_BYTES, KeyRing, PairSecret, SealingReader, SealingWriter, derive
from poolpair.model import Channel
from tests.unit.format.format_samples import OTHER_RING, PACKAGE, RING

KEY, HEADER, MIB = bytes(range(32)), b'{"a":"header"}', 1 << 20


def seal(content: bytes, *, member: int = 1, header: bytes = HEADER, key: bytes = KEY) -> bytes:
    sink = io.BytesIO()
    writer = SealingWriter(sink, key, member, header)
    assert writer.write(content) == len(content)
    writer.close()
    return sink.getvalue()


def unseal(data: bytes, *, limit: int = 8 * MIB, member: int = 1, header: bytes = HEADER, key: bytes = KEY) -> bytes:
    return SealingReader(io.BytesIO(data), key, member, header, limit).readall()


def frames_of(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        found.append(data[at:end])
        at = end
    return found


NOISE = random.Random(1).randbytes(3 * FRAME_BYTES + 5)
SEALED = seal(NOISE)


@given(st.binary(max_size=3000), st.integers(0, 2**32 - 1))
def test_content_survives(content: bytes, member: int) -> None:
    """What is sealed comes out again, empty content too."""
    assert unseal(seal(content, member=member), member=member) == content


def test_long_content_is_cut_into_frames() -> None:
    """A frame holds at most 128 KiB, whatever is written at once."""
    frames = frames_of(SEALED)
    assert len(frames) == 4
    assert {len(each) for each in frames[:-1]} == {FRAME_BYTES + 4 + 16}
    assert unseal(SEALED) == NOISE


def test_content_that_fills_a_frame_exactly_has_one() -> None:
    """The last frame carries content and mark, no empty one follows."""
    sink = io.BytesIO()
    writer = FrameWriter(sink, KEY, 0, HEADER)
    writer.write(bytes(FRAME_BYTES))
    writer.close()
    assert len(frames_of(sink.getvalue())) == 1
    reader = FrameReader(io.BytesIO(sink.getvalue()), KEY, 0, HEADER)
    assert reader.read() == bytes(FRAME_BYTES)
    reader.finish()


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"\0\0\0\0", b"\xff\xff\xff\xff" + bytes(100), SEALED[:-1], SEALED + b"\0", SEALED + SEALED]
    + [b"".join(frames_of(SEALED)[:-1]), b"".join(frames_of(SEALED)[1:]), b"".join(reversed(frames_of(SEALED)))]
    + [b"".join(frames_of(SEALED)[i] for i in order) for order in ([0, 0, 1, 2, 3], [0, 2, 3], [0, 1, 2, 3, 3])],
)
def test_cut_or_rearranged_frames_are_refused(data: bytes) -> None:
    """Truncation, trailing bytes, reordering, repetition and omission all fail, at frame borders too."""
    with pytest.raises(Refused) as caught:
        unseal(data)
    assert caught.value.code is Code.DAMAGED


@pytest.mark.parametrize("order", [[0, 0, 1, 2], [1, 0, 2], [0, 2], [1, 2], [0, 1], [2], [0, 1, 2, 2], [0, 1, 1, 2]])
def test_frames_alone_show_every_rearrangement(order: list[int]) -> None:
    """The nonces catch what is cut, repeated or swapped; that zstd would stumble over it is not relied upon."""
    sink = io.BytesIO()
    writer = FrameWriter(sink, KEY, 0, HEADER)
    writer.write(bytes(2 * FRAME_BYTES + 1))
    writer.close()
    frames = frames_of(sink.getvalue())
    reader = FrameReader(io.BytesIO(b"".join(frames[i] for i in order)), KEY, 0, HEADER)
    with pytest.raises(Refused):
        sum(len(piece) for piece in iter(reader.read, b""))


def test_nothing_follows_the_compressed_content() -> None:
    """More frames after the end of the compressed content are refused, even properly sealed ones."""
    sink = io.BytesIO()
    writer = FrameWriter(sink, KEY, 1, HEADER)
    writer.write(zstandard.compress(b"content"))
    writer.write(bytes(3 * FRAME_BYTES))
    writer.close()
    with pytest.raises(Refused):
        unseal(sink.getvalue())


@given(st.integers(0, 8 * len(seal(b"short")) - 1))
def test_every_flipped_bit_is_seen(bit: int) -> None:
    """No bit of a sealed member is without effect."""
    data = bytearray(seal(b"short"))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Refused):
        unseal(bytes(data))


def test_a_member_opens_only_as_itself() -> None:
    """Another member number, header or key does not open it."""
    for member, header, key in ((2, HEADER, KEY), (1, b"{}", KEY), (1, HEADER, bytes(32))):
        with pytest.raises(Refused):
            unseal(SEALED, member=member, header=header, key=key)


def test_a_zip_bomb_is_stopped() -> None:
    """A limit is kept however little was sealed, and memory stays flat meanwhile."""
    sealed = seal(bytes(64 * MIB))
    assert len(sealed) < 10_000
    tracemalloc.start()
    try:
        with pytest.raises(Refused) as caught:
            unseal(sealed, limit=MIB)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()
    assert caught.value.code is Code.LIMIT
    assert len(unseal(seal(bytes(MIB)), limit=MIB)) == MIB


def test_errors_of_the_source_pass_through() -> None:
    """A broken disk is not a damaged file."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    reader = SealingReader(Broken(SEALED), KEY, 1, HEADER, MIB)
    with pytest.raises(OSError, match="Input/output error"):
        reader.read(10)


def test_a_source_may_give_little_at_a_time() -> None:
    """Short reads are not truncation."""

    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 1000))

    assert SealingReader(Trickle(SEALED), KEY, 1, HEADER, MIB).readall() == NOISE


def test_a_closed_writer_takes_nothing() -> None:
    """Closing twice is harmless, writing after it is an error."""
    writer = SealingWriter(io.BytesIO(), KEY, 1, HEADER)
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"x")
    with pytest.raises(ValueError, match="level"):
        SealingWriter(io.BytesIO(), KEY, 1, HEADER, level=22)


FLAT = """
import io, random, resource, sys, tempfile
from poolpair.format.sealing import SealingReader, SealingWriter
size, piece = int(sys.argv[1]) << 20, random.Random(1).randbytes(1 << 20)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
with tempfile.TemporaryFile() as file:
    before = peak()
    writer = SealingWriter(file, bytes(32), 1, b"")
    for start in range(0, size, len(piece)):
        writer.write(piece)
    writer.close()
    assert file.tell() > size // 2 or size > 0
    file.seek(0)
    reader, buffer, total = SealingReader(file, bytes(32), 1, b"", size), bytearray(1 << 16), 0
    while count := reader.readinto(buffer):
        total += count
    assert total == size
    print(peak() - before)
"""


def grown_mib(size_mib: int) -> int:
    """How much a fresh process grew while it sealed and unsealed that much."""
    command = [sys.executable, "-c", FLAT, str(size_mib)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_memory_is_flat_for_20_mib() -> None:
    """Sealing and unsealing hold a few frames and the windows of zstd."""
    assert grown_mib(20) < 16


@pytest.mark.long
def test_memory_is_flat_for_200_mib() -> None:
    """Ten times as much content costs no more memory."""
    assert grown_mib(200) < 16


def test_keys_differ_in_every_field() -> None:
    """Pair, secret, file, direction, channel and kind each give another key."""

    def key(
        ring: KeyRing = RING,
        salt: str = PACKAGE,
        channel: Channel = Channel.USERS,
        ends: tuple[str, str] = ("lyon", "oslo"),
        kind: FileKind = "package",
    ) -> bytes:
        return derive(ring, ring.sealing, salt, channel=channel, origin=ends[0], target=ends[1], kind=kind)

    keys = [
        *(key(), key(ring=OTHER_RING), key(ring=KeyRing.of("0e" * 16, bytes(range(32)))), key(salt="0" * 32)),
        *(key(channel=Channel.CMS), key(ends=("oslo", "lyon")), key(ends=("lyono", "slo")), key(kind="cookie")),
    ]
    assert len(set(keys)) == len(keys)
    assert {len(each) for each in keys} == {32}
    with pytest.raises(ValueError, match="id"):
        key(salt="00")


def test_a_ring_opens_with_all_and_seals_with_the_first() -> None:
    """Key ids name secrets; they differ by pair and say nothing of the secret."""
    first, second = bytes(32), bytes(range(32))
    ring = KeyRing.of("pair", first, second)
    assert ring.sealing == PairSecret.of("pair", first)
    assert ring.opening(PairSecret.of("pair", second).key_id) == ring.secrets[1]
    assert ring.opening("00000000") is None
    assert PairSecret.of("other", first).key_id != ring.sealing.key_id
    assert first.hex()[:16] not in repr(ring)
    assert "secret=" not in repr(ring)


@pytest.mark.parametrize(
    ("pair_id", "secrets"),
    [
        ("", [bytes(32)]),
        ("p", []),
        ("p", [bytes(31)]),
        ("p", [bytes(32)] * 2),
        ("p", [bytes([i] * 32) for i in range(9)]),
    ],
)
def test_a_ring_is_well_formed(pair_id: str, secrets: list[bytes]) -> None:
    """No pair, no secret, a short one, equal ones or too many make no ring."""
    with pytest.raises(ValueError, match=r"ring|secret"):
        KeyRing.of(pair_id, *secrets)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    """Nothing but a refusal leaves."""
    with pytest.raises(PoolpairError):
        unseal(data)

"""Buckets and digests: how two copies are compared without a link between them.

A bucket is a number computed from a group's key; a bucket's digest is the sum, modulo 2**64, of one 64-bit BLAKE2b hash per
row, beside the number of rows. A sum does not depend on the order of rows, so groups without a unique key compare as the
multisets they are. Values hash by storage class: text `1`, integer `1` and blob `1` are three different values.
Pure; part of the package format.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b, sha256

from poolpair.model import BucketSet, TableDigests, TableShape

ROWS_PER_BUCKET = 256
BUCKETS_MAX = 4096
BUCKETS_READ_MAX = 1 << 20
"""What is believed of a partner, who may be of a release that chooses more."""
_MASK = (1 << 64) - 1


class Text(bytes):
    """A text value as its stored bytes: kept apart from a blob, and not decoded, since stores hold invalid UTF-8 too."""

    __slots__ = ()


def encode_values(values: Sequence[object]) -> bytes:
    """Encode values so that equal encodings mean equal storage classes and contents."""
    return b"".join(_encode_each(values))


def _encode_each(values: Sequence[object]) -> list[bytes]:
    # What is met most comes first, and in one expression: every value of a comparison passes here.
    return [b"t%d:%b;" % (len(value), value) if type(value) is Text else _encode(value) for value in values]


def _encode(value: object) -> bytes:
    if value is None:
        return b"n;"
    if isinstance(value, int):
        body = b"%d" % value
        return b"i%d:%b;" % (len(body), body)
    if type(value) is bytes:
        return b"b%d:%b;" % (len(value), value)
    return _encode_rare(value)


def _encode_rare(value: object) -> bytes:
    if isinstance(value, str):
        kind, body = b"t", value.encode("utf-8", "surrogatepass")
    elif isinstance(value, float):
        kind, body = b"f", (value + 0.0).hex().encode("ascii")  # no database tells -0.0 from 0.0 when it compares
    elif isinstance(value, Text):
        kind, body = b"t", bytes(value)
    elif isinstance(value, (bytes, memoryview)):
        kind, body = b"b", bytes(value)
    else:
        message = f"not a stored value: {type(value).__name__}"
        raise TypeError(message)
    return b"%b%d:%b;" % (kind, len(body), body)


def bucket_of(key: Sequence[object], of: int) -> int:
    """The bucket of a group key among `of`."""
    return bucket_of_encoded(encode_values(key), of)


def bucket_of_encoded(key: bytes, of: int) -> int:
    """The bucket of a group key that is encoded already; parts of it are encoded alike, and put together."""
    return int.from_bytes(blake2b(key, digest_size=4).digest(), "big") % of


def row_hash(values: Sequence[object]) -> int:
    """A 64-bit hash of one row."""
    return int.from_bytes(blake2b(encode_values(values), digest_size=8).digest(), "big")


def buckets_for(rows: int) -> int:
    """How many buckets suit a table: a power of two, about 256 rows each, from 1 to 4096."""
    wanted = max(1, min(BUCKETS_MAX, rows // ROWS_PER_BUCKET))
    return 1 << (wanted - 1).bit_length()


@dataclass(slots=True)
class Tally:
    """Sums up rows of one home's table, bucket by bucket."""

    home: str
    table: int
    of: int
    counts: list[int] = field(init=False)
    sums: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * self.of
        self.sums = [0] * self.of

    def add(self, key: Sequence[object], values: Sequence[object]) -> None:
        """Count one row."""
        bucket = bucket_of(key, self.of)
        self.counts[bucket] += 1
        self.sums[bucket] = (self.sums[bucket] + row_hash(values)) & _MASK

    def add_rows(self, rows: Iterable[Sequence[object]], key: Sequence[int]) -> None:
        """Count many rows; the key's values are those at these places, and are encoded once."""
        of, counts, sums = self.of, self.counts, self.sums
        for row in rows:
            each = _encode_each(row)
            written = b"".join([each[place] for place in key])
            bucket = int.from_bytes(blake2b(written, digest_size=4).digest(), "big") % of
            counts[bucket] += 1
            hashed = blake2b(b"".join(each), digest_size=8).digest()
            sums[bucket] = (sums[bucket] + int.from_bytes(hashed, "big")) & _MASK

    def digests(self) -> TableDigests:
        """The finished digests."""
        sums = tuple(f"{value:016x}" for value in self.sums)
        return TableDigests(home=self.home, table=self.table, counts=tuple(self.counts), sums=sums)


def differing(theirs: Iterable[TableDigests], ours: Iterable[TableDigests]) -> tuple[BucketSet, ...]:
    """Name the buckets of `theirs` that `ours` does not equal."""
    own = {(digests.home, digests.table): digests for digests in ours}
    found: list[BucketSet] = []
    for digests in theirs:
        mine = own.get((digests.home, digests.table))
        my_pairs = (
            list(zip(mine.counts, mine.sums, strict=True)) if mine else []
        )  # a table that is not here: all differ
        buckets = tuple(
            i
            for i, pair in enumerate(zip(digests.counts, digests.sums, strict=True))
            if not mine or pair != my_pairs[i]
        )
        if buckets:
            found.append(BucketSet(home=digests.home, table=digests.table, of=len(digests.counts), buckets=buckets))
    return tuple(found)


def are_sound(served: tuple[str, ...], digests: Iterable[TableDigests], sets: Iterable[BucketSet]) -> bool:
    """Whether what a partner sent can be compared with: of homes that are served there, and with buckets that can be."""
    return all(
        d.home in served and _is_number(len(d.counts)) and len(d.counts) == len(d.sums) for d in digests
    ) and all(s.home in served and _is_number(s.of) and all(0 <= bucket < s.of for bucket in s.buckets) for s in sets)


def _is_number(of: int) -> bool:
    return 1 <= of <= BUCKETS_READ_MAX


def shapes_digest(shapes: tuple[TableShape, ...]) -> str:
    """Tell two shapes of the tracked tables apart."""
    return sha256(repr(shapes).encode()).hexdigest()[:16]

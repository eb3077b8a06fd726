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
    parts: list[bytes] = []
    for value in values:  # what is met most comes first: every row of a comparison passes here
        if isinstance(value, Text):
            parts.append(b"t%d:%b;" % (len(value), value))
        elif value is None:
            parts.append(b"n;")
        elif isinstance(value, int):
            body = b"%d" % value
            parts.append(b"i%d:%b;" % (len(body), body))
        elif isinstance(value, bytes):
            parts.append(b"b%d:%b;" % (len(value), value))
        else:
            parts.append(_encode_rare(value))
    return b"".join(parts)


def _encode_rare(value: object) -> bytes:
    if isinstance(value, str):
        kind, body = b"t", value.encode("utf-8", "surrogatepass")
    elif isinstance(value, float):
        kind, body = b"f", (value + 0.0).hex().encode("ascii")  # no database tells -0.0 from 0.0 when it compares
    elif isinstance(value, memoryview):
        kind, body = b"b", bytes(value)
    else:
        message = f"not a stored value: {type(value).__name__}"
        raise TypeError(message)
    return b"%b%d:%b;" % (kind, len(body), body)


def bucket_of(key: Sequence[object], of: int) -> int:
    """The bucket of a group key among `of`."""
    return int.from_bytes(blake2b(encode_values(key), digest_size=4).digest(), "big") % of


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

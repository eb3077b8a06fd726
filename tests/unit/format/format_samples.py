"""Fixed values that the tests of the format share, and ways to build packages from them."""

import io
import random
from collections.abc import Mapping

from poolpair.format.keys import KeyRing
from poolpair.format.layout import PackageName, package_name, parse_package_name
from poolpair.format.package import PackageReader, PackageWriter
from poolpair.model import Channel, Cookie, Manifest, Member, PackageKind, Position, Reign, TableShape

STREAM, PACKAGE, STORE = "5e" * 16, "c0ffee00" + "11" * 12, "ab" * 16
POSITION = Position(STREAM, 42, PACKAGE)
RING = KeyRing.of("0d" * 16, bytes(range(32)))
OTHER_RING = KeyRing.of("0d" * 16, bytes(range(1, 33)))
CLEAR_WORDS = ("romeo@montague.example", "prosody_archive", "holiday-photo.jpg")

ROWS = b"romeo@montague.example\tprosody_archive\t1\n" * 500
# Noise, so that it needs more than one frame.
FILE = b"\x89PNG not really, but called holiday-photo.jpg" + random.Random(7).randbytes(140_000)
MEMBERS = {"rows/0001.0001": ROWS, "rows/0002.0001": b"", "files/0001": FILE}


def manifest(position: Position = POSITION, channel: Channel = Channel.USERS) -> Manifest:
    """A manifest of a delta from lyon to oslo."""
    return Manifest(
        channel=channel,
        origin="lyon",
        target="oslo",
        position=position,
        follows=Position(STREAM, 41, "22" * 16),
        kind=PackageKind.DELTA,
        store_id=STORE,
        settings="9f" * 32,
        homes=(Reign(home="lyon"), Reign(home="oslo", epoch=1, reign_id="77" * 16, began="takeover")),
        served=("lyon",),
        tables=(TableShape(name="prosody_archive", key=("host", "user"), columns=("value", "holiday-photo.jpg")),),
        rows=500,
        sequences={"romeo@montague.example": 7},
        cut_utc="2026-01-01T00:00:00Z",
    )


def package(members: Mapping[str, bytes] = MEMBERS, *, position: Position = POSITION, ring: KeyRing = RING) -> bytes:
    """The bytes of a whole package from lyon to oslo."""
    sink = io.BytesIO()
    writer = PackageWriter(sink, ring, channel=Channel.USERS, origin="lyon", target="oslo", position=position)
    for name, content in members.items():
        with writer.member(name) as stream:
            stream.write(content)
    writer.finish(manifest(position))
    return sink.getvalue()


def name_of(position: Position = POSITION) -> PackageName:
    """The parsed file name of a package at this position."""
    name = parse_package_name(package_name(position))
    assert name is not None
    return name


def reader(
    data: bytes,
    *,
    ring: KeyRing = RING,
    reader_pool: str = "oslo",
    origin: str = "lyon",
    channel: Channel = Channel.USERS,
    name: PackageName | None = None,
) -> PackageReader:
    """Open a package as oslo does."""
    return PackageReader(
        io.BytesIO(data), ring, reader_pool=reader_pool, origin=origin, channel=channel, name=name or name_of()
    )


def contents(opened: PackageReader) -> dict[str, bytes]:
    """All members of a package, read to their end."""

    def read(member: Member) -> bytes:
        with opened.open(member.name) as stream:
            return stream.read()

    return {member.name: read(member) for member in opened.manifest.members}


def cookie(channel: Channel = Channel.USERS) -> Cookie:
    """A typical idle cookie of oslo for lyon."""
    return Cookie(
        channel=channel,
        origin="oslo",
        serial=18231,
        store_id="7b89129f4817147c427bc802d292e55a",
        nonce="67cf7afb366cc92d",
        echo="0cfc3036c86a51ce",
        applied=Position("0e30003698f54968df118c80fdcc60f0", 5010, "72aa73c6509ff3dee3ff4b3e409935f9"),
        homes=(Reign(home="lyon"), Reign(home="oslo")),
        complete=("lyon",),
        settings="a318c24216defe206feeb73ef5be00033fa9c4a74d0b967f6532a26ca5906d3b",
    )

"""Packages: what is written is read, and nothing else is."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format import container
from poolpair.format.container import ContainerWriter, read_directory
from poolpair.format.keys import KeyRing
from poolpair.format.package import PackageReader, PackageWriter
from poolpair.model import Channel, Position
from tests.unit.format.format_samples import (
    CLEAR_WORDS,
    FILE,
    MEMBERS,
    OTHER_RING,
    PACKAGE,
    POSITION,
    RING,
    ROWS,
    STREAM,
    contents,
    manifest,
    name_of,
    package,
    reader,
)

WHOLE = package()
SMALL = package({"rows/0001.0001": b"abc", "files/0001": b"abcd"})


def rebuilt(data: bytes, change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]) -> bytes:
    """Take a package apart and write its sealed members into a well-formed container again, changed."""
    entries = read_directory(io.BytesIO(data))
    members = [(entry.name, data[entry.content_offset : entry.content_offset + entry.size]) for entry in entries]
    sink = io.BytesIO()
    writer = ContainerWriter(sink)
    for name, content in change(members):
        writer.begin(name)
        writer.write(content)
        writer.end()
    writer.close()
    return sink.getvalue()


def with_header(data: bytes, **fields: object) -> bytes:
    """Change the clear header only."""
    return rebuilt(
        data, lambda all_: [("header.json", json.dumps(json.loads(all_[0][1]) | fields).encode()), *all_[1:]]
    )


def refusal(data: bytes, **how: object) -> Code:
    """The code with which a package is refused, at opening or when all is checked."""
    with pytest.raises(PoolpairError) as caught:
        reader(data, **how).check()  # type: ignore[arg-type]
    assert isinstance(caught.value, Refused) == (caught.value.code is not Code.NEWER_FORMAT)
    return caught.value.code


def test_a_package_survives() -> None:
    """Header, manifest and every member come out as they went in."""
    opened = reader(WHOLE)
    opened.check()
    assert opened.header.position == POSITION
    assert replace(opened.manifest, members=()) == manifest()
    assert [member.number for member in opened.manifest.members] == [1, 2, 3]
    assert contents(opened) == MEMBERS


@given(
    st.dictionaries(
        st.from_regex(r"(rows/\d{4}\.\d{4}|files/\d{4,9})", fullmatch=True, alphabet=st.characters(codec="ascii")),
        st.binary(max_size=500),
        max_size=5,
    )
)
def test_any_members_survive(members: dict[str, bytes]) -> None:
    """Whatever a package carries is read back."""
    assert contents(reader(package(members))) == members


def test_any_zip_tool_lists_it() -> None:
    """An ordinary ZIP library finds the members, stored and with right checksums."""
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["header.json", *MEMBERS, "manifest"]
        assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {each.date_time[0] for each in archive.infolist()} == {1980}
        assert json.loads(archive.read("header.json"))["package_id"] == PACKAGE


def test_nothing_is_in_the_clear() -> None:
    """User names, table names and file names are sealed."""
    assert all(word.encode() in ROWS + FILE for word in CLEAR_WORDS)
    assert not [word for word in CLEAR_WORDS if word.encode() in WHOLE]


def test_members_are_read_in_turns() -> None:
    """Several members may be open at once, each in pieces."""
    opened = reader(WHOLE)
    with opened.open("rows/0001.0001") as rows, opened.open("files/0001") as file:
        parts = [(rows.read(100), file.read(1000)) for _ in range(300)]
    assert b"".join(part[0] for part in parts) == ROWS
    assert b"".join(part[1] for part in parts) == FILE
    with opened.open("rows/0001.0001") as rows:
        assert list(rows) == ROWS.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [
        ({"ring": KeyRing.of("0e" * 16, bytes(range(32)))}, Code.FOREIGN_PACKAGE, "another pair"),
        ({"ring": OTHER_RING}, Code.FOREIGN_PACKAGE, "secret"),
        ({"reader_pool": "lyon", "origin": "oslo"}, Code.FOREIGN_PACKAGE, "this pool itself"),
        ({"reader_pool": "lyon"}, Code.FOREIGN_PACKAGE, "this pool itself"),
        ({"reader_pool": "nice"}, Code.FOREIGN_PACKAGE, "another direction"),
        ({"origin": "nice"}, Code.FOREIGN_PACKAGE, "another direction"),
        ({"channel": Channel.CMS}, Code.FOREIGN_PACKAGE, "the channel users"),
        ({"name": name_of(Position(STREAM, 43, PACKAGE))}, Code.MISNAMED, "name"),
        ({"name": name_of(Position("5f" * 16, 42, PACKAGE))}, Code.MISNAMED, "name"),
        ({"name": name_of(Position(STREAM, 42, "22" * 16))}, Code.MISNAMED, "name"),
    ],
)
def test_what_is_not_for_us_is_refused(how: dict[str, object], code: Code, says: str) -> None:
    """Another pair, secret, direction, channel or name each have their code, and the message tells which."""
    assert refusal(WHOLE, **how) is code
    with pytest.raises(Refused, match=says):
        reader(WHOLE, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "how", "code"),
    [
        ({"format": 2}, {}, Code.NEWER_FORMAT),
        ({"format": 10**30, "channel": "moods"}, {}, Code.NEWER_FORMAT),
        ({"format": 0}, {}, Code.DAMAGED),
        ({"format": "1"}, {}, Code.DAMAGED),
        ({"channel": "moods"}, {}, Code.DAMAGED),
        ({"channel": "cms"}, {"channel": Channel.CMS}, Code.DAMAGED),
        ({"origin": "nice"}, {"origin": "nice"}, Code.DAMAGED),
        ({"sequence": 43}, {"name": name_of(Position(STREAM, 43, PACKAGE))}, Code.DAMAGED),
        ({"sequence": 0}, {}, Code.DAMAGED),
        ({"package_id": PACKAGE.upper()}, {}, Code.DAMAGED),
        ({"package_id": "c0ffee00" + "12" * 12}, {}, Code.DAMAGED),
        ({"more": 1}, {}, Code.DAMAGED),
        ({"more": "x" * 5000}, {}, Code.LIMIT),
        ({"key_id": "00000000"}, {}, Code.FOREIGN_PACKAGE),
    ],
)
def test_a_changed_header_is_refused(fields: dict[str, object], how: dict[str, object], code: Code) -> None:
    """The clear header is bound to all that is sealed; a newer format is waited for, not refused."""
    assert refusal(with_header(WHOLE, **fields), **how) is code


def test_a_newer_format_may_have_other_members() -> None:
    """Of a newer format only container and version are judged."""
    newer = rebuilt(
        WHOLE, lambda all_: [("header.json", b'{"format":2}'), ("index", b""), *all_[1:], ("more/x.y", b"?")]
    )
    assert refusal(newer) is Code.NEWER_FORMAT


Members = list[tuple[str, bytes]]


@pytest.mark.parametrize(
    "change",
    [
        lambda all_: all_[1:],
        lambda all_: all_[:-1],
        lambda all_: all_[:1],
        lambda all_: [],
        lambda all_: [all_[0], *all_[2:]],
        lambda all_: [all_[0], all_[2], all_[1], *all_[3:]],
        lambda all_: [*all_[:2], (all_[2][0], all_[1][1]), *all_[3:]],
        lambda all_: [*all_[:3], ("rows/0009.0001", all_[1][1]), *all_[3:]],
        lambda all_: [*all_[:3], ("evil/../x", b""), *all_[3:]],
        lambda all_: [*all_[:3], all_[1], *all_[3:]],
        lambda all_: [all_[-1], *all_[1:-1], all_[0]],
    ],
)
def test_other_members_than_listed_are_refused(change: Callable[[Members], Members]) -> None:
    """Members cannot be left out, added, repeated, swapped or renamed in a well-formed container."""
    assert refusal(rebuilt(WHOLE, change)) is Code.DAMAGED


def taken_apart(data: bytes) -> Members:
    """The sealed members of a package."""
    found: Members = []

    def note(all_: Members) -> Members:
        found.extend(all_)
        return all_

    rebuilt(data, note)
    return found


@pytest.mark.parametrize("index", [1, -1])
def test_members_of_another_package_are_refused(index: int) -> None:
    """A manifest or member of one package does not open in another of the same pair and stream."""
    foreign = taken_apart(package(position=Position(STREAM, 43, "33" * 16)))
    mixed = taken_apart(WHOLE)
    mixed[index] = foreign[index]
    assert refusal(rebuilt(WHOLE, lambda _: mixed)) is Code.DAMAGED


def forged(manifest_changes: dict[str, object], member_changes: dict[str, object]) -> bytes:
    """A package of a partner whose manifest, properly sealed, does not tell the truth."""
    sink = io.BytesIO()
    writer = PackageWriter(sink, RING, channel=Channel.USERS, origin="lyon", target="oslo", position=POSITION)
    with writer.member("rows/0001.0001") as stream:
        stream.write(ROWS)
    writer._members = [replace(each, **member_changes) for each in writer._members]  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("poolpair.format.package.agrees", lambda *_: True)
        writer.finish(replace(manifest(), **manifest_changes))  # type: ignore[arg-type]
    return sink.getvalue()


@pytest.mark.parametrize(
    ("changes", "member", "code"),
    [
        ({"origin": "nice"}, {}, Code.MISNAMED),
        ({"target": "nice"}, {}, Code.MISNAMED),
        ({"channel": Channel.CMS}, {}, Code.MISNAMED),
        ({"position": Position(STREAM, 42, "33" * 16)}, {}, Code.MISNAMED),
        ({}, {"raw_bytes": len(ROWS) - 1}, Code.LIMIT),
        ({}, {"raw_bytes": -1}, Code.LIMIT),
        ({}, {"raw_bytes": len(ROWS) + 1}, Code.DAMAGED),
        ({}, {"sha256": "00" * 32}, Code.DAMAGED),
        ({}, {"number": 2}, Code.DAMAGED),
        ({}, {"name": "rows/0001.0002"}, Code.DAMAGED),
    ],
)
def test_a_lying_manifest_is_refused(changes: dict[str, object], member: dict[str, object], code: Code) -> None:
    """What the manifest says is held against header, names and content."""
    assert refusal(forged(changes, member)) is code


def test_the_last_bytes_are_held_until_proved() -> None:
    """A caller that reads just the announced length learns of a wrong digest too."""
    opened = reader(forged({}, {"sha256": "00" * 32}))
    with opened.open("rows/0001.0001") as stream, pytest.raises(Refused):
        stream.read(len(ROWS))


def test_an_unlisted_member_is_refused() -> None:
    """Asking for a member that is not there is no KeyError."""
    with pytest.raises(Refused), reader(WHOLE).open("rows/0009.0001"):
        pass


MUTATIONS = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, 8 * len(SMALL) - 1), st.just(0), st.just(0)),
    st.tuples(st.just("cut"), st.integers(0, len(SMALL)), st.integers(0, 200), st.just(0)),
    *(
        st.tuples(st.just(kind), st.integers(0, len(SMALL)), st.integers(1, 300), st.integers(0, len(SMALL)))
        for kind in ("move", "repeat", "overwrite")
    ),
)


def mutated(data: bytes, kind: str, at: int, length: int, to: int) -> bytes:
    """One way in which a file gets damaged."""
    piece = data[at : at + length]
    if kind == "flip":
        return data[: at // 8] + bytes((data[at // 8] ^ 1 << at % 8,)) + data[at // 8 + 1 :]
    if kind == "cut":
        return data[:at] + data[at + length :] if length else data[:at]
    if kind == "overwrite":
        return data[:to] + piece + data[to + len(piece) :]
    rest = data[:at] + data[at + length :] if kind == "move" else data
    return rest[:to] + piece + rest[to:]


def test_no_byte_is_without_effect() -> None:
    """One flipped bit anywhere in the file, in ZIP fields and checksums too, and it is refused."""
    for at in range(len(SMALL)):
        refusal(mutated(SMALL, "flip", 8 * at + at % 8, 0, 0))


def test_no_flipped_bit_makes_a_newer_format() -> None:
    """A damaged header is refused and sent anew; taken for a newer format it would be waited for without end."""
    end = SMALL.index(b"}", SMALL.index(b'"format":1,')) + 1
    codes = {refusal(mutated(SMALL, "flip", bit, 0, 0)) for bit in range(8 * end)}
    assert codes == {Code.DAMAGED}
    at = 8 * (SMALL.index(b'"format":1,') + len(b'"format":')) + 3
    assert b'"format":9,' in mutated(SMALL, "flip", at, 0, 0), "one of them does read as a newer format"


@settings(max_examples=600)
@given(st.lists(MUTATIONS, min_size=1, max_size=3))
def test_damage_never_passes_and_never_crashes(mutations: list[tuple[str, int, int, int]]) -> None:
    """However a package is damaged, it is refused (or waits as a newer format); no other error leaves."""
    data = SMALL
    for mutation in mutations:
        at_end = mutation[1] >= 8 * len(data)
        data = data if at_end else mutated(data, *(mutation if mutation[0] != "flip" else _within(mutation, data)))
    try:
        opened = reader(data)
        opened.check()
    except PoolpairError:
        assert data != SMALL
    else:
        # Checksums of members are for other tools: frames prove more.
        assert contents(opened) == {"rows/0001.0001": b"abc", "files/0001": b"abcd"}


def _within(mutation: tuple[str, int, int, int], data: bytes) -> tuple[str, int, int, int]:
    return (mutation[0], mutation[1] % (8 * len(data)), 0, 0)


@settings(max_examples=300)
@given(st.binary(max_size=300), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_arbitrary_directories_are_refused(data: bytes, count: int, size: int, offset: int) -> None:
    """A file that ends as a package does, with whatever numbers, is refused."""
    for honest in (True, False):
        numbers = (count % 8, len(data) - offset % (len(data) + 1), offset % (len(data) + 1))
        tail = container._tail(*(numbers if honest else (count, size >> 1, offset >> 1)))
        assert refusal(data + tail) in (Code.DAMAGED, Code.LIMIT)


def test_a_huge_directory_is_not_read() -> None:
    """Too many members are refused before anything is loaded."""

    class Hole(io.BytesIO):
        """A file of 20 MiB whose middle must not be read."""

        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 <= size < 4096
            return super().read(size)

    for count, size in ((200_000, 1000), (10, 17 << 20)):
        source = Hole(bytes(size) + container._tail(count, size, 0))
        with pytest.raises(Refused) as caught:
            PackageReader(source, RING, reader_pool="oslo", origin="lyon", channel=Channel.USERS, name=name_of())
        assert caught.value.code is Code.LIMIT


def test_errors_of_the_source_pass_through() -> None:
    """A share that breaks while a package is read is not a damaged package."""

    class Breaks(io.BytesIO):
        left = 3

        def read(self, size: int | None = -1, /) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise OSError(5, "Input/output error")
            return super().read(size)

    source = Breaks(WHOLE)
    with pytest.raises(OSError, match="Input/output error"):
        PackageReader(source, RING, reader_pool="oslo", origin="lyon", channel=Channel.USERS, name=name_of())
    source.left = 1000
    opened = PackageReader(source, RING, reader_pool="oslo", origin="lyon", channel=Channel.USERS, name=name_of())
    source.left = 1
    with pytest.raises(OSError, match="Input/output error"):
        opened.check()


def writer() -> PackageWriter:
    return PackageWriter(io.BytesIO(), RING, channel=Channel.USERS, origin="lyon", target="oslo", position=POSITION)


def test_the_writer_takes_known_names_once() -> None:
    """Names outside the grammar, a used name and two open members are errors of the caller."""
    made = writer()
    for name in ("header.json", "manifest", "rows/1.1", "files/0001 ", "files/../0001", "files/0000000001"):
        with pytest.raises(ValueError, match="cannot write"), made.member(name):
            pass
    with made.member("files/0001"), pytest.raises(ValueError, match="cannot write"), made.member("files/0002"):
        pass
    with pytest.raises(ValueError, match="cannot write"), made.member("files/0001"):
        pass


def test_a_failed_member_spoils_the_package() -> None:
    """Half a member is never finished."""
    made = writer()
    with pytest.raises(OSError, match="gone"), made.member("files/0001"):
        raise OSError("gone")
    with pytest.raises(ValueError, match="unfinished"):
        made.finish(manifest())


def test_the_manifest_fits_the_header() -> None:
    """A manifest of another position, channel or direction is an error of the caller."""
    for changes in ({"origin": "oslo"}, {"channel": Channel.CMS}, {"position": Position(STREAM, 1, PACKAGE)}):
        with pytest.raises(ValueError, match="not the manifest"):
            writer().finish(replace(manifest(), **changes))


def test_positions_and_pools_are_well_formed() -> None:
    """No package goes to its own origin or has a malformed position."""
    for position, target in (
        (POSITION, "lyon"),
        (Position(STREAM, 0, PACKAGE), "oslo"),
        (Position("x", 1, PACKAGE), "o"),
    ):
        with pytest.raises(ValueError, match="position"):
            PackageWriter(io.BytesIO(), RING, channel=Channel.USERS, origin="lyon", target=target, position=position)


def test_an_added_secret_opens() -> None:
    """While a secret is changed, a ring that has it anywhere opens what it sealed."""
    both = KeyRing.of("0d" * 16, bytes(range(1, 33)), bytes(range(32)))
    assert contents(reader(WHOLE, ring=both)) == MEMBERS


def test_an_idle_package_is_small() -> None:
    """A package without members costs about a kilobyte."""
    assert len(package({})) < 1200

"""Packages made with the pair's real key by a partner that means harm, or is broken: nothing leaves its place, nothing swells."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.errors import Code
from poolpair.format.layout import data_dir, package_name, parse_package_name
from poolpair.format.package import PackageReader, PackageWriter
from poolpair.model import Channel, Manifest, Position, new_id
from tests.badinput.ground import Ground

Spoil = Callable[[Path], None]


def forge(
    ground: Ground,
    channel: Channel,
    spoil: Spoil | None = None,
    *,
    lie: Callable[[PackageWriter], None] | None = None,
    change: Callable[[Manifest], Manifest] = lambda manifest: manifest,
) -> None:
    """Replace the package that stands at B by one at the same place, sealed with the right key, but with other content."""
    site = ground.sites["a"]
    (path,) = ground.standing("b", data_dir(channel))
    rows = ground.folder / "forged.rows"
    files = []
    name = parse_package_name(path.name)
    assert name is not None
    with path.open("rb") as source:
        reader = PackageReader(source, site.ring, reader_pool="b", origin="a", channel=channel, name=name)
        with reader.open("rows/0000.0001") as member:
            rows.write_bytes(member.read())
        for each in reader.manifest.members:
            if each.name.startswith("files/"):
                with reader.open(each.name) as member:
                    files.append((each.name, member.read()))
    if spoil:
        spoil(rows)
    old = reader.manifest.position
    position = Position(old.stream, old.sequence, new_id())
    path.unlink()
    with (path.parent / package_name(position)).open("wb") as sink:
        writer = PackageWriter(sink, site.ring, channel=channel, origin="a", target="b", position=position)
        for member_name, content in [("rows/0000.0001", rows.read_bytes()), *files]:
            with writer.member(member_name) as out:
                out.write(content)
        if lie:
            lie(writer)
        writer.finish(change(replace(reader.manifest, position=position)))


def sql(statement: str, *values: object) -> Spoil:
    """Change the rows file of a package."""

    def spoil(rows: Path) -> None:
        with closing(sqlite3.connect(rows)) as connection, connection:
            connection.execute(statement, values)

    return spoil


def upload(ground: Ground) -> None:
    """A file and its row stand as a package in B's share."""
    ground.write_file("a", "new", b"new file")
    ground.do("a", "INSERT INTO upload VALUES ('u@a', 'new', 'n')")
    ground.turn("a")


def refused(ground: Ground, code: Code, words: str, channel: Channel) -> None:
    """B refuses the forged package with this reason, nothing changes there, and the pair is whole again by itself."""
    before = ground.rows("b"), ground.files("b")
    ground.turn("b")
    assert [(file.reason[:4], words in file.reason) for file in ground.quarantined("b")] == [(code, True)], (
        ground.quarantined("b"),
        ground.fault("b", channel),
    )
    assert (ground.rows("b"), ground.files("b")) == before
    ground.still_works("b-goes-on")
    ground.whole()


@pytest.mark.parametrize("path", [b"../x", b"/tmp/poolpair-escaped", b"up/u@a/../../../x.bin", b"up/u@a/\0.bin", b""])
@pytest.mark.parametrize("present", [1, 0])
def test_a_path_that_leaves_its_folder_is_refused(ground: Ground, path: bytes, present: int) -> None:
    """Neither a file nor a deletion with such a path is carried out: the package is refused and nothing is written outside."""
    upload(ground)
    outside = {each for each in ground.folder.rglob("*x*") if each.is_file()}
    statement = "UPDATE f SET path = ?" + ("" if present else ", present = 0, member = 0, sha256 = ''")
    forge(ground, Channel.CONFERENCES, sql(statement, path))
    ground.turn("b")
    (file,) = ground.quarantined("b")
    assert file.reason[:4] in {Code.MISNAMED, Code.FOREIGN_PACKAGE}
    assert {each for each in ground.folder.rglob("*x*") if each.is_file()} - outside <= {
        each for each in ground.share("b").rglob("*")
    }
    assert not Path("/tmp/poolpair-escaped").exists()
    ground.whole()


def test_a_file_of_our_own_users_is_neither_replaced_nor_deleted(ground: Ground) -> None:
    """A package that carries or deletes files of B's own users is refused, whatever home it claims for them."""
    upload(ground)
    forge(ground, Channel.CONFERENCES, sql("UPDATE f SET path = ?", b"up/u@b/f0.bin"))
    refused(ground, Code.FOREIGN_PACKAGE, "does not give to the partner", Channel.CONFERENCES)


def test_a_deletion_of_our_own_users_file_is_refused(ground: Ground) -> None:
    """A tombstone for a file of B's own users is refused."""
    upload(ground)
    forge(ground, Channel.CONFERENCES, sql("UPDATE f SET path = ?, present = 0, member = 0", b"up/u@b/f0.bin"))
    refused(ground, Code.FOREIGN_PACKAGE, "does not give to the partner", Channel.CONFERENCES)


@pytest.mark.parametrize(
    "statements",
    [
        ("UPDATE k1 SET owner = 'u@b', name = 'i00001'", "UPDATE r1 SET owner = 'u@b', name = 'i00001'"),
        ("UPDATE k1 SET owner = 'u@b', name = 'i00001'", "DELETE FROM r1"),
        ("UPDATE r1 SET owner = 'u@b', name = 'i00001'",),
    ],
)
def test_rows_of_our_own_users_are_never_applied(ground: Ground, statements: tuple[str, ...]) -> None:
    """A package that names groups of B's own users, or rows of groups that it does not name, is refused whole."""
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'new', 'forged')")
    ground.turn("a")

    def spoil(rows: Path) -> None:
        for statement in statements:
            sql(statement)(rows)

    forge(ground, Channel.USERS, spoil)
    refused(ground, Code.FOREIGN_PACKAGE, "it carries rows", Channel.USERS)


def test_a_package_that_claims_our_users_is_refused(ground: Ground) -> None:
    """A manifest that says it serves B's own users is P502."""
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'new', 1)")
    ground.turn("a")
    forge(ground, Channel.USERS, change=lambda manifest: replace(manifest, served=("a", "b")))
    refused(ground, Code.FOREIGN_PACKAGE, "which this pool serves itself", Channel.USERS)


def test_a_zip_bomb_is_refused_while_it_unpacks(ground: Ground) -> None:
    """A member that inflates far beyond what its manifest says is stopped there: P504, and no large file stays in scratch."""
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'new', 1)")
    ground.turn("a")

    def bomb(rows: Path) -> None:
        with rows.open("r+b") as sink:
            sink.truncate(1 << 27)

    def lie(writer: PackageWriter) -> None:
        writer._members = [replace(member, raw_bytes=4096) for member in writer._members]

    forge(ground, Channel.USERS, bomb, lie=lie)
    (path,) = ground.standing("b")
    assert path.stat().st_size < 100_000
    refused(ground, Code.LIMIT, "more bytes than it may", Channel.USERS)
    scratch = ground.path("b").with_name("app.sqlite.poolpair")
    assert sum(each.stat().st_size for each in scratch.iterdir()) < 1_000_000


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: rows.write_bytes(b"no database" * 100), "cannot be read"),
        (lambda rows: rows.write_bytes(b""), "does not hold the tables"),
        (sql("CREATE VIEW v AS SELECT 1"), "objects that are not tables"),
        (sql("DROP TABLE k1"), "does not hold the tables"),
        (sql("ALTER TABLE r1 RENAME COLUMN value TO other"), "other columns"),
    ],
)
def test_a_rows_file_that_is_none_is_refused(ground: Ground, spoil: Spoil, words: str) -> None:
    """A sealed package whose rows are no database, or not the tables they should be, is P501 and not an endless retry."""
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'new', 1)")
    ground.turn("a")
    forge(ground, Channel.USERS, spoil)
    refused(ground, Code.DAMAGED, words, Channel.USERS)


def test_a_file_without_bytes_is_refused(ground: Ground) -> None:
    """Only what a returned pool hands in may name a file of which nothing is left."""
    upload(ground)
    forge(ground, Channel.CONFERENCES, sql("UPDATE f SET member = 0"))
    refused(ground, Code.DAMAGED, "no place in it", Channel.CONFERENCES)

"""Rows files sealed with the right key by a partner that is broken: whatever they hold, they are refused, and nothing else stops."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolpair.errors import Code, PoolpairError
from poolpair.model import BucketSet, Channel, Manifest, TableDigests
from poolpair.store.values import ApplyPlan, CatalogueFile, Cut, Exported, PackedFile
from tests.badinput.ground import Ground
from tests.badinput.test_crafted import forge, refused, sql, upload
from tests.contract.benches import SqliteBench, prepared_database, sqlite_bench
from tests.contract.carrying import export, nothing, plan_for

CONFERENCES = Channel.CONFERENCES


@pytest.mark.parametrize("assignment", ["size = -1", "member = 'one'", "offset = 9223372036854775807"])
def test_a_package_with_files_that_cannot_be_is_refused(ground: Ground, assignment: str) -> None:
    """A wrong type or range in the list of files is P501, not an error inside the program, and the pair heals."""
    upload(ground)
    forge(ground, CONFERENCES, _untyped(assignment))
    refused(ground, Code.DAMAGED, "", CONFERENCES)


def _untyped(assignment: str) -> Callable[[Path], None]:
    """Change the list of files after taking the types of its columns away, so that the value stays as it is written."""

    def spoil(rows: Path) -> None:
        with closing(sqlite3.connect(rows)) as connection, connection:
            columns = "path, size, mtime_ns, mode, sha256, home, conference, present, member, offset"
            connection.execute(f"CREATE TABLE g ({columns})")
            connection.execute("INSERT INTO g SELECT * FROM f")
            connection.execute("DROP TABLE f")
            connection.execute("ALTER TABLE g RENAME TO f")
            connection.execute(f"UPDATE f SET {assignment}")

    return spoil


def test_a_list_of_files_that_the_manifest_hides_is_refused(ground: Ground) -> None:
    """A deletion of B's own file is not carried out because the manifest says that no file is in the package."""
    upload(ground)
    spoil = sql("UPDATE f SET path = ?, present = 0, member = 0", b"up/u@b/f0.bin")
    forge(ground, CONFERENCES, spoil, change=lambda manifest: replace(manifest, files=0))
    refused(ground, Code.DAMAGED, "not as long as its manifest says", CONFERENCES)
    assert "up/u@b/f0.bin" in ground.files("b")


@pytest.mark.parametrize(
    "change",
    [
        lambda m: replace(m, digests=(TableDigests(home="a", table=1, counts=(), sums=()),)),
        lambda m: replace(m, digests=(TableDigests(home="a", table=1, counts=(1, 2), sums=("0" * 16,)),)),
        lambda m: replace(m, digests=(TableDigests(home="b", table=1, counts=(1,), sums=("0" * 16,)),)),
        lambda m: replace(m, buckets=(BucketSet(home="a", table=1, of=0, buckets=(0,)),)),
        lambda m: replace(m, buckets=(BucketSet(home="a", table=1, of=-4, buckets=(0,)),)),
        lambda m: replace(m, buckets=(BucketSet(home="a", table=1, of=10**30, buckets=(0,)),)),
        lambda m: replace(m, buckets=(BucketSet(home="b", table=1, of=1, buckets=(0,)),)),
        lambda m: replace(m, buckets=(BucketSet(home="a", table=1, of=4, buckets=(4,)),)),
    ],
)
def test_digests_and_buckets_that_cannot_be_are_refused(ground: Ground, change: Callable[[Manifest], Manifest]) -> None:
    """No buckets, sums without counts, buckets beyond the last, and those of B's own users: P501."""
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'new', 1)")
    ground.turn("a")
    forge(ground, Channel.USERS, change=change)
    refused(ground, Code.DAMAGED, "digests or buckets that cannot be", Channel.USERS)


def test_digests_of_a_table_that_is_not_here_differ(ground: Ground) -> None:
    """They are answered like any difference; that a table is unknown is no error of the program."""
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'new', 1)")
    ground.turn("a")
    strange = TableDigests(home="a", table=77, counts=(1, 2), sums=("0" * 16, "1" * 16))
    forge(ground, Channel.USERS, change=lambda manifest: replace(manifest, digests=(strange,)))
    ground.turn("b")
    assert not ground.quarantined("b")
    assert ground.fault("b") == ""
    ground.still_works("b-goes-on")


@pytest.mark.parametrize(
    "statements",
    [
        ("DROP TABLE r1", "CREATE TABLE r1 (owner, name, value, PRIMARY KEY (owner, name)) WITHOUT ROWID"),
        ("DROP TABLE k1", "CREATE VIRTUAL TABLE k1 USING rtree(owner, name, value)"),
        ("DROP TABLE r1", "CREATE TABLE r1 (owner, name, value CHECK (json_valid(value)))"),
        ("DROP TABLE r1", "CREATE TABLE r1 (owner, name, value DEFAULT (random()))"),
        ("DROP TABLE r1", "CREATE TABLE r1 (owner, name, value, more AS (hex(value)))"),
        ("CREATE INDEX i ON r1 (upper(owner))",),
        ("CREATE INDEX i ON r1 (owner) WHERE length(owner) > 1",),
    ],
)
def test_tables_of_another_kind_are_refused(ground: Ground, statements: tuple[str, ...]) -> None:
    """The right names and columns are not enough: what the statements of an apply need must be there."""
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'new', 1)")
    ground.turn("a")

    def spoil(rows: Path) -> None:
        for statement in statements:
            sql(statement)(rows)

    forge(ground, Channel.USERS, spoil)
    refused(ground, Code.DAMAGED, "", Channel.USERS)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> SqliteBench:
    """A store that takes forged rows files, one after another."""
    folder = tmp_path_factory.mktemp("forged")
    return sqlite_bench(prepared_database(folder), folder / "b")


@pytest.mark.parametrize(
    "assignment",
    [
        "path = 'up/u@a/new.bin'",
        "path = NULL",
        "path = 7",
        "size = -1",
        "size = 'large'",
        "size = 1.5",
        "size = NULL",
        "mtime_ns = 'yesterday'",
        "mtime_ns = 1e300",
        "mode = x'00'",
        "mode = 65536",
        "mode = -1",
        "sha256 = NULL",
        "sha256 = x'00'",
        "sha256 = 'zz'",
        "home = NULL",
        "conference = 5.5",
        "conference = x'ff'",
        "present = 2",
        "present = NULL",
        "present = 'yes'",
        "member = -1",
        "member = 'one'",
        "offset = -1",
        "offset = 'x'",
        "present = 0",
    ],
)
def test_every_column_of_the_list_of_files_is_checked(bench: SqliteBench, tmp_path: Path, assignment: str) -> None:
    """Each value alone that no origin writes has the whole file refused."""
    rows = tmp_path / "x.rows"
    cut = Cut(channel=CONFERENCES, served=("a",), since=0)
    file = CatalogueFile(
        path=b"x", size=1, mtime_ns=1, inode=1, mode=0o640, sha256="0" * 64, home="a", conference="one"
    )
    exported = export(bench, rows, cut, files=[PackedFile(file=file, member=1, offset=0)])
    _untyped("size = size")(rows)
    assert _outcome(bench, rows, exported, plan_for(cut)) is None
    _untyped(assignment)(rows)
    assert _outcome(bench, rows, exported, plan_for(cut)) is Code.DAMAGED


VALUES = st.one_of(
    st.none(),
    st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.binary(max_size=12),
    st.sampled_from(["a.example", "b.example", "a", 0, 1, -1, "local", "0" * 64, b"up/x", "\ufeff", "x\0y"]),
)
FILES = st.lists(st.tuples(*[VALUES] * 10), max_size=3)
UPLOADS = st.lists(st.tuples(st.sampled_from(["a.example", "x", 3, None]), VALUES, VALUES), max_size=4)


@settings(max_examples=150, deadline=None)
@given(FILES, UPLOADS, st.integers(0, 40_000), st.binary(max_size=8))
def test_no_content_of_a_rows_file_is_an_error_of_the_program(
    bench: SqliteBench,
    tmp_path_factory: pytest.TempPathFactory,
    files: list[tuple[object, ...]],
    uploads: list[tuple[object, ...]],
    at: int,
    noise: bytes,
) -> None:
    """Any values in any column, and any bytes over the file: it is applied or refused, and the store stays usable."""
    rows = tmp_path_factory.mktemp("rows") / "x.rows"
    cut = Cut(channel=CONFERENCES, served=("a",), since=0)
    exported = export(bench, rows, cut)
    with closing(sqlite3.connect(rows)) as connection, connection:
        marks = ", ".join("?" * 10)
        connection.execute("DROP TABLE f")
        connection.execute(
            "CREATE TABLE f (path, size, mtime_ns, mode, sha256, home, conference, present, member, offset)"
        )
        connection.executemany(f"INSERT INTO f VALUES ({marks})", files)
        connection.executemany("INSERT INTO k4 VALUES (?, ?)", [row[:2] for row in uploads])
        connection.executemany("INSERT INTO r4 VALUES (?, ?, ?)", uploads)
    data = bytearray(rows.read_bytes())
    data[at % len(data) : at % len(data) + len(noise)] = noise
    rows.write_bytes(data)
    assert _outcome(bench, rows, exported, plan_for(cut)) in {None, Code.DAMAGED, Code.FOREIGN_PACKAGE, Code.PARKED}
    with bench.store.transaction() as tx:
        tx.advance()


def _outcome(bench: SqliteBench, rows: Path, exported: Exported, plan: ApplyPlan) -> Code | None:
    """Apply a rows file; gives the code with which it was refused."""
    try:
        with bench.store.incoming(rows, CONFERENCES, exported.tables) as incoming:
            assert all(isinstance(packed.file.path, bytes) for packed in incoming.files())
            incoming.mark_placing()
            incoming.apply(plan, [], nothing)
    except PoolpairError as error:
        return error.code
    return None

"""Meeting files: a row never arrives before its file, and a conference that is too large waits by name."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

from poolpair.model import Channel, ExportStatus
from poolpair.pipeline.site import outbound_name
from poolpair.state import Outbound, Seed
from poolpair.store.tree import Tree
from tests.pair import Pair, make_pair

SLOT = "0b5e1f7c-0000-4000-8000-000000000001"


def _started(folder: Path, extra_sync: str = "") -> Pair:
    pair = make_pair(folder)
    for pool in ("a", "b"):
        toml = pair.toml(pool)
        toml.write_text(toml.read_text() + extra_sync)
        pair.start(pool)
    pair.settle()
    return pair


def _upload(pair: Pair, size: int) -> Path:
    """An upload at A: the row first, then the file, as Prosody does it."""
    _describe(pair)
    path = pair.folder / "data-a" / "share%2ea%2eexample" / "http_file_share" / f"{SLOT.replace('-', '%2d')}.bin"
    path.write_bytes(b"z" * size)
    return path


def _describe(pair: Pair) -> None:
    with pair.sql("a") as connection:
        connection.execute(
            'INSERT INTO prosodyarchive (host, user, store, key, "when", "with", type, value)'
            " VALUES ('share.a.example', '', 'uploads', ?, 1, 'x', 'xml', '<request/>')",
            (SLOT,),
        )


def _described_at_b(pair: Pair) -> bool:
    with pair.sql("b") as connection:
        return bool(connection.execute("SELECT count(*) FROM prosodyarchive WHERE key = ?", (SLOT,)).fetchone()[0])


def test_a_conference_that_is_too_large_waits_with_its_row(tmp_path: Path) -> None:
    """File and row stay behind, status names the conference, other uploads go on, and raising the limit sends it."""
    pair = _started(tmp_path, 'conference_max = "100KiB"\n')
    _upload(pair, 200_000)
    pair.turn()
    pair.clock.advance(130)
    pair.turn()
    pair.settle()
    assert not _described_at_b(pair)
    found = pair.channel("a", Channel.CONFERENCES)
    assert SLOT in found.export.left_behind
    assert pair.status("a").exit_status != 0
    small = pair.folder / "data-a" / "share%2ea%2eexample" / "http_file_share" / "small.bin"
    small.write_bytes(b"s")
    pair.clock.advance(130)
    pair.settle()
    assert "share%2ea%2eexample/http_file_share/small.bin" in pair.files("b")
    pair.stop("a")
    toml = pair.toml("a")
    toml.write_text(toml.read_text().replace("100KiB", "1MiB"))
    pair.start("a")
    pair.clock.advance(130)
    pair.settle()
    assert _described_at_b(pair)
    assert pair.files("a") == pair.files("b")


def test_a_conference_that_a_comparison_left_behind_goes_later(tmp_path: Path) -> None:
    """B is put back to before it came, and A sends none so large any more: what is known of it is logged anew, and goes when it may."""
    pair = _started(tmp_path, 'conference_max = "1MiB"\n')
    pair.stop("b")
    saved = pair.path("b").read_bytes()
    pair.start("b")
    file = _upload(pair, 200_000).relative_to(pair.folder / "data-a")
    pair.clock.advance(130)
    pair.settle()
    assert _described_at_b(pair)
    _limit(pair, "1MiB", "100KiB")
    pair.stop("b")
    pair.path("b").write_bytes(saved)
    (pair.folder / "data-b" / file).unlink()
    pair.start("b")
    pair.clock.advance(130)
    pair.settle()
    assert not _described_at_b(pair)
    assert SLOT in pair.channel("a", Channel.CONFERENCES).export.left_behind
    _limit(pair, "100KiB", "1MiB")
    pair.clock.advance(130)
    pair.turn()
    pair.turn()
    assert _described_at_b(pair)
    pair.settle()
    assert pair.files("a") == pair.files("b")


def _limit(pair: Pair, old: str, new: str) -> None:
    """Start A anew with another conference_max."""
    pair.stop("a")
    toml = pair.toml("a")
    toml.write_text(toml.read_text().replace(f'conference_max = "{old}"', f'conference_max = "{new}"'))
    pair.start("a")


def test_the_reach_of_a_copy_ends_where_a_conference_waits(tmp_path: Path) -> None:
    """Packages that leave it behind come all the time, and none says that everything from before it is there."""
    pair = _started(tmp_path, 'conference_max = "1MiB"\n')
    pair.live(30)
    before = pair.channel("b", Channel.CONFERENCES).imports.reach_age_s
    assert before is not None
    assert before <= 20
    _upload(pair, 2_000_000)
    small = pair.folder / "data-a" / "share%2ea%2eexample" / "http_file_share" / "small.bin"
    for number in range(3):
        small.write_bytes(b"s" * (number + 1))
        pair.live(130, step_s=5.0)
        assert pair.files("b")[f"share%2ea%2eexample/http_file_share/{small.name}"] == small.read_bytes()
    after = pair.channel("b", Channel.CONFERENCES).imports.reach_age_s
    assert after is not None
    assert after >= 390


def test_conferences_of_several_packages_do_not_wait_for_the_interval(tmp_path: Path) -> None:
    """What the package had no room for goes by the next ones, at once: no clock moves."""
    pair = _started(tmp_path, 'package_max = "1MiB"\nconference_max = "1MiB"\n')
    uploads = pair.folder / "data-a" / "share%2ea%2eexample" / "http_file_share"
    pair.clock.advance(130)
    pair.settle()
    for number in range(7):
        (uploads / f"large{number}.bin").write_bytes(os.urandom(400_000))
    pair.clock.advance(130)
    pair.settle()
    assert pair.files("a") == pair.files("b")
    assert not pair.channel("a", Channel.CONFERENCES).export.left_behind


def test_a_conference_that_no_package_has_room_for_is_not_tried_without_end(tmp_path: Path) -> None:
    """It waits by name, and the pair comes to rest between two intervals."""
    pair = _started(tmp_path, 'package_max = "1MiB"\nconference_max = "2MiB"\n')
    _upload(pair, 1_500_000)
    pair.clock.advance(130)
    pair.settle()
    assert SLOT in pair.channel("a", Channel.CONFERENCES).export.left_behind
    assert not _described_at_b(pair)


def test_a_conference_left_behind_in_a_seed_is_spared_and_sent_later(tmp_path: Path) -> None:
    """A file that moves while a repair is packed neither vanishes at the copy nor is forgotten."""
    pair = _started(tmp_path)
    uploads = pair.folder / "data-a" / "share%2ea%2eexample" / "http_file_share"
    victim, other = sorted(uploads.iterdir())[:2]
    name = str(victim.relative_to(pair.folder / "data-a"))
    tampered = pair.folder / "data-b" / other.relative_to(pair.folder / "data-a")
    tampered.write_bytes(b"tampered with")
    pair.clock.advance(130)
    pair.settle()
    site = pair.sites["a"]
    assert site.tree is not None
    pair.sites["a"] = replace(site, tree=_restless(site.tree, os.fsencode(name)))
    begin_repair(pair, "a", Channel.CONFERENCES)
    for _ in range(12):
        pair.turn()
        pair.clock.advance(11)
        pair.beat()
        assert name in pair.files("b")
    pair.sites["a"] = site
    pair.clock.advance(130)
    pair.settle()
    assert pair.files("a") == pair.files("b")
    assert pair.rows("a") == pair.rows("b")
    begin_repair(pair, "a", Channel.CONFERENCES)  # only one that leaves nothing out forgives what was tampered with
    pair.settle()
    assert pair.channel("a", Channel.CONFERENCES).export.status is ExportStatus.FINAL


def _restless(inner: Tree, restless: bytes) -> Tree:
    """A tree in which one file cannot be read whole: it always moves."""

    class Restless:
        def open(self, path: bytes) -> AbstractContextManager[BinaryIO]:
            return nullcontext(BytesIO(b"moving")) if path == restless else inner.open(path)

        def __getattr__(self, name: str) -> object:
            return getattr(inner, name)

    return cast("Tree", Restless())


def begin_repair(pair: Pair, pool: str, channel: Channel) -> None:
    """Compare both copies and send what differs, as `verify --repair` has it."""
    with pair.sites[pool].store.transaction() as tx:
        out = tx.load(Outbound, outbound_name(channel))
        assert out is not None
        tx.save(outbound_name(channel), replace(out, seed=Seed(reason="verify", repair=True)))


def test_what_waits_is_not_packed_without_end(tmp_path: Path) -> None:
    """While a conference waits, no empty packages leave between two intervals."""
    pair = _started(tmp_path, 'conference_max = "100KiB"\n')
    _upload(pair, 200_000)
    pair.settle()
    before = pair.channel("a", Channel.CONFERENCES).export.watermarks.packed
    for _ in range(5):
        pair.turn()
    assert pair.channel("a", Channel.CONFERENCES).export.watermarks.packed == before


def test_a_row_whose_file_is_not_there_yet_travels_as_it_is(tmp_path: Path) -> None:
    """An announced upload without file is carried as it stands at the origin; the file follows when it comes."""
    pair = _started(tmp_path)
    _describe(pair)
    pair.settle()
    assert _described_at_b(pair)
    path = pair.folder / "data-a" / "share%2ea%2eexample" / "http_file_share" / f"{SLOT.replace('-', '%2d')}.bin"
    path.write_bytes(b"late")
    pair.settle()
    assert pair.files("a") == pair.files("b")


def test_a_file_changed_at_the_copy_is_kept_aside(tmp_path: Path) -> None:
    """Somebody's change to the partner's file is counted, and kept in the spool before it is overwritten."""
    pair = _started(tmp_path)
    name = next(name for name in pair.files("b") if "a%2eexample" in name)
    (pair.folder / "data-b" / name).write_bytes(b"scribbled here")
    pair.turn("b")
    pair.clock.advance(130)
    pair.turn("b")
    assert pair.channel("b", Channel.CONFERENCES).imports.foreign_writes == 1
    (pair.folder / "data-a" / name).write_bytes(b"a new version at home")
    pair.clock.advance(130)
    pair.settle()
    assert pair.files("a") == pair.files("b")
    kept = list((pair.folder / "data-b" / "prosody.sqlite.poolpair" / "spool").iterdir())
    assert [path.read_bytes() for path in kept] == [b"scribbled here"]


def test_a_file_made_at_the_copy_is_kept_aside_when_a_repair_deletes_it(tmp_path: Path) -> None:
    """The partner never had it, so it is in nobody's copy: it leaves the tree, but is not thrown away."""
    pair = _started(tmp_path)
    name = next(name for name in pair.files("b") if "a%2eexample" in name)
    made = (pair.folder / "data-b" / name).with_name("ffffffff%2d0000%2d4000%2d8000%2d000000000001.bin")
    made.write_bytes(b"made here")
    pair.clock.advance(130)
    pair.turn("b")
    assert pair.channel("b", Channel.CONFERENCES).imports.foreign_writes == 1
    begin_repair(pair, "a", Channel.CONFERENCES)
    pair.settle()
    assert pair.files("a") == pair.files("b")
    kept = list((pair.folder / "data-b" / "prosody.sqlite.poolpair" / "spool").iterdir())
    assert [path.read_bytes() for path in kept] == [b"made here"]


def test_times_are_kept(tmp_path: Path) -> None:
    """A copied file has the time of the original."""
    pair = _started(tmp_path)
    for name in pair.files("a"):
        times = {(pair.folder / f"data-{pool}" / name).stat().st_mtime_ns for pool in ("a", "b")}
        assert len(times) == 1

"""Bad packages: each is refused with its reason, nothing else stops, and the pair is whole again by itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from poolpair.errors import Code
from poolpair.keyfile import new_key_file
from poolpair.model import Channel
from tests.badinput.ground import USERS_DATA, Ground, flipped


def send(ground: Ground, name: str = "new") -> Path:
    """A change at A stands as a package in B's share, not yet seen there."""
    ground.do("a", f"INSERT INTO item VALUES ('u@a', '{name}', 'v')")
    before = set(ground.standing("b"))
    ground.turn("a")
    (path,) = set(ground.standing("b")) - before
    return path


def refused(ground: Ground, code: Code, words: str) -> None:
    """B's next pass quarantines one package with this reason and says so; B's rows are as before."""
    before, count = ground.rows("b"), len(ground.quarantined("b"))
    ground.turn("b")
    found = ground.quarantined("b")
    assert len(found) == count + 1
    assert any(f"{code}: " in file.reason and words in file.reason for file in found), found
    assert ground.channel("b").imports.quarantined == len(found)
    assert ground.rows("b") == before


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.7, 0.999])
def test_a_truncated_package_is_refused_and_sent_again(ground: Ground, keep: float) -> None:
    """A package cut anywhere, down to zero bytes, goes to quarantine as P501 and its rows come with the next one."""
    path = send(ground)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    refused(ground, Code.DAMAGED, "package" if keep else "too short to be a package")
    ground.still_works("b-goes-on")
    ground.whole()
    assert ground.channel("a").export.partner_quarantined == 1
    assert ground.channel("a").export.rewinds == 1


def test_a_package_altered_anywhere_is_refused(ground: Ground) -> None:
    """One altered byte at any of many places is found, never applied, and costs nothing but a second delivery."""
    path = send(ground)
    data = path.read_bytes()
    before = ground.rows("b")
    places = [*range(0, 700, 7), *range(700, len(data), len(data) // 30)]
    for count, at in enumerate(places, 1):
        path.write_bytes(flipped(data, at, 1 << (at % 8)))
        ground.turn("b")
        assert not ground.standing("b"), (at, ground.fault("b"))
        assert len(ground.quarantined("b")) == count, at
    assert ground.rows("b") == before
    assert all(file.reason.startswith("P50") for file in ground.quarantined("b"))
    ground.still_works("b-goes-on")
    ground.whole()


def test_a_bit_that_makes_a_newer_format_is_damage(ground: Ground) -> None:
    """A package whose header says format 9 for one altered bit does not wait for an upgrade: it is refused and sent anew."""
    path = send(ground, "first")
    data = path.read_bytes()
    at = data.index(b'"format":1') + len(b'"format":')
    path.write_bytes(flipped(data, at, ord("1") ^ ord("9")))
    ground.turn("b")
    assert [file.reason[:4] for file in ground.quarantined("b")] == [Code.DAMAGED]
    ground.whole()


def test_an_old_package_put_back_is_deleted_and_counted(ground: Ground) -> None:
    """An applied package that comes again is superseded: removed, counted, not applied and not quarantined."""
    path = send(ground, "first")
    copy = path.read_bytes()
    ground.whole()
    ground.do("a", "UPDATE item SET value = 'newer' WHERE name = 'first'")
    ground.whole()
    path.write_bytes(copy)
    ground.turn("b")
    assert not ground.standing("b")
    assert ground.channel("b").imports.superseded == 1
    assert not ground.quarantined("b")
    assert ground.ask("b", "SELECT value FROM item WHERE name = 'first'") == [("newer",)]
    ground.still_works("b-goes-on")
    ground.whole()


def test_two_packages_with_swapped_names_are_refused(ground: Ground) -> None:
    """Names that do not agree with the sealed content are P503; both packages are sent anew."""
    first, second = send(ground, "first"), send(ground, "second")
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    ground.turn("b")
    assert [file.reason.split(":")[0] for file in ground.quarantined("b")] == [Code.MISNAMED] * 2
    assert "name does not agree" in ground.quarantined("b")[0].reason
    ground.still_works("b-goes-on")
    ground.whole()


def test_later_packages_wait_for_the_one_before(ground: Ground) -> None:
    """A package that arrives before its predecessor waits; when that comes, both are applied in order."""
    first, second = send(ground, "first"), send(ground, "second")
    data = first.read_bytes()
    first.unlink()
    ground.turn("b")
    assert ground.standing("b") == [second]
    first.write_bytes(data)
    ground.turn("b")
    assert not ground.standing("b")
    ground.whole()
    assert ground.channel("a").export.rewinds == 0


def test_a_reflected_package_is_refused(ground: Ground) -> None:
    """A's own package copied into A's share is P502: it comes from this pool itself."""
    path = send(ground)
    shutil.copy(path, ground.share("a") / USERS_DATA / path.name)
    before = ground.rows("a")
    ground.turn("a")
    (file,) = ground.quarantined("a")
    assert file.reason.startswith("P502: the package comes from this pool itself")
    assert ground.rows("a") == before
    ground.whole()


def test_a_package_of_another_channel_is_refused(ground: Ground) -> None:
    """A package of the users channel laid into the folder of meeting files is P502."""
    path = send(ground)
    path.rename(ground.share("b") / "ConfServices/Data/DataConfData" / path.name)
    ground.turn("b")
    (file,) = ground.quarantined("b")
    assert file.reason.startswith("P502: the package belongs to the channel users")
    assert ground.channel("b", Channel.CONFERENCES).imports.quarantined == 1
    ground.whole()


def test_a_foreign_package_is_refused(ground: Ground) -> None:
    """A package sealed by another pair is P502, and ours goes on."""
    ours = (ground.folder / "pair.key").read_bytes()
    (ground.folder / "pair.key").unlink()
    ring = new_key_file(ground.folder / "pair.key")
    (ground.folder / "pair.key").write_bytes(ours)
    site, own = ground.sites["a"], ground.sites["a"].keys
    site.keys = lambda: ring
    send(ground)
    site.keys = own
    refused(ground, Code.FOREIGN_PACKAGE, "the package belongs to another pair")
    ground.still_works("b-goes-on")
    ground.whole()


def test_a_package_of_a_future_format_waits(ground: Ground) -> None:
    """A newer format is said as P403 and waited for, never quarantined; an origin that never wrote it hears of it and sends anew."""
    path = send(ground)
    path.write_bytes(future(path.read_bytes()))
    for _ in range(3):
        ground.turn("b")
        assert ground.standing("b") == [path]
    assert not ground.quarantined("b")
    assert ground.fault("b") == "P403 the package has format 2, this release reads formats up to 1"
    assert ground.status("b").exit_status == 2
    ground.turn("a")
    assert "P403" in str(ground.channel("a").export.partner_fault)
    ground.still_works("b-goes-on")
    ground.whole()
    assert ground.channel("a").export.rewinds == 1
    assert not ground.quarantined("b")


def future(data: bytes) -> bytes:
    """The same package as a later release might begin it: well-formed, with format 2 in its clear header."""
    import io
    import zlib

    from poolpair.format.container import ContainerWriter, Section, read_directory

    source, sink = io.BytesIO(data), io.BytesIO()
    writer = ContainerWriter(sink)
    for entry in read_directory(source):
        content = Section(source, entry).read()
        assert zlib.crc32(content) == entry.crc
        if entry.name == "header.json":
            content = json.dumps({**json.loads(content), "format": 2}).encode()
        writer.begin(entry.name)
        writer.write(content)
        writer.end()
    writer.close()
    return sink.getvalue()


def test_a_standing_package_that_is_deleted_is_sent_again(ground: Ground) -> None:
    """Somebody deletes a package from B's share: a fresh cookie shows it, A rewinds, and nothing is lost."""
    send(ground).unlink()
    ground.whole()
    assert ground.channel("a").export.rewinds == 1
    assert ground.ask("b", "SELECT value FROM item WHERE name = 'new'") == [("v",)]


def test_quarantine_keeps_the_newest_files_only(ground: Ground, tmp_path: Path) -> None:
    """Quarantine is bounded by limits.quarantine_files: the oldest goes, the count in status stays true."""
    ground.stop("b")
    toml = ground.toml("b")
    toml.write_text(toml.read_text() + "[limits]\nquarantine_files = 3\n")
    ground.start("b")
    path = send(ground)
    for n in range(5):
        path.write_bytes(b"x" * n)
        ground.clock.advance(1)
        ground.turn("b")
    assert [file.size_bytes for file in ground.quarantined("b")] == [2, 3, 4]
    assert ground.channel("b").imports.quarantined == 5
    ground.whole()


def test_strange_names_in_data_are_left_alone(ground: Ground) -> None:
    """Files whose names the grammar does not accept, links and folders are neither read nor removed, wherever they point."""
    data = ground.share("b") / USERS_DATA
    strange = ["readme.txt", "backup-1.zip", "backup-..-00000001-00000000.zip", "..zip", "back\\..\\up.zip"]
    for name in strange:
        (data / name).write_bytes(b"?")
    valid = f"backup-{'0' * 32}-00000001-{'0' * 8}.zip"
    (data / valid).symlink_to("/etc/passwd")
    (data / valid.replace("1-", "2-")).mkdir()
    send(ground)
    ground.whole()
    assert {path.name for path in data.iterdir()} == {*strange, valid, valid.replace("1-", "2-")}
    assert not ground.quarantined("b")

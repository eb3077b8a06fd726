"""What only a share in a real directory shows: permissions, full and read-only disks, links that lead elsewhere."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format.layout import cookie_dir, data_dir, folders
from poolpair.model import Channel
from poolpair.share.directory import DirectoryOwnShare, DirectoryPartnerShare
from poolpair.share.port import Listed
from tests.unit.unprivileged import as_nobody, fill, make_read_only, names_in, reachable_folder, small_disk

DATA, COOKIE = data_dir(Channel.USERS), cookie_dir(Channel.USERS)
FOLDERS = folders([Channel.USERS])


@pytest.fixture
def root() -> Iterator[Path]:
    """A prepared share in which nobody but root may do anything but look."""
    with reachable_folder() as folder:
        DirectoryOwnShare(folder).prepare(FOLDERS)
        for below in folder.rglob("*"):
            below.chmod(0o755)
        yield folder


@pytest.fixture
def disk() -> Iterator[Path]:
    """A prepared share on a disk of 256 KiB."""
    with small_disk() as folder:
        DirectoryOwnShare(folder).prepare(FOLDERS)
        yield folder


def deliver(root: Path, data: bytes = b"package", name: str = "p.zip") -> int:
    """Deliver a package as the partner."""
    return DirectoryPartnerShare(root).deliver(io.BytesIO(data), DATA, name, "a-1.part")


def code_of(error: pytest.ExceptionInfo[PoolpairError]) -> Code:
    """The code of what was raised."""
    return error.value.code


def test_delivery_says_that_temp_takes_no_files(root: Path) -> None:
    """Without permission in Temp the message names the permission, the folder and the share."""
    answer = as_nobody(lambda: deliver(root))
    assert answer == f"P212: this account may not create files in Temp of the partner's share {root}"


def test_delivery_says_that_a_folder_takes_no_files(root: Path) -> None:
    """With Temp open and Data closed it names Data, and nothing stays in Temp."""
    (root / "Temp").chmod(0o777)
    answer = as_nobody(lambda: deliver(root))
    assert answer == f"P212: this account may not put files into {DATA} of the partner's share {root}"
    assert names_in(root / "Temp") == []


def test_a_share_that_may_not_be_entered_is_said(root: Path) -> None:
    """A closed root and a closed folder are each named."""
    (root / "UserServices").chmod(0o700)
    assert as_nobody(lambda: DirectoryOwnShare(root).list(DATA)).startswith("P212: this account may not enter UserS")
    root.chmod(0o700)
    assert as_nobody(lambda: DirectoryOwnShare(root).list(DATA)).startswith("P212: this account may not enter the top")


def test_write_and_enter_are_enough_to_deliver(root: Path) -> None:
    """A share that lets the partner drop files but not look takes packages and cookies."""
    for folder in ("Temp", DATA, COOKIE):
        (root / folder).chmod(0o733)
    partner = DirectoryPartnerShare(root)
    assert as_nobody(lambda: deliver(root)) == "7"
    assert as_nobody(lambda: partner.replace(COOKIE, "cookie.zip", b"1", "a-2.part")) == "None"
    assert DirectoryOwnShare(root).list(DATA) == (Listed("p.zip", 7),)


def test_the_owner_is_told_what_it_may_not_do(root: Path) -> None:
    """Listing, reading, deleting, quarantining, sweeping and writing each say what lacks."""
    own = DirectoryOwnShare(root)
    (root / DATA / "p.zip").write_bytes(b"x")
    (root / DATA / "p.zip").chmod(0o600)
    (root / COOKIE).chmod(0o711)
    answers = [
        as_nobody(lambda: own.list(COOKIE)),
        as_nobody(lambda: own.read_small(f"{DATA}/p.zip", 10)),
        as_nobody(lambda: own.remove(DATA, "p.zip")),
        as_nobody(lambda: own.quarantine(DATA, "p.zip", "why", "1")),
        as_nobody(lambda: own.sweep_temp(1)),
        as_nobody(lambda: own.write_small("pool.json", b"{}")),
        as_nobody(lambda: own.prepare(["New/Folder"])),
    ]
    end = f"of the own share {root}"
    assert answers == [
        f"P212: this account may not list {COOKIE} {end}",
        f"P212: this account may not read p.zip in {DATA} {end}",
        f"P212: this account may not delete files in {DATA} {end}",
        f"P212: this account may not move p.zip into Quarantine from {DATA} {end}",
        f"P212: this account may not create files in Temp {end}",
        f"P212: this account may not create files in Temp {end}",
        f"P212: this account may not make folders in the top folder {end}",
    ]


def test_access_checks_name_the_one_folder_that_lacks(root: Path) -> None:
    """The doctor's probe finds the closed folder among the open ones, and leaves nothing anywhere."""
    for folder in ("Temp", COOKIE):
        (root / folder).chmod(0o777)

    def words() -> str:
        checks = DirectoryPartnerShare(root).check_access([DATA, COOKIE])
        return "\n".join(f"{check.ok} {check.folder}: {check.words}" for check in checks)

    assert as_nobody(words).splitlines() == [
        f"True Temp: may create, rename and delete files in Temp of the partner's share {root}",
        f"False {DATA}: this account may not put files into {DATA} of the partner's share {root}",
        f"True {COOKIE}: may create, rename and delete files in {COOKIE} of the partner's share {root}",
    ]
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_full_share_is_said_and_gets_its_space_back(disk: Path) -> None:
    """A package that does not fit leaves nothing in Temp, and one that does still arrives."""
    before = DirectoryPartnerShare(disk).free_bytes()
    with pytest.raises(PoolpairError, match="no space is left") as error:
        deliver(disk, b"x" * 1_000_000)
    assert code_of(error) is Code.SHARE_FULL
    assert names_in(disk / "Temp") == []
    assert DirectoryPartnerShare(disk).free_bytes() == before
    assert deliver(disk, b"x" * 10_000) == 10_000


def test_a_full_share_can_be_cleaned(disk: Path) -> None:
    """With no byte left old Temp files are swept, and a refused file still leaves its folder, without its reason."""
    own = DirectoryOwnShare(disk)
    deliver(disk)
    old = disk / "Temp" / "old.part"
    old.write_bytes(b"x")
    os.utime(old, (0, 0))
    fill(disk)
    assert own.quarantine(DATA, "p.zip", "why", "1") == "1-p.zip"
    assert [(each.name, each.reason) for each in own.quarantined()] == [("1-p.zip", "")]
    assert own.sweep_temp(86_400) == 1
    assert names_in(disk / "Temp") == []


def test_a_read_only_share_is_said(disk: Path) -> None:
    """Delivering, deleting and probing say that it is mounted read-only; looking still works."""
    deliver(disk)
    make_read_only(disk)
    own, partner = DirectoryOwnShare(disk), DirectoryPartnerShare(disk)
    for attempt in (
        lambda: deliver(disk, name="q.zip"),
        lambda: partner.replace(COOKIE, "c", b"", "t"),
        lambda: own.remove(DATA, "p.zip"),
        lambda: own.sweep_temp(1),
    ):
        with pytest.raises(PoolpairError, match="read-only") as error:
            attempt()
        assert code_of(error) is Code.SHARE_READ_ONLY
    assert {check.code for check in partner.check_access([DATA])} == {Code.SHARE_READ_ONLY}
    assert own.list(DATA) == (Listed("p.zip", 7),)


def test_a_missing_root_is_never_made(tmp_path: Path) -> None:
    """A share that is not mounted is said, by both roles, and its folder not made on the disk below."""
    root = tmp_path / "share"
    own, partner = DirectoryOwnShare(root), DirectoryPartnerShare(root)
    for attempt in (
        lambda: own.prepare(FOLDERS),
        lambda: own.list(DATA),
        lambda: own.read_small("pool.json", 10),
        own.free_bytes,
        lambda: partner.identity("pool.json", 10),
        lambda: deliver(root),
    ):
        with pytest.raises(PoolpairError, match=str(root)) as error:
            attempt()
        assert code_of(error) is Code.SHARE_MISSING
    assert {check.code for check in partner.check_access(FOLDERS)} == {Code.SHARE_MISSING}
    assert not root.exists()


@pytest.mark.parametrize(("given", "made"), [(0o755, 0o750), (0o2770, 0o2770), (0o700, 0o700)])
def test_folders_take_the_permissions_of_the_root(tmp_path: Path, given: int, made: int) -> None:
    """A share for a group gets folders for that group, and others get nothing in any."""
    tmp_path.chmod(given)
    DirectoryOwnShare(tmp_path).prepare(FOLDERS)
    assert {stat.S_IMODE((tmp_path / folder).stat().st_mode) for folder in FOLDERS} == {made}


def test_only_regular_files_with_plain_names_are_listed(root: Path) -> None:
    """Links, folders, pipes and names beyond plain ASCII are passed over."""
    data = root / DATA
    (data / "link.zip").symlink_to("/etc/passwd")
    (data / "folder.zip").mkdir()
    os.mkfifo(data / "pipe.zip")
    for name in (b"p.zip", b"\xff.zip", "ü.zip".encode(), b"a\nb.zip", b"a:b.zip"):
        (data / os.fsdecode(name)).write_bytes(b"x")
    assert DirectoryOwnShare(root).list(DATA) == (Listed("p.zip", 1),)


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_regular_file_is_refused(root: Path, kind: str) -> None:
    """A link, folder or pipe in a file's place is neither followed nor waited for."""
    path = root / DATA / "p.zip"
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    own = DirectoryOwnShare(root)
    with pytest.raises(Refused) as refused, own.open(DATA, "p.zip"):
        pass
    assert refused.value.code is Code.MISNAMED
    with pytest.raises(Refused):
        own.read_small(f"{DATA}/p.zip", 10_000)


def test_a_folder_that_is_a_link_leads_nowhere(root: Path, tmp_path: Path) -> None:
    """Neither role works through a folder, or one above it, that was swapped for a link; nothing appears behind it."""
    (root / "UserServices").rename(root / "Moved")
    (root / "UserServices").symlink_to(root / "Moved")
    (root / "TaskAssignment").rmdir()
    (root / "TaskAssignment").symlink_to(tmp_path)
    own, partner = DirectoryOwnShare(root), DirectoryPartnerShare(root)
    for attempt in (
        lambda: deliver(root),
        lambda: own.list(DATA),
        lambda: own.prepare(FOLDERS),
        lambda: own.write_small("TaskAssignment/backup-service.txt", b"x"),
        lambda: partner.replace("TaskAssignment", "c", b"", "t"),
    ):
        with pytest.raises(PoolpairError, match="is a link or no folder") as error:
            attempt()
        assert code_of(error) is Code.SHARE_FAILED
    assert names_in(tmp_path) == names_in(root / "Temp") == []


def test_a_root_that_is_a_link_is_the_operators_choice(root: Path, tmp_path: Path) -> None:
    """The root itself may be a link: its path stands in the pool file."""
    (tmp_path / "link").symlink_to(root)
    assert deliver(tmp_path / "link") == 7
    assert DirectoryOwnShare(root).list(DATA) == (Listed("p.zip", 7),)


def test_a_planted_link_is_not_written_through(root: Path, tmp_path: Path) -> None:
    """Links planted under the names of a Temp file, a cookie or a small file are replaced; their targets stay."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    for name in ("Temp/a-1.part", f"{COOKIE}/cookie.zip", "pool.json"):
        (root / name).symlink_to(victim)
    assert deliver(root) == 7
    DirectoryPartnerShare(root).replace(COOKIE, "cookie.zip", b"word", "a-2.part")
    DirectoryOwnShare(root).write_small("pool.json", b"{}")
    assert victim.read_bytes() == b"precious"
    assert (root / COOKIE / "cookie.zip").read_bytes() == b"word"
    assert (root / "pool.json").read_bytes() == b"{}"


def test_a_name_taken_by_a_link_is_not_delivered(root: Path) -> None:
    """A link that stands under a package's name is not taken for the package, whatever it leads to."""
    (root / "seven").write_bytes(b"7 bytes")
    (root / DATA / "p.zip").symlink_to(root / "seven")
    with pytest.raises(PoolpairError, match="another file stands"):
        deliver(root)
    assert names_in(root / "Temp") == []


def test_two_changes_in_one_tick_of_the_clock_are_both_seen(root: Path) -> None:
    """A file that comes while the folder's time stands still changes the hint all the same."""
    own = DirectoryOwnShare(root)
    deliver(root, name="p.zip")
    before, times = own.changed_hint([DATA]), (root / DATA).stat()
    own.remove(DATA, "p.zip")
    deliver(root, name="q.zip")
    os.utime(root / DATA, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert own.changed_hint([DATA]) != before


def test_reasons_are_not_read_through_links(root: Path) -> None:
    """A reason that is a link, or too long, is shown as none."""
    for name in ("linked", "long"):
        (root / "Quarantine" / name).write_bytes(b"x")
    (root / "Quarantine" / "linked.reason.txt").symlink_to("/etc/passwd")
    (root / "Quarantine" / "long.reason.txt").write_bytes(b"x" * 100_000)
    assert [each.reason for each in DirectoryOwnShare(root).quarantined()] == ["", ""]


def test_a_file_system_without_hard_links_is_served(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where links are not to be had a rename does it, and still overwrites nothing."""

    def link(*_args: object, **_options: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    assert deliver(root) == deliver(root) == 7
    with pytest.raises(PoolpairError, match="another file stands"):
        deliver(root, b"longer than it")
    assert (root / DATA / "p.zip").read_bytes() == b"package"
    assert names_in(root / "Temp") == []


def test_an_error_while_reading_comes_in_our_words(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails under an open package is the share's failure, not a traceback."""
    deliver(root)
    with DirectoryOwnShare(root).open(DATA, "p.zip") as source:
        os.close(source.fileno())
        with pytest.raises(PoolpairError, match=r"read p\.zip") as error:
            source.read()
        os.dup2(os.open(os.devnull, os.O_RDONLY), source.fileno())
    assert code_of(error) is Code.SHARE_FAILED


def test_a_piece_is_not_written_through_a_planted_name(root: Path, tmp_path: Path) -> None:
    """Somebody who may write into the share gives another file of ours, or a link to one, the name of the half package."""
    partner, precious = DirectoryPartnerShare(root), tmp_path / "precious"
    precious.write_bytes(b"worth more than a package")
    temp = root / "Temp" / "a-1.part"
    for plant in (temp.hardlink_to, temp.symlink_to):
        plant(precious)
        assert partner.bring(io.BytesIO(b"0123456789"), "a-1.part", 4, 4) == 0
        assert partner.bring(io.BytesIO(b"0123456789"), "a-1.part", 0, 4) == 4
        assert precious.read_bytes() == b"worth more than a package"
        temp.unlink()

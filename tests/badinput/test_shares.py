"""Bad shares: missing, read-only, full, without permission, somebody else's. Status says which; the work goes on by itself afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.cycle import beat
from poolpair.errors import Code, PoolpairError
from poolpair.keyfile import new_key_file
from poolpair.model import Channel
from poolpair.wiring import initialise
from tests.badinput.ground import USERS_DATA, Ground, as_nobody, first_copy, make_ground, said, write_toml


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Ground]:
    """A pair whose shares are small file systems of their own: B's holds 1 MiB."""
    made = make_ground(tmp_path)
    for pool in ("a", "b"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(made.share(pool))], check=True)
    try:
        yield first_copy(made)
    finally:
        for pool in tuple(made.sites):
            made.stop(pool)
        for pool in ("a", "b"):
            subprocess.run(["umount", str(made.share(pool))], check=True)


def remount(ground: Ground, pool: str, how: str) -> None:
    """Make a share read-only or writable."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(ground.share(pool))], check=True)


def says(fault: str, *parts: str) -> None:
    """A message holds these parts in this order."""
    at = 0
    for part in parts:
        at = fault.find(part, at) + 1
        assert at, (part, fault)


def write(ground: Ground) -> None:
    """One change on either side."""
    for pool in ("a", "b"):
        ground.do(pool, f"INSERT INTO item VALUES ('u@{pool}', 'meanwhile', 1)")


def test_a_share_that_is_back_is_believed_with_the_first_word(ground: Ground) -> None:
    """A heartbeat met no share at B; what is sent as soon as it is back takes the fault away, and nobody waits for the next heartbeat."""
    away = ground.folder / "away"
    ground.share("b").rename(away)
    for channel in ground.sites["a"].channels:
        beat(ground.sites["a"], channel)
    ground.turn("a")
    says(ground.fault("a"), "P211")
    away.rename(ground.share("b"))
    ground.turn("a", force=True)
    assert not ground.fault("a")
    assert not ground.fault("a", Channel.CONFERENCES)


def test_a_missing_partner_share_is_said_and_nothing_is_lost(ground: Ground) -> None:
    """While B's share is away A says P211 with the path and keeps its changes; A still receives from B."""
    away = ground.folder / "away"
    ground.share("b").rename(away)
    write(ground)
    ground.turn("a")
    says(ground.fault("a"), "P211", f"the partner's share {ground.share('b')} is not there")
    assert ground.status("a").exit_status == 2
    assert ground.channel("a").export.pending_groups == 1
    assert not ground.share("b").exists()
    away.rename(ground.share("b"))
    ground.whole()


def test_a_missing_own_share_is_said_and_nothing_is_lost(ground: Ground) -> None:
    """While its own share is away B says P211, also in status, and works again when it is back."""
    away = ground.folder / "away"
    ground.share("b").rename(away)
    write(ground)
    ground.turn("b")
    assert "P211" in ground.fault("b")
    assert ground.status("b").exit_status == 2
    ground.share("b").mkdir()  # the bare mount point
    ground.turn("b", "a")
    assert "P211 the own share has no pool.json" in ground.fault("b")
    assert "P211 the partner's share has no pool.json" in ground.fault("a")
    assert not list(ground.share("b").iterdir())
    ground.share("b").rmdir()
    away.rename(ground.share("b"))
    ground.whole()


def test_a_missing_folder_is_named_and_init_makes_it(ground: Ground) -> None:
    """A deleted Data folder is P211 naming it on both sides; `init` at its owner makes it again."""
    shutil.rmtree(ground.share("b") / USERS_DATA)
    write(ground)
    ground.turn("b", "a")
    assert ground.fault("a").startswith("P211")
    assert USERS_DATA in ground.fault("a")
    assert USERS_DATA in ground.fault("b")
    initialise(ground.config("b"))
    ground.whole()


def test_a_read_only_partner_share_is_said(mounted: Ground) -> None:
    """Delivery into a read-only share is P214; the other direction's rows still come; writable again, all goes on."""
    remount(mounted, "b", "ro")
    write(mounted)
    mounted.turn("a")
    says(mounted.fault("a"), "P214", "read-only", f"create files in Temp of the partner's share {mounted.share('b')}")
    assert mounted.status("a").exit_status == 2
    remount(mounted, "b", "rw")
    mounted.whole()


def test_a_read_only_own_share_still_applies_once(mounted: Ground) -> None:
    """What stands in B's read-only share is applied once, P214 says that it cannot be taken away, and A hears of it."""
    write(mounted)
    mounted.turn("a")
    remount(mounted, "b", "ro")
    mounted.turn("b")
    mounted.turn("b")
    says(mounted.fault("b"), "P214", "read-only", f"delete files in {USERS_DATA}")
    assert mounted.ask("b", "SELECT count(*) FROM item WHERE name = 'meanwhile' AND owner = 'u@a'") == [(1,)]
    assert mounted.channel("b").imports.packages == mounted.channel("b").imports.applied
    mounted.turn("a")
    assert mounted.channel("a").export.in_flight == 0
    assert mounted.channel("a").export.partner_fault is not None
    remount(mounted, "b", "rw")
    mounted.whole()


def test_a_full_partner_share_is_said(mounted: Ground) -> None:
    """Without space in B's share A says P213, leaves no half file in Temp or Data, and delivers when there is space."""
    filler = mounted.share("b") / "filler"
    mounted.write_file("a", "large", os.urandom(400_000))
    filler.write_bytes(b"x" * 700_000)
    mounted.turn("a")
    says(mounted.fault("a", Channel.CONFERENCES), "P213", "no space is left", "files in Temp of the partner's share")
    assert mounted.status("a").exit_status == 2
    assert not list((mounted.share("b") / "Temp").iterdir())
    assert not mounted.standing("b", "ConfServices/Data/DataConfData")
    mounted.still_works("b-goes-on")
    filler.unlink()
    mounted.whole()


@pytest.fixture
def unprivileged() -> Iterator[Ground]:
    """A pair whose files belong to an unprivileged user, where root's rights do not hide a missing permission."""
    folder = Path(tempfile.mkdtemp(prefix="poolpair-badinput-"))
    folder.chmod(0o755)
    made = make_ground(folder)
    with as_nobody(folder):
        yield first_copy(made)
        for pool in tuple(made.sites):
            made.stop(pool)
    shutil.rmtree(folder)


def test_a_missing_permission_is_named(unprivileged: Ground) -> None:
    """Without the right to write into B's share A says P212 and which right it lacks; given it, A goes on."""
    write(unprivileged)
    temp = unprivileged.share("b") / "Temp"
    temp.chmod(0o555)
    unprivileged.turn("a")
    says(
        unprivileged.fault("a"),
        "P212",
        f"may not create files in Temp of the partner's share {unprivileged.share('b')}",
    )
    temp.chmod(0o755)
    data = unprivileged.share("b") / USERS_DATA
    data.chmod(0o555)
    unprivileged.turn("a")
    assert f"may not put files into {USERS_DATA}" in unprivileged.fault("a")
    assert not list(temp.iterdir())
    data.chmod(0o755)
    unprivileged.whole()


def test_an_unreadable_own_share_is_named(unprivileged: Ground) -> None:
    """Without the right to list or delete in its own share B says P212; what was applied is not applied again."""
    write(unprivileged)
    unprivileged.turn("a")
    data = unprivileged.share("b") / USERS_DATA
    data.chmod(0o000)
    unprivileged.turn("b")
    says(unprivileged.fault("b"), "P212", f"may not list {USERS_DATA} of the own share")
    data.chmod(0o555)
    unprivileged.turn("b")
    assert "may not delete files in" in unprivileged.fault("b")
    data.chmod(0o755)
    unprivileged.whole()


def test_an_unreadable_package_waits(unprivileged: Ground) -> None:
    """A package that this account may not read is P212 and stays where it is until it may."""
    write(unprivileged)
    unprivileged.turn("a")
    (path,) = unprivileged.standing("b")
    path.chmod(0o000)
    unprivileged.turn("b")
    assert "P212" in unprivileged.fault("b")
    assert unprivileged.standing("b") == [path]
    path.chmod(0o644)
    unprivileged.whole()


def test_both_pools_given_one_share_is_refused(ground: Ground) -> None:
    """A pool file that names one share for both pools is P101, also through a link, and no command works with it."""
    ground.stop("a")
    link = ground.folder / "link"
    link.symlink_to(ground.share("a"))
    for share in (ground.share("a"), link):
        write_toml(ground, "a", "b", partner_share=str(share))
        for command in ("status", "init", "sync"):
            code, words = said(ground.command("a", command))
            assert code is Code.CONFIG
            assert "both pools are given one share" in words
    write_toml(ground, "a", "b")
    ground.start("a")
    ground.whole()


def test_init_in_the_partners_share_is_refused(tmp_path: Path) -> None:
    """A pool whose own share is already another's is refused by `init` as P215 before anything is written anywhere."""
    ground = make_ground(tmp_path)
    initialise(ground.config("b"))
    write_toml(ground, "a", "b", share=str(ground.share("b")), partner_share=str(ground.share("a")))
    before = sorted(ground.share("b").rglob("*"))
    with pytest.raises(PoolpairError, match="belongs to pool 'b'") as caught:
        initialise(ground.config("a"))
    assert caught.value.code is Code.SHARE_FOREIGN
    assert sorted(ground.share("b").rglob("*")) == before
    assert ground.ask("a", "SELECT name FROM sqlite_master WHERE name GLOB 'poolpair*'") == []


def test_the_wrong_partners_share_is_refused(ground: Ground, tmp_path: Path) -> None:
    """With another pair's share in place of B's, A says P215 and whose it is; nothing is written there."""
    other = tmp_path / "other"
    other.mkdir()
    strange = make_ground(other)
    initialise(strange.config("b"))
    before = {path: path.stat().st_mtime_ns for path in sorted(strange.share("b").rglob("*"))}
    ground.stop("a")
    write_toml(ground, "a", "b", partner_share=str(strange.share("b")))
    ground.start("a")
    write(ground)
    ground.turn("a", force=True)
    assert ground.fault("a").startswith("P215 the partner's share belongs to pool 'b' of pair")
    assert ground.status("a").exit_status == 2
    assert {path: path.stat().st_mtime_ns for path in sorted(strange.share("b").rglob("*"))} == before
    ground.stop("a")
    write_toml(ground, "a", "b")
    ground.start("a")
    ground.whole()


def test_a_damaged_pool_json_is_used_by_nobody(ground: Ground) -> None:
    """A share whose pool.json is zero bytes, or that of another pair, is P215 for both sides until it is put right."""
    path = ground.share("b") / "pool.json"
    right = path.read_bytes()
    ring = new_key_file(ground.folder / "other.key")
    for wrong, words in (
        (b"", "damaged"),
        (right.replace(ground.sites["b"].pair_id.encode(), ring.pair_id.encode()), "belongs to"),
    ):
        path.write_bytes(wrong)
        ground.turn(force=True)
        assert ground.fault("a").startswith("P215")
        assert ground.fault("b").startswith("P215")
        assert words in ground.fault("a")
    path.write_bytes(right)
    ground.whole()


def test_a_slip_in_the_partners_name_is_refused_where_one_begins(tmp_path: Path) -> None:
    """`init`, `run` and `sync` say which line of the pool file it is, also of a pool that is prepared; a share that is away is no slip."""
    homes = {"shared": "a", "*": "a"}
    ground = make_ground(tmp_path, homes=homes)
    for pool in ("a", "b"):
        initialise(ground.config(pool))
    write_toml(ground, "a", "bb", homes=homes, partner_share=str(ground.share("b")))
    for words in (("init",), ("run", "--allow-root"), ("sync",)):
        result = ground.command("a", *words)
        assert said(result)[0] is Code.SHARE_FOREIGN, words
        assert isinstance(result.exception, PoolpairError)
        assert result.exception.hint == "`[partner] pool` in the pool file names 'bb': is 'b' meant?"
    ground.share("b").rename(tmp_path / "away")
    assert ground.command("a", "init").exit_code == 0

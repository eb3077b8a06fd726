"""Bugs that peers of poolpair had, each as a test: how pools are set up and what commands tell (T16 to T18, T20, T21)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from poolpair.cli.check import local_disk
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel, ExportStatus
from poolpair.testing.clock import VirtualClock
from poolpair.wiring import initialise
from tests.badinput.ground import HOMES, Ground, said, write_toml

HOUR_S = 3600.0


def test_t16_two_databases_claim_to_be_the_same_pool(ground: Ground) -> None:
    """A second machine set up as pool A over the same share delivers and applies nothing: the share says whose it is."""
    ground.stop("a")
    twin = ground.folder / "twin"
    twin.mkdir()
    shutil.copy(ground.path("a"), twin / "app.sqlite")
    write_toml(ground, "a", "b", store=f"sqlite:///{twin}/app.sqlite", files=str(twin))
    ground.do("b", "INSERT INTO item VALUES ('u@b', 'new', 1)")
    ground.turn("b")
    standing = ground.standing("a")
    code, _ = said(ground.command("a", "sync"))
    assert code is Code.CLONE
    assert ground.standing("a") == standing
    assert not ground.standing("b")
    write_toml(ground, "a", "b")
    ground.start("a")
    ground.whole()


def test_t16_both_pools_are_pointed_at_one_share(ground: Ground) -> None:
    """One share for both, and shares that were swapped, are refused with the owner's name before anything is written."""
    ground.stop("a")
    own, others = str(ground.share("a")), str(ground.share("b"))
    before = {path: path.read_bytes() for path in ground.share("b").rglob("*") if path.is_file()}
    for share, partner_share, code in ((own, own, Code.CONFIG), (others, own, Code.SHARE_FOREIGN)):
        write_toml(ground, "a", "b", share=share, partner_share=partner_share)
        assert said(ground.command("a", "init"))[0] is code
        assert said(ground.command("a", "sync"))[0] is code
    assert {path: path.read_bytes() for path in ground.share("b").rglob("*") if path.is_file()} == before


def test_t17_a_step_that_failed_at_the_other_side_ends_with_success(ground: Ground) -> None:
    """Commands that could not reach the partner, or found a difference, do not exit with 0."""
    ground.stop("a")
    away = ground.folder / "away"
    ground.share("b").rename(away)
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'new', 1)")
    for words in (("sync",), ("sync", "--wait", "final", "--timeout", "0.1"), ("verify", "--timeout", "0.1")):
        result = ground.command("a", *words)
        assert result.exit_code != 0, words
        assert said(result)[0] is Code.SHARE_MISSING, words
    assert ground.command("a", "status").exit_code == 3
    away.rename(ground.share("b"))
    ground.stop("b")
    assert said(ground.command("a", "sync", "--wait", "final", "--timeout", "0.1"))[0] is Code.TIMEOUT
    assert ground.command("b", "parked", "retry", "77").exit_code != 0


def test_t18_a_setting_that_differs_between_the_sites_is_said_on_one_of_them_only(ground: Ground) -> None:
    """Other homes at A are an error on both sides with the same code, and nothing is applied on either."""
    ground.stop("a")
    write_toml(ground, "a", "b", homes={**HOMES, "*@c": "a"})
    initialise(ground.config("a"))
    ground.start("a")
    before = ground.rows("a"), ground.rows("b")
    for pool in ("a", "b"):
        ground.do(pool, f"INSERT INTO item VALUES ('u@{pool}', 'new', 1)")
    ground.settle()
    for pool in ("a", "b"):
        assert ground.status(pool).exit_status == 2
        channel = ground.channel(pool, Channel.USERS)
        assert channel.imports.fault is not None
        assert channel.export.partner_fault is not None
        assert channel.imports.fault.code is channel.export.partner_fault.code is Code.SETTINGS
        assert channel.export.status is not ExportStatus.FINAL
        assert "P305" in ground.command(pool, "status").output
    for pool, rows, other in (("a", before[0], "u@b"), ("b", before[1], "u@a")):
        assert [row for row in ground.rows(pool) if other.encode() in row] == [
            row for row in rows if other.encode() in row
        ]


MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
31 22 0:40 / /srv/far rw - {kind} server:/export rw
32 31 8:2 / /srv/far/near rw - xfs /dev/sdb1 rw
"""


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3"])
def test_t20_a_sqlite_database_on_a_network_share_is_used_without_a_word(kind: str) -> None:
    """WAL over a network corrupts databases: `check` refuses such a place and says why; a local disk mounted below it is fine."""
    mounts = MOUNTS.format(kind=kind)
    with pytest.raises(PoolpairError, match=rf"lies on a network file system \({kind} at /srv/far\)") as caught:
        local_disk(Path("/srv/far/app.sqlite"), mounts)
    assert "write-ahead log" in caught.value.hint
    assert "xfs" in local_disk(Path("/srv/far/near/app.sqlite"), mounts)
    assert "ext4" in local_disk(Path("/srv/app.sqlite"), mounts)


@pytest.mark.parametrize("ahead_s", [5 * HOUR_S, -5 * HOUR_S])
def test_t21_clocks_that_are_hours_apart_lose_changes(ground: Ground, ahead_s: float) -> None:
    """Neither order nor freshness depends on dates: with B's clock hours off, newer and older changes arrive all the same."""
    ground.stop("b")
    skewed = VirtualClock(ground.clock.now_s + 10 * HOUR_S)
    skewed.wall_offset_s = ahead_s - 10 * HOUR_S
    ground.clocks["b"] = skewed
    ground.start("b")
    for n in range(3):
        for pool in ("a", "b"):
            ground.do(pool, f"UPDATE item SET value = 'turn{n}' WHERE owner = 'u@{pool}'")
            ground.write_file(pool, "f0", f"{pool}{n}".encode() * 60)
        ground.advance(130)
        ground.settle()
        assert ground.rows("a") == ground.rows("b")
        assert ground.files("a") == ground.files("b")
    ground.live(20)
    assert {
        ground.channel(pool, channel).export.status for pool in "ab" for channel in (Channel.USERS, Channel.CONFERENCES)
    } == {ExportStatus.FINAL}


def test_a_state_that_did_not_come_says_what_it_waited_for(ground: Ground) -> None:
    """A row of nobody's makes FinalState impossible: `sync` names it, as `status` would."""
    ground.stop("a")
    ground.do("a", "INSERT INTO item VALUES ('nobody', 'stray', 1)")
    result = ground.command("a", "sync", "--wait", "final", "--timeout", "0.1")
    code, detail = said(result)
    assert code is Code.TIMEOUT
    assert detail.startswith("the wished state did not come in time; ")
    assert "1 unhomed (P307)" in detail

"""What does not reach the partner is never called steady, however lively the line is."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from poolpair.cycle import beat
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel, ExportStatus
from poolpair.share.port import PartnerShare
from poolpair.status import Reason
from tests.pair import Pair, make_pair

STEP_S = 5.0


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Both services, at rest."""
    made = make_pair(tmp_path)
    for pool in ("a", "b"):
        made.start(pool)
    made.settle()
    return made


def test_what_is_refused_again_and_again_is_not_steady(pair: Pair) -> None:
    """Somebody damages each package and leaves the words alone: the change keeps its age, and after a few tries status says so."""
    with pair.sql("a") as connection:
        connection.execute("UPDATE prosody SET value = 'new' WHERE host = 'a.example' AND store = 'account_details'")
    ages = []
    for _ in range(12):
        pair.turn("a", force=True)
        for package in pair.package_files("b"):
            data = bytearray(package.read_bytes())
            data[len(data) // 2] ^= 1
            package.write_bytes(data)
        pair.live(STEP_S, STEP_S)
        ages.append(pair.channel("a").export.lag_s)
    export = pair.channel("a").export
    assert (export.status, export.reason) == (ExportStatus.NON_STEADY, Reason.IN_VAIN)
    assert pair.status("a").exit_status == 1
    assert ages == sorted(ages)
    assert ages[-1] >= 11 * STEP_S
    pair.live(400.0, STEP_S)
    assert pair.channel("a").export.status is ExportStatus.FINAL
    assert pair.rows("a") == pair.rows("b")


class _Unreachable:
    """A share into which nothing can be put."""

    def __init__(self, inner: PartnerShare) -> None:
        self._inner = inner

    def replace(self, folder: str, name: str, data: bytes, temp_name: str) -> None:
        """The server is away."""
        raise PoolpairError(Code.SHARE_FAILED, "the server is away")

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_a_heartbeat_that_does_not_arrive_is_a_fault_also_when_nobody_writes(pair: Pair) -> None:
    """Nothing is to be sent, so no pass would find it; and it is gone when the next one arrives."""
    site = pair.sites["a"]
    site.other, reachable = cast(PartnerShare, _Unreachable(site.other)), site.other
    beat(site, Channel.USERS)
    pair.turn("a")
    export = pair.channel("a").export
    assert export.fault is not None
    assert (export.status, export.fault.code) == (ExportStatus.ERROR, Code.SHARE_FAILED)
    site.other = reachable
    pair.beat()
    assert pair.channel("a").export.fault is None

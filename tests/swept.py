"""What every sweep asserts."""

from __future__ import annotations

import os

from poolpair.testing.stores import StoreKind
from poolpair.testing.sweep import sweep

DENSE = bool(os.environ.get("POOLPAIR_DENSE"))
"""`make storm`: hours of sweeps, of which the long tests take a part."""


def assert_all_hold(
    kind: StoreKind,
    victim: str,
    way: str,
    *,
    first: int,
    stride: int,
    scenario: str = "edits",
    may_be_none: bool = False,
) -> None:
    """Let every so manieth call of the victim go wrong in this way; no checker may object."""
    swept = list(sweep(kind, victim, way, scenario=scenario, first=first, stride=stride))
    assert swept or may_be_none, "no call was met: the sweep proves nothing"
    for each in swept:
        assert each.outcome.violation is None, f"{way} at call {each.at}, {each.point} of {victim}:\n" + "\n".join(
            each.outcome.trace[-40:]
        )

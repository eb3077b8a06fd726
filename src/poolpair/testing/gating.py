"""The gate in the simulator: operators set it in both pool files, and services start anew with it."""

from __future__ import annotations

from poolpair.moves import GateRules
from poolpair.testing.steps import Step
from poolpair.testing.world import World

RULES = (
    GateRules(at_start=True),
    GateRules(at_start=True, wait_s=None),
    GateRules(at_start=True, wait_s=5.0, self_fence_after_s=40.0),
    GateRules(self_fence_after_s=31.0),
    GateRules(),
)


def gate(world: World, step: Step) -> str:
    """What a pool file says of the gate from now on; a service reads it when it starts."""
    pool = world.pools[step.pool]
    pool.rules = RULES[step.number % len(RULES)]
    return "set"

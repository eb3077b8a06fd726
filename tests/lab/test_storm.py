"""A lab in a storm: whatever is killed, in whatever order, afterwards nothing is lost, doubled or in dispute."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from poolpair.lab.deployment.making import make, remove
from tests.lab.storm import Storm, weather

SEEDS = {"postgresql": "1 2", "sqlite": "3"}
CHOSEN = [
    (store, int(seed)) for store, seeds in SEEDS.items() for seed in os.environ.get("POOLPAIR_STORM", seeds).split()
]
STEPS = int(os.environ.get("POOLPAIR_STORM_STEPS", "50"))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("store", "seed"), CHOSEN)
def test_a_lab_weathers_a_storm(store: str, seed: int, tmp_path: Path) -> None:
    """Seeded steps; POOLPAIR_STORM="4 5" takes other seeds, POOLPAIR_STORM_STEPS another length."""
    layout = make(tmp_path / "lab", store, lambda words: None)
    try:
        weather(Storm(layout, seed), STEPS)
    finally:
        remove(layout)

"""A small pair after its first copy; it stops its services at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.badinput.ground import Ground, first_copy, make_ground


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """Two pools, whole, both services running."""
    made = first_copy(make_ground(tmp_path))
    yield made
    for pool in tuple(made.sites):
        made.stop(pool)

"""Draws the ids and nonces of production code from a seed, so that one seed gives one history, to the byte."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from poolpair.model import Randomness


@contextmanager
def seeded_ids(seed: int) -> Iterator[None]:
    """Within this context every `new_id` and `new_nonce` follows from the seed."""
    before = Randomness.draw
    Randomness.draw = Random(seed).randbytes
    try:
        yield
    finally:
        Randomness.draw = before

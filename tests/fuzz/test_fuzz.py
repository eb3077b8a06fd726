"""A short run over every parser, and everything that longer runs found; `make fuzz` is a long one."""

from __future__ import annotations

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.store.profile_file import parse_profile
from tests.fuzz.runner import fuzz, replay
from tests.fuzz.targets import TARGETS, Target

SHORT = 60


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_short_run(target: Target) -> None:
    """Whatever a parser is given, it accepts it or refuses it with an error of ours, and accepts nothing that nobody made."""
    outcome = fuzz(target, SHORT * target.share, seed=1)
    assert not outcome.failures
    assert len(outcome.kinds) > 1, "the inputs never came to anything new"


def test_everything_that_was_found() -> None:
    """Inputs that once broke a parser do so no more."""
    assert not [outcome for outcome in replay() if outcome.failures]


@pytest.mark.parametrize("text", [b"a = " + b"[" * 100_000, b"a = " + b"{a=" * 100_000], ids=["arrays", "tables"])
def test_brackets_without_end(text: bytes) -> None:
    """A TOML file that is nested deeper than its reader goes is refused like any that is no TOML."""
    with pytest.raises(PoolpairError) as caught:
        parse_profile(text, "deep")
    assert (caught.value.code, "nested too deeply" in caught.value.detail) == (Code.PROFILE, True)

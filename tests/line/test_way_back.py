"""Commands that are printed or refused after a disaster: each is the one that helps, and can be given as it stands there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from poolpair.cli.decide import way_to_yield
from poolpair.cli.main import app
from poolpair.decisions import not_yielded, yield_to_partner
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.serving.ordering import Act, act_for
from tests.home_moves import backup, hand_over, make_pair, set_back, settle, take_over, takes_writes, write
from tests.memory_pair import MemoryPair


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy."""
    return make_pair(tmp_path)


def refused(pair: MemoryPair, pool: str, home: str, *, away: bool) -> str:
    """Which other command a disaster failover names that is refused here."""
    with pytest.raises(PoolpairError) as caught:
        act_for(pair.sites[pool], home, away=away, disaster=True)
    assert caught.value.code is Code.USAGE
    return caught.value.hint


def test_who_died_while_it_served_our_users_does_not_serve_them_still(pair: MemoryPair) -> None:
    """`failover a --disaster` at a, whose users are at the dead b: nobody is served there already, and the way home is named."""
    hand_over(pair, "a")
    assert "`failback a --disaster` lets them be served here" in refused(pair, "a", "a", away=True)
    assert act_for(pair.sites["a"], "a", away=False, disaster=True) is Act.ORDER
    assert act_for(pair.sites["b"], "a", away=True, disaster=True) is Act.NOTHING
    hand_over(pair, "b")
    assert "lets them be served here" not in refused(pair, "a", "a", away=True)
    hand_over(pair, "b", "b")
    assert "`failover b --disaster`" not in refused(pair, "a", "b", away=False)
    assert "`failback b --disaster` lets them be served here" in refused(pair, "b", "b", away=True)


def parsed(line: str) -> tuple[str, str, dict[str, Any]]:
    """At which pool a command of the way is given, its name, and what it is given as the program reads it."""
    place, _, rest = line.partition(". at ")[2].partition(": poolpair ")
    words = rest.partition("    ")[0].partition(";")[0].split()
    if words[0] == "--cms":
        words = words[1:]
    found = get_command(app)
    while isinstance(found, TyperGroup):
        found, name, words = found.commands[words[0]], words[0], words[1:]
    return place, name, found.make_context(name, words).params


def test_each_command_of_the_way_to_yield_moves_what_it_names(pair: MemoryPair) -> None:
    """A had taken over b's users and is set back to before that: b takes everybody over, its own users by coming home."""
    saved = backup(pair, "a")
    take_over(pair, "a", "b")
    settle(pair)
    write(pair, "a", 1)
    settle(pair)
    set_back(pair, "a", saved)
    settle(pair)
    site = pair.sites["a"]
    homes = not_yielded(site)
    assert homes == ("a", "b")
    said = list(way_to_yield(homes, site))
    for line, home in zip(said[1:], homes, strict=False):
        place, name, said_of = parsed(line)
        assert (place, said_of["pool"], said_of["disaster"]) == ("b", home, True)
        act = act_for(pair.sites[place], home, away=name == "failover", disaster=True)
        assert act is Act.ORDER, line
        take_over(pair, place, home)
    settle(pair)
    for line in said[3:]:
        parsed(line)
    assert [takes_writes(pair, home) for home in homes] == [("b",), ("b",)]
    assert yield_to_partner(site)


def test_the_way_to_yield_says_when_the_management_store_is_meant(pair: MemoryPair) -> None:
    """Each of its commands would do something else without that."""
    site = replace(pair.sites["a"], channels=(Channel.CMS,))
    said = list(way_to_yield(("a",), site))[1:]
    assert len(said) == 4
    for line in said:
        assert "poolpair --cms " in line
        parsed(line)

"""The topology: what holds together, and everything that does not, said at once."""

from __future__ import annotations

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.management.topology import check_against, parse_topology

GOOD = """\
[[pools]]
name = "a"
site = "Berlin"
kind = "postgresql"
share = "smb://FILES.example/pools/a"
front_ends = ["fe1", "fe2"]
[[pools]]
name = "b"
kind = "postgresql"
share = "/srv/share-b"
front_ends = ["fe3"]
[[pools]]
name = "c"
kind = "sqlite"
share = "/srv/share-c"
front_ends = ["fe4"]
[[pools]]
name = "d"
kind = "sqlite"
share = "/srv/share-d"
front_ends = ["fe5"]
[[pairs]]
pools = ["a", "b"]
holds_store = true
[[pairs]]
pools = ["c", "d"]
"""


def test_a_deployment_is_read() -> None:
    """Pools, servers, pairs, and which of them holds the store."""
    found = parse_topology(GOOD)
    assert [pool.name for pool in found.pools] == ["a", "b", "c", "d"]
    assert found.holding.pools == ("a", "b")
    one = found.pool("a")
    assert one is not None
    assert (one.site, one.share, one.front_ends) == ("Berlin", "smb://FILES.example/pools/a", ("fe1", "fe2"))
    pair = found.pair_of("d")
    assert pair is not None
    assert pair.pools == ("c", "d")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('pools = ["c", "d"]', 'pools = ["b", "d"]', "pool b is in two pairs"),
        ('pools = ["c", "d"]', 'pools = ["c", "e"]', "the pair of c and e names e, which is no pool"),
        ('pools = ["c", "d"]', 'pools = ["c", "c"]', "pool c is in two pairs"),
        ('pools = ["c", "d"]', 'pools = ["c"]', "expected two names of pools"),
        ('kind = "sqlite"\nshare = "/srv/share-d"', 'kind = "postgresql"\nshare = "/srv/share-d"', "pools of a pair are of one kind"),
        ('kind = "sqlite"\nshare = "/srv/share-d"', 'kind = "mysql"\nshare = "/srv/share-d"', "expected 'sqlite' or 'postgresql'"),
        ("/srv/share-d", "/srv/share-c", "one share is given to two pools: /srv/share-c"),
        ("/srv/share-d", "/srv/./share-c/", "one share is given to two pools: /srv/share-c"),
        ("/srv/share-d", "SMB://files.EXAMPLE/pools/a", "one share is given to two pools: smb://files.example/pools/a"),
        ('"fe5"', '"fe1"', "front end fe1 is there twice"),
        ('"fe5"', '"FE1"', "front end fe1 is there twice"),
        ('"fe5"', '"../fe5"', "names of servers"),
        ('front_ends = ["fe5"]', "front_ends = []", "names of servers"),
        ('name = "d"', 'name = "c"', "pool c is there twice"),
        ('name = "d"', 'name = "D"', "no name of a pool"),
        ("holds_store = true", "holds_store = false", "no pairs hold the management store"),
        ('pools = ["c", "d"]', 'pools = ["c", "d"]\nholds_store = true', "2 pairs hold the management store"),
        ("holds_store = true", "hold_store = true", "did you mean holds_store"),
        ('site = "Berlin"', 'seite = "Berlin"', "did you mean site"),
        ("[[pairs]]", "[[pair]]", "did you mean [[pairs]]"),
        ("[[pools]]", "[pools]", "not TOML"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(old: str, new: str, said: str) -> None:
    """What the original forbids on paper only: nobody gets to publish it."""
    assert old in GOOD
    with pytest.raises(PoolpairError) as caught:
        parse_topology(GOOD.replace(old, new, 1) if old != "[[pairs]]" else GOOD.replace(old, new))
    assert caught.value.code is Code.TOPOLOGY
    assert said in caught.value.detail


def test_everything_wrong_is_said_at_once() -> None:
    """One look at the message is enough to correct it."""
    with pytest.raises(PoolpairError) as caught:
        parse_topology(GOOD.replace("/srv/share-d", "/srv/share-c").replace('"fe5"', '"fe1"').replace("true", "false"))
    assert all(said in caught.value.detail for said in ("one share", "front end fe1", "no pairs hold"))


@pytest.mark.parametrize(
    ("pool", "partner", "kind"), [("c", "d", "sqlite"), ("a", "c", "postgresql"), ("a", "b", "sqlite")]
)
def test_it_must_say_of_this_pair_what_is_so(pool: str, partner: str, kind: str) -> None:
    """Published where the store is held, it cannot give the store to others, nor say of this pool what is not true."""
    check_against(parse_topology(GOOD), "a", "b", "postgresql")
    with pytest.raises(PoolpairError) as caught:
        check_against(parse_topology(GOOD), pool, partner, kind)
    assert caught.value.code is Code.TOPOLOGY

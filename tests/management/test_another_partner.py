"""The partner of the pair that holds the management store is lost for good: the store parts with it, too, and goes on with another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from typer.testing import CliRunner, Result

from poolpair.cli.main import app
from poolpair.config import PoolConfig
from poolpair.cycle import beat, run_pass
from poolpair.errors import PoolpairError
from poolpair.format.layout import replica_folders
from poolpair.keyfile import KeyFile, new_key_file
from poolpair.management.before import holder
from poolpair.management.effective import load_effective
from poolpair.management.holding import documents_of, management_of
from poolpair.management.local import read_local
from poolpair.management.replica import Replica, Report
from poolpair.management.replicate import Replicator
from poolpair.management.taking import ReplicaTaker
from poolpair.model import Channel
from poolpair.moves import Move
from poolpair.pipeline.site import Site, inbound_name
from poolpair.serving.asks import attend
from poolpair.serving.plan import order
from poolpair.share.memory import MemoryShare
from poolpair.state import Inbound
from poolpair.wiring import working_site
from tests.management.deployment import Plain, topology

ROUNDS = 200


def give(pool: Plain, *words: str) -> Result:
    """A command in this process."""
    return CliRunner().invoke(app, ["-c", str(pool.toml), *words])


def must(pool: Plain, *words: str) -> str:
    """One that succeeds; gives what it printed."""
    done = give(pool, *words)
    assert done.exit_code == 0, (words, done.exception, done.output)
    return done.output


def managed(pool: Plain) -> PoolConfig:
    """The pool file of its management store."""
    return management_of(load_effective(pool.toml))


@contextmanager
def at_work(*pools: Plain) -> Iterator[tuple[Site, ...]]:
    """The services of the store at these pools, stepped by hand."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(working_site(managed(pool))) for pool in pools)


def live(sites: tuple[Site, ...], seen: Callable[[], bool]) -> None:
    """Until something is seen."""
    for _ in range(ROUNDS):
        for site in sites:
            run_pass(site, Channel.CMS, force=True)
            beat(site, Channel.CMS)
            attend(site)
        if seen():
            return
    raise AssertionError("it was never seen")


def is_complete(site: Site, home: str) -> bool:
    """Whether the copy here was proved to be whole."""
    found = site.store.read(Inbound, inbound_name(Channel.CMS))
    return found is not None and home in found.complete


def taken(pool: Plain, home: str, server: ReplicaTaker, share: MemoryShare, folder: Path) -> Replica:
    """What a server of another pair has after the store, held at a pool, has written to it and heard it."""
    with at_work(pool) as (site,), closing(documents_of(load_effective(pool.toml))) as there:
        replicator = Replicator(site, there, home, lambda _: share)
        for _ in range(2):
            replicator.round()
            server.look()
    found = read_local(folder)
    assert found is not None
    return found


def member(folder: Path, share: MemoryShare, key: Path, pool: Plain) -> ReplicaTaker:
    """Of pool c, whose replica lies in the folder."""
    with at_work(pool) as (site,):
        report = Report(pool="c", front_end="fe-c")
        return ReplicaTaker(report, share, folder, KeyFile(key), lambda _: None, lambda: None, site.clock)


def test_the_store_goes_on_with_another_partner(tmp_path: Path) -> None:
    """It parts before the pool does, begins again with the new pair, and is moved there and back: so its servers take what is published."""
    new_key_file(tmp_path / "ab.key")
    a, b, e = Plain("a", "b", tmp_path), Plain("b", "a", tmp_path), Plain("e", "b", tmp_path)
    for pool in (a, b):
        pool.more = '[cms]\nhome = "a"\n'
        pool.prepare()
        must(pool, "init")
    (tmp_path / "topology.toml").write_text(topology(tmp_path))
    must(a, "topology", "publish", str(tmp_path / "topology.toml"))
    must(a, "cms", "invite", "c", str(tmp_path / "c.key"))
    with at_work(a, b) as sites:
        live(sites, lambda: is_complete(sites[1], "a"))
    share, folder = MemoryShare(), tmp_path / "replica"
    share.prepare(replica_folders("fe-c"))
    server = member(folder, share, tmp_path / "c.key", a)
    late = give(b, "cms", "failover", "--yes", "--timeout", "0").exception
    assert isinstance(late, PoolpairError)
    assert "if a is dead: `cms failover --disaster`" in late.hint
    must(b, "cms", "failover", "--disaster", "--yes")
    must(b, "failover", "a", "--disaster", "--accept-incomplete", "--yes")
    before = taken(b, "a", server, share, folder)
    assert before.term == 1

    first = give(b, "unpair", "--yes").exception
    assert isinstance(first, PoolpairError)
    assert "--cms unpair" in first.hint
    must(b, "--cms", "unpair", "--yes")
    assert (b.share / "pool.json").exists()
    assert not (b.share / "CentralMgmt" / "pool.json").exists()
    must(b, "unpair", "--yes")
    new_key_file(tmp_path / "be.key")
    b.partner = "e"
    for pool in (b, e):
        pool.more = '[cms]\nhome = "b"\n'
    b.write_toml()
    e.prepare()
    for pool in (b, e):
        must(pool, "init")
    must(b, "cms", "invite", "c", str(tmp_path / "c2.key"), "--again")
    file = tmp_path / "topology.toml"
    file.write_text(topology(tmp_path).replace('"a"', '"e"').replace("share-a", "share-e").replace("fe-a", "fe-e"))
    must(b, "topology", "publish", str(file))
    server = member(folder, share, tmp_path / "c2.key", b)
    assert taken(b, "b", server, share, folder) == before  # it has a higher term

    with at_work(b, e) as sites:
        live(sites, lambda: is_complete(sites[1], "b"))
        for site, goal in ((sites[0], "e"), (sites[1], "b")):
            order(site, Move.HANDOVER, "b")
            live(sites, lambda goal=goal: {holder(each, "b") for each in sites} == {goal})  # type: ignore[misc]
    after = taken(b, "b", server, share, folder)
    assert after.term == 2
    found = after.document("topology")
    assert found is not None
    assert "fe-e" in found.body


def test_who_made_the_store_parts_with_it_and_leaves(tmp_path: Path) -> None:
    """Its partner is the one that is lost: nothing has to be taken over first, and afterwards everything can be removed."""
    new_key_file(tmp_path / "ab.key")
    pools = a, b = Plain("a", "b", tmp_path), Plain("b", "a", tmp_path)
    for pool in pools:
        pool.more = '[cms]\nhome = "a"\n'
        pool.prepare()
        must(pool, "init")
    early = give(b, "--cms", "unpair", "--yes").exception
    assert isinstance(early, PoolpairError)
    assert "served by a" in early.detail
    must(a, "failover", "b", "--disaster", "--accept-incomplete", "--yes")
    must(a, "--cms", "unpair", "--yes")
    must(a, "unpair", "--yes")
    must(a, "--cms", "uninstall", "--yes")
    must(a, "uninstall", "--yes")
    assert not (a.share / "CentralMgmt").exists()

"""A pool that leaves: never with the deployment's documents, unless that is meant."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from poolpair.cli.main import app
from poolpair.errors import Code, PoolpairError
from poolpair.keyfile import new_key_file
from poolpair.management.documents import Draft
from poolpair.management.effective import load_effective
from poolpair.management.holding import documents_of, management_of, prepare_management
from poolpair.pipeline.identity import check_own_share
from poolpair.wiring import initialise, open_site
from tests.management.deployment import Plain
from tests.pair import Pair, make_pair


def test_who_holds_the_store_does_not_take_it_along(tmp_path: Path) -> None:
    """`uninstall` is refused there; without the store it goes, and the documents lie where they lay."""
    new_key_file(tmp_path / "ab.key")
    pool = Plain("a", "b", tmp_path)
    pool.more = '[cms]\nhome = "a"\n'
    pool.prepare()
    pool.must("init")
    config = load_effective(pool.toml)
    prepare_management(config)
    with closing(documents_of(config)) as there:
        there.publish([Draft(name="backup", body="", onto=0)], author="me", note="", now_utc="2026-01-01")
    refused = pool.run("uninstall", "--yes")
    assert refused.exit_status == 64
    assert "moves first" in refused.talk
    packages = pool.share / "UserServices" / "Data" / "PresenceFocusData"
    assert packages.is_dir()

    pool.must("--cms", "uninstall", "--yes")
    assert not (pool.share / "CentralMgmt").exists()
    assert packages.is_dir()
    gone = pool.run("uninstall", "--yes")
    assert gone.exit_status == 0, gone.talk
    assert not packages.exists()
    (kept,) = sorted(pool.scratch.iterdir())
    assert kept.name == "cms.sqlite"
    assert f"kept {kept}" in gone.talk


def give(toml: Path, *words: str) -> Result:
    """A command in this process."""
    return CliRunner().invoke(app, ["-c", str(toml), *words])


def refused(result: Result) -> PoolpairError:
    """What a command that was refused says."""
    assert isinstance(result.exception, PoolpairError), result.output
    return result.exception


def test_a_store_that_was_moved_is_adopted_and_its_pool_is_not(tmp_path: Path) -> None:
    """`--cms adopt-store` says in the share whose the store is; whose the pool is stands there as before, and both go on."""
    new_key_file(tmp_path / "ab.key")
    pool = Plain("a", "b", tmp_path)
    pool.more = '[cms]\nhome = "a"\n'
    pool.prepare()
    initialise(load_effective(pool.toml))
    prepare_management(load_effective(pool.toml))
    was = pool.scratch / "cms.sqlite"
    for path in (was, *was.parent.glob(f"{was.name}-*")):
        path.rename(tmp_path / path.name)
    pool.more += f'store = "sqlite:///{tmp_path}/cms.sqlite"\n'
    pool.write_toml()
    config = load_effective(pool.toml)
    with closing(open_site(management_of(config)).store) as store:
        assert store.identity().is_clone
    before = (pool.share / "pool.json").read_bytes()
    assert give(pool.toml, "--cms", "adopt-store", "--yes").exit_code == 0
    assert (pool.share / "pool.json").read_bytes() == before
    for each in (config, management_of(config)):
        site = open_site(each)
        check_own_share(site)
        site.store.close()


@pytest.fixture
def taken(tmp_path: Path) -> Pair:
    """Pool b serves everybody, after a disaster at a."""
    pair = make_pair(tmp_path)
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    for pool in ("a", "b"):
        pair.stop(pool)
    assert give(pair.toml("b"), "failover", "a", "--disaster", "--yes").exit_code == 0
    return pair


def test_who_serves_users_away_from_home_does_not_forget_it_unasked(taken: Pair) -> None:
    """After `init` everybody would be served at home, from rows that are older than those here: no key is lost so easily as that."""
    b, key = taken.toml("b"), taken.folder / "pair.key"
    key.unlink()
    said = refused(give(b, "uninstall", "--yes"))
    assert said.code is Code.USAGE
    assert "the users of a are served by pool b" in said.detail
    asked = CliRunner().invoke(app, ["-c", str(b), "uninstall"], input="n\n")
    assert "the users of a are served by pool b" in asked.output
    assert give(taken.toml("a"), "uninstall", "--yes").exit_code == 0
    assert give(b, "uninstall", "--yes", "--users-away").exit_code == 0
    assert not (taken.share("b") / "pool.json").exists()


def test_a_pair_whose_key_is_lost_on_both_sides_begins_anew_where_everybody_is_served(taken: Pair) -> None:
    """`unpair` needs no key, and the lost one is not taken again should it turn up; with a new one the users stay where they are."""
    b, key = taken.toml("b"), taken.folder / "pair.key"
    lost = key.rename(taken.folder / "lost.key")
    done = give(b, "unpair", "--yes")
    assert done.exit_code == 0, done.exception
    lost.rename(key)
    assert "which ended" in refused(give(b, "init")).detail
    key.unlink()
    new_key_file(key)
    assert give(b, "init").exit_code == 0
    assert taken.status("b").homes_served == ("a", "b")

"""A deployment of four pools with one management store: what is published counts everywhere, and the store outlives its holder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from poolpair.lab.pool import wait_for
from tests.management.deployment import PROFILE, WAIT_S, Plain, deployment

Pools = dict[str, Plain]


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pools]:
    """One deployment for all tests here, each of which leaves the store with pool a."""
    with deployment(tmp_path_factory.mktemp("deployment")) as made:
        yield made


def test_only_the_pair_that_holds_the_store_has_its_folder(pools: Pools) -> None:
    """The seed's first observation; a replica is another thing, and every server has one."""
    assert [(pools[name].share / "CentralMgmt").is_dir() for name in "abcd"] == [True, True, False, False]
    assert all((pools[name].share / "Replicas" / f"fe-{name}" / "to-replica" / "data.zip").is_file() for name in "abcd")
    assert (
        "in 2 pairs, 4 servers" in pools["a"].run("topology", "validate", str(pools["a"].folder / "topology.toml")).talk
    )
    shown = [pools[name].must("topology", "show").out for name in "abcd"]
    assert len(set(shown)) == 1


def test_any_server_tells_of_all_pools(pools: Pools) -> None:
    """By what each said of itself, with its age: also of one whose service is down since, and of pools that are no partner."""

    def of(name: str, other: str) -> str:
        lines = pools[name].run("status", "--all").out.splitlines()
        return next((line for line in lines if line.startswith(f"pool {other} (status")), "")

    wait_for("d knowing of a", lambda: "users of a by a (epoch 0)" in of("d", "a"), WAIT_S)
    assert "known" in of("d", "a")
    wait_for("a knowing of c", lambda: "fe-c works" in of("a", "c"), WAIT_S)


def test_a_setting_counts_everywhere_without_a_restart(pools: Pools) -> None:
    """For all pools, for one alone, and reset; the services that run go on, and rows go on arriving."""
    services = {name: pools[name].service for name in "abcd"}
    pools["a"].must("config", "set", "SyncInterval", "00:00:30")
    pools["a"].must("config", "set", "--pool", "c", "sync.interval", "5s")
    pools["a"].must("cms", "replicate")
    assert [pools[name].setting("sync.interval") for name in "abcd"] == ["30s", "30s", "5s", "30s"]
    wait_for(
        "all going by it", lambda: all("says something else" in pools[name].log.read_text() for name in "abcd"), WAIT_S
    )
    assert all(service is not None and service.poll() is None for service in services.values())
    pools["c"].note("1", "after the change")
    wait_for("a row at d", lambda: pools["d"].ask("SELECT body FROM note") == [("after the change",)], WAIT_S)
    pools["a"].must("config", "reset", "--pool", "c")
    pools["a"].must("config", "reset", "SyncInterval")
    pools["a"].must("cms", "replicate")
    assert [pools[name].setting("sync.interval") for name in "abcd"] == ["2m"] * 4
    assert pools["b"].run("config", "set", "SyncInterval", "00:00:30").exit_status == 64
    assert pools["c"].run("config", "set", "SyncInterval", "00:00:30").exit_status == 64


def test_a_watched_file_is_the_same_everywhere_and_what_was_changed_in_place_is_kept(pools: Pools) -> None:
    """Published once it lies at every server; changed at one it is named, until it is taken back or given to all."""
    places = {name: pools[name].folder / f"conf-{name}" / "app.conf" for name in "abcd"}
    body = pools["a"].folder / "app.conf"

    def everywhere(text: str) -> None:
        wait_for(f"{text} at all", lambda: all(p.exists() and p.read_text() == text for p in places.values()), WAIT_S)

    body.write_text("one")
    pools["a"].must("cms", "publish", "file/app.conf", str(body))
    everywhere("one")
    places["d"].write_text("by hand")
    wait_for(
        "it named", lambda: "app.conf: changed here since version 1" in pools["a"].run("cms", "status").out, WAIT_S
    )
    assert pools["a"].run("cms", "status").exit_status == 1
    assert pools["d"].run("cms", "place", "other").exit_status == 64
    pools["d"].must("cms", "place", "app.conf")
    everywhere("one")
    assert (places["d"].parent / "app.conf.before-1").read_text() == "by hand"
    places["c"].write_text("two")
    pools["a"].must("cms", "publish", "file/app.conf", str(places["c"]))
    everywhere("two")
    wait_for("nothing named", lambda: "file app.conf" not in pools["a"].run("cms", "status").out, WAIT_S)
    assert pools["a"].run("cms", "publish", "file/../x", str(body)).exit_status == 64


def test_what_does_not_fit_a_pool_is_not_taken_there_and_what_fits_counts_without_a_restart(pools: Pools) -> None:
    """A profile for tables that are not there changes nothing; another map of homes is prepared for by the services themselves."""
    services = [pools[name].service for name in "cd"]
    body = pools["a"].folder / "body.toml"
    body.write_text(PROFILE.replace('name = "note"', 'name = "nothing"'))
    pools["a"].must("cms", "publish", "profile/own", str(body))
    body.write_text('profile = "own"\n')
    pools["a"].must("cms", "publish", "pair/c+d", str(body))
    wait_for("both saying why", lambda: pools["a"].run("cms", "status").out.count("nothing") >= 2, WAIT_S)
    pools["c"].note("7", "before")
    wait_for("a row at d", lambda: ("before",) in pools["d"].ask("SELECT body FROM note WHERE id = '7'"), WAIT_S)
    body.write_text('[homes]\n"c" = "c"\n"d" = "d"\n"e" = "c"\n')
    pools["a"].must("cms", "publish", "pair/c+d", str(body))
    pools["a"].must("cms", "replicate", "--timeout", str(WAIT_S))
    pools["c"].change(("INSERT INTO note VALUES (?, ?, ?)", ("8", "e", "of another home")))
    wait_for("a row of e at d", lambda: pools["d"].ask("SELECT body FROM note WHERE id = '8'") != [], WAIT_S)
    assert all(service is not None and service.poll() is None for service in services)
    body.write_text("")
    pools["a"].must("cms", "publish", "pair/c+d", str(body))
    pools["a"].must("cms", "replicate", "--timeout", str(WAIT_S))


def test_a_replica_that_was_damaged_or_lost_heals(pools: Pools) -> None:
    """By itself, while its service runs and after it was started anew; meanwhile the file's own settings count."""
    pool = pools["c"]
    replica = pool.scratch / "replica.json"
    replica.write_bytes(b"nonsense")
    wait_for("the replica made whole", lambda: b"topology" in replica.read_bytes(), WAIT_S)
    pool.stop()
    replica.unlink()
    shutil.rmtree(pool.share / "Replicas")
    pool.start()
    wait_for("the replica sent anew", lambda: replica.exists() and b"topology" in replica.read_bytes(), WAIT_S)
    pools["a"].must("cms", "replicate", "--full")


@pytest.mark.timeout(240)
def test_the_store_moves_and_outlives_its_holder(pools: Pools) -> None:
    """Planned there; then its holder is killed, the other takes over and publishes, every server hears of it. The old one, back, yields."""
    a, b, c = pools["a"], pools["b"], pools["c"]
    refused = a.run("failover", "a", "--yes")
    assert refused.exit_status == 64
    assert "moves first" in refused.talk
    assert "held by pool b (epoch 1)" in a.must("cms", "failover", "--yes").out
    assert a.run("config", "set", "sync.window", "9").exit_status == 64
    b.must("config", "set", "sync.window", "9")
    b.must("cms", "replicate")
    assert c.setting("sync.window") == "9"

    b.kill()
    what_if = a.must("cms", "failover", "--disaster", "--what-if").out
    assert "the management store" in what_if
    assert "held by pool a (epoch 2)" in a.must("cms", "failover", "--disaster", "--yes").out
    a.must("config", "set", "sync.window", "10")
    wait_for("c hearing of it", lambda: c.setting("sync.window") == "10", WAIT_S)

    c.stop()  # without any holder of the store a service starts, and goes by what it has
    a.kill()
    c.start()
    assert c.setting("sync.window") == "10"
    for pool in (a, b):
        pool.start()
    wait_for("b yielding", lambda: "held by pool a (term 2)" in b.run("cms", "status").out, WAIT_S)
    assert b.run("config", "set", "sync.window", "11").exit_status == 64
    wait_for("the copy made whole", lambda: "FinalState" in a.run("--cms", "status").out, WAIT_S)
    a.must("cms", "replicate")
    a.must("config", "reset")
    a.must("cms", "replicate")


def test_a_pool_without_the_right_key_gets_nothing(pools: Pools) -> None:
    """Its key was made anew: status names the server, the others are served, and the new key file is all it takes."""
    a, d = pools["a"], pools["d"]
    again = a.folder / "cms-d-2.key"
    a.must("cms", "invite", "d", str(again), "--again")
    a.must("config", "set", "sync.window", "12")
    wait_for("d complaining", lambda: "d/fe-d: NOT up to date" in a.run("cms", "status").out, WAIT_S)
    assert a.run("cms", "status").exit_status == 1
    assert d.setting("sync.window") == "8"
    wait_for("c being served all the same", lambda: pools["c"].setting("sync.window") == "12", WAIT_S)
    again.replace(a.folder / "cms-d.key")
    wait_for("d having it", lambda: d.setting("sync.window") == "12", WAIT_S)
    a.must("cms", "replicate")

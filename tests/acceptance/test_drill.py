"""A drill beside two real services: what it measures and finds, and that production does not notice it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from poolpair.lab.pool import Pool, make_pools, run_command, wait_for
from poolpair.lab.server_database import ROLE, ServerDatabase
from poolpair.lab.steps import wait_final

CHECK = """#!/bin/sh
echo "$POOLPAIR_STEP $POOLPAIR_POOL $POOLPAIR_HOME $POOLPAIR_EPOCH $POOLPAIR_DRILL_STORE $POOLPAIR_DRILL_FILES" > {folder}/checked
[ -d "$POOLPAIR_DRILL_FILES" ] || exit 5
[ ! -e {folder}/fail ] || {{ echo "it does not start" >&2; exit 4; }}
"""
BUDDY = "UPDATE prosody SET value = ? WHERE host = 'a.example' AND user = 'myriel' AND key = 'napoleon@b.example'"


@pytest.fixture
def pools(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Pool, Pool]]:
    """Two pools after their first copy; b has a check. `indirect` names the kind of store."""
    servers: list[ServerDatabase] = []
    pair = (Pool("a", "b", tmp_path), Pool("b", "a", tmp_path))
    try:
        if request.param == "postgresql":
            assert not run_command("key", "new", str(tmp_path / "pair.key")).exit_status
            for pool in pair:
                servers.append(ServerDatabase(tmp_path / f"server-{pool.name}"))
                pool.elsewhere = servers[-1]
                pool.settings.update(interval='"5s"', heartbeat_max='"500ms"')
                pool.prepare()
                pool.must("init")
        else:
            pair = make_pools(tmp_path, interval='"5s"', heartbeat_max='"500ms"')
        script = tmp_path / "check.sh"
        script.write_text(CHECK.format(folder=tmp_path))
        script.chmod(0o755)
        with pair[1].toml.open("a") as file:
            file.write(f'\n[hooks]\ndrill = ["{script}"]\n')
        for pool in pair:
            pool.start()
        wait_final(*pair)
        yield pair
    finally:
        for pool in pair:
            pool.kill()
        for server in servers:
            server.end()


def write_to(url: str) -> None:
    """A user of a's writes into the copy: its fence lets him, for b serves him there."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as store, store:
            store.execute(BUDDY, ("on the copy",))
    else:
        with psycopg.connect(url) as connection:
            connection.execute(BUDDY.replace("?", "%s").replace(" user ", ' "user" '), ("on the copy",))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("pools", ["sqlite", "postgresql"], indirect=True)
def test_a_drill_passes_and_leaves_no_trace(pools: tuple[Pool, Pool]) -> None:
    """It takes over on a copy, lets the check look at that, and says RPO and RTO; who serves whom stays as it is."""
    a, b = pools
    if isinstance(b.elsewhere, ServerDatabase):
        refused = b.run("drill", "a")
        assert (refused.exit_status, "may not create a database" in refused.talk) == (2, True)
        b.elsewhere.server.dba(f"ALTER ROLE {ROLE} CREATEDB")
    before = b.ask("SELECT count(*) FROM prosody")
    result = b.must("drill", "a", "--json").data
    assert (result["failure"], result["home"], result["files"] > 0) == ("", "a", True)
    assert 0 <= result["rpo_s"] < result["took_s"] + 60
    assert 0 < result["rto_s"] < result["took_s"]
    step, pool, home, epoch, url, files = (b.folder / "checked").read_text().split()
    assert (step, pool, home, epoch) == ("drill", "b", "a", "1")
    assert not Path(files).exists()
    for each in (a, b):
        assert [home["served_by"] for home in each.status()["homes"]] == ["a", "b"]
    assert b.ask("SELECT count(*) FROM prosody") == before
    assert "drill of a" in b.run("status").out
    kept = b.must("drill", "a", "--keep").out
    assert "passed: a takeover of a would give what it should" in kept
    write_to(url)
    wait_final(a, b)
    again = b.must("drill", "a")
    assert "check.sh" in again.out
    assert not (b.scratch / "drill").exists()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("pools", ["sqlite"], indirect=True)
def test_a_drill_that_finds_something_says_so(pools: tuple[Pool, Pool]) -> None:
    """A check that fails, a file that is not what it should be, and the wrong side: each is an error, and status tells of it."""
    a, b = pools
    (b.folder / "fail").touch()
    failed = b.run("drill", "a")
    assert (failed.exit_status, "P313" in failed.talk, "it does not start" in failed.talk) == (2, True, True)
    (b.folder / "fail").unlink()
    assert "FAILED" in b.run("status").out
    wrong = a.run("drill", "a")
    assert (wrong.exit_status, "served here" in wrong.talk) == (64, True)
    assert b.run("drill", "c").exit_status == 64
    b.kill()
    copied = next(path for path in (b.data / "share%2ea%2eexample").rglob("*") if path.is_file())
    copied.write_bytes(copied.read_bytes()[::-1])
    spoilt = b.run("drill", "a")
    assert (spoilt.exit_status, "not what this pool's catalogue says" in spoilt.talk) == (2, True)
    assert copied.name in spoilt.talk


@pytest.mark.timeout(240)
@pytest.mark.parametrize("pools", ["sqlite"], indirect=True)
def test_a_drill_that_is_ended_has_not_passed(pools: tuple[Pool, Pool]) -> None:
    """SIGTERM in the middle of the check: status says that nothing was found out, and the next drill clears up what was left."""
    _, b = pools
    (b.folder / "check.sh").write_text(
        f"#!/bin/sh\necho $$ > {b.folder}/pid\nmv {b.folder}/pid {b.folder}/begun\nexec sleep 60\n"
    )
    drill = b.spawn("drill", "a")
    wait_for("the check running", (b.folder / "begun").exists, 60)
    drill.terminate()
    assert drill.wait(30) == 130
    assert not Path(f"/proc/{(b.folder / 'begun').read_text().strip()}").exists()
    assert "FAILED: it was ended before it was over" in b.run("status").out
    (b.folder / "check.sh").write_text("#!/bin/sh\n")
    assert "passed" in b.must("drill", "a").out

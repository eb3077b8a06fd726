"""Hooks with two real services: they fail loudly, are resumed, given up, and run again after `kill -9`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.lab.pool import Pool, make_pools, wait_for
from poolpair.lab.steps import wait_final

HOOK = """#!/bin/sh
echo "$POOLPAIR_POOL $POOLPAIR_STEP $POOLPAIR_HOME $POOLPAIR_SERVES $POOLPAIR_EPOCH $POOLPAIR_KIND $1" >> {folder}/log
while [ -e {folder}/hang ]; do sleep 0.05; done
[ ! -e {folder}/fail -a ! -e {folder}/fail-$POOLPAIR_STEP ] || {{ echo "the name server does not answer" >&2; exit 4; }}
"""
STEPS = ("before_fence", "after_fence", "before_apply", "after_apply", "before_serve", "after_serve")
WAIT_S = 40.0


def set_hooks(pool: Pool) -> None:
    """Every hook is one script, which notes what it is told."""
    script = pool.folder / "hook.sh"
    script.write_text(HOOK.format(folder=pool.folder))
    script.chmod(0o755)
    lines = "".join(f'{step} = ["{script}", "{step} $x"]\n' for step in STEPS)
    with pool.toml.open("a") as file:
        file.write(f'\n[hooks]\ntimeout = "30s"\n{lines}')


def told(pool: Pool) -> list[str]:
    """What the hooks noted since it was asked last."""
    log = pool.folder / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


@pytest.fixture
def pools(tmp_path: Path) -> Iterator[tuple[Pool, Pool]]:
    """Two pools with hooks, after their first copy."""
    made = make_pools(tmp_path, interval='"5s"', heartbeat_max='"500ms"')
    try:
        for pool in made:
            set_hooks(pool)
            pool.start()
        wait_final(*made)
        yield made
    finally:
        for pool in made:
            pool.kill()


@pytest.mark.timeout(240)
def test_hooks_fail_loudly_are_resumed_and_run_again(pools: tuple[Pool, Pool]) -> None:
    """One planned failover: what each hook will run is printed first, what a failed one said afterwards; killed in a hook, it goes on."""
    a, b = pools
    what_if = a.must("failover", "a", "--what-if").out
    assert f"2. before-fence: runs {a.folder}/hook.sh 'before_fence $x'" in what_if
    assert "before-fence: ok" not in what_if
    assert f"ok    hook before-fence: runs {a.folder}/hook.sh" in a.run("check").out
    assert told(a) == []
    fail, hang = a.folder / "fail", a.folder / "hang"
    fail.touch()
    failed = a.run("failover", "a", "--yes")
    assert failed.exit_status == 2
    assert "P312 the hook before-fence for a" in failed.talk
    assert "ended with status 4" in failed.talk
    assert "  | the name server does not answer" in failed.talk
    assert "give the command again" in failed.talk
    status = a.run("status")
    assert status.exit_status == 2
    assert "handover: before-fence, FAILED" in status.out
    assert "the name server does not answer" in status.talk
    assert "the name server does not answer" in a.must("hook", "show", "before-fence").out
    assert "FAILED: ended with status 4" in a.must("hook", "list").out
    assert told(a) == ["a before-fence a b 0 planned before_fence $x"]
    a.must("failover", "a", "--abort")
    assert a.run("status").exit_status in (0, 1)
    fail.unlink()
    hang.touch()
    ordering = a.spawn("failover", "a", "--yes")
    wait_for("the hook running", lambda: bool(told(a)), WAIT_S)
    assert a.stop() == 0
    a.start()
    wait_for("the hook running again", lambda: bool(told(a)), WAIT_S)
    a.kill()
    ordering.kill()
    ordering.wait()
    hang.unlink()
    a.start()
    wait_for("b serving", lambda: b.status()["homes"][0]["served_by"] == "b", WAIT_S)
    wait_for("no plan being left", lambda: not any(pool.status()["homes"][0]["plan"] for pool in pools), WAIT_S)
    assert told(a) == [
        "a before-fence a b 0 planned before_fence $x",
        "a after-fence a b 0 planned after_fence $x",
        "b after-serve a b 1 planned after_serve $x",
    ]


@pytest.mark.timeout(240)
def test_a_disaster_without_a_service_runs_hooks_in_the_command(pools: tuple[Pool, Pool]) -> None:
    """Where no service runs the command takes the steps; a failed one leaves the plan where it was, and the command is given again."""
    a, b = pools
    for pool in pools:
        pool.kill()
    (b.folder / "fail").touch()
    failed = b.run("failover", "a", "--disaster", "--yes")
    assert (failed.exit_status, "P312 the hook before-apply for a" in failed.talk) == (2, True)
    (b.folder / "fail").unlink()
    told(b)
    assert "served by pool b (epoch 1)" in b.must("failover", "a", "--disaster", "--yes").out
    assert [line.split()[1:6] for line in told(b)] == [
        ["before-apply", "a", "b", "0", "disaster"],
        ["after-apply", "a", "b", "0", "disaster"],
        ["before-serve", "a", "b", "0", "disaster"],
        ["after-serve", "a", "b", "1", "disaster"],
    ]
    assert a.service is None


@pytest.mark.timeout(240)
def test_who_asks_for_a_move_waits_for_what_runs_here_after_it(pools: tuple[Pool, Pool]) -> None:
    """The users are served here, and the hook that tells the world of it fails: the command says so, and runs it when it is given again."""
    _, b = pools
    (b.folder / "fail-after-serve").touch()
    failed = b.run("failover", "a", "--yes")
    assert "P312 the hook after-serve for a" in failed.talk
    assert failed.exit_status == 2
    (b.folder / "fail-after-serve").unlink()
    told(b)
    assert "served by pool b (epoch 1)" in b.must("failover", "a", "--yes").out
    assert [line.split()[1:5] for line in told(b)] == [["after-serve", "a", "b", "1"]]

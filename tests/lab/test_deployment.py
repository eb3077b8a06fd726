"""The lab of a whole deployment, as a person uses it: up, a setting published, what is killed and frozen and started again, down."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poolpair.cli.main import app
from poolpair.errors import PoolpairError
from poolpair.lab.deployment import parts
from poolpair.lab.deployment.application import committed, notes
from poolpair.lab.deployment.layout import Layout, load
from poolpair.lab.deployment.process import end, load_mark, mark_of, send, spawn, state
from poolpair.lab.pool import Answer, run_command, wait_for

WAIT_S = 60.0
UP_S = 300.0


def lab_command(folder: Path, *words: str) -> Answer:
    """`poolpair lab ...`, which for `up` may take longer than other commands."""
    return run_command("lab", *words, "--dir", str(folder), timeout_s=UP_S)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """A lab on PostgreSQL."""
    folder = tmp_path_factory.mktemp("deployment") / "lab"
    try:
        made = lab_command(folder, "up")
        assert made.exit_status == 0, made.talk
        assert "any pool could be taken over" in made.talk
        yield load(folder)
    finally:
        if folder.exists():
            lab_command(folder, "down")


@pytest.mark.timeout(360)
def test_what_is_made_is_shown(lab: Layout) -> None:
    """Every part runs, one front end of three works, and every pool is healthy: one table says so, and a second `up` does, too."""
    shown = run_command("lab", "status", "--dir", str(lab.folder))
    lines = {line.split()[0]: line for line in shown.out.splitlines() if line}
    assert all(" up " in lines[part] for part in lab.parts())
    assert [lines[name].split("up")[1].split(",")[0].strip() for name in lab.pool("a").front_ends].count("works") == 1
    assert shown.out.count("served here (epoch 0)") == 4
    assert shown.out.count("held by a (term 0)") == 2
    again = lab_command(lab.folder, "up")
    assert again.exit_status == 64
    assert "runs in" in again.talk


def test_a_setting_reaches_every_server(lab: Layout) -> None:
    """Published at the pool that holds the store, it counts at a front end that stands by as it does in the other pair."""
    assert run_command("-c", str(lab.pool_file("a")), "config", "set", "SyncInterval", "00:00:30").exit_status == 0
    assert run_command("-c", str(lab.pool_file("a")), "cms", "replicate").exit_status == 0
    for front_end in ("fe-a3", "fe-d"):
        shown = run_command("-c", str(lab.toml(front_end)), "config", "show").out
        assert next(line.split()[1] for line in shown.splitlines() if line.startswith("sync.interval")) == "30s"


def test_tasks_are_spread_over_front_ends(lab: Layout) -> None:
    """One works for the pool, another for the management store; whoever dies, those that are left share both again."""

    def holders() -> tuple[str, str]:
        found = [lab.share("a") / "TaskAssignment" / f"{name}.txt" for name in ("backup-service", "management-store")]
        pool, store = (path.read_text().strip() if path.exists() else "" for path in found)
        return pool, store

    def shared(among: set[str]) -> bool:
        return len(set(holders()) & among) == 2

    everybody = set(lab.pool("a").front_ends)
    wait_for("two at work", lambda: shared(everybody), WAIT_S)
    status = run_command("-c", str(lab.pool_file("a")), "status", "--json").data
    assert {status["front_end"], *status["standing_by"]} == everybody
    for task in (0, 1):
        gone = holders()[task]
        lab_command(lab.folder, "kill", gone)
        wait_for("the two that are left at work", lambda: shared(everybody - {gone}), WAIT_S)  # noqa: B023
        lab_command(lab.folder, "start", gone)
    assert run_command("-c", str(lab.pool_file("a")), "cms", "replicate", "--timeout", "60").exit_status == 0


def test_parts_are_killed_frozen_and_started(lab: Layout) -> None:
    """By their names or the name of a pool; what an application was told is committed is at both pools afterwards."""
    lab_command(lab.folder, "kill", "d")
    assert [parts.stands(lab, part) for part in lab.pool("d").parts] == ["down", "down"]
    lab_command(lab.folder, "freeze", "fe-c")
    assert parts.stands(lab, "fe-c") == "frozen"
    before = len(committed(lab, "c"))
    wait_for("c taking notes meanwhile", lambda: len(committed(lab, "c")) > before, WAIT_S)
    said = lab_command(lab.folder, "start", "all").talk
    assert "fe-c started" in said
    assert "app-a was up already" in said
    taken = {(each.owner, each.note) for each in committed(lab, "c")}
    wait_for("c's notes at d", lambda: taken <= notes(lab, "d").keys(), WAIT_S)
    unknown = lab_command(lab.folder, "kill", "fe-z")
    assert unknown.exit_status == 64
    assert "fe-a2" in unknown.talk


def test_front_ends_wait_for_their_database(lab: Layout) -> None:
    """It is killed below three of them: none ends, the one at work and those that stand by go on when it is back."""
    marks = {part: parts.mark(lab, part) for part in lab.pool("a").front_ends}
    said = {part: len(lab.log(part).read_text()) for part in marks}
    lab_command(lab.folder, "kill", "db-a")

    def missed(part: str) -> bool:
        return "P201" in lab.log(part).read_text()[said[part] :]

    for part in marks:
        wait_for(f"{part} missing it", lambda part=part: missed(part), WAIT_S)  # type: ignore[misc]
    lab_command(lab.folder, "start", "db-a")
    before = len(committed(lab, "a"))
    wait_for("a taking notes again", lambda: len(committed(lab, "a")) > before + 1, WAIT_S)
    taken = {(each.owner, each.note) for each in committed(lab, "a")}
    wait_for("them at b", lambda: taken <= notes(lab, "b").keys(), WAIT_S)
    assert {part: state(mark) for part, mark in marks.items()} == dict.fromkeys(marks, "up")


def test_only_what_the_lab_started_is_met(lab: Layout, tmp_path: Path) -> None:
    """A number that belongs to another process by now is left alone: the mark of a part names its start and boot, too."""
    other = subprocess.Popen(["sleep", "600"])
    try:
        there = mark_of(other.pid)
        assert there is not None
        for wrong in (replace(there, started=there.started - 1), replace(there, boot_id="another")):
            wrong.save(tmp_path / "mark.json")
            assert load_mark(tmp_path / "mark.json") == wrong
            assert state(wrong) == "down"
            assert not send(wrong, signal.SIGKILL)
            assert end(wrong, 1.0)
        assert other.poll() is None
        assert send(there, signal.SIGKILL)
    finally:
        other.kill()
        other.wait()


def test_a_process_that_does_not_listen_is_killed_in_the_end(tmp_path: Path) -> None:
    """`lab down` waits for a part, but not for ever."""
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    mark = spawn([sys.executable, "-c", deaf], tmp_path / "log" / "deaf.log")
    wait_for("it not listening", lambda: "deaf" in (tmp_path / "log" / "deaf.log").read_text(), WAIT_S)
    assert not end(mark, 0.2)
    assert state(mark) == "down"


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """`up` makes nothing there, and `down` removes nothing."""
    (tmp_path / "precious").write_text("mine")
    for words, says in ((("up", "--store", "sqlite"), "not empty"), (("down",), "no lab"), (("status",), "no lab")):
        error = CliRunner().invoke(app, ["lab", *words, "--dir", str(tmp_path)]).exception
        assert isinstance(error, PoolpairError)
        assert (error.exit_status, says in error.detail) == (64, True)
    (tmp_path / "lab.json").write_text(json.dumps({"store": "sqlite"}))
    assert "cannot be read" in str(CliRunner().invoke(app, ["lab", "down", "--dir", str(tmp_path)]).exception)
    (tmp_path / "lab.json").write_text(json.dumps({"store": "sqlite", "places": {}, "made": True}))
    other = CliRunner().invoke(app, ["lab", "up", "--store", "postgresql", "--dir", str(tmp_path)]).exception
    assert "a lab on sqlite lies in" in str(other)
    assert (tmp_path / "precious").read_text() == "mine"


def test_down_leaves_nothing(lab: Layout) -> None:
    """No process, no folder; it is the last test here."""
    marks = {part: parts.mark(lab, part) for part in lab.parts()}
    assert lab_command(lab.folder, "down").exit_status == 0
    assert {part: state(mark) for part, mark in marks.items()} == dict.fromkeys(lab.parts(), "down")
    assert not lab.folder.exists()

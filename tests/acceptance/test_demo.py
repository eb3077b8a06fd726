"""`make demo`, as a newcomer runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from poolpair.lab.pool import Pool, wait_for

DEMO = (sys.executable, "-m", "poolpair.lab.demo")


def test_the_demo_sees_every_step(tmp_path: Path) -> None:
    """The demo ends with 0, its report says that every step was seen, and it fits a screen and a half."""
    folder = tmp_path / "demo"
    done = subprocess.run([*DEMO, "--folder", str(folder)], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((folder / "report.json").read_text())
    assert report["ok"]
    assert [step["ok"] for step in report["steps"]] == [True] * 11
    assert all(0 <= step["seconds"] < 30 for step in report["steps"])
    lines = done.stdout.splitlines()
    assert len(lines) <= 60
    assert all(len(line) <= 100 for line in lines if str(folder) not in line)
    figures = report["steps"][-1]["figures"]
    edit = report["steps"][2]["figures"]
    assert 0 < edit["package_bytes"] < 4000, figures  # cookies pass as time does
    assert figures["the first copy"] > 5000
    for name in ("a", "b"):
        assert (folder / f"share-{name}" / "pool.json").is_file()


@pytest.mark.long
@pytest.mark.timeout(400)
def test_the_demo_sees_every_step_on_postgresql(tmp_path: Path) -> None:
    """The same steps on two servers of the demo's own, which are stopped at the end."""
    folder = tmp_path / "demo"
    words = [*DEMO, "--folder", str(folder), "--store", "postgresql"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=390, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [step["ok"] for step in json.loads((folder / "report.json").read_text())["steps"]] == [True] * 11
    assert not list(folder.glob("server-*/data/postmaster.pid"))


def test_the_demo_deletes_nothing_that_it_did_not_make(tmp_path: Path) -> None:
    """A folder that is not an earlier demo's is refused and kept."""
    (tmp_path / "thesis.txt").write_text("ten years of work")
    done = subprocess.run([*DEMO, "--folder", str(tmp_path)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 64
    assert "not deleted" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "ten years of work"


def test_a_demo_that_fails_says_so_and_leaves_no_service(tmp_path: Path) -> None:
    """When a service is killed under it, the demo ends with 1, names the step and the cause, and stops the other service."""
    folder = tmp_path / "demo"
    with subprocess.Popen([*DEMO, "--folder", str(folder)], stdout=subprocess.PIPE, text=True) as demo:
        b = Pool("b", "a", folder)
        pid = wait_for("the service of b", lambda: holder(b), 30)
        os.kill(pid, signal.SIGKILL)
        out, _ = demo.communicate(timeout=90)
    assert demo.returncode == 1
    assert "FAILED" in out
    assert "the service of b ended with -9" in out
    assert not json.loads((folder / "report.json").read_text())["ok"]
    assert Pool("a", "b", folder).run("status").exit_status == 3


def holder(pool: Pool) -> int | None:
    """The process that works for a pool, by its lease."""
    if not pool.log.exists() or "works with" not in pool.log.read_text():
        return None
    found = pool.ask("SELECT holder FROM poolpair_lease")
    match = re.search(r"process (\d+)", found[0][0]) if found else None
    return int(match[1]) if match else None

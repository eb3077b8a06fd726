"""Hooks as real commands: their environment, their output, their end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from poolpair.hooks.commands import OUTPUT_MAX_BYTES, RUNNING, CommandHooks
from poolpair.hooks.port import HookResult
from poolpair.lab.waiting import wait_for
from poolpair.moves import HookStep

STEP = HookStep.BEFORE_FENCE


def made(folder: Path, *command: str, timeout_s: float = 30.0) -> CommandHooks:
    """Hooks of which one is set."""
    return CommandHooks({STEP: command}, timeout_s, folder, {**os.environ, "POOLPAIR_CONFIG": "/etc/a.toml"})


def python(folder: Path, text: str, timeout_s: float = 30.0) -> CommandHooks:
    """A hook in Python."""
    return made(folder, sys.executable, "-c", text, timeout_s=timeout_s)


def ran(hooks: CommandHooks, **words: str) -> HookResult:
    """Run it."""
    result = hooks.run(STEP, words)
    assert result is not None
    return result


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_gone(pid: int) -> bool:
    """The opposite."""
    return not lives(pid)


def test_it_is_told_what_happens_and_nothing_goes_through_a_shell(tmp_path: Path) -> None:
    """Arguments arrive as they stand, and the words in the environment, beside the service's own."""
    text = "import os, sys; print(sys.argv[1], os.environ['POOLPAIR_HOME'], os.environ['POOLPAIR_CONFIG'])"
    hooks = made(tmp_path, sys.executable, "-c", text, "$HOME; `false`")
    result = ran(hooks, POOLPAIR_HOME="a")
    assert (result.failure, result.output) == ("", "$HOME; `false` a /etc/a.toml\n")
    assert not (tmp_path / RUNNING).exists()


@pytest.mark.parametrize(
    ("command", "failure"),
    [
        (("/bin/sh", "-c", "exit 3"), "ended with status 3"),
        (("/bin/sh", "-c", "kill -9 $$"), "ended by signal 9"),
        (("/no/such/program",), "cannot be run: No such file or directory"),
        (("/etc/passwd",), "cannot be run: Permission denied"),
    ],
)
def test_every_end_but_status_0_is_a_failure(tmp_path: Path, command: tuple[str, ...], failure: str) -> None:
    """A status, a signal and a program that cannot be run are told apart."""
    assert ran(made(tmp_path, *command)).failure == failure


def test_the_end_of_the_output_is_kept_and_can_be_printed(tmp_path: Path) -> None:
    """Both streams, bounded, without what would move a terminal's cursor; more than a pipe holds does not block it."""
    text = "import sys; sys.stdout.write('x' * 3_000_000 + '\\n\\x1b[2J\\n'); sys.stdout.flush(); sys.stderr.write('the end\\n')"
    result = ran(python(tmp_path, text))
    assert (result.failure, result.cut) == ("", True)
    assert len(result.output) <= OUTPUT_MAX_BYTES
    assert result.output.endswith("x\n\N{REPLACEMENT CHARACTER}[2J\nthe end\n")


def test_the_whole_group_ends_at_the_timeout(tmp_path: Path) -> None:
    """A hook that ignores the polite signal, and its child, are both gone; what it wrote until then is kept."""
    pids = tmp_path / "pids"
    text = (
        "import os, signal, subprocess, sys, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen(['sleep', '600']); print('so far', flush=True);"
        f"pathlib.Path({str(pids)!r}).write_text(f'{{os.getpid()}} {{child.pid}}'); signal.pause()"
    )
    result = ran(python(tmp_path, text, timeout_s=1.5))
    assert (result.failure, result.output) == ("not over after 1.5 s, and ended", "so far\n")
    for pid in map(int, pids.read_text().split()):
        wait_for("the process being gone", partial(is_gone, pid), 10.0)


def test_a_daemon_that_it_leaves_behind_does_not_keep_it(tmp_path: Path) -> None:
    """The hook is over when its first process is, though another still holds its output, and that one lives on."""
    result = ran(made(tmp_path, "/bin/sh", "-c", "sleep 600 & echo $!"))
    pid = int(result.output)
    assert result.failure == ""
    assert lives(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_service_that_is_to_end_ends_its_hook(tmp_path: Path) -> None:
    """The hook did not fail: it is to run again; and no other begins."""
    started = tmp_path / "started"
    hooks = made(tmp_path, "/bin/sh", "-c", f"touch {started}; exec sleep 600")

    def stop() -> None:
        wait_for("the hook running", started.exists, 10.0)
        hooks.interrupt()

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert hooks.run(STEP, {}) is None
    stopper.join()
    assert hooks.run(STEP, {}) is None


def test_what_a_killed_service_left_running_is_ended_first(tmp_path: Path) -> None:
    """Two runs of a hook never meet; a process that only has the same number by now is left alone."""
    note = tmp_path / "note"
    code = (
        "import sys; sys.path.insert(0, 'src')\n"
        "from pathlib import Path\nfrom poolpair.hooks.commands import CommandHooks\nfrom poolpair.moves import HookStep\n"
        f"CommandHooks({{HookStep.BEFORE_FENCE: ('/bin/sh', '-c', 'echo $$ > {note}; exec sleep 600')}}, 600,"
        f" Path({str(tmp_path)!r}), {{}}).run(HookStep.BEFORE_FENCE, {{}})"
    )
    service = subprocess.Popen([sys.executable, "-c", code])
    wait_for("the hook running", lambda: note.exists() and note.read_text().endswith("\n"), 20.0)
    wait_for("the note", (tmp_path / RUNNING).exists, 20.0)
    service.kill()
    service.wait()
    orphan = int(note.read_text())
    assert lives(orphan)
    assert ran(made(tmp_path, "/bin/true")).failure == ""
    assert not lives(orphan)
    bystander = subprocess.Popen(["sleep", "600"])
    (tmp_path / RUNNING).write_text(json.dumps({"pid": bystander.pid, "ticks": 1}))
    assert ran(made(tmp_path, "/bin/true")).failure == ""
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_one_that_runs_as_another_user_is_left_and_never_met(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it may be signalled: it counts as failed in time, ends no service, and does not run a second time beside itself."""

    def refused(_group: int, _number: int) -> None:
        raise PermissionError

    monkeypatch.setattr("poolpair.hooks.commands.GRACE_S", 0.2)
    there = tmp_path / "pid"
    text = f"import os, time; open({str(there)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    hooks = python(tmp_path, text, timeout_s=3.0)
    with monkeypatch.context() as nobody:
        nobody.setattr(os, "killpg", refused)
        result = ran(hooks)
        pid = int(there.read_text())
        try:
            assert result.failure == "not over after 3 s, and could not be ended"
            for again in (hooks, made(tmp_path, "true")):  # the same service, and one that was started anew
                assert (
                    ran(again).failure == f"not run: an earlier one (process {pid}) is not over, and could not be ended"
                )
        finally:
            os.kill(pid, signal.SIGKILL)
    wait_for("its end", partial(is_gone, pid), 10.0)
    assert ran(hooks).failure.startswith("not over after 3 s, and ended")
    assert not (tmp_path / RUNNING).exists()


def test_an_application_that_was_started_anew_has_another_mark(tmp_path: Path) -> None:
    """By the file that it makes at its start: made anew, or written anew; without such a file nothing tells."""
    watched = tmp_path / "app.pid"
    hooks = CommandHooks({}, 1.0, tmp_path, {}, watched)
    assert hooks.application() is None
    watched.write_text("1")
    first = hooks.application()
    assert first is not None
    assert hooks.application() == first
    (tmp_path / "new").write_text("2")
    (tmp_path / "new").rename(watched)
    second = hooks.application()
    assert second not in (None, first)
    before = watched.stat().st_ctime_ns
    while watched.stat().st_ctime_ns == before:  # the clock of a file system ticks every few milliseconds
        watched.write_text("3")
    assert hooks.application() not in (None, first, second)
    assert CommandHooks({}, 1.0, tmp_path, {}).application() is None


def test_an_application_that_does_not_run_is_known_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not there at all; or a socket that a killed process left behind, at which nobody listens. A plain file says no more."""
    monkeypatch.setattr("poolpair.hooks.commands.ASK_EVERY_S", 0.0)
    watched = tmp_path / "app.sock"
    hooks = CommandHooks({}, 1.0, tmp_path, {}, watched)
    assert hooks.down() == f"{watched} is not there"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(watched))
        assert hooks.down() == f"nobody listens at {watched}"
        listening.listen()
        assert hooks.down() == ""
    assert hooks.down() == f"nobody listens at {watched}"
    watched.unlink()
    watched.write_text("1")
    assert hooks.down() == ""
    assert CommandHooks({}, 1.0, tmp_path, {}).down() == ""


def test_an_application_is_not_asked_at_every_look(tmp_path: Path) -> None:
    """The line looks many times a second."""
    watched = tmp_path / "app.pid"
    hooks = CommandHooks({}, 1.0, tmp_path, {}, watched)
    assert hooks.down()
    watched.write_text("1")
    assert hooks.down()

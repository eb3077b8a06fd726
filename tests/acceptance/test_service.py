"""The service and the commands around it, as real processes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
from pathlib import Path

from poolpair.lab.compare import compare, content, doubled
from poolpair.lab.pool import PROGRAM, Pool, run_command, service_command, wait_for
from poolpair.lab.steps import wait_equal, wait_final

Pools = tuple[Pool, Pool]
WAIT_S = 20.0


def edit(pool: Pool, value: str) -> None:
    """Change one row of a home of pool a."""
    with pool.sql() as connection:
        done = connection.execute(
            "UPDATE prosody SET value = ? WHERE user = 'myriel' AND key = 'napoleon@b.example'", (value,)
        )
    assert done.rowcount == 1


def value(pool: Pool) -> str:
    """What that row says at a pool."""
    ((found,),) = pool.ask("SELECT value FROM prosody WHERE user = 'myriel' AND key = 'napoleon@b.example'")
    return str(found)


def test_sigterm_stops_cleanly_and_releases_the_lease(pair: Pools) -> None:
    """SIGTERM ends the service with exit status 0, nobody holds the lease any more, and nothing is left in Temp."""
    a, _ = pair
    assert a.stop() == 0
    assert a.ask("SELECT holder FROM poolpair_lease") == [("",)]
    answer = a.run("status")
    assert answer.exit_status == 3
    assert "the service is DOWN" in answer.out
    assert not list((a.share / "Temp").iterdir())


def test_a_second_service_is_refused(pair: Pools) -> None:
    """A second service for the same pool says P401 and who works already, ends with its exit status, and harms nothing."""
    a, b = pair
    second = subprocess.run(service_command(a.toml), capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert "P401" in second.stderr
    assert a.service is not None
    assert f"process {a.service.pid}" in second.stderr
    edit(a, "after a second service was refused")
    wait_for("the edit at B", lambda: value(b) == "after a second service was refused", WAIT_S)
    assert a.service.poll() is None


def test_a_new_service_starts_at_once_after_kill_9(pair: Pools) -> None:
    """What a killed service held keeps nobody out: the next one works at once, under a higher fencing number."""
    a, b = pair
    ((before,),) = a.ask("SELECT number FROM poolpair_lease")
    assert a.kill() == -signal.SIGKILL
    a.start()
    ((after,),) = a.ask("SELECT number FROM poolpair_lease")
    assert after > before
    edit(a, "after kill -9")
    wait_for("the edit at B", lambda: value(b) == "after kill -9", WAIT_S)


def test_sync_works_with_the_service_running_and_stopped(pair: Pools) -> None:
    """`sync --wait final` brings a change over, whether a service runs or the command does the work itself."""
    a, b = pair
    edit(a, "with the service running")
    assert a.run("sync", "--wait", "final", "--timeout", "20").exit_status == 0
    assert value(b) == "with the service running"
    assert a.stop() == 0
    edit(a, "with the service stopped")
    answer = a.run("sync", "--channel", "PresenceFocus", "--wait", "final", "--timeout", "20")
    assert answer.exit_status == 0, answer.talk
    assert value(b) == "with the service stopped"


def test_a_command_in_a_container_with_a_boot_id_of_its_own_says_the_same(pair: Pools, tmp_path: Path) -> None:
    """Beside a service that sees the machine's: `sync --wait final` comes to its end, and `status` is green."""
    a, b = pair
    own = tmp_path / "boot_id"
    own.write_text("11111111-2222-4333-8444-555555555555\n")
    inside = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount --bind {own} /proc/sys/kernel/random/boot_id && exec "$@"',
        "sh",
    ]
    program = [*inside, *PROGRAM, "-c", str(a.toml)]
    edit(a, "seen from a container")
    subprocess.run([*program, "sync", "--wait", "final"], check=True, timeout=90)
    assert value(b) == "seen from a container"
    told = subprocess.run([*program, "status", "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, json.loads(told.stdout)["channels"][0]["export"]["status"]) == (0, "FinalState")


def test_task_assignment_names_the_front_end(pair: Pools) -> None:
    """TaskAssignment holds the name of the front end and keeps its text over a restart."""
    a, _ = pair
    path = a.share / "TaskAssignment" / "backup-service.txt"
    assert path.read_text() == "fe-a\n"
    before = path.stat().st_mtime_ns
    a.stop()
    a.start()
    assert (path.read_text(), path.stat().st_mtime_ns) == ("fe-a\n", before)


def test_init_twice_is_harmless(pair: Pools) -> None:
    """A second `init`, beside a running service, changes no table, no row and no identity."""
    a, b = pair
    schema = a.ask("SELECT type, name, sql FROM sqlite_master ORDER BY name")
    identity = (a.share / "pool.json").read_text()
    answer = a.run("init")
    assert answer.exit_status == 0
    assert "already prepared" in answer.talk
    assert a.ask("SELECT type, name, sql FROM sqlite_master ORDER BY name") == schema
    assert (a.share / "pool.json").read_text() == identity
    wait_final(a, b)
    assert compare(a, b).equal


def test_exit_statuses_of_status(pair: Pools) -> None:
    """`status` ends with 0 when healthy, 1 for rows that belong to nobody, 2 while the partner's share is gone."""
    a, b = pair
    assert a.run("status").exit_status == 0
    with a.sql() as connection:
        connection.execute("INSERT INTO prosody VALUES ('nobody.example', 'x', 'roster', 'k', 'json', '1')")
    a.stop()
    a.start()  # they are counted at the start and once per interval
    wait_for("exit status 1 for an unhomed row", lambda: a.run("status").exit_status == 1, WAIT_S)
    assert "1 unhomed" in a.run("status").out
    with a.sql() as connection:
        connection.execute("DELETE FROM prosody WHERE host = 'nobody.example'")
    a.stop()
    a.start()
    wait_for("exit status 0 again", lambda: a.run("status").exit_status == 0, WAIT_S)
    away = b.share.with_name("unmounted")
    b.share.rename(away)
    try:
        edit(a, "while the partner's share was gone")
        wait_for("exit status 2 without the partner's share", lambda: a.run("status").exit_status == 2, WAIT_S)
        assert "P211" in a.run("status").out
    finally:
        away.rename(b.share)
    wait_for("exit status 0 again", lambda: a.run("status").exit_status == 0, WAIT_S)
    wait_for("the edit at B", lambda: value(b) == "while the partner's share was gone", WAIT_S)


def test_status_fits_a_hundred_columns(pair: Pools) -> None:
    """No line of `status` is longer than 100 columns or cut, and it names both modules in full."""
    a, b = pair
    b.stop()
    edit(a, "nobody answers")
    wait_for("a package that stands", lambda: b.packages("PresenceFocus"), WAIT_S)
    for pool in pair:
        told = pool.run("status").out
        assert all(len(line) <= 100 for line in told.splitlines())
        assert "…" not in told
        assert "UserServices.PresenceFocus" in told
        assert "ConfServices.DataConf" in told
    assert "1 package" in a.run("status").out
    assert "NOT acknowledged" in a.run("status").out
    assert "in the own share, not applied: no service runs" in b.run("status").out


def test_inspect_shows_no_row(pair: Pools) -> None:
    """`inspect` shows the header without a key, the manifest with it, and never what a row says."""
    a, b = pair
    b.stop()
    edit(a, "secret-of-myriel")
    (package,) = wait_for("a package that stands", lambda: b.packages("PresenceFocus"), WAIT_S)
    clear = run_command("inspect", str(package))
    assert clear.exit_status == 0
    assert "from a to b" in clear.out
    assert "carries" not in clear.out
    whole = b.run("inspect", str(package))
    assert whole.exit_status == 0
    assert "kind         delta" in whole.out
    assert "prosody: grouped by host, user, store" in whole.out
    assert "every member opened" in whole.out
    assert "myriel" not in whole.out
    package.write_bytes(package.read_bytes()[:-200] + bytes(200))
    assert b.run("inspect", str(package)).exit_status == 2


def test_check_finds_what_is_wrong(pair: Pools) -> None:
    """`check` says ok of everything, and after the partner's folder and a trigger went away names both and ends with 2."""
    a, b = pair
    healthy = a.run("check")
    assert healthy.exit_status == 0, healthy.out
    assert all(line.startswith("ok ") for line in healthy.out.splitlines())
    a.stop()
    away = b.share.with_name("unmounted")
    b.share.rename(away)
    ((name, sql),) = a.ask(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name GLOB 'poolpair_*' LIMIT 1"
    )
    (a.folder / "pair.key").chmod(0o644)
    try:
        with a.sql() as connection:
            connection.execute(f'DROP TRIGGER "{name}"')
        exposed = a.run("check")
        (a.folder / "pair.key").chmod(0o600)
        answer = a.run("check")
    finally:
        (a.folder / "pair.key").chmod(0o600)
        away.rename(b.share)
        with a.sql() as connection:
            connection.execute(sql)
    assert exposed.exit_status == answer.exit_status == 2
    assert "FAIL  key file: P103" in exposed.out
    assert "FAIL  capture: P205" in answer.out
    assert name in answer.out
    assert "FAIL  partner: P211" in answer.out
    assert a.run("check").exit_status == 0


def test_verify_finds_and_repairs_a_tampered_row(worn: Pools) -> None:
    """`verify` says equal; after somebody changed a row of A's at B, it finds that, and `--repair` heals it."""
    a, b = worn
    before = value(a)
    equal = a.run("verify")
    assert (equal.exit_status, equal.out) == (0, "users: equal\nconferences: equal\n")
    with sqlite3.connect(b.database, timeout=30) as connection:
        connection.execute("DELETE FROM poolpair_fence")
        connection.execute("UPDATE prosody SET value = 'tampered' WHERE user = 'myriel' AND key = 'napoleon@b.example'")
    connection.close()
    found = a.run("verify")
    assert found.exit_status == 1
    assert "users: 1 bucket differs" in found.out
    assert value(b) == "tampered"
    wait_for("B's status telling of the foreign write", lambda: "foreign" in b.run("status").out, WAIT_S)
    assert b.run("status").exit_status == 1
    repaired = a.run("verify", "--repair")
    assert repaired.exit_status == 0, repaired.talk
    assert "after repair" in repaired.out
    assert value(b) == value(a) == before
    assert compare(a, b).equal
    assert doubled(b) == 0
    wait_for("B's status without foreign writes", lambda: b.run("status").exit_status == 0, WAIT_S)


def test_uninstall_leaves_no_trace_also_with_the_partner_gone(worn: Pools) -> None:
    """`uninstall` removes tables, triggers, WAL mode, share and scratch folder, and touches no row; no partner is needed."""
    a, b = worn
    for pool in worn:
        pool.stop()
    rows = content(a)
    (b.folder / "share-b").rename(b.folder / "gone")
    answer = a.run("uninstall", "--yes")
    assert answer.exit_status == 0, answer.talk
    assert a.ask("SELECT name FROM sqlite_master WHERE name LIKE 'poolpair%' OR sql LIKE '%poolpair%'") == []
    assert a.ask("PRAGMA journal_mode") == [("delete",)]
    assert list(a.share.iterdir()) == []
    assert sorted(path.name for path in a.data.iterdir() if "prosody.sqlite" in path.name) == ["prosody.sqlite"]
    assert content(a) == rows
    assert a.run("uninstall", "--yes").exit_status == 0


def test_key_new_is_private_and_overwrites_nothing(tmp_path: Path) -> None:
    """`key new` makes a file of mode 0600 whatever the umask, and refuses to replace one."""
    path = tmp_path / "pair.key"
    old = os.umask(0)
    try:
        assert run_command("key", "new", str(path)).exit_status == 0
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    again = run_command("key", "new", str(path))
    assert again.exit_status == 64
    assert "P103" in again.talk
    assert path.read_bytes() == before


def test_services_find_each_other_again_after_both_were_killed(pair: Pools) -> None:
    """After `kill -9` of both at once, both come back to FinalState with equal rows and files."""
    a, b = pair
    edit(a, "both are killed now")
    for pool in pair:
        pool.kill()
    for pool in pair:
        pool.start()
    wait_equal(a, b)
    wait_final(a, b)


def test_whoever_pauses_says_why_in_one_line(pair: Pools) -> None:
    """It is shown at the other side, too: nothing in it may pass for something else. Both sides say where it is ended."""
    a, b = pair
    for reason in ("", "two\nlines", "\x1b[31mred", "x" * 201):
        answer = a.run("pause", "--reason", reason)
        assert answer.exit_status == 64
        assert "printable" in answer.talk
    a.must("pause", "--reason", "the line is needed", "users")
    wait_for("word of it at b", lambda: "P410 paused by hand (the line is needed)" in b.run("status").out, WAIT_S)
    assert "`poolpair resume` sends them (at a)" in b.run("status").out
    assert (a.run("status").exit_status, b.run("status").exit_status) == (1, 1)
    assert "nothing is paused here" in b.must("resume").talk
    assert "users: resumed" in a.must("resume").talk
    wait_final(a, b)


def test_a_cap_holds_nothing_up_for_longer_than_it_says(pair: Pools) -> None:
    """Half a megabyte at 100 kB a second: the service goes on by itself, though nothing happens that would wake it."""
    a, b = pair
    assert a.stop() == 0
    with a.toml.open("a") as file:
        file.write("\n[bandwidth]\nusers = 800\n")
    a.start()
    edit(a, os.urandom(256 * 1024).hex())
    wait_for("a large value at B", lambda: len(value(b)) == 512 * 1024, WAIT_S)
    wait_final(a, b)


def test_sync_without_a_service_sends_a_large_package_to_its_end(pair: Pools) -> None:
    """It goes in pieces, and the command ends when the last has gone: nothing of it is left in Temp."""
    a, b = pair
    a.stop()
    b.stop()
    edit(a, os.urandom(256 * 1024).hex())
    a.must("sync")
    assert not list((b.share / "Temp").iterdir())
    assert b.packages("PresenceFocus")
    b.must("sync")
    assert len(value(b)) == 512 * 1024

"""As a supervisor and a helper meet it: units, the words to systemd, a log that programs read, and a bundle without a secret."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from poolpair.cli.redacting import without, without_words
from poolpair.lab.pool import Pool, make_pools, service_command, wait_for

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "ops" / "systemd").glob("*.service"))
EXPOSURE_MAX = 2.0


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_is_sound_and_exposes_little(unit: Path) -> None:
    """Systemd itself understands each line, and rates the exposure as OK."""
    words = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    found = re.search(r"exposure level for \S+: ([0-9.]+)", told.stdout)
    assert found, told.stdout + told.stderr
    assert float(found[1]) <= EXPOSURE_MAX
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    unknown = [line for line in verified.stderr.splitlines() if unit.stem in line and "not executable" not in line]
    assert not unknown


@pytest.mark.timeout(120)
def test_systemd_hears_when_it_works_is_alive_and_ends_and_the_log_is_documents(tmp_path: Path) -> None:
    """READY once it works, WATCHDOG again and again, STOPPING at the end; each line of the log is a document."""
    a, b = make_pools(tmp_path, interval='"5s"', heartbeat_max='"500ms"', eager="true")
    heard: list[bytes] = []

    def hear() -> None:
        while not heard or heard[-1] != b"STOPPING=1":
            heard.append(listener.recv(100))

    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
        a.log.open("wb") as log,
        ThreadPoolExecutor(1) as supervisor,  # as systemd does, it reads all the while: the queue holds ten words
    ):
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(60)
        hearing = supervisor.submit(hear)
        b.start()
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        words = [*service_command(a.toml), "--log", "json"]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment) as service:
            try:
                wait_for("READY and three signs of life", lambda: len(heard) > 3, 60)
                wait_for("the first package acknowledged", lambda: b'"acknowledged"' in a.log.read_bytes(), 60)
            finally:
                service.terminate()
                service.wait(30)
                b.kill()
        hearing.result()
    assert heard[0] == b"READY=1"
    assert set(heard[1:-1]) == {b"WATCHDOG=1"}
    lines = [json.loads(line) for line in a.log.read_text().splitlines()]
    assert all({"at", "pool", "event", "message"} <= line.keys() for line in lines)
    packages = [line for line in lines if line["event"] in {"delivered", "applied", "acknowledged"}]
    assert {line["event"] for line in packages} == {"delivered", "applied", "acknowledged"}
    assert all(line["sequence"] > 0 and len(line["package"]) == 32 and line["channel"] for line in packages)


def _bundle(pool: Pool, *words: str) -> dict[str, str]:
    """What is in a bundle of a pool, by name; nobody else may read the file."""
    to = pool.folder / "bundle.tar.gz"
    pool.must("support-bundle", str(to), *words)
    assert to.stat().st_mode & 0o777 == 0o600
    with tarfile.open(to) as bundle:
        return {Path(each.name).name: bundle.extractfile(each).read().decode() for each in bundle.getmembers()}  # type: ignore[union-attr]


def _must_hold_none(parts: dict[str, str], secrets: Iterable[str]) -> None:
    for name, text in parts.items():
        for secret in secrets:
            assert secret not in text, f"{name} holds {secret!r}"


@pytest.mark.timeout(120)
def test_a_bundle_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what stands in the files of secrets, nor what hooks are told, nor what looks like one in the log; what helps is there."""
    a, _ = make_pools(tmp_path)
    a.must("token", "show")
    secrets = {word for word in re.split(r"[\s\",:{}\[\]]+", (tmp_path / "pair.key").read_text()) if len(word) > 20}
    secrets |= {line.split()[2] for line in (a.scratch / "api.tokens").read_text().splitlines()}
    assert len(secrets) >= 3
    known = " ".join(secrets)
    secrets |= {"hunter22", "abcdefgh12345678", "s3cret-of-a-hook", "s3cret-in-the-environment", "pw-in-a-url"}
    with a.toml.open("a") as file:
        file.write('[hooks]\nafter_apply = ["/bin/sh", "-c", "env; exit 3", "s3cret-of-a-hook"]\n')
    (a.share / "UserServices/Data/PresenceFocusData/backup-0.zip").write_bytes(b"no package")
    monkeypatch.setenv("PGPASSWORD", "s3cret-in-the-environment")
    answer = a.run("failover", "b", "--disaster", "--accept-incomplete", "--yes")
    assert "P312" in answer.talk, answer
    log = tmp_path / "service.log"
    log.write_text(
        f"2026 said {known}\npassword = hunter22\nAuthorization: Bearer abcdefgh12345678\n{answer.talk}"
        'PGPASSWORD=s3cret-in-the-environment {"token": "abcdefgh12345678"} postgresql://u:pw-in-a-url@h/d\n'
    )
    parts = _bundle(a, "--log", str(log))
    _must_hold_none(parts, secrets)
    documents = {name: json.loads(text) for name, text in parts.items() if name.endswith(".json")}
    assert documents["status.json"]["pool"] == "a"
    assert "sync.interval" in parts["settings.txt"]
    assert "hooks.after_apply = /bin/sh with 3 words" in parts["settings.txt"]
    assert "after-apply\tb\t/bin/sh with 3 words" in parts["hooks.txt"]
    assert "SQLite 3." in parts["version.txt"]
    assert "ok    " in parts["check.txt"]
    assert {"orders.json", "history.json", "ledger.json", "parked.json", "quarantine.txt", "share.txt"} <= parts.keys()
    again = a.run("support-bundle", str(tmp_path / "bundle.tar.gz"))
    assert (again.exit_status, "File exists" in again.talk) == (64, True)


@pytest.mark.timeout(120)
def test_a_bundle_of_a_pool_that_cannot_be_opened_says_why_and_holds_no_secret(tmp_path: Path) -> None:
    """Neither its server nor its file server answers: passwords of both, as they are written and as they are meant, stay here."""
    a, _ = make_pools(tmp_path)
    login = tmp_path / "login"
    login.write_text("username=svc-a\npassword=pa ss\n")
    login.chmod(0o600)
    text = a.toml.read_text().replace(
        f'"sqlite:///{a.database}"', '"postgresql://svc:c%40t%2Fs@127.0.0.1:1/app?sslpassword=kitten"'
    )
    text = text.replace(
        f'share = "{a.share}"',
        f'share = "smb://127.0.0.1:1/pools/a"\nshare_credentials = "{login}"\nscratch = "{tmp_path}"',
    )
    assert "sslpassword" in text
    assert "smb://" in text
    a.toml.write_text(text)
    parts = _bundle(a)
    _must_hold_none(parts, ("c%40t%2Fs", "c@t/s", "kitten", "pa ss"))
    assert "P2" in parts["check.txt"]
    assert "smb://127.0.0.1:1/pools/a" in parts["settings.txt"]


def test_what_looks_like_a_secret_is_taken_out() -> None:
    """A value after a word that names one; the rest of the line stays."""
    assert without("x password=abc y", ()) == "x password=*** y"
    assert without("MY_API_KEY: 'a b', y", ()) == "MY_API_KEY: '***', y"
    assert without('{"api_token": "abc", "n": 1}', ()) == '{"api_token": "***", "n": 1}'
    assert (
        without("at smb://ann:pw@host/x and http://host:80/x@y", ()) == "at smb://ann:***@host/x and http://host:80/x@y"
    )
    assert without("key 1234567890 end", ("1234567890",)) == "key *** end"
    assert without("nothing here", ()) == "nothing here"
    assert [without_words(each) for each in ((), ("a",), ("a", "b"))] == ["none", "a", "a with 1 word"]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_wheel_holds_all_that_it_needs(tmp_path: Path) -> None:
    """Built, installed into an empty environment, and used from there: templates, styles, SQL and profiles are in it."""
    words = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(words, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("api/page/templates/base.html", "api/page/static/page.css", "profiles/prosody.toml"):
        assert f"poolpair/{name}" in names
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel), *constraints], check=True, cwd=tmp_path)
    a, _ = make_pools(tmp_path)
    program = tmp_path / "venv" / "bin" / "poolpair"
    told = subprocess.run([program, "-c", a.toml, "status"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (told.returncode, "P406" in told.stdout) == (3, True)
    shown = subprocess.run(
        [program, "-c", a.toml, "token", "show"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "operator" in shown.stdout

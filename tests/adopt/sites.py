"""Two machines below one folder, each with a real Prosody and its service, on which the commands of a page can be given.

Paths of the page (/etc, /srv, /mnt, /var) lie below the machine's folder, and what only a supervisor can do is done by this process.
"""

from __future__ import annotations

import base64
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from typer.testing import CliRunner

from poolpair.adopt.places import is_running
from poolpair.cli.main import app
from poolpair.errors import PoolpairError
from poolpair.lab.waiting import wait_for

POOLPAIR = Path(sys.executable).with_name("poolpair")
START_S = 20.0
QUICK = '\n[sync]\ninterval = "5s"\nheartbeat_max = "300ms"\n'
"""So that nobody waits for a heartbeat."""
SERVER = """
run_as_root = true
prosody_user = "{user}"
pidfile = "{root}/prosody.pid"
data_path = "{root}/var/lib/prosody"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s} }}
c2s_direct_tls_ports = {{}}
s2s_ports = {{}}
http_ports = {{ {http} }}
http_interfaces = {{ "127.0.0.1" }}
https_ports = {{}}
modules_disabled = {{ "s2s" }}
modules_enabled = {{ "roster"; "saslauth"; "disco"; "pep"; "vcard4"; "blocklist"; "register"; "mam"; "carbons"; "smacks" }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_hashed"
storage = "sql"
sql = {sql}
log = {{ info = "{root}/prosody.log" }}
Include "conf.d/*.cfg.lua"
"""
HOSTS = """
VirtualHost "{pool}.example"
Component "rooms.{pool}.example" "muc"
    modules_enabled = {{ "muc_mam" }}
Component "share.{pool}.example" "http_file_share"
    http_file_share_size_limit = 1024 * 1024
"""


def free_port() -> int:
    """A port below the range from which the system gives ports to clients."""
    for port in random.sample(range(20_000, 32_000), 50):
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                server.bind(("127.0.0.1", port))
                return port
    raise AssertionError("no port is free")


@dataclass(frozen=True)
class Said:
    """What came of a command."""

    status: int
    text: str


@dataclass
class Machine:
    """One site."""

    pool: str
    folder: Path
    sql: str
    c2s: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """What stands for / there."""
        return self.folder / self.pool

    @property
    def config(self) -> Path:
        """Prosody's configuration."""
        return self.root / "etc/prosody/prosody.cfg.lua"

    @property
    def toml(self) -> Path:
        """The pool file."""
        return self.root / f"etc/poolpair/{self.pool}.toml"

    def make(self) -> None:
        """A Prosody as Debian installs it, with hosts of its own, and no word of a pair."""
        for name in (
            "etc/prosody/conf.d",
            "var/lib/prosody",
            "srv",
            "mnt/poolpair",
            "etc/systemd/system",
        ):
            (self.root / name).mkdir(parents=True)
        user = os.environ.get("USER", "root") if os.geteuid() else "root"
        text = SERVER.format(root=self.root, user=user, c2s=self.c2s, http=free_port(), sql=self.sql)
        self.config.write_text(text)
        hosts = self.config.parent / "conf.d"
        (hosts / "localhost.cfg.lua").write_text('VirtualHost "localhost"\n')
        (hosts / f"{self.pool}.cfg.lua").write_text(HOSTS.format(pool=self.pool))
        other = "b" if self.pool == "a" else "a"
        (self.root / "mnt/poolpair" / other).symlink_to(self.folder / other / "srv/poolpair" / other)

    def here(self, word: str) -> str:
        """A word of a command as it is said on this machine."""
        return re.sub(r"(?<![\w./-])/(?=(?:etc|srv|mnt|var)/)", f"{self.root}/", word)

    def start(self, unit: str) -> None:
        """As the supervisor does."""
        if unit == "prosody":
            self._spawn(unit, ["prosody", "-F", "--config", str(self.config)])
            path = self.root / "var/lib/prosody/prosody.sock"
            if "poolpair.cfg.lua" in self.config.read_text():
                wait_for("Prosody", lambda: is_running(path), START_S)
            else:
                wait_for("Prosody", lambda: self.answer("localhost") or None, START_S)
            return
        text = (self.root / "etc/systemd/system/poolpair.service").read_text()
        (line,) = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)
        if os.geteuid() == 0:
            line += " --allow-root"
        self._spawn(unit, self._words(line))

    def stop(self, unit: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End a process that was started here, and wait for it."""
        process = self.processes.pop(unit, None)
        if process is not None:
            process.send_signal(how)
            process.wait(START_S)

    def run(self, command: str) -> Said:
        """Give a command and wait for its end. poolpair's run in this process, which is quicker."""
        words = self._words(command)
        if words[0] == str(POOLPAIR):
            result = CliRunner().invoke(app, words[1:])
            error = result.exception if isinstance(result.exception, PoolpairError) else None
            return Said(error.exit_status if error else result.exit_code, f"{result.output}{error or ''}")
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
        return Said(done.returncode, done.stdout + done.stderr)

    def _words(self, command: str) -> list[str]:
        words = [self.here(word) for word in shlex.split(command)]
        program = Path(words[0]).name
        if program == "poolpair":
            rest = words[1:]
            if rest[:2] == ["adopt", "prosody"]:  # the rest are the defaults of a real machine
                key, scratch = self.here("/etc/poolpair/pair.key"), self.here("/var/lib/poolpair")
                rest += ["--config", str(self.config), "--key-file", key, "--scratch", scratch]
                for option, place in (("--share", "/srv/poolpair/"), ("--partner-share", "/mnt/poolpair/")):
                    name = "--pool" if option == "--share" else "--partner-pool"
                    rest += [option, self.here(place + rest[rest.index(name) + 1])]
            return [str(POOLPAIR), *rest]
        return [words[0], "--config", str(self.config), *words[1:]] if program == "prosodyctl" else words

    def _spawn(self, unit: str, words: list[str]) -> None:
        assert unit not in self.processes, f"{unit} runs already"
        with (self.root / f"{unit}.out").open("ab") as log:
            self.processes[unit] = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def answer(self, domain: str) -> str:
        """What a client hears that wants to talk to a domain; empty if nobody answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.c2s), timeout=5) as client:
                return _until(client, _opening(domain), rb"</stream:features>|</stream:error>")
        except OSError:
            return ""

    def serves(self, domain: str) -> bool:
        """Whether clients of a domain are let in."""
        return "</stream:features>" in self.answer(domain)

    def logs_in(self, user: str, domain: str, password: str) -> bool:
        """Whether a user is let in with a password."""
        said = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        try:
            with socket.create_connection(("127.0.0.1", self.c2s), timeout=5) as client:
                _until(client, _opening(domain), rb"</stream:features>|</stream:error>")
                auth = f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{said}</auth>"
                return "<success" in _until(client, auth, rb"<success|<failure|</stream:error>")
        except OSError:
            return False

    def set_password(self, user: str, domain: str, password: str) -> None:
        """Make an account, or give it another password."""
        done = self.run(f"prosodyctl register {user} {domain} {password}")
        assert done.status == 0, done.text

    def tear_down(self) -> None:
        """End what was started."""
        for unit in tuple(self.processes):
            self.stop(unit, signal.SIGKILL)
        shutil.rmtree(self.root, ignore_errors=True)


def _opening(domain: str) -> str:
    return f"<stream:stream to='{domain}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"


def _until(client: socket.socket, say: str, pattern: bytes) -> str:
    client.sendall(say.encode())
    heard = b""
    while not re.search(pattern, heard):
        chunk = client.recv(4096)
        if not chunk:
            break
        heard += chunk
    return heard.decode()

"""A real Prosody, run as its Debian package's user from a configuration of the tests' own."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from poolpair.lab.waiting import NotSeen, wait_for

PLUGINS = Path(__file__).parent / "plugins"
POOLS = ("a", "b")
START_S = 20.0
STOP_S = 20.0
SECRET = "the same at both sites"
"""Signs the URLs of uploads: a slot that was given at one site is taken at the other."""
_PORTS = iter(range(20_000 + os.getpid() % 100 * 100, 32_000))


def hosts_of(pool: str) -> tuple[str, ...]:
    """The hosts that a pool's domain is made of, in the order in which they are activated."""
    return (f"rooms.{pool}.example", f"share.{pool}.example", f"{pool}.example")


def free_port() -> int:
    """A port of this machine that nobody listens on, below those that the system gives to clients."""
    for port in _PORTS:
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise NotSeen("no port is free")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where one Prosody listens."""

    clients: int = field(default_factory=free_port)
    servers: int = field(default_factory=free_port)
    web: int = field(default_factory=free_port)


class Prosody:
    """One server of the pair. It knows the hosts of both pools and serves none of them until it is told to."""

    def __init__(self, folder: Path, ports: dict[str, Ports], pool: str, sql: str) -> None:
        self.folder = folder
        self.ports = ports[pool]
        self.process: subprocess.Popen[bytes] | None = None
        self.data.mkdir(parents=True)
        self.config.write_text(_config(folder, ports, pool, sql))
        self._user = "prosody" if os.geteuid() == 0 else None
        if self._user:
            entry = pwd.getpwnam(self._user)
            for path in (folder, self.data):
                os.chown(path, entry.pw_uid, entry.pw_gid)
            folder.chmod(0o755)

    @property
    def config(self) -> Path:
        """What `--config` says."""
        return self.folder / "prosody.cfg.lua"

    @property
    def data(self) -> Path:
        """Prosody's data_path: uploads."""
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        """Its admin socket, made anew at each start."""
        return self.folder / "prosody.sock"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "prosody.log"

    def start(self) -> None:
        """Start it, and wait until it answers commands."""
        with (self.folder / "out").open("ab") as out:
            self.process = subprocess.Popen(
                ["prosody", "-F", "--config", self.config],
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        wait_for("Prosody answering commands", self._answers, START_S, poll_s=0.1)

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise NotSeen(f"Prosody ended: {(self.folder / 'out').read_text()}")
        return self.socket.exists() and self.shell("host", "list").returncode == 0

    def shell(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command of `prosodyctl shell`."""
        command = ["prosodyctl", "--config", str(self.config), "shell", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=STOP_S, check=False)

    def active(self) -> set[str]:
        """Hosts that it serves now, but for its own."""
        said = self.shell("host", "list").stdout
        return {word for word in said.split() if word.endswith(".example")}

    def stop(self) -> None:
        """Ask it to end, as an operator does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a crash does."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(number)
            process.wait(STOP_S)


def _config(folder: Path, ports: dict[str, Ports], pool: str, sql: str) -> str:
    mine = ports[pool]
    routes = "; ".join(f'["{host}"] = {ports[each].servers}' for each in POOLS for host in hosts_of(each))
    return GLOBAL.format(folder=folder, plugins=PLUGINS, mine=mine, sql=sql, routes=routes) + "".join(
        HOSTS.format(pool=each, secret=SECRET, web=mine.web) for each in POOLS
    )


GLOBAL = """
daemonize = false
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
admin_socket = "{folder}/prosody.sock"
plugin_paths = {{ "{plugins}" }}
log = {{ debug = "{folder}/prosody.log" }}
certificates = "{folder}"

interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {mine.clients} }}
c2s_direct_tls_ports = {{}}
s2s_ports = {{ {mine.servers} }}
http_ports = {{ {mine.web} }}
http_interfaces = {{ "127.0.0.1" }}
https_ports = {{}}
component_ports = {{}}

modules_enabled = {{
  "admin_shell"; "blocklist"; "bookmarks"; "carbons"; "cron"; "dialback"; "disco"; "loopback_routes"; "mam"; "offline"; "pep"; "ping";
  "private"; "register"; "roster"; "saslauth"; "smacks"; "vcard4"; "vcard_legacy";
}}
loopback_routes = {{ {routes} }}
allow_registration = true
authentication = "internal_hashed"
c2s_require_encryption = false
s2s_require_encryption = false
s2s_secure_auth = false
s2s_allow_encryption = false
allow_unencrypted_plain_auth = true

storage = "sql"
sql = {{ {sql} }}

-- Without a host that is always there Prosody loads no modules, and listens to no commands.
VirtualHost "site.invalid"
  allow_registration = false
"""
HOSTS = """
VirtualHost "{pool}.example"
  enabled = false
Component "rooms.{pool}.example" "muc"
  enabled = false
  modules_enabled = {{ "muc_mam"; "dialback"; "loopback_routes" }}
Component "share.{pool}.example" "http_file_share"
  enabled = false
  http_file_share_secret = "{secret}"
  http_external_url = "http://share.{pool}.example:{web}/"
"""

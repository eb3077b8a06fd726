"""A Samba server of the tests' own: on a port of its own of this machine, in a folder of its own, with throw-away accounts."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from poolpair.errors import PoolpairError
from poolpair.lab.waiting import NotSeen, wait_for
from poolpair.share.smb.line import Line
from poolpair.share.smb.login import Login
from poolpair.smb_address import SmbAddress
from tests.prosody.server import free_port

PASSWORD = "S3cret-pw"
ACCOUNT = "daemon" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
"""An account that every system has; only the server's own list of passwords knows the password."""
START_S = 20.0
CONFIG = """
[global]
   server role = standalone server
   workgroup = BACKUP
   netbios name = SITE
   disable netbios = yes
   smb ports = {port}
   interfaces = 127.0.0.1/8
   bind interfaces only = yes
   passdb backend = tdbsam:{folder}/private/passdb.tdb
   private dir = {folder}/private
   state directory = {folder}/state
   lock directory = {folder}/lock
   cache directory = {folder}/cache
   pid directory = {folder}/pid
   ncalrpc dir = {folder}/ncalrpc
   usershare path =
   usershare max shares = 0
   log file = {folder}/log.%m
   log level = 1
   server min protocol = SMB3_11
   server signing = mandatory
   smb encrypt = required
   map to guest = Never
   restrict anonymous = 2
   load printers = no
   printing = bsd
   printcap name = /dev/null
   disable spoolss = yes
   dns proxy = no
   strict sync = yes
{extra}
"""
SHARE = """
[{name}]
   path = {path}
   read only = {read_only}
   valid users = {accounts}
"""


@dataclass
class SmbServer:
    """One smbd. `shares` are its shares and their folders."""

    folder: Path
    shares: dict[str, Path]
    accounts: tuple[str, ...] = (ACCOUNT,)
    extra: str = ""
    read_only: bool = False
    sections: str = ""
    """Shares as somebody else writes them."""
    port: int = field(default_factory=free_port)
    passwords: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        for name in ("private", "state", "lock", "cache", "pid", "ncalrpc"):
            (self.folder / name).mkdir(parents=True)
        text = CONFIG.format(folder=self.folder, port=self.port, extra=self.extra)
        for name, path in self.shares.items():
            path.mkdir(exist_ok=True)
            text += SHARE.format(
                name=name, path=path, accounts=" ".join(self.accounts), read_only="yes" if self.read_only else "no"
            )
        self.config.write_text(text + self.sections)
        for account in self.accounts:
            self.set_password(account, PASSWORD)

    @property
    def config(self) -> Path:
        """Its smb.conf."""
        return self.folder / "smb.conf"

    def set_password(self, account: str, password: str) -> None:
        """What the server asks of an account from now on."""
        command = ["smbpasswd", "-c", str(self.config), "-s", "-a", account]
        done = subprocess.run(command, input=f"{password}\n{password}\n".encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        self.passwords[account] = password

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until somebody is let in, or at least until it listens."""
        with (self.folder / "out").open("ab") as out:
            self.process = subprocess.Popen(
                ["smbd", "-s", self.config, "--foreground", "--no-process-group"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        wait_for("smbd", self._answers if wait else self._listens, START_S, poll_s=0.05)

    def _listens(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise NotSeen(f"smbd ended: {(self.folder / 'out').read_text()}")
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def _answers(self) -> bool:
        if not self._listens():
            return False
        line = self.line(next(iter(self.shares), "pool"))
        try:
            line.write_bytes  # noqa: B018 - connects
        except PoolpairError:
            return False
        line.close()
        return True

    def line(self, share: str, *folder: str, account: str = "", whose: str = "own") -> Line:
        """A connection to one of its shares."""
        address = SmbAddress(server="127.0.0.1", port=self.port, share=share, folder=folder)
        name = account or self.accounts[0]
        return Line(address, lambda: Login(name, self.passwords[name]), whose)

    def processes(self) -> list[int]:
        """The server and what it started."""
        assert self.process is not None
        group = self.process.pid
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[2]) == group:
                    found.append(int(stat.parent.name))
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes, such as SIGSTOP."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def kill(self) -> None:
        """All of it ends at once."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait(START_S)
            self.process = None

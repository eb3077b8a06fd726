"""A site that runs somebody else's whole application, protected with a profile of a few lines, or with nothing but a drafted one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from poolpair.lab.pool import Answer, Pool, run_command
from poolpair.lab.waiting import wait_for

FINAL = ("sync", "--wait", "final", "--timeout", "60")
CALL_S = 400.0
SERVER_S = 60.0
HELD_S = 60.0


class Application(Protocol):
    """What a story needs to do with an application, through its own programs."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Distributions to be installed from the package index."""
        ...

    @property
    def profile(self) -> str:
        """The whole profile; empty if it is to be drafted."""
        ...

    @property
    def alone(self) -> bool:
        """Whether its installation at the cold site leaves rows that the other has not, so that the first copy is held there."""
        ...

    def set_up(self, site: Site) -> None:
        """Make its tables and folders, as its manual says."""
        ...

    def add(self, site: Site, what: str) -> str:
        """Enter something; gives what the program says if it fails."""
        ...

    def listed(self, site: Site) -> set[str]:
        """All that was entered, as a user of it sees that."""
        ...


@dataclass
class Site(Pool):
    """One pool, and the folder of the application, which finds no other."""

    url: str = field(kw_only=True)
    """The application's database."""
    files: Path = field(kw_only=True)
    """Where it keeps its files: its folder, or a part of that."""
    programs: Path = field(kw_only=True)
    """Where it is installed."""

    @property
    def home(self) -> Path:
        """The application's folder."""
        return home_below(self.folder, self.name)

    @property
    def profile(self) -> Path:
        """The same at both sites."""
        return self.folder / "profile.toml"

    @property
    def _environment(self) -> dict[str, str]:
        own = {"HOME": str(self.home), "XDG_DATA_HOME": str(self.home), "BEETSDIR": str(self.home), "LC_ALL": "C.UTF-8"}
        return {**os.environ, **own}

    def call(self, program: str, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run one of the application's programs."""
        return subprocess.run(
            [self.programs / program, *words],
            input=typed,
            capture_output=True,
            text=True,
            cwd=self.home,
            env=self._environment,
            timeout=CALL_S,
            check=False,
        )

    def must_call(self, program: str, *words: str, typed: str = "") -> str:
        """The same, and it has to succeed; gives what it prints."""
        done = self.call(program, *words, typed=typed)
        assert not done.returncode, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def serving(self, words: tuple[str, ...]) -> Iterator[str]:
        """Its server, until the context ends; gives its address. PORT in the words is where it is to answer."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        command = [str(self.programs / words[0]), *(word.replace("PORT", str(port)) for word in words[1:])]
        log = self.folder / f"server-{self.name}.log"
        with log.open("wb") as said:
            server = subprocess.Popen(command, cwd=self.home, env=self._environment, stdout=said, stderr=said)
        try:
            wait_for(f"the server that {log} tells of", lambda: _answers(port), SERVER_S)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait()

    def draft(self) -> Answer:
        """What `profile draft` proposes for what is there now."""
        drafted = run_command("profile", "draft", "--store", self.url, "--files", str(self.files))
        assert not drafted.exit_status, drafted.talk
        return drafted

    def write_toml(self, **settings: str) -> None:
        """Everything is at home in pool a."""
        self.settings = {**self.settings, **settings}
        sync = "".join(f"{key} = {value}\n" for key, value in self.settings.items())
        self.toml.write_text(
            f'pool = "{self.name}"\nstore = "{self.url}"\nprofile = "{self.profile}"\n'
            f'scratch = "{self._scratch}"\nshare = "{self.share}"\nfiles = "{self.files}"\n\n'
            f'[partner]\npool = "{self.partner}"\nshare = "{self.folder}/share-{self.partner}"\n'
            f'key_file = "{self.folder}/pair.key"\n\n[homes]\nshared = "a"\n"*" = "a"\n\n[sync]\n{sync}'
        )

    def is_whole(self) -> bool:
        """Whether it knows of nothing that is still to be brought together."""
        return not any(home["recovering"] or home["plan"] for home in self.status()["homes"])


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def page_of(address: str) -> str:
    """What a browser would be shown."""
    with urllib.request.urlopen(address, timeout=CALL_S) as answer:
        page: bytes = answer.read()
    return page.decode()


def home_below(folder: Path, pool: str) -> Path:
    """The application's folder at a site."""
    return folder / f"home-{pool}"


def install(into: Path, needs: Iterable[str]) -> Path:
    """An environment of the application's own, as its users have it; gives where its programs are."""
    subprocess.run([sys.executable, "-m", "venv", into], check=True)
    programs = into / "bin"
    quiet = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", *needs)
    subprocess.run([programs / "python", *quiet], check=True, capture_output=True)
    return programs


def pair(application: Application, *sites: Site) -> None:
    """Set the application up at each of two sites, and pair them by what an operator would type."""
    for site in sites:
        site.files.mkdir(parents=True)
        site.share.mkdir()
        application.set_up(site)
        site.write_toml()
    first = sites[0]
    first.profile.write_text(application.profile or first.draft().out)
    run_command("key", "new", str(first.folder / "pair.key"))


def copy_first(application: Application, warm: Site, cold: Site) -> None:
    """Begin, and wait for the first copy; where its installation left rows at the cold site, decide as the runbook says."""
    for site in (warm, cold):
        site.must("init")
    for site in (warm, cold):
        site.start()
    if application.alone:
        wait_for("the first copy being held", lambda: "first copy" in cold.must("held", "list").out, HELD_S)
        cold.must("held", "apply", "users")
    for site in (warm, cold):
        site.must(*FINAL)

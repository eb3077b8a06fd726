"""A site that runs somebody else's whole application over SQLite, protected with a profile of a few lines."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from poolpair.lab.pool import Pool, run_command
from tests.applications.site import install


class Application(Protocol):
    """What the story needs to do with an application, through its own programs."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Distributions to be installed from the package index."""
        ...

    @property
    def database(self) -> str:
        """Where below its folder its database lies."""
        ...

    @property
    def profile(self) -> str:
        """The whole profile."""
        ...

    def set_up(self, site: SqliteSite) -> None:
        """Make its tables and folders, as its manual says."""
        ...

    def add(self, site: SqliteSite, what: str) -> str:
        """Enter something; gives what the program says if it fails."""
        ...

    def listed(self, site: SqliteSite) -> set[str]:
        """All that was entered, as a user of it sees that."""
        ...


@dataclass
class SqliteSite(Pool):
    """One pool, and the folder of the application, in which its database lies among its files."""

    application: Application = field(kw_only=True)
    programs: Path = field(kw_only=True)
    """Where the application is installed."""

    @property
    def home(self) -> Path:
        """The application's folder."""
        return self.folder / f"home-{self.name}"

    @property
    def database(self) -> Path:
        return self.home / self.application.database

    def call(self, program: str, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run one of the application's programs, which finds no other folder than its own."""
        own = {"HOME": str(self.home), "XDG_DATA_HOME": str(self.home), "BEETSDIR": str(self.home), "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            [self.programs / program, *words],
            input=typed,
            capture_output=True,
            text=True,
            cwd=self.home,
            env={**os.environ, **own},
            timeout=400,
            check=False,
        )

    def must_call(self, program: str, *words: str, typed: str = "") -> str:
        """The same, and it has to succeed; gives what it prints."""
        done = self.call(program, *words, typed=typed)
        assert not done.returncode, done.stdout + done.stderr
        return done.stdout

    def write_toml(self, **settings: str) -> None:
        """Everything is at home in pool a."""
        self.settings = {**self.settings, **settings}
        sync = "".join(f"{key} = {value}\n" for key, value in self.settings.items())
        self.toml.write_text(
            f'pool = "{self.name}"\nstore = "sqlite:///{self.database}"\nprofile = "{self.folder}/whole.toml"\n'
            f'share = "{self.share}"\nfiles = "{self.home}"\n\n'
            f'[partner]\npool = "{self.partner}"\nshare = "{self.folder}/share-{self.partner}"\n'
            f'key_file = "{self.folder}/pair.key"\n\n[homes]\nshared = "a"\n"*" = "a"\n\n[sync]\n{sync}'
        )


def make_sites(folder: Path, application: Application) -> tuple[SqliteSite, SqliteSite]:
    """Two sites with the application set up at each, paired by what an operator would type."""
    programs = install(folder / "programs", application.needs)
    (folder / "whole.toml").write_text(application.profile)
    a, b = (
        SqliteSite(name, partner, folder, {"eager": "true"}, application=application, programs=programs)
        for name, partner in (("a", "b"), ("b", "a"))
    )
    for site in (a, b):
        site.home.mkdir()
        site.share.mkdir()
        application.set_up(site)
        site.write_toml()
    run_command("key", "new", str(folder / "pair.key"))
    return a, b

"""A site that runs somebody else's whole application over PostgreSQL, protected with nothing but a drafted profile."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from poolpair.lab.pool import Pool, run_command
from tests.cluster import Cluster

FINAL = ("sync", "--wait", "final", "--timeout", "60")


class Application(Protocol):
    """What the story needs to do with an application, through its own programs."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def table(self) -> str:
        """One of its tables."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Distributions to be installed from the package index."""
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
    """One pool, its own server, and the folder of the application."""

    cluster: Cluster = field(kw_only=True)
    programs: Path = field(kw_only=True)
    """Where the application is installed."""
    profile: Path = field(kw_only=True)

    @property
    def home(self) -> Path:
        """The application's folder."""
        return self.folder / f"home-{self.name}"

    @property
    def files(self) -> Path:
        """Where it keeps its files."""
        return self.home / "files"

    @property
    def url(self) -> str:
        """Its database."""
        return self.cluster.url("application")

    def call(self, program: str, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run one of the application's programs."""
        return subprocess.run(
            [self.programs / program, *words],
            input=typed,
            capture_output=True,
            text=True,
            cwd=self.home,
            timeout=60,
            check=False,
        )

    def write_toml(self, **settings: str) -> None:
        """Everything is at home in pool a."""
        self.settings = {**self.settings, **settings}
        sync = "".join(f"{key} = {value}\n" for key, value in self.settings.items())
        self.toml.write_text(
            f'pool = "{self.name}"\nstore = "{self.url}"\nprofile = "{self.profile}"\n'
            f'scratch = "{self.folder}/scratch-{self.name}"\nshare = "{self.share}"\nfiles = "{self.files}"\n\n'
            f'[partner]\npool = "{self.partner}"\nshare = "{self.folder}/share-{self.partner}"\n'
            f'key_file = "{self.folder}/pair.key"\n\n[homes]\nshared = "a"\n"*" = "a"\n\n[sync]\n{sync}'
        )

    def die(self) -> None:
        """The server of the database, all at once."""
        self.cluster.stop("immediate")


def install(into: Path, needs: tuple[str, ...]) -> Path:
    """An environment of the application's own, as its users have it; gives where its programs are."""
    subprocess.run([sys.executable, "-m", "venv", into], check=True)
    programs = into / "bin"
    quiet = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", *needs)
    subprocess.run([programs / "python", *quiet], check=True, capture_output=True)
    return programs


def make_sites(folder: Path, application: Application, clusters: tuple[Cluster, Cluster]) -> tuple[Site, Site]:
    """Two sites with the application set up at each, paired by what an operator would type."""
    programs = install(folder / "programs", application.needs)
    profile = folder / "drafted.toml"
    made = tuple(
        Site(name, partner, folder, {"eager": "true"}, cluster=cluster, programs=programs, profile=profile)
        for name, partner, cluster in (("a", "b", clusters[0]), ("b", "a", clusters[1]))
    )
    a, b = made
    for site in made:
        site.cluster.create("application")
        site.files.mkdir(parents=True)
        site.share.mkdir()
        application.set_up(site)
    run_command("key", "new", str(folder / "pair.key"))
    drafted = run_command("profile", "draft", "--store", a.url, "--files", str(a.files), "--to", str(profile))
    assert not drafted.exit_status, drafted.talk
    for site in made:
        site.write_toml()
        site.must("init")
    return a, b

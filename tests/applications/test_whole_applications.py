"""Applications that know nothing of poolpair, installed from the package index: one site active, the other cold.

Mailman 3 runs mailing lists: 24 tables, numbers that columns draw. Roundup is an issue tracker: 31 tables, most of them without
a unique key, numbers that it draws by itself, full-text vectors, and files on disk.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from poolpair.lab.waiting import wait_for
from tests.applications.site import FINAL, Application, Site, copy_first, home_below, install, pair
from tests.cluster import Cluster

WAIT_S = 60.0
DURABLE = "synchronous_commit = on\n"
"""Else a server that dies forgets what it accepted."""
LIST = "team@lists.a.example"


class OnPostgres(Application, Protocol):
    """One whose database is a server's."""

    @property
    def table(self) -> str:
        """One of its tables."""
        ...


@dataclass(frozen=True)
class Mailman:
    """Members of a mailing list."""

    name: str = "mailman"
    table: str = "member"
    profile: str = ""
    needs: tuple[str, ...] = ("mailman==3.3.10", "psycopg2-binary")
    alone: bool = False

    def set_up(self, site: Site) -> None:
        """Its first command makes the tables."""
        url = site.url.replace("postgresql://", "postgresql+psycopg2://")
        (site.home / "mailman.cfg").write_text(
            f"[mailman]\nlayout: here\n[paths.here]\nvar_dir: {site.files}\n"
            f"[database]\nclass: mailman.database.postgresql.PostgreSQLDatabase\nurl: {url}\n"
            "[mta]\nincoming: mailman.mta.null.NullMTA\noutgoing: mailman.mta.null.NullMTA\n"
        )
        made = self._call(site, *(("create", "--domain", LIST) if site.name == "a" else ("lists",)))
        assert not made.returncode, made.stderr

    def add(self, site: Site, what: str) -> str:
        """A new member."""
        done = self._call(site, "addmembers", "-", LIST, typed=f"{what} <{what}@a.example>\n")
        return done.stderr if done.returncode else ""

    def listed(self, site: Site) -> set[str]:
        """Every member."""
        done = self._call(site, "members", LIST)
        assert not done.returncode, done.stderr
        return {line.split()[0] for line in done.stdout.splitlines() if "@" in line}

    @staticmethod
    def _call(site: Site, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return site.call("mailman", "--run-as-root", "-C", str(site.home / "mailman.cfg"), *words, typed=typed)


@dataclass(frozen=True)
class Roundup:
    """Issues of a tracker, each with a file."""

    name: str = "roundup"
    table: str = "_issue"
    profile: str = ""
    needs: tuple[str, ...] = ("roundup==2.6.0", "psycopg2-binary")
    alone: bool = True

    def set_up(self, site: Site) -> None:
        """Its own installation, with its database on the site's server and its files where the pool file says."""
        settings = {
            "rdbms_name": "application",
            "rdbms_user": "app",
            "rdbms_password": "",
            "rdbms_host": conninfo_to_dict(site.url)["host"],
            "rdbms_port": "5432",
            "database": site.files,
            "tracker_web": "http://localhost/tracker/",
            "mail_domain": "a.example",
            "admin_email": "admin@a.example",
            "mail_host": "localhost",
        }
        said = ",".join(f"{key}={value}" for key, value in settings.items())
        for words in (("install", "classic", "postgresql", said), ("initialise", "secret")):
            made = self._call(site, *words, typed="y\n")
            assert not made.returncode, made.stdout + made.stderr
        if site.name == "a":
            assert not self.add(site, "what-stood-before")

    def add(self, site: Site, what: str) -> str:
        """A new issue, and a file that tells of it."""
        made = self._call(site, "create", "file", f"name={what}.txt", "type=text/plain", f"content=of {what}")
        if not made.returncode:
            made = self._call(site, "create", "issue", f"title={what}", f"files={made.stdout.strip()}")
        return made.stdout + made.stderr if made.returncode else ""

    def listed(self, site: Site) -> set[str]:
        """Every issue whose file can be read and says what it should."""
        found = self._call(site, "list", "issue")
        assert not found.returncode, found.stderr
        return {
            title
            for number, title in (line.split(": ") for line in found.stdout.splitlines())
            if self._told(site, number, title)
        }

    def _told(self, site: Site, number: str, title: str) -> bool:
        files = self._call(site, "-d", "get", "files", f"issue{number.strip()}").stdout.split()
        return [self._call(site, "get", "content", each).stdout.strip() for each in files] == [f"of {title}"]

    @staticmethod
    def _call(site: Site, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return site.call("roundup-admin", "-i", str(site.home / "tracker"), *words, typed=typed)


def make_sites(folder: Path, application: Application, clusters: tuple[Cluster, Cluster]) -> tuple[Site, Site]:
    """Two sites, each with a server of its own."""
    programs = install(folder / "programs", application.needs)

    def site(pool: str, partner: str, cluster: Cluster) -> Site:
        cluster.create("application")
        files = home_below(folder, pool) / "files"
        return Site(
            pool,
            partner,
            folder,
            {"eager": "true"},
            url=cluster.url("application"),
            files=files,
            programs=programs,
        )

    a, b = site("a", "b", clusters[0]), site("b", "a", clusters[1])
    pair(application, a, b)
    return a, b


@pytest.fixture
def clusters() -> Iterator[tuple[Cluster, Cluster]]:
    """The servers of the two sites."""
    made = (Cluster(settings=DURABLE), Cluster(settings=DURABLE))
    yield made
    for cluster in made:
        cluster.end()


@pytest.fixture(params=[Mailman(), Roundup()], ids=lambda application: application.name)
def story(
    request: pytest.FixtureRequest, tmp_path: Path, clusters: tuple[Cluster, Cluster]
) -> Iterator[tuple[OnPostgres, Site, Site]]:
    """Two sites, paired and running."""
    sites = make_sites(tmp_path, request.param, clusters)
    try:
        copy_first(request.param, *sites)
        yield request.param, *sites
    finally:
        for site in sites:
            site.kill()


def refused(site: Site, application: OnPostgres) -> str:
    """What whoever writes at the cold site is told, by the database itself."""
    with psycopg.connect(site.url) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(f"DELETE FROM {application.table}")
    said = re.search(r"served by pool \w+", str(caught.value))
    return said[0] if said else str(caught.value)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_site_dies_and_comes_back(story: tuple[OnPostgres, Site, Site], clusters: tuple[Cluster, Cluster]) -> None:
    """What was entered is there after the takeover, numbers go on, what never left the dead site arrives, and all go home."""
    application, a, b = story
    before = application.listed(a)
    assert not application.add(a, "ann")
    a.must(*FINAL)
    assert application.listed(b) == before | {"ann"}
    assert refused(b, application) == "served by pool a"

    a.kill()
    assert not application.add(a, "stranded")  # accepted there, and nobody carries it away
    clusters[0].stop("immediate")
    b.must("failover", "a", "--disaster", "--yes")
    assert application.listed(b) == before | {"ann"}
    for name in ("bob", "carol"):
        assert not application.add(b, name)

    clusters[0].start()
    a.start()
    everything = before | {"ann", "bob", "carol", "stranded"}
    wait_for("what never left the dead site", lambda: application.listed(b) == everything, WAIT_S)
    assert refused(a, application) == "served by pool b"
    wait_for("both sites whole", lambda: a.is_whole() and b.is_whole(), WAIT_S)
    b.must(*FINAL)
    assert not b.must("ledger", "list").out

    b.must("failback", "a", "--yes")
    assert application.listed(a) == everything
    assert not application.add(a, "dora")
    a.must(*FINAL)
    assert application.listed(b) == everything | {"dora"}

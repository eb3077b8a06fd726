"""Applications on SQLite that know nothing of poolpair: one site active, the other cold, with a profile of three lines each.

Trac is a wiki and issue tracker (text keys, attachments on disk); Wagtail a content management system on Django (80 tables, an FTS5 index
with triggers); Roundup an issue tracker (tables without unique keys, its own numbers); Mailman 3 mailing lists (Alembic); beets a music
library (attributes of any kind, media files); buku a bookmark manager (one table).
"""

from __future__ import annotations

import sqlite3
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from poolpair.lab.waiting import wait_for
from tests.applications.site import FINAL
from tests.applications.sqlite_site import Application, SqliteSite, make_sites

WAIT_S = 60.0
LIST = "team@lists.a.example"


@dataclass(frozen=True)
class Trac:
    """Pages of a wiki, each with an attachment."""

    name: str = "trac"
    needs: tuple[str, ...] = ("trac==1.6", "setuptools<81")
    database: str = "env/db/trac.db"
    profile: str = (
        'whole   = true\nwithout = ["auth_cookie"]\nskip    = ["env/conf/*", "env/log/*", "env/plugins/*", "in/*"]\n'
    )

    def set_up(self, site: SqliteSite) -> None:
        site.must_call("trac-admin", "env", "initenv", "A project", "sqlite:db/trac.db")

    def add(self, site: SqliteSite, what: str) -> str:
        (site.home / "in").mkdir(exist_ok=True)
        (site.home / "in" / f"{what}.txt").write_text(f"= {what} =\n[[TOC]] of ''{what}''\n")
        made = site.call("trac-admin", "env", "wiki", "import", what, f"in/{what}.txt")
        if not made.returncode:
            made = site.call("trac-admin", "env", "attachment", "add", f"wiki:{what}", f"in/{what}.txt")
        return made.stdout + made.stderr if made.returncode else ""

    def listed(self, site: SqliteSite) -> set[str]:
        script = (
            "from trac.env import open_environment as o; from trac.wiki.model import WikiPage; from trac.attachment import Attachment;"
            " env = o('env'); names = [name for name, in env.db_query('SELECT DISTINCT name FROM wiki') if name.islower()];"
            " print(*(name for name in names if f\"of ''{name}''\" in WikiPage(env, name).text"
            " and [a.open().read().decode() for a in Attachment.select(env, 'wiki', name)] == [WikiPage(env, name).text]))"
        )
        return set(site.must_call("python", "-c", script).split())


@dataclass(frozen=True)
class Wagtail:
    """Pages and images of a site; found by its own search, which goes through an FTS5 table."""

    name: str = "wagtail"
    needs: tuple[str, ...] = ("wagtail",)
    database: str = "db.sqlite3"
    profile: str = 'whole   = true\nwithout = ["django_session"]\nskip    = ["shown/*", "home/*", "search/*", "*.py", "*.html", "*.pyc"]\n'

    def set_up(self, site: SqliteSite) -> None:
        site.must_call("wagtail", "start", "shown", ".")
        self._manage(site, "migrate")

    def add(self, site: SqliteSite, what: str) -> str:
        script = (
            "from wagtail.models import Page; from home.models import HomePage; root = Page.objects.get(depth=2);"
            f" root.add_child(instance=HomePage(title='{what} page', slug='{what}')).save_revision().publish();"
            " from wagtail.documents import get_document_model as m; from django.core.files.base import ContentFile as f;"
            f" m()(title='{what}', file=f(b'of {what}', name='{what}.txt')).save()"
        )
        made = site.call("python", "manage.py", "shell", "-c", script)
        return made.stdout + made.stderr if made.returncode else ""

    def listed(self, site: SqliteSite) -> set[str]:
        script = (
            "from wagtail.models import Page; from wagtail.documents import get_document_model as m;"
            " print(*(d.title for d in m().objects.all() if d.file.read().decode() == 'of ' + d.title"
            " and [p.slug for p in Page.objects.all().search(d.title)] == [d.title]))"
        )
        return set(self._manage(site, "shell", "-c", script).splitlines()[-1].split())

    @staticmethod
    def _manage(site: SqliteSite, *words: str) -> str:
        return site.must_call("python", "manage.py", *words)


@dataclass(frozen=True)
class Roundup:
    """Issues of a tracker, each with a file."""

    name: str = "roundup"
    needs: tuple[str, ...] = ("roundup==2.6.0",)
    database: str = "db/db"
    profile: str = (
        'whole   = true\nwithout = ["__fts", "__textids", "sessions", "otks"]\n'
        'skip    = ["tracker/*", "db/db-*", "db/backend_name", "db/*lock*"]\n'
    )
    """Its search index is a virtual table that it fills itself: `roundup-admin reindex` makes it anew after a takeover."""

    def set_up(self, site: SqliteSite) -> None:
        settings = {
            "database": site.home / "db",
            "tracker_web": "http://localhost/tracker/",
            "mail_domain": "a.example",
            "admin_email": "admin@a.example",
            "mail_host": "localhost",
        }
        said = ",".join(f"{key}={value}" for key, value in settings.items())
        for words in (("install", "classic", "sqlite", said), ("initialise", "secret")):
            self._call(site, *words, typed="y\n")

    def add(self, site: SqliteSite, what: str) -> str:
        words = ("create", "file", f"name={what}.txt", "type=text/plain", f"content=of {what}")
        made = site.call("roundup-admin", "-i", "tracker", *words)
        if not made.returncode:
            issue = ("create", "issue", f"title={what}", f"files={made.stdout.strip()}")
            made = site.call("roundup-admin", "-i", "tracker", *issue)
        return made.stdout + made.stderr if made.returncode else ""

    def listed(self, site: SqliteSite) -> set[str]:
        lines = self._call(site, "list", "issue").splitlines()
        return {title for number, title in (line.split(": ") for line in lines) if self._told(site, number, title)}

    def _told(self, site: SqliteSite, number: str, title: str) -> bool:
        files = self._call(site, "-d", "get", "files", f"issue{number.strip()}").split()
        return [self._call(site, "get", "content", each).strip() for each in files] == [f"of {title}"]

    @staticmethod
    def _call(site: SqliteSite, *words: str, typed: str = "") -> str:
        return site.must_call("roundup-admin", "-i", "tracker", *words, typed=typed)


@dataclass(frozen=True)
class Mailman:
    """Members of a mailing list."""

    name: str = "mailman"
    needs: tuple[str, ...] = ("mailman==3.3.10",)
    database: str = "var/data/mailman.db"
    profile: str = (
        'whole   = true\nskip    = ["var/logs/*", "var/locks/*", "var/cache/*", "var/etc/*", "mailman.cfg"]\n'
    )

    def set_up(self, site: SqliteSite) -> None:
        (site.home / "mailman.cfg").write_text(
            f"[mailman]\nlayout: here\n[paths.here]\nvar_dir: {site.home}/var\n[mta]\nincoming: mailman.mta.null.NullMTA\n"
            "outgoing: mailman.mta.null.NullMTA\n"
        )
        self._call(site, *(("create", "--domain", LIST) if site.name == "a" else ("lists",)))

    def add(self, site: SqliteSite, what: str) -> str:
        done = site.call("mailman", *self._ours(), "addmembers", "-", LIST, typed=f"{what} <{what}@a.example>\n")
        return done.stderr if done.returncode else ""

    def listed(self, site: SqliteSite) -> set[str]:
        return {line.split()[0] for line in self._call(site, "members", LIST).splitlines() if "@" in line}

    def _call(self, site: SqliteSite, *words: str) -> str:
        return site.must_call("mailman", *self._ours(), *words)

    @staticmethod
    def _ours() -> tuple[str, ...]:
        return ("--run-as-root", "-C", "mailman.cfg")


@dataclass(frozen=True)
class Beets:
    """Pieces of music, each a file."""

    name: str = "beets"
    needs: tuple[str, ...] = ("beets",)
    database: str = "library.db"
    profile: str = 'whole   = true\nskip    = ["in/*", "*.yaml", "*.pickle", "*.blb", "*.bak"]\n'

    def set_up(self, site: SqliteSite) -> None:
        (site.home / "config.yaml").write_text(
            "directory: music\nlibrary: library.db\nimport: {copy: yes, autotag: no, duplicate_action: keep}\n"
        )
        (site.home / "music").mkdir()
        site.must_call("beet", "ls")

    def add(self, site: SqliteSite, what: str) -> str:
        folder = site.home / "in" / what
        folder.mkdir(parents=True)
        with wave.open(str(folder / f"{what}.wav"), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(what.encode() * 1000)
        made = site.call("beet", "import", "-q", "-A", f"--set=mood={what}", f"in/{what}")
        if not made.returncode:
            made = site.call("beet", "modify", "-y", "-W", f"mood:{what}", f"title={what}")
        return made.stdout + made.stderr if made.returncode else ""

    def listed(self, site: SqliteSite) -> set[str]:
        lines = site.must_call("beet", "ls", "-f", "$title\t$path").splitlines()
        pairs = (line.split("\t") for line in lines)
        return {
            title for title, path in pairs if (site.home / path.replace("/home-a/", f"/home-{site.name}/")).is_file()
        }


@dataclass(frozen=True)
class Buku:
    """Bookmarks."""

    name: str = "buku"
    needs: tuple[str, ...] = ("buku",)
    database: str = "buku/bookmarks.db"
    profile: str = "whole = true\n"

    def set_up(self, site: SqliteSite) -> None:
        site.call("buku", "--nostdin", "--np", "--print")

    def add(self, site: SqliteSite, what: str) -> str:
        made = site.call("buku", "--nostdin", "--offline", "--add", f"http://{what}.example", "--title", what)
        return made.stdout + made.stderr if made.returncode or "ERROR" in made.stderr else ""

    def listed(self, site: SqliteSite) -> set[str]:
        lines = site.must_call("buku", "--nostdin", "--np", "--nc", "--print", "--format", "4").splitlines()
        return {line.split("\t")[2] for line in lines if "\t" in line}


APPLICATIONS: tuple[Application, ...] = (Trac(), Wagtail(), Roundup(), Mailman(), Beets(), Buku())


@pytest.fixture(params=APPLICATIONS, ids=lambda application: application.name)
def story(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Application, SqliteSite, SqliteSite]]:
    """Two sites, paired and running; something stood before."""
    sites = make_sites(tmp_path, request.param)
    try:
        assert not request.param.add(sites[0], "before")
        for site in sites:
            site.must("init")
        for site in sites:
            site.start()
        for site in sites:
            site.must(*FINAL)
        yield request.param, *sites
    finally:
        for site in sites:
            site.kill()


def refused(site: SqliteSite, application: Application) -> bool:
    """Whether the database itself turns away what the application writes at the cold site, and the application says so."""
    return "not served here" in application.add(site, "forbidden")


def is_whole(site: SqliteSite) -> bool:
    """Whether this site knows of nothing that is still to be brought together."""
    return not any(home["recovering"] or home["plan"] for home in site.status()["homes"])


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_site_dies_and_comes_back(story: tuple[Application, SqliteSite, SqliteSite]) -> None:
    """What was entered is there after the takeover, the application goes on there, what stayed at the dead site arrives, all go home."""
    application, a, b = story
    assert application.listed(b) == {"before"} == application.listed(a)
    carried = a.must("profile", "check").out
    assert "mind" in carried
    assert not application.add(a, "ann")
    a.must(*FINAL)
    assert application.listed(b) == {"before", "ann"}

    a.kill()
    assert not application.add(a, "stranded")  # accepted there, and nobody carries it away
    b.must("failover", "a", "--disaster", "--yes")
    assert application.listed(b) == {"before", "ann"}
    assert not application.add(b, "bob")
    assert application.listed(b) == {"before", "ann", "bob"}

    a.start()
    wait_for("both sites whole", lambda: is_whole(a) and is_whole(b), WAIT_S)
    assert refused(a, application)
    b.must(*FINAL)
    conflicts = b.must("ledger", "list").out
    b.must("failback", "a", "--yes")
    assert application.listed(a) >= {"before", "ann", "bob"}
    assert ("stranded" in application.listed(a)) or conflicts
    assert not application.add(a, "dora")
    a.must(*FINAL)
    assert application.listed(b) == application.listed(a)
    with sqlite3.connect(b.database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

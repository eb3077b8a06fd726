"""Applications on SQLite that nobody here wrote, each driven by its own programs, with the profile that an operator ends up with.

Trac is a wiki and issue tracker (text keys, attachments on disk); Wagtail a content management system on Django (52 tables, an FTS5 index
with triggers); Roundup an issue tracker (tables without unique keys, its own numbers); Mailman 3 mailing lists (Alembic); beets a music
library (attributes of any kind, media files); buku a bookmark manager (one table).
"""

from __future__ import annotations

import re
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.applications.site import Application, Site

LIST = "team@lists.a.example"


class OnSqlite(Application, Protocol):
    """One whose database is a file below its folder."""

    @property
    def database(self) -> str:
        """Where below its folder that lies."""
        ...

    @property
    def tables(self) -> int:
        """How many tables the draft proposes to carry."""
        ...

    @property
    def asks(self) -> frozenset[str]:
        """Tables that the draft asks about: they look short-lived."""
        ...

    @property
    def afterwards(self) -> tuple[str, ...]:
        """What an operator calls after a takeover; empty if nothing."""
        ...

    @property
    def server(self) -> tuple[str, ...]:
        """The command by which it serves its pages at PORT; empty if it has none."""
        ...

    @property
    def page(self) -> str:
        """Where it shows what was entered as WHAT."""
        ...

    @property
    def shown(self) -> str:
        """How a browser sees that there."""
        ...


@dataclass(frozen=True)
class Trac:
    """Pages of a wiki, each with an attachment."""

    name: str = "trac"
    needs: tuple[str, ...] = ("trac==1.6", "setuptools<81")
    database: str = "env/db/trac.db"
    tables: int = 21
    asks: frozenset[str] = frozenset({"cache", "session", "session_attribute"})
    afterwards: tuple[str, ...] = ()
    alone: bool = False
    server: tuple[str, ...] = ("tracd", "--single-env", "--hostname=127.0.0.1", "--port=PORT", "env")
    page: str = "/wiki/WHAT"
    shown: str = "of <em>WHAT</em>"
    profile: str = (
        'whole   = true\nwithout = ["auth_cookie"]\nskip    = ["env/conf/*", "env/log/*", "env/plugins/*", "in/*"]\n'
    )

    def set_up(self, site: Site) -> None:
        site.must_call("trac-admin", "env", "initenv", "A project", "sqlite:db/trac.db")

    def add(self, site: Site, what: str) -> str:
        (site.home / "in").mkdir(exist_ok=True)
        (site.home / "in" / f"{what}.txt").write_text(f"= {what} =\n[[TOC]] of ''{what}''\n")
        made = site.call("trac-admin", "env", "wiki", "import", what, f"in/{what}.txt")
        if not made.returncode:
            made = site.call("trac-admin", "env", "attachment", "add", f"wiki:{what}", f"in/{what}.txt")
        return made.stdout + made.stderr if made.returncode else ""

    def listed(self, site: Site) -> set[str]:
        script = (
            "from trac.env import open_environment as o; from trac.wiki.model import WikiPage; from trac.attachment import Attachment;"
            " env = o('env'); names = [name for name, in env.db_query('SELECT DISTINCT name FROM wiki') if name.islower()];"
            " print(*(name for name in names if f\"of ''{name}''\" in WikiPage(env, name).text"
            " and [a.open().read().decode() for a in Attachment.select(env, 'wiki', name)] == [WikiPage(env, name).text]))"
        )
        return set(site.must_call("python", "-c", script).split())


@dataclass(frozen=True)
class Wagtail:
    """Pages and documents of a site; found by its own search, which goes through an FTS5 table.

    Django reads first and writes then in one transaction, which SQLite refuses if anybody wrote meanwhile: it is told to begin as a writer.
    """

    name: str = "wagtail"
    needs: tuple[str, ...] = ("wagtail==8.0.1",)
    database: str = "db.sqlite3"
    tables: int = 52
    asks: frozenset[str] = frozenset({"django_session"})
    afterwards: tuple[str, ...] = ()
    alone: bool = False
    server: tuple[str, ...] = ("python", "manage.py", "runserver", "--noreload", "127.0.0.1:PORT")
    page: str = "/WHAT/"
    shown: str = "WHAT page"
    profile: str = 'whole   = true\nwithout = ["django_session"]\nskip    = ["shown/*", "home/*", "search/*", "*.py", "*.html", "*.pyc"]\n'

    def set_up(self, site: Site) -> None:
        site.must_call("wagtail", "start", "shown", ".")
        (site.home / "shown" / "settings" / "local.py").write_text(
            'from .base import DATABASES\n\nDATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE"}\n'
        )
        self._manage(site, "migrate")

    def add(self, site: Site, what: str) -> str:
        script = (
            "from wagtail.models import Page; from home.models import HomePage; root = Page.objects.get(depth=2);"
            f" root.add_child(instance=HomePage(title='{what} page', slug='{what}')).save_revision().publish();"
            " from wagtail.documents import get_document_model as m; from django.core.files.base import ContentFile as f;"
            f" m()(title='{what}', file=f(b'of {what}', name='{what}.txt')).save()"
        )
        made = site.call("python", "manage.py", "shell", "-c", script)
        return made.stdout + made.stderr if made.returncode else ""

    def listed(self, site: Site) -> set[str]:
        script = (
            "from wagtail.models import Page; from wagtail.documents import get_document_model as m;"
            " print(*(d.title for d in m().objects.all() if d.file.read().decode() == 'of ' + d.title"
            " and [p.slug for p in Page.objects.all().search(d.title)] == [d.title]))"
        )
        return set(self._manage(site, "shell", "-c", script).splitlines()[-1].split())

    @staticmethod
    def _manage(site: Site, *words: str) -> str:
        return site.must_call("python", "manage.py", *words)


WSGI = (
    "from wsgiref.simple_server import make_server; from roundup.cgi.wsgi_handler import RequestDispatcher;"
    " make_server('127.0.0.1', PORT, RequestDispatcher('tracker')).serve_forever()"
)


@dataclass(frozen=True)
class Roundup:
    """Issues of a tracker, each with a file."""

    name: str = "roundup"
    needs: tuple[str, ...] = ("roundup==2.6.0",)
    database: str = "db/db"
    tables: int = 30
    asks: frozenset[str] = frozenset({"sessions"})
    afterwards: tuple[str, ...] = ("roundup-admin", "-i", "tracker", "reindex")
    alone: bool = True
    server: tuple[str, ...] = ("python", "-c", WSGI)
    page: str = "/issue?%40columns=id%2Ctitle&%40search_text=WHAT"
    shown: str = ">WHAT<"
    profile: str = (
        'whole   = true\nwithout = ["__fts", "__textids", "sessions", "otks"]\n'
        'skip    = ["tracker/*", "db/db-*", "db/backend_name", "db/*lock*"]\n'
    )
    """Its search index is a virtual table that it fills itself, so that is made anew after a takeover."""

    def set_up(self, site: Site) -> None:
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

    def add(self, site: Site, what: str) -> str:
        words = ("create", "file", f"name={what}.txt", "type=text/plain", f"content=of {what}")
        made = site.call("roundup-admin", "-i", "tracker", *words)
        if not made.returncode:
            issue = ("create", "issue", f"title={what}", f"files={made.stdout.strip()}")
            made = site.call("roundup-admin", "-i", "tracker", *issue)
        return made.stdout + made.stderr if made.returncode else ""

    def listed(self, site: Site) -> set[str]:
        lines = self._call(site, "list", "issue").splitlines()
        return {title for number, title in (line.split(": ") for line in lines) if self._told(site, number, title)}

    def _told(self, site: Site, number: str, title: str) -> bool:
        files = self._call(site, "-d", "get", "files", f"issue{number.strip()}").split()
        return [self._call(site, "get", "content", each).strip() for each in files] == [f"of {title}"]

    @staticmethod
    def _call(site: Site, *words: str, typed: str = "") -> str:
        return site.must_call("roundup-admin", "-i", "tracker", *words, typed=typed)


@dataclass(frozen=True)
class Mailman:
    """Members of a mailing list."""

    name: str = "mailman"
    needs: tuple[str, ...] = ("mailman==3.3.10",)
    database: str = "var/data/mailman.db"
    tables: int = 23
    asks: frozenset[str] = frozenset({"file_cache"})
    afterwards: tuple[str, ...] = ()
    alone: bool = False
    server: tuple[str, ...] = ()
    page: str = ""
    shown: str = ""
    profile: str = (
        'whole   = true\nskip    = ["var/logs/*", "var/locks/*", "var/cache/*", "var/etc/*", "mailman.cfg"]\n'
    )

    def set_up(self, site: Site) -> None:
        (site.home / "mailman.cfg").write_text(
            f"[mailman]\nlayout: here\n[paths.here]\nvar_dir: {site.home}/var\n[mta]\nincoming: mailman.mta.null.NullMTA\n"
            "outgoing: mailman.mta.null.NullMTA\n"
        )
        self._call(site, *(("create", "--domain", LIST) if site.name == "a" else ("lists",)))

    def add(self, site: Site, what: str) -> str:
        done = site.call("mailman", *self._ours(), "addmembers", "-", LIST, typed=f"{what} <{what}@a.example>\n")
        return done.stderr if done.returncode else ""

    def listed(self, site: Site) -> set[str]:
        return {line.split()[0] for line in self._call(site, "members", LIST).splitlines() if "@" in line}

    def _call(self, site: Site, *words: str) -> str:
        return site.must_call("mailman", *self._ours(), *words)

    @staticmethod
    def _ours() -> tuple[str, ...]:
        return ("--run-as-root", "-C", "mailman.cfg")


@dataclass(frozen=True)
class Beets:
    """Pieces of music, each a file."""

    name: str = "beets"
    needs: tuple[str, ...] = ("beets==2.14.1",)
    database: str = "library.db"
    tables: int = 4
    asks: frozenset[str] = frozenset()
    afterwards: tuple[str, ...] = ()
    alone: bool = False
    server: tuple[str, ...] = ()
    page: str = ""
    shown: str = ""
    profile: str = 'whole   = true\nskip    = ["in/*", "*.yaml", "*.pickle", "*.blb", "*.bak"]\n'

    def set_up(self, site: Site) -> None:
        (site.home / "config.yaml").write_text(
            "directory: music\nlibrary: library.db\nimport: {copy: yes, autotag: no, duplicate_action: keep}\n"
        )
        (site.home / "music").mkdir()
        site.must_call("beet", "ls")

    def add(self, site: Site, what: str) -> str:
        folder = site.home / "in" / what
        folder.mkdir(parents=True)
        with wave.open(str(folder / f"{what}.wav"), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(what.encode() * 1000)
        made = site.call("beet", "import", "-q", "-A", f"--set=mood={what}", f"in/{what}")
        if not made.returncode:
            made = site.call("beet", "modify", "-y", "-W", f"mood:{what}", f"title={what}")
        return made.stdout + made.stderr if made.returncode else ""

    def listed(self, site: Site) -> set[str]:
        lines = site.must_call("beet", "ls", "-f", "$title\t$path").splitlines()
        pairs = (line.split("\t") for line in lines)
        here = {title: Path(re.sub(r"/home-[ab]/", f"/{site.home.name}/", path)) for title, path in pairs}
        return {title for title, path in here.items() if path.is_file()}


@dataclass(frozen=True)
class Buku:
    """Bookmarks."""

    name: str = "buku"
    needs: tuple[str, ...] = ("buku==5.1",)
    database: str = "buku/bookmarks.db"
    tables: int = 1
    asks: frozenset[str] = frozenset()
    afterwards: tuple[str, ...] = ()
    alone: bool = False
    server: tuple[str, ...] = ()
    page: str = ""
    shown: str = ""
    profile: str = "whole = true\n"

    def set_up(self, site: Site) -> None:
        site.call("buku", "--nostdin", "--np", "--print")

    def add(self, site: Site, what: str) -> str:
        made = site.call("buku", "--nostdin", "--offline", "--add", f"http://{what}.example", "--title", what)
        return made.stdout + made.stderr if made.returncode or "ERROR" in made.stderr else ""

    def listed(self, site: Site) -> set[str]:
        lines = site.must_call("buku", "--nostdin", "--np", "--nc", "--print", "--format", "4").splitlines()
        return {line.split("\t")[2] for line in lines if "\t" in line}

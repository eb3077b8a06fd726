"""Applications on SQLite that know nothing of poolpair: one site active, the other cold, with a profile of three lines each."""

from __future__ import annotations

import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from poolpair.lab.waiting import wait_for
from tests.applications.on_sqlite import Beets, Buku, Mailman, OnSqlite, Roundup, Trac, Wagtail
from tests.applications.site import FINAL, Site, copy_first, home_below, install, page_of, pair

WAIT_S = 60.0
ASKS = "# Decide: it looks like something short-lived."
APPLICATIONS: tuple[OnSqlite, ...] = (Trac(), Wagtail(), Roundup(), Mailman(), Beets(), Buku())


@pytest.fixture(params=APPLICATIONS, ids=lambda application: application.name)
def story(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[OnSqlite, Site, Site]]:
    """Two sites, paired and prepared; something stood before."""
    application: OnSqlite = request.param
    programs = install(tmp_path / "programs", application.needs)

    def site(pool: str, partner: str) -> Site:
        home = home_below(tmp_path, pool)
        url = f"sqlite:///{home / application.database}"
        return Site(pool, partner, tmp_path, {"eager": "true"}, url=url, files=home, programs=programs)

    a, b = site("a", "b"), site("b", "a")
    pair(application, a, b)
    assert not application.add(a, "before")
    try:
        yield application, a, b
    finally:
        for each in (a, b):
            each.kill()


def drafted(site: Site) -> tuple[set[str], set[str]]:
    """Which tables a draft would carry, and those of them that it asks about."""
    text = site.draft().out
    entries = text.split("[[tables]]")
    asked = (ASKS in above for above in entries)
    tables = tomllib.loads(text)["tables"]
    return {table["name"] for table in tables}, {
        table["name"] for table, asks in zip(tables, asked, strict=False) if asks
    }


def refused(site: Site, application: OnSqlite) -> bool:
    """Whether the database itself turns away what the application writes at the cold site, and the application says so."""
    return "not served here" in application.add(site, "forbidden")


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_site_dies_and_comes_back(story: tuple[OnSqlite, Site, Site]) -> None:
    """What was entered is there after the takeover, the application goes on there, what stayed at the dead site arrives, all go home."""
    application, a, b = story
    tables, asks = drafted(a)
    assert (len(tables), sorted(asks)) == (application.tables, sorted(application.asks))
    copy_first(application, a, b)
    assert application.listed(b) == {"before"} == application.listed(a)
    assert "of no home" in a.must("profile", "check").out
    assert not application.add(a, "ann")
    a.must(*FINAL)
    assert application.listed(b) == {"before", "ann"}

    a.kill()
    assert not application.add(a, "stranded")  # accepted there, and nobody carries it away
    b.must("failover", "a", "--disaster", "--yes")
    assert application.listed(b) == {"before", "ann"}
    assert not application.add(b, "bob")
    assert application.listed(b) == {"before", "ann", "bob"}
    if application.afterwards:
        b.must_call(*application.afterwards)
    assert_served(application, b, ("ann", "bob"))

    a.start()
    wait_for("both sites whole", lambda: a.is_whole() and b.is_whole(), WAIT_S)
    assert refused(a, application)
    b.must(*FINAL)
    conflicts = b.must("ledger", "list").out
    b.must("failback", "a", "--yes")
    assert application.listed(a) >= {"before", "ann", "bob"}
    assert ("stranded" in application.listed(a)) or conflicts
    assert not application.add(a, "dora")
    a.must(*FINAL)
    assert application.listed(b) == application.listed(a) >= {"before", "ann", "bob", "dora"}
    for site in (a, b):
        with closing(sqlite3.connect(site.home / application.database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def assert_served(application: OnSqlite, site: Site, entered: tuple[str, ...]) -> None:
    """Its own server begins at this site, and a browser would see what was entered there and at the other."""
    if application.server:
        with site.serving(application.server) as address:
            for what in entered:
                page, shown = (words.replace("WHAT", what) for words in (application.page, application.shown))
                assert shown in page_of(address + page)

"""Templates into text. Whatever is put in is escaped; a name that a template asks for and nobody gave is an error."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from poolpair import overview
from poolpair.api.access import Bearer, Role
from poolpair.api.facts import Facts
from poolpair.api.page.charts import HEIGHT, WIDTH, charts
from poolpair.api.page.ledger import versions
from poolpair.management.seen import Deployment
from poolpair.units import show_age, show_bytes, show_count
from poolpair.wording import remarks, words_of_drill

SECTIONS = ("verdict", "plans", "line", "attention", "homes", "waiting", "day", "past")
"""Parts of the overview, each by itself renewed when it changes; a template of each, in this order."""
DEPLOYMENT_SECTIONS = ("store", "servers", "pools", "documents")
"""The same of the deployment's page."""
KINDS = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "mark.svg": "image/svg+xml",
}


def draw(template: str, **values: object) -> str:
    """One page or part."""
    return environment().get_template(template).render(**values)


def sections(facts: Facts, bearer: Bearer) -> dict[str, str]:
    """Every part of the overview, by its name."""
    found = facts.status
    now_s = datetime.fromisoformat(found.at_utc).timestamp()
    values = {
        "facts": facts,
        "status": found,
        "level": facts.level,
        "headline": overview.headline(found),
        "cards": overview.cards(found),
        "sides": overview.sides(found),
        "lanes": overview.lanes(found),
        "homes": tuple(overview.homes(found)),
        "remarks": tuple(remarks(found)),
        "charts": charts(facts.moments, now_s),
        "chart_size": (WIDTH, HEIGHT),
        "operator": bearer.may(Role.OPERATOR),
    }
    return {name: draw(f"{name}.html", **values) for name in SECTIONS}


def deployment_sections(seen: Deployment) -> dict[str, str]:
    """Every part of the deployment's page, by its name."""
    store = seen.store
    values = {
        "seen": seen,
        "store": store,
        "lanes": overview.lanes(store.status) if store else (),
        "remarks": tuple(remarks(store.status)) if store else (),
    }
    return {name: draw(f"deployment-{name}.html", **values) for name in DEPLOYMENT_SECTIONS}


@cache
def environment() -> Environment:
    """The templates, compiled once."""
    made = Environment(
        loader=PackageLoader("poolpair.api.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(age=show_age, size=show_bytes, count=show_count, when=_when, drill=words_of_drill)
    made.globals.update(asset_mark=asset_mark, versions=versions)
    return made


def _when(utc: str) -> str:
    """A time to the second; the page says once that all are UTC."""
    return utc[:19].replace("T", " ")


@cache
def asset(name: str) -> tuple[bytes, str] | None:
    """A file that a page loads, and its kind."""
    kind = KINDS.get(name)
    return ((files("poolpair.api.page") / "static" / name).read_bytes(), kind) if kind else None


@cache
def asset_mark(name: str) -> str:
    """Changes with the file, so that a browser keeps it until then."""
    found = asset(name)
    assert found is not None
    return sha256(found[0]).hexdigest()[:12]

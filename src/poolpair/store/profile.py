"""Profiles: what of an application's database and tree is carried, whose it is, and in which channel.

Expressions are SQL over the key columns of their table, so that a deleted row still tells whose it was. How a profile is written is
`profile_file`; whether it fits the tables that are there is `profile_check`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from typing import Literal
from urllib.parse import unquote_to_bytes

from poolpair.homes import matches
from poolpair.model import Channel

Triggers = Literal["fire", "skip"]
CAPTURE = re.compile(r"\{\*?([A-Za-z_]\w*)\}", re.ASCII)
_DEEP = re.compile(r"\{\*([A-Za-z_]\w*)\}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileTable:
    """One tracked table, or a part of one. The unit of change is the group of rows with the same key."""

    number: int
    """1-based, in the order of the file; packages name tables by it."""
    name: str
    channel: Channel
    key: tuple[str, ...]
    where: str | None = None
    """Over the key columns; rows that it does not accept are site-local."""
    home_key: str | None = None
    """Over the key columns; None when `shared`."""
    principal: str | None = None
    shared: bool = False
    """Has no principals; belongs to the pool that [homes] names as `shared`."""
    leave_out: tuple[str, ...] = ()
    """Columns that each site assigns for itself."""
    order_by: tuple[str, ...] = ()
    """Rows enter in the origin's order by these."""
    sequences: tuple[str, ...] = ()
    """Sequences of PostgreSQL from which the application draws numbers for this table by itself, not as a column's default."""
    triggers: Triggers = "fire"
    """Whether the application's own triggers run on applied rows."""
    fire: tuple[str, ...] = ()
    """With `triggers = "skip"`: those that run all the same."""
    indexing: bool = False
    """With `triggers = "skip"`: so do those that keep a search index, whichever these are at the time. No profile says this: it is how the
    tables of a whole application are carried."""
    conference: str | None = None
    """Over the key columns: the conference that a row of the conferences channel describes."""
    home_is_pool: bool = False
    """The first key column names the home pool itself. No profile says this: it is the ledger, which every store tracks."""

    def at(self, index_triggers: tuple[str, ...]) -> ProfileTable:
        """The same where the table has these triggers that keep a search index."""
        return replace(self, fire=index_triggers) if self.indexing else self

    def runs(self, trigger: str) -> bool:
        """Whether a trigger of the application's runs on rows that arrive."""
        return self.triggers == "fire" or trigger in self.fire

    @property
    def said_triggers(self) -> str:
        """What the profile says of triggers."""
        return repr(list(self.fire) if self.fire else self.triggers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFiles:
    """Which paths of the tree belong, whose they are, and what one conference is."""

    pattern: str
    """The whole relative path; each {name} stands for one or more characters other than "/", {*name} for a path of any depth."""
    home_key: str
    conference: str
    decode: Literal["", "percent"] = ""
    """How captures are decoded: "percent" makes %2e a dot."""
    skip: tuple[str, ...] = ()
    """Names that do not belong although the pattern fits, such as "*~"; one with a "/" in it is matched with the whole path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """All of an application: one site serves, the other stands by. Both may hold `*`."""

    without: tuple[str, ...] = ()
    """Tables that are each site's own."""
    skip: tuple[str, ...] = ()
    """Files that are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A whole profile; `digest` is the same wherever the same rules are read, whatever file they stand in."""

    name: str
    tables: tuple[ProfileTable, ...]
    files: tuple[ProfileFiles, ...] = ()
    digest: str = ""
    serials_travel: bool = False
    """All users are at home in one pool, so that at any time one pool gives the numbers."""
    whole: Whole | None = None
    """Every table is carried, as `whole.expanded` finds them; `tables` are then those that the profile names itself, until that is done."""
    numbers: int = 0
    """How many numbers of tables are taken in the store, if more than there are tables."""
    agreed: str = ""
    """What both pools must agree on: `digest`, but of a whole application only its rules, since the tables change with its releases."""

    @property
    def lead(self) -> Channel:
        """The channel that leads: of the management store its only one, of every application that of users."""
        return Channel.CMS if any(table.channel is Channel.CMS for table in self.tables) else Channel.USERS


@dataclass(frozen=True, slots=True)
class MatchedPath:
    """Whose a path is and to which conference it belongs."""

    home_key: str
    conference: str


def profile_digest(
    tables: tuple[ProfileTable, ...], trees: tuple[ProfileFiles, ...], whole: Whole | None = None
) -> str:
    """SHA-256 over what is not at its default: a later release may know more keys and still agree with this one."""
    said: list[object] = [[_said(table) for table in tables], [_said(tree) for tree in trees]]
    if whole:
        said.append(_said(whole))
    canonical = json.dumps(said, sort_keys=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _said(entry: ProfileTable | ProfileFiles | Whole) -> dict[str, object]:
    values = {field.name: (getattr(entry, field.name), field.default) for field in fields(entry)}
    return {name: value for name, (value, default) in values.items() if default is MISSING or value != default}


@dataclass(frozen=True, slots=True)
class PathRule:
    """One [[files]] entry, ready to be matched."""

    rule: ProfileFiles
    expression: re.Pattern[bytes]

    def match(self, path: bytes) -> MatchedPath | None:
        """Whose this path is by this rule."""
        found = self.expression.fullmatch(path)
        if found is None or any(part in {b"", b".", b".."} for part in path.split(b"/")) or b"\0" in path:
            return None
        if self._is_skipped(path):
            return None
        raw: dict[str, bytes] = found.groupdict()
        values = {key: _shown(unquote_to_bytes(value) if self.rule.decode else value) for key, value in raw.items()}
        return MatchedPath(_filled(self.rule.home_key, values), _filled(self.rule.conference, values))

    def _is_skipped(self, path: bytes) -> bool:
        whole, name = _shown(path), _shown(path.rpartition(b"/")[2])
        return any(matches(pattern, whole if "/" in pattern else name) for pattern in self.rule.skip)


@cache
def path_rule(rule: ProfileFiles) -> PathRule:
    """Make a rule ready."""
    parts = CAPTURE.split(rule.pattern)
    deep = set(_DEEP.findall(rule.pattern))
    body = [
        b"(?P<%b>%b)" % (part.encode(), b".+" if part in deep else b"[^/]+") if n % 2 else re.escape(part.encode())
        for n, part in enumerate(parts)
    ]
    return PathRule(rule, re.compile(b"".join(body), re.DOTALL))


def match_path(profile: Profile, path: bytes) -> MatchedPath | None:
    """Say whose a path is, by the first rule that fits; None if it does not belong to what is carried."""
    return next((found for rule in profile.files if (found := path_rule(rule).match(path))), None)


def is_meant(profile: Profile, path: bytes) -> bool:
    """Whether some pattern fits a path, also where `skip` leaves it out: what no pattern fits, nobody may have thought of."""
    return any(path_rule(rule).expression.fullmatch(path) for rule in profile.files)


def _shown(raw: bytes) -> str:
    """A name as text that every store accepts: bytes that are no UTF-8 are escaped, each by its number."""
    return raw.decode("utf-8", "backslashreplace")


def _filled(template: str, values: dict[str, str]) -> str:
    return CAPTURE.sub(lambda found: values[found[1]], template)

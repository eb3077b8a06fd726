"""Drafts a profile from the tables that are there: pure. One site serves all, the other stands by; a person decides the rest.

Every table is carried unless something speaks against it, and the draft says what, and why each key was chosen. What it
cannot know it names as a question: tables that look short-lived, columns that look like an owner.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from poolpair.store.profile_check import Problem, TableInfo, unique_key_within

_FLEETING = re.compile(r"(^|_)(sess(ion)?s?|cache|tokens?|nonces?|locks?|presence|temp|tmp)($|_)", re.IGNORECASE)
_MIGRATIONS = re.compile(r"(^|_)(schema_)?migrations$", re.IGNORECASE)
_BOOKKEEPING = frozenset(
    {
        *("alembic_version", "migrate_version", "south_migrationhistory", "migration", "aerich", "migratehistory"),
        *("_yoyo_migration", "_yoyo_log", "_yoyo_version", "yoyo_lock"),
        *("schema_version", "flyway_schema_history", "databasechangelog", "databasechangeloglock"),
        *("ar_internal_metadata", "phinxlog", "migration_versions", "doctrine_migration_versions"),
        *("goose_db_version", "atlas_schema_revisions", "refinery_schema_history", "sequelizemeta"),
        *("knex_migrations_lock", "kysely_migration", "kysely_migration_lock", "pgmigrations"),
        *("__efmigrationshistory", "__migrationhistory", "schemaversions", "play_evolutions", "play_evolutions_lock"),
    }
)
"""Tables in which tools for migrations note what ran, beside those whose names end in `migrations`; in small letters."""
EVERYWHERE = "*"
"""Instead of top folders: all files, wherever they lie."""
_ONE_LINE = {number: " " for number in (*range(32), 127, 0x85, 0x2028, 0x2029)}
"""In a comment a name must not end the line."""
_LOGS = frozenset({"log", "logs", "backup", "backups", "run", "etc"})
_OWNER = re.compile(
    r"^(user|owner|account|tenant|customer|member|domain|host|realm|org(anization)?)(_?(id|name))?$", re.IGNORECASE
)
_HEAD = """\
# Drafted by poolpair for a whole application: one site serves, the other stands by and takes over. Read it, decide where
# it asks, name it in both pool files by its absolute path, and say there that everything belongs to the serving pool:
#
#     [homes]
#     shared = "a"
#     "*"    = "a"
#
# Because the other pool homes nobody, numbers that the database gives (serials, identities) travel as they are.
"""
_LATER = """\
# One rule for each folder that was there. What comes into other folders later is taken by none of these, and stays at its site;
# `check` counts it. One rule with the pattern "{*path}" takes everything, but for what its skip = ["cache/*"] names.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a database holds: tables that a profile can carry, and relations that it cannot, each with its reason."""

    tables: tuple[TableInfo, ...]
    left: tuple[Problem, ...] = ()
    sequences: tuple[str, ...] = ()
    """Those that no column draws from."""


@dataclass(frozen=True, slots=True)
class _Key:
    """Columns, and why these."""

    columns: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A table that is carried, and how."""

    info: TableInfo
    key: tuple[str, ...]
    why: str
    """Why this key; empty for a primary key."""
    sequences: tuple[str, ...] = ()

    @property
    def skips(self) -> bool:
        """Whether the application's own triggers rest where rows arrive: what they wrote travels by itself."""
        return bool(self.info.triggers)

    @property
    def fire(self) -> tuple[str, ...]:
        """Those that run all the same: what they write is not carried."""
        return self.info.index_triggers


def choose(found: Described) -> tuple[tuple[Choice, ...], tuple[Problem, ...]]:
    """What is carried, in the order of names, and what is not, each with its reason; fatal if it would be missed."""
    known = sorted(found.tables, key=lambda info: info.name)
    keys = {info.name: _key_of(info) for info in known}
    against = {info.name: problem for info in known if (problem := _speaks_against(info, keys[info.name]))}
    carried = [info for info in known if info.name not in against]
    drawn = _drawn_for(carried, found.sequences)
    choices = tuple(
        Choice(info=info, key=keys[info.name].columns, why=keys[info.name].why, sequences=drawn.get(info.name, ()))
        for info in carried
    )
    return choices, tuple(sorted((*found.left, *against.values()), key=lambda problem: problem.table))


def draft_profile(name: str, found: Described, trees: Collection[str] = ()) -> str:
    """The TOML of a profile. `trees` are the top folders of the application's files, "" for the files that lie in none."""
    choices, left = choose(found)
    head = _HEAD + "".join(_before(choice.info for choice in choices)) + "".join(_left_out(left))
    parts = [head, f"description = {_quoted(name)}\n"]
    parts += ["".join(_entry(choice)) for choice in choices]
    if set(trees) - {EVERYWHERE}:
        parts.append(_LATER)
    parts += ["".join(_files(top)) for top in sorted(set(trees))]
    return "\n".join(parts)


def _speaks_against(info: TableInfo, key: _Key) -> Problem | None:
    name = info.name.rpartition(".")[2]
    if _MIGRATIONS.search(name) or name.lower() in _BOOKKEEPING:
        reason = "it seems to say which migrations ran, which is each site's own: migrate at both"
        return Problem(table=info.name, reason=reason, fatal=False)
    return None if key.columns else Problem(table=info.name, reason="no column of it can tell its rows apart")


def _drawn_for(tables: Collection[TableInfo], sequences: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each sequence beside the table whose name is in its own; else beside the first, which is as good."""
    found: dict[str, tuple[str, ...]] = {}
    for sequence in sequences:
        named = [info.name for info in tables if info.name.strip("_") in sequence]
        beside = max(named, key=len, default=next((info.name for info in tables), ""))
        found[beside] = (*found.get(beside, ()), sequence)
    return found


def _before(tables: Iterable[TableInfo]) -> Iterator[str]:
    """What is to be done in the database first."""
    always = [(info, column) for info in tables for column in info.columns if column.numbered_always]
    if always:
        yield "#\n# First, at both sites, for these numbers are to be taken from the partner:\n"
    for info, column in always:
        table = info.sql.translate(_ONE_LINE) or _identifier(info.name)
        yield f"#     ALTER TABLE {table} ALTER COLUMN {_identifier(column.name)} SET GENERATED BY DEFAULT;\n"


def _left_out(left: Iterable[Problem]) -> Iterator[str]:
    listed = list(left)
    if listed:
        yield "#\n# Left out:\n"
    for problem in listed:
        yield f"#     {problem.table.translate(_ONE_LINE)}: {problem.reason.translate(_ONE_LINE)}\n"


def _key_of(info: TableInfo) -> _Key:
    """The columns that tell which rows belong together, and why these; none if there are none."""
    usable = {column.name for column in info.columns if not column.generated and column.compares}
    primary = tuple(c.name for c in sorted(info.columns, key=lambda column: column.pk_rank) if c.pk_rank)
    if primary and usable.issuperset(primary) and unique_key_within(info, primary):
        return _Key(primary)
    # In no order of the catalogue's: at the other site the same indexes may have been made in another one.
    unique = sorted(
        (names for names in info.unique_keys if usable.issuperset(names)), key=lambda names: (len(names), names)
    )
    single = next((names for names in unique if unique_key_within(info, names) == names), None)
    if single:
        why = "NULL is possible in its primary key" if primary else "It has no primary key"
        return _Key(single, f"{why}; these columns are unique.")
    if unique:  # in a primary key of SQLite NULL is the exception; in another column it may be what most rows have
        return _Key(
            primary if any(set(names) == set(primary) for names in unique) else unique[0],
            "Unique but for NULL: rows that agree in these columns travel together.",
        )
    every = tuple(column.name for column in info.columns if column.name in usable)
    return _Key(every, "It has no unique key, so a row is told by all it says: equal rows travel together.")


def _entry(choice: Choice) -> Iterator[str]:
    info, key = choice.info, choice.key
    if choice.why:
        yield f"# {choice.why}\n"
    if is_fleeting(info.name):
        yield "# Decide: it looks like something short-lived. Without this entry it stays at its site, and is empty after a takeover.\n"
    owners = [column.name for column in info.columns if _OWNER.match(column.name)]
    if owners:
        inside = "it is in the key" if set(owners) & set(key) else "only columns of the key can tell a row's home"
        numbers = [name for name in key if (found := info.column(name)) and "int" in found.declared_type.lower()]
        if numbers and inside != "it is in the key":
            inside += f", and a number ({', '.join(numbers)}) that both sites give would be two rows: then it is no key"
        yield f"# Looks like an owner: {', '.join(owners)}. Matters only if both sites are to serve users; {inside}.\n"
    yield from _relations(info)
    yield f"[[tables]]\nname = {_quoted(info.name)}\nkey  = [{', '.join(map(_quoted, key))}]\n"
    yield 'home = "shared"\n'
    if choice.sequences:
        yield "# The application draws numbers from these by itself.\n"
        yield f"sequences = [{', '.join(map(_quoted, choice.sequences))}]\n"
    rest = [name for name in info.triggers if name not in choice.fire]
    if rest:
        yield f"# {_names(rest)} ran where a row was written; what that wrote travels by itself.\n"
    if choice.fire:
        yield f"# {_names(choice.fire)} keep a search index, which each site has for itself: they run here too.\n"
    if choice.skips:
        listed = ", ".join(map(_quoted, choice.fire))
        yield f"triggers = [{listed}]\n" if listed else 'triggers = "skip"\n'


def _relations(info: TableInfo) -> Iterator[str]:
    """What there is to know of its numbers and of tables that it refers to."""
    serials = [column.name for column in info.columns if column.serial]
    if serials and not info.autoincrement and not info.has_sequences:
        yield f"# Numbers of {_names(serials)} may be given again when the last rows are deleted: it is no AUTOINCREMENT.\n"
    if info.references:
        yield f"# Refers to {_names(info.references)}.\n"


def _names(names: Iterable[str]) -> str:
    return ", ".join(names).translate(_ONE_LINE)


def is_fleeting(name: str) -> bool:
    """Whether a table or folder looks like something short-lived, by its name."""
    return bool(_FLEETING.search(name.rpartition(".")[2]))


def _files(top: str) -> Iterator[str]:
    """One rule; `top` is a folder, or "" for files that lie in none, or "*" for all."""
    above = f"{top}/" if top not in {"", EVERYWHERE} else ""
    pattern, conference = (f"{above}{{*path}}", f"{above}{{path}}") if top else ("{name}", "{name}")
    if is_fleeting(top) or top in _LOGS:
        yield "# Decide: it looks like something short-lived, or each site's own.\n"
    yield f'[[files]]\npattern    = {_quoted(pattern)}\nhome_key   = "files"\nconference = {_quoted(conference)}\n'


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

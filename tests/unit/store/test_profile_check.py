"""Whether a profile fits the tables that are there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from poolpair.errors import CATALOGUE, Code
from poolpair.model import Channel
from poolpair.store.profile import Profile, ProfileTable
from poolpair.store.profile_check import ColumnInfo, Problem, TableInfo, check_profile, does_not_fit, unique_key_within
from poolpair.store.profile_file import load_profile

NOTE = TableInfo(
    name="note",
    columns=(
        ColumnInfo(name="id", declared_type="INTEGER", pk_rank=1, not_null=True, serial=True),
        ColumnInfo(name="owner", declared_type="TEXT", not_null=True),
        ColumnInfo(name="slug", declared_type="TEXT", not_null=True),
        ColumnInfo(name="when", declared_type="INTEGER", not_null=True),
        ColumnInfo(name="body", declared_type="TEXT"),
        ColumnInfo(name="words", declared_type="INTEGER", generated=True, not_null=True),
        ColumnInfo(name="seen", declared_type="INTEGER", not_null=True, has_default=True),
    ),
    unique_keys=(("id",), ("owner", "slug"), ("body",)),
)
SPEC = ProfileTable(
    number=1, name="note", channel=Channel.USERS, key=("owner", "slug"), home_key="owner", leave_out=("id",)
)


def problems(*specs: ProfileTable, info: TableInfo = NOTE) -> list[str]:
    """The reasons of every problem, those that are not fatal in parentheses."""
    profile = Profile(name="own", tables=specs)
    found = check_profile(profile, {info.name: info})
    assert all(problem.table == "note" for problem in found)
    return [problem.reason if problem.fatal else f"({problem.reason})" for problem in found]


def test_a_profile_that_fits() -> None:
    """A key of plain columns and a serial that is left out are in order."""
    assert problems(SPEC) == []


def test_prosody_fits_prosody() -> None:
    """The shipped profile fits the tables that Prosody makes."""
    names = ("host", "user", "store", "key")
    key = tuple(ColumnInfo(name=name, declared_type="TEXT", not_null=True) for name in names)
    rest = tuple(ColumnInfo(name=name, declared_type="TEXT", not_null=True) for name in ("type", "value"))
    more = tuple(ColumnInfo(name=name, declared_type="INTEGER", not_null=True) for name in ("when", "with"))
    serial = ColumnInfo(name="sort_id", declared_type="INTEGER", not_null=True, pk_rank=1, serial=True)
    tables = {
        "prosody": TableInfo(name="prosody", columns=key + rest),
        "prosodyarchive": TableInfo(
            name="prosodyarchive",
            columns=(serial, *key, *more, *rest),
            unique_keys=(("sort_id",), names),
            autoincrement=True,
        ),
    }
    profile = load_profile("prosody")
    assert check_profile(profile, tables) == ()
    keys = [unique_key_within(tables[table.name], table.key) for table in profile.tables]
    assert keys == [None, None, names, names]


def test_a_table_that_is_missing() -> None:
    """Every entry's table must be there; one reason is said once."""
    profile = Profile(name="own", tables=(SPEC, replace(SPEC, number=2)))
    missing = check_profile(profile, {})
    assert missing == (Problem(table="note", reason="there is no such table"),)
    assert "let the application make its tables here" in does_not_fit(missing).hint
    assert does_not_fit((*missing, Problem(table="x", reason="it is a view"))).hint == CATALOGUE[Code.PROFILE].hint


MISFITS = {
    "key column missing": (
        replace(SPEC, key=("owner", "room"), home_key="owner"),
        'key names column "room", which the table has not',
    ),
    "key column spelled otherwise": (
        replace(SPEC, key=("owner", "Slug")),
        'key names column "Slug", which the table has not, which is spelled "slug" there',
    ),
    "left out column missing": (
        replace(SPEC, leave_out=("id", "n")),
        'leave_out names column "n", which the table has not',
    ),
    "order column missing": (
        replace(SPEC, order_by=("n",)),
        'order_by names column "n", which the table has not',
    ),
    "serial in the key": (
        replace(SPEC, key=("owner", "id"), leave_out=()),
        (
            'key column "id" is a serial: both sites would give one number to different rows; choose columns that mean the'
            " same at both"
        ),
    ),
    "serial that travels": (
        replace(SPEC, leave_out=()),
        'column "id" is a serial: both sites would give one number to different rows; name it in leave_out',
    ),
    "key column left out": (
        replace(SPEC, leave_out=("id", "slug")),
        'column "slug" is in the key and cannot be left out',
    ),
    "generated key": (
        replace(SPEC, key=("owner", "words")),
        'key column "words" is generated and cannot travel; name the columns that it is made of',
    ),
    "left out without default": (
        replace(SPEC, leave_out=("id", "when")),
        'left out column "when" is NOT NULL and has no default: rows could not be inserted',
    ),
    "nobody's": (
        replace(SPEC, home_key=None),
        'home_key is missing: say whose a row is, or home = "shared" if it is nobody\'s',
    ),
    "shared and homed": (replace(SPEC, shared=True), 'home = "shared" and home_key exclude each other'),
    "conference of users": (
        replace(SPEC, conference="slug"),
        'conference belongs to tables with channel = "conferences"',
    ),
}


@pytest.mark.parametrize(("spec", "expected"), MISFITS.values(), ids=MISFITS)
def test_a_misfit_is_named(spec: ProfileTable, expected: str) -> None:
    """What does not fit is refused with the reason."""
    reasons = problems(spec)
    assert expected in reasons
    assert not [reason for reason in reasons if reason != expected and "slug" not in reason]


@pytest.mark.parametrize("left_out", ["body", "words", "seen"])
def test_what_may_be_left_out(left_out: str) -> None:
    """A column that may be NULL, is generated or has a default can be left to each site."""
    assert problems(replace(SPEC, leave_out=("id", left_out))) == []


def test_a_table_named_twice_needs_conditions() -> None:
    """Two entries for one table are refused unless each says which rows it takes."""
    first, second = replace(SPEC, where="slug = 'x'"), replace(SPEC, number=2, where="slug <> 'x'")
    assert problems(first, second) == []
    expected = ["it is named more than once, so every entry needs a where, and no row may be accepted by two"]
    assert problems(first, replace(second, where=None)) == expected
    assert problems(replace(first, where=None), second) == expected


ADD = ", which is not in the key: add it to key, for a deleted row leaves nothing behind but its key"
EXPRESSIONS = {
    "owner = 'a' AND \"slug\" <> 'it''s' OR `owner` IS NULL OR [slug] IN ('x', 'y')": [],
    "lower(owner) GLOB '*.example' COLLATE NOCASE": [],
    "CASE WHEN owner = x'00ff' THEN 1 ELSE -2.5e3 END = CAST(slug AS INTEGER)": [],
    "OWNER || \"Slug\" = 'when body'": [],
    "substr(owner, instr(owner, '@') + 1) NOT LIKE '%\\_x' ESCAPE '\\'": [],
    "Body = 1": [f'it uses column "body"{ADD}'],
    "\"when\" > 5 AND [body] = ''": [f'it uses column "when"{ADD}', f'it uses column "body"{ADD}'],
    'owner = "a.example"': [
        "\"a.example\" is no column, and SQLite would silently take it for a text: write 'a.example' if you mean that"
    ],
    'owner = "a""b"': [
        '"a"b" is no column, and SQLite would silently take it for a text: write \'a"b\' if you mean that'
    ],
    "room = 1": ["room is no column of this table"],
    "note.owner = 1": ["note is no column of this table"],
    "rowid = 1": ["rowid is no column of this table"],
    "owner IN (SELECT slug)": ["it may look at its own row only, so SELECT has no place in it"],
    "random() > 0": ["random does not give the same value at both sites"],
    "owner < current_timestamp": ["current_timestamp does not give the same value at both sites"],
    "owner = ?": ["'?' has no place in it"],
    "owner = :x": ["':' has no place in it"],
    "owner = 1; DROP TABLE note": ["';' has no place in it"],
    "owner = 1 -- why": ["'--' has no place in it"],
    "owner /* why */ = 1": ["'/*' has no place in it"],
    "owner = 'a": ['cannot be read from "\'a" on'],
    "owner = 1a": ["cannot be read from '1a' on"],
    "(owner = 1": ["its parentheses do not match"],
    "owner = 1) OR (1": ["its parentheses do not match"],
}


@pytest.mark.parametrize(("expression", "expected"), EXPRESSIONS.items())
def test_expressions_speak_of_key_columns_only(expression: str, expected: list[str]) -> None:
    """An expression may use key columns, values and functions; everything else is refused with the reason."""
    assert problems(replace(SPEC, where=expression)) == [f"where: {reason}" for reason in expected]


def test_every_expression_is_read() -> None:
    """where, home_key, principal and conference are all held to the same rule."""
    spec = replace(
        SPEC, channel=Channel.CONFERENCES, where="body", home_key="body", principal="body", conference="body"
    )
    labels = ("where", "home_key", "principal", "conference")
    assert problems(spec) == [f'{label}: it uses column "body"{ADD}' for label in labels]


def test_remarks_are_not_fatal() -> None:
    """Triggers, references to tables that stay behind, and rows that wait for no file are said and not refused."""
    info = replace(NOTE, triggers=("note_ai", "note_ad"), references=("note", "room"))
    spec = replace(SPEC, channel=Channel.CONFERENCES)
    assert problems(spec, info=info) == [
        "(its triggers run on rows that arrive (triggers = 'fire'): note_ai, note_ad)",
        '(it refers to table "room", which the profile does not carry)',
        "(no conference is named: its rows do not wait for a file that is held back)",
    ]
    assert problems(replace(SPEC, triggers="skip"), info=replace(info, references=())) == [
        "(its triggers do not run on rows that arrive (triggers = 'skip'): note_ai, note_ad)"
    ]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (("owner", "slug"), ("owner", "slug")),
        (("slug", "owner", "when"), ("owner", "slug")),
        (("id", "owner", "slug"), ("id",)),
        (("owner",), None),
        (("body",), None),
    ],
)
def test_unique_key_within(key: tuple[str, ...], expected: tuple[str, ...] | None) -> None:
    """Groups are single rows if the key holds a unique key without NULL."""
    assert unique_key_within(NOTE, key) == expected

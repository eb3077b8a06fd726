"""Profiles: what is read, whose a path is, and what is said of a wrong one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.store.profile import MatchedPath, Profile, ProfileFiles, ProfileTable, match_path
from poolpair.store.profile_file import load_profile, parse_profile

SMALL = """\
[[tables]]
name = "note"
key = ["owner", "id"]
home_key = "owner"
"""
TREE = """\
[[files]]
pattern = "{owner}/{id}.txt"
home_key = "{owner}"
conference = "{owner}-{id}"
"""


def complaint(text: str) -> str:
    """What is said of a wrong profile."""
    with pytest.raises(PoolpairError) as caught:
        parse_profile(text.encode(), "own")
    assert caught.value.code is Code.PROFILE
    return caught.value.detail


def test_a_small_profile(tmp_path: Path) -> None:
    """Name, key and home key are enough; a file is read by its absolute path."""
    path = tmp_path / "own.toml"
    path.write_text(SMALL + TREE)
    profile = load_profile(str(path))
    assert profile == Profile(
        name=str(path),
        tables=(ProfileTable(number=1, name="note", channel=Channel.USERS, key=("owner", "id"), home_key="owner"),),
        files=(ProfileFiles(pattern="{owner}/{id}.txt", home_key="{owner}", conference="{owner}-{id}"),),
        digest=profile.digest,
        agreed=profile.digest,
    )


def test_every_key_is_read() -> None:
    """Every key of a table and of files changes the value that it names."""
    text = """
        description = "all of it"
        [[tables]]
        name = "doc"
        channel = "conferences"
        key = ["room", "id"]
        where = "room <> ''"
        home_key = "room"
        principal = "id"
        leave_out = "n"
        order_by = ["n", "m"]
        triggers = "skip"
        conference = " id "
        [[tables]]
        name = "settings"
        key = ["name"]
        home = "shared"
        [[files]]
        pattern = "{room}/{id}"
        home_key = "{room}"
        conference = "{id}"
        decode = "percent"
        skip = ["*~", ".*"]
    """
    profile = parse_profile(text.encode(), "own")
    doc, settings = profile.tables
    assert doc == ProfileTable(
        number=1,
        name="doc",
        channel=Channel.CONFERENCES,
        key=("room", "id"),
        where="room <> ''",
        home_key="room",
        principal="id",
        leave_out=("n",),
        order_by=("n", "m"),
        triggers="skip",
        conference="id",
    )
    assert settings == ProfileTable(number=2, name="settings", channel=Channel.USERS, key=("name",), shared=True)
    rule = ProfileFiles(
        pattern="{room}/{id}", home_key="{room}", conference="{id}", decode="percent", skip=("*~", ".*")
    )
    assert profile.files == (rule,)


def test_digest_is_pinned() -> None:
    """The digest is part of the format: another release must come to the same value."""
    digest = "2eab02f5812a4b4ef204ff9522f22bd3ff93b29a58c7bfc795aa4418e5793cfd"
    assert parse_profile((SMALL + TREE).encode(), "own").digest == digest
    assert load_profile("prosody").digest == "339ad6959d368eca7db555025053065cd6d8446e6e805949bda58b9e02dc98b2"


def test_digest_is_of_the_rules() -> None:
    """Name, comments, layout and spelled-out defaults do not count; every rule does."""
    digest = parse_profile(SMALL.encode(), "own").digest
    same = ["# why\n" + SMALL, SMALL + 'channel = "users"\ntriggers = "fire"\n', SMALL.replace('owner"\n', 'owner "\n')]
    assert [parse_profile(text.encode(), "other").digest for text in same] == [digest] * 3
    others = [
        SMALL + TREE,
        SMALL + 'triggers = "skip"\n',
        SMALL + SMALL,
        SMALL.replace('"owner", "id"', '"id", "owner"'),
    ]
    digests = {parse_profile(text.encode(), "own").digest for text in others}
    assert len(digests) == 4
    assert digest not in digests


WRONG = {
    "unknown key": (
        SMALL + 'leaveout = ["x"]\n',
        "profile own: table note: leaveout (line 5): unknown key, did you mean leave_out?",
    ),
    "number is not for operators": (
        SMALL + "number = 3\n",
        "profile own: table note: number (line 5): unknown key, did you mean name?",
    ),
    "unknown section": ("[[table]]\n" + SMALL, "profile own: table (line 1): unknown key, did you mean tables?"),
    "one bracket": (
        SMALL.replace("[[tables]]", "[tables]"),
        "profile own: tables (line 1): write [[tables]], with two brackets, before every entry",
    ),
    "empty": (
        "",
        "profile own: tables: missing: write [[tables]] once for every table that is carried, or whole = true",
    ),
    "no name": (SMALL.replace('name = "note"\n', ""), "profile own: entry 1 of tables: name (line 1): missing"),
    "no key": (
        SMALL.replace('key = ["owner", "id"]\n', ""),
        (
            "profile own: table note: key (line 1): name at least one column: the rows that agree in these columns travel"
            " together"
        ),
    ),
    "column twice": (SMALL.replace('"id"', '"owner"'), "profile own: table note: key (line 3): 'owner' is named twice"),
    "no list": (
        SMALL + "order_by = 5\n",
        'profile own: table note: order_by (line 5): expected a list of names, such as ["host", "user"]',
    ),
    "no channel": (
        SMALL + 'channel = "cms"\n',
        'profile own: table note: channel (line 5): expected "users" or "conferences", not \'cms\'',
    ),
    "no home": (
        SMALL + 'home = "a"\n',
        "profile own: table note: home (line 5): expected \"shared\", not 'a'",
    ),
    "no triggers": (
        SMALL + "triggers = false\n",
        'profile own: table note: triggers (line 5): expected "fire" or "skip", not False',
    ),
    "empty expression": (SMALL + "where = ' '\n", "profile own: table note: where (line 5): expected a text, not ' '"),
    "expression of another type": (
        SMALL + "where = true\n",
        "profile own: table note: where (line 5): expected a text, not a boolean",
    ),
    "second of two": (
        SMALL + '[[tables]]\nname = "x"\nkey = ["y"]\nwher = "y"\n',
        "profile own: table x: wher (line 8): unknown key, did you mean where?",
    ),
    "files without pattern": (
        TREE.replace('pattern = "{owner}/{id}.txt"\n', ""),
        (
            "profile own: entry 1 of files: pattern (line 1): missing; "
            "entry 1 of files: home_key (line 2): {owner} is not captured by the pattern; "
            "entry 1 of files: conference (line 3): {owner} is not captured by the pattern; "
            "entry 1 of files: conference (line 3): {id} is not captured by the pattern"
        ),
    ),
    "path that leaves": (
        TREE.replace("{owner}/{id}", "../{owner}/{id}"),
        (
            "profile own: entry 1 of files: pattern (line 2): must be a path below `files`: no / at either end, no empty"
            " part, no . or .."
        ),
    ),
    "stray brace": (
        TREE.replace("{id}.txt", "{id}.{t xt"),
        (
            "profile own: entry 1 of files: pattern (line 2): write a part that varies as {name}, of letters, digits and _,"
            " or {*name} if it may hold /"
        ),
    ),
    "no border": (
        TREE.replace("{owner}/{id}", "{owner}{id}"),
        (
            "profile own: entry 1 of files: pattern (line 2): something must stand between two captures, or nobody knows"
            " where one ends"
        ),
    ),
    "capture twice": (
        TREE.replace("{id}.txt", "{owner}/{id}.txt"),
        "profile own: entry 1 of files: pattern (line 2): each capture needs a name of its own",
    ),
    "decode": (
        TREE + 'decode = "base64"\n',
        "profile own: entry 1 of files: decode (line 5): expected \"percent\", not 'base64'",
    ),
}


@pytest.mark.parametrize(("text", "expected"), WRONG.values(), ids=WRONG)
def test_a_wrong_profile_is_refused_with_the_reason(text: str, expected: str) -> None:
    """The message names the profile, the table, the key, its line and what is wrong with it."""
    assert complaint(text) == expected


def test_what_is_no_toml_is_said_to_be_so() -> None:
    """The parser's words and place are passed on."""
    assert complaint("[[tables]\n").startswith("profile own: not TOML: expected ']]'")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("prosdy", "P102: profile prosdy: not shipped (there is prosody), and an own one needs its absolute path"),
        ("../x", "P102: profile ../x: not shipped (there is prosody), and an own one needs its absolute path"),
        ("/none.toml", "P102: profile /none.toml: cannot be read: No such file or directory"),
    ],
)
def test_a_profile_that_is_not_there(name: str, expected: str) -> None:
    """The message names what is there."""
    with pytest.raises(PoolpairError) as caught:
        load_profile(name)
    assert str(caught.value) == expected
    assert ("the path is right" in caught.value.hint) is ("cannot be read" in expected)


PROSODY_PATHS = {
    b"share%2ea%2eexample/http_file_share/13d834c3%2d9e42.bin": ("share.a.example", "13d834c3-9e42"),
    b"share%2Ea%2Eexample/http_file_share/x.bin.bin": ("share.a.example", "x.bin"),
    b"h/http_file_share/%c3%a9.bin": ("h", "é"),
    b"h/http_file_share/\xff%fe.bin": ("h", r"\xff\xfe"),
    b"h/http_file_share/100%.bin": ("h", "100%"),
    b"h/http_file_share/x.bin~": None,
    b"h/http_file_share/.bin": None,
    b"h/http_file_share/sub/x.bin": None,
    b"h/http_file_share/x.txt": None,
    b"h/accounts/x.bin": None,
    b"/http_file_share/x.bin": None,
    b"./http_file_share/x.bin": None,
    b"../http_file_share/x.bin": None,
    b"/h/http_file_share/x.bin": None,
    b"h/http_file_share/x\0.bin": None,
    b"h/http_file_share/x.bin\n": None,
    b"": None,
}


@pytest.mark.parametrize(("path", "expected"), PROSODY_PATHS.items())
def test_whose_an_upload_is(path: bytes, expected: tuple[str, str] | None) -> None:
    """Prosody's uploads belong to their host, the slot is the conference, and nothing else in the tree is carried."""
    assert match_path(load_profile("prosody"), path) == (MatchedPath(*expected) if expected else None)


def test_the_first_rule_that_fits_decides() -> None:
    """Rules are tried in order; a name that one skips may belong to the next."""
    first = ProfileFiles(pattern="{a}/{b}", home_key="1{a}", conference="{b}", skip=("*.tmp", "%2e*"))
    second = ProfileFiles(pattern="{x}/{y}", home_key="2{x}", conference="{y}", decode="percent")
    profile = Profile(name="own", tables=(), files=(first, second))
    assert match_path(profile, b"h/n%2e") == MatchedPath("1h", "n%2e")
    assert match_path(profile, b"h/n.tmp") == MatchedPath("2h", "n.tmp")
    assert match_path(profile, b"h/%2en") == MatchedPath("2h", ".n")


def test_signs_of_expressions_are_taken_literally() -> None:
    """A pattern has captures and nothing else special."""
    rule = ProfileFiles(pattern="a.[b]*/{n}+é", home_key="k", conference="{n}")
    profile = Profile(name="own", tables=(), files=(rule,))
    assert match_path(profile, "a.[b]*/1+é".encode()) == MatchedPath("k", "1")
    assert match_path(profile, "ab/1+é".encode()) is None


@given(st.binary(max_size=40))
def test_every_name_can_be_stored(slot: bytes) -> None:
    """Whatever bytes a name has, what is made of it is text that a database takes; no path leaves the tree."""
    found = match_path(load_profile("prosody"), b"h/http_file_share/" + slot + b".bin")
    if b"/" in slot or b"\0" in slot or not slot:
        assert found is None
    else:
        assert found is not None
        assert found.conference.encode("utf-8") or slot == b""


@pytest.fixture(scope="module")
def prosody() -> Iterator[sqlite3.Connection]:
    """Tables as Prosody 0.12 makes them, with a row for every kind of store."""
    connection = sqlite3.connect(":memory:")
    columns = '"host" TEXT NOT NULL, "user" TEXT NOT NULL, "store" TEXT NOT NULL, "key" TEXT NOT NULL'
    connection.execute(f'CREATE TABLE prosody ({columns}, "type" TEXT NOT NULL, "value" TEXT NOT NULL)')
    connection.execute(
        f'CREATE TABLE prosodyarchive (sort_id INTEGER PRIMARY KEY AUTOINCREMENT, {columns}, "when" INTEGER NOT NULL)'
    )
    stores = ["accounts", "roster", "pep", "config", "persistent", "cron", "upload_stats", "smacks_h", "state"]
    for store in [*stores, "archive_cleanup", "cleanup", "muc_log_cleanup", "xcleanup", "STATE"]:
        connection.execute("INSERT INTO prosody VALUES ('a.example', '', ?, '', 'string', '')", (store,))
    for store in ["archive", "offline", "muc_log", "uploads", "pep_urn:xmpp:vcard4"]:
        connection.execute("INSERT INTO prosodyarchive VALUES (NULL, 'a.example', 'u', ?, 'k-1', 0)", (store,))
    yield connection
    connection.close()


def test_prosody_leaves_site_local_stores_out(prosody: sqlite3.Connection) -> None:
    """Timers, counters and sweeps stay; everything else is carried, who was in a room that rests among it."""
    whole, rooms = (
        {store for (store,) in prosody.execute(f"SELECT store FROM prosody WHERE {table.where}")}
        for table in load_profile("prosody").tables[:2]
    )
    assert whole == {"accounts", "roster", "pep", "config", "cleanup", "xcleanup", "state", "STATE"}
    assert rooms == {"persistent"}


def test_prosody_carries_every_archive_row_once(prosody: sqlite3.Connection) -> None:
    """Uploads go with the files, all other archives with the users; no row is in both or in neither."""
    users, uploads = load_profile("prosody").tables[2:]
    parts = [
        {store for (store,) in prosody.execute(f"SELECT store FROM prosodyarchive WHERE {table.where}")}
        for table in (users, uploads)
    ]
    assert parts == [{"archive", "offline", "muc_log", "pep_urn:xmpp:vcard4"}, {"uploads"}]
    assert (users.channel, uploads.channel) == (Channel.USERS, Channel.CONFERENCES)
    assert replace(users, number=4, channel=uploads.channel, where=uploads.where, conference='"key"') == uploads


def test_prosody_rows_and_files_name_one_conference(prosody: sqlite3.Connection) -> None:
    """The conference of an uploads row is the conference of its file, and so is the home."""
    profile = load_profile("prosody")
    table = profile.tables[3]
    query = f"SELECT {table.home_key}, {table.conference} FROM prosodyarchive WHERE {table.where}"
    assert prosody.execute(query).fetchall() == [("a.example", "k-1")]
    assert match_path(profile, b"a%2eexample/http_file_share/k%2d1.bin") == MatchedPath("a.example", "k-1")

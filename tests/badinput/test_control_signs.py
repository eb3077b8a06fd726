"""Whoever names a row, or gives a reason, chooses signs: none of them steers the operator's terminal, or forges a line."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.text import Text

from poolpair.audit import audited
from poolpair.cli.context import PlainConsole
from poolpair.errors import Code
from poolpair.model import Fault
from poolpair.pipeline.site import inbound_name
from poolpair.printable import SHOWN_MAX, is_line, printable, shortened
from poolpair.state import Inbound
from poolpair.store.row_text import rows_to_text
from poolpair.wiring import initialise, open_site
from tests.badinput.ground import Ground, make_ground, said

EVIL = "joe\x1b]0;PWNED\x07\x1b[31m\x9b31m\x7f\u202e\u2028\r\nd3e76fb3\ta\titem"
STEERS = set("\x1b\x07\x9b\x7f\u202e\u2028\r")
UTC = "2026-01-01T00:00:00.000+00:00"


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A pool in whose store a parked group, a ledger entry, an order and a fault hold such signs."""
    made = make_ground(tmp_path_factory.mktemp("signs"))
    initialise(made.config("a"))
    key = rows_to_text(((EVIL,),))
    with made.sql("a") as connection:
        connection.executemany(
            "INSERT INTO poolpair_parked (tbl, channel, key, reason, package_id, since_utc, gen, table_name)"
            " VALUES (0, 'users', ?, ?, 'p', ?, 0, 'item')",
            [(EVIL, EVIL, UTC), ("k" * 5000, "no", UTC)],
        )
        row = ("a", "d" * 32, "users", "item", key, EVIL, "r", key, key, "open", UTC, "")
        connection.execute(f"INSERT INTO poolpair_ledger VALUES ({', '.join('?' * 12)})", row)
    site = open_site(made.config("a"))
    with audited(site, EVIL, EVIL, EVIL):
        pass
    with site.store.transaction() as tx:
        name = inbound_name(site.lead)
        assert tx.load(Inbound, name) is None
        tx.save(name, Inbound(fault=Fault(code=Code.PARKED, detail=EVIL, since_utc=UTC)))
    site.store.close()
    return made


COMMANDS = {
    "parked list": 2,
    "parked show 1": 3,
    "ledger list": 1,
    "ledger show d": 6,
    "audit": 1,
    "status": None,
}


@pytest.mark.parametrize("words", COMMANDS)
def test_no_sign_of_a_row_steers_a_terminal_or_forges_a_line(ground: Ground, words: str) -> None:
    """Escapes stand for them; one thing is one line, and its cells are as many as ever."""
    found = ground.command("a", *words.split()).output
    assert "joe\\x1b]0;PWNED\\x07" in found
    assert not STEERS & set(found)
    lines = found.splitlines()
    assert not [line for line in lines if line.lstrip().startswith("d3e76fb3")]
    if COMMANDS[words] is not None:
        assert len(lines) == COMMANDS[words]


def test_programs_read_the_value_itself(ground: Ground) -> None:
    """JSON has escapes of its own."""
    assert json.loads(ground.command("a", "ledger", "list", "--json").stdout)["why"] == EVIL


@pytest.mark.parametrize("words", ["fence off --yes", "gate open --yes", "pause"])
def test_a_reason_is_one_printable_line(ground: Ground, words: str) -> None:
    """Refused before anything is done: status and audit would print it."""
    for reason in (EVIL, "x\nusers of a: all is well", "r\u202eevil", "", "x" * 201):
        result = ground.command("a", *words.split(), "--reason", reason)
        assert said(result) == (Code.USAGE, "--reason: one line of 1 to 200 printable characters")
    assert "by hand" not in ground.command("a", "status").output
    assert "OFF" not in ground.command("a", "status").output


def test_a_console_prints_no_sign_that_steers() -> None:
    """Errors and talk go through one, whoever wrote what they cite; its own colours still pass."""
    written = StringIO()
    PlainConsole(file=written, soft_wrap=True, force_terminal=True, color_system="standard").print(Text(EVIL, "red"))
    text = written.getvalue()
    assert text.startswith("\x1b[31mjoe\\x1b]0;PWNED")
    assert not STEERS & set(text.replace("\x1b[31m", "").replace("\x1b[0m", ""))


def test_a_long_key_is_shortened_in_a_list_and_whole_where_it_is_shown(ground: Ground) -> None:
    """A row's key has no limit of its own; a screen has."""
    assert f"{'k' * SHOWN_MAX}… (5,000 characters)\t" in ground.command("a", "parked", "list").output
    assert "k" * 5000 in ground.command("a", "parked", "show", "2").output


def test_what_is_printable_stays() -> None:
    """Letters of any script are not touched; only what is no letter, sign or blank is."""
    assert printable("Grüße, 你好, שלום 🙂") == "Grüße, 你好, שלום 🙂"
    assert printable("a\nb\tc\x1b", "\n\t") == "a\nb\tc\\x1b"
    assert [is_line(text) for text in ("a", "", "a\n", "\x85", "x" * 200, "x" * 201)] == [
        True,
        False,
        False,
        False,
        True,
        False,
    ]
    assert (shortened("a" * 300), len(shortened("a" * 301))) == ("a" * 300, 318)

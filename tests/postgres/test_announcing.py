"""After an import whoever listens learns what changed: by NOTIFY with the commit, and by a command at every front end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from poolpair.cycle import run_pass
from poolpair.lab.pool import wait_for
from poolpair.model import Channel
from poolpair.pipeline.site import inbound_name
from poolpair.state import Inbound
from tests.cluster import Cluster
from tests.postgres.own_pair import PROFILE, OwnPair, own_pair
from tests.postgres.server_pair import ServerPair
from tests.postgres.test_front_ends import WAIT_S, make

LONG = "n" * 1500


def imported(pair: OwnPair, *changes: str) -> list[dict[str, Any]]:
    """What b's listeners are told when these changes of a's arrive."""
    with pair.connect("b") as listener:
        listener.execute("LISTEN poolpair")
        pair.do("a", *changes)
        for pool in ("a", "b", "a"):
            run_pass(pair.sites[pool], Channel.USERS, force=True)
        return [json.loads(told.payload) for told in listener.notifies(timeout=0)]


def test_who_listens_is_told_the_keys_that_changed(cluster: Cluster, tmp_path: Path) -> None:
    """Written and deleted ones alike, with the commit that brings them; too many, or too long ones, are a whole table."""
    with own_pair(cluster, tmp_path, profile=PROFILE, tables=("item", "upload")) as pair:
        for pool in ("a", "b", "a"):
            run_pass(pair.sites[pool], Channel.USERS, force=True)
        (told,) = imported(pair, "INSERT INTO item VALUES ('u@a', 'one', 1), ('u@a', 'it''s \\ \"two\"', 2)")
        assert (told["pools"], told["channel"]) == (["a"], "users")
        assert sorted(told["tables"]["item"]) == [["u@a", 'it\'s \\ "two"'], ["u@a", "one"]]
        (told,) = imported(pair, "DELETE FROM item WHERE name = 'one'", "UPDATE item SET value = 3")
        assert ["u@a", "one"] in told["tables"]["item"]
        assert len(told["tables"]["item"]) == 2
        (told,) = imported(pair, "INSERT INTO item SELECT 'u@a', 'n' || n, n FROM generate_series(1, 101) n")
        assert told["tables"] == {"item": None}
        (told,) = imported(pair, f"INSERT INTO item SELECT 'u@a', n || '{LONG}', n FROM generate_series(1, 9) n")
        assert told["tables"] == {"item": None}
        assert sorted(pair.rows("a")) == sorted(pair.rows("b"))


def test_what_cannot_be_told_group_by_group_is_told_whole(cluster: Cluster, tmp_path: Path) -> None:
    """Of more tables than a function of the server's takes, and of a table that the profile has twice; what arrives, arrives."""
    many = [f"t{number}" for number in range(60)]
    schema = "".join(
        f"CREATE TABLE {name} (owner text, name text, PRIMARY KEY (owner, name));" for name in (*many, "two")
    )
    entry = '[[tables]]\nname = "{}"\nkey = ["owner", "name"]\nhome_key = \'"owner"\'\n{}'
    profile = "".join(entry.format(name, "") for name in many)
    profile += "".join(entry.format("two", f"where = \"name {sign} 'm'\"\n") for sign in ("<", ">="))
    with own_pair(cluster, tmp_path, schema=schema, profile=profile, tables=(*many, "two")) as pair:
        for pool in ("a", "b", "a"):
            run_pass(pair.sites[pool], Channel.USERS, force=True)
        (told,) = imported(pair, "INSERT INTO two VALUES ('u@a', 'b'), ('u@a', 'y')")
        assert told["tables"] == {"two": None}
        inserts = "; ".join(f"INSERT INTO {name} VALUES ('u@a', 'x')" for name in many)
        (told,) = imported(pair, f"DO $$ BEGIN {inserts}; END $$")
        assert told["tables"] == dict.fromkeys(many)
        assert pair.rows("a") == pair.rows("b") != []


def test_one_that_is_not_applied_tells_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """Nobody reads rows anew that did not come: here a guard holds the package, until it is released."""
    with own_pair(cluster, tmp_path, profile=PROFILE, tables=("item",)) as pair:
        pair.do("a", "INSERT INTO item SELECT 'u@a', 'n' || n, n FROM generate_series(1, 1500) n")
        for pool in ("a", "b", "a"):
            run_pass(pair.sites[pool], Channel.USERS, force=True)
        assert imported(pair, "DELETE FROM item") == []
        held = pair.sites["b"].store.read(Inbound, inbound_name(Channel.USERS))
        assert held is not None
        assert held.held is not None


@pytest.mark.timeout(240)
def test_every_front_end_runs_the_command(pair: ServerPair, tmp_path: Path) -> None:
    """The one that works and the one that stands by; a command that fails is run again, and holds up nothing."""
    seen = tmp_path / "seen"
    seen.mkdir(mode=0o777)
    seen.chmod(0o777)
    servers = [make(pair, "b", name) for name in ("one", "two")]
    words = (
        '\'printf "%s %s\\n" "$POOLPAIR_STEP" "$POOLPAIR_CHANNEL" >> "$0/$POOLPAIR_FRONT_END"; test ! -e "$0/broken"\''
    )
    for server in servers:
        server.toml.write_text(
            server.toml.read_text()
            + f'\n[hooks]\nafter_import = ["/bin/sh", "-c", {json.dumps(words[1:-1])}, "{seen}"]\n'
        )
    partner = make(pair, "a", "afe")
    insert = "INSERT INTO prosody VALUES ('a.example', 'myriel', 'test', %s, 'string', 'x')"

    def told(name: str) -> list[str]:
        path = seen / name
        return path.read_text().splitlines() if path.exists() else []

    try:
        partner.start()
        for server in servers:
            server.start()
        for number in range(2):
            before = {server.name: len(told(server.name)) for server in servers}
            pair.run("a", insert, f"key {number}")
            wait_for("both told", lambda: all(len(told(name)) > so_far for name, so_far in before.items()), WAIT_S)  # noqa: B023
            if not number:
                (seen / "broken").touch()
        assert "after-import users" in told("one")
        wait_for(
            "it said so", lambda: any("after-import ended with status 1" in each.says() for each in servers), WAIT_S
        )
        assert all(each.process is not None and each.process.poll() is None for each in servers)
    finally:
        for each in (*servers, partner):
            each.end()

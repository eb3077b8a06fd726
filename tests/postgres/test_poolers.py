"""A connection pooler between the application and its server; and between poolpair and the server, which it refuses."""

from __future__ import annotations

from contextlib import ExitStack

import psycopg
import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.store.postgres.store import PostgresStore
from poolpair.testing.clock import VirtualClock
from tests.postgres.conftest import MakeCopies
from tests.postgres.copies import entry
from tests.postgres.pooler import pooler, through


def test_an_application_behind_a_pooler_in_transaction_mode(make_copies: MakeCopies) -> None:
    """More clients than server connections, transactions interleaved, settings left behind: exactly what was committed arrives."""
    copies = make_copies("CREATE TABLE item (id integer PRIMARY KEY, value text)", entry("item", "id"))
    with pooler(copies.cluster) as folder, ExitStack() as stack:
        url = through(copies.cluster, folder, copies.origin_name)
        clients = [stack.enter_context(psycopg.connect(url, autocommit=True, prepare_threshold=None)) for _ in range(5)]
        clients[0].execute(
            "SELECT set_config('poolpair.applying', '1', false), set_config('search_path', 'public', false)"
        )
        for turn in range(4):
            for number, client in enumerate(clients):
                key = turn * 10 + number
                with client.transaction(force_rollback=number == 4):
                    client.execute("INSERT INTO item VALUES (%s, %s)", (key, str(turn)))
                    client.execute("UPDATE item SET value = value || '!' WHERE id = %s", (key - 10,))
            assert copies.carry().groups == (4 if turn == 0 else 8)
            copies.assert_equal(["item"])
    assert len(copies.content("item", at="target")) == 16


def test_poolpair_itself_is_not_put_behind_one(make_copies: MakeCopies) -> None:
    """Its lease is a lock of its own connection, which a pooler lends to others: such an URL is refused with the reason."""
    copies = make_copies("CREATE TABLE item (id integer PRIMARY KEY)", entry("item", "id"))
    with pooler(copies.cluster) as folder:
        url = through(copies.cluster, folder, copies.origin_name)
        with pytest.raises(PoolpairError, match="goes through a connection pooler") as caught:
            PostgresStore(url, copies.profile, VirtualClock(), lock_wait_s=1.0)
    assert caught.value.code is Code.CONFIG

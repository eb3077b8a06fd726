"""A server's database that an older release prepared: its ledger takes every decision once `init` has run."""

from __future__ import annotations

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.store.prepared import SETTINGS
from poolpair.wiring import initialise, open_site
from tests.postgres.server_pair import ServerPair

OLD_STATES = "ALTER TABLE poolpair.ledger ADD CONSTRAINT ledger_state_check CHECK (state IN ('open', 'theirs', 'ours'))"
"""As releases had it whose ledger carried no files."""
BOTH = (
    "INSERT INTO poolpair.ledger (home, entry_id, channel, tbl, tkey, why, reign_id, theirs, ours, state, since_utc, decided_utc)"
    " VALUES ('a', '1', 'users', 'files', '', '', '', '', '', 'both', '', '')"
)
FORGET = "UPDATE poolpair.document SET body = (body::jsonb - 'layout')::text WHERE name = %s"


def test_an_old_ledger_takes_every_decision_after_init(pair: ServerPair) -> None:
    """Before, nothing works in it: no decision ends in the middle with what the server says of a constraint."""
    pair.run("a", OLD_STATES)
    pair.run("a", FORGET, SETTINGS)
    with pytest.raises(PoolpairError) as raised:
        open_site(pair.config("a"), pair.clock)
    assert (raised.value.code, "prepared by an older poolpair" in raised.value.detail) == (Code.NOT_INSTALLED, True)
    assert pair.databases["a"] in raised.value.detail
    initialise(pair.config("a"))
    pair.start("a")
    pair.run("a", BOTH)
    (entry,) = pair.sites["a"].store.ledger()
    assert entry.state == "both"


def test_a_ledger_that_outlived_its_pair_is_brought_up_to_date(pair: ServerPair) -> None:
    """Nothing is known of how that database was prepared."""
    pair.run("a", OLD_STATES)
    pair.run("a", "DELETE FROM poolpair.document")
    initialise(pair.config("a"))
    pair.run("a", BOTH)

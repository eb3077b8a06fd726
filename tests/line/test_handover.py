"""A planned failover of rows and files, step by step on the example stores."""

from __future__ import annotations

from pathlib import Path

from poolpair.cycle import run_pass
from poolpair.model import Channel
from poolpair.moves import Move, Plan, plan_name
from poolpair.serving.plan import advance, order
from poolpair.state import Fencing, Intent
from tests.pair import Pair, make_pair


def test_meeting_files_are_drained_too(tmp_path: Path) -> None:
    """While one channel has something to send nothing is handed over; at the end the file is where its home is served."""
    pair = make_pair(tmp_path)
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    order(pair.sites["a"], Move.HANDOVER, "a")
    while pair.sites["a"].serving("a").fencing is Fencing.NONE:
        advance(pair.sites["a"])
        pair.turn()
    path = pair.folder / "data-a" / "share%2ea%2eexample" / "http_file_share" / "last.bin"
    path.write_bytes(b"written while the fence rose")
    pair.turn("a")
    for _ in range(6):
        _only_users(pair)
    plan = pair.sites["a"].store.read(Plan, plan_name("a"))
    assert plan is not None
    assert plan.waits_for == "conferences: changes are on their way"
    assert pair.sites["a"].serving("a").present.epoch == 0
    for _ in range(20):
        pair.turn(force=True)
        for site in pair.sites.values():
            advance(site)
    assert pair.sites["b"].serving("a").present.epoch == 1
    assert pair.files("b")["share%2ea%2eexample/http_file_share/last.bin"] == b"written while the fence rose"


def test_on_sqlite_too_only_what_changed_is_compared_behind_the_fence(tmp_path: Path) -> None:
    """One comparison of everything while users write, one of what changed since."""
    pair = make_pair(tmp_path)
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    before = _comparisons(pair)
    order(pair.sites["a"], Move.HANDOVER, "a")
    while pair.sites["b"].serving("a").present.epoch == 0:
        pair.turn(force=True)
        for site in pair.sites.values():
            advance(site)
    assert _comparisons(pair) == before + 2


def _comparisons(pair: Pair) -> int:
    intents = pair.sites["a"].store.read_all(Intent, f"intent/{Channel.USERS}/")
    return sum(bool(intent.definition) for intent in intents.values())


def _only_users(pair: Pair) -> None:
    for site in pair.sites.values():
        run_pass(site, Channel.USERS, force=True)
        advance(site)

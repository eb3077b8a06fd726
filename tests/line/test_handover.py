"""A planned failover of rows and files, step by step on the example stores."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from poolpair.cycle import run_pass
from poolpair.model import Channel, ExportStatus
from poolpair.moves import Move, Plan, PlanStep, plan_name
from poolpair.pipeline.capture import scan
from poolpair.pipeline.site import Site
from poolpair.serving.plan import advance, order
from poolpair.share.port import OwnShare
from poolpair.state import Fencing, Intent
from poolpair.store.tree import DirectoryTree, Tree
from tests.pair import Pair, make_pair


def test_meeting_files_are_drained_too(tmp_path: Path) -> None:
    """While one channel has something to send nothing is handed over; at the end the file is where its home is served."""
    pair = _at_rest(tmp_path)
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
    _hand_over(pair)
    assert pair.sites["b"].serving("a").present.epoch == 1
    assert pair.files("b")["share%2ea%2eexample/http_file_share/last.bin"] == b"written while the fence rose"


def test_a_file_changed_in_place_is_drained_too(tmp_path: Path) -> None:
    """No folder shows that it was: behind the fence the whole tree is looked at once, and B has the newer one when it begins to serve."""
    pair, path = _with_a_file(tmp_path)
    order(pair.sites["a"], Move.HANDOVER, "a")
    while pair.sites["a"].serving("a").fencing is Fencing.NONE:
        advance(pair.sites["a"])
        pair.turn()
    with path.open("r+b") as file:
        file.write(b"newer")
    _hand_over(pair)
    assert pair.sites["b"].serving("a").present.epoch == 1
    assert pair.files("b")[str(path.relative_to(pair.folder / "data-a"))] == b"newer"


@pytest.mark.parametrize("deleted", [False, True])
def test_a_file_that_is_still_written_to_is_waited_for(tmp_path: Path, *, deleted: bool) -> None:
    """An application may finish a file behind the fence, or give it up: the plan names it, and hands over what there is in the end."""
    pair, path = _with_a_file(tmp_path)
    site = pair.sites["a"]
    inner = _tree(site)

    class Written:
        def open(self, name: bytes) -> AbstractContextManager[BinaryIO]:
            if name.endswith(b"last.bin"):
                with path.open("ab") as file:
                    file.write(b", longer")
            return inner.open(name)

        def __getattr__(self, name: str) -> object:
            return getattr(inner, name)

    pair.sites["a"] = replace(site, tree=cast("Tree", Written()))
    order(pair.sites["a"], Move.HANDOVER, "a")
    while pair.sites["a"].serving("a").fencing is Fencing.NONE:
        advance(pair.sites["a"])
        pair.turn()
    path.write_bytes(b"new")
    _hand_over(pair)
    plan = pair.sites["a"].store.read(Plan, plan_name("a"))
    assert plan is not None
    assert plan.waits_for.endswith("last.bin is still being written to")
    assert pair.sites["b"].serving("a").present.epoch == 0
    pair.sites["a"] = site
    if deleted:
        path.unlink()
    _hand_over(pair)
    assert pair.sites["b"].serving("a").present.epoch == 1
    assert pair.files("b") == pair.files("a")


def test_a_tree_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Whether a file was changed cannot be told then."""
    pair, _ = _with_a_file(tmp_path)
    order(pair.sites["a"], Move.HANDOVER, "a")
    while pair.sites["a"].serving("a").fencing is Fencing.NONE:
        advance(pair.sites["a"])
        pair.turn()
    site = pair.sites["a"]
    pair.sites["a"] = replace(site, tree=DirectoryTree(tmp_path / "away", tmp_path / "spool"))
    advance(pair.sites["a"])
    plan = pair.sites["a"].store.read(Plan, plan_name("a"))
    assert plan is not None
    assert "could not open" in plan.waits_for
    pair.sites["a"] = site
    _hand_over(pair)
    assert pair.sites["b"].serving("a").present.epoch == 1


def _with_a_file(tmp_path: Path) -> tuple[Pair, Path]:
    """A pair at rest, and a file of a's that B has; the database, whose journal comes and goes, does not lie in the tree."""
    pair = _at_rest(tmp_path)
    path = pair.folder / "data-a" / "share%2ea%2eexample" / "http_file_share" / "last.bin"
    inner = _tree(pair.sites["a"])

    class Quiet:
        def hint(self) -> object:
            return path.parent.stat().st_mtime_ns

        def __getattr__(self, name: str) -> object:
            return getattr(inner, name)

    pair.sites["a"] = replace(pair.sites["a"], tree=cast("Tree", Quiet()))
    path.write_bytes(b"older")
    pair.settle()
    assert pair.files("b")[str(path.relative_to(pair.folder / "data-a"))] == b"older"
    return pair, path


def _tree(site: Site) -> Tree:
    assert site.tree is not None
    return site.tree


def _hand_over(pair: Pair) -> None:
    """Passes and steps, in which no time goes by, until B serves."""
    for _ in range(20):
        if pair.sites["b"].serving("a").present.epoch == 1:
            return
        pair.turn(force=True)
        for site in pair.sites.values():
            advance(site)


def test_on_sqlite_too_only_what_changed_is_compared_behind_the_fence(tmp_path: Path) -> None:
    """One comparison of everything while users write, one of what changed since."""
    pair = _at_rest(tmp_path)
    before = _comparisons(pair)
    order(pair.sites["a"], Move.HANDOVER, "a")
    while pair.sites["b"].serving("a").present.epoch == 0:
        pair.turn(force=True)
        for site in pair.sites.values():
            advance(site)
    assert _comparisons(pair) == before + 2


def test_a_file_that_is_finished_while_its_users_move_leaves_no_doubt_behind(tmp_path: Path) -> None:
    """It is handed in and merged, and both pools make sure that nothing else differs: the users can go home again."""
    pair = _handed_out(tmp_path)
    pair.turn("b")
    assert pair.sites["b"].serving("a").present.epoch == 1
    path = pair.folder / "data-a" / "share%2ea%2eexample" / "http_file_share" / "last.bin"
    path.write_bytes(b"finished while the users moved")
    pair.live(200.0, 2.0)
    assert pair.files("b")["share%2ea%2eexample/http_file_share/last.bin"] == b"finished while the users moved"
    assert pair.channel("b", Channel.CONFERENCES).export.status is ExportStatus.FINAL
    order(pair.sites["b"], Move.HANDOVER, "a")
    pair.live(60.0, 2.0)
    assert pair.sites["a"].serving("a").present.epoch == 2


def test_a_copy_whose_triggers_were_taken_away_proves_nothing(tmp_path: Path) -> None:
    """Nobody's write was seen since, so what was compared before the fence says nothing of the copy any more."""
    pair = _handed_out(tmp_path)
    assert pair.package_files("b")

    def tamper() -> None:
        with pair.sql("b") as connection:
            triggers = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'prosody' AND name LIKE 'poolpair%'"
            for (name,) in connection.execute(triggers).fetchall():
                connection.execute(f'DROP TRIGGER "{name}"')
            unseen = "UPDATE prosody SET value = 'unseen' WHERE host = 'a.example' AND store = 'accounts'"
            assert connection.execute(unseen).rowcount

    site = pair.sites["b"]
    site.own = cast(OwnShare, _Removing(site.own, tamper))
    pair.turn("b")
    assert pair.package_files("b") == []
    assert site.serving("a").present.epoch == 0


@pytest.mark.parametrize("how", ["deleted", "changed", "added"])
def test_who_writes_into_the_partners_files_while_their_users_move_is_overruled_first(tmp_path: Path, how: str) -> None:
    """It is found when the final package stands already: the users wait until the files are as they were, then they move."""
    pair = _handed_out(tmp_path)
    folder = pair.folder / "data-b" / "share%2ea%2eexample" / "http_file_share"
    path = next(folder.iterdir()) if how != "added" else folder / "stray.bin"
    if how == "deleted":
        path.unlink()
    else:
        path.write_bytes(b"by somebody who is not served here")
    site = pair.sites["b"]
    assert site.tree is not None
    scan(site, site.tree, rescan=True)
    pair.turn("b")
    assert pair.sites["b"].serving("a").present.epoch == 0
    pair.live(60.0, 2.0)
    assert pair.sites["b"].serving("a").present.epoch == 1
    assert pair.files("a") == pair.files("b")
    assert path.exists() == (how != "added")
    assert pair.status("a").exit_status == pair.status("b").exit_status == 0


@dataclass
class _Removing:
    """A share at which something happens before a package that was applied is removed."""

    share: OwnShare
    happens: Callable[[], None]

    def remove(self, folder: str, name: str) -> bool:
        """The package was applied, and is compared after this."""
        self.happens()
        return self.share.remove(folder, name)

    def __getattr__(self, name: str) -> object:
        return getattr(self.share, name)


def _handed_out(folder: Path) -> Pair:
    """A planned move of A's users up to where the final package stands at B."""
    pair = _at_rest(folder)
    order(pair.sites["a"], Move.HANDOVER, "a")
    while _step(pair) is not PlanStep.CONFIRM:
        pair.turn(force=True)
        advance(pair.sites["a"])
    pair.turn("a", force=True)
    return pair


def _at_rest(folder: Path) -> Pair:
    pair = make_pair(folder)
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    return pair


def _step(pair: Pair) -> PlanStep:
    plan = pair.sites["a"].store.read(Plan, plan_name("a"))
    assert plan is not None
    return plan.step


def _comparisons(pair: Pair) -> int:
    intents = pair.sites["a"].store.read_all(Intent, f"intent/{Channel.USERS}/")
    return sum(bool(intent.definition) for intent in intents.values())


def _only_users(pair: Pair) -> None:
    for site in pair.sites.values():
        run_pass(site, Channel.USERS, force=True)
        advance(site)

"""Told stories of meeting files that a dead pool had accepted: they are merged, or in the ledger with both versions."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import AbstractContextManager
from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from poolpair.cli.main import app
from poolpair.cycle import run_pass
from poolpair.decisions import resolve_ledger
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.moves import Move
from poolpair.pipeline.adopt import adopt
from poolpair.serving.plan import advance, order
from poolpair.store.ledger_files import FILES, path_of, path_text, version_from
from poolpair.store.port import Transaction
from poolpair.store.tree import DirectoryTree
from poolpair.store.tree_placing import DirectoryPlacing
from poolpair.store.values import Choice, LedgerEntry
from tests.pair import Pair, make_pair

UPLOADS = "share%2ea%2eexample/http_file_share"
PATH = f"{UPLOADS}/report.bin"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pools after their first copy, with one more file of a's; both are stopped."""
    made = make_pair(tmp_path_factory.mktemp("prepared"))
    for pool in ("a", "b"):
        made.start(pool)
    write(made, "a", b"before")
    settle(made)
    assert made.files("b")[PATH] == b"before"
    for pool in ("a", "b"):
        made.stop(pool)
    return made.folder


@pytest.fixture
def pair(prepared: Path, tmp_path: Path) -> Pair:
    """A copy of that pair, running."""
    shutil.copytree(prepared, tmp_path / "pair")
    made = Pair.reopened(tmp_path / "pair", prepared)
    for pool in ("a", "b"):
        made.start(pool)
    made.settle()
    return made


def write(pair: Pair, pool: str, data: bytes, path: str = PATH) -> None:
    """The application writes a file."""
    target = pair.folder / f"data-{pool}" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def delete(pair: Pair, pool: str, path: str = PATH) -> None:
    """The application deletes a file."""
    (pair.folder / f"data-{pool}" / path).unlink()


def settle(pair: Pair) -> None:
    """Passes and plans until nothing moves."""
    for _ in range(8):
        for site in pair.sites.values():
            site.memory.scanned_s = None
        pair.settle()
        if not any([advance(site) for site in pair.sites.values()]):
            return


def take_over(pair: Pair, pool: str, home: str = "a") -> None:
    """A disaster failover."""
    order(pair.sites[pool], Move.TAKEOVER, home)
    while advance(pair.sites[pool]):
        pass


def die(pair: Pair) -> None:
    """The service of a ends, and b takes over."""
    pair.stop("a")
    take_over(pair, "b")


def only_entry(pair: Pair, pool: str = "b") -> LedgerEntry:
    """The one entry about a file."""
    (entry,) = [entry for entry in pair.sites[pool].store.ledger() if entry.table == FILES]
    return entry


def spooled(pair: Pair, pool: str) -> dict[str, bytes]:
    """What lies beside the tree."""
    folder = pair.sites[pool].scratch / "spool"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def both_wrote(pair: Pair, theirs: bytes | None = b"theirs", ours: bytes | None = b"ours") -> LedgerEntry:
    """A conflict of one file, told of at both pools."""
    die(pair)
    for pool, data in (("a", theirs), ("b", ours)):
        delete(pair, pool) if data is None else write(pair, pool, data)
    pair.start("a")
    settle(pair)
    return only_entry(pair)


def test_what_only_the_dead_pool_had_is_merged(pair: Pair) -> None:
    """A new file, a changed one and a deletion reach the server, which touched none of them; it is no news for the ledger."""
    write(pair, "a", b"goes", f"{UPLOADS}/goes.bin")
    settle(pair)
    die(pair)
    write(pair, "a", b"new", f"{UPLOADS}/new.bin")
    write(pair, "a", b"changed")
    delete(pair, "a", f"{UPLOADS}/goes.bin")
    pair.start("a")
    settle(pair)
    for pool in ("a", "b"):
        files = pair.files(pool)
        assert (files[f"{UPLOADS}/new.bin"], files[PATH]) == (b"new", b"changed")
        assert f"{UPLOADS}/goes.bin" not in files
    assert pair.sites["b"].store.ledger() == ()
    assert b"goes" in spooled(pair, "b").values()
    assert pair.sites["b"].serving("a").open == ()


def test_what_both_pools_wrote_is_in_the_ledger_with_both_versions(pair: Pair) -> None:
    """The server's stands at both pools; the other lies beside both trees, so the loss of either pool loses nothing."""
    entry = both_wrote(pair)
    assert (entry.state, entry.home, path_of(entry)) == (Choice.OPEN, "a", PATH.encode())
    versions = [version_from(text) for text in (entry.theirs, entry.ours)]
    assert [each and each.sha256 for each in versions] == [sha256(b"theirs").hexdigest(), sha256(b"ours").hexdigest()]
    assert only_entry(pair, "a") == entry
    for pool in ("a", "b"):
        assert pair.files(pool)[PATH] == b"ours"
        assert spooled(pair, pool)[sha256(b"theirs").hexdigest()] == b"theirs"


def test_what_was_deleted_here_and_written_there_is_in_the_ledger(pair: Pair) -> None:
    """The deletion stands where its home is served, until somebody decides."""
    entry = both_wrote(pair, ours=None)
    assert (version_from(entry.ours), PATH in pair.files("a"), PATH in pair.files("b")) == (None, False, False)
    resolve_ledger(pair.sites["b"], entry.entry_id, Choice.THEIRS)
    settle(pair)
    assert pair.files("a")[PATH] == pair.files("b")[PATH] == b"theirs"


def test_what_was_written_here_and_deleted_there_is_in_the_ledger(pair: Pair) -> None:
    """If the deletion is chosen, what stood is set aside, and the entry says what it was."""
    entry = both_wrote(pair, theirs=None)
    assert version_from(entry.theirs) is None
    resolve_ledger(pair.sites["b"], entry.entry_id, Choice.THEIRS)
    settle(pair)
    assert PATH not in pair.files("a") | pair.files("b")
    assert b"ours" in spooled(pair, "b").values()
    assert only_entry(pair, "a").state is Choice.THEIRS


def test_theirs_takes_the_place_of_ours(pair: Pair) -> None:
    """It comes to both pools, what stood is kept, and the entry keeps both versions."""
    entry = both_wrote(pair)
    resolve_ledger(pair.sites["b"], entry.entry_id, Choice.THEIRS)
    settle(pair)
    assert pair.files("a")[PATH] == pair.files("b")[PATH] == b"theirs"
    decided = only_entry(pair)
    assert (decided.state, decided.theirs, decided.ours) == (Choice.THEIRS, entry.theirs, entry.ours)
    assert only_entry(pair, "a") == decided
    assert b"ours" in spooled(pair, "b").values()


def test_ours_stays(pair: Pair) -> None:
    """A decision is a state of the entry."""
    entry = both_wrote(pair)
    resolve_ledger(pair.sites["b"], None, Choice.OURS)
    settle(pair)
    assert pair.files("a")[PATH] == pair.files("b")[PATH] == b"ours"
    assert only_entry(pair, "a").state is Choice.OURS
    assert spooled(pair, "b")[sha256(b"theirs").hexdigest()] == b"theirs"
    for pool in ("a", "b"):
        with pytest.raises(PoolpairError, match="decided already: ours"):
            resolve_ledger(pair.sites[pool], entry.entry_id, Choice.THEIRS)


def test_only_who_serves_decides(pair: Pair) -> None:
    """The other pool says where an open entry is decided, and decides nothing, also if all are meant."""
    entry = both_wrote(pair)
    with pytest.raises(PoolpairError, match="served by pool b: it is decided there"):
        resolve_ledger(pair.sites["a"], entry.entry_id, Choice.THEIRS)
    assert resolve_ledger(pair.sites["a"], None, Choice.THEIRS) == 0
    assert only_entry(pair, "a") == only_entry(pair) == entry


def test_both_stand_beside_each_other(pair: Pair) -> None:
    """Theirs gets a name of its own beside ours, at both pools."""
    both_wrote(pair)
    resolve_ledger(pair.sites["b"], None, Choice.BOTH)
    settle(pair)
    beside = f"{UPLOADS}/report.theirs-{sha256(b'theirs').hexdigest()[:8]}.bin"
    for pool in ("a", "b"):
        assert (pair.files(pool)[PATH], pair.files(pool)[beside]) == (b"ours", b"theirs")
    assert only_entry(pair, "a").state is Choice.BOTH


def test_the_commands_speak_of_files(pair: Pair) -> None:
    """List, show and resolve name the path, both versions, and what can be chosen."""

    def ledger(*words: str) -> Result:
        return CliRunner().invoke(app, ["-c", str(pair.toml("b")), "ledger", *words])

    entry = both_wrote(pair)
    listed = ledger("list").output.split("\t")
    assert listed[:5] == [entry.entry_id[:8], "a", FILES, path_text(PATH.encode()), "written at both pools"]
    shown = ledger("show", entry.entry_id[:8]).output
    assert "6 bytes of 20" in shown
    assert f"sha256 {sha256(b'ours').hexdigest()}" in shown
    assert isinstance(ledger("resolve", "--all", "--both", "--ours").exception, PoolpairError)
    assert ledger("resolve", "--all", "--both").output == "1 decided\n"
    assert ledger("list").output == ""
    assert "\tboth\t" in ledger("list", "--all").output


def test_a_file_that_moved_on_is_not_decided_blindly(pair: Pair) -> None:
    """It was written again since; forced, what stood is kept, and the entry says what that was."""
    entry = both_wrote(pair)
    write(pair, "b", b"newer")
    with pytest.raises(PoolpairError) as caught:
        resolve_ledger(pair.sites["b"], entry.entry_id, Choice.THEIRS)
    assert caught.value.code is Code.LEDGER_MOVED
    assert (pair.files("b")[PATH], only_entry(pair).state) == (b"newer", Choice.OPEN)
    resolve_ledger(pair.sites["b"], entry.entry_id, Choice.THEIRS, force=True)
    assert pair.files("b")[PATH] == b"theirs"
    ours = version_from(only_entry(pair).ours)
    assert ours is not None
    assert spooled(pair, "b")[ours.sha256] == b"newer"


def written_at_sync(monkeypatch: pytest.MonkeyPatch, pair: Pair, data: bytes) -> None:
    """While B makes durable what is to take a file's place, its application writes that file once."""
    real, spool, news = DirectoryPlacing.sync, pair.sites["b"].scratch / "spool", [data]

    def sync(self: DirectoryPlacing) -> None:
        real(self)
        if news and self.spool == spool and PATH.encode() in self.written:
            write(pair, "b", news.pop())

    monkeypatch.setattr(DirectoryPlacing, "sync", sync)


@pytest.mark.parametrize("stood", [True, False])
def test_what_the_server_writes_while_a_file_is_merged_stays(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, *, stood: bool
) -> None:
    """Writing it out takes a while: what stands there is looked at last, and then it is in the ledger, with both versions."""
    if not stood:
        delete(pair, "a")
        settle(pair)
    die(pair)
    write(pair, "a", b"theirs")
    pair.start("a")
    written_at_sync(monkeypatch, pair, b"ours")
    settle(pair)
    entry = only_entry(pair)
    theirs = version_from(entry.theirs)
    assert theirs is not None
    for pool in ("a", "b"):
        assert pair.files(pool)[PATH] == b"ours"
        assert spooled(pair, pool)[theirs.sha256] == b"theirs"
    resolve_ledger(pair.sites["b"], entry.entry_id, Choice.THEIRS, force=True)
    settle(pair)
    assert pair.files("a")[PATH] == pair.files("b")[PATH] == b"theirs"


def test_what_is_replaced_by_a_merge_is_kept(pair: Pair) -> None:
    """Whoever has it open may write to it at the very moment."""
    die(pair)
    write(pair, "a", b"theirs")
    pair.start("a")
    settle(pair)
    assert pair.files("b")[PATH] == b"theirs"
    assert spooled(pair, "b")[sha256(b"before").hexdigest()] == b"before"


@pytest.mark.parametrize("force", [False, True])
def test_what_is_written_while_it_is_decided_stays(pair: Pair, monkeypatch: pytest.MonkeyPatch, *, force: bool) -> None:
    """Nothing is decided then, forced or not."""
    entry = both_wrote(pair)
    with monkeypatch.context() as patch:
        written_at_sync(patch, pair, b"newest")
        with pytest.raises(PoolpairError) as caught:
            resolve_ledger(pair.sites["b"], entry.entry_id, Choice.THEIRS, force=force)
    assert caught.value.code is Code.LEDGER_MOVED
    assert (pair.files("b")[PATH], only_entry(pair).state) == (b"newest", Choice.OPEN)
    resolve_ledger(pair.sites["b"], entry.entry_id, Choice.THEIRS, force=True)
    assert pair.files("b")[PATH] == b"theirs"
    assert b"newest" in spooled(pair, "b").values()


def test_the_other_pool_decides_after_the_users_went_back(pair: Pair) -> None:
    """Both pools keep what is in question, so whoever serves then can let it stand."""
    both_wrote(pair)
    order(pair.sites["b"], Move.HANDOVER, "a")
    for _ in range(40):
        pair.turn(force=True)
        pair.turn()
        for site in pair.sites.values():
            advance(site)
        if pair.sites["a"].serving("a").present.epoch == 2:
            break
    settle(pair)
    assert pair.sites["a"].served() == ("a",)
    resolve_ledger(pair.sites["a"], None, Choice.THEIRS)
    settle(pair)
    assert pair.files("a")[PATH] == pair.files("b")[PATH] == b"theirs"
    assert only_entry(pair, "b").state is Choice.THEIRS


def test_a_version_that_is_not_kept_here_is_said_to_be_elsewhere(pair: Pair) -> None:
    """Nothing is decided; brought from the other pool under its digest it is found."""
    entry = both_wrote(pair)
    kept = pair.sites["b"].scratch / "spool" / sha256(b"theirs").hexdigest()
    kept.write_bytes(b"damaged")
    with pytest.raises(PoolpairError) as caught:
        resolve_ledger(pair.sites["b"], entry.entry_id, Choice.THEIRS)
    assert "pool a" in (caught.value.hint or "")
    assert (pair.files("b")[PATH], only_entry(pair).state) == (b"ours", Choice.OPEN)
    kept.write_bytes(b"theirs")
    resolve_ledger(pair.sites["b"], entry.entry_id, Choice.THEIRS)
    assert pair.files("b")[PATH] == b"theirs"


def test_the_servers_version_may_come_first(pair: Pair) -> None:
    """What the server sends before the spool was handed in sets the spooled file aside, from where it is handed in."""
    die(pair)
    write(pair, "a", b"theirs")
    write(pair, "b", b"ours")
    pair.sites["b"].memory.scanned_s = None
    run_pass(pair.sites["b"], Channel.CONFERENCES, force=True)
    pair.start("a")
    run_pass(pair.sites["a"], Channel.CONFERENCES, force=True)
    assert pair.files("a")[PATH] == b"ours"
    settle(pair)
    assert "theirs" in str(spooled(pair, "b").values())
    assert only_entry(pair).state is Choice.OPEN


def test_what_is_written_while_the_fence_rises_is_handed_in(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look before adopting cannot see it, and nothing refuses files: the look after it does."""
    die(pair)
    site = pair.start("a")
    begin = site.store.transaction
    fences = count(1)

    def begun(*, fencing: bool = False) -> AbstractContextManager[Transaction]:
        if fencing and next(fences) == 2:  # by the first, before the look, rows are refused
            write(pair, "a", b"late", f"{UPLOADS}/late.bin")
        return begin(fencing=fencing)

    monkeypatch.setattr(site.store, "transaction", begun)
    adopt(site, pair.sites["b"].reigns())
    monkeypatch.undo()
    settle(pair)
    assert pair.files("b")[f"{UPLOADS}/late.bin"] == b"late"


def test_a_tree_that_cannot_be_read_keeps_no_pool_from_fencing_itself(pair: Pair) -> None:
    """Rows are refused within the pass that hears of the takeover; files are handed in when the tree is back."""
    die(pair)
    write(pair, "a", b"before the fence", f"{UPLOADS}/new.bin")
    site = pair.start("a")
    assert site.tree is not None
    pair.sites["a"] = replace(site, tree=DirectoryTree(pair.folder / "nowhere", site.scratch / "spool"))
    pair.settle()
    assert pair.sites["a"].serving("a").present.epoch == 0
    with pair.sql("a") as connection, pytest.raises(sqlite3.IntegrityError, match="poolpair"):
        connection.execute("UPDATE prosody SET value = 'beside the new server' WHERE host = 'a.example'")
    pair.sites["a"] = site
    settle(pair)
    assert site.serving("a").present.epoch == 1
    assert pair.files("b")[f"{UPLOADS}/new.bin"] == b"before the fence"


def test_a_spooled_file_that_is_nowhere_is_named(pair: Pair) -> None:
    """Somebody deleted it at the fenced pool before it could be handed in: the ledger says so."""
    die(pair)
    write(pair, "a", b"theirs", f"{UPLOADS}/new.bin")
    pair.start("a")
    adopt(pair.sites["a"], pair.sites["b"].reigns())
    assert pair.sites["a"].serving("a").present.epoch == 1
    delete(pair, "a", f"{UPLOADS}/new.bin")
    settle(pair)
    entry = only_entry(pair)
    assert "not found there any more" in entry.why
    assert version_from(entry.theirs) is not None
    with pytest.raises(PoolpairError) as caught:
        resolve_ledger(pair.sites["b"], entry.entry_id, Choice.THEIRS)
    assert caught.value.code is Code.TREE


def test_an_emptied_tree_empties_nothing(pair: Pair) -> None:
    """The returned pool's disk is not mounted, which looks like many deletions: they go to the ledger, and no file goes away."""
    die(pair)
    before = pair.files("b")
    for path in pair.files("a"):
        delete(pair, "a", path)
    pair.start("a")
    settle(pair)
    assert pair.files("b") == pair.files("a") == before
    entries = [entry for entry in pair.sites["b"].store.ledger() if entry.table == FILES]
    assert len(entries) == sum(path.startswith("share%2ea") for path in before) > 1


def test_a_second_takeover_takes_the_spool_back(pair: Pair) -> None:
    """Before its spool arrived the returned pool serves again: what it had and what came meanwhile are both kept."""
    die(pair)
    write(pair, "a", b"mine", f"{UPLOADS}/mine.bin")
    write(pair, "a", b"spooled")
    write(pair, "b", b"came")
    pair.sites["b"].memory.scanned_s = None
    run_pass(pair.sites["b"], Channel.CONFERENCES, force=True)
    site = pair.start("a")
    for channel in site.channels:
        run_pass(site, channel, force=True)
    pair.stop("b")
    for path in pair.share("b").glob("*/Data/*/backup-*"):
        path.unlink()
    order(site, Move.TAKEOVER, "a", accept_incomplete=True)
    while advance(site):
        pass
    entry = only_entry(pair, "a")
    assert (path_of(entry), pair.files("a")[PATH]) == (PATH.encode(), b"came")
    resolve_ledger(site, entry.entry_id, Choice.THEIRS)
    pair.start("b")
    settle(pair)
    for pool in ("a", "b"):
        assert (pair.files(pool)[PATH], pair.files(pool)[f"{UPLOADS}/mine.bin"]) == (b"spooled", b"mine")

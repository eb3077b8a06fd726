"""What a dead pool had delivered and cannot be applied any more: files of it, and packages that nobody can read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poolpair.cli.main import app
from poolpair.cycle import run_pass
from poolpair.decisions import resolve_ledger
from poolpair.format.layout import data_dir
from poolpair.model import Channel
from poolpair.moves import Move
from poolpair.pipeline.capture import scan
from poolpair.serving.plan import advance, order
from poolpair.serving.price import price
from poolpair.store.ledger_files import FILES
from poolpair.store.values import Choice, LedgerEntry
from tests.home_moves import make_pair as make_memory_pair
from tests.home_moves import send, take_in, take_over
from tests.home_moves import write as write_row
from tests.memory_pair import USERS
from tests.pair import Pair, make_pair

PATH = "share%2ea%2eexample/http_file_share/report.bin"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A died after two deliveries of files, of which the first was lost; B took over."""
    made = make_pair(tmp_path)
    for pool in ("a", "b"):
        made.start(pool)
    _settle(made)
    _write(made, "lost.bin", b"in the package that was lost")
    _deliver(made)
    for package in _packages(made):
        package.unlink()
    _write(made, "report.bin", b"theirs")
    _deliver(made)
    assert len(_packages(made)) == 1
    made.stop("a")
    order(made.sites["b"], Move.TAKEOVER, "a")
    while advance(made.sites["b"]):
        pass
    run_pass(made.sites["b"], Channel.CONFERENCES)
    return made


def _write(pair: Pair, name: str, data: bytes) -> None:
    path = (pair.folder / "data-a" / PATH).with_name(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _deliver(pair: Pair) -> None:
    site = pair.sites["a"]
    assert site.tree is not None
    scan(site, site.tree, rescan=True)
    run_pass(site, Channel.CONFERENCES, force=True)


def _packages(pair: Pair) -> list[Path]:
    return list((pair.folder / "share-b" / data_dir(Channel.CONFERENCES)).glob("backup-*"))


def _settle(pair: Pair) -> None:
    for _ in range(8):
        for site in pair.sites.values():
            site.memory.scanned_s = None
        pair.settle()
        if not any([advance(site) for site in pair.sites.values()]):
            return


def _entry(pair: Pair, pool: str) -> LedgerEntry:
    (entry,) = [entry for entry in pair.sites[pool].store.ledger() if entry.table == FILES]
    return entry


def test_a_file_that_stood_can_be_put_where_it_was_to_go(pair: Pair) -> None:
    """Its pool is gone for good: what the package held lies beside the tree, and is put in place."""
    assert _entry(pair, "b").state is Choice.STANDING
    assert PATH not in pair.files("b")
    words = ["-c", str(pair.toml("b")), "ledger", "resolve", "--standing", "--theirs"]
    assert CliRunner().invoke(app, words).output == "1 decided\n"
    assert pair.files("b")[PATH] == b"theirs"


def test_a_file_that_stood_is_off_the_list_when_its_pool_hands_it_in(pair: Pair) -> None:
    """It is merged, and so is the one whose package was lost."""
    pair.start("a")
    _settle(pair)
    for pool in ("a", "b"):
        assert _entry(pair, pool).state is Choice.RETURNED
        assert pair.files(pool)[PATH] == b"theirs"
        assert pair.files(pool)[PATH.replace("report", "lost")] == b"in the package that was lost"


def test_a_file_that_was_decided_before_its_pool_returned_is_not_merged_over(pair: Pair) -> None:
    """Somebody said that it is not to be there: what comes in later is asked about."""
    resolve_ledger(pair.sites["b"], None, Choice.OURS, state=Choice.STANDING)
    pair.start("a")
    _settle(pair)
    assert PATH not in pair.files("b")
    states = [entry.state for entry in pair.sites["b"].store.ledger() if entry.table == FILES]
    assert states == [Choice.OURS, Choice.OPEN]


def test_the_price_names_what_nobody_can_read(tmp_path: Path) -> None:
    """One package stands damaged, another was turned away before: neither will be in the ledger."""
    pair = make_memory_pair(tmp_path)
    folder = pair.shares["b"].tree[data_dir(USERS)]
    names: list[str] = []
    for number in (1, 2):
        write_row(pair, "a", number)
        send(pair, "a")
        (name,) = folder.keys() - set(names)
        folder[name] = replace(folder[name], data=folder[name].data[:200] + bytes(99))
        names.append(name)
        if number == 1:
            take_in(pair, "b")
    pair.crash("a")
    told = "\n".join(price(pair.sites["b"], Move.TAKEOVER, "a"))
    assert f"{names[1]} cannot be read" in told
    assert "in Quarantine, neither applied nor in the ledger" in told
    assert names[0] in told
    take_over(pair, "b")
    take_in(pair, "b")
    assert pair.sites["b"].store.ledger() == ()

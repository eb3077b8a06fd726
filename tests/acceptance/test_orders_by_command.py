"""Orders given by command are in the same audit as those over HTTP: who, from where, when, what, and how it ended."""

from __future__ import annotations

import getpass
import json
import os
import socket
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner, Result

from poolpair.audit import KEPT, ROUTINE_KEPT, audited, entries
from poolpair.cli.main import app
from poolpair.cli.ordering import account_here, who
from poolpair.config import load_config
from poolpair.errors import Code, PoolpairError
from poolpair.keyfile import new_key_file
from poolpair.lab.pool import Pool
from poolpair.wiring import open_site
from tests.unit.unprivileged import as_nobody


@dataclass(frozen=True)
class Prepared:
    """A pool without a service, for which commands are given in this process."""

    pool: Pool

    def give(self, *words: str) -> Result:
        """One command."""
        return CliRunner().invoke(app, ["-c", str(self.pool.toml), *words])

    def told(self) -> list[dict[str, str]]:
        """What `audit --json` prints, the last order first."""
        return [json.loads(line) for line in self.give("audit", "--json").output.splitlines()]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """After `init`."""
    made = Prepared(Pool("a", "b", tmp_path_factory.mktemp("pair")))
    new_key_file(made.pool.folder / "pair.key")
    made.pool.prepare()
    assert made.give("init").exit_code == 0
    return made


def test_an_order_by_command_names_account_terminal_and_machine(
    pool: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done, what was refused and why, and who stood behind the account, as far as anybody knows."""
    monkeypatch.setenv("SUDO_USER", "ann")
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50000 192.0.2.1 22")
    assert pool.give("pause", "--reason", "the line is needed", "users").exit_code == 0
    monkeypatch.setenv("SUDO_USER", "a\nb")
    assert isinstance(pool.give("parked", "drop", "99", "--yes").exception, PoolpairError)
    refused, paused = pool.told()[:2]
    assert paused["what"] == "pause users: the line is needed"
    assert paused["outcome"] == "done"
    assert paused["who"] == f"{getpass.getuser()} (for ann)"
    assert paused["whence"].endswith(f" at {socket.gethostname()}, by SSH from 192.0.2.7")
    assert refused["what"] == "parked drop 99"
    assert refused["outcome"].startswith("refused: P105: no parked group")
    assert refused["who"].isprintable()


def test_what_only_looks_is_no_order(pool: Prepared) -> None:
    """A look at things enters nothing, and a move that was only priced or not confirmed changes nothing."""
    before = pool.told()
    for words in (("status",), ("failover", "a", "--what-if"), ("ledger", "list"), ("audit",)):
        pool.give(*words)
    assert pool.told() == before


def test_an_order_that_is_refused_is_told_as_well(pool: Prepared) -> None:
    """A decision on an entry that is not there."""
    assert pool.give("ledger", "resolve", "01234567", "--ours").exit_code
    assert pool.told()[0]["outcome"].startswith("refused: P105")


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 201])
@pytest.mark.parametrize("words", [("fence", "off", "--yes"), ("gate", "open", "--yes")])
def test_who_lets_the_application_write_says_why(pool: Prepared, words: tuple[str, ...], reason: str) -> None:
    """In one line that `status` can show; nothing is done or entered before."""
    before = pool.told()
    refused = pool.give(*words, "--reason", reason).exception
    assert isinstance(refused, PoolpairError)
    assert refused.code is Code.USAGE
    assert refused.exit_status == 64
    assert "--reason" in refused.detail
    assert pool.told() == before


@pytest.mark.parametrize("seconds", ["nan", "-1", "inf"])
def test_no_command_waits_for_ever(pool: Prepared, seconds: str) -> None:
    """What is no time to wait is refused before anything is ordered."""
    refused = pool.give("failback", "a", "--timeout", seconds).exception
    assert isinstance(refused, PoolpairError)
    assert refused.code is Code.USAGE
    assert f"--timeout {float(seconds)}" in refused.detail


def test_what_a_timer_orders_does_not_push_out_what_a_person_did(pool: Prepared) -> None:
    """Cycles and comparisons are kept by themselves, and both lists are bounded."""
    site = open_site(load_config(pool.pool.toml))
    try:
        with audited(site, "ann", "here", "failover a --disaster"):
            pass
        for number in range(ROUTINE_KEPT + 20):
            with audited(site, "cron", "here", "sync" if number % 2 else "verify"):
                pass
        found = entries(site)
        assert "failover a --disaster" in {entry.what for entry in found}
        assert sum(entry.who == "cron" for entry in found) == ROUTINE_KEPT
        assert len(found) <= KEPT
        assert list(found) == sorted(found, key=lambda entry: entry.at_utc, reverse=True)
    finally:
        site.store.close()


def test_who_is_the_kernels_word_first() -> None:
    """The account is that of the process, whatever the environment calls it."""
    assert who().startswith("root" if os.geteuid() == 0 else getpass.getuser())


def test_an_account_without_a_name_is_its_number() -> None:
    """As in a container that was given one: nothing of the environment is asked for another."""
    assert as_nobody(account_here, uid=4242) == "uid 4242"


def test_the_fence_and_the_gate_need_no_key(pool: Prepared) -> None:
    """The key file is lost: what keeps the application from writing is taken away and put back all the same; nothing else goes on."""
    key = pool.pool.folder / "pair.key"
    gone = key.rename(key.with_suffix(".gone"))
    try:
        with pool.pool.toml.open("a") as file:
            file.write("[gate]\nat_start = true\n")
        for words in (
            ("fence", "off", "--reason", "the key is lost", "--yes"),
            ("fence", "on"),
            ("gate", "close"),
            ("gate", "open", "--reason", "b is gone", "--yes"),
        ):
            assert pool.give(*words).exit_code == 0, words
        refused = pool.give("status").exception
        assert isinstance(refused, PoolpairError)
        assert refused.code is Code.KEY_FILE
    finally:
        gone.rename(key)

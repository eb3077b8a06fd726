"""Two sites that share no secret yet become a pair with two commands, and one file that is carried once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poolpair.cli.main import app
from poolpair.errors import Code, PoolpairError
from poolpair.lab.compare import compare
from poolpair.lab.pool import PROGRAM, Pool
from poolpair.lab.steps import wait_final
from poolpair.share.directory import DirectoryPartnerShare

WORDS = re.compile(r"[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}")


@pytest.fixture
def pools(tmp_path: Path) -> Iterator[tuple[Pool, Pool]]:
    """Both sites with their pool files, each of which names a key file of its own that is not there."""
    made = Pool("a", "b", tmp_path), Pool("b", "a", tmp_path)
    try:
        for pool in made:
            pool.prepare()
            pool.toml.write_text(pool.toml.read_text().replace("pair.key", f"{pool.name}.key"))
        yield made
    finally:
        for pool in made:
            pool.stop()


def test_one_side_invites_and_the_other_joins(pools: tuple[Pool, Pool], tmp_path: Path) -> None:
    """The inviting command waits until the other side has joined; both show the same words, and the first copy comes to its end."""
    a, b = pools
    carried = tmp_path / "b.invite"
    early = a.run("pair", "invite", str(carried), "--no-wait")
    assert early.exit_status == 1
    assert "has not joined yet" in early.talk
    command = [*PROGRAM, "-c", str(a.toml), "pair", "invite", str(carried)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as inviting:
        joined = b.must("pair", "join", str(carried))
        _, said = inviting.communicate(timeout=60)
    assert inviting.returncode == 0, said
    assert WORDS.findall(said) == WORDS.findall(joined.talk) != []
    assert not carried.exists()
    assert not list(a.share.rglob("cookie*"))
    assert (tmp_path / "a.key").read_bytes() == (tmp_path / "b.key").read_bytes()
    for pool in pools:
        pool.must("init")
    for pool in pools:
        pool.start()
    wait_final(a, b)
    assert compare(a, b).equal


def test_a_side_that_cannot_answer_joins_nothing(pools: tuple[Pool, Pool], tmp_path: Path) -> None:
    """The partner's share is not there: no key file is left behind, and the command works when it is."""
    a, b = pools
    carried = tmp_path / "b.invite"
    assert a.run("pair", "invite", str(carried), "--no-wait").exit_status == 1
    away = a.share.rename(tmp_path / "away")
    answer = b.run("pair", "join", str(carried))
    assert answer.exit_status == 2
    assert "P211" in answer.talk
    assert not (tmp_path / "b.key").exists()
    away.rename(a.share)
    b.must("pair", "join", str(carried))
    a.must("pair", "invite", str(carried))
    again = a.run("pair", "invite", str(carried))
    assert again.exit_status == 64
    assert "this pool is paired" in again.talk


def test_an_answer_that_arrived_unsaid_is_given_once_more(
    pools: tuple[Pool, Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line was cut when the answer lay there: the other side has the key, and the command given again makes no other one."""
    a, b = pools
    carried = tmp_path / "b.invite"
    assert a.run("pair", "invite", str(carried), "--no-wait").exit_status == 1
    replace = DirectoryPartnerShare.replace

    def cut(share: DirectoryPartnerShare, folder: str, name: str, data: bytes, temp_name: str) -> None:
        replace(share, folder, name, data, temp_name)
        raise PoolpairError(Code.SHARE_FAILED, "the line was cut")

    with monkeypatch.context() as line:
        line.setattr(DirectoryPartnerShare, "replace", cut)
        assert CliRunner().invoke(app, ["-c", str(b.toml), "pair", "join", str(carried)]).exit_code != 0
    kept = carried.read_bytes()
    a.must("pair", "invite", str(carried))
    assert not (tmp_path / "b.key").exists()
    carried.write_bytes(kept)
    carried.chmod(0o600)
    b.must("pair", "join", str(carried))
    assert (tmp_path / "a.key").read_bytes() == (tmp_path / "b.key").read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*.key*")) == ["a.key", "b.key"]

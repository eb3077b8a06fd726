"""The store's side of replication on a real store: each publication has a serial of its own, and an update that is late undoes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from poolpair.cli.main import app
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import REPLICA_NAME, replica_folders
from poolpair.keyfile import KeyFile, activate_key, new_key_file, read_key_file, rotate_key_file
from poolpair.management.documents import Documents, Draft
from poolpair.management.effective import load_effective
from poolpair.management.holding import documents_of, management_of, prepare_management
from poolpair.management.local import keep_words, read_local
from poolpair.management.members import key_document, new_membership, ring_of
from poolpair.management.replica import Replica, Report
from poolpair.management.replicate import REPLICATION, Replication, Replicator, is_caught_up, send_again, states
from poolpair.management.taking import ReplicaTaker
from poolpair.management.words import PoolWord
from poolpair.pipeline.site import Site
from poolpair.share.memory import MemoryShare
from poolpair.wiring import working_site
from tests.management.deployment import Plain, topology


@dataclass
class Store:
    """A management store at work, and one server of its deployment."""

    site: Site
    there: Documents
    share: MemoryShare
    folder: Path
    replicator: Replicator
    server: ReplicaTaker

    def publish(self, name: str, body: str) -> None:
        """One document, onto its newest version."""
        onto = next((each.version for each in self.there.newest() if each.name == name), 0)
        self.there.publish([Draft(name=name, body=body, onto=onto)], author="me", note="", now_utc="2026-01-01")

    def go(self) -> Replica:
        """The store writes, the server takes and answers, the store hears; gives what the server has."""
        for _ in range(2):
            self.replicator.round()
            self.server.look()
        self.replicator.round()
        found = read_local(self.folder)
        assert found is not None
        return found

    @property
    def lies_there(self) -> bytes:
        """The update that was written last."""
        data = self.share.read_small(f"{replica_folders('fe-a')[0]}/{REPLICA_NAME}", 1 << 20)
        assert data is not None
        return data


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Of pools a and b, the topology published."""
    new_key_file(tmp_path / "ab.key")
    pool = Plain("a", "b", tmp_path)
    pool.more = '[cms]\nhome = "a"\n'
    pool.prepare()
    config = load_effective(pool.toml)
    prepare_management(config)
    share, keys, folder = MemoryShare(), KeyFile(tmp_path / "ab.key"), tmp_path / "replica"
    with working_site(management_of(config)) as site, closing(documents_of(config)) as there:
        server = ReplicaTaker(
            Report(pool="a", front_end="fe-a"), share, folder, keys, lambda _: None, lambda: None, site.clock
        )
        made = Store(site, there, share, folder, Replicator(site, there, "a", lambda _: share), server)
        share.prepare([*replica_folders("fe-a"), *replica_folders("fe-b")])
        made.publish("topology", topology(tmp_path, "ab"))
        yield made


def test_each_publication_has_a_serial_of_its_own(store: Store) -> None:
    """So the server, the store and people tell one state of all documents from another."""
    first = store.go()
    assert [each.name for each in first.documents] == ["topology"]
    store.publish("backup", "[sync]\ninterval = '30s'\n")
    second = store.go()
    assert second.marks == (first.term, first.serial + 1)
    assert {each.front_end: each.up_to_date for each in states(store.site)} == {"fe-a": True, "fe-b": False}
    assert store.go() == second
    assert [each.serial for each in states(store.site) if each.front_end == "fe-a"] == [second.serial]


def test_a_server_that_is_silent_is_not_told_to_be_up_to_date(store: Store) -> None:
    """What it had when it was heard last says nothing of now."""
    store.go()
    (state,) = (each for each in states(store.site) if each.front_end == "fe-a")
    heard = datetime.fromisoformat(state.heard_utc)
    assert not state.is_silent((heard + timedelta(seconds=149)).isoformat())
    assert state.is_silent((heard + timedelta(seconds=151)).isoformat())


def test_an_order_to_send_everything_is_over_when_each_server_has_answered_it(store: Store) -> None:
    """One that stands still had everything before; whether it has it now nobody knows."""
    keys = KeyFile(store.folder.parent / "ab.key")
    report = Report(pool="b", front_end="fe-b")
    other = ReplicaTaker(report, store.share, store.folder / "b", keys, lambda _: None, lambda: None, store.site.clock)
    other.look()
    store.go()
    other.look()
    store.replicator.round()

    def caught_up() -> bool:
        return is_caught_up(store.site, store.there.newest())

    assert caught_up()
    send_again(store.site)
    store.replicator.round()
    assert not caught_up()
    store.server.look()
    store.replicator.round()
    assert not caught_up()
    other.look()
    store.replicator.round()
    assert caught_up()


def test_a_late_update_undoes_nothing(store: Store) -> None:
    """Brought again by whoever owns the share, or by a line that was slow: what is older than what the server has is not taken."""
    store.publish("backup", "[sync]\ninterval = '30s'\n")
    store.go()
    late = store.lies_there
    store.publish("backup", "[sync]\ninterval = '60s'\n")
    newest = store.go()
    store.share.write_small(f"{replica_folders('fe-a')[0]}/{REPLICA_NAME}", late)
    store.server.look()
    assert read_local(store.folder) == newest


def give(store: Store, *words: str) -> Result:
    """A command at pool a."""
    return CliRunner().invoke(app, ["-c", str(store.folder.parent / "a.toml"), *words])


def refused(result: Result) -> PoolpairError:
    """What a command that was refused says."""
    assert isinstance(result.exception, PoolpairError), result.output
    return result.exception


def test_a_store_that_was_set_back_and_counts_all_the_same_is_taken_again(store: Store) -> None:
    """Its servers know a newer serial: they are refused and named until `cms replicate --full` says that what is here counts."""
    for interval in ("30s", "60s", "90s"):
        store.publish("backup", f"[sync]\ninterval = '{interval}'\n")
        newest = store.go()
    with store.site.store.transaction() as tx:
        known = tx.load(Replication, REPLICATION)
        assert known is not None
        tx.save(REPLICATION, replace(known, serial=newest.serial - 2, digest="of an older state"))
    assert store.go().marks == newest.marks
    (state,) = (each for each in states(store.site) if each.front_end == "fe-a")
    assert state.fault is not None
    assert state.fault.code is Code.STORE_SET_BACK
    send_again(store.site)
    assert store.go().marks == (newest.term, newest.serial + 1)
    assert {each.front_end: (each.up_to_date, each.fault) for each in states(store.site)}["fe-a"] == (True, None)


def test_a_key_that_is_retired_cuts_no_pool_off(store: Store) -> None:
    """What is sealed for the pair is sealed anew with the secret that seals now; until it is the old one is not given up."""
    path = store.folder.parent / "ab.key"
    made, body = new_membership("c", read_key_file(path))
    store.publish(key_document("c"), body)
    store.go()
    rotate_key_file(path)
    activate_key(path)
    late = refused(give(store, "key", "rotate", "--retire", str(path)))
    assert late.code is Code.USAGE
    assert "key/c" in late.detail
    assert len(read_key_file(path).secrets) == 2
    before = store.go().marks
    assert give(store, "key", "rotate", "--retire", str(path)).exit_code == 0
    ring = read_key_file(path)
    assert len(ring.secrets) == 1
    assert ring_of("c", ("a", "b"), ring, store.there.newest()).sealing == made.ring().sealing
    versions = [each.version for each in store.there.versions(key_document("c"))]
    assert store.go().marks == before
    assert [each.version for each in store.there.versions(key_document("c"))] == versions == [2, 1]


@pytest.mark.parametrize("editor", [" ", "vi 'unbalanced"])
def test_what_is_no_editor_is_said(store: Store, editor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is run or published."""
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor)
    said = refused(give(store, "topology", "edit"))
    assert said.code is Code.USAGE
    assert "EDITOR" in said.detail
    assert [each.version for each in store.there.newest()] == [1]


def test_how_other_pools_stand_is_told_beside_the_store_too(store: Store) -> None:
    """Their words lie with the pool, wherever one looks from; as JSON there is this pair alone, and that is said."""
    scratch = Plain("a", "b", store.folder.parent).scratch
    keep_words(scratch, (PoolWord(pool="z", partner="y", exit_status=0),), store.site.clock)
    assert "pool z (status 0)" in give(store, "--cms", "status", "--all").output
    assert refused(give(store, "--cms", "status", "--all", "--json")).code is Code.USAGE
    never = refused(give(store, "cms", "replicate", "--timeout", "nan"))
    assert "--timeout nan" in never.detail

"""The documents in their database, of either kind: versions, two who change the same one, and where the other pool holds the store."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from poolpair.config import load_config
from poolpair.errors import Code, PoolpairError
from poolpair.keyfile import new_key_file, read_key_file
from poolpair.lab.pool import wait_for
from poolpair.management.documents import BODY_MAX_BYTES, VERSIONS_KEPT, Document, Documents, Draft
from poolpair.management.effective import check_usable
from poolpair.management.holding import documents_of, management_of, prepare_management
from poolpair.management.members import new_membership
from poolpair.management.publish import check_document
from poolpair.management.replica import Replica
from poolpair.management.sql import open_documents
from tests.cluster import Cluster

MakeStore = Callable[[str], tuple[Path, Documents]]


def pool_file(folder: Path, pool: str, store: str) -> Path:
    """Of a pool whose pair holds the store, which pool a made."""
    partner = "b" if pool == "a" else "a"
    for name in (pool, partner):
        (folder / f"share-{name}").mkdir(exist_ok=True)
    if not (folder / "pair.key").exists():
        new_key_file(folder / "pair.key")
    path = folder / f"{pool}.toml"
    path.write_text(
        f'pool = "{pool}"\nstore = "{store}"\nprofile = "prosody"\nshare = "{folder}/share-{pool}"\nscratch = "{folder}/scratch-{pool}"\n'
        f'[partner]\npool = "{partner}"\nshare = "{folder}/share-{partner}"\nkey_file = "{folder}/pair.key"\n'
        '[homes]\n"*" = "a"\n[cms]\nhome = "a"\n'
    )
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeStore]:
    """Prepares the management store of a pool, and opens its documents."""
    opened: list[Documents] = []
    cluster: Cluster | None = request.getfixturevalue("cluster") if request.param == "postgresql" else None

    def make(pool: str) -> tuple[Path, Documents]:
        url = f"sqlite:///{tmp_path}/{pool}.sqlite"
        if cluster is not None:
            cluster.create(f"{tmp_path.name}{pool}_cms")
            url = cluster.url(f"{tmp_path.name}{pool}")
        path = pool_file(tmp_path, pool, url)
        prepare_management(load_config(path))
        opened.append(documents_of(load_config(path)))
        return path, opened[-1]

    yield make
    for each in opened:
        each.close()


def publish(there: Documents, name: str, body: str, onto: int) -> int:
    """Publish one; gives its version."""
    return there.publish([Draft(name=name, body=body, onto=onto)], author="me", note="why", now_utc="2026-01-01")[
        0
    ].version


def test_versions_are_kept_and_the_newest_counts(make_store: MakeStore) -> None:
    """Each is published onto the one before, with who and why; of very many the oldest go."""
    _, there = make_store("a")
    for number in range(VERSIONS_KEPT + 5):
        assert publish(there, "backup", f"[sync]\nwindow = {number + 1}\n", number) == number + 1
    assert publish(there, "backup/b", "", 0) == 1
    newest = there.newest()
    assert [(each.name, each.version) for each in newest] == [("backup", VERSIONS_KEPT + 5), ("backup/b", 1)]
    assert (newest[0].author, newest[0].note) == ("me", "why")
    kept = there.versions("backup")
    assert [each.version for each in kept] == list(range(VERSIONS_KEPT + 5, 5, -1))


@pytest.mark.parametrize(
    ("name", "body", "onto", "code"),
    [
        ("backup", "x", 0, Code.OUTDATED),
        ("backup", "x", 2, Code.OUTDATED),
        ("new", "x", 1, Code.OUTDATED),
        ("../x", "x", 0, Code.USAGE),
        ("Backup", "x", 0, Code.USAGE),
        ("a/b/c", "x", 0, Code.USAGE),
        ("file/x", "\0", 0, Code.USAGE),
        ("backup", "x" * (BODY_MAX_BYTES + 1), 1, Code.TOO_MUCH),
    ],
)
def test_what_cannot_be_published_changes_nothing(
    name: str, body: str, onto: int, code: Code, make_store: MakeStore
) -> None:
    """One that was made from an older version, a name that is none, one that is too large: of several none is published."""
    _, there = make_store("a")
    publish(there, "backup", "one", 0)
    with pytest.raises(PoolpairError) as caught:
        there.publish(
            [Draft(name="fine", body="y", onto=0), Draft(name=name, body=body, onto=onto)],
            author="",
            note="",
            now_utc="",
        )
    assert caught.value.code is code
    assert [(each.name, each.body) for each in there.newest()] == [("backup", "one")]


def test_of_two_at_the_same_time_one_is_told(make_store: MakeStore) -> None:
    """Nobody undoes unseen what another has published meanwhile."""
    path, there = make_store("a")
    with closing(documents_of(load_config(path))) as other:
        assert publish(other, "topology", "theirs", 0) == 1
        with pytest.raises(PoolpairError) as caught:
            publish(there, "topology", "mine", 0)
    assert caught.value.code is Code.OUTDATED
    assert "by me at 2026-01-01" in caught.value.detail
    assert [each.body for each in there.newest()] == ["theirs"]


def test_of_two_at_the_same_moment_one_is_told(cluster: Cluster, tmp_path: Path) -> None:
    """On PostgreSQL the second waits for the first, whose row it had not seen: it is told by whom, not that a disk might be broken."""
    cluster.create(f"{tmp_path.name}m_cms")
    config = load_config(pool_file(tmp_path, "a", cluster.url(f"{tmp_path.name}m")))
    prepare_management(config)
    with closing(documents_of(config)) as there, psycopg.connect(management_of(config).store) as other:
        other.execute("INSERT INTO document VALUES ('topology', 1, 'theirs', 'me', 'why', '2026-01-01')")
        with ThreadPoolExecutor() as pool:
            mine = pool.submit(publish, there, "topology", "mine", 0)
            wait_for("it waiting for the other", lambda: _is_waiting(management_of(config).store), 30.0)
            other.commit()
            with pytest.raises(PoolpairError) as caught:
                mine.result()
        assert caught.value.code is Code.OUTDATED
        assert "by me at 2026-01-01" in caught.value.detail
        assert [each.body for each in there.newest()] == ["theirs"]


def test_a_pair_is_given_no_profile_that_is_nowhere(tmp_path: Path) -> None:
    """One that is neither shipped nor published would end both services of that pair."""
    config = load_config(pool_file(tmp_path, "a", f"sqlite:///{tmp_path}/a.sqlite"))
    prepare_management(config)
    check_document(config, "pair/c+d", 'profile = "prosody"\n')
    for wrong in ("prosdy", "own", "/etc/own.toml"):
        with pytest.raises(PoolpairError) as caught:
            check_document(config, "pair/c+d", f'profile = "{wrong}"\n')
        assert caught.value.code is Code.TOPOLOGY
    with closing(documents_of(config)) as there:
        publish(there, "profile/own", '[[tables]]\nname = "note"\nkey = ["id"]\nhome = "shared"\n', 0)
    check_document(config, "pair/c+d", 'profile = "own"\n')


def test_what_a_replica_says_is_tried_with_the_pool_file(tmp_path: Path) -> None:
    """Before it counts: a profile that is not there, a setting that this release does not know, a pattern that is none."""
    path = pool_file(tmp_path, "a", f"sqlite:///{tmp_path}/a.sqlite")

    def said(name: str, body: str) -> Replica:
        return Replica(term=0, serial=1, documents=(Document(name=name, version=1, body=body),))

    check_usable(path, said("backup", "[sync]\nwindow = 4\n"))
    for name, body in (
        ("pair/a+b", 'profile = "prosdy"\n'),
        ("pair/a+b", '[homes]\n"**" = "a"\n'),
        ("backup", "[sync]\nwindough = 4\n"),
        ("backup/a", "[sync]\ninterval = '1s'\n"),
    ):
        with pytest.raises(PoolpairError):
            check_usable(path, said(name, body))


def _is_waiting(url: str) -> bool:
    with psycopg.connect(url) as asking:
        row = asking.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    return bool(row and row[0])


def test_the_key_of_a_pool_is_not_replaced_by_what_is_none(tmp_path: Path) -> None:
    """It would cut that pool off; a key that was made for it may be brought back, by version."""
    config = load_config(pool_file(tmp_path, "a", f"sqlite:///{tmp_path}/a.sqlite"))
    ring = read_key_file(config.partner.key_file)
    _, body = new_membership("c", ring)
    check_document(config, "key/c", body)
    for name, wrong in (("key/c", "junk"), ("key/d", body), ("key/b", body)):
        with pytest.raises(PoolpairError) as caught:
            check_document(config, name, wrong)
        assert caught.value.code in {Code.KEY_FILE, Code.USAGE}


def test_where_it_is_not_held_the_database_itself_refuses(make_store: MakeStore) -> None:
    """The fence of pool b's copy refuses whoever writes, and nothing is changed."""
    _, there = make_store("b")
    with pytest.raises(PoolpairError) as caught:
        publish(there, "topology", "mine", 0)
    assert caught.value.code is Code.NOT_MASTER
    assert there.newest() == ()


def test_a_pair_without_a_store_says_so(tmp_path: Path) -> None:
    """No [cms], no store; and a file that was never prepared is not made by looking."""
    path = pool_file(tmp_path, "a", f"sqlite:///{tmp_path}/a.sqlite")
    with pytest.raises(PoolpairError) as caught:
        documents_of(load_config(path))
    assert caught.value.code is Code.NOT_INSTALLED
    path.write_text(path.read_text().partition("[cms]")[0])
    with pytest.raises(PoolpairError) as caught:
        management_of(load_config(path))
    assert caught.value.code is Code.USAGE


def test_its_file_is_private_and_it_may_lie_elsewhere(tmp_path: Path) -> None:
    """On SQLite it lies in the scratch folder, mode 0600, unless `store` names another place."""
    path = pool_file(tmp_path, "a", f"sqlite:///{tmp_path}/a.sqlite")
    config = load_config(path)
    prepare_management(config)
    made = tmp_path / "scratch-a" / "poolpair-a" / "cms.sqlite"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    path.write_text(path.read_text() + f'store = "sqlite:///{tmp_path}/other.sqlite"\n')
    assert management_of(load_config(path)).store == f"sqlite:///{tmp_path}/other.sqlite"
    with pytest.raises(PoolpairError) as caught:
        open_documents("postgresql://nobody@127.0.0.1:1/none")
    assert caught.value.code is Code.STORE_MISSING

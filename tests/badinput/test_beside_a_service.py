"""Commands that change the ground under a service: beside a running one they are refused, or do no harm."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.store.prepared import SETTINGS, InstalledSettings
from poolpair.store.profile_file import load_profile
from poolpair.store.sqlite import setup
from poolpair.wiring import home_triples, initialise, lock_of
from tests.badinput.ground import HOMES, Ground, said, write_toml


def ours(ground: Ground, pool: str) -> set[object]:
    """Everything of poolpair's in a database."""
    return {name for (name,) in ground.ask(pool, "SELECT name FROM sqlite_master WHERE name LIKE 'poolpair%'")}


def everything(ground: Ground, pool: str) -> tuple[object, ...]:
    """What `uninstall` would remove."""
    scratch = ground.path(pool).with_name("app.sqlite.poolpair")
    paths = [{str(path) for path in folder.rglob("*")} for folder in (ground.share(pool), scratch)]
    return ours(ground, pool), ground.ask(pool, "PRAGMA journal_mode"), paths


def test_uninstall_is_refused_while_a_service_works(ground: Ground) -> None:
    """It is P401 with the holder's name, and not one table, file or folder is gone; the pair works on."""
    before = everything(ground, "a")
    code, detail = said(ground.command("a", "uninstall", "--yes"))
    assert code is Code.LEASE
    assert "test-a since" in detail
    assert everything(ground, "a") == before
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'after', 1)")
    ground.whole()


def test_uninstall_is_refused_while_the_database_is_open_elsewhere(ground: Ground) -> None:
    """The journal mode cannot be put back then: nothing is removed; --keep-wal removes all but that."""
    ground.stop("a")
    before = everything(ground, "a")
    with closing(sqlite3.connect(ground.path("a"))) as application:
        application.execute("SELECT count(*) FROM item").fetchall()
        code, detail = said(ground.command("a", "uninstall", "--yes"))
        assert code is Code.STORE_LOCKED
        assert "nothing was removed" in detail
        assert everything(ground, "a") == before
        assert ground.command("a", "uninstall", "--yes", "--keep-wal").exit_code == 0
    assert ours(ground, "a") == set()
    assert ground.ask("a", "PRAGMA journal_mode") == [("wal",)]
    assert list(ground.share("a").iterdir()) == []


def test_no_service_can_begin_during_uninstall(ground: Ground) -> None:
    """Until the last file is gone the lock is held; afterwards the store says that it is not prepared."""
    ground.stop("a")
    config = ground.config("a")
    with setup.uninstalled(ground.path("a"), 1.0, lock_path=lock_of(config)) as removed:
        assert "poolpair_gen" in removed
        with pytest.raises(PoolpairError, match="another process") as caught:
            ground.start("a")
        assert caught.value.code is Code.LEASE
    with pytest.raises(PoolpairError) as caught:
        ground.start("a")
    assert caught.value.code is Code.NOT_INSTALLED


def test_uninstall_spares_the_share_of_another_pool(ground: Ground) -> None:
    """With the wrong `share` in the pool file nothing is removed anywhere."""
    ground.stop("a")
    write_toml(ground, "a", "b", share=f"{ground.folder}/share-b", partner_share=f"{ground.folder}/share-a")
    before = everything(ground, "a"), everything(ground, "b")
    assert said(ground.command("a", "uninstall", "--yes"))[0] is Code.SHARE_FOREIGN
    assert (everything(ground, "a"), everything(ground, "b")) == before


def test_adopt_store_is_refused_while_a_service_works(ground: Ground) -> None:
    """It is P401 with the holder's name, and the store keeps its identity."""
    before = ground.sites["a"].store.identity()
    code, detail = said(ground.command("a", "adopt-store", "--yes"))
    assert code is Code.LEASE
    assert "test-a since" in detail
    assert ground.sites["a"].store.identity() == before
    ground.whole()


def test_init_beside_a_service_changes_nothing(ground: Ground) -> None:
    """Repeated with the same settings it says so, and the service works on."""
    before = everything(ground, "a")
    result = ground.command("a", "init")
    assert "already prepared" in result.output
    assert everything(ground, "a") == before
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'after', 1)")
    ground.whole()


def other_homes(ground: Ground) -> None:
    """Another home for users that nobody has."""
    write_toml(ground, "a", "b", homes={**HOMES, "*@c": "b"})


def other_profile(ground: Ground) -> None:
    """One table less."""
    path: Path = ground.folder / "profile.toml"
    path.write_text(path.read_text().split("[[tables]]\n")[1].join(("[[tables]]\n", "")))


@pytest.mark.parametrize("change", [other_homes, other_profile])
def test_init_with_other_settings_is_refused_while_a_service_works(
    ground: Ground, change: Callable[[Ground], None]
) -> None:
    """Logs and triggers of the service's own profile stay under it; once it stopped, `init` does its work."""
    before = everything(ground, "a"), ground.sites["a"].store.read(InstalledSettings, SETTINGS)
    change(ground)
    code, detail = said(ground.command("a", "init"))
    assert code is Code.LEASE
    assert "test-a since" in detail
    assert (everything(ground, "a"), ground.sites["a"].store.read(InstalledSettings, SETTINGS)) == before
    ground.whole()
    ground.stop("a")
    assert initialise(ground.config("a")).changed


def test_a_trigger_put_back_is_followed_by_a_comparison_whatever_happens(ground: Ground) -> None:
    """Both stand in one transaction: an `init` that ends before its end put nothing back, so that the next one sees it still."""
    ground.do("a", "DROP TRIGGER poolpair_1_update", "UPDATE item SET value = 'unseen' WHERE owner = 'u@a'")
    config = ground.config("a")

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        setup.install(
            ground.path("a"),
            load_profile(config.profile),
            home_triples(config),
            ground.sites["a"].settings,
            1.0,
            lock_path=lock_of(config),
            record=dies,
        )
    assert "poolpair_1_update" not in ours(ground, "a")
    assert initialise(config).repaired == ("poolpair_1_update",)
    ground.whole()
    assert ground.ask("b", "SELECT DISTINCT value FROM item WHERE owner = 'u@a'") == [("unseen",)]

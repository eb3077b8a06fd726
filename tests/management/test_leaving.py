"""A pool that leaves: never with the deployment's documents, unless that is meant."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from poolpair.keyfile import new_key_file
from poolpair.management.documents import Draft
from poolpair.management.effective import load_effective
from poolpair.management.holding import documents_of, prepare_management
from tests.management.deployment import Plain


def test_who_holds_the_store_does_not_take_it_along(tmp_path: Path) -> None:
    """`uninstall` is refused there; without the store it goes, and the documents lie where they lay."""
    new_key_file(tmp_path / "ab.key")
    pool = Plain("a", "b", tmp_path)
    pool.more = '[cms]\nhome = "a"\n'
    pool.prepare()
    pool.must("init")
    config = load_effective(pool.toml)
    prepare_management(config)
    with closing(documents_of(config)) as there:
        there.publish([Draft(name="backup", body="", onto=0)], author="me", note="", now_utc="2026-01-01")
    refused = pool.run("uninstall", "--yes")
    assert refused.exit_status == 64
    assert "moves first" in refused.talk
    packages = pool.share / "UserServices" / "Data" / "PresenceFocusData"
    assert packages.is_dir()

    pool.must("--cms", "uninstall", "--yes")
    assert not (pool.share / "CentralMgmt").exists()
    assert packages.is_dir()
    gone = pool.run("uninstall", "--yes")
    assert gone.exit_status == 0, gone.talk
    assert not packages.exists()
    (kept,) = sorted(pool.scratch.iterdir())
    assert kept.name == "cms.sqlite"
    assert f"kept {kept}" in gone.talk

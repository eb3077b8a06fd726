"""Mass deletions and emptied folders are held at the target until somebody decides; both decisions work."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.errors import Code
from poolpair.model import Channel, ImportStatus
from poolpair.state import Outbound, Seed
from tests.badinput.ground import Ground, first_copy, make_ground, said


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Ground]:
    """A pair with 3000 groups of each pool."""
    made = first_copy(make_ground(tmp_path, rows=3000))
    yield made
    for pool in tuple(made.sites):
        made.stop(pool)


def uploads(ground: Ground, pool: str) -> Path:
    """The folder with A's files at a pool."""
    return ground.folder / f"data-{pool}" / "up" / "u@a"


def held(ground: Ground, channel: Channel, words: str) -> None:
    """B holds a package and both sides say so, with what to do."""
    found = ground.channel("b", channel)
    assert found.imports.held == 1
    assert found.imports.status is ImportStatus.DEGRADED
    assert found.imports.fault is None
    assert ground.channel("a", channel).export.partner_held == 1
    assert ground.status("a").exit_status == 1
    assert ground.status("b").exit_status == 1
    listed = ground.command("b", "held", "list").output
    assert words in listed
    assert "waits" in listed
    assert f"{channel} here: 1 held (P303); `poolpair held list`" in ground.command("b", "status").output
    assert f"{channel} at b: 1 held (P303)" in ground.command("a", "status").output


def refuse(ground: Ground, channel: Channel) -> None:
    """B's operator refuses; A stops with P306."""
    assert ground.command("b", "held", "refuse", channel.value).exit_code == 0
    ground.settle()
    assert ground.fault("a", channel).startswith("P306 the partner's operator refused package")
    assert ground.status("a").exit_status == 2
    assert "nothing is held" in said(ground.command("b", "held", "refuse", channel.value))[1]


def resume(ground: Ground) -> None:
    """A's operator says sync, and starts the service again."""
    ground.stop("a")
    assert ground.command("a", "sync").exit_code == 0
    ground.start("a")


def test_an_emptied_upload_folder_is_held(ground: Ground) -> None:
    """All of A's files gone at once is held at B, whose files stay; `held apply` carries it out."""
    shutil.rmtree(uploads(ground, "a"))
    ground.settle()
    assert len(ground.files("b")) == 6
    held(ground, Channel.CONFERENCES, "deletes 3 of 3 in the files")
    ground.still_works("b-goes-on")
    assert ground.command("b", "held", "apply", "conferences").exit_code == 0
    ground.whole()
    assert len(ground.files("b")) == 3


def test_an_emptied_upload_folder_refused_and_restored(ground: Ground) -> None:
    """B refuses the deletions, A stops with P306, its files are restored, and after `sync` all is whole without a decision."""
    backup = ground.folder / "backup"
    shutil.copytree(uploads(ground, "a"), backup)
    shutil.rmtree(uploads(ground, "a"))
    ground.settle()
    refuse(ground, Channel.CONFERENCES)
    ground.still_works("b-goes-on")
    shutil.copytree(backup, uploads(ground, "a"))
    resume(ground)
    ground.whole()
    assert len(ground.files("b")) == 6
    assert ground.channel("b", Channel.CONFERENCES).imports.held == 0


def test_a_refused_package_sent_again_is_held_again(ground: Ground) -> None:
    """If nothing was restored, `sync` sends the deletions again and B asks again."""
    shutil.rmtree(uploads(ground, "a"))
    ground.settle()
    refuse(ground, Channel.CONFERENCES)
    resume(ground)
    ground.settle()
    held(ground, Channel.CONFERENCES, "deletes 3 of 3 in the files")
    assert ground.command("b", "held", "apply", "conferences").exit_code == 0
    ground.whole()


def test_a_missing_tree_sends_no_deletion(ground: Ground) -> None:
    """With A's whole data folder of files away, A says P222 and sends nothing; back again, it goes on."""
    ground.stop("a")
    toml = ground.toml("a")
    text = toml.read_text()
    tree = ground.folder / "tree"
    tree.mkdir()
    shutil.move(uploads(ground, "a").parent, tree / "up")
    toml.write_text(text.replace(f'files = "{ground.folder}/data-a"', f'files = "{tree}"'))
    ground.start("a")
    ground.settle()
    tree.rename(ground.folder / "away")
    ground.do("b", "INSERT INTO item VALUES ('u@b', 'meanwhile', 1)")
    ground.settle()
    fault = ground.fault("a", Channel.CONFERENCES)
    assert fault.startswith("P222")
    assert str(tree) in fault
    assert "No such file or directory" in fault
    assert not ground.fault("a", Channel.USERS)
    assert ground.status("a").exit_status == 2
    assert len(ground.files("b")) == 6
    (ground.folder / "away").rename(tree)
    ground.settle()
    assert not ground.fault("a", Channel.CONFERENCES)
    assert len(ground.files("b")) == 6
    assert ground.status("b").exit_status == 0


def test_an_unmounted_tree_is_held(ground: Ground) -> None:
    """An empty mount point in place of the tree looks like all files deleted: B holds it, and the files come back unharmed."""
    top = uploads(ground, "a").parent
    top.rename(ground.folder / "away")
    top.mkdir()
    ground.settle()
    held(ground, Channel.CONFERENCES, "deletes 3 of 3 in the files")
    top.rmdir()
    (ground.folder / "away").rename(top)
    ground.settle()
    refuse(ground, Channel.CONFERENCES)
    resume(ground)
    ground.settle()
    assert len(ground.files("b")) == 6
    assert ground.channel("a", Channel.CONFERENCES).imports.foreign_writes > 0  # B's files were away at A too
    verify(ground, "b")
    ground.whole()


def verify(ground: Ground, pool: str) -> None:
    """What `poolpair verify` asks of a running service."""
    with ground.sites[pool].store.transaction() as tx:
        out = tx.load(Outbound, "outbound/conferences")
        assert out is not None
        tx.save("outbound/conferences", replace(out, seed=Seed(reason="verify", repair=False)))


def test_a_mass_delete_is_held_and_applied(crowded: Ground) -> None:
    """More than 1000 groups and 20 % deleted at once waits at B with all that follows, until `held apply`."""
    crowded.do("a", "DELETE FROM item WHERE owner = 'u@a' AND name < 'i01500'")
    crowded.settle()
    crowded.do("a", "INSERT INTO item VALUES ('u@a', 'after', 1)")
    crowded.settle()
    held(crowded, Channel.USERS, "deletes 1500 of 3000 in item")
    assert crowded.ask("b", "SELECT count(*) FROM item WHERE owner = 'u@a'") == [(3000,)]
    crowded.still_works("b-goes-on")
    assert crowded.command("b", "held", "apply", "users").exit_code == 0
    crowded.whole()
    assert crowded.ask("b", "SELECT count(*) FROM item WHERE owner = 'u@a'") == [(1501,)]


def test_a_mass_delete_refused_and_undone(crowded: Ground) -> None:
    """B refuses, A stops with P306 and sends nothing; when the rows are back at A, `sync` makes both whole."""
    crowded.do(
        "a", "CREATE TABLE saved AS SELECT * FROM item WHERE owner = 'u@a'", "DELETE FROM item WHERE owner = 'u@a'"
    )
    crowded.settle()
    refuse(crowded, Channel.USERS)
    crowded.do("a", "INSERT INTO item SELECT * FROM saved")
    crowded.settle()
    assert not crowded.standing("b")
    crowded.still_works("b-goes-on")
    resume(crowded)
    crowded.whole()
    assert crowded.ask("b", "SELECT count(*) FROM item WHERE owner = 'u@a'") == [(3000,)]


def test_a_mass_delete_during_a_comparison_can_be_refused(crowded: Ground) -> None:
    """A refused package that also asked for a comparison does not leave that waiting for ever."""
    crowded.stop("a")
    crowded.do(
        "a", "CREATE TABLE saved AS SELECT * FROM item WHERE owner = 'u@a'", "DELETE FROM item WHERE owner = 'u@a'"
    )
    assert said(crowded.command("a", "verify", "--timeout", "0"))[0] is Code.TIMEOUT
    crowded.start("a")
    crowded.settle()
    refuse(crowded, Channel.USERS)
    crowded.do("a", "INSERT INTO item SELECT * FROM saved")
    resume(crowded)
    crowded.whole()


def test_a_delete_below_the_guard_passes(crowded: Ground) -> None:
    """Up to 1000 groups, or up to 20 %, go through without asking."""
    crowded.do("a", "DELETE FROM item WHERE owner = 'u@a' AND name < 'i01000'")
    crowded.whole()
    crowded.do("a", "DELETE FROM item WHERE owner = 'u@a' AND name < 'i01400'")
    crowded.whole()


def test_an_emptied_table_is_not_taken_for_changed_rows(crowded: Ground) -> None:
    """DELETE without WHERE, which SQLite would do by truncating, is logged group by group and held as well."""
    crowded.tamper("a", "DELETE FROM item")
    crowded.settle()
    assert crowded.channel("b").imports.held == 1
    assert crowded.channel("a").imports.foreign_writes == 3000
    assert crowded.ask("b", "SELECT count(*) FROM item") == [(6000,)]

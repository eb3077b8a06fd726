"""A drafted profile in use: the folders that were there are carried, whatever they are called, and one that comes later is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poolpair.cli.main import app
from tests.badinput.ground import Ground, first_copy, make_ground
from tests.badinput.test_values import whole

HOMES = {"shared": "a", "*": "a"}
SCHEMA = "CREATE TABLE note (id INTEGER PRIMARY KEY)"


def put(ground: Ground, name: str) -> None:
    """The application writes a file."""
    path = ground.folder / "data-a" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)


def at_b(ground: Ground) -> set[str]:
    """The names of files at the other site."""
    root = ground.folder / "data-b"
    return {str(path.relative_to(root)) for path in root.rglob("*.txt")}


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """A pair by the profile that was drafted when there were two folders, one of whose names begins with a blank."""
    made = make_ground(tmp_path, schema=SCHEMA, profile="", columns={"note": "id"}, homes=HOMES)
    for name in ("2025/x.txt", " spaced /y.txt"):
        put(made, name)
    store, files = f"sqlite:///{made.path('a')}", str(tmp_path / "data-a")
    drafted = CliRunner().invoke(app, ["profile", "draft", "--store", store, "--files", files])
    assert drafted.exit_code == 0, drafted.output
    (tmp_path / "profile.toml").write_text(drafted.stdout)
    yield first_copy(made)
    for pool in tuple(made.sites):
        made.stop(pool)


def test_a_folder_that_comes_after_the_draft_is_said(ground: Ground) -> None:
    """No rule takes what is in it: `check` counts that and names the folder, and the draft has said so."""
    assert at_b(ground) == {"2025/x.txt", " spaced /y.txt"}
    assert "match no pattern" not in ground.command("a", "check").output
    for name in ("2027/x.txt", "2027/y.txt", "top.txt"):
        put(ground, name)
    whole(ground)
    assert at_b(ground) == {"2025/x.txt", " spaced /y.txt"}
    said = f"to know: 3 files below {ground.folder}/data-a match no pattern, and stay at this site: in 2027/, top.txt"
    assert said in ground.command("a", "check").output
    assert "none of these" in (ground.folder / "profile.toml").read_text()


def test_a_draft_counts_what_is_in_it(tmp_path: Path) -> None:
    """What is left out for a reason of the draft's own is not counted as carried."""
    made = make_ground(
        tmp_path,
        schema=f"{SCHEMA}; CREATE TABLE schema_migrations (version TEXT PRIMARY KEY)",
        profile="",
        columns={"note": "id"},
        homes=HOMES,
    )
    words = ["profile", "draft", "--store", f"sqlite:///{made.path('a')}", "--to", str(tmp_path / "draft.toml")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "1 table, 1 left out" in said, said


def test_what_skip_names_is_not_missed(tmp_path: Path) -> None:
    """A file that a rule leaves out on purpose is not counted."""
    made = make_ground(
        tmp_path, schema=SCHEMA, profile='whole = true\nskip = ["*.log"]\n', columns={"note": "id"}, homes=HOMES
    )
    put(made, "x.log")
    first_copy(made)
    assert "match no pattern" not in made.command("a", "check").output
    for pool in ("a", "b"):
        made.stop(pool)

"""The installed distribution and the imported package are the same thing."""

from importlib.metadata import entry_points, version

from typer.testing import CliRunner

import poolpair
from poolpair.cli.main import app


def test_version_matches_the_installed_distribution() -> None:
    """A stale installation would test something other than the source next to it."""
    assert version("poolpair") == poolpair.__version__


def test_console_script_is_declared() -> None:
    """The command that README and OPERATING tell people to type is installed."""
    scripts = {entry.name: entry.value for entry in entry_points(group="console_scripts")}
    assert scripts["poolpair"] == "poolpair.cli.main:main"


def test_a_command_that_is_wrong_ends_with_64() -> None:
    """Whichever click typer brings: 2 is kept for an error, or a silent partner."""
    for words in (["nonsense"], ["status", "--no-such-option"], ["ledger", "show"]):
        assert CliRunner().invoke(app, words).exit_code == 64

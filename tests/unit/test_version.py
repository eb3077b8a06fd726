"""The installed distribution and the imported package are the same thing."""

from importlib.metadata import entry_points, version

import poolpair


def test_version_matches_the_installed_distribution() -> None:
    """A stale installation would test something other than the source next to it."""
    assert version("poolpair") == poolpair.__version__


def test_console_script_is_declared() -> None:
    """The command that README and OPERATING tell people to type is installed."""
    scripts = {entry.name: entry.value for entry in entry_points(group="console_scripts")}
    assert scripts["poolpair"] == "poolpair.cli.main:main"

"""Of the commands only those are read that the words ask for: each knows its module, and each module its commands."""

from __future__ import annotations

from importlib import import_module

import pytest
import typer

from poolpair.cli.main import COMMANDS, modules_for


@pytest.mark.parametrize("module", COMMANDS)
def test_a_module_registers_what_is_listed_of_it(module: str) -> None:
    """Nothing else, and in this order: a command that were not listed would be slow to start, one that is listed elsewhere not be found."""
    alone = typer.Typer()
    alone.callback()(lambda: None)
    import_module(f"poolpair.cli.{module}").register(alone)
    found = typer.main.get_command(alone)
    assert isinstance(found, typer.core.TyperGroup)
    assert set(found.commands) == set(COMMANDS[module])


@pytest.mark.parametrize(
    ("words", "modules"),
    [
        ("status", ("look",)),
        ("-c a.toml status --json", ("look",)),
        ("--config a.toml --cms failover a", ("failover",)),
        ("--config=a.toml cms failover", ("cms",)),
        ("-ca.toml support-bundle x", ("bundle",)),
        ("-c status prosody activate", ("prosody",)),
        ("", tuple(COMMANDS)),
        ("--help status", tuple(COMMANDS)),
        ("-c", tuple(COMMANDS)),
        ("nosuch", tuple(COMMANDS)),
    ],
)
def test_words_lead_to_a_module(words: str, modules: tuple[str, ...]) -> None:
    """Behind the options that stand before a command; to all of them where no command is known."""
    assert modules_for(words.split()) == modules

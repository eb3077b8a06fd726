"""REFERENCE.md is made from the program itself, by POOLPAIR_REGOLD=1; and no page names a command or option that does not exist."""

from __future__ import annotations

import inspect
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from poolpair.api.app import make_app
from poolpair.api.metrics import Series
from poolpair.cli.main import app
from tests.page.test_metrics import FIGURES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [*(path for path in sorted(DOCS.glob("*.md")) if path.name != "FORMAT.md"), DOCS.parent / "README.md"]
ROOT: Any = typer.main.get_command(app)
HEAD = """# Reference

Made from the program by `tests/tidy/test_reference.py`; every command has `--help`. Settings of the pool file are in
[OPERATING](OPERATING.md), error codes [there too](OPERATING.md#every-error), words in the [GLOSSARY](GLOSSARY.md).
"""


def leaves(command: Any, name: str = "poolpair") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer brings its own click
    """Every command that does something, by its whole name."""
    for word, each in sorted(getattr(command, "commands", {}).items()):
        if each.hidden:
            continue
        if hasattr(each, "commands"):
            yield from leaves(each, f"{name} {word}")
        else:
            yield f"{name} {word}", each


def commands() -> Iterator[str]:
    """What each command does, and its options."""
    yield "\n## Commands\n"
    for name, command in leaves(ROOT):
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        options = [each for each in command.params if each.param_type_name == "option" and each.name != "help"]
        shown = "".join(f" {each.name.upper()}" for each in arguments)
        yield f"\n### {name}{shown}\n\n{inspect.cleandoc(command.help or '')}\n"
        if arguments or options:
            yield "\n| | |\n|---|---|\n"
        for each in arguments:
            yield f"| {each.name.upper()} | {each.help or ''} |\n"
        for each in options:
            yield f"| `{', '.join([*each.opts, *each.secondary_opts])}` | {each.help or ''} |\n"


def requests() -> Iterator[str]:
    """Every request of the API, with its first sentence."""
    yield "\n## Requests\n\nThe whole description is at `/v1/openapi.json`.\n\n| | | |\n|---|---|---|\n"
    described = make_app(_NoDesk(), local=True).openapi()  # type: ignore[arg-type]
    for path, methods in sorted(described["paths"].items()):
        for method, operation in sorted(methods.items()):
            if method != "head":
                yield f"| {method.upper()} | `{path}` | {operation['description'].splitlines()[0]} |\n"


def figures() -> Iterator[str]:
    """Every series."""
    yield "\n## Figures\n\n| series | kind | what it is |\n|---|---|---|\n"
    for family in Series(FIGURES).collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield f"| `{name}` | {family.type} | {family.documentation} |\n"


class _NoDesk:
    """Stands where the routes look for their desk while they are described, and is never asked."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a route takes hold of
        return self


def test_the_reference_is_what_the_program_says() -> None:
    """Commands, requests and figures, word for word."""
    path = DOCS / "REFERENCE.md"
    wanted = "".join((HEAD, *commands(), *requests(), *figures()))
    if os.environ.get("POOLPAIR_REGOLD"):
        path.write_text(wanted)
    assert path.read_text() == wanted


def named(text: str) -> Iterator[str]:
    """Commands as pages write them: in backticks, or on a line of their own."""
    yield from re.findall(r"`((?:poolpair )[^`\n]+)`", text)
    for line in text.splitlines():
        found = re.match(r"^(?: {4,}|[$#] )?(poolpair (?:-c|[a-z]).*)$", line)
        if found:
            yield re.split(r"\s{2,}#|;| \| |&&", found[1])[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_on_a_page_exists(page: Path) -> None:
    """With each of its options: what is typed from the page is understood."""
    for text in named(page.read_text()):
        words = [word for word in shlex.split(text.replace("...", ""), comments=True) if word not in {"|", "..."}][1:]
        command: Any = ROOT
        while words:
            word = words.pop(0)
            if word in {"-c", "--config"}:
                words.pop(0)
            elif word.startswith("-"):
                name = word.split("=")[0]
                known = {opt for each in command.params for opt in (*each.opts, *each.secondary_opts)}
                assert name in known | {"--help", "--version"}, f"{text}: no option {name}"
            elif hasattr(command, "commands"):
                assert word in command.commands, f"{text}: no command {word}"
                command = command.commands[word]

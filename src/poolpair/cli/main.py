"""`poolpair`: the program. Turns errors into one line, a hint and an exit status; never a traceback for an expected failure."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.text import Text

from poolpair.cli import prosody
from poolpair.cli.context import app
from poolpair.errors import PoolpairError

__all__ = ["app", "main"]

# A command or option that does not exist is "the command is wrong" here; the 2 of a usage error would read as "an error, or the partner is
# silent". Reached through a class that typer exports, since it brings its own copy of click.
setattr(typer.BadParameter.__base__, "exit_code", 64)  # noqa: B010 - mypy knows no attributes of a base

prosody.register(app)
# Hooks run `poolpair prosody`, and users wait meanwhile: to read all other commands takes longer than what it does.
if sys.argv[1:2] != ["prosody"]:
    from poolpair.cli import (
        adopt,
        api,
        audit,
        bundle,
        check,
        cms,
        decide,
        drill,
        failover,
        fence,
        hook,
        lab,
        look,
        pair,
        parting,
        pausing,
        profile,
        quarantine,
        running,
        settings,
        share,
        topology,
        work,
    )

    for module in (
        settings,
        running,
        work,
        api,
        audit,
        bundle,
        look,
        check,
        decide,
        failover,
        fence,
        hook,
        drill,
        pair,
        parting,
        pausing,
        quarantine,
        profile,
        share,
        adopt,
        cms,
        topology,
        lab,
    ):
        module.register(app)


def main() -> None:
    """Run the program."""
    try:
        app(standalone_mode=True)
    except PoolpairError as error:
        talk = Console(stderr=True, soft_wrap=True, highlight=False)
        talk.print(Text.assemble((error.code, "bold red"), f" {error.detail}"))
        talk.print(Text(f"hint: {error.hint}"))
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

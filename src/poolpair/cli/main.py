"""`poolpair`: the program. Turns errors into one line, a hint and an exit status; never a traceback for an expected failure."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from poolpair.cli import check, decide, failover, fence, hook, look, parting, settings, work
from poolpair.cli.context import app
from poolpair.errors import PoolpairError

__all__ = ["app", "main"]

# A command or option that does not exist is "the command is wrong" here; click's own 2 would read as "an error, or the partner is silent".
click.exceptions.UsageError.exit_code = 64

for module in (settings, work, look, check, decide, failover, fence, hook, parting):
    module.register(app)


def main() -> None:
    """Run the program."""
    try:
        app(standalone_mode=True)
    except PoolpairError as error:
        talk = Console(stderr=True, soft_wrap=True, highlight=False)
        talk.print(f"[bold red]{error.code}[/] {_plain(error.detail)}", markup=True)
        talk.print(f"hint: {_plain(error.hint)}")
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


if __name__ == "__main__":
    main()

"""What all commands share: the application object, the pool file, and where talk goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from poolpair import __version__
from poolpair.config import PoolConfig, load_config
from poolpair.errors import Code, PoolpairError

EXIT_STATUSES = (
    "Exit status: 0 done; 1 works, but not as wished (not steady, degraded, timed out); 2 an error, or the partner is silent; "
    "3 no service runs for this pool; 64 the command or a file given to it is wrong."
)

app = typer.Typer(
    name="poolpair",
    help=f"Keep two sites ready to take over from each other. {EXIT_STATUSES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
talk = Console(stderr=True, soft_wrap=True, highlight=False)
out = Console(soft_wrap=True, highlight=False)


class _Chosen:
    """The pool file given with -c."""

    path: Path | None = None


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback(epilog=EXIT_STATUSES)
def _options(
    config: Annotated[
        Path | None, typer.Option("-c", "--config", help="The pool file (TOML).", envvar="POOLPAIR_CONFIG")
    ] = None,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Keep two sites ready to take over from each other."""
    _Chosen.path = config


def is_config_chosen() -> bool:
    """Whether -c or POOLPAIR_CONFIG named a pool file."""
    return _Chosen.path is not None


def chosen_config() -> PoolConfig:
    """Read the pool file given with -c. Raises USAGE without one, CONFIG for a wrong one."""
    if _Chosen.path is None:
        raise PoolpairError(
            Code.USAGE, "no pool file was given", hint="poolpair -c FILE COMMAND, or set POOLPAIR_CONFIG"
        )
    return load_config(_Chosen.path)

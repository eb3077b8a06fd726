"""What all commands share: the application object, the pool file, and where talk goes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from poolpair import __version__
from poolpair.config import PoolConfig, load_config
from poolpair.errors import Code, PoolpairError
from poolpair.printable import printable
from poolpair.tomlfile import open_toml

EXIT_STATUSES = (
    "Exit status: 0 done; 1 works, but not as wished (not steady, degraded, timed out); 2 an error, or the partner is silent; "
    "3 no service runs for this pool; 64 the command or a file given to it is wrong."
)

app = typer.Typer(
    name="poolpair",
    help=f"Keep two sites ready to take over from each other. {EXIT_STATUSES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)


class PlainConsole(Console):
    """A console on which only its own colours and moves steer the terminal, never a sign in what is printed."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As the class above, with an escape for every sign that is not printed."""
        for part in super().render(renderable, options):
            yield part if part.control else Segment(printable(part.text, "\n"), part.style)


talk = PlainConsole(stderr=True, soft_wrap=True, highlight=False)
out = PlainConsole(soft_wrap=True, highlight=False)


def tell(*cells: object) -> None:
    """Print one line for people, its cells parted by tabs. No sign in a cell steers the terminal, ends the line or begins a cell."""
    typer.echo("\t".join(printable(str(cell)) for cell in cells))


class _Chosen:
    """The pool file given with -c."""

    path: Path | None = None
    management: bool = False
    """The store of documents is meant, not the pool."""


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback(epilog=EXIT_STATUSES)
def _options(
    config: Annotated[
        Path | None, typer.Option("-c", "--config", help="The pool file (TOML).", envvar="POOLPAIR_CONFIG")
    ] = None,
    cms: Annotated[
        bool, typer.Option("--cms", help="Mean the central management store instead of the pool's users and files.")
    ] = False,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Keep two sites ready to take over from each other."""
    _Chosen.path, _Chosen.management = config, cms


def is_config_chosen() -> bool:
    """Whether -c or POOLPAIR_CONFIG named a pool file."""
    return _Chosen.path is not None


def chosen_config() -> PoolConfig:
    """The pool file given with -c, or with --cms that of its management store. Raises USAGE without one, CONFIG for a wrong one."""
    config = chosen_pool()
    if not _Chosen.management:
        return config
    from poolpair.management.holding import management_of

    return management_of(config)


def chosen_pool() -> PoolConfig:
    """Read the pool file given with -c."""
    if _Chosen.path is None:
        raise PoolpairError(
            Code.USAGE, "no pool file was given", hint="poolpair -c FILE COMMAND, or set POOLPAIR_CONFIG"
        )
    return load_pool(_Chosen.path)


def load_pool(path: Path) -> PoolConfig:
    """Read a pool file, with what a management store says where there is one. Raises CONFIG."""
    if "cms" not in open_toml(Code.CONFIG, path).data:
        return load_config(path)
    from poolpair.management.effective import load_effective

    return load_effective(path)

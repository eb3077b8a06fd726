"""Commands that tell a Prosody whom it serves, for hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poolpair.cli import completing
from poolpair.cli.context import EXIT_STATUSES, chosen_config
from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError

Home = Annotated[
    str,
    typer.Argument(envvar="POOLPAIR_HOME", help="The pool whose hosts are meant.", autocompletion=completing.pools),
]
Epoch = Annotated[
    str,
    typer.Option(
        envvar="POOLPAIR_EPOCH", help="The epoch in which they are served: another one means that others served them."
    ),
]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Tell Prosody whom it serves.", no_args_is_help=True)
    group.command("activate", epilog=EXIT_STATUSES)(activate)
    group.command("deactivate", epilog=EXIT_STATUSES)(deactivate)
    app.add_typer(group, name="prosody")


def activate(home: Home, epoch: Epoch = "") -> None:
    """Let Prosody serve a pool's hosts: for the hooks gate_open and after_serve."""
    _tell(chosen_config(), "activate", home, epoch)


def deactivate(home: Home, epoch: Epoch = "") -> None:
    """Let Prosody serve a pool's hosts no more: for the hooks gate_close and before_fence."""
    _tell(chosen_config(), "deactivate", home, epoch)


def _tell(config: PoolConfig, verb: str, home: str, epoch: str) -> None:
    from poolpair.adopt.owners import owners_by_homes
    from poolpair.adopt.prosody import read_prosody
    from poolpair.adopt.shell import Verb, tell

    prosody = read_prosody(_configuration(config))
    owners = owners_by_homes(config, prosody)
    if home not in (owners.pool, owners.partner):
        raise PoolpairError(Code.USAGE, f"{home!r} is neither pool of this pair ({owners.pool} and {owners.partner})")
    hosts = owners.hosts_of(prosody, home)
    typer.echo(tell(prosody, Verb(verb), hosts, f"{home} {epoch}") if hosts else f"{home} has no hosts here")


def _configuration(config: PoolConfig) -> Path:
    if config.prosody is None:
        detail = f"{config.path}: application.prosody is missing: it says where Prosody's configuration is"
        raise PoolpairError(Code.CONFIG, detail)
    return config.prosody

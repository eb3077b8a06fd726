"""The command that says how a share is set up on its file server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poolpair.cli.context import EXIT_STATUSES, chosen_config
from poolpair.errors import Code, PoolpairError
from poolpair.share_access import ACCOUNT, commands, section
from poolpair.smb_address import is_smb
from poolpair.wiring import channels_of, profile_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    group = typer.Typer(help="Set up a share on its file server.", no_args_is_help=True)
    group.command("setup", epilog=EXIT_STATUSES)(setup)
    app.add_typer(group, name="share")


def setup(
    partner_account: Annotated[str, typer.Option(help="The account with which the partner comes.")],
    owner: Annotated[str, typer.Option(help="The account of this pool's service.")],
    path: Annotated[
        Path | None, typer.Option(help="The share's folder at the file server, if that is another machine.")
    ] = None,
    name: Annotated[str, typer.Option(help="The share's name; that of the pool if it is left out.")] = "",
) -> None:
    """Print how a Samba server lets the partner drop files here, and do nothing else: commands for root, and a section of smb.conf."""
    config = chosen_config()
    for account in (partner_account, owner):
        if not ACCOUNT.fullmatch(account):
            raise PoolpairError(Code.USAGE, f"{account[:40]!r} is no name of an account")
    if partner_account == owner:
        raise PoolpairError(
            Code.USAGE, "the partner needs an account of its own: it must not be able to do what the owner does"
        )
    if path is None and is_smb(config.share):
        raise PoolpairError(Code.USAGE, f"{config.share} is on another machine", "say its folder there with --path")
    folder = path or Path(config.share)
    if not folder.is_absolute():
        raise PoolpairError(Code.USAGE, f"{folder} is no absolute path")
    accounts = (partner_account, owner) if is_smb(config.share) else (partner_account,)
    address = config.share if is_smb(config.share) else f"smb://THIS-SERVER/{name or config.pool}"
    typer.echo("# As root on the file server, before `pair join`, and once more after `init` at this pool.")
    typer.echo(
        f"# smbpasswd asks for a password: it goes into a file at {config.partner.pool}, whose pool file then says in [partner]"
    )
    typer.echo(
        f'#   share = "{address}" and share_credentials = the file, with username={partner_account} and password=...'
    )
    for command in commands(folder, owner, partner_account, channels_of(profile_of(config))):
        typer.echo(command)
    typer.echo("\n# At the end of smb.conf, whose section [global] says: server min protocol = SMB3_11")
    typer.echo("# Then: smbcontrol all reload-config\n")
    typer.echo(section(name or config.pool, folder, accounts), nl=False)

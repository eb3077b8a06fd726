"""The command that says how a share is set up on its file server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poolpair.cli.context import EXIT_STATUSES, chosen_config
from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.management.local import read_local
from poolpair.management.topology import TOPOLOGY, parse_topology
from poolpair.model import Channel
from poolpair.scratch import scratch_of
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
    store_account: Annotated[
        str, typer.Option(help="The account with which the management store of another pair comes.")
    ] = "",
) -> None:
    """Print how a Samba server lets the partner drop files here, and do nothing else: commands for root, and a section of smb.conf."""
    config = chosen_config()
    for account in filter(None, (partner_account, owner, store_account)):
        if not ACCOUNT.fullmatch(account):
            raise PoolpairError(Code.USAGE, f"{account[:40]!r} is no name of an account")
    if owner in {partner_account, store_account}:
        raise PoolpairError(
            Code.USAGE,
            "whoever comes from elsewhere needs an account of its own: it must not be able to do what the owner does",
        )
    if path is None and is_smb(config.share):
        raise PoolpairError(Code.USAGE, f"{config.share} is on another machine", "say its folder there with --path")
    folder = path or Path(config.share)
    if not folder.is_absolute():
        raise PoolpairError(Code.USAGE, f"{folder} is no absolute path")
    accounts = tuple(filter(None, (partner_account, store_account, owner if is_smb(config.share) else "")))
    address = config.share if is_smb(config.share) else f"smb://THIS-SERVER/{name or config.pool}"
    typer.echo("# As root on the file server, before `pair join`, and once more after `init` at this pool.")
    typer.echo(
        f"# smbpasswd asks for a password: it goes into a file at {config.partner.pool}, whose pool file then says in [partner]"
    )
    typer.echo(
        f'#   share = "{address}" and share_credentials = the file, with username={partner_account} and password=...'
    )
    channels = (*channels_of(profile_of(config)), *((Channel.CMS,) if config.cms is not None else ()))
    for command in commands(folder, owner, partner_account, channels, _servers(config), store_account):
        typer.echo(command)
    typer.echo("\n# At the end of smb.conf, whose section [global] says: server min protocol = SMB3_11")
    typer.echo("# Then: smbcontrol all reload-config\n")
    typer.echo(section(name or config.pool, folder, accounts), nl=False)


def _servers(config: PoolConfig) -> tuple[str, ...]:
    """The front ends of this pool: as the topology names them, at least this one; none where no management store sends anything."""
    if config.cms is None and config.member_key is None:
        return ()
    replica = read_local(scratch_of(config))
    document = replica.document(TOPOLOGY) if replica is not None else None
    pool = parse_topology(document.body).pool(config.pool) if document is not None and document.body else None
    return tuple(dict.fromkeys((*(pool.front_ends if pool else ()), config.front_end)))

"""`adopt prosody`: proposes a pair from a Prosody server as it is. It starts, changes and asks nothing of the server."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poolpair.cli.context import EXIT_STATUSES, talk
from poolpair.errors import Code, PoolpairError

if TYPE_CHECKING:
    from poolpair.adopt.propose import Proposal


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Propose a pair from an application as it is.", no_args_is_help=True)
    group.callback()(_group)  # else the only command would take the group's place
    group.command("prosody", epilog=EXIT_STATUSES)(adopt_prosody)
    app.add_typer(group, name="adopt")


def _group() -> None:
    """Propose a pair from an application as it is."""


def adopt_prosody(
    *,
    config: Annotated[Path, typer.Option(help="Prosody's configuration.")] = Path("/etc/prosody/prosody.cfg.lua"),
    pool: Annotated[str | None, typer.Option(help="This pool's name; else made of its domain.")] = None,
    partner_pool: Annotated[str | None, typer.Option(help="The partner's name; else made of its domain.")] = None,
    partner_host: Annotated[
        list[str] | None, typer.Option(help="A domain of the partner's; its components are taken to be as here.")
    ] = None,
    partner_config: Annotated[
        Path | None, typer.Option(help="A copy of the partner's configuration: then its hosts are known, and compared.")
    ] = None,
    share: Annotated[str | None, typer.Option(help="Where the partner drops its files for us.")] = None,
    partner_share: Annotated[
        str | None, typer.Option(help="The partner's share: as it is mounted here, or smb://server/share/folder.")
    ] = None,
    key_file: Annotated[Path, typer.Option(help="The key of the pair.")] = Path("/etc/poolpair/pair.key"),
    scratch: Annotated[Path, typer.Option(help="With PostgreSQL: where packages are made.")] = Path(
        "/var/lib/poolpair"
    ),
    to: Annotated[Path | None, typer.Option(help="Write the files into this folder.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Read Prosody's configuration as Prosody does; print the pool file and the lines to add, and what is wrong.

    Exit status 2 if something was found that cannot be part of a pair as it is.
    """
    from poolpair.adopt.propose import Wishes, propose

    proposal = propose(
        Wishes(
            config=config.absolute(),
            pool=pool,
            partner_pool=partner_pool,
            partner_hosts=tuple(partner_host or ()),
            partner_config=partner_config.absolute() if partner_config else None,
            share=share,
            partner_share=partner_share,
            key_file=key_file.absolute(),
            scratch=scratch.absolute(),
            folder=to.absolute() if to else None,
        )
    )
    for finding in proposal.findings:
        typer.echo(finding)
    if proposal.is_possible:
        _print(proposal)
        if to is not None:
            _write(proposal, to.absolute(), force=force)
    elif to is not None:
        talk.print("nothing was written: mend what FAILs first", markup=False)
    if proposal.has_failed:
        raise typer.Exit(2)


def _print(proposal: Proposal) -> None:
    for file in proposal.files:
        typer.echo(f"\n--- {file.path}: {file.purpose}")
        typer.echo(file.shown.rstrip("\n"))
    typer.echo("")
    for number, step in enumerate(proposal.steps, 1):
        typer.echo(f"{number}. {step}")


def _write(proposal: Proposal, folder: Path, *, force: bool) -> None:
    try:
        there = [file.path for file in proposal.files if file.path.exists()]
        if there and not force:
            named = ", ".join(str(path) for path in there)
            raise PoolpairError(
                Code.USAGE, f"{named}: there already, nothing was written", "add --force to replace what is there"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for file in proposal.files:
            _write_file(file.path, file.content, 0o600 if file.is_secret else 0o644, proposal.account)
            talk.print(f"wrote {file.path}", markup=False)
    except OSError as error:
        raise PoolpairError(
            Code.USAGE, f"{error.filename or folder}: {error.strerror}", "choose a folder that can be written with --to"
        ) from error


def _write_file(path: Path, content: str, mode: int, account: str) -> None:
    """Whole or not at all; as root it is given to the account that will read it."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        os.fchmod(handle, mode)
        if os.geteuid() == 0 and (owner := _known(account)) is not None:
            os.fchown(handle, owner.pw_uid, owner.pw_gid)
        file.write(content)
        file.flush()
        os.fsync(handle)
    new.replace(path)


def _known(account: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(account)
    except KeyError:
        return None

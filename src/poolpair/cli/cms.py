"""Commands for the central management store: cms status, failover, replicate, invite, list, show, publish."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from poolpair.cli.context import EXIT_STATUSES, chosen_pool, talk
from poolpair.cli.failover import Abort, Disaster, Incomplete, Timeout, WhatIf, Yes, move
from poolpair.cli.look import show
from poolpair.cli.topology import Note, read_body, store
from poolpair.cli.work import check_timeout, wait
from poolpair.clock import SystemClock
from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.keyfile import new_key_file, read_key_file
from poolpair.management.before import holder
from poolpair.management.files import ask_again
from poolpair.management.holding import management_of
from poolpair.management.local import read_local
from poolpair.management.members import key_document, new_membership
from poolpair.management.publish import refuse_elsewhere, there, version_of
from poolpair.management.replicate import is_caught_up, send_again, states
from poolpair.management.seen import servers_seen, store_seen
from poolpair.outlook import Level
from poolpair.scratch import make_scratch, scratch_of
from poolpair.units import show_bytes
from poolpair.wiring import open_site


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="The central management store.", no_args_is_help=True)
    group.command("status", epilog=EXIT_STATUSES)(status)
    group.command("failover", epilog=EXIT_STATUSES)(failover)
    group.command("replicate", epilog=EXIT_STATUSES)(replicate)
    group.command("invite", epilog=EXIT_STATUSES)(invite)
    group.command("list", epilog=EXIT_STATUSES)(list_all)
    group.command("show", epilog=EXIT_STATUSES)(show_one)
    group.command("publish", epilog=EXIT_STATUSES)(publish_one)
    group.command("place", epilog=EXIT_STATUSES)(place)
    app.add_typer(group, name="cms")


def failover(
    disaster: Disaster = False,
    what_if: WhatIf = False,
    yes: Yes = False,
    accept_incomplete: Incomplete = False,
    abort: Abort = False,
    timeout: Timeout = 600.0,
) -> None:
    """Let the other pool of this pair hold the management store: planned, or because the one that holds it is dead (--disaster)."""
    config = chosen_pool()
    management = management_of(config)
    assert config.cms is not None
    site = open_site(management)
    try:
        away = holder(site, config.cms.home) == config.cms.home
        if disaster:  # it comes here, wherever it is
            away = config.pool != config.cms.home
    finally:
        site.store.close()
    move(
        management,
        config.cms.home,
        away=away,
        disaster=disaster,
        what_if=what_if,
        yes=yes,
        incomplete=accept_incomplete,
        abort=abort,
        timeout_s=timeout,
    )


def status() -> None:
    """Say who holds the store, how its copy stands, and which server has what; exit status as of `status`, 1 if a server lags behind."""
    config = chosen_pool()
    if config.cms is None:
        _status_of_replica(config)
        return
    site = open_site(management_of(config))
    try:
        found = store_seen(site, config.cms.home)
    finally:
        site.store.close()
    here = ", here" if found.here else f"; ask there for the servers' replicas: this is pool {config.pool}"
    typer.echo(f"the management store is held by pool {found.held_by} (term {found.term}){here}")
    if found.under_way:
        typer.echo(found.under_way)
    quiet = tuple(replace(each, plan="", recovering=False) for each in found.status.homes if each.stopped or each.fault)
    show(replace(found.status, homes=quiet))
    for server in found.servers:
        typer.echo(server.line)
        for words in server.state.files:
            typer.echo(f"  file {words}")
    if found.here and not found.servers:
        typer.echo("no server has a replica: `poolpair topology edit` names them")
    behind = any(server.level is not Level.HEALTHY for server in found.servers)
    raise typer.Exit(found.status.exit_status or int(behind))


def _status_of_replica(config: PoolConfig) -> None:
    replica = read_local(scratch_of(config))
    if replica is None:
        raise PoolpairError(Code.USAGE, "this server has no replica of a management store")
    typer.echo(f"replica {replica.term}.{replica.serial} of the management store, {len(replica.documents)} documents")


def replicate(
    full: Annotated[bool, typer.Option("--full", help="Everything, whatever the servers say that they have.")] = False,
    timeout: Timeout = 60.0,
) -> None:
    """Wait until every server has the newest documents; with --full have everything sent again."""
    check_timeout(timeout)
    config = chosen_pool()
    refuse_elsewhere(config)
    site = open_site(management_of(config))
    deadline_s = time.monotonic() + timeout
    try:
        if full:
            send_again(site)
        behind: list[str] = []
        while True:
            there_now = servers_seen(states(site), SystemClock().utc_iso())
            behind = [server.line for server in there_now if not server.state.up_to_date]
            if not behind and is_caught_up(site, there(config)):
                break
            wait(deadline_s, f"not every server has everything: {'; '.join(behind) or 'none was written to yet'}")
    finally:
        site.store.close()
    talk.print("every server has the newest documents")


def invite(
    pool: Annotated[str, typer.Argument(help="A pool of another pair.")],
    file: Annotated[Path, typer.Argument(help="Where its key file is written, to be carried there; must not exist.")],
    again: Annotated[
        bool, typer.Option("--again", help="Make another key; what had the old one gets nothing more.")
    ] = False,
) -> None:
    """Make the key file by which a pool of another pair gets its configuration: `member_key` in its section [cms]."""
    config = chosen_pool()
    if pool in (config.pool, config.partner.pool):
        raise PoolpairError(Code.USAGE, f"{pool} is of this pair, whose key file serves")
    name = key_document(pool)
    found = version_of(config, name)
    if found is not None and not again:
        raise PoolpairError(
            Code.USAGE, f"pool {pool} has a key already", "--again makes another, and the old one counts no more"
        )
    made, body = new_membership(pool, read_key_file(config.partner.key_file))
    new_key_file(file, pair_id=made.deployment_id, secret=bytes.fromhex(made.secret))
    try:
        store(config, name, body, onto=found.version if found else 0, note="a new key" if found else "a key")
    except PoolpairError:
        file.unlink()
        raise
    talk.print(f"made {file}; carry it to pool {pool}, mode 0600, and name it there: [cms] member_key", markup=False)


def list_all() -> None:
    """List the documents."""
    for document in there(chosen_pool()):
        size = show_bytes(len(document.body.encode()))
        typer.echo(
            f"{document.name}\tversion {document.version}\t{size}\t{document.published_utc}\t{document.author}\t{document.note}"
        )


def show_one(
    name: Annotated[str, typer.Argument(help="A name from `cms list`.")],
    version: Annotated[int | None, typer.Option(help="An earlier version, where the store is held.")] = None,
) -> None:
    """Print a document."""
    found = version_of(chosen_pool(), name, version)
    if found is None:
        raise PoolpairError(Code.USAGE, f"there is no document {name}", "`poolpair cms list` names them")
    typer.echo(found.body, nl=False)


def publish_one(
    name: Annotated[
        str, typer.Argument(help="topology, backup, backup/POOL, pair/POOL+POOL, profile/NAME, file/NAME.")
    ],
    file: Annotated[Path, typer.Argument(help="Its new content; - for standard input.")],
    onto: Annotated[
        int | None, typer.Option(help="The version that it was made from; the newest if not given.")
    ] = None,
    note: Note = "",
) -> None:
    """Publish a document; every server has it within one round of replication."""
    store(chosen_pool(), name, read_body(file), onto=onto, note=note)


def place(
    name: Annotated[str, typer.Argument(help="A name from [cms.files] of this server's pool file.")],
) -> None:
    """Have the published version of a watched file put in its place here, whatever was changed in it; that is kept beside."""
    config = chosen_pool()
    places = dict(config.watched)
    if name not in places:
        known = ", ".join(places) or "none"
        raise PoolpairError(Code.USAGE, f"[cms.files] of {config.path.name} does not name {name!r}; it names {known}")
    ask_again(make_scratch(config), name)
    talk.print(
        f"the service puts the published version at {places[name]}; what is there is kept beside it", markup=False
    )

"""Commands that decide: quarantine, parked, held, setback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import typer

from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import channel_from_name, data_dir, package_name
from poolpair.model import Channel, Position, RefusedPackage, new_id
from poolpair.pipeline.receive import REFUSED_KEPT
from poolpair.pipeline.site import Site, inbound_name, outbound_name
from poolpair.service import REQUEST, Request
from poolpair.state import Inbound, Outbound, Seed
from poolpair.wiring import open_site


def register(app: typer.Typer) -> None:
    """Add these commands."""
    groups: dict[str, tuple[str, dict[str, Callable[..., None]]]] = {
        "quarantine": ("Files that were refused.", {"list": quarantine_list, "show": quarantine_show}),
        "parked": (
            "Groups that this store refused.",
            {"list": parked_list, "show": parked_show, "retry": parked_retry, "drop": parked_drop},
        ),
        "held": (
            "Packages that would delete very much.",
            {"list": held_list, "apply": held_apply, "refuse": held_refuse},
        ),
        "setback": (
            "This store is older than what the partner has.",
            {"show": setback_show, "resolve": setback_resolve},
        ),
    }
    for name, (words, commands) in groups.items():
        group = typer.Typer(help=words, no_args_is_help=True)
        for verb, command in commands.items():
            group.command(verb, epilog=EXIT_STATUSES)(command)
        app.add_typer(group, name=name)


def quarantine_list() -> None:
    """List refused files, oldest first."""
    site = open_site(chosen_config())
    for file in site.own.quarantined():
        typer.echo(f"{file.name}\t{file.size_bytes} bytes\t{file.reason.splitlines()[0] if file.reason else ''}")
    site.store.close()


def quarantine_show(name: Annotated[str, typer.Argument(help="A name from `quarantine list`.")]) -> None:
    """Say why a file was refused."""
    site = open_site(chosen_config())
    found = next((file for file in site.own.quarantined() if file.name == name), None)
    site.store.close()
    if found is None:
        raise PoolpairError(Code.USAGE, f"no refused file is called {name}")
    typer.echo(f"{found.name}: {found.size_bytes} bytes\n{found.reason}")


def parked_list() -> None:
    """List parked groups."""
    site = open_site(chosen_config())
    for group in site.store.parked():
        typer.echo(f"{group.group_id}\t{group.channel}\t{group.table}\t{group.key}\t{group.reason}\t{group.since_utc}")
    site.store.close()


def parked_show(group_id: Annotated[int, typer.Argument(help="A number from `parked list`.")]) -> None:
    """Show one parked group."""
    site = open_site(chosen_config())
    found = next((group for group in site.store.parked() if group.group_id == group_id), None)
    site.store.close()
    if found is None:
        raise PoolpairError(Code.USAGE, f"no parked group has the number {group_id}")
    typer.echo(
        f"table {found.table}, group {found.key}\nrefused since {found.since_utc}: {found.reason}\nfrom package {found.package_id}"
    )


def parked_retry(group_id: Annotated[int | None, typer.Argument(help="One group; all without it.")] = None) -> None:
    """Try parked groups again."""
    site = open_site(chosen_config())
    refused = 0
    groups = site.store.parked()
    if group_id is not None and group_id not in {group.group_id for group in groups}:
        raise PoolpairError(Code.USAGE, f"no parked group has the number {group_id}")
    for group in groups:
        if group_id in (None, group.group_id):
            reason = site.store.retry_parked(group.group_id)
            refused += reason is not None
            typer.echo(f"{group.group_id}\t{'applied' if reason is None else f'refused again: {reason}'}")
    _nudge(site)
    site.store.close()
    if refused:
        raise typer.Exit(1)


def parked_drop(
    group_id: Annotated[int, typer.Argument(help="A number from `parked list`.")],
    yes: Annotated[bool, typer.Option("--yes", help="The copy may lack it.")] = False,
) -> None:
    """Forget a parked group; the copy here then lacks it until the next repair."""
    if not yes:
        raise PoolpairError(Code.USAGE, "dropping a parked group throws its rows away", hint="add --yes")
    site = open_site(chosen_config())
    site.store.drop_parked(group_id)
    _nudge(site)
    site.store.close()


def held_list() -> None:
    """List packages that wait for a decision."""
    site = open_site(chosen_config())
    for channel in site.channels:
        inbound = site.store.read(Inbound, inbound_name(channel))
        if inbound and inbound.held:
            held = inbound.held
            state = "approved" if held.approved else "waits"
            typer.echo(
                f"{channel}\tpackage {held.position.sequence}\tdeletes {held.deletes} of {held.of} in {held.table}"
                f"\t{state}\tsince {held.since_utc}"
            )
    site.store.close()


def held_apply(channel: Annotated[str, typer.Argument(help="users or conferences.")]) -> None:
    """Apply the held package after all: the deletions are meant."""
    site = open_site(chosen_config())
    _decide_held(site, channel_from_name(channel), approve=True)
    _nudge(site)
    site.store.close()


def held_refuse(channel: Annotated[str, typer.Argument(help="users or conferences.")]) -> None:
    """Refuse the held package: the partner's channel stops until its operator restores what was deleted, or sends again."""
    site = open_site(chosen_config())
    position = _decide_held(site, channel_from_name(channel), approve=False)
    site.own.remove(data_dir(channel_from_name(channel)), package_name(position))
    _nudge(site)
    site.store.close()


def _decide_held(site: Site, channel: Channel, *, approve: bool) -> Position:
    with site.store.transaction() as tx:
        inbound = tx.load(Inbound, inbound_name(channel))
        if inbound is None or inbound.held is None:
            raise PoolpairError(Code.USAGE, f"nothing is held on {channel}")
        position = inbound.held.position
        if approve:
            after = replace(inbound, held=replace(inbound.held, approved=True))
        else:
            entry = RefusedPackage(package_id=position.package_id, code=Code.HELD)
            after = replace(inbound, held=None, refused=(*inbound.refused, entry)[-REFUSED_KEPT:])
        tx.save(inbound_name(channel), after)
    return position


def _nudge(site: Site) -> None:
    """Have a running service look at once."""
    if site.store.lease_holder() is not None:
        with site.store.transaction() as tx:
            tx.save(f"{REQUEST}{new_id()}", Request(channels=site.channels))


def setback_show() -> None:
    """Show which channels stopped because the partner has what this store does not."""
    site = open_site(chosen_config())
    stopped = 0
    for channel in site.channels:
        found = site.store.read(Outbound, outbound_name(channel))
        if found and found.stopped and found.stopped.code is Code.STORE_SET_BACK:
            stopped += 1
            word = found.partner
            newest = f"{word.applied.sequence} of stream {word.applied.stream[:8]}" if word and word.applied else "none"
            typer.echo(
                f"{channel}\tthe partner applied package {newest};"
                f" this store made up to {found.next_sequence - 1} of stream {found.stream[:8]}"
            )
            typer.echo(f"\t{found.stopped.detail} (since {found.stopped.since_utc})")
    site.store.close()
    if not stopped:
        talk.print("no channel is set back")


def setback_resolve(
    ours: Annotated[
        bool, typer.Option("--ours", help="This store wins; what it replaces at the partner is kept there.")
    ] = False,
    theirs: Annotated[bool, typer.Option("--theirs", help="The partner's copy wins.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Decide whose rows hold after this store was set back."""
    if ours == theirs:
        raise PoolpairError(Code.USAGE, "give either --ours or --theirs")
    if theirs:
        raise PoolpairError(
            Code.USAGE,
            "--theirs needs a failover, which this release does not have",
            hint="stop both services and restore this database from a newer backup or from the partner's copy, or choose --ours",
        )
    if not yes and not typer.confirm(
        "The partner's newer rows will be replaced by this store's older ones (and kept there aside). Go on?"
    ):
        raise typer.Abort
    site = open_site(chosen_config())
    for channel in site.channels:
        with site.store.transaction() as tx:
            found = tx.load(Outbound, outbound_name(channel))
            if found and found.stopped and found.stopped.code is Code.STORE_SET_BACK:
                tx.save(outbound_name(channel), _overruled(found))
                talk.print(f"{channel}: this store wins; both copies are compared and made equal")
    _nudge(site)
    site.store.close()


def _overruled(found: Outbound) -> Outbound:
    """Begin a new stream on top of whatever the partner applied last."""
    applied = found.partner.applied if found.partner else None
    seed = Seed(reason="this store was set back and wins", overrule=True)
    return replace(
        Outbound(stream=new_id(), seed=seed),
        base=applied,
        root=applied,
        heard=True,
        base_token=found.acknowledged_token,
        acknowledged_token=found.acknowledged_token,
    )

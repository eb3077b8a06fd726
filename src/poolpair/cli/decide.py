"""Commands that decide: quarantine, parked, held, setback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from poolpair import decisions
from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import channel_from_name
from poolpair.pipeline.site import inbound_name, outbound_name
from poolpair.state import Inbound, Outbound
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
    tried = decisions.retry_parked(site, group_id)
    site.store.close()
    for group, reason in tried:
        typer.echo(f"{group.group_id}\t{'applied' if reason is None else f'refused again: {reason}'}")
    if any(reason is not None for _, reason in tried):
        raise typer.Exit(1)


def parked_drop(
    group_id: Annotated[int, typer.Argument(help="A number from `parked list`.")],
    yes: Annotated[bool, typer.Option("--yes", help="The copy may lack it.")] = False,
) -> None:
    """Forget a parked group; the copy here then lacks it until `verify --repair` at the partner."""
    if not yes:
        raise PoolpairError(Code.USAGE, "dropping a parked group throws its rows away", hint="add --yes")
    site = open_site(chosen_config())
    decisions.drop_parked(site, group_id)
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
    decisions.approve_held(site, channel_from_name(channel))
    site.store.close()


def held_refuse(channel: Annotated[str, typer.Argument(help="users or conferences.")]) -> None:
    """Refuse the held package: the partner's channel stops until its operator restores what was deleted, or sends again."""
    site = open_site(chosen_config())
    decisions.refuse_held(site, channel_from_name(channel))
    site.store.close()


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
    for channel in decisions.overrule_partner(site):
        talk.print(f"{channel}: this store wins; both copies are compared and made equal")
    site.store.close()

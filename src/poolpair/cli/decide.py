"""Commands that decide: parked, held, setback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from poolpair import decisions
from poolpair.cli import completing
from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk, tell
from poolpair.cli.ordering import ordered
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import channel_from_name
from poolpair.model import Channel
from poolpair.pipeline.site import Site, inbound_name, outbound_name
from poolpair.printable import shortened
from poolpair.state import Inbound, Outbound
from poolpair.wiring import open_site

FIRST_COPY = ": its first copy, and these were never at the partner; are the two sites swapped?"

Named = Annotated[str, typer.Argument(help="users or conferences.", autocompletion=completing.channels)]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    groups: dict[str, tuple[str, dict[str, Callable[..., None]]]] = {
        "parked": (
            "Groups that this store refused.",
            {"list": parked_list, "show": parked_show, "retry": parked_retry, "drop": parked_drop},
        ),
        "held": (
            "Packages that would delete very much, or what a first copy finds here.",
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


def parked_list() -> None:
    """List parked groups."""
    site = open_site(chosen_config())
    for group in site.store.parked():
        tell(
            group.group_id,
            group.channel,
            group.table,
            shortened(group.key),
            shortened(group.reason),
            group.since_utc,
        )
    site.store.close()


def parked_show(group_id: Annotated[int, typer.Argument(help="A number from `parked list`.")]) -> None:
    """Show one parked group."""
    site = open_site(chosen_config())
    found = next((group for group in site.store.parked() if group.group_id == group_id), None)
    site.store.close()
    if found is None:
        raise PoolpairError(Code.USAGE, f"no parked group has the number {group_id}")
    tell(f"table {found.table}, group {found.key}")
    tell(f"refused since {found.since_utc}: {found.reason}")
    tell(f"from package {found.package_id}")


def parked_retry(group_id: Annotated[int | None, typer.Argument(help="One group; all without it.")] = None) -> None:
    """Try parked groups again."""
    with ordered(f"parked retry {'' if group_id is None else group_id}".strip()) as site:
        tried = decisions.retry_parked(site, group_id)
    for group, reason in tried:
        tell(group.group_id, "applied" if reason is None else f"refused again: {reason}")
    if any(reason is not None for _, reason in tried):
        raise typer.Exit(1)


def parked_drop(
    group_id: Annotated[int, typer.Argument(help="A number from `parked list`.")],
    yes: Annotated[bool, typer.Option("--yes", help="The copy may lack it.")] = False,
) -> None:
    """Forget a parked group; the copy here then lacks it until `verify --repair` at the partner."""
    if not yes:
        raise PoolpairError(Code.USAGE, "dropping a parked group throws its rows away", hint="add --yes")
    with ordered(f"parked drop {group_id}") as site:
        decisions.drop_parked(site, group_id)


def held_list() -> None:
    """List packages that wait for a decision."""
    site = open_site(chosen_config())
    for channel in site.channels:
        inbound = site.store.read(Inbound, inbound_name(channel))
        if inbound and inbound.held:
            held = inbound.held
            state = "approved" if held.approved else "waits"
            deletes = f"deletes {held.deletes} of {held.of} in {held.table}{FIRST_COPY if held.first else ''}"
            tell(channel, f"package {held.position.sequence}", deletes, state, f"since {held.since_utc}")
    site.store.close()


def held_apply(channel: Named) -> None:
    """Apply the held package after all: the deletions are meant."""
    chosen = channel_from_name(channel)
    with ordered(f"held apply {chosen}") as site:
        decisions.approve_held(site, chosen)


def held_refuse(channel: Named) -> None:
    """Refuse the held package: the partner's channel stops until its operator restores what was deleted, or sends again."""
    chosen = channel_from_name(channel)
    with ordered(f"held refuse {chosen}") as site:
        decisions.refuse_held(site, chosen)


def setback_show() -> None:
    """Show which channels stopped because the partner has what this store does not."""
    site = open_site(chosen_config())
    stopped = 0
    for channel in site.channels:
        found = site.store.read(Outbound, outbound_name(channel))
        if found and found.stopped and found.stopped.code is Code.STORE_SET_BACK:
            stopped += 1
            for line in _setback_lines(channel, found, site.partner):
                typer.echo(line)
    site.store.close()
    if not stopped:
        talk.print("no channel is set back")
        return
    typer.echo(
        f"The rows themselves are only at {site.partner}: this store cannot list them. Look at them there before you decide;"
        " `setback resolve --ours` keeps what it replaces there in tables called poolpair_kept_row_*; `--theirs` says how that copy wins."
    )


def _setback_lines(channel: Channel, found: Outbound, partner: str) -> Iterator[str]:
    """What is known from here of what the partner has and this store lacks: its word, and what was sent until now."""
    made, word = found.next_sequence - 1, found.partner
    assert found.stopped is not None
    yield f"{channel}\t{found.stopped.detail} (since {found.stopped.since_utc})"
    yield f"\tthis store made packages up to {made} of stream {found.stream[:8]}"
    if found.acknowledged is not None:
        yield f"\tit knows that {partner} applied {found.acknowledged.sequence} of stream {found.acknowledged.stream[:8]}"
    if word is None or word.applied is None:
        return
    applied = word.applied
    yield f"\tthe partner applied package {applied.sequence} of stream {applied.stream[:8]} (id {applied.package_id[:8]})"
    lacking = applied.sequence - made
    if applied.stream != found.stream:
        yield "\thow many packages are missing here cannot be told: that stream began after this copy was made"
    elif lacking > 0:
        words = (
            "package that this store does not know is" if lacking == 1 else "packages that this store does not know are"
        )
        yield f"\t{lacking} {words} applied there"
    else:
        yield "\tthis store made other packages under the same numbers: both sides may have changes that the other lacks"
    yield (
        f"\t{partner} says of its copy: {word.status}, {word.parked} parked, {word.held} held, {word.foreign_writes} foreign writes;"
        f" complete: {', '.join(word.complete) or 'no'}"
    )


def _yield() -> None:
    """The partner's copy wins by being served: first there, and then everything that is here goes to the ledger."""
    with ordered("setback resolve --theirs") as site:
        if homes := decisions.not_yielded(site):
            for line in way_to_yield(homes, site):
                typer.echo(line)
            raise typer.Exit(1)
        channels = decisions.yield_to_partner(site)
    for channel in channels:
        talk.print(f"{channel}: goes on; what was here and differs is handed in, and goes to the ledger")
    if not channels:
        talk.print("no channel is set back")


def way_to_yield(homes: tuple[str, ...], site: Site) -> Iterator[str]:
    """In which order what is given where: each command as it can be given, for users or for the management store."""
    pool, partner = site.pool, site.partner
    poolpair = "poolpair --cms" if site.lead is Channel.CMS else "poolpair"
    yield f"Nothing was changed yet. {partner}'s copy wins by being served there. In this order:"
    number = 0
    for number, home in enumerate(homes, 1):
        verb = "failback" if home == partner else "failover"
        yield f"{number}. at {partner}: {poolpair} {verb} {home} --disaster    (within one pass {pool} refuses writes for them)"
    yield f"{number + 1}. at {pool}: {poolpair} setback resolve --theirs    (once more: what is here and differs goes to the ledger)"
    yield f"{number + 2}. at {partner}: {poolpair} ledger list; ledger resolve ID --ours (what {partner} has) or --theirs (what {pool} had)"
    if pool in homes:
        yield f"{number + 3}. at {partner}: {poolpair} failback {pool}"


def setback_resolve(
    ours: Annotated[
        bool, typer.Option("--ours", help="This store wins; what it replaces at the partner is kept there.")
    ] = False,
    theirs: Annotated[
        bool, typer.Option("--theirs", help="The partner's copy wins: prints how, and does its part.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Decide whose rows hold after this store was set back."""
    if ours == theirs:
        raise PoolpairError(Code.USAGE, "give either --ours or --theirs")
    if theirs:
        _yield()
        return
    if not yes and not typer.confirm(
        "The partner's newer rows will be replaced by this store's older ones (and kept there aside). Go on?"
    ):
        raise typer.Abort
    with ordered("setback resolve --ours") as site:
        for channel in decisions.overrule_partner(site):
            talk.print(f"{channel}: this store wins; both copies are compared and made equal")

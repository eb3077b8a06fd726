"""The command that ends a pair whose partner is gone for good."""

from __future__ import annotations

from typing import Annotated

import typer

from poolpair import parting
from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk
from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import identity_file
from poolpair.model import Channel
from poolpair.pipeline.identity import identity_in
from poolpair.share.open import own_share
from poolpair.store.port import Transaction
from poolpair.store.prepared import Unpaired
from poolpair.wiring import check_settings, open_site, profile_of, store_kind


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EXIT_STATUSES)(unpair)


def unpair(yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False) -> None:
    """End the pair where its partner is lost for good: everybody is served here, and a new partner can be given by `init`."""
    config = chosen_config()
    _refuse_holder(config)
    site = open_site(config, needs_key=False)
    moved: list[str] = []
    # The management store has one home; of a pool's users both homes count, also one that has none yet.
    homes = tuple(owner for _, owner in config.homes) if site.lead is Channel.CMS else site.homes

    def farewell(tx: Transaction) -> Unpaired:
        word = parting.part(site, tx, homes)
        moved.extend(parting.withdraw_share(site))
        return word

    try:
        check_settings(site)
        parting.check_decided(site)
        typer.echo(
            f"{site.partner} is forgotten: what only it had is gone. Everybody is served here, without a copy and without a fence"
        )
        typer.echo("nothing is captured until `init` gives this pool a new partner; the ledger stays")
        if not yes and not typer.confirm("Go on?"):
            raise typer.Abort
    finally:
        site.store.close()
    store_kind(config).unpaired(profile_of(config), config.pool, farewell)
    for name in moved:
        talk.print(f"set aside, never applied: Quarantine/{name}", markup=False)
    talk.print(
        f"pool {config.pool} has no partner; next: a new key (`poolpair key new`), the new partner and its homes in {config.path}, `init`",
        markup=False,
    )


def _refuse_holder(config: PoolConfig) -> None:
    """The management store is a store of its own, with a pair of its own: what it has in the share would stay the old pair's."""
    if config.cms is not None and identity_in(own_share(config), identity_file(Channel.CMS)) is not None:
        raise PoolpairError(
            Code.USAGE,
            "this pair holds the central management store, which parts first",
            "`poolpair cms failover --disaster` unless it is held here, `poolpair --cms unpair`, then this command again",
        )

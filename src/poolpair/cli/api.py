"""Commands of the HTTP API: answering, and the tokens of whoever asks."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import typer

from poolpair.cli import completing
from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk
from poolpair.cli.ordering import ordered
from poolpair.clock import SystemClock
from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.management.before import refuse_before_store
from poolpair.management.effective import says_the_same
from poolpair.management.holding import management_of
from poolpair.management.local import stamp_of
from poolpair.management.seen import Deployment, StoreSeen, deployment_seen
from poolpair.scratch import scratch_of
from poolpair.supervisor import notify
from poolpair.wiring import open_site, store_kind

ROLES = "`reader` looks, `operator` orders as well."
_roles = completing.one_of(("reader", "operator"))


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog=EXIT_STATUSES)(api)
    group = typer.Typer(help="Who may ask `poolpair api`, and who may order.", no_args_is_help=True)
    group.command("show", epilog=EXIT_STATUSES)(token_show)
    group.command("new", epilog=EXIT_STATUSES)(token_new)
    app.add_typer(group, name="token")


def api(allow_root: Annotated[bool, typer.Option("--allow-root", help="Run even as root.")] = False) -> None:
    """Answer over HTTP until SIGTERM or SIGINT: the page, the API, figures, and for load balancers whether this pool serves."""
    from poolpair.api.access import tokens_of  # other commands need no web framework
    from poolpair.api.answers import Answers
    from poolpair.api.desk import Answering, Desk
    from poolpair.api.drills import Drills
    from poolpair.api.listen import answer

    config = chosen_config()
    if os.geteuid() == 0 and not allow_root:
        raise PoolpairError(Code.ROOT, "it should run as the application's user, not as root")
    now = _Current(config)
    site = open_site(config)  # what is wrong with the pool file or the store is said at once
    site.store.close()
    tokens = tokens_of(config)
    tokens.bearers()
    file = store_kind(config).local_file()
    serving, looks, orders = (
        Answers(lambda: open_site(now.config), site.homes, site.pool, file=file, changed=now.number) for _ in range(3)
    )
    desk = Desk(
        Answering(serving=serving, looks=looks, orders=orders),
        tokens,
        Drills(config.path),
        pool=site.pool,
        pools=site.homes,
        sealed=config.api.is_sealed,
        key_file=config.partner.key_file,
        deployment=_deployment(config),
        before_move=lambda pool, disaster: refuse_before_store(now.config, pool, disaster=disaster),
    )

    def tell(line: str) -> None:
        talk.print(line, markup=False)
        notify("READY=1")

    answer(desk, config.api, tell)


class _Current:
    """The configuration that counts now: what the management store publishes is taken up as the service takes it up."""

    def __init__(self, config: PoolConfig) -> None:
        self.config = config
        self._folder = scratch_of(config)
        self._stamp = stamp_of(self._folder)
        self._number = 0

    def number(self) -> int:
        """Grows whenever it is another one. What cannot be used changes nothing, as at the service."""
        stamp = stamp_of(self._folder)
        if stamp != self._stamp:
            self._stamp = stamp
            with suppress(PoolpairError):
                found = chosen_config()
                if not says_the_same(found, self.config):
                    self.config, self._number = found, self._number + 1
        return self._number


def _deployment(config: PoolConfig) -> Callable[[], Deployment]:
    """How the whole deployment stands; a store of its own is opened where this pair holds the management store."""
    from poolpair.api.answers import STATUS_KEPT_S, Answers

    clock = SystemClock()
    if config.cms is None:
        return lambda: deployment_seen(config, clock, None)
    management = management_of(config)
    file = store_kind(management).local_file()
    store = Answers(lambda: open_site(management), (), config.pool, file=file)
    return lambda: deployment_seen(config, clock, lambda look: store.kept("store", STATUS_KEPT_S, look, StoreSeen))


def token_show(
    role: Annotated[str, typer.Argument(help=ROLES, autocompletion=_roles)] = "operator",
) -> None:
    """Print the tokens of a role, one a line with its name; without any the two that a pool begins with are made."""
    from poolpair.api.access import tokens_of

    wanted = _role(role)
    for bearer in tokens_of(chosen_config()).bearers():
        if bearer.role == wanted:
            typer.echo(f"{bearer.token}\t{bearer.name}")


def token_new(
    name: Annotated[str, typer.Argument(help="Whose it is; the audit names it.")],
    role: Annotated[str, typer.Option(help=ROLES, autocompletion=_roles)] = "reader",
) -> None:
    """Make a token and print it. `poolpair api` knows it at once; to take one back, delete its line in the file."""
    from poolpair.api.access import Role, add_token, tokens_of

    tokens = tokens_of(chosen_config()) if chosen_config().api.tokens is None else None
    path = tokens.path if tokens is not None else chosen_config().api.tokens
    assert path is not None
    chosen = Role(_role(role))
    with ordered(f"token new {name} --role {chosen}"):
        made = add_token(path, chosen, name)
    typer.echo(made.token)
    talk.print(f"added to {path}", markup=False)


def _role(text: str) -> str:
    if text not in {"reader", "operator"}:
        raise PoolpairError(Code.USAGE, f"{text!r} is no role: it is either reader or operator")
    return text

"""The command that rehearses a disaster."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from poolpair import documents
from poolpair.cli import completing
from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk, tell
from poolpair.cli.ordering import ordered
from poolpair.errors import Code, PoolpairError
from poolpair.moves import DrillResult
from poolpair.units import show_age, show_bytes, show_count

TIMEOUT_MAX_S = 24 * 3600


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EXIT_STATUSES)(drill)


def drill(
    pool: Annotated[
        str, typer.Argument(help="The users' home pool, which is taken for dead.", autocompletion=completing.pools)
    ],
    keep: Annotated[bool, typer.Option("--keep", help="Let the copy stay; the next drill removes it.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that the takeover on the copy may take.")] = 600.0,
) -> None:
    """Rehearse `failover POOL --disaster` on a copy of this pool, and say what it would give: RPO, RTO, and whether all is right.

    Production goes on: nothing of it is written but the result. Run it where the users would be served, by cron if you like.
    """
    from poolpair.drill.rehearse import rehearse  # other commands need none of it

    if not 0 < timeout <= TIMEOUT_MAX_S:  # which NaN is not
        raise PoolpairError(Code.USAGE, f"--timeout {timeout}: it is a number of seconds, up to {TIMEOUT_MAX_S}")
    config = chosen_config()
    for number in (signal.SIGINT, signal.SIGTERM):  # cron's too: a drill that is ended clears up, and has not passed
        signal.signal(number, signal.default_int_handler)
    with ordered(f"drill {pool}"):
        result = rehearse(config, pool, keep=keep, timeout_s=timeout, tell=lambda line: talk.print(line, markup=False))
    if json:
        typer.echo(documents.encode_full(result))
        return
    for line in _lines(result):
        tell(line)


def _lines(result: DrillResult) -> tuple[str, ...]:
    rpo = (
        "RPO not known: the partner was not heard since this service started"
        if result.rpo_s is None
        else f"RPO {show_age(result.rpo_s)}: all that {result.home} had accepted that long before the drill began is served by the copy"
    )
    stood = f"{show_count(result.packages, 'package')} stood and {'was' if result.packages == 1 else 'were'}"
    check = result.check or "none is set; [hooks] drill in the pool file"
    return (
        f"passed: a takeover of {result.home} would give what it should",
        f"RTO {show_age(result.rto_s)}: from the order until its users are served, without hooks",
        rpo,
        f"copied {show_bytes(result.copied_bytes)}, {show_count(result.files, 'file')} among it; {stood} applied",
        f"check: {check}",
        f"the whole drill took {show_age(result.took_s)}",
    )

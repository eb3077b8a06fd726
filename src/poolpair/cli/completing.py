"""What the tabulator key offers beyond commands and options: names that the pool file or the program knows. No store is opened for it.

A shell waits while this is asked: where something is wrong nothing is offered, and the shell goes on with names of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from poolpair.cli.context import load_pool
from poolpair.errors import PoolpairError
from poolpair.model import Channel
from poolpair.moves import HookStep


def pools(ctx: typer.Context) -> list[str]:
    """Both pools of the pair of the pool file that is chosen with -c or by POOLPAIR_CONFIG."""
    path = ctx.find_root().params.get("config")
    if not isinstance(path, Path):
        return []
    try:
        config = load_pool(path)
    except PoolpairError:
        return []
    return [config.pool, config.partner.pool]


def one_of(names: Iterable[str]) -> Callable[[], list[str]]:
    """Offers these, of which those count that begin as the word does."""
    listed = [str(name) for name in names]
    return lambda: listed


channels = one_of(channel for channel in Channel if channel is not Channel.CMS)
hook_steps = one_of(HookStep)

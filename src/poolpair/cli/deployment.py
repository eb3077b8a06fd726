"""Commands for settings of a whole deployment, in the management store: config get, set, reset."""

from __future__ import annotations

from typing import Annotated

import typer

from poolpair.cli.context import EXIT_STATUSES, chosen_pool, talk
from poolpair.cli.topology import store
from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.management.publish import version_of
from poolpair.management.settings import (
    Values,
    document_of,
    explained,
    key_of,
    parse_settings,
    with_setting,
    write_settings,
)
from poolpair.management.topology import TOPOLOGY, parse_topology

Pool = Annotated[str | None, typer.Option("--pool", help="For this pool alone, instead of all.")]
Name = Annotated[str, typer.Argument(help="Our name or the original's, such as sync.interval or SyncInterval.")]


def register_in(group: typer.Typer) -> None:
    """Add these commands to the group `config`."""
    group.command("get", epilog=EXIT_STATUSES)(get)
    group.command("set", epilog=EXIT_STATUSES)(set_one)
    group.command("reset", epilog=EXIT_STATUSES)(reset)


def get(
    name: Annotated[str | None, typer.Argument(help="One setting; all without it.")] = None, pool: Pool = None
) -> None:
    """Print what the management store says, our names beside the original's, and what may be set."""
    values, _ = _values(chosen_pool(), pool)
    wanted = key_of(name) if name else None
    rows = [("setting", "value", "in the original", "may be")]
    rows += [
        (known.key, known.value if known.given else f"({known.value})", known.lync, known.range)
        for known in explained(values)
        if wanted in (None, known.key)
    ]
    if wanted:
        typer.echo(rows[1][1])
        return
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip())
    talk.print("in brackets: not set, each pool goes by its own file, or by this default")


def set_one(
    name: Name, value: Annotated[str, typer.Argument(help="Such as 5s, 200MiB, true, '[\"500\"]'.")], pool: Pool = None
) -> None:
    """Set it for all pools, or for one; it counts everywhere within one round of replication, without a restart."""
    _change(name, value, pool)


def reset(
    name: Annotated[str | None, typer.Argument(help="One setting; all without it.")] = None, pool: Pool = None
) -> None:
    """Forget what was set: each pool goes by its own file again, or by the default."""
    if name is None:
        _publish(chosen_pool(), pool, {}, "reset")
        return
    _change(name, None, pool)


def _change(name: str, value: str | None, pool: str | None) -> None:
    config = chosen_pool()
    values, version = _values(config, pool)
    changed = with_setting(values, name, value)
    said = f"{key_of(name)} = {value}" if value is not None else f"{key_of(name)} reset"
    _publish(config, pool, changed, said, version)


def _publish(config: PoolConfig, pool: str | None, values: Values, note: str, onto: int | None = None) -> None:
    store(config, document_of(pool), write_settings(values), onto=onto, note=note)


def _values(config: PoolConfig, pool: str | None) -> tuple[Values, int]:
    if pool is not None:
        topology = version_of(config, TOPOLOGY)
        if topology is None or parse_topology(topology.body).pool(pool) is None:
            raise PoolpairError(Code.USAGE, f"the topology has no pool {pool}", "`poolpair topology show` prints it")
    found = version_of(config, document_of(pool))
    return (parse_settings(found.body, found.name), found.version) if found else ({}, 0)

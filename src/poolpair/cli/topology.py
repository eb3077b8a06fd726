"""Commands for the topology, a document of the management store: topology show, validate, publish, edit."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from poolpair.cli.context import EXIT_STATUSES, chosen_pool, talk
from poolpair.cli.ordering import account_here
from poolpair.clock import SystemClock
from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.management.documents import BODY_MAX_BYTES, Draft
from poolpair.management.publish import check_document, publish, version_of
from poolpair.management.topology import TOPOLOGY, parse_topology

START = """\
# Which pools there are, where the others reach their shares, and which servers run the service of each.
[[pools]]
name       = "{pool}"
site       = "first site"
kind       = "{kind}"
share      = "{share}"
front_ends = ["{front_end}"]

[[pools]]
name       = "{partner}"
site       = "second site"
kind       = "{kind}"
share      = "{partner_share}"
front_ends = ["the name of its server"]

[[pairs]]
pools       = ["{pool}", "{partner}"]
holds_store = true
"""
Note = Annotated[str, typer.Option("--note", help="Why, for whoever reads the versions later.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Pools, pairs and servers of the whole deployment.", no_args_is_help=True)
    for name, command in (("show", show), ("edit", edit)):
        group.command(name, epilog=EXIT_STATUSES)(command)
    group.command("validate", epilog=EXIT_STATUSES)(validate)
    group.command("publish", epilog=EXIT_STATUSES)(publish_file)
    app.add_typer(group, name="topology")


def show(
    version: Annotated[int | None, typer.Option(help="An earlier version, where the store is held.")] = None,
) -> None:
    """Print the topology as it was published, from any server."""
    found = version_of(chosen_pool(), TOPOLOGY, version)
    if found is None:
        raise PoolpairError(Code.USAGE, "no topology was published yet", "`poolpair topology edit` begins one")
    talk.print(f"version {found.version}, by {found.author} at {found.published_utc}: {found.note}", markup=False)
    typer.echo(found.body, nl=False)


def validate(file: Annotated[Path, typer.Argument(help="A topology; - for standard input.")]) -> None:
    """Say everything that is wrong with a topology; publishes nothing."""
    body = read_body(file)
    check_document(chosen_pool(), TOPOLOGY, body)
    talk.print(words_of(body), markup=False)


def publish_file(
    file: Annotated[Path, typer.Argument(help="A topology; - for standard input.")],
    onto: Annotated[
        int | None, typer.Option(help="The version that it was made from; the newest if not given.")
    ] = None,
    note: Note = "",
) -> None:
    """Publish a topology; every server has it within one round of replication."""
    store(chosen_pool(), TOPOLOGY, read_body(file), onto=onto, note=note)


def edit(note: Note = "") -> None:
    """Change the topology in $EDITOR, and publish it."""
    config = chosen_pool()
    found = version_of(config, TOPOLOGY)
    before = found.body if found else start_of(config)
    with _edited(before) as after:
        if found is not None and after == before:
            talk.print("nothing was changed")
            return
        store(config, TOPOLOGY, after, onto=found.version if found else 0, note=note)


@contextmanager
def _edited(before: str) -> Iterator[str]:
    """What a person makes of a text; what could not be published stays in the file, which is named."""
    program = _editor()
    with tempfile.NamedTemporaryFile("w", suffix=".toml", prefix="topology-", delete=False) as made:
        made.write(before)
    path = Path(made.name)
    try:
        subprocess.run([*program, str(path)], check=True)
    except OSError as error:
        raise PoolpairError(Code.USAGE, f"{program[0]}: {error.strerror}", "set EDITOR to an editor") from error
    except subprocess.CalledProcessError as error:
        raise PoolpairError(Code.USAGE, f"{program[0]} ended with status {error.returncode}") from error
    try:
        after = read_body(path)
        parse_topology(after)
        yield after
    except PoolpairError as error:
        hint = f"your text is in {path}: correct it, then `poolpair topology publish {path}`"
        raise PoolpairError(error.code, error.detail, hint) from error
    path.unlink()


def _editor() -> list[str]:
    """What $VISUAL or $EDITOR says, with its options. Raises USAGE for what is no command."""
    said = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        program = shlex.split(said)
    except ValueError as error:
        raise PoolpairError(Code.USAGE, f"EDITOR={said!r}: {error}", "set EDITOR to an editor") from error
    if not program:
        raise PoolpairError(Code.USAGE, f"EDITOR={said!r} names no program", "set EDITOR to an editor")
    return program


def start_of(config: PoolConfig) -> str:
    """A topology to begin with, by what this pool file says."""
    kind = "postgresql" if config.store.startswith("postgresql") else "sqlite"
    return START.format(
        pool=config.pool,
        partner=config.partner.pool,
        kind=kind,
        share=config.share,
        partner_share=config.partner.share,
        front_end=config.front_end,
    )


def words_of(body: str) -> str:
    """How much a topology describes."""
    found = parse_topology(body)
    servers = sum(len(pool.front_ends) for pool in found.pools)
    return f"{len(found.pools)} pools in {len(found.pairs)} pairs, {servers} servers"


def read_body(file: Path) -> str:
    """A document from a file. Raises USAGE."""
    try:
        raw = sys.stdin.buffer.read(BODY_MAX_BYTES + 1) if str(file) == "-" else _head(file)
        return raw.decode()
    except OSError as error:
        raise PoolpairError(Code.USAGE, f"{file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise PoolpairError(Code.USAGE, f"{file}: not UTF-8") from None


def _head(file: Path) -> bytes:
    with file.open("rb") as source:
        return source.read(BODY_MAX_BYTES + 1)


def store(config: PoolConfig, name: str, body: str, *, onto: int | None, note: str) -> None:
    """Publish a document and say so."""
    if onto is None:
        found = version_of(config, name)
        onto = found.version if found else 0
    author = f"{account_here()}@{socket.gethostname()}"
    draft = Draft(name=name, body=body, onto=onto)
    made = publish(config, draft, author=author, note=note, now_utc=SystemClock().utc_iso())
    talk.print(f"published {name}, version {made.version}", markup=False)

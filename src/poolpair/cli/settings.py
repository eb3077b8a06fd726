"""Commands that prepare: key, config show, init, uninstall, adopt-store."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from poolpair.cli import deployment
from poolpair.cli.context import EXIT_STATUSES, chosen_config, chosen_pool, is_config_chosen, talk
from poolpair.cli.examine import lines_of_left_out
from poolpair.cli.ordering import ordered
from poolpair.config import PoolConfig
from poolpair.config_values import MANAGEMENT_PROFILE
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import POOL_JSON, PoolIdentity, identity_file
from poolpair.keyfile import activate_key, new_key_file, read_key_file, retire_secrets, rotate_key_file
from poolpair.management.before import refuse_before_store
from poolpair.management.holding import FILE as MANAGEMENT_FILE
from poolpair.management.holding import documents_of, prepare_management
from poolpair.management.members import resealed
from poolpair.model import new_id, serving_pool
from poolpair.pipeline.identity import identity_in
from poolpair.scratch import scratch_of
from poolpair.share.open import own_share
from poolpair.share.port import OwnShare
from poolpair.wiring import home_triples, initialise, open_site, open_store, profile_of, store_kind

OURS = ("CentralMgmt", "ConfServices", "UserServices", "TaskAssignment", "Temp", "Quarantine", "Replicas")
OF_STORE = ("CentralMgmt", "Replicas")
"""Folders of the share: of a pool, and of its management store alone."""


def register(app: typer.Typer) -> None:
    """Add these commands."""
    key = typer.Typer(help="Make and change the key file of a pair.", no_args_is_help=True)
    key.command("new", epilog=EXIT_STATUSES)(key_new)
    key.command("rotate", epilog=EXIT_STATUSES)(key_rotate)
    app.add_typer(key, name="key")
    config = typer.Typer(help="Settings: of this pool's file, and of the whole deployment.", no_args_is_help=True)
    config.command("show", epilog=EXIT_STATUSES)(config_show)
    deployment.register_in(config)
    app.add_typer(config, name="config")
    app.command(epilog=EXIT_STATUSES)(init)
    app.command(epilog=EXIT_STATUSES)(uninstall)
    app.command("adopt-store", epilog=EXIT_STATUSES)(adopt_store)


def key_new(path: Annotated[Path, typer.Argument(help="Where to write it; must not exist.")]) -> None:
    """Make a key file (mode 0600). Copy it to the partner by a way that you trust."""
    ring = new_key_file(path)
    talk.print(f"made {path} for pair {ring.pair_id[:8]}; copy it to the partner, mode 0600", markup=False)


def key_rotate(
    path: Annotated[Path, typer.Argument(help="The key file.")],
    activate: Annotated[bool, typer.Option("--activate", help="Seal with the newest secret from now on.")] = False,
    retire: Annotated[bool, typer.Option("--retire", help="Open with nothing but the newest from now on.")] = False,
) -> None:
    """Add a secret: rotate on one side, copy the file to the other, then rotate --activate on both; at last, perhaps, --retire."""
    if activate and retire:
        raise PoolpairError(
            Code.USAGE, "--activate and --retire are two steps", "retire when both sides were activated"
        )
    if retire:
        _refuse_unsealed(path)
    ring = activate_key(path) if activate else retire_secrets(path) if retire else rotate_key_file(path)
    talk.print(f"{path}: {len(ring.secrets)} secrets; sealing with {ring.sealing.key_id}", markup=False)


def _refuse_unsealed(path: Path) -> None:
    """Raise USAGE while a document of the management store would be opened by nothing afterwards. What is not named is not looked at."""
    if not is_config_chosen():
        talk.print(
            "where this pair holds the central management store give -c, too: then its documents are looked at first"
        )
        return
    config = chosen_pool()
    if config.cms is None:
        return
    ring = read_key_file(path)
    with closing(documents_of(config)) as there:
        late = [document.name for document in there.newest() if resealed(document, ring) is not None]
    if late:
        raise PoolpairError(
            Code.USAGE,
            f"{', '.join(late)} in the management store is sealed with an older secret: its pool would be cut off",
            "the service of the pool that holds the store seals it anew within seconds, and its partner has that with the next package",
        )


def config_show() -> None:
    """Print every value of the pool file and where it came from."""
    config = chosen_config()
    for line in config.overruled:
        talk.print(line, markup=False)
    rows = [("key", "value", "from", "in the original")]
    rows += [(setting.key, setting.value, setting.source, setting.lync) for setting in config.sources]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip())


def init(print_sql: Annotated[bool, typer.Option("--print-sql", help="Only print what would be run.")] = False) -> None:
    """Install capture in the database and make the share. May be repeated; puts back what is missing."""
    config = chosen_config()
    if print_sql:
        for statement in store_kind(config).statements(profile_of(config, anew=True), home_triples(config)):
            typer.echo(f"{statement};")
        return
    done = initialise(config)
    if config.cms is not None:
        prepare_management(config)
    if done.repaired:
        talk.print(f"put back {len(done.repaired)} triggers; both copies will be compared", markup=False)
    if (profile := profile_of(config)).whole:  # its tables are found, so nobody has read yet which are not carried
        for line in lines_of_left_out(store_kind(config), profile):
            talk.print(line, markup=False)
    with ordered("init"):  # which could not be entered before
        pass
    talk.print(
        f"pool {config.pool}: {'prepared' if done.fresh else 'already prepared'}; store {done.store_id[:8]}, share {config.share}",
        markup=False,
    )


def uninstall(
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    keep_share: Annotated[bool, typer.Option("--keep-share", help="Leave the own share as it is.")] = False,
    keep_wal: Annotated[bool, typer.Option("--keep-wal", help="Leave the database in WAL mode.")] = False,
    users_away: Annotated[
        bool,
        typer.Option("--users-away", help="Also while users are not served at home, and nobody will know it then."),
    ] = False,
) -> None:
    """Remove every trace of poolpair from the database, the own share and the scratch folder. The partner is not needed."""
    config = chosen_config()
    _refuse_holder(config)
    away = _away(config)
    if away and yes and not users_away:
        detail = f"{away}: without poolpair nobody knows that, and after another `init` everybody would be served at home from older rows"
        raise PoolpairError(Code.USAGE, detail, "`poolpair failback` first; --users-away removes it all the same")
    share = own_share(config)
    if not keep_share:
        _refuse_share_of_another(config, share)
    kind = store_kind(config)
    question = f"Remove poolpair from {kind.shown()} and empty {config.share}?"
    if not yes and not typer.confirm(f"{away}, and nobody will know it. {question}" if away else question):
        raise typer.Abort
    with kind.uninstalled(keep_wal=keep_wal) as removed:
        try:
            if not keep_share:
                _clear_share(share, of_store=config.profile == MANAGEMENT_PROFILE)
            _clear_scratch(scratch_of(config))
        except (OSError, PoolpairError) as error:
            words = error.detail if isinstance(error, PoolpairError) else f"{error.filename}: {error.strerror}"
            hint = "mend it and run `uninstall` again: it goes on where it stopped"
            detail = f"{words}; the database is free of poolpair already"
            raise PoolpairError(Code.SHARE_FAILED, detail, hint=hint) from error
    talk.print(f"removed {len(removed)} tables and triggers", markup=False)


def _refuse_holder(config: PoolConfig) -> None:
    """The deployment would have no management store. One that was never prepared holds none."""
    try:
        refuse_before_store(config, config.pool)
    except PoolpairError as error:
        if error.code in {Code.NOT_INSTALLED, Code.STORE_MISSING, Code.KEY_FILE}:
            return  # nobody can be asked; what lies in its database stays there
        if error.code is not Code.USAGE:
            raise
        hint = "`poolpair cms failover`, then this command again; if nobody is left to take it: `poolpair --cms uninstall` first"
        raise PoolpairError(error.code, error.detail, hint) from error


def _away(config: PoolConfig) -> str:
    """Who is not served at home, as a sentence; nothing where all are, or only documents are meant."""
    if config.profile == MANAGEMENT_PROFILE:
        return ""
    try:
        site = open_site(config, needs_key=False)
        with closing(site.store):
            served = {home: serving_pool(site.serving(home).present, (site.pool, site.partner)) for home in site.homes}
    except PoolpairError:
        return ""  # a store that does not open tells nothing, and `uninstall` is a way out of that, too
    return ", ".join(f"the users of {home} are served by pool {by}" for home, by in served.items() if by != home)


def _refuse_share_of_another(config: PoolConfig, share: OwnShare) -> None:
    try:
        found = share.read_small(POOL_JSON, 4096)
    except PoolpairError as error:
        if error.code is not Code.SHARE_MISSING:
            raise
        return
    if found is not None and (owner := PoolIdentity.parse(found)).pool != config.pool:
        raise PoolpairError(Code.SHARE_FOREIGN, f"{config.share} belongs to pool {owner.pool!r}; nothing was removed")


def _clear_scratch(scratch: Path) -> None:
    """Remove our files, the lock too; what was set aside is the operator's."""
    if not scratch.is_dir():
        return
    spool = scratch / "spool"
    if spool.is_dir() and any(spool.iterdir()):
        talk.print(f"kept {spool}: it holds files that were changed here and would have been overwritten", markup=False)
    for folder in filter(Path.is_dir, scratch.glob("*")):
        if not any(folder.iterdir()):
            folder.rmdir()
    for path in scratch.glob("*"):
        if path.name == MANAGEMENT_FILE:
            talk.print(f"kept {path}: the documents of the management store", markup=False)
        elif path.is_file() and not path.name.startswith(MANAGEMENT_FILE):
            path.unlink()
    if not any(scratch.iterdir()):
        scratch.rmdir()


def _clear_share(share: OwnShare, *, of_store: bool) -> None:
    """Remove our folders, and nothing that is not ours. A share that is gone is clear."""
    try:
        share.clear(OF_STORE if of_store else OURS)
        if not of_store:
            share.remove("", POOL_JSON)
    except PoolpairError as error:
        if error.code is not Code.SHARE_MISSING:
            raise


def adopt_store(yes: Annotated[bool, typer.Option("--yes", help="This database is the one to keep.")] = False) -> None:
    """Make this database the owner of its share: after it was moved on purpose, or to keep a copy instead of the original."""
    config = chosen_config()
    if not yes:
        raise PoolpairError(
            Code.USAGE,
            "adopt-store gives this database a new identity",
            hint="add --yes; make sure that no other copy runs",
        )
    ring = read_key_file(config.partner.key_file)
    share = own_share(config)
    profile = profile_of(config)
    path = identity_file(profile.lead)
    found = identity_in(share, path)
    owner = PoolIdentity.parse(found) if found is not None else None
    if owner is not None and (owner.pool, owner.pair_id) != (config.pool, ring.pair_id):
        raise PoolpairError(
            Code.SHARE_FOREIGN, f"{config.share} belongs to pool {owner.pool!r} of pair {owner.pair_id[:8]}"
        )
    store = open_store(config, profile)
    try:
        store.take_lease(f"adopt-store (process {os.getpid()})", config.front_end)
        store_id = new_id()
        store.adopt(store_id)
        store.release_lease()
    finally:
        store.close()
    share.write_small(path, PoolIdentity(pool=config.pool, pair_id=ring.pair_id, store_id=store_id).encode().encode())
    with ordered("adopt-store"):  # nothing of a copy is written into before it is the one to keep
        pass
    talk.print(f"pool {config.pool}: this database is now store {store_id[:8]}", markup=False)

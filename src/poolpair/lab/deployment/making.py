"""A lab from nothing: keys, databases, pool files, shares, the first copies, and the documents of its management store."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir

import psycopg

from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.keyfile import new_key_file
from poolpair.lab.deployment import parts
from poolpair.lab.deployment.application import PROFILE, TABLE
from poolpair.lab.deployment.layout import HOLDERS, Layout, PoolPlan, is_lab, load
from poolpair.lab.deployment.process import mark_of
from poolpair.lab.deployment.servers import check_installed, make_server, place_for, url_of
from poolpair.lab.pool import Answer, run_command
from poolpair.lab.waiting import NotSeen, wait_for
from poolpair.management.effective import load_effective
from poolpair.management.holding import management_of, prepare_management
from poolpair.model import ExportStatus
from poolpair.report import gather
from poolpair.server import ServerFailed
from poolpair.wiring import initialise, open_site

COPIED_S = 90.0
Say = Callable[[str], None]


def make(folder: Path, store: str, say: Say) -> Layout:
    """Make and start a lab; one that was stopped is started again. Raises USAGE where one runs, or the folder is somebody else's."""
    if is_lab(folder):
        found = load(folder)
        refuse_running(found)
        if found.made and found.store != store:
            hint = f"`poolpair lab up --store {found.store}` starts it again, `poolpair lab down` removes it"
            raise PoolpairError(Code.USAGE, f"a lab on {found.store} lies in {folder}, and does not run", hint)
        if found.made:
            return start_all(found, say)
        remove(found)  # it was never finished
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PoolpairError(
            Code.USAGE, f"{folder} is no lab and not empty, so nothing is made there", "choose another with --dir"
        )
    if store == "postgresql":
        check_installed()
    layout = _prepare(folder, store, say)
    try:
        return _bring_up(layout, say)
    except BaseException:  # also where somebody interrupts: nothing is left running
        end_all(layout)
        raise


def _bring_up(layout: Layout, say: Say) -> Layout:
    try:
        return _make(layout, say)
    except (ServerFailed, psycopg.Error, sqlite3.Error, OSError) as error:
        raise PoolpairError(
            Code.STORE_MISSING, f"the lab cannot be made: {error}", f"look at {layout.folder}"
        ) from None


def refuse_running(layout: Layout) -> None:
    """Raise USAGE if anything of a lab runs."""
    running = [part for part in layout.parts() if parts.stands(layout, part) != "down"]
    if running:
        detail = f"a lab runs in {layout.folder} already: {', '.join(running)}"
        raise PoolpairError(Code.USAGE, detail, "`poolpair lab status` shows it, `poolpair lab down` ends it")


def _prepare(folder: Path, store: str, say: Say) -> Layout:
    """Folders, and the file that says what they are, before anything is started."""
    folder.mkdir(parents=True, exist_ok=True)
    layout = Layout(folder=folder, store=store, places={})
    layout.save()
    if store == "postgresql":
        layout = replace(layout, places={pool: str(place_for(folder, pool)) for pool in HOLDERS})
        layout.save()
    for name in ("log", "run", "committed"):
        (folder / name).mkdir()
    for pool in layout.pools:
        layout.share(pool.name).mkdir()
        layout.data(pool.name).mkdir()
    (folder / "note.toml").write_text(PROFILE)
    say(f"two sites, four pools in two pairs, in {folder}")
    return layout


def _make(layout: Layout, say: Say) -> Layout:
    for pair in sorted({pool.pair for pool in layout.pools}):
        new_key_file(layout.key(pair))
    for pool in layout.pools:
        _make_database(layout, pool)
        for front_end in pool.front_ends:
            write_pool_file(layout, pool, front_end)
        config = load_effective(layout.pool_file(pool.name))
        initialise(config)
        if config.cms is not None:
            prepare_management(config)
    say(f"databases made and prepared: a and b on {layout.store}, c and d on sqlite")
    for name in HOLDERS:
        begin_services(layout, name)
    first = layout.pool_file(HOLDERS[0])
    _wait("the management store's first copy", lambda: _is_copied(management_of(load_effective(first))))
    say("pair a and b works, and holds the management store")
    for pool in layout.pools:
        if pool.name not in HOLDERS:
            must(first, "cms", "invite", pool.name, str(layout.key(f"cms-{pool.name}")))
            begin_services(layout, pool.name)
    for pool in layout.pools:
        parts.start(layout, pool.application)
    say("pair c and d works; an application takes notes at each pool")
    (layout.folder / "topology.toml").write_text(topology(layout))
    must(first, "topology", "publish", str(layout.folder / "topology.toml"), "--note", "the lab as it was made")
    must(first, "cms", "replicate", "--timeout", str(COPIED_S))
    servers = sum(len(pool.front_ends) for pool in layout.pools)
    say(f"the topology is published: all {servers} servers have their replica")
    wait_copied(layout)
    say("all copies are complete: any pool could be taken over")
    made = replace(layout, made=True)
    made.save()
    return made


def wait_copied(layout: Layout) -> None:
    """Wait until the copies of all users are complete at their partners. Raises TIMEOUT."""

    def complete() -> bool:
        return all(_is_copied(load_effective(layout.pool_file(pool.name))) for pool in layout.pools)

    _wait("complete copies", complete)


def _is_copied(config: PoolConfig) -> bool:
    site = open_site(config)
    try:
        sending = [channel.export for channel in gather(site).channels]
    finally:
        site.store.close()
    return all(view.status in (ExportStatus.FINAL, ExportStatus.STEADY) and view.partner_complete for view in sending)


def _make_database(layout: Layout, pool: PoolPlan) -> None:
    if pool.kind == "postgresql":
        server = make_server(layout, pool.name)
        found = mark_of(server.postmaster or 0)
        if found is not None:
            found.save(layout.mark(pool.database))
        with psycopg.connect(url_of(layout, pool.name)) as connection:
            connection.execute(TABLE)
        return
    with closing(sqlite3.connect(layout.database_file(pool.name))) as file, file:
        file.execute(TABLE)


def write_pool_file(layout: Layout, pool: PoolPlan, front_end: str) -> None:
    """The pool file of one front end: the same for all of a pool but for its name and scratch folder."""
    folder = layout.folder
    store = url_of(layout, pool.name) if pool.kind == "postgresql" else f"sqlite:///{layout.database_file(pool.name)}"
    cms = f'home = "{HOLDERS[0]}"' if pool.name in HOLDERS else f'member_key = "{layout.key(f"cms-{pool.name}")}"'
    homes = "".join(f'"{name}" = "{name}"\n' for name in sorted((pool.name, pool.partner)))
    layout.toml(front_end).write_text(
        f'pool = "{pool.name}"\nstore = "{store}"\nprofile = "{folder / "note.toml"}"\nshare = "{layout.share(pool.name)}"\n'
        f'scratch = "{layout.scratch(front_end)}"\nfront_end = "{front_end}"\n\n'
        f'[partner]\npool = "{pool.partner}"\nshare = "{layout.share(pool.partner)}"\nkey_file = "{layout.key(pool.pair)}"\n\n'
        f'[homes]\n{homes}\n[sync]\nheartbeat_max = "1s"\n\n[cms]\n{cms}\n'
    )


def topology(layout: Layout) -> str:
    """The document that describes the deployment."""
    pools = "".join(
        f'[[pools]]\nname = "{pool.name}"\nsite = "{pool.site}"\nkind = "{pool.kind}"\nshare = "{layout.share(pool.name)}"\n'
        f"front_ends = [{', '.join(f'{chr(34)}{name}{chr(34)}' for name in pool.front_ends)}]\n\n"
        for pool in layout.pools
    )
    holders = ", ".join(f'"{name}"' for name in HOLDERS)
    return f'{pools}[[pairs]]\npools = [{holders}]\nholds_store = true\n\n[[pairs]]\npools = ["c", "d"]\n'


def begin_services(layout: Layout, pool: str) -> None:
    """Start a pool's front ends one after the other and wait for each. Raises SERVICE_DOWN, TIMEOUT."""
    for front_end in layout.pool(pool).front_ends:
        log = layout.log(front_end)
        said = log.stat().st_size if log.exists() else 0
        if parts.start(layout, front_end):
            parts.await_service(layout, front_end, said)


def start_all(layout: Layout, say: Say) -> Layout:
    """Start what is down and wake what is frozen."""
    for part in layout.parts():
        if parts.start(layout, part):
            say(f"{part} started")
    return layout


def end_all(layout: Layout) -> None:
    """End everything, applications first and servers last; what lies in the folder stays."""
    for part in reversed(layout.parts()):
        parts.stop(layout, part)


def remove(layout: Layout) -> None:
    """End everything and remove the folder, whatever state it is in."""
    end_all(layout)
    for place in layout.places.values():
        # A place outside is removed only if it is one that a lab makes, whatever the file says.
        outside = Path(place).parent == Path(gettempdir()) or Path(place).parent == Path("/tmp")  # noqa: S108
        if outside and Path(place).name.startswith("poolpair-"):
            shutil.rmtree(place, ignore_errors=True)
    shutil.rmtree(layout.folder)


def must(toml: Path, *words: str) -> Answer:
    """Run one command that has to succeed. Raises USAGE with what it said."""
    answer = run_command("-c", str(toml), *words)
    if answer.exit_status:
        raise PoolpairError(Code.USAGE, f"poolpair {' '.join(words)}: {answer.talk.strip() or answer.out.strip()}")
    return answer


def _wait(what: str, look: Callable[[], bool]) -> None:
    try:
        wait_for(what, look, COPIED_S, poll_s=0.2)
    except NotSeen as reason:
        raise PoolpairError(Code.TIMEOUT, str(reason), "`poolpair lab status` shows how far it is") from None

"""Rehearses a disaster takeover of a home on a copy: how much it would give, how soon, and whether it is what it should be."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from poolpair.config import PoolConfig
from poolpair.cycle import run_pass
from poolpair.drill.files import NAMED_MAX, CopiedFiles, copy_files
from poolpair.drill.ground import Ground, copied_site, folder_of, lay_out
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import data_dir, parse_package_name
from poolpair.hooks.commands import CommandHooks
from poolpair.moves import DrillResult, HookStep, Move, Plan, PlanStep, drill_name, plan_name
from poolpair.pipeline.site import Site, inbound_name
from poolpair.serving.asks import attend
from poolpair.serving.plan import order
from poolpair.state import Inbound
from poolpair.store.buckets import differing
from poolpair.units import show_age, show_bytes
from poolpair.wiring import begin_work, check_settings, open_site, store_kind

Tell = Callable[[str], None]
UNFINISHED = "it was ended before it was over"


def rehearse(config: PoolConfig, home: str, *, keep: bool, timeout_s: float, tell: Tell) -> DrillResult:
    """Make the drill and record its result in the pool's store, where `status` finds it. Raises DRILL, USAGE and what opening raises.

    `timeout_s` is how long the takeover on the copy may take. With `keep` the copy stays.
    """
    site = open_site(config)
    try:
        check_settings(site)
        _check_home(site, home)
        before = site.store.read(DrillResult, drill_name(home))
        began_s, passed_utc = site.clock.monotonic_s(), before.passed if before else ""
        result = DrillResult(home=home, at_utc=site.clock.utc_iso(), failure=UNFINISHED, passed_utc=passed_utc)
        try:
            result = _on_a_copy(config, site, result, began_s, keep=keep, timeout_s=timeout_s, tell=tell)
        except PoolpairError as error:
            result = replace(result, failure=f"{error.code}: {error.detail}")
            raise
        finally:
            result = replace(result, took_s=round(site.clock.monotonic_s() - began_s, 3))
            with suppress(PoolpairError), site.store.transaction() as tx:
                tx.save(drill_name(home), result)
    finally:
        site.store.close()
    return result


def _check_home(site: Site, home: str) -> None:
    if home not in site.homes:
        raise PoolpairError(Code.USAGE, f"{home} is no pool of this pair ({' and '.join(site.homes)})")
    if home in site.served():
        detail = f"the users of {home} are served here: there is nothing to take over"
        other = f", or name {site.partner}" if site.partner not in site.served() else ""
        raise PoolpairError(Code.USAGE, detail, f"give this command at {site.partner}, whose copy it is{other}")


def _on_a_copy(
    config: PoolConfig, site: Site, result: DrillResult, began_s: float, *, keep: bool, timeout_s: float, tell: Tell
) -> DrillResult:
    kind, name = store_kind(config), f"poolpair_drill_{site.pool}"
    with folder_of(config, keep=keep) as folder, kind.spare(folder, name, keep=keep) as url:
        tell(f"copying the database ({show_bytes(kind.size_bytes())}) and what stands in the share")
        ground = lay_out(config, site, folder, url)
        with copied_site(ground) as copy:
            tell("copying files" if copy.tree is not None else "no files are carried")
            files = copy_files(site, copy, tell)
            _compare(ground, copy, files)
            tell(
                f"the copy is equal to this pool's store and files, by digests; taking over on it, {result.home} is dead"
            )
            rto_s, applied = _take_over(copy, result.home, timeout_s)
            check = _check(config, copy, result.home, url, folder, tell)
            rpo_s = _rpo_s(copy, began_s)
        if keep:
            tell(f"the copy stays: {store_kind(ground.config).shown()} and {folder}")
    return replace(
        result,
        failure="",
        rpo_s=rpo_s,
        rto_s=rto_s,
        copied_bytes=kind.size_bytes() + files.copied_bytes,
        files=files.count,
        packages=applied,
        check=check,
    )


def _compare(ground: Ground, copy: Site, files: CopiedFiles) -> None:
    """The copy must be what this pool has, bucket by bucket, before anything is rehearsed on it."""
    if files.wrong:
        named = ", ".join(files.wrong[:NAMED_MAX])
        detail = f"{len(files.wrong)} files here are not what this pool's catalogue says of them: {named}"
        raise PoolpairError(Code.DRILL, detail, "`poolpair verify --repair` at the pool whose files they are")
    for channel, digests in ground.digests.items():
        with copy.store.snapshot() as view:
            found = differing(digests, view.digests(channel, copy.homes, digests, frozenset()))
        if found:
            buckets = sum(len(each.buckets) for each in found)
            raise PoolpairError(Code.DRILL, f"{channel}: {buckets} buckets of the copy are not equal to the original")


def _take_over(copy: Site, home: str, timeout_s: float) -> tuple[float, int]:
    """Do what the command would do; returns how long it took, and how many packages it applied."""
    begin_work(copy, "drill")
    before, began_s = _applied(copy), time.monotonic()
    order(copy, Move.TAKEOVER, home)
    while (plan := copy.store.read(Plan, plan_name(home))) is not None and plan.step is not PlanStep.DONE:
        if plan.fault is not None:
            raise PoolpairError(plan.fault.code, plan.fault.detail)
        if time.monotonic() - began_s > timeout_s:
            raise PoolpairError(Code.DRILL, f"the takeover stands at {plan.step} after {show_age(timeout_s)}")
        for channel in copy.channels:
            run_pass(copy, channel, force=True)
        attend(copy)
    took_s = time.monotonic() - began_s
    copy.memory.serving.clear()
    if home not in copy.served():
        raise PoolpairError(Code.DRILL, f"the takeover ended, and the users of {home} are not served")
    left = [
        each.name for channel in copy.channels for each in copy.own.list(data_dir(channel)) if _is_package(each.name)
    ]
    refused = [quarantined.name for quarantined in copy.own.quarantined()]
    if left or refused:
        detail = f"{len(left) + len(refused)} packages that stand cannot be applied: {', '.join((left + refused)[:NAMED_MAX])}"
        raise PoolpairError(
            Code.DRILL, detail, "see `poolpair status`: what a disaster now would cost is more than it should be"
        )
    return round(took_s, 3), _applied(copy) - before


def _applied(copy: Site) -> int:
    """How many packages were ever applied: one that stood when it was copied may be in the store already."""
    inbounds = (copy.store.read(Inbound, inbound_name(channel)) for channel in copy.channels)
    return sum(inbound.applied_packages for inbound in inbounds if inbound is not None)


def _is_package(name: str) -> bool:
    return parse_package_name(name) is not None


def _check(config: PoolConfig, copy: Site, home: str, url: str, folder: Path, tell: Tell) -> str:
    """Let the operator's command look at what would be served. Raises DRILL if it does not end well."""
    command = dict(config.hooks.commands).get(HookStep.DRILL)
    if command is None:
        return ""
    hooks = CommandHooks({HookStep.DRILL: command}, config.hooks.timeout_s, folder, dict(os.environ))
    words = {
        "POOLPAIR_STEP": HookStep.DRILL.value,
        "POOLPAIR_POOL": copy.pool,
        "POOLPAIR_PARTNER": copy.partner,
        "POOLPAIR_HOME": home,
        "POOLPAIR_EPOCH": str(copy.serving(home).present.epoch),
        "POOLPAIR_DRILL_STORE": url,
        "POOLPAIR_DRILL_FILES": str(folder / "files") if copy.tree is not None else "",
    }
    ran = hooks.run(HookStep.DRILL, words)
    if ran is not None and ran.output:
        tell(ran.output.rstrip())  # told here, and kept nowhere: status goes further than this machine
    if ran is None or ran.failure:
        detail = f"the check {shlex.join(command)} {ran.failure if ran else 'was ended'}"
        raise PoolpairError(Code.DRILL, detail, "look at what it said; with --keep the copy stays to be looked at")
    tell(f"the check {shlex.join(command)} ended well after {show_age(ran.took_s)}")
    return shlex.join(command)


def _rpo_s(copy: Site, began_s: float) -> float | None:
    """How much older than the drill's beginning the newest moment is up to which everything is there, on the worst channel."""
    ages: list[float] = []
    for channel in copy.channels:
        reached = (copy.store.read(Inbound, inbound_name(channel)) or Inbound()).reached
        if reached is None or reached.boot_id != copy.clock.boot_id():
            return None
        ages.append(max(0.0, began_s - reached.at_s))
    return round(max(ages), 3)

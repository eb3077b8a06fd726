"""The gate: while a pool cannot know whether its partner took over, whatever it serves is fenced in the application's database.

It closes when a service starts, and after too long a silence, if the pool file says so; it opens as soon as a fresh word was taken in,
since whoever is heard has told its reigns first. An operator's word opens it, too, until the partner is heard again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import COOKIE_NAME, cookie_dir
from poolpair.moves import (
    GATE,
    GATE_WORD,
    Gate,
    GateRules,
    GateWhy,
    GateWord,
    HookRun,
    HookStep,
    gate_run_name,
    hook_name,
)
from poolpair.pipeline.acknowledge import COOKIE_MAX_BYTES, hear_word
from poolpair.pipeline.fence import fence
from poolpair.pipeline.site import Site
from poolpair.reigns import takes_writes
from poolpair.serving.hooked import call, common_words
from poolpair.status import SILENT_AFTER_S

RETRY_S = 30.0
"""A gate hook that failed is tried again after so long."""


def wanted(
    rules: GateRules,
    closed: GateWhy | None,
    *,
    unconfirmed: bool,
    has_word: bool,
    word_age_s: float | None,
    up_s: float,
    read_share: bool,
) -> GateWhy | None:
    """Why the gate is to be closed now; None: it is to be open. `word_age_s` is None as long as nothing was heard since the start."""
    limit_s = rules.self_fence_after_s
    if word_age_s is not None and (limit_s is None or word_age_s < limit_s):
        return None
    if has_word:
        return None
    silent_s = up_s if word_age_s is None else word_age_s
    if limit_s is not None and silent_s >= limit_s:
        return GateWhy.SILENT
    why = closed or (GateWhy.START if unconfirmed else None)
    waited = rules.wait_s is not None and up_s >= rules.wait_s and limit_s is None
    return None if waited and read_share else why


def is_gated(site: Site) -> bool:
    """Whether the pool file asks for any of it."""
    rules, hooks = site.gate, site.hooks.commands
    return rules.at_start or rules.self_fence_after_s is not None or bool(set(hooks) & set(_HOOKS))


def begin(site: Site, tell: Callable[[str], None] = lambda _line: None) -> bool:
    """A service starts: close the gate, unless an earlier service of this boot had just heard the partner. Raises LEASE.

    The own share is read first of all: who was down for a moment may have been taken over in it.
    """
    if not is_gated(site):
        if site.store.read(Gate, GATE) is not None or site.store.read(GateWord, GATE_WORD) is not None:
            _set(site, None, forget_word=True)
        return False
    confirmed_s, now = site.memory.confirmed_s, site.clock.monotonic_s()
    is_fresh = confirmed_s is not None and now - confirmed_s < SILENT_AFTER_S and _listen_first(site)
    site.memory.unconfirmed = site.gate.at_start and not is_fresh
    return tend(site, tell)


def _listen_first(site: Site) -> bool:
    try:
        hear_word(site, site.lead)
    except PoolpairError as error:
        if error.code is Code.LEASE:
            raise
        return False
    return True


def tend(site: Site, tell: Callable[[str], None] = lambda _line: None) -> bool:
    """Open or close the gate if it is time to, then let the application know. Raises STORE_LOCKED while a writer stays, LEASE."""
    if not is_gated(site):
        return False
    closed, word = site.store.read(Gate, GATE), site.store.read(GateWord, GATE_WORD)
    memory, now = site.memory, site.clock.monotonic_s()
    age_s = now - memory.echoed_s if memory.echoed_s is not None else None
    read_share = _has_read_share(site)
    up_s = now - max(memory.started_s, memory.unread_s)
    why = wanted(
        site.gate,
        closed.why if closed else None,
        unconfirmed=memory.unconfirmed,
        has_word=word is not None,
        word_age_s=age_s,
        up_s=up_s,
        read_share=read_share,
    )
    limit_s = site.gate.self_fence_after_s
    heard = age_s is not None and (limit_s is None or age_s < limit_s)
    moved = False
    if why is not (closed.why if closed else None) or (word is not None and heard):
        _set(site, why, forget_word=heard)
        tell(_said(site, why, heard=heard, by_hand=word is not None))
        moved = True
    if why is None:
        memory.unconfirmed = False
    return _let_know(site, tell, is_open=why is None) or moved


def _said(site: Site, why: GateWhy | None, *, heard: bool, by_hand: bool) -> str:
    if why is not None:
        return f"gate: closed ({why}); nothing is served here until {site.partner} is heard"
    if heard:
        return f"gate: open, {site.partner} was heard"
    return "gate: open, by an operator's word" if by_hand else f"gate: open, without a word from {site.partner}"


def close_for_silence(site: Site, tell: Callable[[str], None] = lambda _line: None) -> None:
    """What `tend` does about too long a silence, and no more, for a thread that waits for no share when all others do.

    The hook runs once they go on. Raises STORE_LOCKED while a writer stays, LEASE.
    """
    if site.gate.self_fence_after_s is None:
        return
    closed, word = site.store.read(Gate, GATE), site.store.read(GateWord, GATE_WORD)
    if closed is not None or word is not None:
        return
    memory, now = site.memory, site.clock.monotonic_s()
    age_s = now - memory.echoed_s if memory.echoed_s is not None else None
    up_s, rules = now - memory.started_s, site.gate
    why = wanted(rules, None, unconfirmed=False, has_word=False, word_age_s=age_s, up_s=up_s, read_share=True)
    if why is GateWhy.SILENT:
        _set(site, why)
        tell(_said(site, why, heard=False, by_hand=False))


def _has_read_share(site: Site) -> bool:
    """Whether the word that lies in the own share was taken in; one may say that the partner took over."""
    if site.gate.self_fence_after_s is not None or site.memory.echoed_s is not None:
        return True  # it is not asked for
    try:
        data = site.own.read_small(f"{cookie_dir(site.lead)}/{COOKIE_NAME}", COOKIE_MAX_BYTES)
    except PoolpairError:
        site.memory.unread_s = site.clock.monotonic_s()  # only once it is back a partner that waited for it can speak
        return False
    return data is None or site.memory.heard.get(site.lead) == sha256(data).hexdigest()


def _set(site: Site, why: GateWhy | None, *, forget_word: bool = False) -> None:
    with site.store.transaction(fencing=True) as tx:
        if why is None:
            tx.delete(GATE)
        else:
            tx.save(GATE, Gate(why=why, since_utc=site.clock.utc_iso()))
        if forget_word:
            tx.delete(GATE_WORD)
        fence(site, tx)


def close_by_hand(site: Site) -> None:
    """Nothing is served here from now on, until a service has confirmed that it may be."""
    _set(site, GateWhy.BY_HAND)


def open_by_hand(site: Site, reason: str) -> None:
    """The operator knows that the partner does not serve; good until it is heard again."""
    with site.store.transaction(fencing=True) as tx:
        tx.delete(GATE)
        tx.save(GATE_WORD, GateWord(reason=reason, since_utc=site.clock.utc_iso()))
        fence(site, tx)


_HOOKS = (HookStep.GATE_OPEN, HookStep.GATE_CLOSE)


def _let_know(site: Site, tell: Callable[[str], None], *, is_open: bool) -> bool:
    """Run the gate hook of each home whose state is not the one that the hooks left.

    After a start, of this service or of the application, that is not known.
    """
    if not set(site.hooks.commands) & set(_HOOKS):
        return False
    memory, now = site.memory, site.clock.monotonic_s()
    running = site.hooks.application()
    if running != memory.application:
        memory.application = running
        memory.gated.clear()
        memory.gate_tried.clear()
    moved = False
    for home in site.homes:
        serves = is_open and takes_writes(site.serving(home), site.pool, site.partner)
        opened = serves and home not in memory.closing.values()
        tried, tried_s = memory.gate_tried.get(home, (None, now))
        if memory.gated.get(home) is opened or (tried is opened and now - tried_s < RETRY_S):
            continue
        step = HookStep.GATE_OPEN if opened else HookStep.GATE_CLOSE
        moved |= _run(site, tell, home, step, opened=opened)
    return moved


def _run(site: Site, tell: Callable[[str], None], home: str, step: HookStep, *, opened: bool) -> bool:
    memory = site.memory
    if site.hooks.commands.get(step):
        run = call(site, step, home, common_words(site, step.value, home))
        if run is None:
            return False
        _keep(site, run)
        if run.failure:
            memory.gated.pop(home, None)
            memory.gate_tried[home] = (opened, site.clock.monotonic_s())
            tell(f"gate: the hook {step} for {home} {run.failure}")
            return False
    memory.gated[home] = opened
    memory.gate_tried.pop(home, None)
    return True


def _keep(site: Site, run: HookRun) -> None:
    with site.store.transaction() as tx:
        tx.save(hook_name(run.home, run.step), run)
        tx.save(gate_run_name(run.home), replace(run, output="", cut=False))

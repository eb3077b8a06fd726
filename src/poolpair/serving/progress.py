"""A failover or failback under way, step by step, as the page and the API show it: read from the plan and the hooks' runs, no more."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from poolpair.asks import AskMade, is_open, made_name
from poolpair.errors import CATALOGUE
from poolpair.moves import STEPS_OF, Move, Plan, PlanStep, plan_name
from poolpair.pipeline.site import Site
from poolpair.serving.hooked import target_of
from poolpair.serving.stepping import hook_of


class StepState(StrEnum):
    """Where one step stands."""

    DONE = "done"
    NOW = "now"
    FAILED = "failed"
    TO_COME = "to come"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a plan."""

    name: str
    state: StepState
    runs: str = ""
    """The operator's command that it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a plan has come."""

    home: str
    move: str
    """`handover` (planned) or `takeover`."""
    to: str
    """The pool that will serve the users."""
    at: str
    """The pool that takes the steps."""
    begun_utc: str
    steps: tuple[Step, ...]
    waits_for: str = ""
    failure: str = ""
    """Why the present step failed, with its code."""
    hint: str = ""


def progress(site: Site, home: str) -> Progress | None:
    """What is under way for a home, here or asked of the partner; None if nothing is."""
    plan = site.store.read(Plan, plan_name(home))
    if plan is not None and plan.step is not PlanStep.DONE:
        return _of_plan(site, plan)
    made = site.store.read(AskMade, made_name(home))
    return _of_ask(site, made) if made is not None and is_open(made.ask) else None


def _of_plan(site: Site, plan: Plan) -> Progress:
    order = [step for step in STEPS_OF[plan.move] if _is_taken(site, step) or step is plan.step]
    known = plan.step in order
    at = order.index(plan.step) if known else len(order)
    now = StepState.FAILED if plan.fault else StepState.NOW
    steps = [_step(site, step, _state(number, at, now)) for number, step in enumerate(order)]
    if not known:  # it is being given up: what was done is undone
        steps.append(_step(site, plan.step, now))
    return Progress(
        home=plan.home,
        move=plan.move,
        to=target_of(site, plan),
        at=site.pool,
        begun_utc=plan.begun_utc,
        steps=tuple(steps),
        waits_for=plan.waits_for,
        failure=f"{plan.fault.code}: {plan.fault.detail}" if plan.fault else "",
        hint=CATALOGUE[plan.fault.code].hint if plan.fault else "",
    )


def _state(number: int, at: int, now: StepState) -> StepState:
    return StepState.DONE if number < at else now if number == at else StepState.TO_COME


def _is_taken(site: Site, step: PlanStep) -> bool:
    """A hook that is not set is no step; nor is the end."""
    hook = hook_of(step)
    return step is not PlanStep.DONE and (hook is None or bool(site.hooks.commands.get(hook)))


def _step(site: Site, step: PlanStep, state: StepState) -> Step:
    hook = hook_of(step)
    command = site.hooks.commands.get(hook, ()) if hook else ()
    return Step(name=step, state=state, runs=" ".join(command))


def _of_ask(site: Site, made: AskMade) -> Progress:
    """The partner takes the steps; how far it is stands in its answer."""
    ask = made.ask
    heard = ask.detail.split(":")[0].split(",")[0].strip()
    names: list[PlanStep] = [
        step for step in STEPS_OF[Move.HANDOVER] if hook_of(step) is None and step is not PlanStep.DONE
    ]
    if heard and heard not in names:  # a hook's step over there, or one of a newer release
        names = [*names[:1], *([PlanStep(heard)] if heard in set(PlanStep) else []), *names[1:]]
    at = names.index(PlanStep(heard)) if heard in set(PlanStep) and heard in names else -1
    now = StepState.FAILED if ask.hint else StepState.NOW
    asked = Step(name=f"ask {site.partner}", state=StepState.DONE if ask.answer else StepState.NOW)
    steps = [Step(name=step, state=_state(number, at, now)) for number, step in enumerate(names)]
    if at < 0:
        steps = [Step(name=step, state=StepState.TO_COME) for step in names]
    return Progress(
        home=ask.home,
        move=ask.verb,
        to=site.pool,
        at=site.partner,
        begun_utc=ask.since_utc,
        steps=(asked, *steps),
        waits_for="" if ask.hint else ask.detail or f"{site.partner} has not answered yet",
        failure=ask.detail if ask.hint else "",
        hint=ask.hint,
    )

"""A whole application by three lines of profile: finds the tables that are there, as `drafting` chooses them.

What a table is called and how it is made may change with every release of the application, and not at both sites in one second. So
pools agree on the rules alone, and each finds its own tables; where they differ, packages wait (P204), as with any profile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from poolpair.errors import Code, PoolpairError
from poolpair.homes import matches
from poolpair.model import Channel
from poolpair.store.drafting import Choice, Described, choose
from poolpair.store.profile import Profile, ProfileTable, Whole, profile_digest
from poolpair.store.profile_check import Problem


def expanded(profile: Profile, found: Described) -> Profile:
    """The same profile with every table that it means. Raises PROFILE for what nobody could carry and the profile does not leave out."""
    whole = profile.whole
    if whole is None:
        return profile
    named = {table.name for table in profile.tables}
    choices, left = choose(found)
    if missed := [problem for problem in left if problem.fatal and not is_left_out(whole, problem.table)]:
        said = "; ".join(f"{problem.table}: {problem.reason}" for problem in missed)
        raise PoolpairError(Code.PROFILE, f"{said}. If it is to stay each site's own, name it in `without`")
    fresh = [choice for choice in choices if choice.info.name not in named and not is_left_out(whole, choice.info.name)]
    tables = (*profile.tables, *(_table(n, choice) for n, choice in enumerate(fresh, len(profile.tables) + 1)))
    return replace(profile, tables=tables, digest=profile_digest(tables, profile.files, whole))


def left_out(profile: Profile, found: Described) -> tuple[Problem, ...]:
    """What of a database a profile does not carry, each with its reason."""
    carried = {table.name for table in profile.tables}
    choices, left = choose(found)
    whole = profile.whole or Whole()
    said = tuple(
        Problem(table=choice.info.name, reason="the profile does not name it", fatal=False)
        if not is_left_out(whole, choice.info.name)
        else Problem(table=choice.info.name, reason="`without` names it", fatal=False)
        for choice in choices
    )
    return tuple(problem for problem in (*left, *said) if problem.table not in carried)


def refuse_newcomers(profile: Profile, describe: Callable[[], Described]) -> None:
    """Raise CAPTURE_BROKEN if tables came that a whole application's profile would carry: nothing captures them yet."""
    if profile.whole is None:
        return
    carried = {table.name for table in profile.tables}
    names = (choice.info.name for choice in choose(describe())[0])
    if fresh := [name for name in names if name not in carried and not is_left_out(profile.whole, name)]:
        detail = f"nothing captures table {', '.join(fresh)}, which is new here"
        hint = "stop the service, run `poolpair -c FILE init`, and start it again; or name the table in `without` at both sites"
        raise PoolpairError(Code.CAPTURE_BROKEN, detail, hint=hint)


def is_left_out(whole: Whole, table: str) -> bool:
    """Whether a table is to stay each site's own."""
    return any(matches(pattern, table) for pattern in whole.without)


def _table(number: int, choice: Choice) -> ProfileTable:
    return ProfileTable(
        number=number,
        name=choice.info.name,
        channel=Channel.USERS,
        key=choice.key,
        shared=True,
        sequences=choice.sequences,
        triggers="skip" if choice.skips else "fire",
        fire=choice.fire,
    )

"""A whole application by three lines of profile: finds the tables that are there, as `drafting` chooses them.

What a table is called and how it is made may change with every release of the application, and not at both sites in one second. So
pools agree on the rules alone, and each finds its own tables; where they differ, packages wait (P204), as with any profile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from poolpair.errors import Code, PoolpairError
from poolpair.homes import matches
from poolpair.model import Channel
from poolpair.store.drafting import Choice, Described, choose
from poolpair.store.kind import StoreKind
from poolpair.store.prepared import PreparedTable
from poolpair.store.profile import Profile, ProfileTable, Whole, profile_digest
from poolpair.store.profile_check import Problem


def found_in(kind: StoreKind, profile: Profile, *, anew: bool = False) -> Profile:
    """The same profile with every table that it means: as `init` prepared them; `anew`, or if it did not, as they are chosen now."""
    known = None if anew else kind.prepared()
    return expanded(profile, kind.described(), known.tables if known else ())


def expanded(profile: Profile, found: Described, prepared: Iterable[PreparedTable] = ()) -> Profile:
    """The same profile with every table that it means: of a store that `init` prepared those that it found, each as it found it.

    What is captured, parked and spooled is kept by number and key, so these stay, whatever indexes came since. Tables that came, went, or
    lost a column of their key show in the digest only. Raises PROFILE for what nobody could carry and the profile does not leave out; once
    the store is prepared that shows in the digest, too: whoever looks, or takes over, is not to be stopped by it.
    """
    whole = profile.whole
    if whole is None:
        return profile
    choices, left = choose(found)
    fresh, missed = _chosen(profile, whole, choices), _missed(profile, whole, left)
    named = len(profile.tables)
    known = {table.name: table for table in prepared if table.number > named}
    if not known:
        if missed:
            said = "; ".join(f"{problem.table}: {problem.reason}" for problem in missed)
            raise PoolpairError(Code.PROFILE, f"{said}. If it is to stay each site's own, name it in `without`")
        tables = (*profile.tables, *(_table(n, choice) for n, choice in enumerate(fresh.values(), named + 1)))
        return replace(profile, tables=tables, digest=profile_digest(tables, profile.files, whole))
    stays = [table for table in known.values() if table.name in fresh and _has(fresh[table.name], table.key)]
    entries = [_table(table.number, replace(fresh[table.name], key=table.key)) for table in stays]
    tables = (*profile.tables, *sorted(entries, key=lambda entry: entry.number))
    came = [_table(0, choice) for name, choice in fresh.items() if name not in {table.name for table in stays}]
    came += [ProfileTable(number=0, name=problem.table, channel=Channel.USERS, key=()) for problem in missed]
    digest = profile_digest((*tables, *came), profile.files, whole)
    return replace(profile, tables=tables, digest=digest, numbers=max(table.number for table in known.values()))


def _chosen(profile: Profile, whole: Whole, choices: Iterable[Choice]) -> dict[str, Choice]:
    """What a profile does not name itself and carries all the same, in the order of names."""
    named = {table.name for table in profile.tables}
    wanted = (choice for choice in choices if not is_left_out(whole, choice.info.name))
    return {choice.info.name: choice for choice in wanted if choice.info.name not in named}


def _missed(profile: Profile, whole: Whole, left: Iterable[Problem]) -> list[Problem]:
    """What would be missed at the partner, and nobody said that it may be. Of what a profile names itself it is judged elsewhere."""
    named = {table.name for table in profile.tables}
    return [each for each in left if each.fatal and each.table not in named and not is_left_out(whole, each.table)]


def _has(choice: Choice, key: tuple[str, ...]) -> bool:
    return all(choice.info.column(name) is not None for name in key)


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
    choices, left = choose(describe())
    said = [f"nothing captures {each.table}: {each.reason}" for each in _missed(profile, profile.whole, left)]
    if fresh := _chosen(profile, profile.whole, choices):
        said.insert(0, f"nothing captures table {', '.join(fresh)}, which is new here")
    if said:
        hint = "stop the service, run `poolpair -c FILE init`, and start it again; or name the table in `without` at both sites"
        raise PoolpairError(Code.CAPTURE_BROKEN, "; ".join(said), hint=hint)


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
        triggers="skip",
        indexing=True,
    )

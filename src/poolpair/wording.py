"""A status in words: what asks for attention, with code and hint, as `status`, the page and the log say it.

Pure; every remark names one code of the catalogue, unless it only says how things are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from poolpair.errors import CATALOGUE, Code
from poolpair.model import Fault
from poolpair.moves import DrillResult
from poolpair.outlook import Level
from poolpair.printable import printable
from poolpair.readiness import is_silent
from poolpair.status import ChannelStatus, HomeStatus, PairStatus, Reason, silent_fault
from poolpair.units import show_age, show_count

REASONS = {
    Reason.PARTNER_SILENT: "no fresh word from {partner}",
    Reason.PAUSED: "an operator holds packages back",
    Reason.BACKLOG: "a change waits longer than two intervals",
    Reason.IN_VAIN: "what is sent does not reach {partner}: its packages are lost or refused again and again",
    Reason.COMPARING: "both copies are being compared",
    Reason.TABLES_DIFFER: "a table is not the same at {partner} and waits, see below",
    Reason.INCOMPLETE: "the copy at {partner} is known to differ: `verify --repair` makes it whole",
}
STUCK_HINT = "find who has the file open (`fuser -v`): until it ends the log grows; nothing is lost"
HANGING_HINT = (
    "look at that process (is it stopped, does its disk answer?), and start it anew; the partner is not to blame"
)
_CODE = re.compile(r"\bP[1-5][0-9]{2}\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One thing that asks for attention."""

    text: str
    hint: str = ""
    """What to do; empty where the text says so itself."""

    @property
    def line(self) -> str:
        """As `status` prints it."""
        return printable(f"{self.text}; {self.hint}" if self.hint else self.text)

    @property
    def code(self) -> Code | None:
        """The code that it names."""
        found = _CODE.search(self.text)
        return Code(found[0]) if found else None

    @property
    def level(self) -> Level:
        """Broken where the catalogue says that a person must act."""
        grave = self.code is not None and CATALOGUE[self.code].exit_status > 1
        return Level.BROKEN if grave else Level.ATTENTION


def word_of(age_s: float | None) -> str:
    """How old the partner's last word is."""
    return "no word since this service started" if age_s is None else f"its last word is {show_age(age_s)} old"


def words_of_hanging(found: PairStatus) -> str:
    """That the own service stands still; empty if it does not."""
    if found.hanging_s is None:
        return ""
    return f"the service on {found.front_end} has given no sign of life for {show_age(found.hanging_s)}"


def words_of_home(home: HomeStatus, found: PairStatus) -> str:
    """Who serves the users of a pool."""
    mine = home.served_by == found.pool
    fenced = ", but fenced" if mine and not home.takes_writes else ""
    return f"users of {home.home}: served {'here' if mine else f'by {home.served_by}'}{fenced} (epoch {home.epoch})"


def words_of_recovery(home: HomeStatus, found: PairStatus) -> str:
    """What is still open after a takeover; empty if nothing is."""
    if not home.recovering:
        return ""
    if is_silent(found):
        return f"what {found.partner} had not sent is awaited until it returns"
    return "what was written at both pools is being brought together"


def words_of_drill(result: DrillResult) -> str:
    """One line for a drill."""
    begins = f"drill of {result.home} at {result.at_utc[:16].replace('T', ' ')} UTC"
    if result.failure:
        return f"{begins} FAILED: {printable(result.failure)}"
    rpo = "not known" if result.rpo_s is None else show_age(result.rpo_s)
    return f"{begins}: passed, RPO {rpo}, RTO {show_age(result.rto_s)}"


def remarks(found: PairStatus) -> Iterator[Remark]:
    """Everything that asks for attention, the pair as a whole first, then each channel."""
    yield from _of_service(found)
    if found.fence_off:
        off = f"the fence is OFF ({found.fence_off}): writes for users who are served elsewhere are not refused"
        yield Remark(text=off, hint="`poolpair fence on`")
    for what, fault in (("own share", found.share), ("gate", found.gate)):
        if fault:
            yield _of_fault(what, fault)
    if found.gate_word:
        yield Remark(text=f"the gate is held open by hand ({found.gate_word}) until {found.partner} is heard")
    if found.stuck:
        yield Remark(text=found.stuck, hint=STUCK_HINT)
    for pool, down_there in ((found.pool, found.application), (found.partner, found.partner_application)):
        if down_there:
            yield _of_fault(f"application at {pool}", down_there)
    for home in found.homes:
        for fault in (home.stopped, home.fault):
            if fault:
                yield _of_fault(f"users of {home.home}", fault)
    yield from _of_ledger(found)
    for channel in found.channels:
        yield from _of_faults(channel, found.partner)
        yield from _of_counts(channel, found.partner)


def _of_service(found: PairStatus) -> Iterator[Remark]:
    if not found.service_running:
        down = CATALOGUE[Code.SERVICE_DOWN]
        yield Remark(text=f"{Code.SERVICE_DOWN}: {down.meaning}", hint=down.hint)
    elif found.hanging_s is not None:  # whom it does not hear is then no fault of theirs
        yield Remark(text=f"{Code.SERVICE_DOWN}: {words_of_hanging(found)}", hint=HANGING_HINT)
    elif is_silent(found):
        yield Remark(text=silent_fault(found.word_age_s, found.partner), hint=CATALOGUE[Code.PARTNER_SILENT].hint)


def _of_ledger(found: PairStatus) -> Iterator[Remark]:
    if found.ledger_open:
        groups = show_count(found.ledger_open, "group")
        yield Remark(text=f"{groups} in the ledger without a decision", hint="`poolpair ledger list`")
    if found.ledger_standing:
        groups = show_count(found.ledger_standing, "group")
        words = f"{groups} in packages of {found.partner} that were never applied; it hands them in when it returns"
        yield Remark(text=words, hint="`poolpair ledger list`")


def _of_faults(channel: ChannelStatus, partner: str) -> Iterator[Remark]:
    export, imports = channel.export, channel.imports
    own = ("export", export.fault), ("import", imports.fault)
    for side, fault in (*own, (f"at {partner}", export.partner_fault), (f"sent by {partner}", imports.partner_sending)):
        if fault:
            where = f" (at {partner})" if partner in side.split() else ""
            said = _of_fault(f"{channel.channel} {side}", fault)
            yield Remark(text=said.text, hint=f"{said.hint}{where}")


def _of_counts(channel: ChannelStatus, partner: str) -> Iterator[Remark]:
    export, imports = channel.export, channel.imports
    here = (imports.parked, imports.held, imports.unhomed, imports.foreign_writes, imports.quarantined)
    there = (
        export.partner_parked,
        export.partner_held,
        export.partner_unhomed,
        export.partner_foreign_writes,
        export.partner_quarantined,
    )
    names = (Code.PARKED, "parked"), (Code.HELD, "held"), (Code.UNHOMED, "unhomed")
    more = (Code.FOREIGN_WRITES, "foreign write"), (Code.DAMAGED, "quarantined")
    for place, counts in (("here", here), (f"at {partner}", there)):
        for count, (code, name) in zip(counts, (*names, *more), strict=True):
            if count:
                # Where to write is said by the hint itself: at the pool whose rows they are, which is not where they were changed.
                where = "" if place == "here" or code is Code.FOREIGN_WRITES else f" ({place})"
                said = show_count(count, name) if code is Code.FOREIGN_WRITES else f"{count} {name}"
                hint = f"{CATALOGUE[code].hint}{where}"
                yield Remark(text=f"{channel.channel} {place}: {said} ({code})", hint=hint)
    for place, tables in (("import", imports.waiting), (f"at {partner}", export.partner_waiting)):
        for table in tables:
            text = f"{channel.channel} {place}: {Code.SCHEMA} {table}"
            yield Remark(text=text, hint=CATALOGUE[Code.SCHEMA].hint)
    if export.left_behind:
        named = ", ".join(export.left_behind[:5])
        why = "too large, not at rest, not readable or without room in a package yet"
        words = f"{len(export.left_behind)} conferences wait ({Code.TOO_LARGE}), {why}: {named}"
        yield Remark(text=f"{channel.channel} here: {words}", hint=CATALOGUE[Code.TOO_LARGE].hint)


def _of_fault(where: str, fault: Fault) -> Remark:
    since = f" (since {fault.since_utc})" if fault.since_utc else ""
    return Remark(text=f"{where}: {fault.code} {fault.detail}{since}", hint=CATALOGUE[fault.code].hint)

"""The stable code of every error that an operator can meet; `errors` says what each means and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Stable codes. P1xx input, P2xx places, P3xx decisions, P4xx waiting, P5xx refused files."""

    CONFIG = "P101"
    PROFILE = "P102"
    KEY_FILE = "P103"
    NOT_INSTALLED = "P104"
    USAGE = "P105"
    ROOT = "P106"
    API_ADDRESS = "P107"
    APPLICATION = "P108"
    UNFIT = "P109"
    NOT_MASTER = "P110"
    OUTDATED = "P111"
    TOO_MUCH = "P112"
    TOPOLOGY = "P113"
    API_FILES = "P121"
    TOKEN = "P122"
    ROLE = "P123"
    REQUEST = "P124"
    STORE_MISSING = "P201"
    STORE_LOCKED = "P202"
    STORE_BROKEN = "P203"
    SCHEMA = "P204"
    CAPTURE_BROKEN = "P205"
    STORE_REPLACED = "P206"
    SHARE_MISSING = "P211"
    SHARE_DENIED = "P212"
    SHARE_FULL = "P213"
    SHARE_READ_ONLY = "P214"
    SHARE_FOREIGN = "P215"
    SHARE_FAILED = "P216"
    SCRATCH = "P221"
    TREE = "P222"
    STORE_SET_BACK = "P301"
    CLONE = "P302"
    HELD = "P303"
    PARKED = "P304"
    SETTINGS = "P305"
    REFUSED_BY_PARTNER = "P306"
    UNHOMED = "P307"
    TOO_LARGE = "P308"
    FOREIGN_WRITES = "P309"
    LEDGER_MOVED = "P310"
    INCOMPLETE = "P311"
    HOOK_FAILED = "P312"
    DRILL = "P313"
    LEASE = "P401"
    PARTNER_SILENT = "P402"
    NEWER_FORMAT = "P403"
    TIMEOUT = "P404"
    NO_WORD = "P405"
    SERVICE_DOWN = "P406"
    SELF_FENCED = "P407"
    GATE_CLOSED = "P408"
    APPLICATION_DOWN = "P409"
    PAUSED = "P410"
    DAMAGED = "P501"
    FOREIGN_PACKAGE = "P502"
    MISNAMED = "P503"
    LIMIT = "P504"
    REPLAY = "P505"
    STALE = "P506"


class Remedy(StrEnum):
    """What the operator must do; the first digit of the code."""

    FIX_INPUT = "fix the command or the file it names"
    FIX_PLACE = "repair the share, the disk or the store; poolpair goes on by itself"
    DECIDE = "decide: poolpair waits and changes nothing until you say so"
    WAIT = "wait, or look at the partner"
    REPORT = "a file was refused; nothing is lost, it is sent again"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the catalogue: when it happens and what to do, in words for an operator."""

    remedy: Remedy
    exit_status: int
    meaning: str
    hint: str

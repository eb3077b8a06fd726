"""The ledger's table, the same in every kind of store: a tracked table of the leading channel, that every pair has.

An entry belongs to the home whose group it is about, so it travels with that home: the present server writes and decides, and
its partner holds a copy. A decision is a state of the row, never a deletion. An entry's id is made of what it says, so
that the same finding made twice is one entry.
"""

from __future__ import annotations

from hashlib import sha256

from poolpair.model import Channel
from poolpair.store.profile import Profile, ProfileTable
from poolpair.store.profile_check import ColumnInfo, TableInfo
from poolpair.store.row_text import rows_to_text
from poolpair.store.values import Choice, LedgerEntry, LedgerNote

TABLE = "poolpair_ledger"
KEY = ("home", "entry_id")
COLUMNS = (
    "home", "entry_id", "channel", "tbl", "tkey", "why", "reign_id", "theirs", "ours", "state", "since_utc", "decided_utc",
)  # fmt: skip


def ledger_table(profile: Profile) -> ProfileTable:
    """The ledger as an entry beside those of the profile, after the last of them, also of those that went."""
    number = 1 + max(profile.numbers, len(profile.tables))
    return ProfileTable(number=number, name=TABLE, channel=profile.lead, key=KEY, home_is_pool=True)


def ledger_info() -> TableInfo:
    """The ledger as a database would describe it."""
    columns = tuple(
        ColumnInfo(name=name, declared_type="TEXT", not_null=True, pk_rank=1 + KEY.index(name) if name in KEY else 0)
        for name in COLUMNS
    )
    return TableInfo(name=TABLE, columns=columns, unique_keys=(KEY,))


def ledger_row(
    home: str, channel: Channel, table: str, key: str, theirs: str, ours: str, note: LedgerNote
) -> tuple[str, ...]:
    """A new entry, in the order of COLUMNS."""
    said = rows_to_text(((note.reign_id, channel.value, table, key, theirs),))
    entry_id = sha256(said.encode()).hexdigest()[:32]
    head = (home, entry_id, channel.value, table, key, note.why, note.reign_id)
    return (*head, theirs, ours, note.state.value, note.now_utc, "")


def entry_of(row: tuple[object, ...]) -> LedgerEntry:
    """Read a row in the order of COLUMNS."""
    home, entry_id, channel, table, key, why, reign_id, theirs, ours, state, since_utc, decided_utc = map(str, row)
    return LedgerEntry(
        home=home,
        entry_id=entry_id,
        channel=Channel(channel),
        table=table,
        key=key,
        why=why,
        reign_id=reign_id,
        theirs=theirs,
        ours=ours,
        state=Choice(state),
        since_utc=since_utc,
        decided_utc=decided_utc,
    )


def row_of(entry: LedgerEntry) -> tuple[str, ...]:
    """An entry in the order of COLUMNS."""
    names = {"tbl": "table", "tkey": "key"}
    return tuple(str(getattr(entry, names.get(column, column))) for column in COLUMNS)

"""`kill -9` in the middle of applying: brings the moment about, and says honestly what was hit.

Applying is one transaction: the rows file of the package is unpacked into the scratch folder, then rows and position are written
and commit together. On SQLite a write-ahead log that grows while the rows file lies there and the package stands is a transaction
under way; on PostgreSQL the server says who holds the table's lock. After the kill the log, or the server, tells that this
transaction never ended, and none of its rows may be visible.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from poolpair.lab.pool import NotSeen, Pool

LOOK_S = 0.0005
"""Between two looks at the middle, which is short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What stood there when the process was dead. `when` is one of before, middle, after."""

    when: str
    package: str
    unfinished: str
    rows_written: int
    rows_visible: int

    def __str__(self) -> str:
        if self.when == "middle":
            return (
                f"killed in the middle: {self.unfinished},\n"
                f"{self.rows_visible} of {self.rows_written:,} rows are visible, the package still stands"
            )
        return f"the kill came {self.when} applying: {self.rows_visible:,} of {self.rows_written:,} rows are visible"


def write_crowd(pool: Pool, tag: str, users: int, contacts: int) -> int:
    """Write the buddy lists of a crowd at a pool, in one transaction; returns the number of rows."""
    host = f"{pool.name}.example"
    rows = [
        (
            host,
            f"{tag}-{user}",
            "roster",
            f"contact-{contact}@{host}",
            "json",
            f'{{"name":"{tag} {user} {contact}"}}' * 4,
        )
        for user in range(users)
        for contact in range(contacts)
    ]
    insert = "INSERT INTO prosody VALUES (?, ?, ?, ?, ?, ?)"
    pool.change(*((insert, row) for row in rows))
    return len(rows)


def crowd_size(pool: Pool, tag: str) -> int:
    """How many rows of that crowd are visible at a pool."""
    found = pool.ask('SELECT count(*) FROM prosody WHERE "user" LIKE ?', f"{tag}-%")
    return int(found[0][0])


def _unpacks(target: Pool) -> bool:
    """Whether the rows file of a received package lies in the scratch folder: an apply is under way, or died there."""
    return any(target.scratch.glob("in-users-rows.*"))


def kill_while_applying(origin: Pool, target: Pool, tag: str, *, users: int, contacts: int = 20) -> Hit:
    """Have a large package applied at the target and kill its service while that goes on."""
    written = write_crowd(origin, tag, users, contacts)
    asked = origin.spawn("sync", "--channel", "users")
    deadline_s = time.monotonic() + target.patience_s
    watch = None
    while time.monotonic() < deadline_s:
        if not _unpacks(target):
            if watch is not None:
                break  # the moment has passed
            time.sleep(LOOK_S)
            continue
        watch = watch or target.store.watch()
        if watch.writes():
            break
        time.sleep(LOOK_S)
    else:
        raise NotSeen(f"{target.name} began no applying within {target.patience_s:g} s")
    target.kill()
    asked.wait(target.patience_s)
    unfinished = watch.unfinished() if watch else ""
    standing = target.packages("PresenceFocus")
    visible = crowd_size(target, tag)
    if visible:
        when = "after"
    else:
        when = "middle" if unfinished and standing and _unpacks(target) else "before"
    return Hit(
        when=when,
        package=standing[0].name if standing else "",
        unfinished=unfinished,
        rows_written=written,
        rows_visible=visible,
    )

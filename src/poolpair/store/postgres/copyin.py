"""The sections of a received rows file, copied into temporary tables and checked against the tables they are of."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import psycopg

from poolpair.errors import Code, Refused
from poolpair.store.postgres.bound import GONE, Bound, listed
from poolpair.store.postgres.database import Database, quote
from poolpair.store.postgres.drift import check_types
from poolpair.store.postgres.naming import FEW_KEYS
from poolpair.store.postgres.refusals import reason_of
from poolpair.store.postgres.rowsfile import RowsReader, Section, reading
from poolpair.store.postgres.snapshot import FILE_TYPES

_PLACE = "poolpair_place bigint GENERATED ALWAYS AS IDENTITY, "


class CopiedIn:
    """What one rows file brought."""

    def __init__(self, database: Database, rows: Path) -> None:
        self._db = database
        self.rows = rows
        self.lines: dict[str, int] = {}
        """Temporary tables, and how many lines were copied into each; of a section that is left where it is only whether it has any."""
        self.left: set[int] = set()
        """Tables whose section holds nothing but rows, and is not copied yet: `filling` may do without."""

    def copy(self, bound: Iterable[Bound | None]) -> None:
        """Copy everything in, but for what is left and the tables that wait. Raises Refused(DAMAGED)."""
        with reading(self.rows) as reader:
            self._copy_section(reader, self._expect(reader, "f"), FILE_TYPES, None)
            for b in bound:
                if b is None:
                    if reader.section() is not None:
                        reader.skip()
                    continue
                section = self._expect(reader, f"r{b.n}")
                self._check(section, _told(b), b)
                if GONE in section.columns:
                    self._copy_section(reader, section, _declared(b), b)
                elif reader.skip():
                    self._make(section, _declared(b), b)
                    self.lines[section.name] = 1
                    self.left.add(b.n)
                else:
                    self._make(section, _declared(b), b)
            if reader.section() is not None:
                raise Refused(Code.DAMAGED, "the rows file holds more tables than it should")

    def copy_left(self, b: Bound) -> None:
        """Copy a section in that was left. It stays left for whoever begins again after a rollback."""
        with reading(self.rows) as reader:
            while (section := reader.section()) is not None and section.name != f"r{b.n}":
                reader.skip()
            assert section is not None, "it was there a moment ago"
            self._copy_section(reader, section, _declared(b), b)

    def empty(self) -> None:
        """Empty the temporary tables."""
        self._db.scratch.empty(self.lines)

    @staticmethod
    def _expect(reader: RowsReader, name: str) -> Section:
        section = reader.section()
        if section is None or section.name != name:
            raise Refused(Code.DAMAGED, "the rows file does not hold the tables it should")
        return section

    @staticmethod
    def _check(section: Section, told: dict[str, str], b: Bound | None) -> None:
        named = set(told) - ({GONE} - set(section.columns))
        if sorted(section.columns) != sorted(named) or len(section.columns) != len(section.types):
            said = f"table {section.name} of the rows file has other columns than the manifest says"
            raise Refused(Code.DAMAGED, said)
        check_types(section, told, b)

    def _make(self, section: Section, declared: dict[str, str], b: Bound | None) -> str:
        """The temporary table of a section, empty. A line that does not say that its group is gone is a row."""
        columns = dict.fromkeys((*section.columns, *((GONE,) if b else ())))
        types = (f"{quote(c)} {declared[c]}{' NOT NULL DEFAULT false' if c == GONE else ''}" for c in columns)
        self.lines[section.name] = 0
        return self._db.scratch.make(section.name, (_PLACE if b else "") + ", ".join(types))

    def _copy_section(self, reader: RowsReader, section: Section, declared: dict[str, str], b: Bound | None) -> None:
        if b is None:
            self._check(section, declared, b)
        table = self._make(section, declared, b)
        blocks = reader.blocks()
        first = next(blocks, None)
        if first is None:
            return
        self.lines[section.name] = 1  # whatever it holds, should this fail
        try:
            with self._db.connection.cursor() as cursor:
                with cursor.copy(f"COPY {table} ({listed(section.columns)}) FROM STDIN") as copy:
                    for block in chain((first,), blocks):
                        copy.write(block)
                lines = self.lines[section.name] = cursor.rowcount
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise Refused(Code.DAMAGED, f"the rows file cannot be read: {reason_of(error)}") from error
        if lines > FEW_KEYS:
            self._db.run(f"ANALYZE {table}")


def _declared(b: Bound) -> dict[str, str]:
    return {name: b.type_of(name).declared for name in b.columns} | {GONE: "boolean"}


def _told(b: Bound) -> dict[str, str]:
    return {name: b.type_of(name).told for name in b.columns} | {GONE: "boolean"}

"""The spool of files on a draft: catalogue entries by the number of their recovery."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from poolpair.store.memory.state import Draft, FileEntry
from poolpair.store.values import CatalogueFile


class MemoryFileSpool:
    """Implements `store.port_moves.FileSpool`."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def keep(self, first: int, home: str, since: int | None, room_bytes: int) -> tuple[int, ...]:
        """Cut by the sum of the sizes before each file."""
        files = self._draft.files
        chosen = [
            entry
            for _, entry in sorted(files.now.items())
            if entry.file.home == home and not entry.deleting and _is_chosen(entry, since)
        ]
        parts: dict[int, list[CatalogueFile]] = {}
        before_bytes = 0
        for entry in chosen:
            parts.setdefault(before_bytes // room_bytes, []).append(entry.file)
            before_bytes += entry.file.size
            if entry.file.present and not entry.gen:
                files.edit[entry.file.path] = replace(entry, file=replace(entry.file, foreign=True))
        for number, part in enumerate(parts.values(), first):
            self.add(number, part)
        return tuple(map(len, parts.values()))

    def add(self, number: int, files: Iterable[CatalogueFile]) -> None:
        """Remember them."""
        sheet = self._draft.file_spools
        known = {file.path: file for file in sheet.now.get(number, ())}
        known |= {file.path: replace(file, inode=0, ctime_ns=0, foreign=False) for file in files}
        sheet.edit[number] = tuple(file for _, file in sorted(known.items()))

    def files(self, number: int) -> tuple[CatalogueFile, ...]:
        """Read them."""
        return self._draft.file_spools.now.get(number, ())

    def forget(self, number: int) -> None:
        """Let go of them."""
        if number in self._draft.file_spools.now:
            del self._draft.file_spools.edit[number]

    def was_changed(self, path: bytes, since: int) -> bool:
        """Look at the stamp."""
        entry = self._draft.files.now.get(path)
        return entry is not None and entry.gen > since


def _is_chosen(entry: FileEntry, since: int | None) -> bool:
    if since is None:
        return entry.file.present and not entry.file.foreign
    return entry.gen > since

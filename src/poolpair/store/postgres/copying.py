"""COPY out of the server in blocks: the driver gives row by row, which costs more in Python than the whole query does in the server."""

from __future__ import annotations

from collections.abc import Iterator
from select import select

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result
from psycopg.rows import TupleRow

BLOCK_BYTES = 1 << 18
_TRUE = ord("t")


class CopyOut:
    """The text that `COPY (query) TO STDOUT` gives, once; afterwards it says how many rows that was."""

    def __init__(self, connection: psycopg.Connection[TupleRow], query: str) -> None:
        self._c = connection
        self._query = query
        self.rows = self.marked = 0
        """Rows, and those of them whose first column is `true`."""

    def __iter__(self) -> Iterator[bytearray]:
        """Blocks of about BLOCK_BYTES. Not read to its end, the connection is closed: nothing else could be said on it."""
        server, finished = self._c.pgconn, False
        server.send_query(f"COPY ({self._query}) TO STDOUT".encode())
        try:
            self._expect(pq.ExecStatus.COPY_OUT)
            yield from self._blocks(server)
            self._expect(pq.ExecStatus.COMMAND_OK)
            while self._result() is not None:
                pass
            finished = True
        except psycopg.DatabaseError as error:
            finished = error.sqlstate is not None  # the server itself ended the command
            raise
        finally:
            if not finished:
                self._c.close()

    def _blocks(self, server: pq.abc.PGconn) -> Iterator[bytearray]:
        block = bytearray()
        while True:
            size, row = server.get_copy_data(1)
            if size > 0:
                block += row
                self.rows += 1
                self.marked += row[0] == _TRUE
                if len(block) >= BLOCK_BYTES:
                    yield block
                    block = bytearray()
            elif size == 0:
                self._wait(server)
            else:
                break
        if block:
            yield block

    @staticmethod
    def _wait(server: pq.abc.PGconn) -> None:
        """Wait for the server without keeping other threads from running."""
        select([server.socket], [], [])
        server.consume_input()

    def _result(self) -> pq.abc.PGresult | None:
        server = self._c.pgconn
        while server.flush():
            select([], [server.socket], [])
        while server.is_busy():
            self._wait(server)
        return server.get_result()

    def _expect(self, status: pq.ExecStatus) -> pq.abc.PGresult:
        found = self._result()
        if found is None:
            raise psycopg.OperationalError("the server gave no answer")
        if found.status != status:
            while self._result() is not None:
                pass
            raise error_from_result(found)
        return found

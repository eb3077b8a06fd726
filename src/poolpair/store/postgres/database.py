"""Connections to the application's PostgreSQL database, and its errors in our words.

Every connection finds only what it names (a fixed search_path), writes values in one fixed way whatever the role's settings are,
waits for locks at most `lock_wait_s`, and gets an error instead of fewer rows where row-level security would hide some. A
connection that was lost is made again with the next unit of work; what was under way has failed and is left to the next pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.generators import fetch_many
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.rows import TupleRow

from poolpair.errors import Code, PoolpairError
from poolpair.store.postgres.plans import Plans
from poolpair.store.postgres.refusals import is_refusal, translate
from poolpair.store.postgres.scratch import ScratchTables

SCHEMA = "poolpair"
STATEMENT_S = 3600
"""No statement of ours runs longer; only whole copies and comparisons take more than moments."""
_SETTINGS: dict[str, str] = {
    "search_path": "pg_catalog, pg_temp",
    "row_security": "off",
    "client_encoding": "UTF8",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "array_nulls": "on",  # else a NULL in an array that arrives would be a text
    "lc_monetary": "C",
    "jit": "off",
    "work_mem": "64MB",  # each connection of ours sorts or hashes one thing at a time
    "temp_buffers": "32MB",
    "default_statistics_target": "10",  # only our own temporary tables are analysed here, and only roughly
    "client_min_messages": "warning",
    "standard_conforming_strings": "on",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "idle_in_transaction_session_timeout": f"{STATEMENT_S}s",
    "idle_session_timeout": "0",  # the lease is this connection, between two passes too
    "tcp_keepalives_idle": "10",  # a holder of the lease whose machine died must not hold it for hours
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_DONE = {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}


def quote(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text value."""
    return "'" + text.replace("'", "''") + "'"


def texts(values: Iterable[str]) -> str:
    """Write an array of texts."""
    return f"ARRAY[{', '.join(map(literal, values))}]::text[]"


def shown(url: str) -> str:
    """A store's URL for people, without any secret."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return "postgresql://..."
    user = f"{parts['user']}@" if parts.get("user") else ""
    place = str(parts.get("host") or parts.get("hostaddr") or "localhost")
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{user}{place}{port}/{parts.get('dbname') or parts.get('user') or ''}"


class Database:
    """One connection, made again when it was lost. Statements take `$1`, `$2` ... as parameters."""

    def __init__(self, url: str, lock_wait_s: float, on_connect: Callable[[], None] | None = None) -> None:
        self.url = url
        self.lock_wait_s = lock_wait_s
        self._on_connect = on_connect
        self.name = shown(url)
        self.schemas: tuple[str, ...] = ()
        """Where a table without a schema is looked for: the role's own search_path."""
        self.scratch = ScratchTables(self)
        self.plans = Plans(self)
        self._sent = False
        self._c = self._connect()

    def _connect(self) -> psycopg.Connection[TupleRow]:
        self.scratch.forget()
        with self.translated():
            c = psycopg.connect(
                self.url,
                autocommit=True,
                prepare_threshold=None,  # the application may change its tables at any moment
                cursor_factory=psycopg.RawCursor,
                connect_timeout=10,
                application_name="poolpair",
            )
            c.server_cursor_factory = psycopg.RawServerCursor
            try:
                self._refuse_pooler(c)
                self.schemas = tuple(_one(c, "SELECT current_schemas(false)::text[]"))
                encoding = c.info.parameter_status("server_encoding")
                if encoding != "UTF8":
                    raise PoolpairError(Code.PROFILE, f"{self.name} is encoded in {encoding}; poolpair needs UTF-8")
                if c.info.server_version < 140000:
                    raise PoolpairError(
                        Code.PROFILE, f"{self.name} is PostgreSQL {c.info.server_version // 10000}; poolpair needs 14"
                    )
                settings = _SETTINGS | {
                    "lock_timeout": f"{max(1, round(self.lock_wait_s * 1000))}ms",
                    "statement_timeout": f"{STATEMENT_S}s",
                }
                if c.info.server_version >= 170000:
                    settings["transaction_timeout"] = "0"  # a whole copy is one transaction
                c.execute(
                    "SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS s (name, value)",
                    (list(settings), list(settings.values())),
                )
                # What is acknowledged is durable, whatever the role's own habit; a stricter one is kept.
                c.execute(
                    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
                )
                self.plans.renew(c)
            except BaseException:  # whatever ended it: no connection is left behind
                c.close()
                raise
        return c

    def _refuse_pooler(self, c: psycopg.Connection[TupleRow]) -> None:
        """The lease is a lock of this very connection: it must not be lent to somebody else between two statements."""
        asked = c.execute("SELECT pg_backend_pid()").fetchone()
        if asked is not None and asked[0] != c.info.backend_pid:
            detail = f"store = {self.name} goes through a connection pooler"
            raise PoolpairError(Code.CONFIG, detail, hint="name the server itself; the application may use the pooler")

    def run(self, text: str, *parameters: object) -> psycopg.Cursor[TupleRow]:
        """Execute one statement. Outside of a transaction a lost connection is made again, and the statement tried once more."""
        self._settle()
        idle = self._c.closed or self._c.info.transaction_status is TransactionStatus.IDLE
        if not self._c.closed:
            try:
                return self._c.execute(text, parameters or None)
            except psycopg.OperationalError:
                if not (idle and self._c.closed):
                    raise
        self.reconnect()
        return self._c.execute(text, parameters or None)

    def send(self, text: str) -> None:
        """Execute what ends a unit of work, and do not wait for it: if it fails the connection is made anew."""
        if self.connection.closed:  # which ended everything
            return
        try:
            self._c.pgconn.send_query(text.encode())
            self._c.pgconn.flush()
            self._sent = True
        except psycopg.OperationalError:
            self._c.close()

    def _settle(self) -> None:
        """Wait for what was sent."""
        if self._sent:
            self._sent = False
            try:
                results = self._c.wait(fetch_many(self._c.pgconn))
            except psycopg.OperationalError:
                results = []
            if not results or any(each.status not in _DONE for each in results):
                self._c.close()

    def reconnect(self) -> None:
        """Make the connection anew."""
        self._c.close()
        self._c = self._connect()
        if self._on_connect is not None:
            self._on_connect()

    def rows(self, text: str, *parameters: object) -> list[TupleRow]:
        """Every row of a statement."""
        return self.run(text, *parameters).fetchall()

    def row(self, text: str, *parameters: object) -> TupleRow | None:
        """The first row, None if there is none."""
        return self.run(text, *parameters).fetchone()

    def number(self, text: str, *parameters: object) -> int:
        """The first column of the first row as a number."""
        found = self.row(text, *parameters)
        assert found is not None
        return int(found[0])

    def changed(self, text: str, *parameters: object) -> int:
        """Execute a statement and say how many rows it wrote."""
        return self.run(text, *parameters).rowcount

    @property
    def connection(self) -> psycopg.Connection[TupleRow]:
        """The present connection, for COPY and cursors."""
        self._settle()
        return self._c

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction was begun and neither committed nor rolled back."""
        return self.connection.info.transaction_status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}

    def roll_back(self) -> None:
        """Undo the transaction, if one is open; a lost connection has done so by itself."""
        self._settle()
        if self._c.closed or self._c.info.transaction_status is TransactionStatus.IDLE:
            return
        self.scratch.undone()
        try:
            self._c.execute("ROLLBACK")
        except psycopg.Error:
            self._c.close()

    @contextmanager
    def transaction(self, begin: str = "BEGIN") -> Iterator[None]:
        """Commit at the end, roll back on any exception."""
        self.run(begin)
        try:
            yield
            self._c.execute("COMMIT")
        except BaseException:  # whatever ended it: clean up, then let it pass
            self.roll_back()
            raise

    def tried(self, statements: Sequence[str]) -> list[int]:
        """Run statements in a savepoint, in one round trip; gives how many rows each wrote, or the number that it answers.

        What is refused is undone, and raised.
        """
        try:
            cursor = self._c.execute(
                "; ".join(("SAVEPOINT poolpair_try", *statements, "RELEASE SAVEPOINT poolpair_try"))
            )
        except psycopg.Error as error:
            if is_refusal(error):
                self._c.execute("ROLLBACK TO SAVEPOINT poolpair_try; RELEASE SAVEPOINT poolpair_try")
            raise
        written = []
        for _ in statements:
            cursor.nextset()
            written.append(int(cursor.fetchall()[0][0]) if cursor.description else cursor.rowcount)
        return written

    def close(self) -> None:
        """Let go of the connection."""
        self._settle()
        self._c.close()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the driver's errors into ours."""
        try:
            yield
        except psycopg.Error as error:
            raise translate(error, self.name) from error


def answers_of(cursor: psycopg.Cursor[TupleRow]) -> list[list[TupleRow]]:
    """The rows of each of several statements that went together."""
    answers = [cursor.fetchall() if cursor.description else []]
    while cursor.nextset():
        answers.append(cursor.fetchall() if cursor.description else [])
    return answers


def _one(c: psycopg.Connection[TupleRow], text: str) -> list[str]:
    row = c.execute(text).fetchone()
    return list(row[0]) if row else []

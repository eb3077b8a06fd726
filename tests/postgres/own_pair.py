"""A small pair on PostgreSQL with tables and a profile of the test's own: quick to make, quick to compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from typer.testing import CliRunner, Result

from poolpair.cli.main import app
from poolpair.keyfile import new_key_file
from poolpair.model import Channel, ExportStatus
from poolpair.testing.clock import VirtualClock
from poolpair.wiring import initialise
from tests.badinput.ground import HOMES, ITEM, PROFILE
from tests.cluster import Cluster
from tests.postgres.server_pair import ServerPair

SCHEMA = """
CREATE TABLE item (owner text NOT NULL, name text NOT NULL, value double precision, PRIMARY KEY (owner, name));
CREATE TABLE upload (owner text NOT NULL, name text NOT NULL, note text, PRIMARY KEY (owner, name));
"""
_NUMBER = count(1)

__all__ = ["ITEM", "PROFILE", "SCHEMA", "OwnPair", "own_pair"]


@dataclass
class OwnPair(ServerPair):
    """Compares whole tables as the server writes them."""

    tables: tuple[str, ...] = field(default=())

    def rows(self, pool: str) -> list[tuple[object, ...]]:
        """Every row of every table, in a comparable order; a table that one pool lacks has none."""
        found: list[tuple[object, ...]] = []
        with self.connect(pool) as connection:
            for table in self.tables:
                found += [(table, *row) for row in connection.execute(f"SELECT t::text FROM {table} t")]
        return sorted(found, key=repr)

    def do(self, pool: str, *statements: str) -> None:
        """Statements of the application's, each in a transaction of its own."""
        with self.connect(pool) as connection:
            for statement in statements:
                connection.execute(statement)

    def ask(self, pool: str, query: str) -> list[tuple[object, ...]]:
        """Look into a database."""
        with self.connect(pool) as connection:
            return connection.execute(query).fetchall()

    def write_file(self, pool: str, name: str, content: bytes) -> None:
        """A user of the pool uploads a file."""
        path = self.folder / f"data-{pool}" / "up" / f"u@{pool}" / f"{name}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def whole(self) -> None:
        """Come to rest: rows are equal, both pools say FinalState, and `status` would exit with 0."""
        self.settle(force=True)
        assert self.rows("a") == self.rows("b")
        for pool in ("a", "b"):
            status = self.status(pool)
            assert {channel.export.status for channel in status.channels} == {ExportStatus.FINAL}, status
            assert status.exit_status == 0, status

    def fault(self, pool: str, channel: Channel = Channel.USERS) -> str:
        """What status says is wrong, in either direction: code and words."""
        found = self.channel(pool, channel)
        return " / ".join(f"{each.code} {each.detail}" for each in (found.imports.fault, found.export.fault) if each)

    def command(self, pool: str, *words: str) -> Result:
        """Run a command in this process."""
        return CliRunner().invoke(app, ["-c", str(self.toml(pool)), *words])


@contextmanager
def own_pair(
    cluster: Cluster,
    folder: Path,
    schema: str = SCHEMA,
    profile: str = PROFILE,
    tables: tuple[str, ...] = ("item", "upload"),
    extra: str = "",
    homes: Mapping[str, str] = HOMES,
) -> Iterator[OwnPair]:
    """Both pools after their first copy, with one user each."""
    folder.mkdir(exist_ok=True)
    new_key_file(folder / "pair.key")
    (folder / "profile.toml").write_text(profile)
    pair = OwnPair(folder, VirtualClock(), cluster=cluster, tables=tables)
    listed = "".join(f'"{pattern}" = "{owner}"\n' for pattern, owner in homes.items())
    try:
        for pool, other in (("a", "b"), ("b", "a")):
            database = pair.databases[pool] = f"own_{pool}_{next(_NUMBER)}"
            cluster.create(database)
            pair.do(pool, schema)
            (folder / f"data-{pool}").mkdir()
            (folder / f"share-{pool}").mkdir()
            files = f'files = "{folder}/data-{pool}"\n' if "[[files]]" in profile else ""
            pair.toml(pool).write_text(
                f'pool = "{pool}"\nstore = "{cluster.url(database)}"\nprofile = "{folder}/profile.toml"\n'
                f'scratch = "{folder}/scratch-{pool}"\nshare = "{folder}/share-{pool}"\n{files}front_end = "fe-{pool}"\n'
                f'[partner]\npool = "{other}"\nshare = "{folder}/share-{other}"\nkey_file = "{folder}/pair.key"\n'
                f"[homes]\n{listed}{extra}"
            )
            initialise(pair.config(pool))
            pair.start(pool)
        pair.whole()
        yield pair
    finally:
        pair.end()

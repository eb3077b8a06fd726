"""A pair of real services, pool a on a PostgreSQL that Patroni keeps, and an application there that lists what was committed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from poolpair.lab.deployment.application import PROFILE, TABLE
from poolpair.lab.pool import Answer, Pool, run_command, wait_for
from tests.cluster import Cluster
from tests.ha.patroni import Patroni

WAIT_S = 120.0
RETRY_S = 0.2
_NUMBER = count(1)


@dataclass
class HaPool(Pool):
    """A pool of an application with one table, wherever its database is."""

    url: str = ""

    def prepare(self) -> None:
        """Share, table and pool file."""
        self.share.mkdir()
        self.write_toml()
        with psycopg.connect(self.url) as connection:
            connection.execute(TABLE)

    def write_toml(self, **settings: str) -> None:
        """Write the pool file."""
        del settings
        self.toml.write_text(
            f'pool = "{self.name}"\nstore = "{self.url}"\nprofile = "{self.folder}/note.toml"\nshare = "{self.share}"\n'
            f'scratch = "{self.folder}/scratch-{self.name}"\nfront_end = "fe-{self.name}"\n[partner]\npool = "{self.partner}"\n'
            f'share = "{self.folder}/share-{self.partner}"\nkey_file = "{self.folder}/pair.key"\n'
            f'[homes]\n"a" = "a"\n"b" = "b"\n[sync]\nheartbeat_max = "500ms"\n'
        )

    def put(self, *notes: str) -> None:
        """Commit notes of this pool's users, in one transaction. Raises psycopg.Error, and then nothing is known of them."""
        with psycopg.connect(self.url) as connection:
            connection.cursor().executemany(
                "INSERT INTO note VALUES (%s, %s, 'as written')", [(note, self.name) for note in notes]
            )

    def put_in_the_end(self, note: str) -> None:
        """Try, as an application does that waits for its server, until it is committed."""

        def committed() -> bool:
            try:
                self.put(note)
            except psycopg.errors.UniqueViolation:
                return True  # the commit before was not confirmed, and had been carried out
            except psycopg.Error:
                return False
            return True

        wait_for(f"{note} committed", committed, WAIT_S, poll_s=RETRY_S)

    def notes(self) -> set[tuple[Any, ...]]:
        """Everything here."""
        with psycopg.connect(self.url) as connection:
            return set(connection.execute("SELECT id, owner, body FROM note").fetchall())

    def has(self, *notes: str) -> bool:
        """Whether these are here; False also while the server is not."""
        try:
            return set(notes) <= {row[0] for row in self.notes()}
        except psycopg.Error:
            return False


@dataclass
class HaPair:
    """Both pools, running; `listed` is what the application at a was told is committed."""

    a: HaPool
    b: HaPool
    servers: Patroni
    listed: list[str] = field(default_factory=list)

    def write(self, notes: int) -> None:
        """The application at a commits notes one by one and lists each."""
        for _ in range(notes):
            note = f"note-{next(_NUMBER)}"
            self.a.put_in_the_end(note)
            self.listed.append(note)

    def final(self) -> None:
        """Both say FinalState."""
        for pool in (self.a, self.b):
            wait_for(f"FinalState at {pool.name}", lambda pool=pool: says_final(pool), WAIT_S, poll_s=0.5)  # type: ignore[misc]

    def applies(self) -> bool:
        """Whether a package is being applied at a at this moment."""
        query = (
            "SELECT count(*) FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE a.backend_xid IS NOT NULL"
            " AND l.relation = 'note'::regclass AND l.mode = 'RowExclusiveLock' AND a.application_name LIKE 'poolpair%'"
        )
        with psycopg.connect(self.a.url) as connection:
            (found,) = connection.execute(query).fetchone() or (0,)
        return bool(found)

    def kill_primary(self) -> str:
        """The machine of the primary dies, and the other server is promoted; gives the name of the dead one."""
        dead = self.servers.primary()
        self.servers.kill(dead)
        return dead

    def promoted(self, dead: str) -> None:
        """Wait until the other is the primary."""
        wait_for("the promotion", lambda: self.servers.primary() not in ("", dead), WAIT_S, poll_s=0.2)


def says_final(pool: Pool) -> bool:
    """Whether status says so, and nothing else is wrong; a server that is not there yet says nothing."""
    answer: Answer = pool.run("status", "--json")
    return answer.exit_status == 0 and all(
        channel["export"]["status"] == "FinalState" for channel in answer.data["channels"]
    )


@contextmanager
def ha_pair(servers: Patroni, cluster: Cluster, folder: Path) -> Iterator[HaPair]:
    """Both services at work, and their first copies made."""
    name = f"ha_{next(_NUMBER)}"
    with servers.connect(servers.primary()) as dba:
        dba.execute("CREATE ROLE app LOGIN")
        dba.execute("CREATE DATABASE app OWNER app")
    cluster.create(name)
    (folder / "note.toml").write_text(PROFILE)
    pools = (
        HaPool("a", "b", folder, url=servers.url("app", "app")),
        HaPool("b", "a", folder, url=cluster.url(name)),
    )
    assert run_command("key", "new", str(folder / "pair.key")).exit_status == 0
    pair = HaPair(*pools, servers)
    try:
        for pool in pools:
            pool.prepare()
            pool.must("init")
            pool.start()
        pair.final()
        yield pair
    finally:
        for pool in pools:
            pool.kill()
        cluster.drop(name)

"""PgBouncer in transaction mode between an application and its server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from poolpair.lab.pool import wait_for
from tests.cluster import Cluster

PORT = 6432
SETTINGS = """
[databases]
* = host={server}
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 2
ignore_startup_parameters = extra_float_digits
logfile = {folder}/log
"""


@contextmanager
def pooler(cluster: Cluster) -> Iterator[Path]:
    """A running PgBouncer; gives the folder of its socket."""
    with TemporaryDirectory(prefix="pp-bouncer-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "users").write_text('"app" ""\n')
        (folder / "ini").write_text(SETTINGS.format(server=cluster.socket, folder=folder, port=PORT))
        user = cluster.user
        if user is not None:
            for path in (folder, *folder.iterdir()):
                os.chown(path, user, user)
        quiet = subprocess.DEVNULL
        running = subprocess.Popen(
            ["/usr/sbin/pgbouncer", "-q", folder / "ini"],
            user=user,
            group=user,
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
        )
        try:
            wait_for("PgBouncer", lambda: _answers(cluster, folder), 20)
            yield folder
        finally:
            running.terminate()
            running.wait(20)


def _answers(cluster: Cluster, folder: Path) -> bool:
    try:
        psycopg.connect(through(cluster, folder, "postgres")).close()
    except psycopg.OperationalError:
        return False
    return True


def through(cluster: Cluster, folder: Path, database: str) -> str:
    """The URL of a database as it is reached through the pooler."""
    return cluster.url(database).replace(str(cluster.socket), str(folder)) + f"&port={PORT}"

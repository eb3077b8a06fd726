"""The PostgreSQL servers of a lab, one for each pool of the first pair: found again by later commands, started again after a kill."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

from poolpair.errors import Code, PoolpairError
from poolpair.lab.deployment.layout import SOCKET_BYTES_MAX, Layout
from poolpair.lab.server_database import reachable
from poolpair.lab.waiting import NotSeen, wait_for
from poolpair.server import LOOSE, Server, ServerFailed, programs

ROLE = "notes"
START_S = 30.0
SETTINGS = f"{LOOSE}synchronous_commit = on\n"
"""A process that is killed loses nothing that was committed. The machine's own end is another matter: a lab is thrown away."""


def check_installed() -> None:
    """Raise USAGE where there is no PostgreSQL."""
    try:
        programs()
    except ServerFailed as error:
        raise PoolpairError(
            Code.USAGE, str(error), "install it, or make a lab without: `poolpair lab up --store sqlite`"
        ) from None


def place_for(folder: Path, pool: str) -> Path:
    """Make a folder for a pool's server: in the lab's own if its user can get there and a socket's name has room."""
    wanted = folder / f"db-{pool}"
    if len(str(wanted / "socket")) > SOCKET_BYTES_MAX:
        return Path(mkdtemp(prefix=f"poolpair-lab-{pool}-", dir="/tmp"))
    return reachable(wanted)


def server_of(layout: Layout, pool: str) -> Server:
    """The server of a pool, wherever it stands: started or not."""
    place = Path(layout.places[pool])
    return Server(place, socket=place / "socket")


def url_of(layout: Layout, pool: str) -> str:
    """How the application and the service reach a pool's database."""
    return f"postgresql://{ROLE}@/{ROLE}?host={Path(layout.places[pool]) / 'socket'}"


def make_server(layout: Layout, pool: str) -> Server:
    """A new server with the databases of a pool, started. Raises ServerFailed."""
    server = server_of(layout, pool)
    server.initialise(SETTINGS)
    server.start()
    server.dba(f"CREATE ROLE {ROLE} LOGIN")
    for name in (ROLE, f"{ROLE}_cms"):
        server.create(name, owner=ROLE)
    return server


def start_server(layout: Layout, pool: str) -> int:
    """Start a server that has run before; gives the process id. Raises PoolpairError with what it said.

    One that was killed leaves processes behind that end by themselves, and until then it does not start.
    """
    server, said = server_of(layout, pool), [""]

    def starts() -> int | None:
        try:
            server.start()
        except ServerFailed as error:
            said[0] = str(error)
            return None
        return server.postmaster

    try:
        return wait_for("the server", starts, START_S, poll_s=0.5)
    except NotSeen:
        last = server.log.read_text(errors="replace").splitlines()[-1:] if server.log.exists() else []
        detail = f"the server of pool {pool} does not start: {' '.join([said[0], *last])}"
        raise PoolpairError(Code.STORE_MISSING, detail, f"look at {server.log}") from None

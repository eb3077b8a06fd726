"""A pair whose shares are on file servers: two services as real processes, each site with a Samba server of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest

from poolpair.lab.pool import Pool, make_pools
from poolpair.lab.steps import wait_final
from poolpair.lab.waiting import wait_for
from tests.smb.server import ACCOUNT, PASSWORD, SmbServer

SEEN_S = 40.0
_ROW = "INSERT INTO prosody (host, user, store, key, type, value) VALUES ('a.example', ?, 'roster', ?, 'string', 'x')"


@dataclass
class Sites:
    """Two pools, and the file server at each."""

    pools: tuple[Pool, Pool]
    servers: dict[str, SmbServer]

    @property
    def credentials(self) -> Path:
        """Where both services look for the account."""
        return self.pools[0].folder / "share.credentials"

    def set_login(self, password: str) -> None:
        """What the services say who they are."""
        self.credentials.write_text(f"username={ACCOUNT}\npassword={password}\n")
        self.credentials.chmod(0o600)

    def write(self, *users: str) -> None:
        """The application at a changes rows."""
        self.pools[0].change(*((_ROW, (user, user)) for user in users))

    def users_at_b(self) -> set[str]:
        """Whose rows have arrived."""
        found = self.pools[1].ask("SELECT user FROM prosody WHERE host = 'a.example' AND store = 'roster'")
        return {str(user) for (user,) in found}

    def wait_for_user(self, user: str) -> None:
        """Wait until a row has arrived."""
        wait_for(f"{user} at b", lambda: user in self.users_at_b(), SEEN_S)

    def wait_said(self, words: str) -> None:
        """Wait until status at a says something."""
        wait_for(words, lambda: words in self.pools[0].run("status").out, SEEN_S, poll_s=0.2)


def address(sites: Sites, text: str, owner: str, *, role: str) -> str:
    """A pool file in which the share of a pool is on its server."""
    server = sites.servers[owner]
    before = f'share = "{sites.pools[0].folder}/share-{owner}"'
    assert text.count(before) == 1, role
    after = f'share = "smb://127.0.0.1:{server.port}/pools/share-{owner}"\nshare_credentials = "{sites.credentials}"'
    return text.replace(before, after)


@pytest.fixture(params=["partner", "both"])
def sites(request: pytest.FixtureRequest) -> Iterator[Sites]:
    """Each pool reaches its partner's share over SMB, and its own as a folder, or over SMB as well."""
    folder = Path(mkdtemp(prefix="poolpair-smb-"))
    folder.chmod(0o755)
    servers = {name: SmbServer(folder / f"smbd-{name}", {"pools": folder}) for name in ("a", "b")}
    made = Sites(make_pools(folder, interval='"5s"', heartbeat_max='"500ms"'), servers)
    made.set_login(PASSWORD)
    for pool in made.pools:
        if os.geteuid() == 0:
            for path in (pool.share, *pool.share.rglob("*")):
                shutil.chown(path, ACCOUNT)
        text = address(made, pool.toml.read_text(), pool.partner, role="partner")
        if request.param == "both":
            text = address(made, text, pool.name, role="own")
        pool.toml.write_text(text)
    try:
        for server in servers.values():
            server.start()
        for pool in made.pools:
            pool.must("init")
            pool.start()
        wait_final(*made.pools)
        yield made
    finally:
        for pool in made.pools:
            pool.kill()
        for server in servers.values():
            server.kill()
        shutil.rmtree(folder)


@pytest.mark.timeout(180)
def test_a_pair_over_smb(sites: Sites) -> None:
    """Rows go over; the partner's server dies, comes back, and wants another password: all is said, nothing is lost."""
    a, b = sites.pools
    sites.write("new-1")
    sites.wait_for_user("new-1")
    assert a.run("check").exit_status == 0, a.run("check").out
    sites.servers["b"].kill()
    sites.wait_said("cannot be reached")  # though nobody writes
    sites.write("new-2")
    sites.servers["b"].start()
    sites.wait_for_user("new-2")
    sites.servers["b"].kill()
    sites.servers["b"].set_password(ACCOUNT, "another one")
    sites.servers["b"].start()
    sites.write("new-3")
    sites.wait_said(f"{ACCOUNT} is not let in")
    sites.servers["b"].set_password(ACCOUNT, PASSWORD)
    sites.wait_for_user("new-3")
    wait_final(a, b)
    # A server that is killed leaves what was being written: of each line, the heartbeat's and the packages', one file for each time.
    assert len(list((b.share / "Temp").iterdir())) <= 4
    a.must("failover", "a", "--yes")
    b.change((_ROW, ("new-4", "new-4")))
    b.must("failback", "a", "--yes")
    assert a.ask("SELECT count(*) FROM prosody WHERE user = 'new-4'") == [(1,)]
    wait_final(a, b)
    b.stop()
    b.must("uninstall", "--yes")
    assert not (b.share / "UserServices").exists()

"""Four pools in two pairs as real processes, one management store: that of a and b holds it, c and d get their configuration from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from poolpair.lab.pool import Pool, run_command, wait_for

PROFILE = '[[tables]]\nname = "note"\nkey = ["id"]\nhome_key = "owner"\nprincipal = "owner"\n'
TABLE = "CREATE TABLE note (id TEXT, owner TEXT, body TEXT, PRIMARY KEY (id, owner))"
PAIRS = {"a": "b", "b": "a", "c": "d", "d": "c"}
WAIT_S = 40.0


class Plain(Pool):
    """A pool of an application with one table; `more` is added to its pool file."""

    more: str = ""

    def prepare(self) -> None:
        """Make database, share and pool file."""
        self.data.mkdir()
        self.share.mkdir()
        (self.folder / "note.toml").write_text(PROFILE.replace('key = ["id"]', 'key = ["id", "owner"]'))
        with closing(sqlite3.connect(self.database)) as connection:
            connection.execute(TABLE)
        self.write_toml()

    def write_toml(self, **settings: str) -> None:
        """Write the pool file anew."""
        pair = "".join(sorted((self.name, self.partner)))
        self.toml.write_text(
            f'pool = "{self.name}"\nstore = "{self.store.url}"\nprofile = "{self.folder}/note.toml"\nshare = "{self.share}"\n'
            f'front_end = "fe-{self.name}"\n[partner]\npool = "{self.partner}"\nshare = "{self.folder}/share-{self.partner}"\n'
            f'key_file = "{self.folder}/{pair}.key"\n[homes]\n'
            + "".join(f'"{name}" = "{name}"\n' for name in sorted((self.name, self.partner)))
            + f"[sync]\nheartbeat_max = '500ms'\n{self.more}"
        )

    def note(self, number: str, body: str) -> None:
        """Write as the application does."""
        self.change(("INSERT OR REPLACE INTO note VALUES (?, ?, ?)", (number, self.name, body)))

    def setting(self, key: str) -> str:
        """What `config show` prints of a key at this pool."""
        lines = self.must("config", "show").out.splitlines()
        return next(line.split()[1] for line in lines if line.split()[:1] == [key])


def topology(folder: Path, names: str = "abcd") -> str:
    """The document that describes them."""
    pools = "".join(
        f'[[pools]]\nname = "{name}"\nkind = "sqlite"\nshare = "{folder}/share-{name}"\nfront_ends = ["fe-{name}"]\n'
        for name in names
    )
    pairs = '[[pairs]]\npools = ["a", "b"]\nholds_store = true\n'
    return pools + pairs + ('[[pairs]]\npools = ["c", "d"]\n' if "c" in names else "")


@contextmanager
def deployment(folder: Path, names: str = "abcd") -> Iterator[dict[str, Plain]]:
    """All services running, the topology published, every server with its replica."""
    pools = {name: Plain(name, PAIRS[name], folder) for name in names}
    for pair in ("ab", "cd")[: len(names) // 2]:
        assert run_command("key", "new", str(folder / f"{pair}.key")).exit_status == 0
    for name, pool in pools.items():
        pool.more = '[cms]\nhome = "a"\n' if name in "ab" else f'[cms]\nmember_key = "{folder}/cms-{name}.key"\n'
        pool.more += f'[cms.files]\n"app.conf" = "{folder}/conf-{name}/app.conf"\n'
        (folder / f"conf-{name}").mkdir()
        pool.prepare()
        pool.must("init")
    try:
        for name in names[:2]:
            pools[name].start()
        wait_for("the store's first copy", lambda: "FinalState" in pools["a"].run("--cms", "status").out, WAIT_S)
        for name in names[2:]:
            pools["a"].must("cms", "invite", name, str(folder / f"cms-{name}.key"))
            pools[name].start()
        file = folder / "topology.toml"
        file.write_text(topology(folder, names))
        pools["a"].must("topology", "publish", str(file), "--note", "the beginning")
        pools["a"].must("cms", "replicate", "--timeout", str(WAIT_S))
        yield pools
    finally:
        for pool in pools.values():
            pool.kill()

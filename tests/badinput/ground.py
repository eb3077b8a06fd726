"""A small pair on an own profile and schema, for tests that spoil something: quick to make, quick to compare."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from typer.testing import CliRunner, Result

from poolpair.cli.main import app
from poolpair.errors import Code, PoolpairError
from poolpair.keyfile import new_key_file
from poolpair.model import Channel, ExportStatus
from poolpair.share.port import Quarantined
from poolpair.testing.clock import VirtualClock
from poolpair.wiring import initialise
from tests.pair import Pair

SCHEMA = """
CREATE TABLE item (owner TEXT NOT NULL, name TEXT NOT NULL, value, PRIMARY KEY (owner, name));
CREATE TABLE upload (owner TEXT NOT NULL, name TEXT NOT NULL, note, PRIMARY KEY (owner, name));
"""
ITEM = """
[[tables]]
name = "item"
key = ["owner", "name"]
home_key = '"owner"'
"""
PROFILE = f"""{ITEM}
[[tables]]
name = "upload"
channel = "conferences"
key = ["owner", "name"]
home_key = '"owner"'
conference = '"name"'
[[files]]
pattern = "up/{{owner}}/{{name}}.bin"
home_key = "{{owner}}"
conference = "{{name}}"
"""
HOMES = {"*@a": "a", "*@b": "b"}
USERS_DATA = "UserServices/Data/PresenceFocusData"
USERS_COOKIE = "UserServices/Cookie/PresenceFocusCookie/cookie.zip"


@dataclass
class Ground(Pair):
    """A pair whose clock moves with every turn, as a real one does."""

    columns: dict[str, str] = field(default_factory=dict)
    """Per table, what is compared."""
    moved: dict[str, Path] = field(default_factory=dict)
    """Databases that lie elsewhere now."""

    def path(self, pool: str) -> Path:
        """The database of a pool."""
        return self.moved.get(pool) or self.folder / f"data-{pool}" / "app.sqlite"

    def turn(self, *pools: str, force: bool = False) -> bool:
        """One pass at each pool, one after the other."""
        moved = False
        for pool in pools or tuple(self.sites):
            self.clock.advance(0.01)
            moved |= super().turn(pool, force=force)
        return moved

    def do(self, pool: str, *statements: str) -> None:
        """Change the database as the application would."""
        with self.sql(pool) as connection:
            for statement in statements:
                connection.execute(statement)

    def tamper(self, pool: str, *statements: str) -> None:
        """Change the database as somebody would who takes the fence away for it."""
        with self.tampering(pool) as connection:
            for statement in statements:
                connection.execute(statement)

    def ask(self, pool: str, query: str) -> list[tuple[object, ...]]:
        """Look into a database."""
        with self.sql(pool) as connection:
            return connection.execute(query).fetchall()

    def rows(self, pool: str) -> list[tuple[object, ...]]:
        """Every carried row with the storage class of each value, in a comparable order."""
        found: list[tuple[object, ...]] = []
        with closing(sqlite3.connect(self.path(pool), timeout=5)) as connection:
            connection.text_factory = bytes
            for table, columns in self.columns.items():
                typed = ", ".join(f"typeof({name}), {name}" for name in columns.split(", "))
                found += [(table, *row) for row in connection.execute(f'SELECT {typed} FROM "{table}"')]
        return sorted(found, key=repr)

    def files(self, pool: str) -> dict[str, bytes]:
        """Every file."""
        root = self.folder / f"data-{pool}"
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.glob("up/*/*.bin"))}

    def write_file(self, pool: str, name: str, content: bytes) -> Path:
        """A user of the pool uploads a file."""
        path = self.folder / f"data-{pool}" / "up" / f"u@{pool}" / f"{name}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def whole(self) -> None:
        """Come to rest; rows and files are equal, both pools say FinalState, and the commands would exit with 0."""
        self.settle()
        assert self.rows("a") == self.rows("b")
        assert self.files("a") == self.files("b")
        for pool in ("a", "b"):
            for channel in self.status(pool).channels:
                assert channel.export.status is ExportStatus.FINAL, (pool, channel)
            assert self.status(pool).exit_status == 0, self.status(pool)

    def still_works(self, tag: str) -> None:
        """Other work goes on meanwhile: a change at B is at A after an exchange."""
        self.do("b", f"INSERT OR REPLACE INTO item (owner, name, value) VALUES ('u@b', '{tag}', 1)")
        self.settle()
        assert self.ask("a", f"SELECT count(*) FROM item WHERE name = '{tag}'") == [(1,)]

    def standing(self, pool: str, folder: str = USERS_DATA) -> list[Path]:
        """Packages that stand in one folder of a share."""
        return sorted((self.share(pool) / folder).glob("backup-*.zip"))

    def quarantined(self, pool: str) -> tuple[Quarantined, ...]:
        """Refused files at a pool."""
        return self.sites[pool].own.quarantined()

    def fault(self, pool: str, channel: Channel = Channel.USERS) -> str:
        """What status says is wrong, in either direction: code and words."""
        found = self.channel(pool, channel)
        return " / ".join(
            f"{fault.code} {fault.detail}" for fault in (found.imports.fault, found.export.fault) if fault
        )

    def command(self, pool: str, *words: str) -> Result:
        """Run a command in this process, as the program does; an expected error is in `exception`."""
        return CliRunner().invoke(app, ["-c", str(self.toml(pool)), *words])


def said(result: Result) -> tuple[Code, str]:
    """The error that ended a command."""
    assert isinstance(result.exception, PoolpairError), (result.exception, result.output)
    return result.exception.code, result.exception.detail


def make_ground(
    folder: Path,
    *,
    schema: str = SCHEMA,
    profile: str = PROFILE,
    columns: dict[str, str] | None = None,
    extra: str = "",
    homes: dict[str, str] | None = None,
    rows: int = 6,
    files: int = 3,
) -> Ground:
    """Make both pools with some data of their own; nothing is initialised yet."""
    new_key_file(folder / "pair.key")
    (folder / "profile.toml").write_text(profile)
    ground = Ground(
        folder, VirtualClock(), columns=columns or {"item": "owner, name, value", "upload": "owner, name, note"}
    )
    for pool, other in (("a", "b"), ("b", "a")):
        (folder / f"data-{pool}").mkdir()
        (folder / f"share-{pool}").mkdir()
        with closing(sqlite3.connect(ground.path(pool))) as connection, connection:
            connection.executescript(schema)
            if columns is None:
                items = [(f"u@{pool}", f"i{n:05d}", n) for n in range(rows)]
                connection.executemany("INSERT INTO item VALUES (?, ?, ?)", items)
                connection.executemany(
                    "INSERT INTO upload VALUES (?, ?, 'x')", [(f"u@{pool}", f"f{n}") for n in range(files)]
                )
        if columns is None:
            for n in range(files):
                ground.write_file(pool, f"f{n}", f"{pool}{n}".encode() * 50)
        write_toml(ground, pool, other, extra=extra, homes=homes)
    return ground


def write_toml(
    ground: Ground, pool: str, other: str, *, extra: str = "", homes: dict[str, str] | None = None, **changed: str
) -> None:
    """Write a pool file; `changed` replaces values by their names."""
    folder = ground.folder
    values = {
        "store": f"sqlite:///{ground.path(pool)}",
        "profile": f"{folder}/profile.toml",
        "share": f"{folder}/share-{pool}",
        "files": f"{folder}/data-{pool}",
        "partner_share": f"{folder}/share-{other}",
        "key_file": f"{folder}/pair.key",
        **changed,
    }
    top = "".join(f'{key} = "{values[key]}"\n' for key in ("store", "profile", "share", "files"))
    ground.toml(pool).write_text(
        f'pool = "{pool}"\n{top}front_end = "fe-{pool}"\n'
        f'[partner]\npool = "{other}"\nshare = "{values["partner_share"]}"\nkey_file = "{values["key_file"]}"\n'
        "[homes]\n" + "".join(f'"{pattern}" = "{owner}"\n' for pattern, owner in (homes or HOMES).items()) + extra
    )


def first_copy(ground: Ground) -> Ground:
    """Initialise both pools, start both services, and finish the first copy."""
    for pool in ("a", "b"):
        initialise(ground.config(pool))
        ground.start(pool)
    ground.whole()
    return ground


def flipped(data: bytes, at: int, bits: int = 0xFF) -> bytes:
    """The same bytes with one of them altered."""
    return data[:at] + bytes((data[at] ^ bits,)) + data[at + 1 :]


@contextmanager
def as_nobody(*owned: Path) -> Iterator[None]:
    """Work as an unprivileged user who owns these trees; root again at the end."""
    for top in owned:
        for path in (top, *top.rglob("*")):
            os.chown(path, 65534, 65534, follow_symlinks=False)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def names(paths: Iterable[Path]) -> list[str]:
    """File names."""
    return [path.name for path in paths]

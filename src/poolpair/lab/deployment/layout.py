"""What a lab consists of, and where each part lies in its folder. Nothing is started here, or written but the file that names it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from poolpair.errors import Code, PoolpairError

FILE = "lab.json"
SITES = {"north": ("a", "c"), "south": ("b", "d")}
PARTNERS = {"a": "b", "b": "a", "c": "d", "d": "c"}
HOLDERS = ("a", "b")
"""The pair that holds the management store; pool a made it."""
FRONT_ENDS = 3
"""Of pool a, where its database is one that several servers can work on."""
SOCKET_BYTES_MAX = 80
"""The name of a unix socket has room for 107 bytes, and the server adds its own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """One pool of the lab."""

    name: str
    partner: str
    site: str
    kind: str
    """sqlite or postgresql."""
    front_ends: tuple[str, ...]

    @property
    def pair(self) -> str:
        """The pair's name, the same for both pools of it."""
        return "".join(sorted((self.name, self.partner)))

    @property
    def application(self) -> str:
        """The application's name as a part."""
        return f"app-{self.name}"

    @property
    def database(self) -> str:
        """The server's name as a part; empty where a file is the database."""
        return f"db-{self.name}" if self.kind == "postgresql" else ""

    @property
    def parts(self) -> tuple[str, ...]:
        """Everything of it that runs, in the order in which it is started."""
        return tuple(filter(None, (self.database, *self.front_ends, self.application)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A lab: its folder, what keeps the rows of the first pair, and where servers lie that could not lie in the folder."""

    folder: Path
    store: str
    places: dict[str, str]
    """Of each server: a folder that its user can reach, and whose name is short enough for a socket."""
    made: bool = False
    """Everything was prepared once: it can be started as it is."""

    @property
    def pools(self) -> tuple[PoolPlan, ...]:
        """The four pools, by name."""
        return tuple(self._plan(name) for name in sorted(PARTNERS))

    def pool(self, name: str) -> PoolPlan:
        """One pool by its name."""
        return next(pool for pool in self.pools if pool.name == name)

    def _plan(self, name: str) -> PoolPlan:
        kind = self.store if name in HOLDERS else "sqlite"
        several = name == "a" and kind == "postgresql"
        front_ends = tuple(f"fe-{name}{number}" for number in range(1, FRONT_ENDS + 1)) if several else (f"fe-{name}",)
        site = next(site for site, names in SITES.items() if name in names)
        return PoolPlan(name=name, partner=PARTNERS[name], site=site, kind=kind, front_ends=front_ends)

    def owner(self, part: str) -> PoolPlan:
        """The pool that a part belongs to."""
        return next(pool for pool in self.pools if part in pool.parts)

    def parts(self) -> tuple[str, ...]:
        """Everything that runs: servers first, applications last."""
        every = [part for pool in self.pools for part in pool.parts]
        return tuple(sorted(every, key=lambda part: (not part.startswith("db-"), part.startswith("app-"))))

    def named(self, name: str) -> tuple[str, ...]:
        """The parts that a word means: one by its name, those of a pool, of a site, or `all`. Raises USAGE for another word."""
        if name == "all":
            return self.parts()
        if name in self.parts():
            return (name,)
        pools = SITES.get(name, (name,) if name in PARTNERS else ())
        if not pools:
            known = ", ".join([*self.parts(), *sorted(PARTNERS), *SITES, "all"])
            raise PoolpairError(Code.USAGE, f"the lab has nothing called {name}", f"one of: {known}")
        return tuple(part for part in self.parts() if self.owner(part).name in pools)

    def toml(self, front_end: str) -> Path:
        """The pool file of one front end."""
        pool = self.owner(front_end)
        return self.pool_file(pool.name) if front_end == pool.front_ends[0] else self.folder / f"{front_end}.toml"

    def pool_file(self, pool: str) -> Path:
        """The pool file that commands are given: that of the pool's first front end."""
        return self.folder / f"{pool}.toml"

    def share(self, pool: str) -> Path:
        """A pool's share."""
        return self.folder / f"share-{pool}"

    def data(self, pool: str) -> Path:
        """An application's folder."""
        return self.folder / f"data-{pool}"

    def database_file(self, pool: str) -> Path:
        """The application's database, where it is a file."""
        return self.data(pool) / "notes.sqlite"

    def scratch(self, front_end: str) -> Path:
        """A front end's own folder."""
        return self.folder / f"scratch-{front_end}"

    def log(self, part: str) -> Path:
        """What a part says."""
        return self.folder / "log" / f"{part}.log"

    def mark(self, part: str) -> Path:
        """Which process a part is."""
        return self.folder / "run" / f"{part}.json"

    def committed(self, pool: str) -> Path:
        """What the application there was told is committed."""
        return self.folder / "committed" / f"{pool}.txt"

    def key(self, name: str) -> Path:
        """A key file."""
        return self.folder / f"{name}.key"

    def save(self) -> None:
        """Name the lab in its folder."""
        body = {**asdict(self), "folder": str(self.folder)}
        temporary = self.folder / f"{FILE}~"
        temporary.write_text(json.dumps(body, indent=2) + "\n")
        temporary.replace(self.folder / FILE)


def is_lab(folder: Path) -> bool:
    """Whether a folder holds one."""
    return (folder / FILE).is_file()


def load(folder: Path) -> Layout:
    """The lab of a folder. Raises USAGE if there is none."""
    if not is_lab(folder):
        raise PoolpairError(Code.USAGE, f"there is no lab in {folder}", "`poolpair lab up` makes one")
    try:
        body = json.loads((folder / FILE).read_text())
        return Layout(folder=folder, store=body["store"], places=dict(body["places"]), made=bool(body["made"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PoolpairError(
            Code.USAGE, f"{folder / FILE} cannot be read: {error}", "remove the folder by hand once nothing of it runs"
        ) from None

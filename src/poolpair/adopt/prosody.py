"""What a Prosody configuration says, as far as it matters to a pair: hosts, where each keeps what, and how the server is reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from poolpair.adopt.lua import evaluate, said
from poolpair.errors import Code, PoolpairError

DATA_PATH = "/var/lib/prosody"
SOCKET = "prosody.sock"
SQLITE = "prosody.sqlite"
SQL = ("sql", "sql2")
SITE_LOCAL = ("cron", "upload_stats", "smacks_h")
"""Stores that the profile leaves at each site."""
EVERY, EVERY_OTHER = "every store", "every other store"


def _list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _table(value: object) -> object:
    return {} if value == [] else value  # Lua has one kind of table


Names = Annotated[tuple[str, ...], BeforeValidator(_list)]


class Sql(BaseModel):
    """Prosody's option `sql`."""

    model_config = ConfigDict(frozen=True)

    driver: str = ""
    database: str = ""
    host: str = ""
    port: int | None = Field(default=None, ge=1, le=65535)
    username: str = ""
    password: str = Field(default="", repr=False)


class Options(BaseModel):
    """The options of a host, or of the server as a whole; None is one that is not given."""

    model_config = ConfigDict(frozen=True, extra="allow")

    enabled: bool | None = None
    component_module: str | None = None
    storage: Annotated[str | dict[str, str] | None, BeforeValidator(_table)] = None
    default_storage: str | None = None
    sql: Annotated[Sql | None, BeforeValidator(_table)] = None
    authentication: str | None = None
    modules_enabled: Names = ()
    modules_disabled: Names = ()
    http_file_share_secret: str | None = Field(default=None, repr=False)
    data_path: str | None = None
    admin_socket: str | None = None
    prosody_user: str | None = None


class _Evaluated(BaseModel):
    error: str = ""
    hosts: dict[str, Annotated[dict[str, object], BeforeValidator(_table)]] = {}
    order: list[str] = []
    warnings: list[str] = []
    environment: Annotated[dict[str, bool], BeforeValidator(_table)] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A VirtualHost, or a Component. What it does not say itself the server's options say."""

    name: str
    own: Options
    server: Options

    @property
    def component(self) -> str:
        """The module of a Component, such as `muc`; empty for a VirtualHost."""
        return self.own.component_module or ""

    @property
    def is_enabled(self) -> bool:
        """Whether Prosody activates it when it starts."""
        said_here = self.own.enabled if self.own.enabled is not None else self.server.enabled
        return said_here is not False

    @property
    def modules(self) -> frozenset[str]:
        """Which modules it loads; a Component takes none from the server."""
        if self.component:
            return frozenset(self.own.modules_enabled) - set(self.own.modules_disabled) | {self.component}
        loaded = {*self.server.modules_enabled, *self.own.modules_enabled}
        return frozenset(loaded - {*self.server.modules_disabled, *self.own.modules_disabled})

    @property
    def sql(self) -> Sql:
        """Where its rows are."""
        return self.own.sql or self.server.sql or Sql(driver="SQLite3")

    @property
    def authentication(self) -> str:
        """Where its accounts are."""
        return self.own.authentication or self.server.authentication or "internal_hashed"

    @property
    def upload_secret(self) -> str:
        """What its uploads are signed with; empty if Prosody draws one at each start."""
        return self.own.http_file_share_secret or self.server.http_file_share_secret or ""

    def stores(self) -> Iterator[tuple[str, str]]:
        """Each store that is named, and what keeps it; then all others. Those that stay at their site are left out."""
        storage = self.own.storage if self.own.storage is not None else self.server.storage
        rest = self.own.default_storage or self.server.default_storage or "internal"
        if isinstance(storage, str):
            yield EVERY, storage
            return
        for store, driver in (storage or {}).items():
            if store not in SITE_LOCAL and not store.endswith("_cleanup"):
                yield store, driver
        yield (EVERY_OTHER if storage else EVERY), rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Prosody:
    """One configuration."""

    path: Path
    server: Options
    hosts: tuple[Host, ...]
    warnings: tuple[str, ...]
    unset: tuple[str, ...]
    """Variables of the environment that it reads and that are not set here."""

    @property
    def data_path(self) -> Path:
        """Where uploads lie, and a SQLite file without a path."""
        return Path(self.server.data_path or DATA_PATH)

    @property
    def socket(self) -> Path:
        """Where `prosodyctl shell` reaches the server."""
        return self.data_path / (self.server.admin_socket or SOCKET)

    @property
    def user(self) -> str:
        """The account that the server runs as."""
        return self.server.prosody_user or "prosody"

    def host(self, name: str) -> Host | None:
        """A host by its name."""
        return next((host for host in self.hosts if host.name == name), None)

    def parent(self, host: Host) -> Host | None:
        """The VirtualHost below whose domain a Component lies."""
        above = [other for other in self.hosts if not other.component and host.name.endswith("." + other.name)]
        return max(above, key=lambda other: len(other.name), default=None)

    def sqlite_file(self, sql: Sql) -> Path:
        """Where a SQLite database lies."""
        return self.data_path / (sql.database or SQLITE)


def read_prosody(path: Path) -> Prosody:
    """Read a configuration as Prosody would. Raises APPLICATION."""
    try:
        found = _Evaluated.model_validate_json(evaluate(path))
    except ValidationError as error:
        raise PoolpairError(Code.APPLICATION, f"{path}: {_first(error)}") from None
    if found.error:
        raise PoolpairError(Code.APPLICATION, f"{path} cannot be evaluated: {said(found.error)}")
    server = _options(path, "the server", found.hosts.get("*", {}))
    return Prosody(
        path=path,
        server=server,
        hosts=tuple(
            Host(name=name, own=_options(path, name, found.hosts[name]), server=server) for name in found.order
        ),
        warnings=tuple(said(warning) for warning in found.warnings),
        unset=tuple(name for name, is_set in found.environment.items() if not is_set),
    )


def _options(path: Path, whose: str, given: dict[str, object]) -> Options:
    try:
        return Options.model_validate(given)
    except ValidationError as error:
        raise PoolpairError(Code.APPLICATION, f"{path}: {whose}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, without the value: it may be a password."""
    problem = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return said(f"{place}: {problem['msg']}" if place else problem["msg"])

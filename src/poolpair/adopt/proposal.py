"""The pool file that a Prosody configuration suggests, and the file with the database's password."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from poolpair.adopt.findings import SERVER
from poolpair.adopt.owners import Owners
from poolpair.adopt.prosody import Prosody, Sql
from poolpair.config_values import parse_pool_name
from poolpair.errors import Code, PoolpairError
from poolpair.homes import home_of, home_ranks
from poolpair.smb_address import is_smb

PORT = 5432


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What no Prosody knows: where the pair's own things are to be."""

    share: str
    partner_share: str
    credentials: Path
    """Where the account of a file server will stand, if a share is on one."""
    key_file: Path
    scratch: Path
    password_file: Path
    """Where the password of PostgreSQL will lie."""


def pool_name(domain: str, option: str) -> str:
    """The name of a pool as its domain suggests it, so that both sites come to the same. Raises USAGE."""
    name = re.sub(r"[^a-z0-9-]", "-", domain.lower())
    try:
        return parse_pool_name(name)
    except ValueError:
        raise PoolpairError(
            Code.USAGE, f"the domain {domain!r} makes no name of a pool", f"say one with {option}"
        ) from None


def program() -> str:
    """The program as a hook finds it, whatever its PATH."""
    beside = Path(sys.executable).with_name("poolpair")
    return str(beside) if beside.is_file() else "poolpair"


def store_url(prosody: Prosody, sql: Sql, password_file: Path) -> str:
    """Where poolpair finds the rows; a password is never part of it."""
    if sql.driver != SERVER:
        return f"sqlite:///{prosody.sqlite_file(sql)}"
    said = {}
    if sql.host.startswith("/"):
        said["host"], where = sql.host, ""
    else:
        where = f"[{sql.host}]" if ":" in sql.host else quote(sql.host)
    if sql.port is not None and where:
        where += f":{sql.port}"
    elif sql.port is not None:
        said["port"] = str(sql.port)
    if sql.password:
        said["passfile"] = str(password_file)
    query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in said.items())
    return f"postgresql://{quote(sql.username, safe='')}@{where}/{quote(sql.database, safe='')}" + (
        f"?{query}" if query else ""
    )


def password_line(sql: Sql, shown: str | None = None) -> str:
    """One line of a password file, for every database of the server: a drill makes one of its own. `shown` instead of the password."""
    escaped = [re.sub(r"([\\:])", r"\\\1", value) for value in (sql.username, sql.password)]
    return ":".join(["*", "*", "*", escaped[0], escaped[1] if shown is None else shown]) + "\n"


def homes_of(owners: Owners, extra: dict[str, str]) -> dict[str, str]:
    """[homes]: every domain, all below it, and hosts for which that is not enough. `extra`: hosts that are not defined here yet."""
    whose = {**extra, **owners.of}
    tops = [name for name in whose if not any(name.endswith("." + other) for other in whose)]
    homes = {}
    for name in sorted(tops):
        homes[name] = whose[name]
        homes[f"*.{name}"] = whose[name]
    for name in sorted(whose):
        if home_of(name, home_ranks(tuple(homes.items()))) != whose[name]:
            homes[name] = whose[name]
    return homes


def pool_file(prosody: Prosody, owners: Owners, homes: dict[str, str], places: Places, *, sql: Sql, files: bool) -> str:
    """The pool file, with a reason beside what is not plain."""
    hook = program()
    head = [
        ("pool", _quoted(owners.pool), ""),
        ("store", _quoted(store_url(prosody, sql, places.password_file)), "`sql` of Prosody"),
        ("profile", '"prosody"', "accounts, rosters, rooms, archives, uploads"),
        ("share", _quoted(places.share), f"where {owners.partner} drops its files for us"),
        *_credentials(places.share, places),
    ]
    if files:
        head.append(("files", _quoted(prosody.data_path), "data_path of Prosody: the uploads"))
    if sql.driver == SERVER:
        head.append(("scratch", _quoted(places.scratch), "private: packages are made here"))
    lines = _aligned(head)
    lines += ["", "[application]", *_aligned([("prosody", _quoted(prosody.path), "what `check` and the hooks read")])]
    partner = [
        ("pool", _quoted(owners.partner), ""),
        ("share", _quoted(places.partner_share), "its share"),
        *_credentials(places.partner_share, places),
    ]
    lines += [
        "",
        "[partner]",
        *_aligned([*partner, ("key_file", _quoted(places.key_file), "the same at both sites, mode 0600")]),
    ]
    lines += ["", "[homes]", *_aligned([(_quoted(pattern), _quoted(pool), "") for pattern, pool in homes.items()])]
    hooks = [
        ("before_fence", [hook, "prosody", "deactivate"], "users are told to go before writes are refused"),
        ("after_serve", [hook, "prosody", "activate"], "the command waits until they are let in"),
        ("gate_close", [hook, "prosody", "deactivate"], "whoever is not served here is not let in"),
        ("gate_open", [hook, "prosody", "activate"], "whoever is served here is"),
    ]
    lines += ["", "[hooks]", *_aligned([(name, json.dumps(words), reason) for name, words, reason in hooks])]
    gate = [
        ("at_start", "true", "a site that comes back asks first"),
        ("watch", _quoted(prosody.socket), "a Prosody that was restarted is told again whom it serves"),
    ]
    lines += ["", "[gate]", *_aligned(gate)]
    return "\n".join(lines) + "\n"


def _credentials(share: str, places: Places) -> list[tuple[str, str, str]]:
    """What a share on a file server takes besides."""
    if not is_smb(share):
        return []
    return [("share_credentials", _quoted(places.credentials), "username= and password=, mode 0600: yours to write")]


def _quoted(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)


def _aligned(entries: list[tuple[str, str, str]]) -> list[str]:
    width = max(len(name) for name, _, _ in entries)
    return [f"{name.ljust(width)} = {value}" + (f"  # {why}" if why else "") for name, value, why in entries]

"""Sections of the pool file that stand by themselves: where `poolpair api` answers, how much each channel may send, [cms]."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from poolpair.bandwidth import Bandwidth, Rule, parse_rules, parse_zone, show_rules
from poolpair.config_values import (
    NOT_SET,
    parse_absolute,
    parse_address,
    parse_boolean,
    parse_path,
    parse_store,
    show_path,
    without_password,
)
from poolpair.model import Channel
from poolpair.tomlfile import KeyReader, TomlFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Where `poolpair api` answers."""

    host: str = "127.0.0.1"
    port: int = 7462
    """0: any that is free."""
    tokens: Path | None = None
    """Who may ask and order; None: a file in the scratch folder, which is made if it is not there."""
    certificate: Path | None = None
    """TLS; with `certificate_key`."""
    certificate_key: Path | None = None

    @property
    def is_sealed(self) -> bool:
        """What is said stays between this machine and whoever asks: on loopback, or under TLS. Else only who serves is told."""
        return self.is_local or self.certificate is not None

    @property
    def is_local(self) -> bool:
        """Nobody beyond this machine can ask."""
        return ip_address(self.host).is_loopback

    @property
    def listen(self) -> str:
        """As it stands in the pool file."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Management:
    """That this pair holds the central management store."""

    home: str
    """The pool of the pair that has it unless it moved; the same at both sites."""
    store: str = ""
    """URL of its database; empty: a file in the scratch folder, on PostgreSQL a database called like the pool's with `_cms` after it."""
    share_credentials: Path | None = None
    """Who the pool that holds it is at the file servers of other pairs' shares."""


Watched = tuple[tuple[str, Path], ...]
"""Names of documents, and where they lie on this server."""
FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}", re.ASCII)


def read_management(file: TomlFile, read: KeyReader, pools: set[str]) -> tuple[Management | None, Path | None]:
    """The section [cms]: that this pair holds the store, or the key file of a pool that gets its configuration from another pair's."""
    none: str | None = None
    key_file = read.optional("cms.member_key", parse_path, None, show_path)
    home = read.optional("cms.home", str, none, lambda pool: pool or NOT_SET)
    store = read.optional("cms.store", parse_store, "", lambda url: without_password(url) or NOT_SET)
    account = read.optional("cms.share_credentials", parse_path, None, show_path)
    if home is None:
        if store or account:
            file.problem(("cms", "home"), "missing: name the pool of this pair that has the management store at first")
        return None, key_file
    if home not in pools:
        file.problem(("cms", "home"), f"{home!r} is no pool of this pair")
    if key_file is not None:
        file.problem(("cms", "member_key"), "is for pools of other pairs: this pair holds the management store")
    return Management(home=home, store=store, share_credentials=account), None


def read_watched(file: TomlFile, read: KeyReader) -> Watched:
    """The section [cms.files]: which documents of the management store lie where on this server."""
    table = read.find(("cms", "files"))
    if table is None:
        return ()
    if not isinstance(table, dict):
        file.problem(("cms", "files"), 'expected a section [cms.files], such as "prosody.cfg.lua" = "/etc/prosody/..."')
        return ()
    found: list[tuple[str, Path]] = []
    for name, place in table.items():
        path = ("cms", "files", name)
        try:
            found.append((checked_file_name(name), Path(parse_absolute(place))))
        except ValueError as error:
            file.problem(path, str(error))
            continue
        read.note(path, str(place), given=True)
    if len({place for _, place in found}) < len(found):
        file.problem(("cms", "files"), "two of these would lie in one place")
    return tuple(found)


def checked_file_name(name: str) -> str:
    """The name of a watched file, which is a document `file/NAME`. Raises ValueError."""
    if not FILE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: letters, digits and _ . + - are, at most 100 of them")
    return name


def read_api(file: TomlFile, read: KeyReader) -> Api:
    """Where `poolpair api` answers; beyond this machine only if that is said."""
    host, port = read.optional(
        "api.listen", parse_address, ("127.0.0.1", 7462), lambda at: Api(host=at[0], port=at[1]).listen
    )
    tokens = read.optional("api.tokens", parse_path, None, show_path)
    certificate = read.optional("api.certificate", parse_path, None, show_path)
    certificate_key = read.optional("api.certificate_key", parse_path, None, show_path)
    api = Api(host=host, port=port, tokens=tokens, certificate=certificate, certificate_key=certificate_key)
    if (certificate is None) is not (certificate_key is None):
        file.problem(("api", "certificate"), "certificate and certificate_key are given together, or neither is")
    remote = read.optional("api.allow_remote", parse_boolean, False, lambda value: str(value).lower())
    if not api.is_local and not remote:
        reason = f"{host} is not loopback: anybody who reaches it may ask; say allow_remote = true if that is meant"
        file.problem(("api", "listen"), reason)
    return api


def read_bandwidth(read: KeyReader) -> Bandwidth:
    """How much each channel may send."""
    zone = read.optional("bandwidth.zone", parse_zone, "UTC", str)
    none: tuple[Rule, ...] = ()
    found = {channel: read.optional(f"bandwidth.{channel}", parse_rules, none, show_rules) for channel in Channel}
    return Bandwidth(zone, {channel: rules for channel, rules in found.items() if rules})

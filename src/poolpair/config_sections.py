"""Sections of the pool file that stand by themselves: where `poolpair api` answers, and how much each channel may send."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from poolpair.bandwidth import Bandwidth, Rule, parse_rules, parse_zone, show_rules
from poolpair.config_values import parse_address, parse_boolean
from poolpair.model import Channel
from poolpair.tomlfile import KeyReader, TomlFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Where `poolpair api` answers."""

    host: str = "127.0.0.1"
    port: int = 7462
    """0: any that is free."""

    @property
    def is_local(self) -> bool:
        """Nobody beyond this machine can ask."""
        return ip_address(self.host).is_loopback

    @property
    def listen(self) -> str:
        """As it stands in the pool file."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_api(file: TomlFile, read: KeyReader) -> Api:
    """Where `poolpair api` answers; beyond this machine only if that is said."""
    host, port = read.optional(
        "api.listen", parse_address, ("127.0.0.1", 7462), lambda at: Api(host=at[0], port=at[1]).listen
    )
    api = Api(host=host, port=port)
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

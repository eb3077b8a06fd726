"""Which pool each host of a Prosody belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from poolpair.adopt.prosody import Host, Prosody
from poolpair.config import PoolConfig, home_of, home_ranks

KEEPER = "localhost"
"""Prosody starts only with a VirtualHost that is enabled; this one serves nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """Both pools, and whose each host is."""

    pool: str
    partner: str
    of: Mapping[str, str]
    """The pool by the host's name; a host that is nobody's is not in it."""
    expected: frozenset[str]
    """The pools that home anybody."""

    def hosts_of(self, prosody: Prosody, pool: str) -> tuple[Host, ...]:
        """A pool's hosts, VirtualHosts first."""
        found = (host for host in prosody.hosts if self.of.get(host.name) == pool)
        return tuple(sorted(found, key=lambda host: (bool(host.component), host.name)))

    def owned(self, prosody: Prosody) -> tuple[Host, ...]:
        """The hosts of both pools."""
        return self.hosts_of(prosody, self.pool) + self.hosts_of(prosody, self.partner)


def is_keeper(host: Host) -> bool:
    """Whether a host is there for this machine alone."""
    return host.name == KEEPER and not host.component


def owners_by_homes(config: PoolConfig, prosody: Prosody) -> Owners:
    """As [homes] of the pool file says."""
    ranks = home_ranks(config.homes)
    found = {host.name: home_of(host.name, ranks) for host in prosody.hosts if not is_keeper(host)}
    return Owners(
        pool=config.pool,
        partner=config.partner.pool,
        of={name: pool for name, pool in found.items() if pool is not None},
        expected=frozenset(pool for _, pool in config.homes),
    )


def owners_by_domains(prosody: Prosody, pool: str, partner: str, domains: Iterable[str]) -> Owners:
    """Hosts of the partner's domains are the partner's, all others are this pool's. Either pool may have none."""
    theirs = frozenset(domains)
    tops = theirs | domains_of(prosody)
    of = {
        host.name: partner if is_theirs(host, theirs, tops) else pool for host in prosody.hosts if not is_keeper(host)
    }
    expected = frozenset(({pool} & {*of.values()}) | ({partner} if theirs else set()))
    return Owners(pool=pool, partner=partner, of=of, expected=expected)


def domains_of(prosody: Prosody) -> frozenset[str]:
    """The domains that have users."""
    return frozenset(host.name for host in prosody.hosts if not host.component and not is_keeper(host))


def is_theirs(host: Host, theirs: frozenset[str], tops: frozenset[str]) -> bool:
    """A VirtualHost if it is named, be it below another's; a Component if the nearest of all domains above it is."""
    if host.name in theirs:
        return True
    above = [domain for domain in tops if host.component and host.name.endswith("." + domain)]
    return bool(above) and max(above, key=len) in theirs


def main_domain(prosody: Prosody, partner_domains: Iterable[str]) -> str:
    """The first VirtualHost that is not the partner's; empty if there is none."""
    own = domains_of(prosody) - {*partner_domains}
    return next((host.name for host in prosody.hosts if host.name in own), "")

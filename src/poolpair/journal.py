"""What a service says of packages: one line for each that was delivered, acknowledged or applied, with its place in the line.

Told by comparing what the store remembers before and after a pass; nothing on the line knows of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from poolpair.model import Channel, Position
from poolpair.pipeline.site import Site, inbound_name, intent_name, outbound_name
from poolpair.state import Inbound, Intent, Outbound
from poolpair.units import show_bytes, show_count


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageNote:
    """One event of one package."""

    event: str
    """`delivered`, `acknowledged` or `applied`."""
    channel: Channel
    position: Position
    follows: int = 0
    """The sequence of the package before it on this channel; 0: it was the first that this service saw."""
    groups: int = 0
    package_bytes: int = 0

    def text(self) -> str:
        """For people."""
        place = (
            f"package {self.position.sequence} (stream {self.position.stream[:8]}, id {self.position.package_id[:8]})"
        )
        size = f", {show_bytes(self.package_bytes)}" if self.package_bytes else ""
        groups = f": {show_count(self.groups, 'group')}{size}" if self.groups or size else ""
        return f"{self.channel}: {self.event} {place}{groups}"


def line_of(at_utc: str, pool: str, said: str | PackageNote) -> str:
    """One line of JSON, for whatever gathers logs: each has time, pool and message; of a package its channel and position, too."""
    fields: dict[str, object] = {"at": at_utc, "pool": pool}
    if isinstance(said, str):
        return json.dumps({**fields, "event": "said", "message": said})
    position = said.position
    about = {"stream": position.stream, "sequence": position.sequence, "package": position.package_id}
    size = {"follows": said.follows, "groups": said.groups, "bytes": said.package_bytes}
    return json.dumps({**fields, "event": said.event, "channel": said.channel, **about, **size, "message": said.text()})


class Journal:
    """Remembers how far each channel was when it looked last."""

    def __init__(self) -> None:
        self._out: dict[Channel, Outbound] = {}
        self._in: dict[Channel, Inbound] = {}

    @property
    def is_new(self) -> bool:
        """It has not looked yet."""
        return not self._in

    def news(self, site: Site, channel: Channel) -> Iterator[PackageNote]:
        """What happened since the last look; nothing at the first. Raises STORE_*."""
        out = site.store.read(Outbound, outbound_name(channel))
        inbound = site.store.read(Inbound, inbound_name(channel)) or Inbound()
        known_out, known_in = self._out.get(channel), self._in.get(channel)
        if out is not None:
            self._out[channel] = out
        self._in[channel] = inbound
        if out is not None and known_out is not None:
            yield from _sent(site, channel, known_out, out)
        if known_in is not None and inbound.applied is not None and inbound.applied != known_in.applied:
            yield PackageNote(
                event="applied",
                channel=channel,
                position=inbound.applied,
                follows=known_in.applied.sequence if known_in.applied else 0,
                groups=max(0, inbound.applied_groups - known_in.applied_groups),
            )


def _sent(site: Site, channel: Channel, before: Outbound, after: Outbound) -> Iterator[PackageNote]:
    follows = before.in_flight[-1] if before.in_flight else before.acknowledged
    for position in after.in_flight:
        if position in before.in_flight:
            continue
        intent = site.store.read(Intent, intent_name(channel, position))
        yield PackageNote(
            event="delivered",
            channel=channel,
            position=position,
            follows=follows.sequence if follows else 0,
            groups=intent.groups if intent else 0,
            package_bytes=intent.package_bytes if intent else 0,
        )
        follows = position
    if after.acknowledged is not None and after.acknowledged != before.acknowledged:
        yield PackageNote(
            event="acknowledged",
            channel=channel,
            position=after.acknowledged,
            follows=before.acknowledged.sequence if before.acknowledged else 0,
        )

"""What lies between the watermarks of a channel, told from the intents of packages that are not acknowledged."""

from __future__ import annotations

from collections.abc import Iterable

from poolpair.model import Channel, Position
from poolpair.outlook import Between, Stretch
from poolpair.pipeline.site import Site, intent_name
from poolpair.state import Intent, Outbound

UNDELIVERED_MAX = 64
"""So many intents are read at most of packages that did not leave yet; there is one of them, or a window of old ones after a rewind."""


def between(
    site: Site, channel: Channel, out: Outbound, intents: Iterable[Intent], *, applied: int, pending: int, age_s: float
) -> Between:
    """`intents` are those in flight, `applied` the sequence that the partner named, `pending` what is logged and in no package.

    `age_s` is how long ago the oldest of the pending ones was seen.
    """
    flying = list(intents)
    at_partner = [intent for intent in flying if intent.position.sequence > applied]
    heard = [intent for intent in flying if intent.position.sequence <= applied]
    return Between(
        to_pack=Stretch(groups=pending, age_s=round(age_s, 3) if pending else 0.0),
        to_deliver=_stretch(site, _undelivered(site, channel, out)),
        to_apply=_stretch(site, at_partner),
        to_acknowledge=_stretch(site, heard),
    )


def _undelivered(site: Site, channel: Channel, out: Outbound) -> list[Intent]:
    last = out.in_flight[-1] if out.in_flight else out.acknowledged
    first = last.sequence + 1 if last is not None and last.stream == out.stream else 1
    numbers = range(max(first, out.next_sequence - UNDELIVERED_MAX), out.next_sequence)
    names = (intent_name(channel, Position(out.stream, number, "")) for number in numbers)
    found = (site.store.read(Intent, name) for name in names)
    return [intent for intent in found if intent is not None and not intent.delivered]


def _stretch(site: Site, intents: list[Intent]) -> Stretch:
    now, boot_id = site.clock.monotonic_s(), site.clock.boot_id()
    seen = [intent.captured_s for intent in intents if intent.boot_id == boot_id and intent.captured_s]
    return Stretch(
        groups=sum(intent.groups for intent in intents),
        packages=len(intents),
        package_bytes=sum(intent.package_bytes for intent in intents),
        age_s=round(max(0.0, now - min(seen)), 3) if seen else 0.0,
    )

"""Deliver: put a package into the partner's share and record that it is in flight. In: `Packed`. Out: the new `Outbound`.

A large package goes piece by piece, one in each pass. Before the last piece the old cookie is taken out of the own share (its content
was heard), so an empty Cookie folder means: no word since the last delivery. Delivery is idempotent: a rename that was done but reported
failed is found done.
"""

from __future__ import annotations

from dataclasses import replace

from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import COOKIE_NAME, cookie_dir, data_dir, package_name
from poolpair.model import Channel
from poolpair.pipeline.acknowledge import hear_word
from poolpair.pipeline.identity import check_partner_share
from poolpair.pipeline.packed import Packed
from poolpair.pipeline.pieces import bring, give_up, sent
from poolpair.pipeline.site import Site, intent_name, outbound_name
from poolpair.protocol import packed as after_packed
from poolpair.state import Outbound


def deliver(site: Site, channel: Channel, packed: Packed) -> bool:
    """Deliver a package; False if only a piece of it was sent, or if the partner's last word has overtaken it.

    Raises SHARE_*, CLONE; the package then waits in the scratch folder for the next cycle.
    """
    check_partner_share(site)
    heard = hear_word(site, channel)
    if heard is not None and (heard.stopped is not None or heard.base != packed.intent.follows):
        site.memory.ready.pop(channel, None)
        packed.path.unlink(missing_ok=True)
        return False
    position = packed.intent.position
    try:
        source = packed.path.open("rb")
    except OSError as error:
        site.memory.ready.pop(channel, None)
        raise PoolpairError(Code.SCRATCH, f"the package in {site.scratch} cannot be read: {error.strerror}") from error
    with source:
        try:
            begins = bring(site, channel, packed, source)
            if begins is None:
                return False
            site.own.remove(cookie_dir(channel), COOKIE_NAME)
            site.other.deliver(source, data_dir(channel), package_name(position), packed.temp_name(site.pool), begins)
        except PoolpairError as error:
            if error.code is Code.SHARE_FULL:  # words would find no room either, nor whoever else writes there
                give_up(site, channel)
            raise
    sent(site, channel, packed)
    packed.path.unlink(missing_ok=True)
    now = site.clock.monotonic_s()
    with site.store.transaction(lazily=True) as tx:  # lost, it is as if this process had died before it
        out = tx.load(Outbound, outbound_name(channel))
        assert out is not None
        intent = replace(packed.intent, delivered=True)
        tx.save(intent_name(channel, position), intent)
        tx.save(outbound_name(channel), after_packed(out, packed.wanted, intent))
    site.memory.ready.pop(channel, None)
    site.memory.traffic.sent_bytes[channel] += packed.intent.package_bytes
    site.memory.delivered_s[channel] = now
    site.memory.cut_s[channel] = now
    site.memory.captured_s.pop(channel, None)
    return True


def let_go(site: Site, channel: Channel) -> None:
    """Nothing is to be sent any more: a package that was cut, and perhaps begun, of what was undone meanwhile goes."""
    packed = site.memory.ready.pop(channel, None)
    if packed is not None:
        give_up(site, channel)
        packed.path.unlink(missing_ok=True)

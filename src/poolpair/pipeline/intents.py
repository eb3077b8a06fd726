"""Intents: what this origin made, so that it recognises what the partner names.

An intent is durable before its package is written. An acknowledged one keeps only what a later word may ask for; beyond the newest
`INTENTS_KEPT` of a stream a single number says that all up to there were ours. That loses nothing: so old a position can only be
named by a partner that was set back, whose cure is a comparison and needs no token.
"""

from __future__ import annotations

from dataclasses import replace

from poolpair.model import Channel, Position
from poolpair.pipeline.site import folded_name, intent_name
from poolpair.state import Folded, Intent, Outbound
from poolpair.store.port import Transaction

INTENTS_KEPT = 4096
FOLD_EVERY = 256


def find_intent(tx: Transaction, channel: Channel, position: Position) -> Intent | None:
    """The intent of a package that this store made whole; None if it never did."""
    intent = tx.load(Intent, intent_name(channel, position))
    if intent is not None:
        return intent if intent.position == position and intent.package_bytes else None
    folded = tx.load(Folded, folded_name(channel, position.stream))
    if folded is not None and position.sequence <= folded.sequence:
        return Intent(position=position, follows=None, token=0)
    return None


def settle_intents(tx: Transaction, channel: Channel, before: Outbound, after: Outbound) -> None:
    """Shorten what was acknowledged just now, and fold what is old."""
    acknowledged = after.acknowledged
    if acknowledged is None or acknowledged == before.acknowledged:
        return
    for position in before.in_flight:
        intent = tx.load(Intent, intent_name(channel, position))
        if intent is not None and position not in after.in_flight:
            tx.save(intent_name(channel, position), _shortened(intent))
    last = before.acknowledged.sequence if before.acknowledged else 0
    if acknowledged.sequence // FOLD_EVERY != last // FOLD_EVERY:
        _fold(tx, channel, acknowledged)


def _shortened(intent: Intent) -> Intent:
    return replace(intent, settings="", shapes="", groups=0, captured_s=0.0, boot_id="")


def _fold(tx: Transaction, channel: Channel, acknowledged: Position) -> None:
    horizon = acknowledged.sequence - INTENTS_KEPT
    if horizon <= 0:
        return
    oldest = intent_name(channel, replace(acknowledged, sequence=horizon))
    for name in tx.names(f"intent/{channel}/{acknowledged.stream}/"):
        if name > oldest:
            break
        tx.delete(name)
    tx.save(folded_name(channel, acknowledged.stream), Folded(sequence=horizon))

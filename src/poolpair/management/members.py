"""Pools of other pairs, and the secret by which the store talks to each: in a document, sealed with that of the pair that holds it.

So both pools of that pair have it, whichever holds the store, and nobody who reads the documents elsewhere does.
"""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format import documents
from poolpair.format.keys import SECRET_BYTES, KeyRing
from poolpair.format.small import open_small, seal_small, sealed_with
from poolpair.management.documents import Document, Documents, Draft

STORE = "management-store"
"""How the store calls itself as the origin or the target of what is sealed."""
KEY = "key/"
"""How the names of these documents begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What a pool of another pair and the store share."""

    deployment_id: str
    """The id of the pair that holds the store."""
    secret: str = field(repr=False)

    def ring(self) -> KeyRing:
        """As secrets that seal and open."""
        return KeyRing.of(self.deployment_id, bytes.fromhex(self.secret))


def key_document(pool: str) -> str:
    """The document with a pool's membership."""
    return f"{KEY}{pool}"


def is_key(name: str) -> bool:
    """Whether a document is one of these; they stay with the pair that holds the store."""
    return name.startswith(KEY)


def new_membership(pool: str, ring: KeyRing) -> tuple[Membership, str]:
    """A new secret for a pool, and the document that keeps it."""
    made = Membership(deployment_id=ring.pair_id, secret=secrets.token_hex(SECRET_BYTES))
    sealed = seal_small(documents.encode(made).encode(), ring, kind="member", origin=STORE, target=pool)
    return made, b64encode(sealed).decode()


def resealed(document: Document, ring: KeyRing) -> Draft | None:
    """A membership that an older secret sealed, sealed with the one that seals now; None for what is no such, or opens no more."""
    if not is_key(document.name):
        return None
    pool = document.name.removeprefix(KEY)
    try:
        data = b64decode(document.body)
        if sealed_with(data, kind="member") == ring.sealing.key_id:
            return None
        text = open_small(data, ring, kind="member", origin=STORE, target=pool)
    except (Refused, ValueError):
        return None
    sealed = seal_small(text, ring, kind="member", origin=STORE, target=pool)
    return Draft(name=document.name, body=b64encode(sealed).decode(), onto=document.version)


def newest_sealed(there: Documents, ring: KeyRing, now_utc: str) -> tuple[Document, ...]:
    """The newest documents, once all memberships are sealed with the secret that seals now: an older one may be retired then.

    Raises as `Documents.publish` does.
    """
    newest = there.newest()
    drafts = [draft for draft in (resealed(each, ring) for each in newest) if draft is not None]
    if not drafts:
        return newest
    try:
        there.publish(drafts, author="poolpair", note="sealed with the secret that seals now", now_utc=now_utc)
    except PoolpairError as error:
        if error.code is not Code.OUTDATED:  # somebody made a key meanwhile: with the newest secret
            raise
    return there.newest()


def ring_of(pool: str, pair: tuple[str, str], pair_ring: KeyRing, there: Iterable[Document]) -> KeyRing:
    """The secrets for what goes to a pool. Raises KEY_FILE for one that was not invited, or whose document cannot be opened."""
    if pool in pair:
        return pair_ring
    document = next((each for each in there if each.name == key_document(pool)), None)
    if document is None:
        raise PoolpairError(Code.KEY_FILE, f"pool {pool} has no key yet", f"`poolpair cms invite {pool} FILE`")
    try:
        text = open_small(b64decode(document.body), pair_ring, kind="member", origin=STORE, target=pool)
        return documents.decode(Membership, text).ring()
    except (Refused, ValueError) as error:
        hint = f"make another with `poolpair cms invite {pool} FILE --again`"
        raise PoolpairError(Code.KEY_FILE, f"the key of pool {pool} cannot be opened: {error}", hint) from None

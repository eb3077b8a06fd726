"""The profile of the management store: one table, of which all versions of a document travel together. No operator writes or changes it."""

from __future__ import annotations

from poolpair.model import Channel
from poolpair.store.profile import Profile, ProfileTable, profile_digest

_TABLE = ProfileTable(number=1, name="document", channel=Channel.CMS, key=("name",), order_by=("version",), shared=True)


def management_profile() -> Profile:
    """The store belongs to the pool that made it."""
    digest = profile_digest((_TABLE,), ())
    return Profile(name="cms", tables=(_TABLE,), digest=digest, agreed=digest, serials_travel=True)

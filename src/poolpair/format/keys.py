"""The secrets of a pair, and the one key of each file.

One file, one key: it is drawn from the pair's secret and the file's random id, and binds pair, direction, channel and
kind of file. So a file cannot be opened as anything but what it was sealed as, and nonces may start at zero in every
file, also when a store that was set back forgets what it sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from poolpair.model import Channel

SECRET_BYTES: Final = 32
KEY_BYTES: Final = 32
MAX_SECRETS: Final = 8
LABEL: Final = "poolpair format 1"
"""First field of every derivation; a later format that seals otherwise takes another label."""

FileKind = Literal["package", "cookie", "replica", "report", "member"]

_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PairSecret:
    """One secret of a pair: 32 random bytes and the 8 hexadecimal digits by which headers name it."""

    key_id: str
    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, pair_id: str, secret: bytes) -> PairSecret:
        """Name a secret. The id is derived one way, so it may stand in the clear. Raises ValueError unless 32 bytes."""
        if len(secret) != SECRET_BYTES:
            raise ValueError("a secret has 32 bytes")
        return cls(_hkdf(secret, None, (LABEL, pair_id, "key id"), 4).hex(), secret)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The secrets of one pair: the first seals, all open. One to eight of them, each with its own key id."""

    pair_id: str
    secrets: tuple[PairSecret, ...]

    def __post_init__(self) -> None:
        if not self.pair_id:
            raise ValueError("a ring belongs to a pair")
        if not 1 <= len(self.secrets) <= MAX_SECRETS:
            raise ValueError("a ring holds one to eight secrets")
        if len({each.key_id for each in self.secrets}) != len(self.secrets):
            raise ValueError("two secrets of a ring have the same key id")

    @classmethod
    def of(cls, pair_id: str, *secrets: bytes) -> KeyRing:
        """Make a ring of raw secrets. Raises ValueError for none, too many, equal ones or a wrong length."""
        return cls(pair_id, tuple(PairSecret.of(pair_id, each) for each in secrets))

    @property
    def sealing(self) -> PairSecret:
        """The secret with which this pool seals."""
        return self.secrets[0]

    def opening(self, key_id: str) -> PairSecret | None:
        """Give the secret that a header names, None if this ring lacks it."""
        return next((each for each in self.secrets if each.key_id == key_id), None)


def derive(
    ring: KeyRing, secret: PairSecret, salt_id: str, *, channel: Channel, origin: str, target: str, kind: FileKind
) -> bytes:
    """Give the 32-byte key of one file, named by its random id (32 hexadecimal digits).

    `origin` wrote the file, `target` reads it. Raises ValueError for an id that is none.
    """
    if not _ID.fullmatch(salt_id):
        raise ValueError("a file's id has 32 lower-case hexadecimal digits")
    fields = (LABEL, ring.pair_id, origin, target, channel.value, kind)
    return _hkdf(secret.secret, bytes.fromhex(salt_id), fields, KEY_BYTES)


def _hkdf(secret: bytes, salt: bytes | None, fields: tuple[str, ...], length: int) -> bytes:
    # Every field carries its length: ("ab", "c") and ("a", "bc") must not give the same key.
    encoded = [each.encode() for each in fields]
    info = b"".join(len(each).to_bytes(4, "big") + each for each in encoded)
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)

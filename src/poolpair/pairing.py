"""How two sides come to one secret: an invitation is carried once, the answer lies in the inviting pool's share.

The invitation holds a word that only its two sides know and one half of a key exchange (X25519); its other half never leaves the
side that joins. The secret of the pair comes from both and from the word. So the invitation, found later, opens nothing, whatever was
recorded; found in time, by somebody who can also write into the share, it lets him answer first: both sides then show other
words to be compared. It counts until it was answered, or until its time is over: by the clock of the side that made it when the
answer comes, and by that of the other side when it joins, which would else make a key that nobody takes.
"""

from __future__ import annotations

import hmac
import os
import secrets as randomness
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format import documents
from poolpair.format.keys import SECRET_BYTES
from poolpair.keyfile import create_private, new_key_file, read_private
from poolpair.model import new_id

ANSWER_MAX_BYTES: Final = 4096
_VERSION: Final = 1
_LABEL: Final = b"poolpair pairing 1"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Invitation:
    """What is carried to the partner. `pool` invites `partner`; all else is hexadecimal."""

    format: int
    pair_id: str
    pool: str
    partner: str
    expires_utc: str
    public: str
    word: str = field(repr=False)
    checksum: str = ""
    """Of the rest: a file that was damaged on its way would give its two sides two secrets."""

    def summed(self) -> str:
        """What the checksum must be."""
        rest = (self.pair_id, self.pool, self.partner, self.expires_utc, self.public, self.word)
        return sha256("\n".join(rest).encode()).hexdigest()[:16]

    def is_over(self, now: datetime) -> bool:
        """Whether its time is over, by the clock that gave `now`."""
        return now >= datetime.fromisoformat(self.expires_utc)


@dataclass(frozen=True, slots=True)
class _Invited:
    """What stays with the side that invites, until the answer comes."""

    invitation: Invitation
    private: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the joining side leaves in the inviting pool's share; nothing of it is secret."""

    format: int
    pair_id: str
    public: str
    proof: str


@dataclass(frozen=True, slots=True)
class _Joined:
    """What stays with the side that joins, until it is known that its answer lies in the other's share."""

    invitation: Invitation
    answer: Answer
    secret: str = field(repr=False)


def invite(key_file: Path, pool: str, partner: str, lasts: timedelta, now: datetime) -> Invitation:
    """Make an invitation, or give the one that still counts. Raises KEY_FILE if there is a key file already, or no place for one."""
    if key_file.exists():
        forget(key_file)  # a process that had made the key file may have died before it could
        raise PoolpairError(
            Code.KEY_FILE, f"{key_file} exists and is kept", "this pool is paired; to pair anew move it"
        )
    standing = _waiting(key_file)
    if standing is not None:
        made = standing.invitation
        if (made.pool, made.partner) == (pool, partner) and not made.is_over(now):
            return made
        _beside(key_file).unlink(missing_ok=True)
    private = X25519PrivateKey.generate()
    invitation = Invitation(
        format=_VERSION,
        pair_id=new_id(),
        pool=pool,
        partner=partner,
        expires_utc=(now + lasts).isoformat(timespec="seconds"),
        public=private.public_key().public_bytes_raw().hex(),
        word=randomness.token_hex(SECRET_BYTES),
    )
    invitation = replace(invitation, checksum=invitation.summed())
    create_private(_beside(key_file), _text(_Invited(invitation, private.private_bytes_raw().hex())))
    return invitation


def check_place(key_file: Path, path: Path, pool: str, now: datetime) -> None:
    """An old invitation of this pool's is taken away; what else is there is kept, but for the one that waits. Raises KEY_FILE."""
    if not os.path.lexists(path):
        return
    there, waiting = read_invitation(path), _waiting(key_file)
    if there.pool == pool and there.is_over(now):
        path.unlink()
    elif waiting is None or there != waiting.invitation:
        raise PoolpairError(Code.KEY_FILE, f"{path} is another invitation, of pool {there.pool}", "choose another path")


def write_invitation(invitation: Invitation, path: Path) -> None:
    """Write it where it is to be carried from, mode 0600; the same one again is no error. Raises KEY_FILE."""
    if path.exists() and read_invitation(path) == invitation:
        return
    create_private(path, _text(invitation))


def read_invitation(path: Path) -> Invitation:
    """Read one that was carried. Raises KEY_FILE if it is missing, open to others, or damaged."""
    hint = "an invitation is private: chmod 600; one that was damaged is carried once more"
    try:
        found = _decoded(Invitation, read_private(path), path)
        if found.checksum != found.summed():
            raise PoolpairError(Code.KEY_FILE, f"{path} is no invitation any more: it was damaged")
        datetime.fromisoformat(found.expires_utc)
    except (PoolpairError, ValueError) as error:
        raise PoolpairError(Code.KEY_FILE, getattr(error, "detail", f"{path} is no invitation"), hint) from None
    return found


def join(path: Path, pool: str, partner: str) -> tuple[Invitation, Answer, bytes]:
    """What an invitation makes of this side: the answer for the partner's share, and the secret. Raises KEY_FILE, USAGE."""
    invitation = read_invitation(path)
    if (invitation.partner, invitation.pool) != (pool, partner):
        raise PoolpairError(
            Code.USAGE,
            f"{path} invites pool {invitation.partner} to a pair with {invitation.pool}; this is {pool}, a partner of {partner}",
        )
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw().hex()
    try:
        secret = _secret(private, invitation.public, invitation, public)
    except ValueError as error:
        raise PoolpairError(Code.KEY_FILE, f"{path} is no invitation: {error}") from None
    return invitation, Answer(_VERSION, invitation.pair_id, public, _proof(secret, public)), secret


def keep_answer(key_file: Path, invitation: Invitation, answer: Answer, secret: bytes) -> tuple[Answer, bytes]:
    """Keep an answer before it is given, or return the one that was kept of the same invitation: it may have arrived unsaid.

    Raises KEY_FILE if there is a key file already, or no place for one.
    """
    beside = _joined_beside(key_file)
    if key_file.exists():
        forget(key_file)
        raise PoolpairError(
            Code.KEY_FILE, f"{key_file} exists and is kept", "choose another path, or move the old file away"
        )
    with suppress(PoolpairError):  # what was damaged was never given
        known = _decoded(_Joined, read_private(beside), beside)
        if known.invitation == invitation:
            return known.answer, bytes.fromhex(known.secret)
    beside.unlink(missing_ok=True)
    create_private(beside, _text(_Joined(invitation, answer, secret.hex())))
    return answer, secret


def accept(key_file: Path, data: bytes, now: datetime) -> str | None:
    """Make the key file if `data` answers the invitation that waits; None if it is no answer to it. Gives the words to be compared.

    Raises KEY_FILE if no invitation waits, or its time is over.
    """
    waiting = _waiting(key_file)
    if waiting is None:
        raise PoolpairError(Code.KEY_FILE, f"no invitation waits beside {key_file}", "make one with `pair invite`")
    invitation = waiting.invitation
    if invitation.is_over(now):
        forget(key_file)
        raise PoolpairError(
            Code.KEY_FILE, f"the invitation was good until {invitation.expires_utc}", "make another with `pair invite`"
        )
    try:
        answer = documents.decode(Answer, data)
        secret = _secret(
            X25519PrivateKey.from_private_bytes(bytes.fromhex(waiting.private)),
            answer.public,
            invitation,
            answer.public,
        )
    except (Refused, ValueError):
        return None
    if answer.pair_id != invitation.pair_id or not hmac.compare_digest(
        answer.proof.encode(), _proof(secret, answer.public).encode()
    ):
        return None
    new_key_file(key_file, pair_id=invitation.pair_id, secret=secret)
    forget(key_file)
    return fingerprint(secret)


def refuse_second(key_file: Path, partner: str, now: datetime) -> None:
    """Raise USAGE where an invitation of this side still waits: joining the partner's as well would make two secrets."""
    waiting = _waiting(key_file)
    if waiting is not None and not waiting.invitation.is_over(now):
        detail = f"this pool has invited {partner} itself: with both invitations answered there would be two secrets"
        hint = f"let {partner} join that one; or end `pair invite` here, remove {_beside(key_file)}, and join"
        raise PoolpairError(Code.USAGE, detail, hint)


def forget(key_file: Path) -> None:
    """The invitation counts no more, here or as one that was answered."""
    for beside in (_beside(key_file), _joined_beside(key_file)):
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def encode_answer(answer: Answer) -> bytes:
    """As it lies in the share."""
    return _text(answer)


def fingerprint(secret: bytes) -> str:
    """Words that are the same on both sides, and say nothing of the secret."""
    digits = sha256(_LABEL + b" fingerprint" + secret).hexdigest()
    return f"{digits[:4]}-{digits[4:8]}-{digits[8:12]}"


def _secret(private: X25519PrivateKey, other: str, invitation: Invitation, joined: str) -> bytes:
    """From the exchange, the word, and all that was said."""
    shared = private.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(other)))
    said = (invitation.pair_id, invitation.pool, invitation.partner, invitation.public, joined)
    parts = [_LABEL, bytes.fromhex(invitation.word), *(each.encode() for each in said)]
    info = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return HKDF(algorithm=SHA256(), length=SECRET_BYTES, salt=None, info=info).derive(shared)


def _proof(secret: bytes, public: str) -> str:
    return hmac.new(secret, _LABEL + b" answer " + public.encode(), sha256).hexdigest()


def _beside(key_file: Path) -> Path:
    return key_file.with_name(f"{key_file.name}.invited")


def _joined_beside(key_file: Path) -> Path:
    return key_file.with_name(f"{key_file.name}.joined")


def _waiting(key_file: Path) -> _Invited | None:
    path = _beside(key_file)
    return _decoded(_Invited, read_private(path), path) if os.path.lexists(path) else None


def _text(document: object) -> bytes:
    return (dumps(asdict(document), indent=2) + "\n").encode()  # type: ignore[call-overload]


def _decoded(kind: type[T], text: bytes, path: Path) -> T:
    try:
        return documents.decode(kind, text)
    except Refused as error:
        raise PoolpairError(Code.KEY_FILE, f"{path} is no invitation, or was damaged: {error.detail}") from None

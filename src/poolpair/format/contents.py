"""The content of data members as it passes: counted and digested on the way in, proved on the way out."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from poolpair.errors import Code, Refused
from poolpair.format.frames import Buffer
from poolpair.format.sealing import SealingReader, SealingWriter
from poolpair.model import Member

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class MemberWriter:
    """The writable stream of one data member; counts and digests what passes."""

    def __init__(self, sealing: SealingWriter) -> None:
        self._sealing = sealing
        self._sha256 = hashlib.sha256()
        self.raw_bytes = 0

    def write(self, data: Buffer) -> int:
        """Take bytes of any length; gives their number."""
        count = self._sealing.write(data)
        self._sha256.update(data)
        self.raw_bytes += count
        return count

    @property
    def sha256(self) -> str:
        """Digest of what was written so far, 64 hexadecimal digits."""
        return self._sha256.hexdigest()


class MemberReader(io.RawIOBase):
    """The readable stream of one data member; its last bytes come out only after length and digest proved right.

    Raises Refused(DAMAGED) or Refused(LIMIT) while reading.
    """

    def __init__(self, inner: SealingReader, member: Member) -> None:
        super().__init__()
        self._inner = inner
        self._member = member
        self._left = member.raw_bytes
        self._sha256 = hashlib.sha256()

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer` as far as the content reaches; 0 only at its proven end."""
        view = memoryview(buffer).cast("B")
        if not view:
            return 0
        count = self._inner.readinto(view)
        self._left -= count
        self._sha256.update(view[:count])
        # The unsealing reader lets no byte pass beyond the member's length, so asking it again shows the end.
        at_end = count == 0 or (self._left == 0 and self._inner.readinto(bytearray(1)) == 0)
        if at_end and (self._left or self._sha256.hexdigest() != self._member.sha256):
            raise Refused(Code.DAMAGED, f"the member {self._member.name} is not what the manifest says")
        return count

"""Small sealed documents of the deployment: what the management store sends to a server, what a server answers, a member's secret.

Made as a cookie is: a ZIP with one stored member, in it a clear header line, a newline, sealed frames. What is sealed is compressed text.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format import documents
from poolpair.format.container import unwrap_single, wrap_single
from poolpair.format.header import refuse_newer
from poolpair.format.sealing import FileKind, KeyRing, SealingReader, SealingWriter, derive
from poolpair.model import FORMAT_VERSION, Channel, new_id

MAX_SMALL_BYTES: Final = 16 * 1024 * 1024
"""Of the file, and of what is in it."""
MAX_HEADER_LINE_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class _HeaderLine:
    format: int
    key: str
    kind: str
    origin: str
    target: str
    id: str


def seal_small(text: bytes, ring: KeyRing, *, kind: FileKind, origin: str, target: str) -> bytes:
    """Seal a text of `origin`'s for `target`; every call draws a new id. Raises PoolpairError(LIMIT) above 16 MiB."""
    line = _HeaderLine(FORMAT_VERSION, ring.sealing.key_id, kind, origin, target, new_id())
    header = documents.encode(line).encode()
    key = derive(ring, ring.sealing, line.id, channel=Channel.CMS, origin=origin, target=target, kind=kind)
    content = io.BytesIO()
    content.write(header + b"\n")
    writer = SealingWriter(content, key, 0, header)
    writer.write(text)
    writer.close()
    data = wrap_single(kind, content.getvalue())
    if len(header) > MAX_HEADER_LINE_BYTES or max(len(text), len(data)) > MAX_SMALL_BYTES:
        raise PoolpairError(Code.LIMIT, f"the {kind} would exceed its limits")
    return data


def sealed_with(data: bytes, *, kind: FileKind) -> str:
    """The id of the secret that sealed it, as its header says. Raises Refused."""
    header, _, _ = unwrap_single(kind, data).partition(b"\n")
    return documents.decode(_HeaderLine, header[:MAX_HEADER_LINE_BYTES]).key


def open_small(data: bytes, ring: KeyRing, *, kind: FileKind, origin: str, target: str) -> bytes:
    """Give the text. Raises PoolpairError(NEWER_FORMAT), Refused with DAMAGED, LIMIT or FOREIGN_PACKAGE, whatever the bytes."""
    if len(data) > MAX_SMALL_BYTES:
        raise Refused(Code.LIMIT, f"the {kind} exceeds 16 MiB")
    header, newline, sealed = unwrap_single(kind, data).partition(b"\n")
    if not newline or len(header) > MAX_HEADER_LINE_BYTES:
        raise Refused(Code.DAMAGED, f"the {kind} has no header line")
    refuse_newer(header, f"the {kind}")
    line = documents.decode(_HeaderLine, header)
    if (line.kind, line.origin, line.target) != (kind, origin, target):
        raise Refused(Code.FOREIGN_PACKAGE, f"the {kind} is not from {origin} for {target}")
    secret = ring.opening(line.key)
    if secret is None:
        raise Refused(Code.FOREIGN_PACKAGE, f"the {kind} is sealed with a secret that the key file lacks")
    try:
        key = derive(ring, secret, line.id, channel=Channel.CMS, origin=origin, target=target, kind=kind)
    except ValueError:
        raise Refused(Code.DAMAGED, f"the {kind}'s header names no id") from None
    reader = SealingReader(io.BytesIO(sealed), key, 0, header, MAX_SMALL_BYTES)
    return reader.readall()

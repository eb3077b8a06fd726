"""What every adapter's Quarantine folder has in common: names never used twice, a reason beside each file, a bound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

from poolpair.share.port import REASON_SUFFIX, safe_component

REASON_MAX_BYTES = 4096
_NAME_MAX = 180


def quarantine_names(stamp: str, name: str) -> Iterator[str]:
    """Names to try for a refused file, the first free one counts: `stamp`-`name`, `stamp`-2-`name` and so on."""
    if name.endswith(REASON_SUFFIX):
        name += ".file"  # or it would pass for a reason
    for number in count(1):
        prefix = f"{stamp}-" if number == 1 else f"{stamp}-{number}-"
        yield safe_component(prefix + name[-(_NAME_MAX - len(prefix)) :])


def reason_bytes(reason: str) -> bytes:
    """A reason as it is written."""
    return reason.encode("utf-8", "replace")[: REASON_MAX_BYTES - 1] + b"\n"


def reason_text(data: bytes | None) -> str:
    """A reason as it is shown: it lies in the share, so nothing in it may steer a terminal."""
    text = (data or b"").decode("utf-8", "replace").strip()
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def surplus(names: Sequence[str], keep: int) -> list[str]:
    """What goes, of everything in Quarantine: the oldest files above `keep`, with their reasons, and stray reasons."""
    files = sorted(name for name in names if not name.endswith(REASON_SUFFIX))
    kept = set(files[-keep:]) if keep else set()
    return [name for name in names if name.removesuffix(REASON_SUFFIX) not in kept]

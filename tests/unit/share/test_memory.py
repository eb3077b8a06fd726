"""What the share in memory has beside the port: counters, a capacity, and failures on demand."""

from __future__ import annotations

import io

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.share.memory import MemoryShare
from poolpair.share.port import TEMP


class Killed(Exception):
    """The process ended here."""


def test_what_the_partner_writes_is_counted_per_folder() -> None:
    """Packages and cookies count for the folder they end in; the owner's own files do not."""
    share = MemoryShare()
    share.prepare(["Data", "Cookie"])
    share.deliver(io.BytesIO(b"12345"), "Data", "p", "t")
    share.replace("Cookie", "c", b"123", "t")
    share.replace("Cookie", "c", b"12", "t")
    share.write_small("pool.json", b"{}")
    assert share.bytes_written == {"Data": 5, "Cookie": 5}


def test_a_full_share_keeps_nothing_half() -> None:
    """Beyond its capacity it is full, Temp stays empty, and space that is freed can be used."""
    share = MemoryShare(capacity_bytes=10)
    share.prepare(["Data"])
    share.deliver(io.BytesIO(b"123456"), "Data", "p", "t")
    with pytest.raises(PoolpairError) as error:
        share.deliver(io.BytesIO(b"12345"), "Data", "q", "t")
    assert error.value.code is Code.SHARE_FULL
    assert share.tree[TEMP] == {}
    assert share.free_bytes() == 4
    share.remove("Data", "p")
    assert share.deliver(io.BytesIO(b"12345"), "Data", "q", "t") == 5


def test_a_crash_leaves_temp_and_a_failure_does_not() -> None:
    """A process killed before the file got its name leaves it in Temp until it is swept; a reported failure cleans up."""
    now_s = 0.0
    share = MemoryShare(lambda: now_s)
    share.prepare(["Data"])

    def fail_with(error: Exception) -> None:
        def before(operation: str, folder: str) -> None:
            if (operation, folder) == ("put", "Data"):
                raise error

        share.before = before

    fail_with(PoolpairError(Code.SHARE_FAILED, "the line broke"))
    with pytest.raises(PoolpairError):
        share.deliver(io.BytesIO(b"1"), "Data", "p", "t")
    assert share.tree[TEMP] == {}
    fail_with(Killed())
    with pytest.raises(Killed):
        share.deliver(io.BytesIO(b"1"), "Data", "p", "t")
    assert list(share.tree[TEMP]) == ["t"]
    assert share.tree["Data"] == {}
    now_s = 100.0
    assert share.sweep_temp(99) == 1

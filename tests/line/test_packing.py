"""What a package may be: cut for the position that it leaves from, for what is wanted now, and of files as they were scanned."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.model import BucketSet, Channel
from poolpair.pipeline.capture import scan
from poolpair.pipeline.pack import pack
from poolpair.pipeline.site import intent_name, outbound_name
from poolpair.protocol import Want
from poolpair.state import Intent, Outbound
from tests.memory_pair import USERS, MemoryPair
from tests.pair import make_pair


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy; then a writes."""
    made = MemoryPair(tmp_path)
    for pool in ("a", "b"):
        made.start(pool)
    made.settle()
    made.disks["a"].write("account", ("a.example", "valjean"), [("a.example", "valjean", 1)])
    return made


def test_a_package_that_cannot_leave_is_cut_once(pair: MemoryPair) -> None:
    """However long the share is full, it costs one intent."""
    site = pair.sites["a"]
    first = pack(site, USERS, Want())
    intents = len(site.store.read_all(Intent, f"intent/{USERS}/"))
    assert intents
    for _ in range(5):
        assert pack(site, USERS, Want()) is first
    assert len(site.store.read_all(Intent, f"intent/{USERS}/")) == intents
    assert site.store.read(Intent, intent_name(USERS, first.intent.position)) is not None


def test_a_package_for_another_position_is_cut_anew(pair: MemoryPair) -> None:
    """What it follows is not where the partner stands any more: it would be refused, or leave a gap."""
    site = pair.sites["a"]
    first = pack(site, USERS, Want())
    with site.store.transaction() as tx:
        out = tx.load(Outbound, outbound_name(USERS))
        assert out is not None
        assert out.base is not None
        moved = replace(out.base, sequence=out.base.sequence - 1)
        tx.save(outbound_name(USERS), replace(out, base=moved))
    second = pack(site, USERS, Want())
    assert first.intent.follows != moved
    assert second.intent.follows == moved


@pytest.mark.parametrize(
    "wanted", [Want(digests=True), Want(buckets=(BucketSet(home="a", table=1, of=1, buckets=(0,)),))]
)
def test_a_package_for_something_else_is_cut_anew(pair: MemoryPair, wanted: Want) -> None:
    """A comparison that is wanted now is not answered with the delta that could not leave before."""
    site = pair.sites["a"]
    assert not pack(site, USERS, Want()).manifest.compares
    manifest = pack(site, USERS, wanted).manifest
    assert (manifest.compares, manifest.buckets) == (wanted.digests, wanted.buckets)


def test_a_file_that_changes_while_it_is_read_waits(tmp_path: Path) -> None:
    """Its bytes are not those that the scan saw, though size and time are: nothing of its conference leaves, and the next scan sends it."""
    pair = make_pair(tmp_path)
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    site = pair.sites["a"]
    path = pair.folder / "data-a" / "share%2ea%2eexample" / "http_file_share" / "growing.bin"
    path.write_bytes(b"half of it")
    assert site.tree is not None
    scan(site, site.tree, rescan=False)
    before = path.stat()
    path.write_bytes(b"all of it!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    manifest = pack(site, Channel.CONFERENCES, Want()).manifest
    assert manifest.files == 0
    assert len(manifest.left_behind) == 1
    pair.live(3 * site.limits.interval_s, step_s=5)  # a file written in place shows only in a whole look at the tree
    assert pair.files("b") == pair.files("a")

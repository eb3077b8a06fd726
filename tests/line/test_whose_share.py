"""A key file of another pair, put in place beside a running service: that goes on with what it had, and `status` says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from poolpair.errors import Code
from poolpair.report import gather
from tests.home_moves import make_pair


def test_status_names_a_key_file_that_is_another_pairs(tmp_path: Path) -> None:
    """By what a command reads now the share is another pair's: exit status 2, before a restart makes it worse."""
    pair = make_pair(tmp_path)
    site = pair.sites["a"]
    assert gather(site).share is None
    found = gather(replace(site, pair_id="f" * 32))
    assert found.share is not None
    assert (found.share.code, found.exit_status) == (Code.SHARE_FOREIGN, 2)
    assert "ffffffff" in found.share.detail

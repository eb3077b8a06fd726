"""Which addresses a share may have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.share.directory import DirectoryOwnShare, DirectoryPartnerShare
from poolpair.share.open import own_share, partner_share
from poolpair.share.smb.own import SmbOwnShare
from poolpair.share.smb.partner import SmbPartnerShare
from poolpair.smb_address import SmbAddress, is_smb, parse_smb
from tests.unit.test_config import GOOD, load


def test_the_form_of_an_address_chooses_the_adapter(tmp_path: Path) -> None:
    """A directory, or a file server; neither is looked at yet."""
    config = load(tmp_path, GOOD)
    assert isinstance(own_share(config), DirectoryOwnShare)
    assert isinstance(partner_share(config), DirectoryPartnerShare)
    far = replace(config, share="smb://a/x", partner=replace(config.partner, share="smb://b/x"))
    assert isinstance(own_share(far), SmbOwnShare)
    assert isinstance(partner_share(far), SmbPartnerShare)


ADDRESSES = {
    "smb://files.example/pools": SmbAddress(server="files.example", port=445, share="pools"),
    "smb://files:1445/pools/a b/c": SmbAddress(server="files", port=1445, share="pools", folder=("a b", "c")),
    "smb://[fd00::1]:1445/pools": SmbAddress(server="fd00::1", port=1445, share="pools"),
    r"\\FILES\pools$\a": SmbAddress(server="FILES", port=445, share="pools$", folder=("a",)),
}


@pytest.mark.parametrize(("text", "expected"), ADDRESSES.items())
def test_an_address_says_server_share_and_folder(text: str, expected: SmbAddress) -> None:
    """And what is printed of it reads back as the same."""
    assert parse_smb(text) == expected
    assert parse_smb(str(expected)) == expected


WRONG = [
    "smb:///share",
    "smb://server",
    "smb://server/",
    "smb://server:0/share",
    "smb://server:99999/share",
    "smb://server/share/..",
    "smb://server/share/./x",
    "smb://server/share//x",
    "smb://server/share/x.",
    "smb://server/sh:are",
    "smb://ser ver/share",
    "smb://user@server/share",
    r"\\server",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Nothing of it becomes a path."""
    assert is_smb(text)
    with pytest.raises(ValueError, match=r"expected smb://|is no name of|there is no port"):
        parse_smb(text)

"""Which addresses a share may have."""

from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.share.directory import DirectoryOwnShare, DirectoryPartnerShare
from poolpair.share.open import own_share, partner_share


def test_an_absolute_path_is_a_directory(tmp_path: Path) -> None:
    """Both roles work on a mounted or local directory; it is not looked at yet."""
    assert isinstance(own_share(str(tmp_path)), DirectoryOwnShare)
    assert isinstance(partner_share(str(tmp_path / "absent")), DirectoryPartnerShare)


@pytest.mark.parametrize("url", ["smb://server/share", r"\\server\share\dir", "//server/share", "sftp://x/y"])
def test_other_servers_are_not_supported_yet(url: str) -> None:
    """An address of a file server says that this release does not reach it, and what to do instead."""
    for make in (own_share, partner_share):
        with pytest.raises(PoolpairError, match="not supported yet by this release") as error:
            make(url)
        assert error.value.code is Code.CONFIG
        assert "mount" in error.value.hint


@pytest.mark.parametrize("url", ["", "share", "./share", "C:\\share", "/a\0b"])
def test_a_relative_path_is_no_address(url: str) -> None:
    """What is neither is named as a mistake in the pool file."""
    with pytest.raises(PoolpairError, match="not an absolute path") as error:
        own_share(url)
    assert error.value.code is Code.CONFIG

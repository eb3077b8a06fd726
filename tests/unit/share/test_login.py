"""The account of a file server, in a file of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.share.smb.login import HINT, Login, read_login


def credentials(folder: Path, text: str | bytes, mode: int = 0o600) -> Path:
    """A file with this content."""
    path = folder / "share.credentials"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def test_an_account_is_read_as_mount_cifs_reads_it(tmp_path: Path) -> None:
    """Comments and empty lines are left out; a password keeps its spaces and equal signs, and is shown nowhere."""
    login = read_login(credentials(tmp_path, "# of b\nusername = pool-a\n\npassword= a=b \ndomain=SITE\n"))
    assert login == Login("pool-a", " a=b ", "SITE")
    assert login.account == r"SITE\pool-a"
    assert "a=b" not in repr(login)
    assert read_login(None).account is None


WRONG: dict[str, tuple[str | bytes, str]] = {
    "secret": ("no equal sign: it may be the password", "line 1: expected username, password, domain"),
    "key": ("username=a\npasword=secret\n", "line 2: expected"),
    "no password": ("username=a\n", "username and password are needed"),
    "empty": ("", "username and password are needed"),
    "bytes": (b"username=\xff", "is not UTF-8"),
    "long": ("#" * 5000, "is larger than 4096 bytes"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said_without_the_line_itself(tmp_path: Path, kind: str) -> None:
    """It may be a password."""
    text, words = WRONG[kind]
    with pytest.raises(PoolpairError) as caught:
        read_login(credentials(tmp_path, text))
    assert (caught.value.code, words in caught.value.detail) == (Code.CONFIG, True)
    assert "secret" not in str(caught.value)
    assert "it may be the password" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """As the key file is; and so is what is no file."""
    with pytest.raises(PoolpairError, match="others may read or change it"):
        read_login(credentials(tmp_path, "username=a\npassword=b\n", mode))
    with pytest.raises(PoolpairError) as caught:
        read_login(tmp_path)
    assert (caught.value.code, caught.value.hint) == (Code.CONFIG, HINT)

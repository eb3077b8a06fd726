"""Which kind of store a URL names, and what is read for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.store.open import kind_of

LOOK = """
import sys
import poolpair.cli.main
from poolpair.store.open import kind_of
kind_of(sys.argv[1], 1.0, None)
print(*sorted(name for name in ("psycopg", "sqlite3", "fastapi", "uvicorn") if name in sys.modules))
"""


@pytest.mark.parametrize(("url", "read"), [("sqlite:////x", "sqlite3"), ("postgresql:///x", "psycopg")])
def test_a_command_reads_only_the_kind_that_it_needs(url: str, read: str) -> None:
    """Each takes a good part of the time that a command needs; who writes `status` in a loop waits for it every time."""
    done = subprocess.run([sys.executable, "-c", LOOK, url], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [read]


@pytest.mark.parametrize("url", ["mysql://x", "sqlite:///x", "sqlite://x", ""])
def test_a_url_of_no_kind_is_refused(url: str, tmp_path: Path) -> None:
    """With what is expected."""
    with pytest.raises(PoolpairError) as raised:
        kind_of(url, 1.0, lambda: tmp_path)
    assert raised.value.code is Code.CONFIG

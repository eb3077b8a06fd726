"""Runs a piece of a test as a user without privileges, and small file systems to run it on. Both take root."""

from __future__ import annotations

import os
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from poolpair.errors import PoolpairError

NOBODY = 65534


def as_nobody(action: Callable[[], object], uid: int = NOBODY) -> str:
    """Run in a child without privileges, as some account; returns "P212: words" of its PoolpairError, or what it returned as text."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            answer = str(action())
        except PoolpairError as error:
            answer = str(error)
        except BaseException:  # the parent shows it as the wrong answer
            answer = traceback.format_exc()
        os.write(writing, answer.encode()[:4096])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as source:
        answer = source.read().decode()
    os.waitpid(child, 0)
    return answer


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A temporary folder that everybody may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="poolpair-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def small_disk(size: str = "256k") -> Iterator[Path]:
    """A file system of its own, of that size."""
    with reachable_folder() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "none", str(folder)], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], check=True)


def names_in(folder: Path) -> list[str]:
    """What stands in a folder, in order."""
    return sorted(path.name for path in folder.iterdir())


def make_read_only(folder: Path) -> None:
    """Mount a small disk read-only from now on."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Use up all space; returns the file that does."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as sink:
        try:
            while sink.write(b"x" * 4096):
                pass
        except OSError:
            return path
    raise AssertionError("the disk never filled")

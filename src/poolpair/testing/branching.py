"""Runs a piece of work in a process that has all of this one's memory, and brings back what it came to. Needs `os.fork`."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_child(work: Callable[[], T]) -> T:
    """What `work` returns, in a fork: nothing that it changes in memory is changed here.

    Raises RuntimeError with its traceback if it raised.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _tell(writing, work)
    os.close(writing)
    try:
        with open(reading, "rb") as source:  # noqa: PTH123 - a pipe has no path
            content = source.read()
    finally:
        _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(content.decode("utf-8", "replace") or f"the branch ended with status {status}")
    found: T = pickle.loads(content)  # noqa: S301 - from our own fork
    return found


def _tell(writing: int, work: Callable[[], object]) -> None:
    """Never returns: in the fork nothing but this may run, least of all what cleans up after the process that it was."""
    status = 1
    try:
        with open(writing, "wb") as sink:
            try:
                content = pickle.dumps(work())
                status = 0
            except BaseException:  # whatever it was, the parent is to see it
                content = traceback.format_exc().encode()
            sink.write(content)
    finally:
        sys.stdout.flush()
        os._exit(status)

"""A piece of work done as a user without privileges, in a process of its own, so that permissions mean something."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path

NOBODY = 65534


def give_away(*trees: Path) -> None:
    """Let the unprivileged user own these trees; without root the tests' own user is that user already."""
    if os.geteuid() == 0:
        for tree in trees:
            for path in (tree, *tree.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def unprivileged(work: Callable[[], str]) -> str:
    """Fork, drop root for good, and give back what `work` says; what it raises fails here."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            said, status = work(), 0
        except BaseException:  # whatever it was, the parent must hear of it and pytest must not go on twice
            said = traceback.format_exc()
        with os.fdopen(writer, "w") as sink:
            sink.write(said)
        os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as source:
        said = source.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, said
    return said

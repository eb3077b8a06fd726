"""Has Lua evaluate a configuration, in an interpreter of its own whose time, memory and files are limited.

The interpreter reads `evaluate.lua` from its standard input, so the limits stand before anything of the configuration is run.
"""

from __future__ import annotations

import resource
import shutil
import stat
import subprocess
from pathlib import Path

from poolpair.errors import Code, PoolpairError

INTERPRETERS = ("lua5.4", "lua5.3")
"""The newest is what Debian's prosody runs on."""
TIME_MAX_S = 5.0
MEMORY_MAX_BYTES = 256 << 20
SAID_MAX = 400
"""So much of an error is printed."""
SCRIPT = Path(__file__).with_name("evaluate.lua")


def evaluate(path: Path, *, time_max_s: float = TIME_MAX_S) -> bytes:
    """What a configuration says, as the JSON that `evaluate.lua` writes. Raises APPLICATION."""
    _refuse_unreadable(path)
    interpreter = next((found for name in INTERPRETERS if (found := shutil.which(name))), None)
    if interpreter is None:
        hint = "install the interpreter that Debian's prosody depends on: lua5.4"
        raise PoolpairError(Code.APPLICATION, f"neither of {' and '.join(INTERPRETERS)} is installed here", hint)
    with subprocess.Popen(
        [interpreter, "-", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
    ) as process:
        _limit(process.pid)
        try:
            out, talk = process.communicate(SCRIPT.read_bytes(), timeout=time_max_s)
        except subprocess.TimeoutExpired:
            process.kill()
            detail = f"{path} was not evaluated within {time_max_s:g} s: it may loop for ever, or wait for something"
            raise PoolpairError(Code.APPLICATION, detail) from None
    if process.returncode not in (0, 3):  # 3: it says itself what is wrong
        ended = f"signal {-process.returncode}" if process.returncode < 0 else f"status {process.returncode}"
        words = said(talk.decode(errors="replace")) or f"the interpreter ended with {ended}"
        raise PoolpairError(Code.APPLICATION, f"{path} cannot be evaluated: {words}")
    return out


def said(text: str) -> str:
    """The beginning of a text that somebody else wrote, in one line that may be printed."""
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)[:SAID_MAX]


def _refuse_unreadable(path: Path) -> None:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise PoolpairError(Code.APPLICATION, f"{path} is no regular file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise PoolpairError(Code.APPLICATION, f"{path} cannot be read: {error.strerror}") from error


def _limit(pid: int) -> None:
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_MAX_BYTES),
        (resource.RLIMIT_CPU, 30),
        (resource.RLIMIT_FSIZE, 0),  # its output is a pipe
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.prlimit(pid, what)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.prlimit(pid, what, (least, least))

"""Tells a running Prosody which hosts it serves, by `prosodyctl shell`. Repeating it is harmless, and interrupts nobody."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from poolpair.adopt.lines import lua
from poolpair.adopt.lua import said
from poolpair.adopt.places import call, is_running
from poolpair.adopt.prosody import Host, Prosody
from poolpair.errors import Code, PoolpairError

COMMAND_S = 45.0
SCRIPT = Path(__file__).with_name("hosts.lua")
DONE = "poolpair: "
"""How the script's last word begins: prosodyctl ends well, too, when Prosody goes away in the middle."""


class Verb(StrEnum):
    """What is to become of hosts."""

    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"


def tell(prosody: Prosody, verb: Verb, hosts: Iterable[Host], stamp: str) -> str:
    """Activate or deactivate hosts; returns what was done. `stamp` tells one time of serving from another.

    Components come up before their domain and go down after it: whoever logs in finds the rooms, whoever is logged out leaves them.
    A Prosody that does not run serves nobody, and comes back with these hosts disabled. Raises UNFIT if it refuses, or should serve
    and does not run.
    """
    if not is_running(prosody.socket):
        if verb is Verb.DEACTIVATE:
            return "Prosody does not run: nothing is served"
        detail = f"Prosody does not run: nobody answers at {prosody.socket}"
        raise PoolpairError(Code.UNFIT, detail, "start Prosody; the gate's hooks are tried again by themselves")
    ordered = sorted(hosts, key=lambda host: (not host.component, host.name), reverse=verb is Verb.DEACTIVATE)
    values = {"VERB": verb.value, "STAMP": stamp, "NAMES": [host.name for host in ordered]}
    script = "\n".join(line for line in SCRIPT.read_text(encoding="utf-8").splitlines() if not line.startswith("--"))
    for word, value in values.items():
        script = script.replace(word, lua(value), 1)
    return _run(["prosodyctl", "--config", str(prosody.path), "shell", f"> {script}"], verb)


def _run(command: list[str], verb: Verb) -> str:
    try:
        done = call(command, COMMAND_S)
    except subprocess.TimeoutExpired:
        detail = f"prosodyctl did not {verb} the hosts within {COMMAND_S:g} s"
        raise PoolpairError(Code.UNFIT, detail, "look at Prosody's log") from None
    except OSError as error:
        detail = f"prosodyctl cannot be run: {error.strerror}"
        raise PoolpairError(Code.UNFIT, detail, "install prosody here") from error
    _, found, told = done.stdout.rpartition(DONE)
    if done.returncode == 0 and found:
        return said(told)
    words = said(done.stderr) or said(done.stdout[-300:])
    raise PoolpairError(Code.UNFIT, f"Prosody did not {verb} the hosts: {words}", "look at Prosody's log")

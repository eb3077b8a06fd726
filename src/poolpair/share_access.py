"""Who may do what in a share: owners and modes of its folders, and the section of a Samba configuration that goes with them.

The partner's account makes files in Temp, moves them into Data, replaces its cookie, and reads pool.json. Who holds a management store
replaces each server's replica and reads its answer. They list nothing and read nothing else. What they make belongs to the owner of the
folder as soon as it is made (`inherit owner`), so that only the open handle can write it; and a sticky Data folder lets only owners of
files move them out again.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from poolpair.format.layout import (
    POOL_JSON,
    QUARANTINE,
    REPLICAS,
    TEMP,
    cookie_dir,
    data_dir,
    folders,
    identity_file,
    replica_folders,
)
from poolpair.model import Channel

PASS, PRIVATE = 0o710, 0o700
"""A folder to go through, and one that is the owner's alone."""
DROP, REPLACE, KEEP = 0o2730, 0o730, 0o1730
"""Folders in which the partner makes and replaces files without seeing any; and one in which it cannot touch them afterwards.

The group goes on to what the owner makes in Temp: so the partner can read pool.json, which comes from there.
"""
IDENTITY = 0o640
ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One folder, relative to the share's root, or a file that says whose it is; with its mode."""

    path: str
    mode: int
    is_file: bool = False


def entries(channels: Iterable[Channel], servers: Iterable[str] = ()) -> tuple[Entry, ...]:
    """Every folder of a share that carries these channels, parents before children, and last what says whose it is.

    Each of `servers` gets its replica of the management store there: who holds that drops it, and reads the answer.
    """
    wanted = tuple(channels)
    modes = {QUARANTINE: PRIVATE, "TaskAssignment": PRIVATE, TEMP: DROP}
    modes |= {data_dir(channel): KEEP for channel in wanted} | {cookie_dir(channel): REPLACE for channel in wanted}
    places = list(folders(wanted))
    for to_replica, from_replica in map(replica_folders, servers):
        modes[to_replica] = REPLACE
        above = to_replica.rpartition("/")[0]
        places += [REPLICAS, above, to_replica, from_replica]
    found = [Entry(path="", mode=PASS)]
    found += [Entry(path=path, mode=modes.get(path, PASS)) for path in dict.fromkeys(places)]
    identities = dict.fromkeys([POOL_JSON, *map(identity_file, wanted)])
    return (*found, *(Entry(path=path, mode=IDENTITY, is_file=True) for path in identities))


def section(name: str, path: Path, accounts: Iterable[str]) -> str:
    """The section of smb.conf."""
    lines = {
        "path": str(path),
        "valid users": " ".join(accounts),
        "read only": "no",
        "browseable": "no",
        "guest ok": "no",
        "smb encrypt": "required",
        "case sensitive": "yes",  # else a folder is searched for like names, which the partner may not
        "mangled names": "no",
        "inherit owner": "unix only",
        "create mask": "0600",
        "force create mode": "0600",
        "nt acl support": "no",
        "follow symlinks": "no",
        "store dos attributes": "no",
        "ea support": "no",
        "strict sync": "yes",
    }
    return f"[{name}]\n" + "".join(f"   {key} = {value}\n" for key, value in lines.items())


def commands(
    share: Path, owner: str, partner: str, channels: Iterable[Channel], servers: Iterable[str] = (), store: str = ""
) -> tuple[str, ...]:
    """What a person gives as root on the file server, line by line; may be repeated. `store` is who comes from another pair."""
    made = []
    for entry in entries(channels, servers):
        path = shlex.quote(str(share / entry.path))
        if entry.is_file:
            made.append(f"[ ! -f {path} ] || {{ chown {owner}:{partner} {path}; chmod {entry.mode:04o} {path}; }}")
        else:
            made.append(f"install -d -o {owner} -g {partner} -m {entry.mode:04o} {path}")
    useradd = "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin"
    begun = [f"id {partner} >/dev/null 2>&1 || {useradd} {partner}", f"smbpasswd -a {partner}"]
    if store:
        begun += [f"id {store} >/dev/null 2>&1 || {useradd} {store}", f"usermod -a -G {partner} {store}"]
        begun += [f"smbpasswd -a {store}"]
    return (*begun, *made)

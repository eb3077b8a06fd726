"""The world in which HOWTO.md is typed: the tutorial's pair, a stand-in for systemd, and what has to have happened before an entry."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.blocks import DOCS, blocks
from tests.docs.terminal import Terminal, terminal

SYSTEMCTL = """#!/bin/bash
# Starts and ends the services of the pools in this folder, as `systemctl` does with their units.
verb=$1; shift
signal=TERM
for word in "$@"; do
  case $word in
    --signal=*) signal=${word#--signal=}; continue ;;
  esac
  pool=${word#*@}; kind=${word%%@*}; verb_of=run; ready="works with"
  if [ $kind = poolpair-api ]; then verb_of=api; ready="answers on"; fi
  if [ $verb = stop ] || [ $verb = restart ] || [ $verb = kill ]; then
    kill -s $signal $(cat $kind-$pool.pid)
    tail --pid=$(cat $kind-$pool.pid) -f /dev/null
  fi
  if [ $verb = start ] || [ $verb = restart ]; then
    poolpair -c $pool.toml $verb_of > $kind-$pool.log 2>&1 &
    echo $! > $kind-$pool.pid
    for _ in $(seq 600); do
      grep -qs "$ready" $kind-$pool.log && break
      kill -0 $! || { cat $kind-$pool.log; exit 1; }
      sleep 0.05
    done
  fi
done
"""
BEGUN = """
sed -i '1i front_end = "server-a"' a.toml
sed -i '1i front_end = "server-b"' b.toml
printf '[api]\\nlisten = "127.0.0.1:{port}"\\n' >> a.toml
poolpair -c a.toml init
poolpair -c b.toml init
"""
MANY = """INSERT INTO notes WITH RECURSIVE n(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM n WHERE number < 1300)
SELECT 'many', number, '' FROM n"""
UNTIL = "until {command} | grep --quiet {words}; do sleep 0.1; done"
BEFORE = {
    "Restore a database from a backup": f"""
systemctl stop poolpair@a
python3 -c 'import sqlite3; a, b = map(sqlite3.connect, ("new/notes.sqlite", "backup.sqlite")); a.backup(b)'
systemctl start poolpair@a
db new/notes.sqlite "INSERT INTO notes VALUES ('ann', 'salt', 'sea')"
poolpair -c a.toml sync --wait final
systemctl stop poolpair@a
rm new/notes.sqlite-wal new/notes.sqlite-shm || true
cp backup.sqlite new/notes.sqlite
systemctl start poolpair@a
{UNTIL.format(command="poolpair -c a.toml setback show", words="users")}
""",
    "Decide on a large deletion": f"""
db new/notes.sqlite "{MANY}"
poolpair -c a.toml sync --wait final
db new/notes.sqlite "DELETE FROM notes WHERE owner = 'many'"
{UNTIL.format(command="poolpair -c b.toml held list", words="users")}
""",
    "See to a refused group": f"""
db b/notes.sqlite "CREATE UNIQUE INDEX one_body ON notes (body)"
db new/notes.sqlite "INSERT INTO notes VALUES ('ann', 'toast', 'rye')"
{UNTIL.format(command="poolpair -c b.toml parked list", words="toast")}
""",
    "Begin a pair without carrying a secret": """
sed -i 's/pair.key/a.key/' a.toml
sed -i 's/pair.key/b.key/' b.toml
poolpair -c b.toml uninstall --yes
""",
    "See to a refused file": f"""
head -c 100 /dev/urandom > share-a/UserServices/Data/PresenceFocusData/backup-0123456789abcdef0123456789abcdef-00000099-01234567.zip
{UNTIL.format(command="poolpair -c a.toml quarantine list", words="backup")}
""",
}
"""What happened before an entry, by its heading."""


@contextmanager
def howto_world(folder: Path) -> Iterator[Terminal]:
    """The tutorial's pair in a shell, with its services running."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with terminal(folder, {"7462": str(port), 'heartbeat_max = "1s"': 'heartbeat_max = "300ms"'}) as opened:
        program = folder / "bin" / "systemctl"
        program.write_text(SYSTEMCTL)
        program.chmod(0o755)
        made = [block.text for block in blocks(DOCS / "TUTORIAL.md") if block.section[:2] in {"1.", "2."}]
        begun = BEGUN.format(port=port)
        started = (
            "systemctl start poolpair@a poolpair@b\npoolpair -c a.toml sync --wait final\nln -s poolpair-a.log a.log\n"
        )
        printed = opened.type(f"{''.join(made)}{begun}{started}")
        assert "(exit status" not in printed, printed
        yield opened

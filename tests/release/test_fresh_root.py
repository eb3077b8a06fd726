"""INSTALL.md on a fresh Debian: a root of its own by debootstrap, the wheel installed there by pip, and the tutorial played in it.

At last it is booted, by systemd-nspawn, and both units run under a real systemd: fenced in as they are, and started again after a kill.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import DOCS, blocks

ROOT = Path(__file__).parents[2]
INSTALLED = """set -e
rm -f /usr/bin/poolpair
python3 -m venv --clear /opt/poolpair
/opt/poolpair/bin/pip install --quiet --no-index --find-links /wheels poolpair
ln -s /opt/poolpair/bin/poolpair /usr/bin/poolpair
poolpair --version
"""
AS_ROOT = """poolpair() {
  if [ "$3" = run ]; then exec /usr/bin/poolpair "$@" --allow-root; else command poolpair "$@"; fi
}
cd /root
"""
"""A job in the background is a process of its own, so that `exec` leaves the shell alone and `kill -9` meets the service."""
UNITS = """set -e
useradd --system --create-home --home-dir /var/lib/notes notes
install -d -o notes -m 750 /etc/poolpair /srv/share-a /srv/share-b /var/lib/notes/a /var/lib/notes/b
runuser -u notes -- /opt/poolpair/bin/poolpair key new /etc/poolpair/pair.key
echo 'whole = true' > /etc/poolpair/notes.toml
for pool in a b; do
  other=$(echo ab | tr -d $pool)
  cat > /etc/poolpair/$pool.toml <<END
pool    = "$pool"
store   = "sqlite:////var/lib/notes/$pool/notes.sqlite"
profile = "/etc/poolpair/notes.toml"
share   = "/srv/share-$pool"
[partner]
pool     = "$other"
share    = "/srv/share-$other"
key_file = "/etc/poolpair/pair.key"
[homes]
shared = "a"
"*"    = "a"
[sync]
interval = "5s"
heartbeat_max = "1s"
[api]
listen = "127.0.0.1:7462"
END
  runuser -u notes -- python3 - /var/lib/notes/$pool/notes.sqlite <<END
import sqlite3, sys
sqlite3.connect(sys.argv[1]).execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
END
  runuser -u notes -- poolpair -c /etc/poolpair/$pool.toml init
  for unit in poolpair poolpair-api; do
    mkdir -p /etc/systemd/system/$unit@$pool.service.d
    cat > /etc/systemd/system/$unit@$pool.service.d/site.conf <<END
[Service]
User=notes
Group=notes
ReadWritePaths=/var/lib/notes /srv/share-a /srv/share-b
END
  done
done
cat > /etc/systemd/system/look.service <<END
[Unit]
After=poolpair@a.service poolpair@b.service poolpair-api@a.service
[Service]
Type=oneshot
ExecStart=/bin/bash /look
ExecStopPost=/bin/systemctl --no-block poweroff
[Install]
WantedBy=multi-user.target
END
systemctl enable poolpair@a poolpair@b poolpair-api@a look
"""
LOOK = """exec > /looked 2>&1
# nspawn shows a boot id of its own, but not to units that have a /proc of their own: commands and services do not see the same one.
as() { runuser -u notes -- poolpair -c /etc/poolpair/$1.toml "${@:2}"; }
systemctl is-active poolpair@a poolpair@b poolpair-api@a
as a sync --wait final --timeout 600 && echo copied
python3 -c 'from urllib.request import urlopen; print("serving", urlopen("http://127.0.0.1:7462/v1/serving/a").status)'
before=$(systemctl show -P MainPID poolpair@a)
kill -9 $before
until grep -qxv -e 0 -e $before <(systemctl show -P MainPID poolpair@a) && systemctl is-active -q poolpair@a; do sleep 0.2; done
as a sync --wait final --timeout 600 && echo copied again
systemctl show -P NRestarts poolpair@a
systemctl show -P ProtectSystem poolpair@a
systemctl stop poolpair@a && systemctl show -P Result poolpair@a
"""


class Fresh:
    """A root of its own; what runs there sees its own /proc, and is ended with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, script: str) -> str:
        """A script of bash there; must end well, and returns what it printed."""
        (self.folder / "script").write_text(script)
        place = shlex.quote(str(self.folder))
        inside = f"mount -t proc proc {place}/proc && mount --bind /dev {place}/dev && exec chroot {place} bash /script"
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", inside]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=900)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr


def _mirror() -> str:
    """Where this machine gets its Debian packages."""
    words = ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"]
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    return next(place for codename, _, place in (line.partition(" ") for line in listed) if codename == "bookworm")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    """Debian 12 with Python and nothing of ours, and beside it the wheel and those of everything that it needs."""
    folder = tmp_path_factory.mktemp("fresh")
    place, sources = folder / "root", folder / "sources"
    packages = "python3,python3-venv,systemd-sysv,dbus"
    words = ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(place), _mirror()]
    subprocess.run(words, check=True, capture_output=True, timeout=1800)
    shutil.copytree(ROOT, sources, ignore=shutil.ignore_patterns(".*", "tests", "bench", "docs", "*.egg-info", "build"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(place / "wheels")]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), str(sources)], check=True, timeout=900)
    yield Fresh(place)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_wheel_is_installed_on_a_fresh_debian_and_the_tutorial_works_there(fresh: Fresh) -> None:
    """Only what INSTALL.md says is done, and all that the program and its package need is in the wheel."""
    assert fresh.run(INSTALLED).strip().endswith(_version())
    assert "complete" in fresh.run("_POOLPAIR_COMPLETE=source_bash poolpair")
    printed = fresh.run(AS_ROOT + "".join(block.text for block in blocks(DOCS / "TUTORIAL.md")))
    for said in (
        "the users of a are served by pool b (epoch 1)",
        "refused: not served here: pool b serves these users now (poolpair)",
        "the users of a are served by pool a (epoch 2)",
        "users: equal",
    ):
        assert said in printed, printed


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_units_run_under_a_real_systemd(fresh: Fresh) -> None:
    """They say that they are ready, work behind their fence, answer, are started again after a kill, and stop as they should."""
    fresh.run(INSTALLED)
    for unit in (ROOT / "ops" / "systemd").glob("*.service"):
        shutil.copy(unit, fresh.folder / "etc/systemd/system")
    fresh.run(UNITS)
    (fresh.folder / "look").write_text(LOOK)
    words = ["systemd-nspawn", "--register=no", "--keep-unit", "--console=pipe", "--boot", "--directory"]
    booted = subprocess.run(
        [*words, str(fresh.folder)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=900
    )
    looked = fresh.folder / "looked"
    assert looked.exists(), booted.stdout + booted.stderr
    said = looked.read_text().split("\n")
    assert said[:3] == ["active"] * 3, "\n".join(said)
    assert {"copied", "serving 200", "copied again", "success"} <= set(said), "\n".join(said)
    assert said[-4:-2] == ["1", "strict"], "\n".join(said)


def _version() -> str:
    from poolpair import __version__

    return __version__

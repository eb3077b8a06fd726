"""`python -m bench.trees`: files of a running pair beside rsync in two hops (to the share, to the target, each synced) and unison."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

from bench.peer import wait_until
from bench.report import Report, machine
from bench.sqlite_pair import SqlitePair
from poolpair.config import load_config
from poolpair.model import Channel
from poolpair.pipeline.capture import capture
from poolpair.wiring import open_site

SYNC = '[sync]\ninterval = "3h"\npackage_max = "{package_mb}MiB"\n'
FIRST, NOTHING, CHANGED = "first copy, s", "no change, s", "20 files changed, s"
COMMAND = "no change, by a command that waits for the partner's word, s"


def options() -> argparse.Namespace:
    """How large the tree is, and how often all is done."""
    parser = argparse.ArgumentParser(prog="bench.trees", description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--large", type=int, default=5)
    parser.add_argument("--large-mb", type=int, default=100)
    parser.add_argument(
        "--package-mb",
        type=int,
        default=8192,
        help="package_max: what finds no room in one package waits for the interval",
    )
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def make_tree(root: Path, chosen: argparse.Namespace) -> None:
    """Files of 10 to 500 KB, half of each noise and half text, in folders of forty; and large ones of noise."""
    rng = random.Random(3)
    for number in range(chosen.files):
        folder = root / f"conf{number // 40:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        size = rng.randrange(10_000, 500_000)
        text = b'<slide id="%06d" type="poll"/>' % number
        (folder / f"f{number:04d}.dat").write_bytes(rng.randbytes(size // 2) + text * (size // 2 // len(text)))
    for number in range(chosen.large):
        with (root / f"large{number}.bin").open("wb") as sink:
            for _ in range(chosen.large_mb):
                sink.write(os.urandom(1_000_000))


def change(root: Path, seed: int) -> None:
    """4 KB within each of twenty files, written anew and renamed as applications do."""
    rng = random.Random(seed)
    for path in rng.sample(sorted(root.glob("conf*/*.dat")), 20):
        content = bytearray(path.read_bytes())
        content[5000:9000] = rng.randbytes(4000)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.rename(path)


def same(one: Path, other: Path) -> bool:
    """Whether two trees hold the same files."""
    return not subprocess.run(["diff", "-rq", one, other], capture_output=True, check=False).stdout


def timed(act: Callable[[], object]) -> float:
    """Seconds."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


def rsync(source: Path, folder: Path) -> None:
    """To the share, then to the target; each durable before the next."""
    for left, right in ((source, folder / "share"), (folder / "share", folder / "target")):
        subprocess.run(["rsync", "-a", "--delete", f"{left}/", f"{right}/"], check=True)
        subprocess.run(["sync", "-f", right], check=True)


def unison(source: Path, folder: Path) -> None:
    """Source and target; what it knows of them lies in the same folder, which is a fresh one each round."""
    quiet = ["-batch", "-auto", "-force", str(source), "-times", "-silent", "-logfile", "/dev/null"]
    place = {**os.environ, "HOME": str(folder), "UNISON": str(folder / ".unison")}
    subprocess.run(["unison", source, folder / "target", *quiet], check=True, env=place)


def peers(source: Path, folder: Path, number: int, report: Report) -> None:
    """Every peer that is installed, each on a copy of its own. One that fails is noted, and ends nothing."""
    for name, act in (("rsync", rsync), ("unison", unison)):
        if shutil.which(name) is None:
            continue
        place = folder / f"{name}-{number}"
        for part in ("share", "target"):
            (place / part).mkdir(parents=True)
        own = place / "source"
        shutil.copytree(source, own)
        try:
            peer(name, partial(act, own, place), own, number, report)
        except subprocess.CalledProcessError as error:
            print(f"{name} failed in round {number}: {error}", flush=True)
        else:
            assert same(own, place / "target")
        shutil.rmtree(place)


def peer(name: str, go: Callable[[], None], source: Path, number: int, report: Report) -> None:
    """First copy, no change, changes."""
    subprocess.run(["sync", "-f", source], check=True)
    report.note(FIRST, name, timed(go))
    report.note(NOTHING, name, timed(go))
    change(source, number)
    report.note(CHANGED, name, timed(go))


def ours(source: Path, folder: Path, number: int, chosen: argparse.Namespace, report: Report) -> None:
    """Inside running services: the first copy from the moment that both work, changes from the moment that they are there."""
    pair = SqlitePair(folder / "pair", files=True, extra=SYNC.format(package_mb=chosen.package_mb))
    with ExitStack() as stack:
        stack.callback(pair.end)
        pair.begin(None)
        tree, there = pair.tree("a"), pair.tree("b")
        pair.start("b")
        pair.start("a")
        pair.prove("conferences")
        shutil.copytree(source, folder / "staged")
        subprocess.run(["sync", "-f", folder], check=True)
        (folder / "staged").rename(tree / "all")
        report.note(FIRST, "poolpair", timed(lambda: wait_until("our files", lambda: _has_all(there / "all", source))))
        pair.command("a", "sync", "--wait", "final", "--timeout", "120")
        report.note(NOTHING, "poolpair", no_change(pair.folder / "a.toml"))
        report.note(
            COMMAND, "poolpair", timed(lambda: pair.command("a", "sync", "--wait", "final", "--timeout", "120"))
        )
        change(tree / "all", number)
        wanted = {path: path.stat().st_mtime_ns for path in (tree / "all").glob("conf*/*.dat")}
        arrived = {path: there / path.relative_to(tree) for path in wanted}

        def is_there() -> bool:
            return all(arrived[path].stat().st_mtime_ns == mtime for path, mtime in wanted.items())

        report.note(CHANGED, "poolpair", timed(lambda: wait_until("our changes", is_there)))
        assert same(tree / "all", there / "all")


def no_change(pool_file: Path) -> float:
    """Seconds of a look at every file, as a service takes it: in a process that holds its site open."""
    site = open_site(load_config(pool_file))
    with closing(site.store):
        capture(site, Channel.CONFERENCES, rescan=True)
        return timed(lambda: capture(site, Channel.CONFERENCES, rescan=True))


def _has_all(there: Path, source: Path) -> bool:
    return there.is_dir() and sum(
        1 for path in there.rglob("*") if path.is_file() and not path.name.startswith(".")
    ) == sum(1 for path in source.rglob("*") if path.is_file())


def main() -> None:
    """Measure round by round, each after the other."""
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else whoever ends this leaves its services running
    report = Report(machine() | vars(chosen))
    folder = Path(mkdtemp(prefix="poolpair-bench-", dir="/var/tmp"))
    try:
        source = folder / "source"
        make_tree(source, chosen)
        for number in range(chosen.rounds):
            ours(source, folder, number, chosen, report)
            peers(source, folder, number, report)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(report.table(["poolpair", "rsync", "unison"]))
    print(report.write("trees"))


if __name__ == "__main__":
    main()

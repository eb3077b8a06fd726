"""The demo: two pools of real data as two real processes, and what the original's experiment shows, step by step.

`python -m poolpair.lab.demo [--folder demo] [--store postgresql]`. Exit status 0 only if every step was seen.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from rich.text import Text

from poolpair.lab.pool import EXAMPLES, NotSeen, Pool
from poolpair.lab.server_database import ServerDatabase
from poolpair.lab.stage import Stage
from poolpair.lab.steps import run_steps

MARK = ".poolpair-demo"
"""A file that says: this folder was made by the demo and may be made anew."""
PATIENCE_S = 120.0
"""A machine that is busy with something else takes its time, and nothing here is about time."""


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m poolpair.lab.demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="scratch folder, made anew (default: demo)")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite", help="what keeps the rows")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    try:
        fresh_folder(folder)
    except NotSeen as reason:
        sys.stderr.write(f"{reason}\n")
        return 64
    stage = Stage()
    pools = (Pool("a", "b", folder, patience_s=PATIENCE_S), Pool("b", "a", folder, patience_s=PATIENCE_S))
    servers = []
    stage.console.print(
        Text.assemble(("poolpair: two pools of real Prosody data back each other up, in ", "bold"), str(folder))
    )
    failure = ""
    try:
        if arguments.store == "postgresql":
            for pool in pools:
                pool.elsewhere = ServerDatabase(folder / f"server-{pool.name}")
                servers.append(pool.elsewhere)
        run_steps(stage, *pools)
    except NotSeen as reason:
        failure = str(reason)
    except KeyboardInterrupt:
        failure = "interrupted"
    except Exception as error:  # whatever it is, the report and the exit status have to say so
        failure = f"{type(error).__name__}: {error}"
    finally:
        failure = "; ".join(filter(None, (failure, end_services(*pools))))
        for server in servers:
            server.end()
    stage.write(folder / "report.json", failure)
    end(stage, folder, failure)
    return 1 if failure else 0


def fresh_folder(folder: Path) -> None:
    """Make the scratch folder anew. Raises NotSeen for one that no demo made: it is not deleted."""
    if not EXAMPLES.is_dir():
        raise NotSeen(f"{EXAMPLES} is not there: run the demo from a clone of the project")
    if folder.exists() and not (folder / MARK).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise NotSeen(f"{folder} was not made by the demo, so it is not deleted: choose another with --folder")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).write_text("made by python -m poolpair.lab.demo; made anew by the next run\n")


def end_services(*pools: Pool) -> str:
    """Stop what still runs; what went wrong with it in words."""
    wrong = []
    for pool in pools:
        try:
            status = pool.stop()
        except NotSeen as reason:
            wrong.append(str(reason))
        else:
            if status:
                wrong.append(f"the service of {pool.name} ended with {status} after SIGTERM")
    return "; ".join(wrong)


def end(stage: Stage, folder: Path, failure: str) -> None:
    """Say how it went and where to look."""
    console = stage.console
    if failure:
        failed = next((n for n, step in enumerate(stage.steps, 1) if not step.ok), 0)
        where = f"step {failed} was not seen" if failed else "the demo failed"
        console.print(Text(f"FAILED after {stage.seconds} s: {where}: {failure}", style="bold red"))
        console.print(
            Text(f"each step has {PATIENCE_S:g} s; a machine that is very slow or busy needs more: try it again then")
        )
    else:
        words = f"every step was seen, in {stage.seconds} s; both services are stopped"
        console.print(Text(words, style="bold green"))
    console.print(Text(f"look inside {folder}: a.toml b.toml share-a share-b data-a data-b a.log b.log report.json"))


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.fuzz --inputs 10000000`: every parser, in shares; prints how many inputs each was given and what was found."""

from __future__ import annotations

import argparse
import shutil
import sys
import time

from tests.fuzz.runner import fuzz, keep
from tests.fuzz.targets import SCRATCH, TARGETS


def main() -> int:
    """Fuzz; 1 if anything was found, which is kept below tests/fuzz/found."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    targets = [target for target in TARGETS if chosen.only in {"", target.name}]
    shares, found, total = sum(target.share for target in targets), 0, 0
    print(f"seed {chosen.seed}", flush=True)
    for target in targets:
        began = time.monotonic()
        outcome = fuzz(target, chosen.inputs * target.share // shares, chosen.seed)
        total += outcome.tried
        took = time.monotonic() - began
        print(
            f"{target.name:12} {outcome.tried:10} inputs, {len(outcome.kinds):5} kinds of answer, {took:7.0f} s",
            flush=True,
        )
        for (where, data), path in zip(outcome.failures.items(), keep(outcome), strict=True):
            found += 1
            print(f"    {where}: {path} ({len(data)} bytes)", flush=True)
    print(f"{total} inputs, {found} findings", flush=True)
    shutil.rmtree(SCRATCH, ignore_errors=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

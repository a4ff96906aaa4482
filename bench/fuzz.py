"""Fuzzing for as long as one likes: python -m bench.fuzz --seconds 600. Failures are kept as files that repeat them."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from tests import filefuzz, fuzzing
from tests.fuzzing import Failure

_SHARES = {"tars": 2500, "streams": 1500, "files": 1500, "documents": 5000, "archives": 150}  # mutants of one round


def main() -> int:
    """Run rounds until the time is over; 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="bench.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default 600)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="where to start (default: the time)")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="where failures go (default build/fuzz)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leakscan-fuzz-") as folder:
        return _rounds(options, Path(folder))


def _rounds(options: argparse.Namespace, folder: Path) -> int:
    kinds: dict[str, Callable[[Iterable[int]], list[Failure]]] = {
        "tars": partial(fuzzing.lost_in_tars, jobs=options.jobs),
        "streams": partial(fuzzing.lost_in_streams, jobs=options.jobs),
        "files": partial(filefuzz.lost_in_files, jobs=options.jobs),
        "documents": fuzzing.lost_in_documents,
        "archives": partial(fuzzing.lost_in_archives, folder=folder),
    }
    started, seed, done, failed = time.monotonic(), options.seed, dict.fromkeys(_SHARES, 0), 0
    while time.monotonic() - started < options.seconds:
        for kind, share in _SHARES.items():
            for failure in kinds[kind](range(seed, seed + share)):
                failed += 1
                options.keep.mkdir(parents=True, exist_ok=True)
                kept = options.keep / f"{kind}-{failure.seed}"
                kept.write_bytes(failure.data)
                print(f"{kind} {failure.seed}: {failure.what}; kept as {kept}", flush=True)
            done[kind] += share
        seed += max(_SHARES.values())
    seconds = time.monotonic() - started
    counts = ", ".join(f"{count} {kind}" for kind, count in done.items())
    print(f"{sum(done.values())} mutants in {seconds:.0f} s from seed {options.seed}: {counts}; {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

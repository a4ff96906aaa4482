"""Plants thousands of made-up secrets in images and looks for them: python -m bench.known_secrets --count 10000.

Prints how many of the plantings were found and how many of as many secrets that are nowhere were seen all the same.
Exit code 1 if either number is not what it should be.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from scanner import detection
from scanner.detect.known.parts import known
from scanner.image.source import open_image
from scanner.limits import Limits
from scanner.request import Options
from scanner.scan import scan
from tests.builders import write_all
from tests.plantings import planted, plantings, value

_EACH = 500  # plantings of one image


def main() -> int:
    """Plant, scan, count."""
    parser = argparse.ArgumentParser(prog="bench.known_secrets", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="plantings (default 10000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    started, found, wrong, missed = time.monotonic(), 0, 0, Counter[str]()
    rules = detection.load(os.environ)
    for batch in range(-(-options.count // _EACH)):
        seed, count = options.seed * 10_000 + batch, min(_EACH, options.count - batch * _EACH)
        chosen = plantings(seed, count)
        rng = random.Random(f"absent {seed}")
        given = [known(planting.id, planting.value) for planting, _ in chosen]
        given += [known(f"absent-{number}", value(rng)) for number in range(count)]
        with tempfile.TemporaryDirectory(prefix="leakscan-plantings-") as folder:
            path = write_all(Path(folder) / "layout", planted(chosen).oci_members())
            opened = open_image(str(path), limits=Limits())
            try:
                result = scan(opened, detection.with_known(rules, given), Options(Limits(), options.jobs, b"k" * 32))
            finally:
                opened.close()
        said = {str(entry["id"]): entry["verdict"] for entry in result.known_secrets}
        for planting, _ in chosen:
            found += said[planting.id] == "present"
            if said[planting.id] != "present":
                print(f"missed {planting}")
                missed[f"{planting.encoding} / {planting.nesting} / {planting.surface}"] += 1
        wrong += sum(said[f"absent-{number}"] == "present" for number in range(count))
        print(f"{(batch + 1) * _EACH:>6}: {found} found, {missed.total()} missed, {wrong} seen that are nowhere",
              flush=True)  # fmt: skip
    for kind, number in missed.most_common():
        print(f"{number:>6} missed: {kind}")
    print(f"{time.monotonic() - started:.0f} s")
    return int(bool(missed) or bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

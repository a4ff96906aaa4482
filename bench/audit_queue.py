"""How many images a second the queue hands to workers, and how much the ledger writes, with no image to read.

    python -m bench.audit_queue [--images 2000] [--workers 1 2] [--alone]

An auditor feeds packs through its window into Debian's PostgreSQL (without fsync, as in the tests); workers do nothing
but write an empty result, for all images of a pack or (--alone) for the first, as if it were work enough for one job.
docs/sizing.md has the numbers.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from scanner.audit.listing import Item
from scanner.audit.queue import Images, Priority, feeder, prepare, serve
from scanner.audit.run import Display
from scanner.store.database import open_store
from scanner.store.ledger import Ledger, Result, State
from tests.kills import reset
from tests.postgres import own_postgres

ABOUT = {"host": "registry.example", "rules": "rules", "key": "key", "platform": None, "newer_than": None}


def work(url: str, alone: bool) -> None:
    """A worker that writes an empty result for every image, until it is killed."""
    engine = open_store(url)

    def write(images: Images, about: Mapping[str, Any], _: Callable[[], bool]) -> list[Images]:
        ledger = Ledger(engine, about["host"], about["rules"], about["run"])
        number = 1 if alone else len(images)
        for image in images[:number]:
            ledger.record(Result(image["digest"], State.SCANNED, True, f"{about['host']}/{image['repository']}"))
        return [images[number:]] if images[number:] else []

    serve(url, write, lambda _, __: [], once=False)


def rate(url: str, images: int, workers: int, alone: bool) -> float:
    """Images a second, from the first that is put into the queue to the last that is done."""
    engine = open_store(url)
    prepare(engine, url)
    items = [Item(f"team/app{each % 100}", "", f"sha256:{hashlib.sha256(str(each).encode()).hexdigest()}")
             for each in range(images)]  # fmt: skip
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=work, args=(url, alone), daemon=True) for _ in range(workers)]
    for process in started:
        process.start()
    time.sleep(5.0)  # until they wait for jobs
    begun = time.monotonic()
    feeder(engine, url, ABOUT, Priority.AUDIT)("run", items, {}, Display())
    took = time.monotonic() - begun
    for process in started:
        process.kill()
        process.join()
    engine.dispose()
    return images / took


def main() -> int:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    asked = parser.parse_args()
    with own_postgres() as postgres:
        for number in asked.workers:
            reset(postgres)
            found = rate(postgres.url, asked.images, number, asked.alone)
            print(f"{number} workers: {found:.0f} images a second, load {os.getloadavg()[0]:.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

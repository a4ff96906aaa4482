"""Where the time of a scan goes: processor seconds of each stage, apart, in one process.

    python -m bench.stages ARCHIVE [--most MIB] [--save]

Stages are what a scan does to each layer: read (the file from first to last byte), expand (compressed layers only),
hash, header walk, first pass, confirm (what fired), decode (archives, compression and encodings inside files); then
report (places, states, findings, JSON) for the whole image. The last four of a layer are told apart by running them on
top of each other and taking the differences. --most bounds how much of the layers is taken, from the largest on; the
report stage is then left out, as there is no whole result.

Processor time and not wall time: it says the same on a busy machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.keeping import keep
from scanner import detection
from scanner.content.words import Budget
from scanner.detect.base import Detector, Trigger
from scanner.detect.compiled import CompiledRules, database
from scanner.detect.firstpass import FirstPass, triggers_of
from scanner.directories import cache_directory
from scanner.evidence import Gap, Match
from scanner.image.blob import Blob, spool
from scanner.image.source import open_image
from scanner.layer.compression import sniff
from scanner.layer.expand import expand, map_blob, plain_digests
from scanner.layer.walk import Piece, Walk
from scanner.limits import MIB, Limits
from scanner.report.json import render
from scanner.request import Detection, Options
from scanner.scan import scan
from scanner.work.inside import Inner, Search
from scanner.work.jobs import BlobOutcome
from scanner.work.matcher import match_pieces
from scanner.work.messages import Form, Ignored
from scanner.work.twins import Twins

STAGES = ("read", "expand", "hash", "header walk", "first pass", "confirm", "decode", "report")


class Silent:
    """A detector that confirms nothing, so that only its triggers cost."""

    def __init__(self, detector: Detector) -> None:
        self.triggers: Sequence[Trigger] = detector.triggers

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """Nothing."""
        del data, ends, path
        return iter(())


class Closed(Search):
    """A search that opens nothing."""

    def inside(self, *_: object, **__: object) -> Iterator[Inner | Gap | Ignored]:
        """Nothing."""
        return iter(())


class Remembered:
    """Keeps outcomes as they are (`scan.Kept`)."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, Form], BlobOutcome] = {}

    def get(self, blob: Blob, form: Form) -> BlobOutcome | None:
        """That of an earlier scan."""
        return self.known.get((blob.offset, form))

    def put(self, outcome: BlobOutcome, form: Form) -> BlobOutcome:
        """Remember it."""
        self.known[outcome.blob.offset, form] = outcome
        return outcome


@dataclass
class Costs:
    """Seconds by stage; bytes and members that were looked at."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    bytes: int = 0
    members: int = 0

    def timed(self, stage: str, work: Callable[[], object]) -> None:
        """Do it, and count its processor time."""
        start = time.process_time()
        work()
        self.seconds[stage] += time.process_time() - start


def measure(archive: Path, most: int) -> Costs:
    """The costs of an archive's layers, *most* bytes of them at most."""
    costs, limits = Costs(), Limits()
    rules = detection.load(os.environ)
    compiled = database(triggers_of(rules.detectors), CompiledRules(cache_directory(os.environ)))
    opened = open_image(str(archive), limits=limits)
    layers = {layer.blob.offset: layer.blob for image in opened.images for layer in image.layers if layer.blob}
    for blob in sorted(layers.values(), key=lambda blob: -blob.size):
        if costs.bytes < most:
            _layer(costs, blob, rules, compiled, limits, most)
    if costs.bytes < most:
        kept = Remembered()
        scan(opened, rules, Options(limits, os.cpu_count() or 1, b"k" * 32), kept=kept)
        costs.timed("report", lambda: render(scan(opened, rules, Options(limits, 1, b"k" * 32), kept=kept)))
    opened.close()
    return costs


def _layer(
    costs: Costs, blob: Blob, rules: Detection, compiled: bytes, limits: Limits, most: int
) -> None:
    costs.timed("read", lambda: [blob.read(at, MIB) for at in range(0, blob.size, MIB)])
    plain = blob
    if sniff(blob.read(0, 6)):
        target = spool("bench")
        costs.timed("expand", lambda: expand(blob, target, limits))  # hashes as it goes
        plain = Blob(blob.name, target, 0, target.size())
    view = map_blob(plain)
    if plain is blob:
        costs.timed("hash", lambda: plain_digests(plain))
    walk = Walk(view, limits, time.monotonic() + limits.layer_seconds)
    batches: list[list[Piece]] = []
    costs.timed("header walk", lambda: batches.extend(walk.batches()))
    taken, size = [], 0
    for batch in batches:
        if costs.bytes + size < most:
            taken.append(batch)
            size += sum(piece.end - piece.start for piece in batch)
    costs.bytes += size
    costs.members += walk.ledger.members

    def match(detectors: Sequence[Detector], unfold: bool) -> float:
        search = (Search if unfold else Closed)(FirstPass(detectors, compiled), limits, Twins(1).part(0, {0: view}))
        start = time.process_time()
        digested: set[int] = set()
        budget = Budget(limits)
        for batch in taken:
            search.start_task()
            match_pieces(search, view, batch, digested, budget)
        return time.process_time() - start

    first = match([Silent(each) for each in rules.detectors], False)
    confirmed = match(rules.detectors, False)
    decoded = match(rules.detectors, True)
    costs.seconds["first pass"] += first
    costs.seconds["confirm"] += confirmed - first
    costs.seconds["decode"] += decoded - confirmed


def table(costs: Costs) -> str:
    """A row a stage: seconds, and GB a second where that means something."""
    total = sum(costs.seconds.values())
    lines = [f"{'stage':14}{'cpu s':>9}{'share':>8}{'MB/s':>9}"]
    for stage in STAGES:
        if stage in costs.seconds:
            seconds = costs.seconds[stage]
            speed = f"{costs.bytes / 1e6 / seconds:9,.0f}" if seconds > 0.005 and stage != "report" else f"{'':9}"
            lines.append(f"{stage:14}{seconds:9.2f}{seconds / total:8.0%}{speed}")
    lines.append(f"{'together':14}{total:9.2f}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print; with --save keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--most", type=int, default=1 << 20, metavar="MIB")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    costs = measure(options.archive, options.most * MIB)
    text = f"{costs.bytes:,} bytes of layers, {costs.members:,} members\n\n{table(costs)}"
    print(text)
    if options.save:
        keep("stages", text)


if __name__ == "__main__":
    main()

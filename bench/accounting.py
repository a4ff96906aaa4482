"""What it costs to account for every byte of a layer, beside a scan that trusts the standard library's tarfile.

    python -m bench.accounting ARCHIVE [--runs 3] [--save]

The same scan is run in turn as it is, and with layers read as most scanners read them: `tarfile` names the members, the
data of regular files is matched, and nothing else is (no ledger, no checks of headers, no header fields, names, link
targets, padding or bytes behind the end). Whole processes, without caches. The second finds less and says so;
its time is the point.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from bench.keeping import keep
from bench.measure import Measure, run
from scanner.layer.tree import DIRECTORY, FILE, clean, effect, path_hash
from scanner.layer.walk import Piece, ViewFile, Walk
from scanner.work import reader

OPTIONS = ("--no-cache", "--quiet", "--format", "json")


class Trusting(Walk):
    """A walk that believes tarfile."""

    def _pieces(self) -> Iterator[Piece]:
        with tarfile.open(fileobj=ViewFile(self.view), mode="r:", errorlevel=0) as tar:  # type: ignore[call-overload]
            while (member := tar.next()) is not None:
                tar.members.clear()
                name = member.name.encode("utf-8", "surrogateescape")
                index, data, size = self.ledger.members, member.offset_data, member.size
                self.ledger.members += 1
                kind, path = effect(clean(name))
                self._kinds.append(DIRECTORY if kind == FILE and member.isdir() else kind)
                self._hashes.append(path_hash(path))
                if member.isreg() and size:
                    yield from (piece._replace(header=piece.data)
                                for piece in self._windows(name, index, data, size, data))  # fmt: skip
        self.ledger.data = len(self.view)


def trusting(archive: str) -> None:
    """Scan with such a walk."""
    from scanner.cli.main import main as leakscan

    reader.Walk = Trusting  # type: ignore[attr-defined]
    sys.argv = ["leakscan", archive, *OPTIONS]
    leakscan()


def main() -> None:
    """Measure and print; with --save keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--trusting", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trusting:
        trusting(str(options.archive))
        return
    commands = {
        "every byte": [sys.executable, "-m", "scanner", str(options.archive), *OPTIONS],
        "members as tarfile has them": [sys.executable, "-m", "bench.accounting", "--trusting", str(options.archive)],
    }
    found: dict[str, list[Measure]] = {name: [] for name in commands}
    for _ in range(options.runs):
        for name, command in commands.items():
            found[name].append(run(command))
    lines = [f"{'':30}{'wall s':>9}{'cpu s':>9}   exit codes"]
    for name, runs in found.items():
        wall, cpu = (statistics.median(values) for values in ([r.wall for r in runs], [r.cpu for r in runs]))
        lines.append(f"{name:30}{wall:9.2f}{cpu:9.2f}   {sorted({r.code for r in runs})}")
    ratios = [one.cpu / other.cpu for one, other in zip(*found.values(), strict=True)]
    walls = [one.wall / other.wall for one, other in zip(*found.values(), strict=True)]
    lines.append(f"{'ratio, median of the runs':30}{statistics.median(walls):9.2f}{statistics.median(ratios):9.2f}")
    print("\n".join(lines))
    if options.save:
        keep("accounting", "\n".join(lines))


if __name__ == "__main__":
    main()

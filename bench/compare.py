"""leakscan beside the bare loop and Kingfisher on one archive, in one run, as ratios.

    python bench/compare.py ARCHIVE.tar [--rounds N] [--kingfisher] [--note TEXT] [--save]

ARCHIVE is an uncompressed docker-archive, such as the one that make_fat_image.sh of the shared lab writes. The bare
loop (tar headers and one pass of 500 made-up patterns, nothing else) comes from LEAKSCAN_SHARED; without it, and
without Kingfisher installed, their rows are left out and that is said. Rounds alternate, so that a busy moment of
the machine meets all; the best round of each counts.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from measure import Measure, run


def contenders(archive: str, kingfisher: bool) -> Iterator[tuple[str, list[str], int]]:
    """(name, command, rounds at most) of everything that is there."""
    quiet = ["--format", "json", "--no-progress", "--no-cache", archive]
    yield "leakscan", [sys.executable, "-m", "scanner", *quiet], 99
    shared = os.environ.get("LEAKSCAN_SHARED")
    if shared:
        yield "bare loop", [sys.executable, f"{shared}/lab/bare_loop.py", archive], 99
    else:
        print("left out: the bare loop (LEAKSCAN_SHARED is not set)")
    binary = shutil.which("kingfisher") or shutil.which("kingfisher", path=str(Path(sys.executable).parent))
    if kingfisher and binary:
        common = [binary, "scan", "docker", "--archive", archive, "--no-validate", "--no-update-check"]
        yield "kingfisher --no-limits", [*common, "--no-limits"], 1
        yield "kingfisher, default", common, 1
    elif kingfisher:
        print("left out: Kingfisher (pip install kingfisher-bin)")


def report(results: dict[str, list[Measure]]) -> str:
    """A table of the best rounds, with ratios to leakscan's wall time."""
    own = min(results["leakscan"], key=lambda m: m.wall)
    lines = [f"{'':24}{'wall s':>9}{'cpu s':>9}{'MiB':>7}{'exit':>6}{'wall ratio':>12}{'cpu ratio':>11}"]
    for name, rounds in results.items():
        best = min(rounds, key=lambda m: m.wall)
        lines.append(
            f"{name:24}{best.wall:9.2f}{best.cpu:9.2f}{best.memory:7}{best.code:6}"
            f"{best.wall / own.wall:12.2f}{best.cpu / own.cpu:11.2f}"
        )
    if "bare loop" in results:
        bare = min(results["bare loop"], key=lambda m: m.wall)
        lines.append(f"leakscan takes {own.wall / bare.wall:.2f} times the bare loop's wall time")
    return "\n".join(lines)


def main() -> None:
    """Compare and print; with --save keep the table in bench/results under date and machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kingfisher", action="store_true")
    parser.add_argument("--note", default="")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    rows = list(contenders(options.archive, options.kingfisher))
    results: dict[str, list[Measure]] = {name: [] for name, _, _ in rows}
    for number in range(options.rounds):
        for name, command, most in rows:
            if number < most:
                results[name].append(run(command))
    size = os.path.getsize(options.archive)
    machine = f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    head = f"{datetime.date.today()}  {machine}"
    text = f"{head}\narchive of {size:,} bytes, best of {options.rounds}. {options.note}\n\n{report(results)}\n"
    print(text)
    if options.save:
        folder = Path(__file__).parent / "results"
        folder.mkdir(exist_ok=True)
        with open(folder / f"{datetime.date.today()}-{platform.machine()}-{os.cpu_count()}.txt", "a") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()

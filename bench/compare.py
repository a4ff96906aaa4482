"""leakscan beside the bare loop, Kingfisher and detect-secrets, in one run, as ratios.

    python -m bench.compare ARCHIVE.tar [--also FORM.tar]... [--image NAME] [--tree DIR] [--kingfisher] [--cached]
                            [--rounds N] [--note TEXT] [--save]

ARCHIVE is an uncompressed docker-archive, such as the one that make_fat_image.sh of the shared lab writes; --also names
other forms of the same image (OCI, gzip, zstd), --image the image in the local engine, --tree a directory of text for
plain detect-secrets beside leakscan on an archive of it. The bare loop (tar headers and one pass of 500 made-up
patterns, nothing else) comes from LEAKSCAN_SHARED. What is not there is left out, and that is said.

Rounds alternate, so that a busy moment of the machine meets all; the best round of each counts. Caches are the bench's
own: compiled rules are made before the first round, results are kept only by the rows that say so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.growth import image
from bench.keeping import keep, load, machine
from bench.measure import Measure, run

_OWN = (sys.executable, "-m", "scanner")
_SCAN = (*_OWN, "--format", "json", "--no-progress")


@dataclass(frozen=True, slots=True)
class Contender:
    """A row: what it is called, its command, rounds at most, and the row that its ratios are to."""

    name: str
    command: tuple[str, ...]
    most: int = 99
    beside: str = "leakscan"


def _has_layer_tars(archive: str) -> bool:
    """Whether an archive has its layers in members of that name, plain: of another the bare loop would read nothing."""
    try:
        with tarfile.open(archive, "r:") as tar:
            return any(name.endswith("layer.tar") for name in tar.getnames())
    except tarfile.TarError:
        return False


def contenders(options: argparse.Namespace, folder: Path) -> Iterator[Contender]:
    """Everything that is there. *folder* is for what has to be made first."""
    archive = options.archive
    yield Contender("leakscan", (*_SCAN, "--no-cache", archive))
    for other in options.also:
        yield Contender(f"leakscan {Path(other).name}", (*_SCAN, "--no-cache", other))
    shared = os.environ.get("LEAKSCAN_SHARED")
    if shared and _has_layer_tars(archive):
        yield Contender("bare loop", (sys.executable, f"{shared}/lab/bare_loop.py", archive))
    else:
        why = "it reads what engines before 25 save" if shared else "LEAKSCAN_SHARED is not set"
        print(f"left out: the bare loop ({why})")
    if options.image:
        yield Contender("leakscan, engine", (*_SCAN, "--no-cache", f"docker:{options.image}"), 2)
        yield Contender("engine's export", ("sh", "-c", 'docker save "$0" > /dev/null', options.image), 1)
    if options.cached:
        yield Contender("second scan", (*_SCAN, archive))
        if options.image:
            yield Contender("second scan, engine", (*_SCAN, f"docker:{options.image}"))
    image(folder / "small.tar", 30, 64 << 10)
    yield Contender("2 MB image", (*_SCAN, "--no-cache", str(folder / "small.tar")))
    yield Contender("leakscan --version", (*_OWN, "--version"))
    yield from _kingfisher(archive) if options.kingfisher else ()
    yield from _tree(options.tree, folder) if options.tree else ()


def _kingfisher(archive: str) -> Iterator[Contender]:
    binary = shutil.which("kingfisher") or shutil.which("kingfisher", path=str(Path(sys.executable).parent))
    if binary is None:
        print("left out: Kingfisher (pip install kingfisher-bin)")
        return
    common = (binary, "scan", "docker", "--archive", archive, "--no-validate", "--no-update-check")
    yield Contender("kingfisher --no-limits", (*common, "--no-limits"), 1)
    yield Contender("kingfisher, default", common, 1)


def _tree(tree: str, folder: Path) -> Iterator[Contender]:
    """detect-secrets on a directory, and leakscan on an image with the same files."""
    image(folder / "tree.tar", 1, 1024)
    layer = folder / "layer.tar"
    with tarfile.open(layer, "w") as tar:
        tar.add(tree, "srv")
    with tarfile.open(folder / "tree.tar") as old:
        kept = [(member, old.extractfile(member).read()) for member in old if member.name == "manifest.json"]  # type: ignore[union-attr]
        config = next(member.name for member in old if member.name.endswith(".json") and member.name != "manifest.json")
        kept += [(old.getmember(config), old.extractfile(config).read())]  # type: ignore[union-attr]
    with tarfile.open(folder / "tree.tar", "w") as tar:
        import io

        for member, data in kept:
            tar.addfile(member, io.BytesIO(data))
        tar.add(layer, "0/layer.tar")
    name = "leakscan, text tree"
    yield Contender(name, (*_SCAN, "--no-cache", str(folder / "tree.tar")))
    program = str(Path(sys.executable).with_name("detect-secrets"))
    yield Contender("detect-secrets, text tree", (program, "scan", "--all-files", "--no-verify", tree), 1, name)


def report(rows: list[Contender], results: Mapping[str, list[Measure]]) -> str:
    """A table of the best rounds, with ratios to leakscan's."""
    best = {name: min(rounds, key=lambda m: m.wall) for name, rounds in results.items() if rounds}
    lines = [f"{'':28}{'wall s':>9}{'cpu s':>9}{'MiB':>7}{'exit':>6}{'wall ratio':>12}{'cpu ratio':>11}"]
    for row in rows:
        found, own = best[row.name], best[row.beside]
        lines.append(
            f"{row.name:28}{found.wall:9.2f}{found.cpu:9.2f}{found.memory:7}{found.code:6}"
            f"{found.wall / own.wall:12.2f}{found.cpu / own.cpu:11.2f}"
        )
    if "bare loop" in best:
        own, bare = best["leakscan"], best["bare loop"]
        lines.append(f"leakscan takes {own.wall / bare.wall:.2f} times the bare loop's wall time, "
                     f"{own.cpu / bare.cpu:.2f} times its processor time")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Compare and print; with --save keep the table in bench/results under date and machine class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive")
    parser.add_argument("--also", action="append", default=[])
    parser.add_argument("--image")
    parser.add_argument("--tree")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kingfisher", action="store_true")
    parser.add_argument("--cached", action="store_true")
    parser.add_argument("--note", default="")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        environment = {**os.environ, "XDG_CACHE_HOME": f"{made}/cache", "XDG_STATE_HOME": f"{made}/state"}
        rows = list(contenders(options, Path(made)))
        first = run([*_SCAN, "--no-cache", f"{made}/small.tar"], environment)  # compiles the rules
        for row in rows if options.cached else ():
            if row.name.startswith("second scan"):
                run(row.command, environment)
        results: dict[str, list[Measure]] = {row.name: [] for row in rows}
        for number in range(options.rounds):
            for row in rows:
                if number < row.most:
                    results[row.name].append(run(row.command, environment))
    size = os.path.getsize(options.archive)
    text = (f"archive of {size:,} bytes, best of {options.rounds}. {options.note}\n\n{report(rows, results)}\n"
            f"first run ever, a 2 MB image: {first.wall:.1f} s wall, {first.cpu:.1f} s cpu")  # fmt: skip
    print(f"{machine()}, {load()}\n{text}\n")
    if options.save:
        keep("compare", text)


if __name__ == "__main__":
    main()

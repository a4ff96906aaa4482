"""How the cost of a scan grows with bytes and with members: tables, and a plot as SVG.

    python -m bench.growth [--steps N] [--save]

Images are made up: text of random words, no two members alike. Each step doubles the one before. Costs are processor
seconds of whole processes, first of an image of two members, so that what every scan costs is seen apart; memory is
the peak of RssAnon + RssShmem over all processes.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import io
import json
import os
import platform
import random
import sys
import tarfile
import tempfile
from pathlib import Path

from bench.keeping import FOLDER, keep
from bench.measure import Measure, run

_LARGE, _SMALL = 64 << 10, 1 << 10
_FIRST_BYTES, _FIRST_MEMBERS = 32 << 20, 8_000


def image(path: Path, members: int, size: int) -> int:
    """Write a docker-archive with one layer of *members* files of *size* bytes; returns its bytes."""
    random_ = random.Random(size)  # the same words in every step
    words = ["".join(random_.choices("abcdefghijklmnopqrstuvwxyz", k=random_.randint(2, 9))) for _ in range(4096)]
    texts = [" ".join(random_.choices(words, k=size // 4)).replace(" t", "\nt").encode() for _ in range(40)]
    with tempfile.TemporaryFile(dir=path.parent) as layer:
        with tarfile.open(fileobj=layer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for number in range(members):
                text = f"{number} ".encode() + texts[number % len(texts)][number % (size // 8) :]
                _add(tar, f"srv/{number % 97}/{number}.txt", text[:size])
        digest = hashlib.sha256()
        layer.seek(0)
        while chunk := layer.read(1 << 20):
            digest.update(chunk)
        length = layer.tell()
        layer.seek(0)
        rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest.hexdigest()}"]}
        history = [{"created_by": "COPY srv /srv"}]
        config = json.dumps({"os": "linux", "architecture": "amd64", "history": history, "rootfs": rootfs}).encode()
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        manifest = json.dumps([{"Config": name, "RepoTags": None, "Layers": ["0/layer.tar"]}]).encode()
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            _add(tar, name, config)
            _add(tar, "manifest.json", manifest)
            member = tarfile.TarInfo("0/layer.tar")
            member.size = length
            tar.addfile(member, layer)
    return path.stat().st_size


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def scanned(path: Path) -> Measure:
    """One scan of an archive, nothing taken from a cache."""
    return run([sys.executable, "-m", "scanner", "--no-cache", "--no-progress", "--format", "json", str(path)])


def series(folder: Path, steps: int, by_bytes: bool) -> list[tuple[int, Measure]]:
    """(bytes or members, cost) of each step."""
    found = []
    for step in range(steps):
        members = (_FIRST_BYTES // _LARGE if by_bytes else _FIRST_MEMBERS) << step
        path = folder / "image.tar"
        size = image(path, members, _LARGE if by_bytes else _SMALL)
        found.append((size if by_bytes else members, scanned(path)))
        path.unlink()
    return found


def plot(panels: list[tuple[str, str, float, list[tuple[int, Measure]]]], base: float) -> str:
    """Panels of (title, unit, divisor, series) side by side as SVG: measured points, and the line through the origin
    of what every scan costs and the last point."""
    width, height, margin = 420, 300, 48
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width * len(panels)} {height}" '
             'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="white"/>']  # fmt: skip
    for number, (title, unit, divisor, points) in enumerate(panels):
        left, right = number * width + margin, (number + 1) * width - 16
        top, bottom = 30, height - margin
        most_x = points[-1][0]
        most_y = max(measure.cpu for _, measure in points) * 1.1

        def at(x: float, y: float, left: int = left, right: int = right, most_x: float = most_x,
               most_y: float = most_y, top: int = top, bottom: int = bottom) -> tuple[float, float]:  # fmt: skip
            return left + x / most_x * (right - left), bottom - y / most_y * (bottom - top)

        parts.append(f'<text x="{left}" y="18" font-weight="bold">{title}</text>')
        parts.append(f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="black"/>')
        (x0, y0), (x1, y1) = at(0, base), at(most_x, points[-1][1].cpu)
        parts.append(f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="#999" stroke-dasharray="4 3"/>')
        for x, measure in points:
            cx, cy = at(x, measure.cpu)
            parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="4" fill="#0a58ca"/>')
            parts.append(f'<text x="{cx:.1f}" y="{bottom + 16}" text-anchor="middle">{x / divisor:,.0f}</text>')
            parts.append(f'<text x="{cx:.1f}" y="{cy - 8:.1f}" text-anchor="middle">{measure.cpu:.1f} s</text>')
        parts.append(f'<text x="{right}" y="{bottom + 34}" text-anchor="end">{unit}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def table(name: str, divisor: float, points: list[tuple[int, Measure]], base: float) -> str:
    """A row a step: cost beyond what every scan costs, for each unit."""
    lines = [f"{name:>12}{'cpu s':>9}{'wall s':>9}{'MiB peak':>10}{'cpu ms each':>13}"]
    for x, measure in points:
        each = (measure.cpu - base) * 1000 / (x / divisor)
        lines.append(f"{x / divisor:12,.0f}{measure.cpu:9.2f}{measure.wall:9.2f}{measure.memory:10}{each:13.2f}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print; with --save keep tables and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image(Path(folder) / "small.tar", 2, _SMALL)
        scanned(Path(folder) / "small.tar")  # compiles the rules, if need be
        base = scanned(Path(folder) / "small.tar").cpu
        by_bytes = series(Path(folder), options.steps, True)
        by_members = series(Path(folder), options.steps, False)
    tables = f"{table('MB', 1e6, by_bytes, base)}\n\n{table('thousands', 1000, by_members, base)}  of members"
    text = f"cost of an image of two small members: {base:.2f} cpu s\n\n{tables}"
    print(text)
    if options.save:
        keep("growth", text)
        panels = [("Processor seconds by bytes", "MB of members of 64 KiB", 1e6, by_bytes),
                  ("Processor seconds by members", "thousands of members of 1 KiB", 1e3, by_members)]  # fmt: skip
        drawn = plot(panels, base)
        name = f"{datetime.date.today()}-{platform.machine()}-{os.cpu_count()}-growth.svg"
        (FOLDER / name).write_text(drawn)


if __name__ == "__main__":
    main()

"""The bench measures with the program as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.stages import STAGES

ROOT = Path(__file__).parent.parent


def test_the_stages_of_a_scan_are_told_apart() -> None:
    """On the image of README's first command, of which no layer is compressed by itself."""
    command = [sys.executable, "-m", "bench.stages", "testimages/first/image.tar.xz"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert [stage for stage in STAGES if stage not in done.stdout] == ["expand"]


def test_what_no_scan_can_leave_out_is_told() -> None:
    """On the same image, in which no package is packed by xz."""
    command = [sys.executable, "-m", "bench.floor", "testimages/first/image.tar.xz"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == [
        "hash", "headers", "first pass", "unpack xz", "first pass, of that", "together"
    ]  # fmt: skip


def test_what_each_rule_costs_is_told(tmp_path: Path) -> None:
    """On files of a directory."""
    (tmp_path / "settings.py").write_bytes(b"timeout = 30\n" * 999)
    command = [sys.executable, "-m", "bench.rules_report", str(tmp_path), "--rows", "3"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1 + 1 + 3 + 1  # together, a head, the dearest, those that never fired


def test_every_program_of_the_bench_is_told_of() -> None:
    """Whoever reads the papers, or runs make, finds it: others measure what nobody looks at."""
    told = "\n".join(path.read_text() for path in (ROOT / "Makefile", *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
    programs = [path.stem for path in ROOT.glob("bench/*.py") if 'if __name__ == "__main__"' in path.read_text()]

    assert len(programs) > 8
    assert [name for name in programs if f"bench.{name}" not in told and f"bench/{name}.py" not in told] == []

"""A worker process cannot dump its memory, outgrow its share, or live longer than whoever started it."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from scanner.limits import MIB

ROOT = Path(__file__).parent.parent
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="these are calls of Linux")


def isolated(code: str, **limits: int) -> subprocess.CompletedProcess[str]:
    """Run *code* in a process that has isolated itself."""
    start = "import os; from scanner.limits import Limits; from scanner.work.isolation import isolate\n"
    start += f"isolate(Limits(**{limits}), os.getppid())\n"
    return subprocess.run(
        [sys.executable, "-c", start + textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_no_core_is_dumped() -> None:
    """Neither by the limit nor by a program that the kernel would pipe it to."""
    done = isolated("""
        import resource, ctypes
        print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
        os.abort()
    """)

    assert done.stdout == "(0, 0) 0\n"
    assert done.returncode == -signal.SIGABRT


@LINUX
def test_the_heap_ends_at_its_limit() -> None:
    """An allocation past the limit fails in the process, which can say so; a map of a file does not count."""
    done = isolated(
        """
        import mmap, tempfile
        file = tempfile.TemporaryFile()
        file.truncate(4 << 30)
        mapped = mmap.mmap(file.fileno(), 4 << 30, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
        try:
            bytearray(1 << 30)
        except MemoryError:
            print("refused", len(mapped))
        """,
        worker_bytes=300 * MIB,
    )

    assert done.stdout == f"refused {4 << 30}\n", done.stderr


def test_files_end_at_their_limit() -> None:
    """A file larger than a layer may be cannot be written."""
    done = isolated(
        """
        import tempfile
        with tempfile.TemporaryFile(buffering=0) as file:
            try:
                written = 0
                while True:
                    written += file.write(bytes(1 << 20))
            except OSError as error:
                print(written, error.errno == 27)
        """,
        layer_bytes=3 * MIB,
    )

    assert done.stdout == f"{3 * MIB} True\n", done.stderr


@LINUX
def test_workers_die_with_their_coordinator() -> None:
    """When the coordinator is killed no process of the scan stays."""
    code = """
        import os, sys, time
        from scanner.limits import Limits
        from scanner.work.isolation import isolate
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            isolate(Limits(), parent)
            os.write(1, b"%d\\n" % os.getpid())
            time.sleep(60)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
    for _ in range(100):
        if not _alive(child):
            return
        time.sleep(0.05)
    pytest.fail("the worker lives on")


def _alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False

"""Keeps what was measured in bench/results, under its date and the class of the machine."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

FOLDER = Path(__file__).parent / "results"


def machine() -> str:
    """The class of this machine: nothing that would name it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{platform.machine()}, {os.cpu_count()} processors, {memory} GiB, Python {platform.python_version()}"


def load() -> str:
    """How busy it is."""
    return f"load {os.getloadavg()[0]:.1f}"


def keep(name: str, text: str) -> Path:
    """Add a text to the file of today's results of a kind."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{datetime.date.today()}-{platform.machine()}-{os.cpu_count()}-{name}.txt"
    with path.open("a") as file:
        file.write(f"{datetime.date.today()}  {machine()}, {load()}\n{text}\n\n")
    return path

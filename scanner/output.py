"""Where reports go: standard output, or a file that is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from scanner.errors import LeakscanError
from scanner.evidence import ScanResult

FORMATS = ("text", "json", "html")


@dataclass(frozen=True, slots=True)
class Target:
    """One report: a format, and the file it goes to (None for standard output)."""

    format: str
    file: Path | None = None


def render(result: ScanResult, format: str, width: int, color: bool) -> str:
    """The report in one format, ending with a newline."""
    if format == "json":
        from scanner.report import json  # a report imports only what it needs

        return json.render(result)
    if format == "html":
        from scanner.report import html

        return html.render(result)
    from scanner.report import text

    return text.render(result, width=width, color=color)


def _print(report: str) -> None:
    try:
        sys.stdout.write(report)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (what is left in the buffer cannot be written either)
        what = f"the report cannot be written to standard output: {error.strerror}"
        raise LeakscanError(what, "Free some space, or give a file: --format text=FILE.") from None


def write(target: Target, report: str) -> None:
    """Write a report. Raises LeakscanError naming the file if it cannot be written; no half report stays behind."""
    if target.file is None:
        _print(report)
        return
    path = Path(os.path.realpath(target.file))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        if path.exists() and not path.is_file():  # a device or a pipe is written to, never replaced
            path.write_text(report, encoding="utf-8", errors="backslashreplace")
            return
        with open(temporary, "x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(report)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise LeakscanError(
            f"the report cannot be written to {target.file}: {error.strerror}", "Give another file, or free some space."
        ) from error

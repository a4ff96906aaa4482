"""Where reports go: standard output, or a file that is there whole or not at all."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from scanner.errors import LeakscanError
from scanner.evidence import ScanResult
from scanner.report.setting import Setting

#: names of descriptors that the program was started with
_OF_OURS = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,6})")
#: GitLab, GitHub Actions, Jenkins, Azure Pipelines, CircleCI
_COMMITS = ("CI_COMMIT_SHA", "GITHUB_SHA", "GIT_COMMIT", "BUILD_SOURCEVERSION", "CIRCLE_SHA1")

Render = Callable[[ScanResult, Setting], str]


def _plain(module: str) -> Render:
    """A report that needs nothing but the result; its module is imported when it is rendered."""
    return lambda result, _: importlib.import_module(f"scanner.report.{module}").render(result)


def _placed(module: str, function: str = "render") -> Render:
    """A report that depends on where and when it is made."""
    return lambda result, setting: getattr(importlib.import_module(f"scanner.report.{module}"), function)(
        result, setting
    )


def _text(result: ScanResult, setting: Setting) -> str:
    from scanner.report import text

    return text.render(result, width=setting.width, color=setting.color)


#: every format that --format knows, each with what renders it
_RENDER: Mapping[str, Render] = MappingProxyType(
    {
        "text": _text,
        "json": _plain("json"),
        "sarif": _placed("sarif"),
        "junit": _placed("junit"),
        "gitlab": _placed("gitlab"),
        "github": _placed("github"),
        "markdown": _placed("markdown"),
        "csv": _plain("csv"),
        "html": _plain("html"),
        "attest": _placed("attest", "predicate"),
        "in-toto": _placed("attest", "statement"),
    }
)
FORMATS = tuple(_RENDER)


@dataclass(frozen=True, slots=True)
class Target:
    """One report: a format, and the file it goes to (None for standard output)."""

    format: str
    file: Path | None = None


def render(result: ScanResult, format: str, setting: Setting) -> str:
    """The report in one format, ending with a newline."""
    return _RENDER[format](result, setting)


def pieces(result: ScanResult, format: str, setting: Setting) -> Iterable[str]:
    """The same in pieces, where there may be much of it."""
    if format == "json":
        from scanner.report import json

        return json.pieces(result)
    return (render(result, format, setting),)


def setting_of(targets: Sequence[Target], environment: Mapping[str, str], width: int, finished: float) -> Setting:
    """What reports may know besides the result: CI services name the commit in their own variables."""
    commit = next((environment[name] for name in _COMMITS if environment.get(name)), "")
    whole = next((str(target.file) for target in targets if target.format == "json" and target.file), "")
    return Setting(width=width, commit=commit, finished=finished, whole=whole)


def _print(report: Iterable[str], what: str) -> None:
    try:
        sys.stdout.writelines(report)
        sys.stdout.flush()
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (what is left in the buffer cannot be written either)
        if isinstance(error, BrokenPipeError):
            raise
        failed = f"{what} cannot be written to standard output: {error.strerror}"
        raise LeakscanError(failed, "Free some space, or have it written to a file.") from None


def _descriptor(file: Path) -> int | None:
    """The descriptor of ours that a file is, by any name: /dev/stderr, /dev/fd/3, or the file that a shell has put
    there. What was written to it before, or will be by others, would be lost with the file that is replaced."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    named = _OF_OURS.fullmatch(str(file))
    descriptors = [1, 2, int(named[1])] if named else [1, 2]
    for descriptor in descriptors:
        with contextlib.suppress(OSError, OverflowError):
            if os.path.samestat(status, os.fstat(descriptor)):
                return descriptor
    return None


def write(target: Target, report: Iterable[str], what: str = "the report") -> None:
    """Write a report, given in pieces; no half report stays behind. *what* messages call it.

    Raises:
        LeakscanError: it cannot be written; names the file.
        BrokenPipeError: whoever read standard output has gone.
    """
    descriptor = _descriptor(target.file) if target.file is not None else 1
    if target.file is None or descriptor == 1:
        _print(report, what)
        return
    temporary: Path | None = None
    try:
        if descriptor is not None:
            with open(os.dup(descriptor), "w", encoding="utf-8", errors="backslashreplace") as ours:
                ours.writelines(report)
            return
        # a device or a pipe is written to, never replaced; the name of a pipe in /proc leads nowhere when resolved
        if target.file.exists() and not target.file.is_file():
            with open(target.file, "w", encoding="utf-8", errors="backslashreplace") as device:
                device.writelines(report)
            return
        path = Path(os.path.realpath(target.file))
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with open(temporary, "x", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(report)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise LeakscanError(
            f"{what} cannot be written to {target.file}: {error.strerror}", "Give another file, or free some space."
        ) from error

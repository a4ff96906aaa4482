"""What commands share: exit codes, messages, the types of their options."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from scanner.errors import LeakscanError
from scanner.report.output import FORMATS, Target, write

EXIT_CLEAN, EXIT_LEAKED, EXIT_USAGE, EXIT_INCOMPLETE = 0, 1, 2, 3
SEVERITIES = ("critical", "high", "medium", "low", "never")


class FileType(click.Path):
    """The path of a file. An empty one, as of a variable that is not set, would be the working directory."""

    def __init__(self, path_type: type | None = Path, **more: bool) -> None:
        super().__init__(path_type=path_type, **more)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("no file is named", param, ctx)
        return super().convert(value, param, ctx)


class FormatType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """FORMAT or FORMAT=FILE, where the format has one of these names; the file - is standard output."""

    name = "format"

    def __init__(self, names: Sequence[str] = FORMATS) -> None:
        self.names = names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Target:
        if isinstance(value, Target):
            return value
        format, equals, file = value.partition("=")
        if format not in self.names:
            near = next(iter(difflib.get_close_matches(format, self.names, 1)), "")
            guess = f" Did you mean {near}?" if near else ""
            self.fail(f"{format!r} is not one of {', '.join(self.names)}.{guess}", param, ctx)
        if equals and not file:
            self.fail(f"no file is named after {format}=", param, ctx)
        return Target(format, None if file in ("", "-") else Path(file))

    def get_metavar(self, *_: Any, **__: Any) -> str:  # its arguments differ between releases of click
        return "FORMAT[=FILE]"


def apart(ctx: click.Context, param: click.Parameter, targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """Reports that go to files of their own: of two in one file the first would be lost without a word."""
    named = [target.file for target in targets if target.file is not None]
    files = [file for file in named if file.is_file() or not file.exists()] if len(named) > 1 else []
    plain = [os.path.realpath(file) for file in files]
    twice = next((name for name in plain if plain.count(name) > 1), "")
    if twice:
        raise click.BadParameter(f"two reports go to {os.path.basename(twice)}", ctx, param)
    return targets


class ImageType(click.ParamType):  # type: ignore[type-arg]
    """The words for an image, completed as paths."""

    name = "image"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        return [CompletionItem(incomplete, type="file")]


def platform(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A platform that can be one; wrong words are wrong usage."""
    from scanner.image.reference import parse_platform

    if value is not None:
        try:
            parse_platform(value)
        except LeakscanError as error:
            raise click.BadParameter(f"{error.what}. {error.tip}", ctx, param) from None
    return value


def colored() -> bool:
    """Whether what goes to standard output may have colours (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def tell_away() -> None:
    """Say on standard error that a store does not answer and is waited for."""
    click.echo("leakscan: the store does not answer; it is waited for, a minute at the most", err=True)


def still_connections() -> None:
    """Have connections to PostgreSQL not say on standard error whenever they try in vain: this is told once."""
    import logging

    logging.getLogger("psycopg").setLevel(logging.CRITICAL)


def tell_alone() -> None:
    """Say on standard error that an audit waits for a worker."""
    click.echo("leakscan: no worker is there to read the images; start one: leakscan worker", err=True)


def out_of_room(error: OSError) -> LeakscanError:
    """What ends a scan that finds no room for what it unpacks."""
    return LeakscanError(f"the scan cannot go on: {error.strerror}", "Free some space in TMPDIR, or set it.")


def put(target: Target, report: Iterable[str]) -> bool:
    """Write a report. False if it cannot be written; says why, unless it is that its reader has gone."""
    try:
        write(target, report)
    except BrokenPipeError:
        return False
    except LeakscanError as error:
        complain(error)
        return False
    return True


def complain(error: LeakscanError) -> None:
    """Say on standard error what failed and what to try."""
    from scanner.report.escape import text

    click.echo(f"leakscan: {text(error.what)}", err=True)
    if error.tip:
        click.echo(f"  {text(error.tip)}", err=True)

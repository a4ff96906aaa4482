"""`leakscan baseline create|update`: accept the findings of today, so that later scans fail on new ones only."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scanner.cli.common import EXIT_CLEAN, EXIT_INCOMPLETE, SEVERITIES, FileType, complain
from scanner.cli.common import platform as platform_option
from scanner.cli.configured import ConfiguredCommand, accept_also, config_option, rules_option
from scanner.cli.options import jobs_option, no_progress_option
from scanner.cli.scan import Asked, perform, tell_near
from scanner.errors import UnusableFile

if TYPE_CHECKING:
    from scanner.accept.baseline import Baseline, Changes, Sighting

_HEAD = 4096
_STDOUT = Path("-")
F = TypeVar("F", bound=Callable[..., Any])


@click.group(short_help="Accept old findings, fail on new ones only.")
def baseline() -> None:
    """Accept the findings of today; later scans with --baseline fail on new ones only."""


def _day(ctx: click.Context, param: click.Parameter, value: str | None) -> date | None:
    from scanner.accept.policy import this_day

    try:
        day = None if value is None else date.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("give a date such as 2027-03-31", ctx, param) from None
    if day is not None and day < this_day():
        raise click.BadParameter(f"{day} is over: nothing would be accepted", ctx, param)
    return day


def _options(command: F) -> F:
    """What create and update share."""
    for option in reversed((
        click.argument("target", metavar="IMAGE|REPORT.json"),
        click.option("-o", "--output", type=FileType(dir_okay=False), required=True, metavar="FILE",
                     help="The baseline file; - is standard output."),
        click.option("--reason", default="", metavar="TEXT", help="Why the findings are accepted; for each new one."),
        click.option("--expires", callback=_day, metavar="DATE", help="The last day on which new entries hold."),
        click.option("--platform", metavar="OS/ARCH[/VARIANT]|all", callback=platform_option,
                     help="Which platform of the image. [default: all present]"),
        click.option("--fail-on", type=click.Choice(SEVERITIES), default="low", show_default=True,
                     help="The least severity of the findings that are accepted."),
        rules_option,
        config_option,
        click.option("--allow-incomplete", is_flag=True, help="Exit 0, not 3, if not all was read."),
        jobs_option,
        click.option("--quiet", is_flag=True, help="Nothing on standard error but errors."),
        no_progress_option,
    )):  # fmt: skip
        command = option(command)
    return command


@baseline.command("create", cls=ConfiguredCommand, short_help="Accept all findings of an image or a report.")
@_options
def create(output: Path, **options: Any) -> None:
    """Write a baseline of all that counts in IMAGE, or in a report of it that --format json made.

    A baseline holds each finding's place and its value as scrypt, so it may lie in a repository: the same secret in the
    same place is accepted, a rotated one is new. A report holds no values; a baseline from one matches by the
    fingerprints in it, which mean something only under the key of the installation that made it.

    \b
      leakscan baseline create myimage:tag -o .leakscan-baseline.json
      leakscan --baseline .leakscan-baseline.json myimage:tag

    Exit codes: 0 the file is written, whatever was found; 3 not all of the image could be read.
    """  # fmt: skip
    _run(output, update=False, **options)


@baseline.command("update", cls=ConfiguredCommand, short_help="Add what is new, drop what is gone.")
@_options
def update(output: Path, **options: Any) -> None:
    """Bring a baseline up to date with IMAGE or a report: new findings are added, those that are gone dropped.

    Entries that still hold keep their reason and their date. If not all of the image could be read, none is dropped.

    Exit codes: 0 the file is written, whatever was found; 3 not all of the image could be read.
    """  # fmt: skip
    _run(output, update=True, **options)


def _run(
    output: Path, *, update: bool, target: str, reason: str, expires: date | None, platform: str | None, fail_on: str,
    allow_incomplete: bool, jobs: int, quiet: bool, no_progress: bool,
) -> None:  # fmt: skip
    from scanner.accept.baseline import Baseline
    from scanner.accept.policy import this_day
    from scanner.secrecy.keys import installation_key, key_id

    if update and output == _STDOUT:
        raise click.UsageError("update needs the file of a baseline that is there: -o FILE")
    key, today = installation_key(os.environ), this_day()
    old = _old(output, key_id(key)) if update else Baseline.fresh(today, key_id(key))
    document = _report(target)
    if document is not None:
        seen, complete = _reported(document, target, key_id(key), old, quiet)
    else:
        progress = sys.stderr.isatty() and not (quiet or no_progress)
        least = "low" if fail_on == "never" else fail_on  # a project that does not fail yet wants a baseline most
        found = _seen(target, platform, least, jobs, progress)
        if found is None:
            sys.exit(EXIT_INCOMPLETE)
        seen, complete = found
    made, changes = old.updated(seen, today, reason.strip() or f"in the baseline since {today}", expires, complete)
    _save(output, made)
    if not quiet:
        _tell(output, made, changes if update else None)
        if not complete:
            kept = ", so no entry was dropped" if update and not changes.gone else ""
            read = "not all of the image could be read"
            what = read if document is None else "the report does not say that all of the image was read"
            click.echo(f"leakscan: {what}; what was not may hold more{kept}", err=True)
    sys.exit(EXIT_CLEAN if complete or allow_incomplete else EXIT_INCOMPLETE)


def _old(path: Path, own_key_id: str) -> Baseline:
    from scanner import userfile
    from scanner.accept import baseline as file

    name = userfile.shown(path.name)
    return file.parsed(userfile.parsed(userfile.read(path), name), name, own_key_id)


def _report(target: str) -> Any:
    """The document if *target* is a report, None if it is an image."""
    from scanner import userfile

    path = Path(target)
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            if not file.read(_HEAD).lstrip().startswith(b"{"):
                return None
    except OSError:  # whoever opens it as an image says why
        return None
    return userfile.parsed(userfile.read(path), userfile.shown(path.name))


def _reported(document: Any, target: str, own: str, old: Baseline, quiet: bool) -> tuple[list[Sighting], bool]:
    """The findings of a report, and whether all of the image was read; says by what they can be matched."""
    from scanner import userfile
    from scanner.accept import baseline as file

    name = userfile.shown(Path(target).name)
    seen, key, complete = file.reported(document, name)
    bound = sum(each.value is None for each in seen)
    if bound and key != own:
        raise UnusableFile(
            f"{name} holds no values, and its fingerprints were made under another key than this installation's",
            "Give the image itself, or set LEAKSCAN_KEY to the key that made the report.",
        )
    if bound and any(entry.value for entry in old.entries):
        what = f"{name} holds no values, so it cannot tell which entries still hold"
        raise UnusableFile(what, "Give the image itself.")
    if bound and not quiet:
        click.echo(
            f"leakscan: {name} holds no values: {bound} of its findings can be matched by fingerprint only, which "
            "needs this installation's key (LEAKSCAN_KEY carries it to others); a baseline from the image needs none",
            err=True,
        )
    return seen, complete


def _seen(
    image: str, platform: str | None, fail_on: str, jobs: int, progress: bool
) -> tuple[list[Sighting], bool] | None:
    """What counts in an image, and whether all of it was read; None, and a message, if it cannot be opened."""
    from scanner.accept.baseline import Recorder

    recorder = Recorder([])
    accept_also(recorder)
    result, error = perform(Asked(image, platform=platform, fail_on=fail_on, jobs=jobs, progress=progress))
    if error is not None:
        complain(error)
        tell_near(image, error)
        return None
    return recorder.seen, result.coverage.complete


def _save(path: Path, made: Baseline) -> None:
    from scanner.report.output import Target, write

    write(Target("json", None if path == _STDOUT else path), [made.text()], "the baseline")


def _tell(path: Path, made: Baseline, changes: Changes | None) -> None:
    from scanner.report.lines import counted

    name = json.dumps(str(path))[1:-1]
    total = counted(len(made.entries), "finding")
    renewed = f", {changes.renewed:,} renewed" if changes and changes.renewed else ""
    change = f" ({changes.new:,} new{renewed}, {changes.gone:,} gone)" if changes else ""
    said = "accepted" if path == _STDOUT else f"accepted in {name}{change}; scan with --baseline {name}"
    click.echo(f"leakscan: {total} {said}", err=True)

"""The command line: options to arguments, errors to messages and exit codes.

What a command needs is imported when it runs: `leakscan --version` should not wait for engines and rule packs.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scanner import __version__
from scanner.errors import LeakscanError
from scanner.output import FORMATS, Target, render, write

if TYPE_CHECKING:
    from scanner.evidence import ScanResult
    from scanner.scan import Detection

EXIT_CLEAN, EXIT_LEAKED, EXIT_INCOMPLETE = 0, 1, 3
_SEVERITIES = ("critical", "high", "medium", "low", "never")


class _DefaultGroup(click.Group):
    """A group whose default command is scan: `leakscan IMAGE` is `leakscan scan IMAGE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h", "--version"):
            args = ["scan", *args]
        return super().parse_args(ctx, args)


class _FormatType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """FORMAT or FORMAT=FILE."""

    name = "format"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Target:
        if isinstance(value, Target):
            return value
        format, equals, file = value.partition("=")
        if format not in FORMATS:
            self.fail(f"{format!r} is not one of {', '.join(FORMATS)}", param, ctx)
        if equals and not file:
            self.fail(f"no file is named after {format}=", param, ctx)
        return Target(format, Path(file) if file else None)

    def get_metavar(self, *_: Any, **__: Any) -> str:  # its arguments differ between releases of click
        return "FORMAT[=FILE]"


def _platform(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A platform that can be one; wrong words are wrong usage."""
    from scanner.image.reference import parse_platform

    if value is not None:
        try:
            parse_platform(value)
        except LeakscanError as error:
            raise click.BadParameter(f"{error.what}. {error.tip}", ctx, param) from None
    return value


@click.group(cls=_DefaultGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="leakscan")
def cli() -> None:
    """Prove whether credentials leaked into a container image.

    `leakscan IMAGE` is short for `leakscan scan IMAGE`.
    """


@cli.command()
@click.argument("image")
@click.option("--format", "targets", type=_FormatType(), multiple=True,
              help=f"Report as {' or '.join(FORMATS)}, to a file if one is named; repeatable. [default: text]")
@click.option("--platform", metavar="OS/ARCH[/VARIANT]|all", callback=_platform,
              help="Which platform of the image. [default: all present]")
@click.option("--fail-on", type=click.Choice(_SEVERITIES), default="low", show_default=True,
              help="The least severity that makes the exit code 1.")
@click.option("--allow-incomplete", is_flag=True, help="Exit 0, not 3, if nothing was found but not all was read.")
@click.option("--show-secrets", is_flag=True, help="Show the values that were found. Mind where the report goes.")
@click.option("--jobs", type=click.IntRange(1, 256), default=lambda: os.cpu_count() or 1, metavar="N",
              help="Processes that work at a time. [default: one for each processor]")
@click.option("--no-cache", is_flag=True,
              help="Neither read nor write results of earlier scans; none are kept so far.")
@click.option("--quiet", is_flag=True, help="No progress and no notices on standard error.")
@click.option("--no-progress", is_flag=True, help="No progress on standard error.")
def scan(
    image: str, targets: Sequence[Target], platform: str | None, fail_on: str, allow_incomplete: bool,
    show_secrets: bool, jobs: int, no_cache: bool, quiet: bool, no_progress: bool,
) -> None:
    """Scan one image and print the report.

    IMAGE is a name (name[:tag][@digest], from the local engine), a path (an archive of docker save, podman, skopeo or
    buildx, compressed or not, or an OCI layout), or - for an archive on standard input. docker:, podman:,
    docker-archive:, oci-archive:, oci-dir: and dir: before it say which is meant.

    Exit codes: 0 every byte was looked at and nothing was found, 1 something leaked, 2 wrong usage, 3 the scan could
    not be done or is incomplete and nothing was found.
    """  # fmt: skip
    del no_cache  # results of earlier scans are not kept
    progress = sys.stderr.isatty() and not (quiet or no_progress)
    result, error = _scan(image, platform, fail_on, show_secrets, jobs, progress)
    if error is not None:
        _complain(error)
    written = _report(result, targets or (Target("text"),), unavailable=error is not None)
    code = _exit_code(result, allow_incomplete and error is None)
    sys.exit(code if written or code == EXIT_LEAKED else EXIT_INCOMPLETE)


def _scan(
    image: str, platform: str | None, fail_on: str, show_secrets: bool, jobs: int, progress: bool
) -> tuple[ScanResult, LeakscanError | None]:
    """The result, and the error if the image could not be opened."""
    from scanner import detection
    from scanner.evidence import Severity
    from scanner.image.source import open_image
    from scanner.keys import installation_key
    from scanner.limits import Limits
    from scanner.progress import shown
    from scanner.scan import Options, unavailable
    from scanner.scan import scan as run

    gc.disable()  # one run, no cycles to speak of: thousands of findings are made and rendered without it
    limits = Limits()
    rules: Detection = detection.load(os.environ)
    with shown(progress) as display:
        try:
            opened = open_image(image, limits=limits, platform=platform, stdin=sys.stdin.buffer,
                                progress=display.received)  # fmt: skip
        except LeakscanError as error:
            return unavailable(image, "", error, rules.rules_digest), error
        try:
            least = None if fail_on == "never" else Severity(fail_on)
            options = Options(limits, jobs, installation_key(os.environ), least, show_secrets)
            display.expect(opened)
            return run(opened, rules, options, display.advance), None
        except OSError as error:
            failure = LeakscanError(f"the scan cannot go on: {error.strerror}", "Free some space in TMPDIR, or set it.")
            return unavailable(image, opened.source, failure, rules.rules_digest), failure
        finally:
            opened.close()


def _report(result: ScanResult, targets: Sequence[Target], unavailable: bool) -> bool:
    """Write every report that can be written; False if one could not."""
    written = True
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for target in targets:
        if unavailable and target.format == "text" and target.file is None:
            continue  # the message on standard error says it all
        try:
            write(target, render(result, target.format, width, color and target.file is None))
        except LeakscanError as error:
            written = False
            _complain(error)
    return written


def _exit_code(result: ScanResult, allow_incomplete: bool) -> int:
    from scanner.evidence import Verdict

    if result.verdict is Verdict.LEAKED:
        return EXIT_LEAKED
    if result.verdict is Verdict.INCOMPLETE and not allow_incomplete:
        return EXIT_INCOMPLETE
    return EXIT_CLEAN


def _complain(error: LeakscanError) -> None:
    from scanner.report.escape import text

    click.echo(f"leakscan: {text(error.what)}", err=True)
    if error.tip:
        click.echo(f"  {text(error.tip)}", err=True)


def main() -> None:
    """Run the program; nothing but exit codes and messages comes out."""
    try:
        _open_streams()
        cli.main(prog_name="leakscan", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("leakscan: stopped", err=True)
        sys.exit(130)
    except LeakscanError as error:
        _complain(error)
        sys.exit(EXIT_INCOMPLETE)
    except BrokenPipeError:
        # whoever read the report has gone; a second error while closing would only be noise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_INCOMPLETE)
    except Exception as error:
        _crash(error)


def _open_streams() -> None:
    """Standard streams that were closed lead nowhere; else the first files opened would take their places."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w"))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _crash(error: Exception) -> None:
    """A fault of ours: say where, never what, as the text of an exception could hold bytes of the image."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "?"
    click.echo(f"leakscan: a fault of leakscan itself, {type(error).__name__} at {place}; please report it", err=True)
    sys.exit(EXIT_INCOMPLETE)

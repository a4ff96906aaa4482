"""`leakscan scan IMAGE`: one image, its report, an exit code."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanner.cli.caches import CacheType
from scanner.cli.common import EXIT_CLEAN, EXIT_INCOMPLETE, EXIT_LEAKED, SEVERITIES, FormatType, complain
from scanner.cli.common import platform as platform_option
from scanner.cli.secrets import read_secrets, secret_options
from scanner.errors import LeakscanError
from scanner.output import FORMATS, Target, render, write

if TYPE_CHECKING:
    from scanner.detect.known.parts import Known
    from scanner.evidence import ScanResult
    from scanner.scan import Detection


@click.command()
@click.argument("image")
@click.option("--format", "targets", type=FormatType(), multiple=True,
              help=f"Report as {' or '.join(FORMATS)}, to a file if one is named; repeatable. [default: text]")
@click.option("--platform", metavar="OS/ARCH[/VARIANT]|all", callback=platform_option,
              help="Which platform of the image. [default: all present]")
@click.option("--fail-on", type=click.Choice(SEVERITIES), default="low", show_default=True,
              help="The least severity that makes the exit code 1.")
@click.option("--allow-incomplete", is_flag=True, help="Exit 0, not 3, if nothing was found but not all was read.")
@click.option("--show-secrets", is_flag=True, help="Show the values that were found. Mind where the report goes.")
@secret_options
@click.option("--cache-from", "caches", type=CacheType(), multiple=True,
              help="A build cache to scan with the image, in the words of docker buildx build; repeatable.")
@click.option("--jobs", type=click.IntRange(1, 256), default=lambda: os.cpu_count() or 1, metavar="N",
              help="Processes that work at a time. [default: one for each processor]")
@click.option("--no-cache", is_flag=True,
              help="Neither read nor write results of earlier scans; none are kept so far.")
@click.option("--quiet", is_flag=True, help="No progress and no notices on standard error.")
@click.option("--no-progress", is_flag=True, help="No progress on standard error.")
def scan(
    image: str, targets: Sequence[Target], platform: str | None, fail_on: str, allow_incomplete: bool,
    show_secrets: bool, secrets: Sequence[str], secrets_from: Sequence[str], caches: Sequence[Path], jobs: int,
    no_cache: bool, quiet: bool, no_progress: bool,
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
    known = read_secrets(secrets, secrets_from, quiet)
    result, error = _scan(image, platform, fail_on, show_secrets, jobs, progress, known, caches)
    if error is not None:
        complain(error)
    written = report(result, targets or (Target("text"),), unavailable=error is not None)
    code = exit_code(result, allow_incomplete and error is None)
    sys.exit(code if written or code == EXIT_LEAKED else EXIT_INCOMPLETE)


def _scan(
    image: str, platform: str | None, fail_on: str, show_secrets: bool, jobs: int, progress: bool,
    known: Sequence[Known], caches: Sequence[Path],
) -> tuple[ScanResult, LeakscanError | None]:  # fmt: skip
    """The result, and the error if the image could not be opened."""
    from scanner import detection
    from scanner.evidence import Severity
    from scanner.image.source import add_cache, open_image
    from scanner.keys import installation_key
    from scanner.limits import Limits
    from scanner.progress import shown
    from scanner.scan import Options, unavailable
    from scanner.scan import scan as run

    gc.disable()  # one run, no cycles to speak of: thousands of findings are made and rendered without it
    limits = Limits.from_environment(os.environ)
    rules: Detection = detection.load(os.environ, known)
    with shown(progress) as display:
        try:
            opened = open_image(image, limits=limits, platform=platform, stdin=sys.stdin.buffer,
                                progress=display.received)  # fmt: skip
        except LeakscanError as error:
            return unavailable(image, "", error, rules.rules_digest, known), error
        try:
            for cache in caches:
                opened = add_cache(opened, cache, limits)
            least = None if fail_on == "never" else Severity(fail_on)
            options = Options(limits, jobs, installation_key(os.environ), least, show_secrets)
            display.expect(opened)
            return run(opened, rules, options, display.advance), None
        except LeakscanError as error:
            return unavailable(image, opened.source, error, rules.rules_digest, known), error
        except OSError as error:
            failure = LeakscanError(f"the scan cannot go on: {error.strerror}", "Free some space in TMPDIR, or set it.")
            return unavailable(image, opened.source, failure, rules.rules_digest, known), failure
        finally:
            opened.close()


def report(result: ScanResult, targets: Sequence[Target], unavailable: bool) -> bool:
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
            complain(error)
    return written


def exit_code(result: ScanResult, allow_incomplete: bool) -> int:
    """The exit code that a verdict has."""
    from scanner.evidence import Verdict

    if result.verdict is Verdict.LEAKED:
        return EXIT_LEAKED
    if result.verdict is Verdict.INCOMPLETE and not allow_incomplete:
        return EXIT_INCOMPLETE
    return EXIT_CLEAN

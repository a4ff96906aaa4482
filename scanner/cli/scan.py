"""`leakscan scan IMAGE`: one image, its report, an exit code."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanner.cli.caches import CacheType
from scanner.cli.common import (
    EXIT_CLEAN,
    EXIT_INCOMPLETE,
    EXIT_LEAKED,
    SEVERITIES,
    FormatType,
    ImageType,
    apart,
    complain,
)
from scanner.cli.common import platform as platform_option
from scanner.cli.configured import (
    ConfiguredCommand,
    baseline_option,
    config_option,
    environment,
    own_rules,
    policy,
    rules_option,
)
from scanner.cli.secrets import read_secrets, secret_options
from scanner.errors import LeakscanError
from scanner.output import FORMATS, Target, render, setting_of, write

if TYPE_CHECKING:
    from scanner.detect.known.parts import Known
    from scanner.evidence import ScanResult
    from scanner.image.metadata import BuildMetadata
    from scanner.image.model import OpenedImage
    from scanner.report.setting import Setting
    from scanner.scan import Detection


@click.command(cls=ConfiguredCommand)
@click.argument("image", required=False, default="", type=ImageType())
@click.option("--format", "targets", type=FormatType(), multiple=True, callback=apart,
              help=f"Report as {', '.join(FORMATS)}; to a file if one is named. Repeatable. [default: text]")
@click.option("--metadata-file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="What docker buildx build --metadata-file wrote: names the image, which must be the one built.")
@click.option("--platform", metavar="OS/ARCH[/VARIANT]|all", callback=platform_option,
              help="Which platform of the image. [default: all present]")
@click.option("--fail-on", type=click.Choice(SEVERITIES), default="low", show_default=True,
              help="The least severity that makes the exit code 1.")
@click.option("--allow-incomplete", is_flag=True, help="Exit 0, not 3, if nothing was found but not all was read.")
@rules_option
@baseline_option
@config_option
@click.option("--dockerfile", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="PATH",
              help="What the image was built from: findings name its lines, and fixes are diffs against it.")
@click.option("--show-secrets", is_flag=True, help="Show the values that were found. Mind where the report goes.")
@click.option("--show-suppressed", is_flag=True,
              help="In JSON, list what looked like a secret and was judged to be none, with the reason. Takes longer.")
@secret_options
@click.option("--cache-from", "caches", type=CacheType(), multiple=True,
              help="A build cache to scan with the image, in the words of docker buildx build; repeatable.")
@click.option("--jobs", type=click.IntRange(1, 256), default=lambda: os.cpu_count() or 1, metavar="N",
              help="Processes that work at a time. [default: one for each processor]")
@click.option("--no-cache", is_flag=True,
              help="Neither read nor write results of earlier scans; a scan keeps none.")
@click.option("--quiet", is_flag=True, help="No progress and no notices on standard error.")
@click.option("--no-progress", is_flag=True, help="No progress on standard error.")
def scan(
    image: str, targets: Sequence[Target], metadata_file: Path | None, platform: str | None, fail_on: str,
    allow_incomplete: bool, dockerfile: Path | None, show_secrets: bool, show_suppressed: bool,
    secrets: Sequence[str], secrets_from: Sequence[str], caches: Sequence[Path], jobs: int, no_cache: bool,
    quiet: bool, no_progress: bool,
) -> None:
    """Scan one image and print the report.

    IMAGE is a name (name[:tag][@digest]; from the local engine if it has the image, else from its registry), a path
    (an archive of docker save, podman, skopeo or buildx, compressed or not, or an OCI layout), or - for an archive on
    standard input. docker:, podman:, registry:, docker-archive:, oci-archive:, oci-dir: and dir: before it say which
    is meant.

    Exit codes: 0 every byte was looked at and nothing was found, 1 something leaked, 2 wrong usage, 3 the scan could
    not be done or is incomplete and nothing was found.
    """  # fmt: skip
    del no_cache  # results of earlier scans are not kept
    if not image and metadata_file is None:
        raise click.UsageError("Missing argument 'IMAGE': a name, a path, or - for standard input.")
    progress = sys.stderr.isatty() and not (quiet or no_progress)
    known = read_secrets(secrets, secrets_from, quiet)
    asked = Asked(image, metadata_file, platform, fail_on, dockerfile, show_secrets, show_suppressed, jobs, progress,
                  known, tuple(caches))  # fmt: skip
    result, error = perform(asked)
    if error is not None:
        complain(error)
        tell_near(image, error)
    if not quiet and targets and Target("text") not in targets:
        _remind(result)
    targets = targets or (Target("text"),)
    written = report(result, targets, unavailable=error is not None)
    _tell_actions(result, targets, quiet)
    code = exit_code(result, allow_incomplete and error is None)
    sys.exit(code if written or code == EXIT_LEAKED else EXIT_INCOMPLETE)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the words of a command ask of a scan.

    Attributes:
        image: the reference, empty if *metadata_file* names it.
        fail_on: a severity or `never`.
        progress: show it on standard error.
        known: secrets that the user gave.
        caches: directories of build caches to be scanned with the image.
    """

    image: str
    metadata_file: Path | None = None
    platform: str | None = None
    fail_on: str = "low"
    dockerfile: Path | None = None
    show_secrets: bool = False
    show_suppressed: bool = False
    jobs: int = 1
    progress: bool = False
    known: tuple[Known, ...] = ()
    caches: tuple[Path, ...] = ()


def perform(asked: Asked) -> tuple[ScanResult, LeakscanError | None]:
    """The result, and the error if the image could not be opened."""
    from scanner import detection
    from scanner.evidence import Severity
    from scanner.image.dockerfile import read
    from scanner.image.metadata import read_metadata
    from scanner.image.source import add_cache, open_image
    from scanner.keys import installation_key
    from scanner.limits import Limits
    from scanner.progress import shown
    from scanner.scan import Options, unavailable
    from scanner.scan import scan as run

    recipe = read(asked.dockerfile) if asked.dockerfile else None
    gc.disable()  # one run, no cycles to speak of: thousands of findings are made and rendered without it
    limits, key, own = Limits.from_environment(environment()), installation_key(os.environ), own_rules()
    accepted = policy(key, own)
    rules: Detection = detection.load(os.environ, own, asked.known)
    image, file = asked.image, asked.metadata_file
    with shown(asked.progress) as display:
        try:
            built = read_metadata(file, limits) if file else None
            image = image or (built.reference if built else "")
            opened = open_image(image, limits=limits, platform=asked.platform, stdin=sys.stdin.buffer,
                                progress=display.received)  # fmt: skip
            if built:
                _named(opened, built)
        except LeakscanError as error:
            return unavailable(image or str(file), "", error, rules.rules_digest, asked.known), error
        try:
            least = None if asked.fail_on == "never" else Severity(asked.fail_on)
            options = Options(limits, asked.jobs, key, least, asked.show_secrets, asked.show_suppressed, accepted,
                              recipe, asked.platform, len(asked.caches))  # fmt: skip
            for cache in asked.caches:
                opened = add_cache(opened, cache, limits)
            display.expect(opened)
            return run(opened, rules, options, display.advance), None
        except LeakscanError as error:
            return unavailable(image, opened.source, error, rules.rules_digest, asked.known), error
        except OSError as error:
            failure = LeakscanError(f"the scan cannot go on: {error.strerror}", "Free some space in TMPDIR, or set it.")
            return unavailable(image, opened.source, failure, rules.rules_digest, asked.known), failure
        finally:
            opened.close()


def _remind(result: ScanResult) -> None:
    """What has expired, where no text report on standard output says so."""
    from scanner.report.escape import text
    from scanner.suppress import EXPIRED

    for note in result.notes:
        if note.startswith(EXPIRED):
            click.echo(f"leakscan: {text(note)}", err=True)


def tell_near(image: str, error: LeakscanError) -> None:
    """What a name that leads nowhere may have meant: a command of ours, a file, an image of the engine."""
    from scanner.cli import suggest
    from scanner.cli.main import COMMANDS
    from scanner.errors import ImageUnavailable, InvalidReference
    from scanner.report.escape import text

    if isinstance(error, (ImageUnavailable, InvalidReference)):
        near, meant = suggest.command(image, COMMANDS), suggest.image(image)
        if near or meant:
            words = [*([f"the command `leakscan {near}`"] if near else []), *([text(meant)] if meant else [])]
            click.echo(f"  Did you mean {' or '.join(words)}?", err=True)


def _named(opened: OpenedImage, built: BuildMetadata) -> None:
    """Check that it is the image that was built, and report it under the name it was built as."""
    try:
        built.check(opened)
    except LeakscanError:
        opened.close()
        raise
    opened.reference = built.names[0] if built.names else opened.reference


def report(result: ScanResult, targets: Sequence[Target], unavailable: bool) -> bool:
    """Write every report that can be written; False if one could not."""
    written = True
    setting = _setting(targets)
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for target in targets:
        if unavailable and target.format == "text" and target.file is None:
            continue  # the message on standard error says it all
        try:
            own = replace(setting, color=color and target.file is None)
            write(target, render(result, target.format, own))
        except LeakscanError as error:
            written = False
            complain(error)
    return written


def _setting(targets: Sequence[Target]) -> Setting:
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    return setting_of(targets, os.environ, width, time.time())


def _tell_actions(result: ScanResult, targets: Sequence[Target], quiet: bool) -> None:
    """Annotations and summary where GitHub Actions runs this. The runner reads both streams of a job."""
    from scanner.actions import annotate, append_summary, under_actions

    if not under_actions(os.environ):
        return
    setting = _setting(targets)
    if not quiet:
        click.echo(annotate(result, targets, setting), nl=False, err=True)
    try:
        append_summary(result, os.environ, setting)
    except LeakscanError as error:
        complain(error)


def exit_code(result: ScanResult, allow_incomplete: bool) -> int:
    """The exit code that a verdict has."""
    from scanner.evidence import Verdict

    if result.verdict is Verdict.LEAKED:
        return EXIT_LEAKED
    if result.verdict is Verdict.INCOMPLETE and not allow_incomplete:
        return EXIT_INCOMPLETE
    return EXIT_CLEAN

"""`leakscan scan IMAGE`: one image, its report, an exit code."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanner.cli.caches import Cache, CacheType, with_cache
from scanner.cli.common import (
    EXIT_CLEAN,
    EXIT_INCOMPLETE,
    EXIT_LEAKED,
    FileType,
    FormatType,
    ImageType,
    apart,
    colored,
    complain,
    out_of_room,
    put,
)
from scanner.cli.common import platform as platform_option
from scanner.cli.configured import (
    ConfiguredCommand,
    baseline_option,
    config_option,
    environment,
    own_rules,
    policy,
    rules_given,
    rules_option,
)
from scanner.cli.options import (
    allow_incomplete_option,
    fail_on_option,
    jobs_option,
    no_progress_option,
    quiet_option,
    show_secrets_option,
)
from scanner.cli.secrets import read_secrets, secret_options
from scanner.errors import LeakscanError
from scanner.report.output import FORMATS, Target, pieces, setting_of

if TYPE_CHECKING:
    from scanner.accept.policy import Policy
    from scanner.cache.layers import CachedLayers
    from scanner.cache.results import CachedResults
    from scanner.detect.known.parts import Known
    from scanner.detect.userrules import UserRules
    from scanner.evidence import ScanResult, Severity
    from scanner.image.dockerfile import Dockerfile
    from scanner.image.metadata import BuildMetadata
    from scanner.image.model import OpenedImage
    from scanner.limits import Limits
    from scanner.report.setting import Setting
    from scanner.request import Detection


#: said where a layer was not read because of what an engine says that it is
_BELIEVED = ("layers that an earlier scan read were not read again; that the engine still holds the same ones is taken "
             "from its records")  # fmt: skip


@click.command(cls=ConfiguredCommand)
@click.argument("image", required=False, default="", type=ImageType())
@click.option("--format", "targets", type=FormatType(), multiple=True, callback=apart,
              help=f"Report as {', '.join(FORMATS)}; to a file if one is named. Repeatable. [default: text]")
@click.option("--metadata-file", type=FileType(), metavar="FILE",
              help="What docker buildx build --metadata-file wrote: names the image, which must be the one built.")
@click.option("--platform", metavar="OS/ARCH[/VARIANT]|all", callback=platform_option,
              help="Which platform of the image. [default: all present]")
@fail_on_option
@allow_incomplete_option
@rules_option
@baseline_option
@config_option
@click.option("--dockerfile", type=FileType(), metavar="PATH",
              help="What the image was built from: findings name its lines, and fixes are diffs against it.")
@show_secrets_option
@click.option("--show-suppressed", is_flag=True,
              help="In JSON, list what looked like a secret and was judged to be none, with the reason. Takes longer.")
@secret_options
@click.option("--cache-from", "caches", type=CacheType(), multiple=True,
              help="A build cache to scan with the image, in the words of docker buildx build; repeatable.")
@jobs_option
@click.option("--no-cache", is_flag=True,
              help="Neither read nor write results of earlier scans.")
@quiet_option
@no_progress_option
def scan(
    image: str, targets: Sequence[Target], metadata_file: Path | None, platform: str | None, fail_on: str,
    allow_incomplete: bool, dockerfile: Path | None, show_secrets: bool, show_suppressed: bool,
    secrets: Sequence[str], secrets_from: Sequence[str], caches: Sequence[Cache], jobs: int, no_cache: bool,
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
    if not image and metadata_file is None:
        raise click.UsageError("Missing argument 'IMAGE': a name, a path, or - for standard input.")
    progress = sys.stderr.isatty() and not (quiet or no_progress)
    known = read_secrets(secrets, secrets_from, quiet)
    asked = Asked(image, metadata_file, platform, fail_on, dockerfile, show_secrets, show_suppressed, jobs, progress,
                  known, tuple(caches), not no_cache)  # fmt: skip
    result, error = perform(asked)
    if error is not None:
        complain(error)
    if not quiet and targets and Target("text") not in targets:
        _remind(result)
    targets = targets or (Target("text"),)
    written = report(result, targets, unavailable=error is not None)
    if error is not None:
        tell_near(image, error)
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
        cached: results of earlier scans may be used, and this one's kept.
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
    caches: tuple[Cache, ...] = ()
    cached: bool = False


def perform(asked: Asked) -> tuple[ScanResult, LeakscanError | None]:
    """The result, and the error if the image could not be opened."""
    from scanner.evidence import Severity
    from scanner.image.dockerfile import read
    from scanner.image.metadata import read_metadata
    from scanner.limits import Limits
    from scanner.secrecy.keys import installation_key

    recipe = read(asked.dockerfile) if asked.dockerfile else None
    gc.disable()  # one run, no cycles to speak of: thousands of findings are made and rendered without it
    limits, key = Limits.from_environment(environment()), installation_key(os.environ)
    built = read_metadata(asked.metadata_file, limits) if asked.metadata_file else None
    own = own_rules() if rules_given() else None
    accepted = policy(key, own)
    least = None if asked.fail_on == "never" else Severity(asked.fail_on)
    run = _Run(asked, limits, key, own, accepted, least, recipe, built)
    earlier = _Earlier.of(run)
    if earlier is not None and (found := earlier.result()) is not None:
        return found, None
    result, error = _scanned(run, earlier)
    if earlier is not None and error is None:
        earlier.keep(result)
    return result, error


@dataclass(frozen=True, slots=True)
class _Run:
    """What a command asked, and what settings and files make of it."""

    asked: Asked
    limits: Limits
    key: bytes
    own: UserRules | None
    policy: Policy
    fail_on: Severity | None
    recipe: Dockerfile | None
    built: BuildMetadata | None


class _Earlier:
    """Results of earlier scans, for one run."""

    def __init__(self, run: _Run, program: str) -> None:
        from scanner.cache.entries import Entries

        self._run, self._rules = run, f"{program} {run.own.digest if run.own else ''}"
        self.entries = Entries.of(os.environ, run.key)
        self._started = time.monotonic()
        self._image = self._note = ""
        if not run.asked.caches and run.asked.metadata_file is None and not run.policy.gaps:
            from scanner.cache.results import identity_of

            self._image, self._note = identity_of(run.asked.image, run.asked.platform)

    @classmethod
    def of(cls, run: _Run) -> _Earlier | None:
        """None if this run needs values, which are not kept, or may not use earlier results."""
        from scanner.cache import program
        from scanner.secrecy.keys import lasts

        asked = run.asked
        if not asked.cached or asked.show_secrets or asked.show_suppressed or asked.known or run.policy.acceptors:
            return None
        if not lasts(os.environ):  # nobody could use what this run keeps
            return None
        try:
            return cls(run, program.digest())
        except OSError:  # the program's own files cannot be read
            return None

    def result(self) -> ScanResult | None:
        """That of an earlier scan of the same image."""
        found = self._results().get(self._image, self._run.fail_on) if self._image else None
        if found is None:
            return None
        notes = (*found.notes, self._note) if self._note else found.notes
        return replace(found, seconds=time.monotonic() - self._started, notes=notes)

    @cached_property
    def layers(self) -> CachedLayers:
        """What earlier scans gave for layers."""
        from scanner.cache.layers import CachedLayers
        from scanner.secrecy.seal import Seal

        return CachedLayers(self.entries, self._rules, self._run.limits, Seal(self._run.key))

    def layers_of(self, opened: OpenedImage, jobs: int) -> CachedLayers:
        """The same, once it is known which layers of *opened* they hold for."""
        from scanner.surfaces import blob_jobs

        self.layers.look(opened, blob_jobs(opened, self._run.limits), jobs)
        if self.layers.believed and opened.source != "registry":
            opened.notes = (*opened.notes, _BELIEVED)
        return self.layers

    def keep(self, result: ScanResult) -> None:
        """Keep a result if the image is still what it was, and let go of what does not fit any more."""
        from scanner.cache.results import identity_of

        if self._image and identity_of(self._run.asked.image, self._run.asked.platform)[0] == self._image:
            self._results().put(self._image, result)
        self.entries.trim()

    def _results(self) -> CachedResults:
        from scanner.cache.results import CachedResults

        run, asked = self._run, self._run.asked
        recipe = run.recipe.digest if run.recipe else ""
        asked_for = (asked.image, asked.platform or "", recipe, repr(run.policy.notes))
        return CachedResults(self.entries, (self._rules, repr(run.limits), *asked_for))


def _scanned(run: _Run, earlier: _Earlier | None) -> tuple[ScanResult, LeakscanError | None]:
    """The result of reading the image, and the error if it could not be opened."""
    from scanner import detection
    from scanner.detect import userrules
    from scanner.image.source import open_image
    from scanner.progress import shown
    from scanner.request import Options
    from scanner.result import unavailable
    from scanner.scan import pool_for
    from scanner.scan import scan as perform_scan
    from scanner.work.ahead import Ahead

    asked, limits = run.asked, run.limits
    rules: Detection = detection.load(os.environ, run.own or userrules.NONE, asked.known)
    options = Options(limits, asked.jobs, run.key, run.fail_on, asked.show_secrets, asked.show_suppressed,
                      run.policy, run.recipe, asked.platform, len(asked.caches))  # fmt: skip
    image, built = asked.image, run.built

    def known(name: str) -> bool:
        return earlier is not None and earlier.layers.may_have(name)

    with (
        shown(asked.progress) as display,
        closing(Ahead(lambda: pool_for(rules, options, display.advance), display.received, known)) as ahead,
    ):
        try:
            image = image or (built.reference if built else "")
            opened = open_image(image, limits=limits, platform=asked.platform, stdin=sys.stdin.buffer, carry=ahead)
            if built:
                _named(opened, built)
        except LeakscanError as error:
            return unavailable(image or str(asked.metadata_file), "", error, rules.rules_digest, asked.known), error
        try:
            for cache in asked.caches:
                opened = with_cache(opened, cache, limits)
            display.expect(opened)
            kept = earlier.layers_of(opened, asked.jobs) if earlier is not None else None
            return perform_scan(opened, rules, options, display.advance, kept, ahead.pool), None
        except LeakscanError as error:
            return unavailable(image, opened.source, error, rules.rules_digest, asked.known), error
        except OSError as error:
            failure = out_of_room(error)
            return unavailable(image, opened.source, failure, rules.rules_digest, asked.known), failure
        finally:
            opened.close()


def _remind(result: ScanResult) -> None:
    """What has expired, where no text report on standard output says so."""
    from scanner.accept.policy import EXPIRED
    from scanner.report.escape import text

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
    color = colored()
    for target in targets:
        if unavailable and target.format == "text" and target.file is None:
            continue  # the message on standard error says it all
        own = replace(setting, color=color and target.file is None)
        written = put(target, pieces(result, target.format, own)) and written
    return written


def _setting(targets: Sequence[Target]) -> Setting:
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    return setting_of(targets, os.environ, width, time.time())


def _tell_actions(result: ScanResult, targets: Sequence[Target], quiet: bool) -> None:
    """Annotations and summary where GitHub Actions runs this. The runner reads both streams of a job."""
    from scanner.report.actions import annotate, append_summary, under_actions

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

"""`leakscan verify REPORT.json [IMAGE]`: reads the image again and checks every claim of a report."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scanner import userfile
from scanner.cli.caches import Cache, CacheType, with_cache
from scanner.cli.common import EXIT_CLEAN, EXIT_INCOMPLETE, EXIT_LEAKED, FileType, put
from scanner.cli.configured import (
    ConfiguredCommand,
    OwnOption,
    baseline_option,
    config_option,
    environment,
    own_rules,
    policy,
    rules_option,
)
from scanner.cli.options import jobs_option, no_progress_option, quiet_option
from scanner.cli.secrets import read_secrets, secret_options
from scanner.errors import LeakscanError, UnusableFile
from scanner.report.output import Target

if TYPE_CHECKING:
    from scanner.accept.policy import Policy
    from scanner.detect.known.parts import Known
    from scanner.image.dockerfile import Dockerfile
    from scanner.request import Options
    from scanner.verify.claim import Check

_LARGEST = 1 << 30


@click.command(cls=ConfiguredCommand)
@click.argument("report", type=FileType(None, allow_dash=True))
@click.argument("image", required=False)
@click.option("--format", "format_", cls=OwnOption, type=click.Choice(["text", "json"]), default="text",
              show_default=True, help="How to print the checks.")
@secret_options
@click.option("--cache-from", "caches", type=CacheType(), multiple=True,
              help="A build cache that was scanned with the image; repeatable.")
@click.option("--dockerfile", type=FileType(), metavar="PATH",
              help="The Dockerfile that was given to the scan.")
@rules_option
@baseline_option
@config_option
@jobs_option
@quiet_option
@no_progress_option
def verify(
    report: str, image: str | None, format_: str, secrets: Sequence[str], secrets_from: Sequence[str],
    caches: Sequence[Cache], dockerfile: Path | None, jobs: int, quiet: bool, no_progress: bool,
) -> None:
    """Check a JSON report against the image.

    The image is read again, by default under the name that the report has, or from any other source that holds it.
    Digests are compared, every finding's bytes are proved by their HMAC, and the scan is repeated: whatever in the
    report follows from the image must be said again. Give what the scan was given: --secret, --baseline, --config,
    --rules, --dockerfile, --cache-from.

    Exit codes: 0 all confirmed, 1 something differs, 2 wrong usage, 3 something could not be read or repeated.
    """  # fmt: skip
    from scanner.image.dockerfile import read
    from scanner.verify.claim import Outcome
    from scanner.verify.document import read_report, reference_of

    known = read_secrets(secrets, secrets_from, quiet)
    recipe = read(dockerfile) if dockerfile else None
    document = read_report(_load(report))
    own = reference_of(document)
    if image == "":
        raise click.UsageError("No image is named.")
    reference = image or own
    if not reference:
        raise click.UsageError("The report is of an archive on standard input: name the image to read.")
    progress = sys.stderr.isatty() and not (quiet or no_progress)
    given = _Given(reference, reference == own, known, tuple(caches), recipe, jobs, progress)
    checks = _checks(given, document)
    told = put(Target(format_), [_text(checks) if format_ == "text" else _json(checks)])
    outcomes = {check.outcome for check in checks}
    code = EXIT_INCOMPLETE if Outcome.UNREADABLE in outcomes or not told else EXIT_CLEAN
    sys.exit(EXIT_LEAKED if Outcome.DIFFERS in outcomes else code)


def _load(path: str) -> Any:
    """The JSON document in a file, or on standard input. Raises LeakscanError."""
    try:
        if path == "-":
            return json.loads(userfile.bounded(sys.stdin.buffer, "standard input", _LARGEST))
        return json.loads(userfile.read(Path(path), _LARGEST))
    except OSError as error:
        raise UnusableFile(f"standard input cannot be read: {error.strerror or 'input/output error'}") from None
    except (ValueError, RecursionError):
        raise LeakscanError("this is no JSON document", "Give a file that leakscan --format json wrote.") from None


@dataclass(frozen=True, slots=True)
class _Given:
    """What the words of the command give. *named*: the reference is the report's own."""

    reference: str
    named: bool
    known: Sequence[Known]
    caches: Sequence[Cache]
    dockerfile: Dockerfile | None
    jobs: int
    progress: bool


def _checks(given: _Given, report: Any) -> list[Check]:
    from scanner import detection
    from scanner.image.arriving import here
    from scanner.image.source import open_image
    from scanner.limits import Limits
    from scanner.progress import shown
    from scanner.request import Options
    from scanner.scan import scan
    from scanner.secrecy.keys import installation_key
    from scanner.verify.claim import Check, Outcome
    from scanner.verify.document import unrepeatable
    from scanner.verify.image import fitting, terms_of
    from scanner.verify.image import verify as run

    limits, key, own = Limits.from_environment(environment()), installation_key(os.environ), own_rules()
    policy_ = replace(policy(key, own), notes=())  # what the files of this run say is no claim of the report
    rules = detection.load(os.environ, own, given.known)
    reason = unrepeatable(report, rules.rules_digest, limits)
    settings = {} if reason else report["settings"]
    with shown(given.progress) as display:
        opened = open_image(given.reference, limits=limits, platform=_word(settings.get("platform")),
                            stdin=sys.stdin.buffer, carry=here(display.received))  # fmt: skip
        try:
            opened = fitting(opened, report)
            for cache in given.caches:
                opened = with_cache(opened, cache, limits)
            display.expect(opened)
            options, terms, repeated = Options(limits, given.jobs, key), None, None
            if not reason:
                ids = [secret.id for secret in given.known]
                terms = terms_of(opened, report, given.named, ids, given.dockerfile is not None, len(given.caches))
                options = _options(options, settings, given, policy_, "ignored" in report)
                repeated = scan(opened, rules, options)
            elif given.known:
                repeated = scan(opened, detection.known_only(given.known), options)
            checks = run(opened, report, limits, given.jobs, repeated, display.advance, terms)
            return [*([Check("report", "scan", Outcome.UNREADABLE, reason)] if reason else []), *checks]
        except OSError as error:
            tip = "Free some space in TMPDIR, or set it."
            raise LeakscanError(f"the image cannot be read again: {error.strerror}", tip) from None
        finally:
            opened.close()


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _options(options: Options, settings: Any, given: _Given, accepted: Policy, ignored: bool) -> Options:
    """What was asked of the scan that a report is of, as far as it was given again."""
    from scanner.evidence import Severity

    recipe, path = given.dockerfile, _word(settings.get("dockerfile"))
    return replace(
        options,
        fail_on=None if settings["fail_on"] == "never" else Severity(settings["fail_on"]),
        show_secrets=settings.get("show_secrets") is True,
        show_suppressed=ignored,
        policy=accepted,
        dockerfile=replace(recipe, path=path) if recipe and path else recipe,
        platform=_word(settings.get("platform")),
        caches=len(given.caches),
    )


def _text(checks: Sequence[Check]) -> str:
    """What differs or could not be read, line by line, and how many checks came to what."""
    from scanner.report.escape import line, text
    from scanner.verify.claim import Outcome

    lines = [
        f"{check.outcome}: {check.claim} {text(check.name)}: {text(check.detail)}"
        for check in checks
        if check.outcome is not Outcome.CONFIRMED
    ]
    counts = {outcome: sum(check.outcome is outcome for check in checks) for outcome in Outcome}
    label = ("DIFFERS" if counts[Outcome.DIFFERS] else "UNREADABLE" if counts[Outcome.UNREADABLE] else "CONFIRMED")
    numbers = ", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number)
    return "".join(f"{line(each)}\n" for each in [*lines, f"{label}: {numbers or 'nothing was claimed'}"])


def _json(checks: Sequence[Check]) -> str:
    found = [{"claim": c.claim, "name": c.name, "outcome": c.outcome.value, "detail": c.detail} for c in checks]
    return json.dumps({"schema_version": "1", "checks": found}, indent=1, sort_keys=True) + "\n"

"""`leakscan verify REPORT.json [IMAGE]`: reads the image again and checks every claim of a report."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scanner.cli.caches import Cache, CacheType, with_cache
from scanner.cli.common import EXIT_CLEAN, EXIT_INCOMPLETE, EXIT_LEAKED
from scanner.cli.secrets import read_secrets, secret_options
from scanner.errors import LeakscanError

if TYPE_CHECKING:
    from scanner.detect.known.parts import Known
    from scanner.verify import Check

_LARGEST = 1 << 30


@click.command()
@click.argument("report", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.argument("image", required=False)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How to print the checks.")
@secret_options
@click.option("--cache-from", "caches", type=CacheType(), multiple=True,
              help="A build cache that was scanned with the image; repeatable.")
@click.option("--jobs", type=click.IntRange(1, 256), default=lambda: os.cpu_count() or 1, metavar="N",
              help="Processes that work at a time. [default: one for each processor]")
@click.option("--quiet", is_flag=True, help="No progress and no notices on standard error.")
@click.option("--no-progress", is_flag=True, help="No progress on standard error.")
def verify(
    report: str, image: str | None, format_: str, secrets: Sequence[str], secrets_from: Sequence[str],
    caches: Sequence[Cache], jobs: int, quiet: bool, no_progress: bool,
) -> None:
    """Check a JSON report against the image.

    The image is read again, by default under the name that the report has, or from any other source that holds it.
    Digests are compared, every finding's bytes are proved by their HMAC, and the search for each known secret is
    repeated if --secret gives its value again.

    Exit codes: 0 all confirmed, 1 something differs, 2 wrong usage, 3 something could not be read.
    """  # fmt: skip
    from scanner.verify import Outcome, read_report, reference_of

    known = read_secrets(secrets, secrets_from, quiet)
    document = read_report(_load(report))
    reference = image or reference_of(document)
    if not reference:
        raise click.UsageError("The report is of an archive on standard input: name the image to read.")
    progress = sys.stderr.isatty() and not (quiet or no_progress)
    checks = _checks(reference, document, known, caches, jobs, progress)
    click.echo(_text(checks) if format_ == "text" else _json(checks), nl=False)
    outcomes = {check.outcome for check in checks}
    code = EXIT_INCOMPLETE if Outcome.UNREADABLE in outcomes else EXIT_CLEAN
    sys.exit(EXIT_LEAKED if Outcome.DIFFERS in outcomes else code)


def _load(path: str) -> Any:
    """The JSON document in a file. Raises LeakscanError."""
    try:
        with click.open_file(path, "rb") as file:
            raw = file.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            raise LeakscanError(f"{Path(path).name} is larger than a report can be")
        return json.loads(raw)
    except OSError as error:
        raise LeakscanError(f"the report cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise LeakscanError("this is no JSON document", "Give a file that leakscan --format json wrote.") from None


def _checks(
    reference: str, report: Any, known: Sequence[Known], caches: Sequence[Cache], jobs: int, progress: bool
) -> list[Check]:
    from scanner import detection
    from scanner.image.source import open_image
    from scanner.keys import installation_key
    from scanner.limits import Limits
    from scanner.progress import shown
    from scanner.scan import Options, scan
    from scanner.verify import verify as run

    limits = Limits.from_environment(os.environ)
    with shown(progress) as display:
        opened = open_image(reference, limits=limits, stdin=sys.stdin.buffer, progress=display.received)
        try:
            for cache in caches:
                opened = with_cache(opened, cache, limits)
            display.expect(opened)
            repeated = None
            if known:
                options = Options(limits, jobs, installation_key(os.environ))
                repeated = scan(opened, detection.known_only(known), options)
            return run(opened, report, limits, jobs, repeated, display.advance)
        except OSError as error:
            tip = "Free some space in TMPDIR, or set it."
            raise LeakscanError(f"the image cannot be read again: {error.strerror}", tip) from None
        finally:
            opened.close()


def _text(checks: Sequence[Check]) -> str:
    """What differs or could not be read, line by line, and how many checks came to what."""
    from scanner.report.escape import line, text
    from scanner.verify import Outcome

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

"""`leakscan builder`: what this machine's engine keeps of builds but never ships."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from scanner.cli.common import EXIT_INCOMPLETE, EXIT_LEAKED, FormatType, apart, complain, out_of_room
from scanner.cli.options import (
    allow_incomplete_option,
    fail_on_option,
    jobs_option,
    no_progress_option,
    quiet_option,
    show_secrets_option,
)
from scanner.cli.scan import exit_code, report
from scanner.cli.secrets import read_secrets, secret_options
from scanner.errors import LeakscanError
from scanner.report.output import FORMATS, Target

if TYPE_CHECKING:
    from scanner.detect.known.parts import Known
    from scanner.evidence import ScanResult


@click.command()
@click.option("--format", "targets", type=FormatType(), multiple=True, callback=apart,
              help=f"Report as {', '.join(FORMATS)}; to a file if one is named. Repeatable. [default: text]")
@fail_on_option
@allow_incomplete_option
@show_secrets_option
@secret_options
@jobs_option
@quiet_option
@no_progress_option
def builder(
    targets: Sequence[Target], fail_on: str, allow_incomplete: bool, show_secrets: bool, secrets: Sequence[str],
    secrets_from: Sequence[str], jobs: int, quiet: bool, no_progress: bool,
) -> None:
    """Scan what this machine's engine keeps of builds.

    That is the records of its build cache, with the full command line of every step, and images without a name: stages
    of the classic builder, and what rebuilds left behind. Each finding comes with the command that prunes it.

    Exit codes: 0 nothing was found, 1 something leaked, 2 wrong usage, 3 the engine cannot be read.
    """  # fmt: skip
    known = read_secrets(secrets, secrets_from, quiet)
    progress = sys.stderr.isatty() and not (quiet or no_progress)
    result, error = _scan(fail_on, show_secrets, jobs, progress, known)
    if error is not None:
        complain(error)
    written = report(result, targets or (Target("text"),), unavailable=error is not None)
    code = exit_code(result, allow_incomplete and error is None)
    sys.exit(code if written or code == EXIT_LEAKED else EXIT_INCOMPLETE)


def _scan(
    fail_on: str, show_secrets: bool, jobs: int, progress: bool, known: Sequence[Known]
) -> tuple[ScanResult, LeakscanError | None]:
    """The result, and the error if the engine could not be read."""
    from scanner import detection
    from scanner.evidence import Severity
    from scanner.image.kept import open_builder
    from scanner.leftovers import scan_builder
    from scanner.limits import Limits
    from scanner.progress import shown
    from scanner.request import Options
    from scanner.result import unavailable
    from scanner.secrecy.keys import installation_key

    limits = Limits.from_environment(os.environ)
    rules = detection.load(os.environ, secrets=known)
    name = "the engine's build cache"
    with shown(progress) as display:
        try:
            opened = open_builder(limits)
        except LeakscanError as error:
            return unavailable(name, "docker", error, rules.rules_digest, known), error
        except OSError as error:
            failure = out_of_room(error)
            return unavailable(name, "docker", failure, rules.rules_digest, known), failure
        try:
            least = None if fail_on == "never" else Severity(fail_on)
            options = Options(limits, jobs, installation_key(os.environ), least, show_secrets)
            return scan_builder(opened, rules, options, display.advance), None
        except OSError as error:
            failure = out_of_room(error)
            return unavailable(name, opened.source, failure, rules.rules_digest, known), failure
        finally:
            opened.close()

"""`leakscan audit TARGET`: every image of a registry, one report, an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

import click

from scanner.cli.common import (
    EXIT_CLEAN,
    EXIT_INCOMPLETE,
    EXIT_LEAKED,
    FormatType,
    apart,
    put,
    still_connections,
    tell_alone,
    tell_away,
)
from scanner.cli.common import platform as platform_option
from scanner.cli.options import (
    allow_incomplete_option,
    fail_on_option,
    jobs_option,
    no_progress_option,
    quiet_option,
    store_option,
)
from scanner.errors import InvalidReference
from scanner.report.output import Target as Output

if TYPE_CHECKING:
    from scanner.audit.run import Audit, Display, Elsewhere, Wanted
    from scanner.audit.summary import Summary
    from scanner.audit.targets import Target
    from scanner.evidence import Severity
    from scanner.request import Detection
    from scanner.store.database import Store

_FORMATS = ("text", "json", "csv", "html")


def _age(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    from scanner.audit.targets import parse_age

    try:
        return None if value is None else parse_age(value)
    except InvalidReference as error:
        raise click.BadParameter(f"{error.what}. {error.tip}", ctx, param) from None


@click.command()
@click.argument("target", required=False)
@click.option("--repos-file", type=click.File("r"), metavar="FILE",
              help="References instead of TARGET, one a line; without tag all tags of the repository. - is stdin.")
@click.option("--repository", "repositories", multiple=True, metavar="PATTERN",
              help="Only repositories like this (*, ?, [..]); repeatable.")
@click.option("--tag", "tags", multiple=True, metavar="PATTERN", help="Only tags like this; repeatable.")
@click.option("--newer-than", callback=_age, metavar="AGE", help="Only images made within 12h, 30d, 8w.")
@click.option("--platform", metavar="OS/ARCH[/VARIANT]|all", callback=platform_option,
              help="Which platform of images. [default: all]")
@click.option("--where", metavar="FINGERPRINT|id=NAME,src=FILE|env=VAR",
              help="Read nothing: say which images hold that secret, since when, and whether it is gone.")
@click.option("--format", "outputs", type=FormatType(_FORMATS), multiple=True, callback=apart,
              help="Report as text, json, csv or html, to a file if one is named; repeatable. [default: text]")
@fail_on_option
@allow_incomplete_option
@jobs_option
@store_option
@click.option("--distribute", is_flag=True,
              help="Leave the reading to `leakscan worker` processes on the same store, which must be PostgreSQL.")
@click.option("--urgent", is_flag=True, help="With --distribute: its images come before those of other audits.")
@quiet_option
@no_progress_option
def audit(
    target: str | None, repos_file: TextIO | None, repositories: tuple[str, ...], tags: tuple[str, ...],
    newer_than: int | None, platform: str | None, where: str | None, outputs: Sequence[Output], fail_on: str,
    allow_incomplete: bool, jobs: int, store: str | None, distribute: bool, urgent: bool, quiet: bool,
    no_progress: bool,
) -> None:
    """Scan every image of a registry, each distinct layer once.

    TARGET is HOST[:PORT], or HOST/PREFIX for the repositories of that name and below. What was read before by the same
    rules is not read again, in no image; an audit that was stopped goes on where it was.

    Exit codes: 0 every image was read and none leaks, 1 an image leaks, 2 wrong usage, 3 not everything could be read
    and no image leaks.
    """  # fmt: skip
    from scanner.audit.summary import summarize
    from scanner.evidence import Severity, Verdict
    from scanner.store.database import default_url, explained

    if where is not None:
        sys.exit(_where(where, store, outputs))
    if urgent and not distribute:
        raise click.UsageError("--urgent is for images that workers read: add --distribute.")
    targets = _targets(target, repos_file)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was read is told, and what waits is taken back
    least = None if fail_on == "never" else Severity(fail_on)
    shows = sys.stderr.isatty() and not (quiet or no_progress)
    rules, wanted = _wanted(jobs, platform, repositories, tags, newer_than)
    audits = _run(targets, store or default_url(os.environ), rules, wanted, shows, distribute, urgent, quiet)
    with explained():
        summary = summarize(audits, least)
        written = _report(audits, summary, least, rules.rules_digest, outputs or (Output("text"),))
    if summary.verdict is Verdict.LEAKED:
        sys.exit(EXIT_LEAKED)
    clean = summary.verdict is Verdict.CLEAN or allow_incomplete
    sys.exit(EXIT_CLEAN if clean and written else EXIT_INCOMPLETE)


def _targets(target: str | None, repos_file: TextIO | None) -> list[Target]:
    from scanner.audit.targets import parse_list, parse_target

    if (target is None) == (repos_file is None):
        raise click.UsageError("give either TARGET or --repos-file")
    try:
        return parse_list(repos_file) if repos_file is not None else [parse_target(target or "")]
    except InvalidReference as error:
        raise click.UsageError(f"{error.what}. {error.tip}") from None
    except (OSError, UnicodeDecodeError):
        raise click.UsageError("the list of references cannot be read") from None


def _wanted(
    jobs: int, platform: str | None, repositories: tuple[str, ...], tags: tuple[str, ...], newer_than: int | None
) -> tuple[Detection, Wanted]:
    from scanner import detection
    from scanner.audit.run import Wanted
    from scanner.audit.targets import Filters
    from scanner.limits import Limits
    from scanner.secrecy.keys import installation_key

    limits = Limits.from_environment(os.environ)
    chosen = None if platform == "all" else platform
    filters = Filters(repositories, tags, newer_than)
    return detection.load(os.environ), Wanted(limits, jobs, installation_key(os.environ), filters, chosen)


def _run(
    targets: Sequence[Target], url: str, rules: Detection, wanted: Wanted, shows: bool, distribute: bool,
    urgent: bool, quiet: bool,
) -> list[Audit]:
    from scanner.audit.display import Line
    from scanner.audit.run import Display
    from scanner.audit.run import audit as run
    from scanner.image.registry.client import Client
    from scanner.image.registry.settings import from_environment
    from scanner.store.database import open_store

    engine = open_store(url, away=(lambda: None) if quiet else tell_away)
    audits: list[Audit] = []
    line = Line(sys.stderr) if shows else None
    display: Display = line or Display()
    for target in targets:
        client = Client.connect(target.registry, from_environment(os.environ), wanted.limits, os.environ)
        try:
            elsewhere = _elsewhere(engine, url, target, rules, wanted, urgent, quiet) if distribute else None
            audits.append(run(client, target, engine, rules, wanted, display, elsewhere))
        finally:
            client.close()
            if line is not None:
                line.clear()
        if audits[-1].interrupted:
            break
    return audits


def _elsewhere(
    engine: Store, url: str, target: Target, rules: Detection, wanted: Wanted, urgent: bool, quiet: bool
) -> Elsewhere:
    """Has images of one registry read by workers."""
    from scanner.audit.queue import Priority, feeder
    from scanner.audit.run import rule_set
    from scanner.secrecy.seal import Seal

    about = {
        "host": target.registry.host, "rules": rule_set(rules, wanted.platform, wanted.limits),
        "key": Seal(wanted.key).identity, "platform": wanted.platform, "newer_than": wanted.filters.newer_than,
    }  # fmt: skip
    still_connections()
    alone = (lambda: None) if quiet else tell_alone
    return feeder(engine, url, about, Priority.INTERACTIVE if urgent else Priority.AUDIT, alone)


def _report(
    audits: Sequence[Audit], summary: Summary, least: Severity | None, rules_digest: str, outputs: Sequence[Output]
) -> bool:
    """Write every report that can be written; False if one could not."""
    from scanner.audit import report

    written = True
    for output in outputs:
        if output.format == "json":
            text = report.json(audits, least, rules_digest, summary)
        elif output.format == "csv":
            text = report.csv_table(audits, least, summary)
        elif output.format == "html":
            from scanner.audit import html

            text = html.render(audits, least, rules_digest)
        else:
            text = report.text(audits, least, summary)
        written = put(output, [text]) and written
    return written


def _where(words: str, store: str | None, outputs: Sequence[Output]) -> int:
    """Say where and when a secret was seen; 1 if an image has it now."""
    from scanner.audit import where
    from scanner.known import UnusableSecret
    from scanner.secrecy.keys import installation_key
    from scanner.store.database import default_url, explained, open_store

    if any(output.format not in ("text", "json") for output in outputs):
        raise click.UsageError("--where is told as text or json")
    engine = open_store(store or default_url(os.environ), away=tell_away, make=False)
    try:
        with explained():
            found = where.trails(engine, words, installation_key(os.environ), os.environ)
    except UnusableSecret as error:
        raise click.UsageError(f"{error.what}. {error.tip}".strip()) from None
    written = True
    for output in outputs or (Output("text"),):
        written = put(output, [where.json(found)] if output.format == "json" else map(where.text, found)) and written
    if any(each.current for each in found):
        return EXIT_LEAKED
    return EXIT_CLEAN if written else EXIT_INCOMPLETE

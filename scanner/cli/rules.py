"""`leakscan rules`: the rule pack as a list, one rule explained, a pack of the user's own tested."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanner.cli.common import EXIT_CLEAN, EXIT_LEAKED, FileType, colored
from scanner.cli.configured import own_rules, rules_option

if TYPE_CHECKING:
    from scanner.detect.entries import Entry

_SEVERITIES = ("critical", "high", "medium", "low")


@click.group()
def rules() -> None:
    """What leakscan looks for, and rules of your own."""


@rules.command("list", short_help="List all rules, or those that hold some words.")
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option("--severity", type=click.Choice(_SEVERITIES), multiple=True, help="Only these; repeatable.")
@click.option("--format", "form", type=click.Choice(("text", "json", "markdown")), default="text", show_default=True,
              help="How the list is written.")
@rules_option
def list_(words: Sequence[str], severity: Sequence[str], form: str) -> None:
    """List all rules, or those in which each WORD occurs: in the id, the title, the group or what a holder gains.

    \b
      leakscan rules list
      leakscan rules list aws key
      leakscan rules list --severity critical github
    """  # fmt: skip
    from scanner.report import rules as paper

    everything = _entries()
    found = [entry for entry in everything if _fits(entry, words) and (not severity or entry.severity in severity)]
    if form == "json":
        text = paper.document(found)
    elif form == "markdown":
        text = paper.page_of(found) if len(found) == len(everything) else paper.tables(found)
    else:
        text = paper.listing(found, len(everything), width=_width(), color=colored())
    click.echo(text, nl=False)


@rules.command("show", short_help="Explain one rule, with an example.")
@click.argument("rule_id", metavar="ID")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True,
              help="How the rule is written.")
@rules_option
def show(rule_id: str, form: str) -> None:
    """Explain one rule: what it finds, how sure that is, what it is worth, how it is checked, with an example.

    ID is what a report names as rule_id.
    """  # fmt: skip
    from scanner.report import rules as paper
    from scanner.userfile import suggestion

    everything = {entry.id: entry for entry in _entries()}
    entry = everything.get(rule_id)
    if entry is None:
        near = suggestion(rule_id, everything)
        tip = near if near.startswith("Did") else "`leakscan rules list` names all."
        raise click.BadParameter(f"there is no rule {rule_id!r}. {tip}", param_hint="ID")
    text = paper.one(entry) if form == "json" else paper.explained(entry, width=_width(), color=colored())
    click.echo(text, nl=False)


@rules.command("check", short_help="Test rule files and show what they cost.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=FileType())
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True,
              help="How the result is written.")
def check(files: Sequence[Path], form: str) -> None:
    """Test rule files: every rule must be sound, find its examples and be silent on its negatives.

    Also shown is what each rule costs: the size of its compiled expressions, its time as a share of the time that the
    built-in pack takes on the same bytes, and how often it wakes.

    Exit codes: 0 all is sound, 1 a rule is wrong, 2 a file cannot be read.
    """  # fmt: skip
    from scanner.report import rules as paper
    from scanner.rulecheck import check as test

    results = [test(path) for path in files]
    if form == "json":
        click.echo(paper.check_document(results), nl=False)
    else:
        for result in results:
            click.echo(paper.checked(result, width=_width(), color=colored()), nl=False)
    sys.exit(EXIT_CLEAN if all(result.sound for result in results) else EXIT_LEAKED)


def _entries() -> tuple[Entry, ...]:
    from scanner.detect.entries import entries
    from scanner.report.escape import text

    own = own_rules()
    for remark in own.remarks:
        click.echo(f"leakscan: {text(remark)}", err=True)
    return entries(own)


def _fits(entry: Entry, words: Sequence[str]) -> bool:
    text = " ".join((entry.id, entry.title, entry.group, entry.gains, entry.detector)).lower()
    return all(word.lower() in text for word in words)


def _width() -> int:
    return min(shutil.get_terminal_size((100, 24)).columns, 120)

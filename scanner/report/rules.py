"""Rules on paper: the list, one rule explained, the result of a check, and the page docs/rules.md."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from scanner.detect import describe, templates
from scanner.detect.checks import CHECKS
from scanner.detect.entries import CONTEXT, Entry
from scanner.detect.foreign import ForeignRule
from scanner.evidence import Confidence
from scanner.report.lines import SEVERITY, Page, Style, amount, counted
from scanner.rulecheck import Checked, Tested
from scanner.rulecost import Cost

_SURE = {
    Confidence.HIGH: "a match is enough to be sure",
    Confidence.MEDIUM: "likely a secret by its shape",
    Confidence.LOW: "a hint; reported, never gated",
}
_VALUES = {
    "password": "placeholders, variables and words of documentation are no passwords",
    "url-password": "placeholders and variables are no passwords",
    "env-url-password": "placeholders and variables are no passwords",
    "login-line": "placeholders and variables are no passwords, nor are words in a program",
    "assigned": "placeholders, variables, code and names are no values",
    "random": "the value must look random",
    "anything": "the value is taken as it is",
}
_INTRO = """# Rules

Made from the rule pack by `make rules-page`; not to be edited by hand.

`leakscan rules list [WORD]...` searches this list, `leakscan rules show ID` explains one rule with a made-up example,
`leakscan rules check FILE` tests rules of your own ([own-rules.md](own-rules.md)). *Severity* is what an attacker
gains, *confidence* how sure the rule alone makes it that the value is a secret; offline checks and the place where it
stands move the confidence up or down. A finding counts (it is *gated*) from confidence medium and `--fail-on` on.
"""
_COLUMNS = """| rule | what it is | severity | confidence | looks like | checked offline |
|---|---|---|---|---|---|"""
_BY_NAME = """\
Values without a shape of their own (32 hexadecimal digits, a UUID) count where the name of an issuer and a
word such as key or token stand near, and the value looks random. Each is the rule `context.NAME`, severity
high, confidence medium.
"""


def listing(entries: Sequence[Entry], total: int, *, width: int, color: bool) -> str:
    """The list by group; *total* is how many there are without any filter."""
    page = Page(width, color)
    for group, members in groupby(entries, key=lambda entry: entry.group):
        rows = list(members)
        pad = min(max(len(row.id) for row in rows), width // 2)
        page.blank()
        page.say(f"{group} ({len(rows)})", style=Style.BOLD)
        if group == CONTEXT and len(rows) > 40:
            page.say(", ".join(row.id.removeprefix("context.") for row in rows), indent=2)
            page.say("Each is the rule context.NAME, severity high, confidence medium.", indent=2)
            continue
        for row in rows:
            level = page.paint(f"{row.severity.value:<8}", SEVERITY[row.severity])
            doubt = "" if row.confidence is not Confidence.LOW else " (hint)"
            _row(page, row.id.ljust(pad), level, f"{row.title}{doubt}", pad)
    page.blank()
    if not entries:
        page.say("No rule fits. `leakscan rules list` without words lists all.")
    elif len(entries) < total:
        page.say(f"{len(entries):,} of {counted(total, 'rule')}. `leakscan rules show ID` explains one.")
    else:
        page.say(f"{counted(total, 'rule')}. Words filter: `leakscan rules list aws key`; `leakscan rules show ID` "
                 "explains one.")  # fmt: skip
    return str(page)


def _row(page: Page, id: str, level: str, title: str, pad: int) -> None:
    page.line(f"  {id}  {level}  ", title, indent=pad + 14)


def explained(entry: Entry, *, width: int, color: bool) -> str:
    """One rule in plain words, with an example made for the occasion."""
    page = Page(width, color)
    page.say(entry.title, label=f"{entry.id}  ", style=Style.BOLD)
    if entry.gains:
        _field(page, "a holder", entry.gains)
    _field(page, "severity", entry.severity.value)
    _field(page, "confidence", f"{entry.confidence.value}: {_SURE[entry.confidence]}")
    _field(page, "from", f"{entry.group}{f' ({entry.file})' if entry.file else ''}")
    _shape(page, entry)
    if entry.rule is not None:
        _more(page, entry)
    return str(page)


def _field(page: Page, label: str, text: str) -> None:
    page.line(f"  {label:<12}", text, indent=14)


def _shape(page: Page, entry: Entry) -> None:
    rule, foreign = entry.rule, entry.foreign
    page.blank()
    if entry.issuers:
        for row in entry.issuers:
            shapes = " or ".join(describe.words(shape) or shape for shape in row.shapes)
            _field(page, "looks like", f"{row.kind}: {shapes}")
            names = ", ".join(f"{word} (a word such as key or token must follow)" if word in row.common else word
                              for word in row.words)  # fmt: skip
            _field(page, "near", names)
        return
    pattern = rule.pattern if rule else foreign.pattern if foreign else ""
    if words := describe.words(pattern) if pattern else "":
        _field(page, "looks like", words)
    if foreign is not None:
        _foreign(page, foreign)
    if entry.paths:
        for path in dict.fromkeys(entry.paths):
            _field(page, "in files", path)
        return
    if not pattern:
        _field(page, "looks like", "decided by code, not by a pattern alone")
        return
    _field(page, "pattern", pattern)


def _foreign(page: Page, rule: ForeignRule) -> None:
    if rule.keywords:
        _field(page, "keywords", ", ".join(rule.keywords))
    if rule.path:
        _field(page, "in files", rule.path)
    if rule.entropy:
        _field(page, "entropy", f"above {rule.entropy:g} bits per byte")
    if rule.allowlists:
        _field(page, "lets pass", f"what {counted(len(rule.allowlists), 'allowlist')} of the file allow")


def _more(page: Page, entry: Entry) -> None:
    rule = entry.rule
    assert rule is not None
    rng = random.Random()
    if rule.near is not None:
        where = f"within {rule.near.within} bytes{' behind it' if rule.near.after else ''} of: "
        _field(page, "near", where + (describe.words(rule.near.pattern) or rule.near.pattern))
    if rule.description:
        page.blank()
        page.say(rule.description, indent=2)
    if rule.value in _VALUES:
        _field(page, "value", _VALUES[rule.value])
    if rule.min_entropy:
        _field(page, "entropy", f"at least {rule.min_entropy:g} bits per byte")
    for name in rule.checks:
        _field(page, "check", f"{name}: {_first_line(CHECKS[name].__doc__)}")
    page.blank()
    for label, made in (("finds", rule.examples[:2]), ("not", rule.negatives[:2])):
        for template in made:
            text = templates.render(template, rng, lambda: rule.sample(rng))
            for number, line in enumerate(text.strip("\n").split("\n")):
                _field(page, "" if number else label, line)
    page.say("Examples are made up anew each time.", indent=2)
    if rule.revoke or rule.references:
        page.blank()
    if rule.revoke:
        _field(page, "revoke", rule.revoke)
    for address in rule.references:
        _field(page, "see", address)


def _first_line(doc: str | None) -> str:
    return " ".join((doc or "see docs/rules.md").split("\n\n")[0].split())


def document(entries: Iterable[Entry]) -> str:
    """The list as JSON, one rule a line."""
    rows = ",\n  ".join(json.dumps(_plain(entry), sort_keys=True) for entry in entries)
    return f'{{"rules": [\n  {rows}\n]}}\n'


def one(entry: Entry) -> str:
    """One rule as JSON."""
    return json.dumps(_plain(entry), sort_keys=True, indent=1) + "\n"


def _plain(entry: Entry) -> dict[str, Any]:
    rule, foreign = entry.rule, entry.foreign
    return {
        "id": entry.id,
        "title": entry.title,
        "severity": entry.severity.value,
        "confidence": entry.confidence.value,
        "group": entry.group,
        "detector": entry.detector,
        "gains": entry.gains,
        "file": entry.file or None,
        "pattern": rule.pattern if rule else foreign.pattern if foreign else None,
        "checks": list(rule.checks) if rule else [],
        "references": list(rule.references) if rule else [],
        "revoke": (rule.revoke or None) if rule else None,
        "paths": list(entry.paths),
        "issuers": [{"kind": row.kind, "words": list(row.words), "shapes": list(row.shapes)} for row in entry.issuers],
    }


def page_of(entries: Sequence[Entry]) -> str:
    """docs/rules.md, of all rules."""
    by_name = sum(entry.group == CONTEXT for entry in entries)
    counts = f"{len(entries) - by_name} rules by shape and {by_name} issuers known by name."
    return f"{_INTRO}\n{counts}\n\n{tables(entries)}"


def tables(entries: Sequence[Entry]) -> str:
    """The rules group by group, in Markdown; the long list of names comes last."""
    ordered = sorted(entries, key=lambda entry: entry.group == CONTEXT)
    return "\n".join(_table(group, list(members)) for group, members in groupby(ordered, key=lambda each: each.group))


def _table(group: str, members: Sequence[Entry]) -> str:
    head = f"## {group}\n\n"
    if group == CONTEXT:
        return f"{head}{_BY_NAME}\n{_wrapped([entry.id.removeprefix('context.') for entry in members])}\n"
    return "".join(f"{row}\n" for row in (f"{head}{_COLUMNS}", *map(_markdown, members)))


def _markdown(entry: Entry) -> str:
    rule = entry.rule
    looks = describe.words(rule.pattern) if rule else ""
    cells = (f"`{entry.id}`", entry.title, entry.severity.value, entry.confidence.value, looks,
             ", ".join(rule.checks) if rule else "")  # fmt: skip
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _wrapped(names: Sequence[str]) -> str:
    lines, line = [], ""
    for name in names:
        if line and len(line) + len(name) + 2 > 118:
            lines.append(f"{line},")
            line = name
        else:
            line = f"{line}, {name}" if line else name
    return "\n".join([*lines, f"{line}."]) if line else ""


def checked(result: Checked, *, width: int, color: bool) -> str:
    """What a check found, rule by rule."""
    page = Page(width, color)
    wrong = sum(bool(rule.problems) for rule in result.rules) + len(result.problems)
    verdict = "sound" if result.sound else f"{counted(wrong, 'thing')} wrong"
    rules = f", {counted(len(result.rules), 'rule')}" if result.rules else ""
    style = Style.GREEN if result.sound else Style.RED
    page.say(f"{result.form}{rules}: {verdict}.", label=f"{result.file}: ", style=style)
    for problem in result.problems:
        page.say(problem, indent=2, label="wrong  ", style=Style.RED)
    pad = min(max((len(rule.id) for rule in result.rules), default=0), 34)
    for rule in result.rules:
        status = page.paint("wrong", Style.RED) if rule.problems else page.paint("ok   ", Style.GREEN)
        page.line(f"  {rule.id.ljust(pad)}  {status}  ", _told(rule), indent=pad + 11)
        for problem in rule.problems:
            page.say(problem, indent=4)
    if result.cost is not None:
        page.blank()
        page.say(f"{_price(result.cost, result.share)}, on {amount(result.cost.sample)} of Python's library.",
                 label="All together: ", style=Style.BOLD)  # fmt: skip
    for remark in result.remarks:
        page.say(remark.removeprefix(f"{result.file}: "), indent=2, label="note   ", style=Style.YELLOW)
    return str(page)


def _told(rule: Tested) -> str:
    tried = f"{counted(rule.examples, 'example')}, {counted(rule.negatives, 'negative')}"
    return f"{tried}; {_price(rule.cost, rule.share)}" if rule.cost else tried


def _price(cost: Cost, share: float) -> str:
    return f"{amount(cost.database)} compiled, {100 * share:.1f} % of the pack's time, fires {cost.hits:.1f} times a MB"


def check_document(results: Sequence[Checked]) -> str:
    """Results of checks as JSON."""
    files = [
        {
            "file": result.file,
            "form": result.form,
            "sound": result.sound,
            "problems": list(result.problems),
            "remarks": list(result.remarks),
            "cost": _cost(result.cost, result.share),
            "rules": [
                {"id": rule.id, "problems": list(rule.problems), "examples": rule.examples,
                 "negatives": rule.negatives, "cost": _cost(rule.cost, rule.share)}
                for rule in result.rules
            ],
        }
        for result in results
    ]  # fmt: skip
    return json.dumps({"files": files}, indent=1, sort_keys=True) + "\n"


def _cost(cost: Cost | None, share: float) -> dict[str, float] | None:
    if cost is None:
        return None
    return {"database_bytes": cost.database, "time_share": round(share, 4), "fires_per_mb": round(cost.hits, 3)}

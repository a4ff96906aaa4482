"""Tests a rule file: every rule sound, found by its examples, silent on its negatives; and what it costs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scanner import userfile
from scanner.detect import gitleaks, rulepack, templates, userrules
from scanner.detect.base import Detector
from scanner.detect.contextual import ContextDetector, issuers_of
from scanner.detect.firstpass import FirstPass, compile_database
from scanner.detect.foreign import ForeignDetector, ForeignRule
from scanner.detect.patterns import PatternDetector
from scanner.detect.plugins.settings import DEFAULTS
from scanner.detect.rulepack import Rule
from scanner.errors import LeakscanError, RulePackError, UnusableFile
from scanner.evidence import Confidence, Match
from scanner.rulecost import Cost, measure, stock

#: each template is filled so many times
_ROUNDS = 5
_PATH = "srv/app/settings.conf"


@dataclass(frozen=True, slots=True)
class Tested:
    """One rule and what is wrong with it.

    Attributes:
        problems: empty if it is sound.
        examples, negatives: how many there are and were tried.
        cost: None if it cannot run.
        share: of the time that the built-in pack takes on the same sample.
    """

    id: str
    problems: tuple[str, ...]
    examples: int
    negatives: int
    cost: Cost | None = None
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Checked:
    """What a rule file turned out to be.

    Attributes:
        form: in words.
        problems: of the file as a whole.
        remarks: what of it is not done; no problem.
        cost, share: of all its rules together.
    """

    file: str
    form: str
    rules: tuple[Tested, ...] = ()
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    cost: Cost | None = None
    share: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems and not any(rule.problems for rule in self.rules)


def check(path: Path) -> Checked:
    """Test a rule file. Raises UnusableFile only if it cannot be read at all; what is wrong in it is in the result."""
    content = userfile.read(path, userrules.LARGEST)
    name = userfile.shown(path.name or str(path))
    try:
        own = userrules.load([path])
    except UnusableFile as error:
        try:
            document = userfile.toml(content, name)
        except UnusableFile:
            document = {}
        if "rule" not in document:
            return Checked(name, "a rule file", problems=(error.what,))
        return _pack(name, document, error)
    if own.packs:
        return _pack(name, userfile.toml(content, name), None)
    if own.plugins != DEFAULTS or not own.foreign:
        form = "settings of detect-secrets" if content.lstrip()[:1] == b"{" else "a file in the form of Gitleaks"
        return Checked(name, form, remarks=own.remarks)
    return _foreign(name, own.foreign, own.remarks)


def _pack(name: str, document: dict[str, object], error: LeakscanError | None) -> Checked:
    """A pack of our form, each rule by itself, so that all that is wrong is told."""
    tested: list[Tested] = []
    detectors: list[Detector] = []
    problems: list[str] = []
    taken = {rule.id for rule in rulepack.load().rules}
    tables = document.get("rule", [])
    for table in tables if isinstance(tables, list) else []:
        try:
            rule = rulepack.rule_of(name, table)
            if rule.id in taken:
                raise RulePackError(f"rule {rule.id}: the id is taken")
            userrules.hold(rule)
        except RulePackError as wrong:
            id = table.get("id") if isinstance(table, dict) else None
            tested.append(Tested(userfile.shown(str(id or "?")), (wrong.what.removeprefix(f"{name}: "),), 0, 0))
            continue
        taken.add(rule.id)
        detector = PatternDetector(rule)
        detectors.append(detector)
        tested.append(_tried(rule, detector))
    if error is not None and not any(rule.problems for rule in tested):
        problems.append(error.what)
    providers = document.get("providers")
    if error is None and isinstance(providers, list) and providers:
        detectors.append(ContextDetector(issuers_of(providers, name)))
    rows, cost, share = _costs(tested, detectors)
    return Checked(name, "a pack of leakscan's form", rows, tuple(problems), (), cost, share)


def _tried(rule: Rule, detector: PatternDetector) -> Tested:
    """Examples must be found, negatives must not, as often as they are filled anew."""
    first = FirstPass([detector], compile_database(detector.triggers))
    problems: list[str] = []
    for template in rule.examples:
        if not all(_matches(first, rule, template, seed) for seed in range(_ROUNDS)):
            problems.append(f"its example {template!r} is not found")
    for template in rule.negatives:
        sure = [match for seed in range(_ROUNDS) for match in _matches(first, rule, template, seed)
                if match.confidence is not Confidence.LOW or rule.confidence is Confidence.LOW]  # fmt: skip
        if sure:
            problems.append(f"its negative {template!r} is found")
    return Tested(rule.id, tuple(problems), len(rule.examples), len(rule.negatives))


def _matches(first: FirstPass, rule: Rule, template: str, seed: int) -> list[Match]:
    rng = random.Random(f"{rule.id}/{template}/{seed}")
    text = templates.render(template, rng, lambda: rule.sample(rng)).encode("utf-8", "surrogateescape")
    return first.matches(memoryview(text), _PATH)


def _foreign(name: str, rules: Sequence[ForeignRule], remarks: tuple[str, ...]) -> Checked:
    """Rules of Gitleaks' form bring no examples: what their expressions describe stands for one."""
    tested: list[Tested] = []
    detectors: list[Detector] = []
    for rule in rules:
        detector = ForeignDetector(rule)
        detectors.append(detector)
        first = FirstPass([detector], compile_database(detector.triggers))
        texts = [gitleaks.sample(rule, random.Random(f"{rule.id}/{seed}")) for seed in range(_ROUNDS)]
        tried = [text for text in texts if text]
        lax = rule.entropy or rule.path or rule.allowlists or rule.reach or rule.keywords
        silent = tried and not any(first.matches(memoryview(text.encode("latin-1")), _PATH) for text in tried)
        problems = ("nothing that its regex describes is found",) if silent and not lax else ()
        tested.append(Tested(rule.id, problems, len(tried), 0))
    rows, cost, share = _costs(tested, detectors)
    return Checked(name, "a file in the form of Gitleaks", rows, (), remarks, cost, share)


def _costs(
    tested: Sequence[Tested], detectors: Sequence[Detector]
) -> tuple[tuple[Tested, ...], Cost | None, float]:
    """The rules with their costs, and the cost of all together."""
    if not detectors:
        return tuple(tested), None, 0.0
    contents = stock()
    built_in = [trigger for rule in rulepack.load().rules for trigger in (rule.first_pass,)]
    whole = measure(built_in, contents).seconds
    by_id = {each.rule.id: each for each in detectors if isinstance(each, (PatternDetector, ForeignDetector))}
    rows = []
    for row in tested:
        detector = by_id.get(row.id)
        cost = measure(detector.triggers, contents) if detector and not row.problems else None
        share = cost.seconds / whole if cost else 0.0
        rows.append(Tested(row.id, row.problems, row.examples, row.negatives, cost, share))
    together = measure([trigger for each in detectors for trigger in each.triggers], contents)
    return tuple(rows), together, together.seconds / whole

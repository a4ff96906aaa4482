"""Every rule there is as a row of a list: the pack's, those that are code, detect-secrets', the user's own.

What `leakscan rules` and docs/rules.md show; detection itself does not need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from scanner.detect import filekinds, files, keystores, logins, manifests, rulepack
from scanner.detect.contextual import Issuer
from scanner.detect.foreign import ForeignRule
from scanner.detect.plugins import entropy, keyword
from scanner.detect.plugins.catalogue import KINDS, rule_id
from scanner.detect.rulepack import Rule
from scanner.detect.userrules import NONE, UserRules
from scanner.evidence import KNOWN_SECRET, Confidence, Severity

CODE, DETECT_SECRETS, OWN = "Credential files, keystores, manifests", "Detectors of detect-secrets", "Rules of your own"
GIVEN = "Secrets that you give"
CONTEXT = "Known by the name of their issuer near them"
#: the files of the pack in the order of the list; others follow by name
_ORDER = ("cloud", "forges", "packages", "operations", "ai", "messaging", "payment", "services", "products", "keys",
          "commands", "assigned")  # fmt: skip
_FIRST_COMMENT = re.compile(rb"\A#[ \t]*(.+?)(?:\.[ \t]*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """A rule as people see it.

    Attributes:
        group: the heading it stands under.
        file: what it is defined in, empty for code.
        detector: as findings name it.
        rule, foreign, issuers: the data behind it, whichever there is.
        paths: expressions for the files that it is about, if the path decides.
    """

    id: str
    title: str
    severity: Severity
    confidence: Confidence
    group: str
    detector: str
    gains: str = ""
    file: str = ""
    rule: Rule | None = None
    foreign: ForeignRule | None = None
    issuers: tuple[Issuer, ...] = ()
    paths: tuple[str, ...] = ()


def entries(own: UserRules = NONE) -> tuple[Entry, ...]:
    """All rules, the pack's first, by group and id. Raises RulePackError."""
    found: list[Entry] = []
    for name, content in rulepack.built_in():
        pack = rulepack.pack_of([(name, content)])
        found += _pack(pack, name, _heading(name, content))
        found += _issuers(pack.issuers)
    known = {entry.id for entry in found}
    found += [entry for entry in _code() if entry.id not in known]
    found += _detect_secrets()
    found.append(Entry(KNOWN_SECRET, "A secret of --secret or --secrets-from, in any encoding", Severity.CRITICAL,
                       Confidence.HIGH, GIVEN, KNOWN_SECRET, "Whatever the secret is for."))  # fmt: skip
    for name, content in own.packs:
        pack = rulepack.pack_of([(name, content)])
        found += [*_pack(pack, name, OWN), *_issuers(pack.issuers, OWN)]
    found += [Entry(rule.id, rule.title, rule.severity, Confidence.MEDIUM, OWN, "user-rule", foreign=rule)
              for rule in own.foreign]  # fmt: skip
    return tuple(sorted(found, key=_place))


def _place(entry: Entry) -> tuple[int, int, str, str]:
    last = {CONTEXT: 1, CODE: 2, DETECT_SECRETS: 3, GIVEN: 4, OWN: 5}
    name = entry.file.removesuffix(".toml")
    within = _ORDER.index(name) if name in _ORDER else len(_ORDER)
    return last.get(entry.group, 0), within, entry.group, entry.id


def _heading(name: str, content: bytes) -> str:
    """What a file of the pack is about: its first comment."""
    first = _FIRST_COMMENT.match(content)
    return first.group(1).decode("utf-8", "replace") if first else name.removesuffix(".toml").capitalize()


def _pack(pack: rulepack.RulePack, name: str, group: str) -> Iterator[Entry]:
    for rule in pack.rules:
        yield Entry(rule.id, rule.title, rule.severity, rule.confidence, group, "pattern", rule.gains, name, rule)


def _issuers(issuers: tuple[Issuer, ...], group: str = CONTEXT) -> Iterator[Entry]:
    """One entry for each issuer, whatever kinds of values it has."""
    by_id: dict[str, list[Issuer]] = {}
    for issuer in issuers:
        by_id.setdefault(f"context.{re.sub('[^a-z0-9]+', '-', issuer.name).strip('-')}", []).append(issuer)
    for id, rows in by_id.items():
        name = rows[0].name
        kinds = " or ".join(dict.fromkeys(row.kind for row in rows))
        yield Entry(id, f"{name.capitalize()} {kinds}", Severity.HIGH, Confidence.MEDIUM, group, "context",
                    f"Acts at {name} as whoever it was issued to.", issuers=tuple(rows))  # fmt: skip


def _code() -> Iterator[Entry]:
    high, medium, high_confidence = Severity.HIGH, Confidence.MEDIUM, Confidence.HIGH
    yield Entry(logins.RULE, "Password beside a user name", high, medium, CODE, "pattern",
                "Logs in as the user that is named beside it.")  # fmt: skip
    yield Entry(manifests.RULE, "Value of a Kubernetes Secret", high, medium, CODE, "pattern",
                "Whatever the Secret is for.")  # fmt: skip
    for form in keystores.FORMS:
        yield Entry(form.rule, form.title, Severity.CRITICAL, high_confidence, CODE, "file", form.gains)
    yield from _files()


def _files() -> Iterator[Entry]:
    """One entry for each rule of files that the path tells, whatever kinds of files it has."""
    by_rule: dict[str, Entry] = {}
    for one in files.KINDS:
        by_rule[one.rule] = Entry(one.rule, one.title, one.severity, Confidence.MEDIUM, CODE, "file", one.gains,
                                  paths=(one.path.pattern,))  # fmt: skip
    for kind in filekinds.table():
        known = by_rule.get(kind.rule)
        paths = (*(known.paths if known else ()), *kind.paths)
        entry = known or Entry(kind.rule, kind.title, kind.severity, Confidence.MEDIUM, CODE, "file", kind.gains)
        severity = min(entry.severity, kind.severity, key=lambda each: each.rank)
        by_rule[kind.rule] = replace(entry, severity=severity, paths=paths)
    yield from by_rule.values()


def _detect_secrets() -> Iterator[Entry]:
    for kind in KINDS:
        yield Entry(rule_id(kind.secret_type), kind.title, kind.severity, kind.confidence, DETECT_SECRETS,
                    "detect-secrets")  # fmt: skip
    for _, rule, _, title in entropy.PLUGINS:
        yield Entry(rule, title, Severity.MEDIUM, Confidence.LOW, DETECT_SECRETS, "detect-secrets")
    yield Entry(keyword.RULE, "Value assigned to a name that sounds like a secret", Severity.HIGH, Confidence.MEDIUM,
                DETECT_SECRETS, "detect-secrets")  # fmt: skip

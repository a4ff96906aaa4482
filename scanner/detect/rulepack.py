"""Loads the rule data and holds it to its schema; docs/rules.md is made from the same fields.

A rule is a table `[[rule]]` in a TOML file of scanner/rulepack/. Loading checks names and types, quickly, for every
process that scans does it; `verify` also takes patterns and templates apart.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import json
import random
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from scanner.detect import dialect, templates, triggers
from scanner.detect.base import Trigger
from scanner.detect.checks import CHECKS
from scanner.detect.contextual import Issuer, issuers_of
from scanner.errors import RulePackError
from scanner.evidence import Confidence, Severity

#: kinds of values, each with its own test for placeholders (`patterns.py`)
VALUES = (
    "token", "long-text", "password", "url-password", "env-url-password", "login-line", "assigned", "random",
    "anything",
)  # fmt: skip
EDGES = ("word", "left", "right", "none")
#: the most bytes that a match may span
LARGEST_MATCH = 64 << 10
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\.[a-z0-9]+(?:-[a-z0-9]+)*")
#: most patterns begin with letters and a run of one class: their trigger is made without taking them apart
_PLAIN_HEAD = re.compile(r"\(\?P<secret>((?:[A-Za-z0-9_:~!-]|\\[.$]){3,}\[[A-Za-z0-9_+/=.-]+\])\{([0-9]+)[,}]")


@dataclass(frozen=True, slots=True)
class Near:
    """Something that must stand near the secret: the other half of a pair, or the issuer's name.

    Attributes:
        pattern: its groups become evidence.
        within: bytes between the two at most.
        after: the secret may only follow it.
    """

    pattern: str
    within: int
    after: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of credential.

    Attributes:
        id: `domain.kind`, stable for ever.
        title: what it is, a few words for a report's line.
        gains: what a holder can do with it, a sentence without a subject.
        description: more about it, may be empty.
        pattern: RE2 over bytes with a group `secret` (alternatives: `secret2`, `secret3`); the groups `user`, `host`
            and `id` name the companion.
        trigger: Hyperscan expression that fires in everything the pattern matches; empty: made from the pattern.
        trigger_caseless, trigger_single: see `base.Trigger`.
        max_length: bytes that the pattern may span; 0: as many as it can.
        lead: bytes before the end of a trigger at which a match may begin; 0: max_length.
        edges: on which sides a match must not continue as a longer word.
        value: which test for placeholders holds, one of `VALUES`.
        near: what must stand near.
        checks: names in `checks.CHECKS`, run in this order.
        min_entropy: bits for each byte below which it is no secret.
        references, revoke: addresses.
        examples, negatives: templates (`templates.py`).
    """

    id: str
    title: str
    gains: str
    severity: Severity
    confidence: Confidence
    pattern: str
    examples: tuple[str, ...]
    negatives: tuple[str, ...]
    description: str = ""
    trigger: str = ""
    trigger_caseless: bool = False
    trigger_single: bool = False
    max_length: int = 0
    lead: int = 0
    edges: str = "word"
    value: str = "token"
    near: Near | None = None
    checks: tuple[str, ...] = ()
    min_entropy: float = 0.0
    references: tuple[str, ...] = ()
    revoke: str = ""

    @property
    def first_pass(self) -> Trigger:
        """The expression of the first pass. Raises RulePackError if none can be made."""
        if self.trigger:
            return Trigger(self.trigger.encode("ascii"), self.trigger_caseless, self.trigger_single)
        if self.near is None and (head := _PLAIN_HEAD.match(self.pattern)) is not None:
            return Trigger(f"{head.group(1)}{{{min(int(head.group(2)), 16)}}}".encode("ascii"))
        made = triggers.trigger_of(_parsed(self.near.pattern if self.near else self.pattern, self.id))
        if made is None:
            raise RulePackError(f"rule {self.id}: its pattern holds nothing rare, give it a trigger")
        return Trigger(made)

    @property
    def span(self) -> int:
        """The most bytes that a match of the pattern spans."""
        return self.max_length or dialect.max_width(_parsed(self.pattern, self.id)) or LARGEST_MATCH

    def sample(self, rng: random.Random) -> str:
        """A random text that the group `secret` allows."""
        group = dialect.find_group(_parsed(self.pattern, self.id), "secret")
        return dialect.sample(group, rng) if group is not None else ""


@functools.lru_cache(maxsize=4096)
def _parsed(pattern: str, rule_id: str) -> dialect.Node:
    try:
        return dialect.parse(pattern)
    except dialect.DialectError as error:
        raise RulePackError(f"rule {rule_id}: {error}") from None


#: parsed files of rules, each with its name
Documents = Sequence[tuple[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class RulePack:
    """The rules, and what names exactly this set of them.

    Attributes:
        known: SHA-256 of values that documentation made public → where they come from.
        issuers: of credentials that only the issuer's name near them tells.
        documents: what all of it was read from.
    """

    rules: tuple[Rule, ...]
    known: Mapping[str, str]
    issuers: tuple[Issuer, ...] = ()
    documents: Documents = ()

    @property
    def digest(self) -> str:
        """SHA-256 over all that detection depends on, hex."""
        canonical = hashlib.sha256()
        for _, document in self.documents:
            canonical.update(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())
        return canonical.hexdigest()


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "trigger_caseless": bool,
    "trigger_single": bool,
    "max_length": int,
    "lead": int,
    "min_entropy": (int, float),
    "near": dict,
    "checks": list,
    "references": list,
    "examples": list,
    "negatives": list,
}
_KEYS = tuple(field.name for field in fields(Rule))
_REQUIRED = ("id", "title", "gains", "severity", "confidence", "pattern", "examples", "negatives")


def built_in() -> list[tuple[str, bytes]]:
    """The files of the built-in pack as (name, content)."""
    folder = importlib.resources.files("scanner") / "rulepack"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return [(file.name, file.read_bytes()) for file in files]


def load(more: Iterable[tuple[str, bytes]] = (), parsed: Documents | None = None) -> RulePack:
    """The built-in rules, *parsed* if they are so already, and those of *more* files given as (name, content). Raises
    RulePackError."""
    return _pack([*(documents(built_in()) if parsed is None else parsed), *documents(more)])


def pack_of(files: Iterable[tuple[str, bytes]]) -> RulePack:
    """The rules of TOML files given as (name, content). Raises RulePackError."""
    return _pack(documents(files))


def documents(files: Iterable[tuple[str, bytes]]) -> Documents:
    """TOML files given as (name, content), parsed. Raises RulePackError."""
    return [(name, _document(name, content)) for name, content in files]


def _pack(parsed: Documents) -> RulePack:
    rules: dict[str, Rule] = {}
    known: dict[str, str] = {}
    issuers: list[Issuer] = []
    for name, document in parsed:
        known.update(_known(name, document.get("known", [])))
        issuers += issuers_of(document.get("providers", []), name)
        for table in document.get("rule", []):
            rule = rule_of(name, table)
            if rule.id in rules:
                raise RulePackError(f"{name}: rule {rule.id}: the id is taken")
            rules[rule.id] = rule
    return RulePack(tuple(rules.values()), MappingProxyType(known), tuple(issuers), parsed)


def _document(name: str, content: bytes) -> dict[str, Any]:
    try:
        document = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RulePackError(f"{name}: not TOML: {error}") from None
    for key, value in document.items():
        if key not in ("rule", "known", "providers") or not isinstance(value, list):
            raise RulePackError(f"{name}: {key} is neither a [[rule]] nor a [[known]] nor the list of providers")
    return document


def _known(name: str, tables: list[Any]) -> Iterable[tuple[str, str]]:
    for table in tables:
        if not isinstance(table, dict) or set(table) != {"sha256", "source"}:
            raise RulePackError(f"{name}: a [[known]] needs exactly sha256 and source")
        digests = table["sha256"] if isinstance(table["sha256"], list) else [table["sha256"]]
        for digest in digests:
            if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
                raise RulePackError(f"{name}: sha256 must be 64 hexadecimal digits, or a list of such")
            yield digest, table["source"]


def rule_of(file: str, table: Any) -> Rule:
    """One `[[rule]]` of *file*. Raises RulePackError."""
    where = f"{file}: rule {table.get('id', '?') if isinstance(table, dict) else '?'}"
    if not isinstance(table, dict):
        raise RulePackError(f"{where}: not a table")
    for key in _REQUIRED:
        if not table.get(key):
            raise RulePackError(f"{where}: {key} is missing or empty")
    for key, value in table.items():
        if key not in _KEYS:
            raise RulePackError(f"{where}: unknown key {key}")
        if not isinstance(value, _TYPES.get(key, str)):
            raise RulePackError(f"{where}: {key} has the wrong type")
    _check_words(where, table)
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    values["severity"], values["confidence"] = Severity(table["severity"]), Confidence(table["confidence"])
    if "near" in table:
        values["near"] = _near(where, table["near"])
    return Rule(**values)


def _check_words(where: str, table: Mapping[str, Any]) -> None:
    for key, allowed in (
        ("severity", tuple(Severity)),
        ("confidence", tuple(Confidence)),
        ("edges", EDGES),
        ("value", VALUES),
    ):
        if key in table and table[key] not in allowed:
            raise RulePackError(f"{where}: {key} must be one of {', '.join(allowed)}")
    for key in ("max_length", "lead", "min_entropy"):
        if not 0 <= table.get(key, 0) <= LARGEST_MATCH:
            raise RulePackError(f"{where}: {key} must be from 0 to {LARGEST_MATCH}")
    if not table.get("trigger", "").isascii():
        raise RulePackError(f"{where}: trigger holds characters beyond ASCII")
    if not _ID.fullmatch(table["id"]):
        raise RulePackError(f"{where}: id must be domain.kind in lower case")
    if "(?P<secret>" not in table["pattern"]:
        raise RulePackError(f"{where}: pattern has no group secret")
    for key in ("checks", "references", "examples", "negatives"):
        if any(not isinstance(item, str) for item in table.get(key, ())):
            raise RulePackError(f"{where}: {key} must be texts")
    for name in table.get("checks", ()):
        if name not in CHECKS:
            raise RulePackError(f"{where}: unknown check {name}")


def _near(where: str, table: Mapping[str, Any]) -> Near:
    if not {"pattern", "within"} <= set(table) <= {"pattern", "within", "after"}:
        raise RulePackError(f"{where}: near needs pattern and within, and may have after")
    pattern, within, after = table["pattern"], table["within"], table.get("after", False)
    if not isinstance(pattern, str) or not isinstance(after, bool) or type(within) is not int:
        raise RulePackError(f"{where}: near has the wrong type")
    if not 0 < within <= LARGEST_MATCH:
        raise RulePackError(f"{where}: near: within must be from 1 to {LARGEST_MATCH}")
    return Near(pattern, within, after)


def verify(rule: Rule) -> None:
    """Everything about *rule* that loading leaves for later. Raises RulePackError naming the rule and the reason."""
    for pattern in (rule.pattern, *((rule.near.pattern,) if rule.near else ())):
        node = _parsed(pattern, rule.id)
        try:
            dialect.compile_pattern(pattern)
        except dialect.DialectError as error:
            raise RulePackError(f"rule {rule.id}: {error}") from None
        if dialect.min_width(node) == 0:
            raise RulePackError(f"rule {rule.id}: the pattern matches nothing at all")
    if dialect.max_width(_parsed(rule.pattern, rule.id)) is None and not rule.max_length:
        raise RulePackError(f"rule {rule.id}: the pattern has no bound, give max_length")
    if rule.span > LARGEST_MATCH:
        raise RulePackError(f"rule {rule.id}: a match could span more than {LARGEST_MATCH} bytes")
    for name in CHECKS.keys() & set(rule.checks) & {"pem"}:
        if "(?P<label>" not in rule.pattern:
            raise RulePackError(f"rule {rule.id}: the check {name} needs a group label")
    _ = rule.first_pass
    for template in (*rule.examples, *rule.negatives):
        try:
            templates.render(template, random.Random(0), lambda: rule.sample(random.Random(0)))
        except ValueError as error:  # a TemplateError, or what a maker says of its argument
            raise RulePackError(f"rule {rule.id}: template {template!r}: {error}") from None

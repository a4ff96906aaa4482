"""Reads rules in the form of Gitleaks and Betterleaks. Whatever of them cannot be honoured is told in a remark.

Source: https://github.com/gitleaks/gitleaks#configuration. The expressions are Go's RE2, which RE2 reads too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import re2

from scanner import userfile
from scanner.detect import dialect
from scanner.detect.base import Group, Trigger
from scanner.detect.foreign import Allowlist, ForeignRule, Target, compiled
from scanner.detect.plugins.catalogue import slug
from scanner.detect.rulepack import LARGEST_MATCH
from scanner.detect.triggers import trigger_of
from scanner.errors import UnusableFile
from scanner.evidence import Severity

PREFIX = "gitleaks."
#: bytes around a keyword in which a match is looked for if its expression itself tells the first pass nothing
KEYWORD_REACH = 1024
_MOST_RULES, _DEPTH = 20_000, 2
_TOP = {"title", "description", "extend", "rules", "allowlist", "allowlists", "minVersion"}
_RULE = {"id", "description", "regex", "path", "secretGroup", "entropy", "keywords", "tags", "severity",
         "allowlist", "allowlists", "skipReport"}  # fmt: skip
_ALLOWLIST = {"description", "condition", "commits", "paths", "regexTarget", "regexes", "stopwords", "targetRules"}
#: keys whose meaning is known and not ours, with what that means
_LEFT = {
    "required": "rules that must be found near it are not looked for: it runs alone",
    "validate": "values are never sent anywhere, so they are not validated",
    "filter": "its filter expression is not run",
    "prefilter": "its prefilter expression is not run",
    "tokenEfficiency": "token efficiency is not measured",
    "rand": "its filter is not run",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file gave: rules, and remarks on what of it is not done."""

    rules: tuple[ForeignRule, ...]
    remarks: tuple[str, ...]


@dataclass(slots=True)
class _Reader:
    name: str
    compiles: Callable[[Trigger], bool]
    remarks: list[str] = field(default_factory=list)
    endless: list[str] = field(default_factory=list)

    def read(self, document: Mapping[str, Any], folder: Path | None, depth: int = 0) -> dict[str, ForeignRule]:
        self._strays(document, _TOP, self.name)
        shared = [(each, self._texts(table, "targetRules", self.name))
                  for table in self._tables(document, "allowlist", "allowlists", self.name)
                  if (each := self._allowlist(table, self.name)) is not None]  # fmt: skip
        rules = self._extended(document.get("extend"), folder, depth)
        own = document.get("rules", [])
        if not isinstance(own, list) or len(own) > _MOST_RULES:
            raise UnusableFile(f"{self.name}: rules must be a list of tables")
        for number, table in enumerate(own, 1):
            if not isinstance(table, dict):
                raise UnusableFile(f"{self.name}: rule {number} is no table")
            rule = self._rule(table, number)
            if rule is not None:
                rules[rule.id] = rule
        return {
            key: replace(rule, allowlists=(*rule.allowlists, *_meant(shared, key))) for key, rule in rules.items()
        }

    def _extended(self, extend: Any, folder: Path | None, depth: int) -> dict[str, ForeignRule]:
        if extend is None:
            return {}
        if not isinstance(extend, dict):
            raise UnusableFile(f"{self.name}: extend must be a table")
        self._strays(extend, {"useDefault", "path", "disabledRules", "url"}, f"{self.name}: extend")
        if extend.get("useDefault"):
            self.remarks.append("extend.useDefault: the rules that Gitleaks brings are not part of leakscan, "
                                "whose own rules run instead")  # fmt: skip
        if extend.get("url"):
            self.remarks.append("extend.url: nothing is fetched from a network")
        disabled = self._texts(extend, "disabledRules", f"{self.name}: extend")
        found: dict[str, ForeignRule] = {}
        if path := extend.get("path"):
            if not isinstance(path, str) or folder is None or depth >= _DEPTH:
                raise UnusableFile(f"{self.name}: extend.path cannot be followed", "Give that file with --rules too.")
            target = folder / path
            document = userfile.toml(userfile.read(target), userfile.shown(path))
            found = self.read(document, target.parent, depth + 1)
        elif disabled:
            self.remarks.append("extend.disabledRules: rules of leakscan are left out by [[ignore]] in .leakscan.toml")
        return {key: rule for key, rule in found.items() if key not in {PREFIX + slug(word) for word in disabled}}

    # --- one rule ------------------------------------------------------------------------------------------------

    def _rule(self, table: Mapping[str, Any], number: int) -> ForeignRule | None:
        name = table.get("id")
        if not isinstance(name, str) or not slug(name):
            raise UnusableFile(f"{self.name}: rule {number} has no id")
        where = f"{self.name}: rule {userfile.shown(name)}"
        self._strays(table, _RULE, where)
        pattern = table.get("regex", "")
        path, group = table.get("path", ""), table.get("secretGroup", 0)
        entropy, title = table.get("entropy", 0.0), table.get("description", "") or name
        for value, kind, key in ((pattern, str, "regex"), (path, str, "path"), (title, str, "description")):
            if not isinstance(value, kind):
                raise UnusableFile(f"{where}: {key} must be a text")
        if isinstance(entropy, bool) or not isinstance(entropy, (int, float)) or not isinstance(group, int):
            raise UnusableFile(f"{where}: entropy and secretGroup must be numbers")
        if not pattern:
            self.remarks.append(f"rule {name}: not run, as it names files by path alone")
            return None
        if table.get("skipReport"):
            self.remarks.append(f"rule {name}: not run, as it is not to be reported by itself (skipReport)")
            return None
        groups = self._groups(pattern, where)
        self._compile(path, where)
        if not 0 <= group <= groups:
            raise UnusableFile(f"{where}: secretGroup is {group}, and its regex has {groups} groups")
        keywords = tuple(word.lower() for word in self._texts(table, "keywords", where) if word.isascii())
        plan = self._plan(pattern, keywords, name)
        if plan is None:
            return None
        allowed = [each for entry in self._tables(table, "allowlist", "allowlists", where)
                   if (each := self._allowlist(entry, where)) is not None]  # fmt: skip
        triggers, span, reach = plan
        return ForeignRule(
            PREFIX + slug(name), title.strip(), self._severity(table, where), pattern, triggers, span, group,
            float(entropy), path, keywords, tuple(allowed), reach,
        )  # fmt: skip

    def _plan(
        self, pattern: str, keywords: tuple[str, ...], name: str
    ) -> tuple[tuple[Trigger, ...], int, int] | None:
        """Triggers, the span of a match, and how far from a trigger a match is looked for; None: it cannot run."""
        try:
            node = dialect.parse(pattern)
        except dialect.DialectError:
            node = None
        width = dialect.max_width(node) if node is not None else None
        span = min(width or LARGEST_MATCH, LARGEST_MATCH)
        if width is None or width > LARGEST_MATCH:
            self.endless.append(name)
        if node is not None and dialect.min_width(node) == 0:
            self.remarks.append(f"rule {name}: not run, as its regex matches nothing at all")
            return None
        if node is not None and (made := trigger_of(node)) is not None:
            return (Trigger(made),), span, 0
        whole = Trigger(pattern.encode("ascii"), group=Group.RUNS)
        if self.compiles(whole):
            return (whole,), span, 0
        if keywords:
            self.remarks.append(f"rule {name}: looked for within {KEYWORD_REACH} bytes of its keywords only")
            literals = tuple(Trigger(_literal(word), caseless=True) for word in keywords)
            return literals, span, KEYWORD_REACH
        self.remarks.append(f"rule {name}: not run, as the first pass cannot read its regex and it has no keywords")
        return None

    def _severity(self, table: Mapping[str, Any], where: str) -> Severity:
        given = table.get("severity", "high")
        if not isinstance(given, str) or given.lower() not in tuple(Severity):
            self.remarks.append(f"{where.partition(': ')[2]}: its severity is none of ours, high is used")
            return Severity.HIGH
        return Severity(given.lower())

    # --- parts ---------------------------------------------------------------------------------------------------

    def _allowlist(self, table: Mapping[str, Any], where: str) -> Allowlist | None:
        self._strays(table, _ALLOWLIST, f"{where}: allowlist")
        regexes, paths = self._texts(table, "regexes", where), self._texts(table, "paths", where)
        stopwords = tuple(word.lower() for word in self._texts(table, "stopwords", where))
        for expression in (*regexes, *paths):
            self._compile(expression, f"{where}: allowlist")
        target = table.get("regexTarget", "") or "secret"
        if target not in tuple(Target):
            raise UnusableFile(f"{where}: regexTarget must be one of {', '.join(Target)}")
        condition = str(table.get("condition", "OR")).upper()
        if condition not in ("OR", "AND", "||", "&&"):
            raise UnusableFile(f"{where}: condition must be OR or AND")
        every = condition in ("AND", "&&")
        if table.get("commits"):
            self.remarks.append(f"{where.partition(': ')[2] or 'allowlist'}: commits mean nothing in an image")
            if every:
                return None  # that condition never holds, so neither do all of them
        if not (regexes or paths or stopwords):
            return None
        return Allowlist(regexes, paths, stopwords, Target(target), every, str(table.get("description", "")))

    def _tables(self, table: Mapping[str, Any], one: str, many: str, where: str) -> Iterator[Mapping[str, Any]]:
        for key in (one, many):
            given = table.get(key, [])
            for entry in given if isinstance(given, list) else [given]:
                if not isinstance(entry, dict):
                    raise UnusableFile(f"{where}: {key} must be a table")
                yield entry

    def _texts(self, table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
        given = table.get(key, [])
        if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
            raise UnusableFile(f"{where}: {key} must be a list of texts")
        return tuple(item for item in given if item)

    def _groups(self, pattern: str, where: str) -> int:
        return int(self._compile(pattern, where).groups)

    def _compile(self, pattern: str, where: str) -> Any:
        try:
            return compiled(pattern)
        except re2.error as error:
            raise UnusableFile(f"{where}: RE2 refuses an expression: {dialect.refusal(error)[:120]}") from None
        except UnicodeEncodeError:
            what = f"{where}: an expression holds characters beyond ASCII"
            raise UnusableFile(what, "Write \\x.. for their bytes.") from None

    def _strays(self, table: Mapping[str, Any], known: set[str], where: str) -> None:
        for key in table:
            if key not in known:
                what = _LEFT.get(key, "not understood, and not done")
                self.remarks.append(f"{where}: {userfile.shown(key)}: {what}")


def read(
    document: Mapping[str, Any], name: str, folder: Path | None, compiles: Callable[[Trigger], bool]
) -> Reading:
    """The rules of a document.

    Args:
        name: of the file, for messages.
        folder: what `extend.path` starts from.
        compiles: whether the first pass can run a trigger.

    Raises UnusableFile naming the file, the rule and the reason.
    """
    reader = _Reader(name, compiles)
    rules = reader.read(document, folder)
    remarks = list(dict.fromkeys(reader.remarks))
    if reader.endless:
        names = ", ".join(reader.endless)
        remarks.append(f"matches are at most {LARGEST_MATCH >> 10} KiB long, though these have no bound: {names}")
    return Reading(tuple(rules.values()), tuple(remarks))


def sample(rule: ForeignRule, rng: random.Random) -> str:
    """A text that the rule's expression describes; empty where that cannot be told."""
    try:
        return dialect.sample(dialect.parse(rule.pattern), rng)
    except dialect.DialectError:
        return ""


def _meant(shared: list[tuple[Allowlist, tuple[str, ...]]], rule_id: str) -> Iterator[Allowlist]:
    """The allowlists of the whole file that hold for a rule."""
    for each, targets in shared:
        if not targets or rule_id in {PREFIX + slug(word) for word in targets}:
            yield each


def _literal(word: str) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in word.encode("ascii"))

"""A rule in the form of Gitleaks as a detector: its expression, what it must hold besides, and what it lets pass.

Only what such a rule says decides: none of the tests for placeholders that hold for rules of the pack are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scanner.detect import plausible
from scanner.detect.base import Explaining, Trigger
from scanner.detect.dialect import compile_bytes
from scanner.detect.spans import Suppressed, ranges
from scanner.evidence import Confidence, Evidence, Match, Secret, Severity

_MARGIN = 16
_PORTION = 1 << 20
#: Gitleaks looks for keywords in the piece of a file that it has in hand, about so large
_FRAGMENT = 50_000
#: the line around a match is looked at so far to either side
_LINE = 4096


class Target(StrEnum):
    """What the expressions of an allowlist are held against."""

    SECRET = "secret"  # noqa: S105  (the word that the format uses)
    MATCH = "match"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class Allowlist:
    """What is let pass; expressions of RE2. *every*: only if each kind of condition that is given holds."""

    regexes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    stopwords: tuple[str, ...] = ()
    target: Target = Target.SECRET
    every: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class ForeignRule:
    """A rule as the file gives it, ready for the first pass.

    Attributes:
        id: unique among all rules.
        pattern: RE2 over bytes.
        group: which of its groups is the secret; 0: the first that holds anything, else the whole match.
        entropy: bits for each byte that the secret must exceed; 0: any.
        path: RE2, must be found in the path; empty: any.
        keywords: one of them must stand near, in lower case; none: nothing need.
        triggers: expressions of the first pass; each fires in every match, or near one (*reach*).
        span: the most bytes that a match may span.
        reach: bytes from a trigger within which a match begins, 0: the trigger lies in the match itself.
    """

    id: str
    title: str
    severity: Severity
    pattern: str
    triggers: tuple[Trigger, ...]
    span: int
    group: int = 0
    entropy: float = 0.0
    path: str = ""
    keywords: tuple[str, ...] = ()
    allowlists: tuple[Allowlist, ...] = ()
    reach: int = 0


@dataclass(frozen=True, slots=True)
class _Allowed:
    allowlist: Allowlist
    regexes: tuple[Any, ...]
    paths: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Compiled:
    pattern: Any
    path: Any
    allowed: tuple[_Allowed, ...]


def compiled(pattern: str) -> Any:
    """*pattern* for bytes as they are. Raises re2.error, UnicodeEncodeError."""
    return compile_bytes(pattern.encode("ascii"))


class ForeignDetector(Explaining):
    """Runs one such rule (`base.Detector`). Compiled at first use, and again in each process it is sent to."""

    def __init__(self, rule: ForeignRule) -> None:
        self.rule = rule
        self._compiled: _Compiled | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return ForeignDetector, (self.rule,)

    @property
    def triggers(self) -> Sequence[Trigger]:
        """The expressions of the first pass."""
        return self.rule.triggers

    @property
    def by_whole_path(self) -> bool:
        """Whether the path of a content decides, beyond its name and folder (`firstpass.FirstPass.by_whole_path`)."""
        return bool(self.rule.path) or any(each.paths for each in self.rule.allowlists)

    def explain(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match | Suppressed]:
        """As `confirm`, with what an allowlist or the entropy lets pass, and why."""
        ready, raw = self._ready(), path.encode("utf-8", "surrogateescape")
        if ready.path is not None and ready.path.search(raw) is None:
            return
        rule, done = self.rule, 0
        for low, high in ranges([min(len(data), end + rule.reach) for end in ends], rule.span + 2 * rule.reach):
            for start in range(low, high, _PORTION):
                stop = min(high, start + _PORTION)
                base = max(0, start - _MARGIN)
                window = bytes(data[base : stop + rule.span + _MARGIN])
                at = max(start, done) - base
                while (match := ready.pattern.search(window, at)) is not None and base + match.start() < stop:
                    at = max(match.end(), match.start() + 1)
                    done = base + at
                    yield from self._judged(data, base, match, raw)

    def _ready(self) -> _Compiled:
        if self._compiled is None:
            rule = self.rule
            allowed = tuple(
                _Allowed(each, tuple(map(compiled, each.regexes)), tuple(map(compiled, each.paths)))
                for each in rule.allowlists
            )
            self._compiled = _Compiled(
                compiled(rule.pattern), compiled(rule.path) if rule.path else None, allowed
            )
        return self._compiled

    def _judged(self, data: memoryview, base: int, match: Any, path: bytes) -> Iterator[Match | Suppressed]:
        rule, number = self.rule, self._group(match)
        start = match.start(number)
        value = match.group(number)
        # Gitleaks takes the ends of lines off what it found
        start, value = start + len(value) - len(value.lstrip(b"\n")), value.strip(b"\n")
        if not value:
            return
        start, end = base + start, base + start + len(value)
        whole = base + match.start(), base + match.end()
        if rule.keywords and not self._keyword(data, *whole, match.group(0)):
            return
        bits = plausible.entropy(value)
        if rule.entropy and bits <= rule.entropy:
            yield Suppressed(rule.id, start, end, "low-entropy")
            return
        if (reason := self._allowed(data, whole, value, match.group(0), path)) is not None:
            yield Suppressed(rule.id, start, end, reason)
            return
        evidence = (Evidence("entropy", f"{bits:.2f} bits per byte"),) if rule.entropy else ()
        yield Match(rule.id, "user-rule", rule.title, rule.severity, Confidence.MEDIUM, start, end, Secret(value),
                    evidence)  # fmt: skip

    def _group(self, match: Any) -> int:
        if self.rule.group:
            return self.rule.group
        groups = range(1, match.re.groups + 1)
        return next((number for number in groups if match.end(number) > match.start(number)), 0)

    def _keyword(self, data: memoryview, start: int, end: int, text: bytes) -> bool:
        words = [word.encode() for word in self.rule.keywords]
        lower = text.lower()
        if any(word in lower for word in words):
            return True
        around = bytes(data[max(0, start - _FRAGMENT) : end + _FRAGMENT]).lower()
        return any(word in around for word in words)

    def _allowed(
        self, data: memoryview, whole: tuple[int, int], value: bytes, text: bytes, path: bytes
    ) -> str | None:
        for allowed in self._ready().allowed:
            each = allowed.allowlist
            held: list[bool] = []
            if each.paths:
                held.append(any(expression.search(path) for expression in allowed.paths))
            if each.regexes:
                target = {Target.SECRET: value, Target.MATCH: text}.get(each.target)
                target = line_of(data, *whole) if target is None else target
                held.append(any(expression.search(target) for expression in allowed.regexes))
            if each.stopwords:
                lower = value.lower()
                held.append(any(word.encode() in lower for word in each.stopwords))
            if held and (all(held) if each.every else any(held)):
                return f"allowlist: {each.description}" if each.description else "allowlist"
        return None


def line_of(data: memoryview, start: int, end: int) -> bytes:
    """The lines that data[start:end] lies in."""
    before = bytes(data[max(0, start - _LINE) : start]).rpartition(b"\n")[2]
    after = bytes(data[end : end + _LINE]).partition(b"\n")[0]
    return before + bytes(data[start:end]) + after

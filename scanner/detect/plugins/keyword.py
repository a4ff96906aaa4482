"""The keyword detector of detect-secrets as a `Detector`: values assigned to names that sound like secrets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from scanner.detect.base import Trigger
from scanner.detect.plugins.assigned import Assignments, reads_as_assignments
from scanner.detect.plugins.catalogue import rule_id
from scanner.detect.plugins.judge import Judge
from scanner.detect.plugins.library import Library
from scanner.detect.plugins.lines import Line, affected
from scanner.detect.plugins.tally import Tally
from scanner.detect.plugins.tokens import Sighting
from scanner.detect.plugins.translate import Linear, Span
from scanner.evidence import Confidence, Match, Secret, Severity

RULE = rule_id("Secret Keyword")
_FOLDED = {"i": rb"(?:i|\xc4[\xb0\xb1])", "k": rb"(?:k|\xe2\x84\xaa)", "s": rb"(?:s|\xc5\xbf)"}
_WORDS = (
    "(?:api|auth|service|account|db|database|priv|private|client)_?key",
    "(?:db|database|key)_?pass",
    "passw(?:or)?d",
    "pwd",
    "secret",
)
_NAME = b"(?:" + b"|".join(
    b"".join(_FOLDED.get(letter, letter.encode()) for letter in word) for word in _WORDS
) + rb"|contra" + _FOLDED["s"] + rb"e(?:n|\xc3[\xb1\x91])a)"
_WORD = rb"[0-9A-Za-z_\x80-\xff]"
_SPACE = rb"[\s\x1c-\x1f\x80-\xff]*"


def _triggers() -> tuple[Trigger, ...]:
    """One for each order in which the expressions put name, sign and value."""
    signs = rb"(?::=?|[=!]{1,3}>?)"
    return (
        Trigger(
            _NAME + _WORD + rb"*(?:[\]'\"]{0,2}|\[[0-9]*\])" + _SPACE + signs + _SPACE + rb"@?['\"`]?" + _WORD,
            caseless=True,
        ),
        Trigger(_NAME + _WORD + rb"*(?:.{1,4}assign)?\(\"" + _WORD, caseless=True),
        Trigger(_NAME + rb"\S*" + _SPACE + rb"['\"`]" + _WORD + rb"[^'\"]*['\"`];", caseless=True),
        Trigger(rb"[=!]{2}" + _SPACE + _WORD + b"*" + _NAME),
    )


@dataclass(frozen=True, slots=True)
class KeywordDetector:
    """Finds assigned values. *every*: all of a line; otherwise the first of each expression, as detect-secrets."""

    library: Library
    judge: Judge
    tally: Tally
    every: bool = True

    @property
    def triggers(self) -> Sequence[Trigger]:
        """The expressions of the first pass."""
        return _triggers()

    def sightings(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Sighting]:
        """Every assigned value, unjudged; one value may come from several expressions."""
        project, kind = self.library.project, self.library.kind(path)
        expressions = self.library.keyword(path)
        assignments = Assignments(data, kind, project) if reads_as_assignments(data, kind) else None
        for line in affected(data, ends, project):
            if line.cut:
                self.tally.add(RULE, "line-in-windows")
            for number, expression in enumerate(expressions):
                for span in self._spans(expression, line):
                    if line.at_cut(span.whole_start, span.whole_end):
                        continue
                    quoted = line.text[span.end : span.end + 1] in ("'", '"', "`")
                    value = line.text[span.start : span.end]
                    start, end = line.offset(span.start), line.offset(span.end)
                    yield Sighting(start, end, value, line, span.start, quoted, number)
            if assignments is not None:
                yield from self._assigned(assignments, line, expressions)

    def _spans(self, expression: Linear, line: Line) -> Iterator[Span]:
        spans = expression.spans(line.projected, line.text)
        return spans if self.every else islice(spans, 1)

    def _assigned(self, assignments: Assignments, line: Line, expressions: Sequence[Linear]) -> Iterator[Sighting]:
        for view in assignments.views(line):
            for number, expression in enumerate(expressions):
                for found in islice(expression.spans(view.line.projected, view.line.text), 1):
                    start, end = view.offset(found.start), view.offset(found.end)
                    if start is not None and end is not None:
                        value = view.line.text[found.start : found.end]
                        yield Sighting(start, end, value, view.source, view.start, False, number, True)

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """The assigned values in *data* that might be secrets, each once."""
        seen: set[int] = set()
        for sighting in self.sightings(data, ends, path):
            # expressions that end a value at different places mean the same assignment
            if sighting.start in seen or sighting.end <= sighting.start:
                continue
            seen.add(sighting.start)
            reason = self.judge.keyword_reason(sighting.value, sighting.line, sighting.place)
            if reason is not None:
                self.tally.add(RULE, reason)
                continue
            telling = (sighting.quoted or sighting.rewritten) and self.judge.telling(sighting.value)
            yield Match(
                rule_id=RULE,
                detector="detect-secrets",
                title="Value assigned to a name that sounds like a secret",
                severity=Severity.HIGH if telling else Severity.MEDIUM,
                confidence=Confidence.MEDIUM if telling else Confidence.LOW,
                start=sighting.start,
                end=sighting.end,
                secret=Secret(bytes(data[sighting.start : sighting.end])),
            )

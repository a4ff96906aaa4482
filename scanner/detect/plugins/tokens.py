"""A token-shaped detector of detect-secrets as a `Detector`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scanner.detect import plausible
from scanner.detect.base import Trigger
from scanner.detect.plugins.assigned import Assignments, reads_as_assignments
from scanner.detect.plugins.catalogue import Kind, rule_id
from scanner.detect.plugins.judge import Judge, ascends, is_name, placeholder
from scanner.detect.plugins.library import Library
from scanner.detect.plugins.lines import WHOLE, Line, affected
from scanner.detect.plugins.tally import Tally
from scanner.evidence import Confidence, Match, Secret

#: what a token's signature, which the expression for JWTs leaves out, is made of
_JWT_REST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=")


class Sighting(NamedTuple):
    """A value that a plugin matches, before any judgement.

    Attributes:
        start, end: offsets of the value in the content.
        value: its text, undecodable bytes surrogate-escaped.
        line: the line it stands in, *place* its first character there.
        place: as above.
        quoted: whether quotes stand around it in the content.
        expression: which of the plugin's expressions matched, in its order.
        rewritten: whether it was seen only after rewriting the line as an assignment.
    """

    start: int
    end: int
    value: str
    line: Line
    place: int
    quoted: bool
    expression: int = 0
    rewritten: bool = False


@dataclass(frozen=True, slots=True)
class TokenDetector:
    """Finds what one token-shaped plugin finds, each value with its own span."""

    kind: Kind
    library: Library
    judge: Judge
    tally: Tally

    @property
    def triggers(self) -> Sequence[Trigger]:
        """The expressions of the first pass."""
        return self.kind.triggers

    def sightings(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Sighting]:
        """Every value that the plugin matches, unjudged; one value may come from several expressions."""
        project = self.library.project
        expressions = self.library.expressions(self.kind.module, self.kind.name, self.kind.whole)
        kind = self.library.kind(path) if self.kind.assigned else ""
        assignments = Assignments(data, kind, project) if kind and reads_as_assignments(data, kind) else None
        # where a match has a greatest length, more of a long line than that cannot matter
        reach = min(WHOLE, 4 * max(expression.width for expression in expressions) + 64)
        for line in affected(data, ends, project, WHOLE if assignments is not None else reach):
            if line.cut and reach == WHOLE:
                self.tally.add(rule_id(self.kind.secret_type), "line-in-windows")
            for number, expression in enumerate(expressions):
                for span in expression.spans(line.projected, line.text):
                    if line.at_cut(span.whole_start, span.whole_end):
                        continue
                    end = span.end
                    if self.kind.module == "jwt":
                        if not self._is_jwt(line.text[span.start : end]):
                            continue
                        end = _jwt_end(line.text, end)
                    yield _sighting(line, span.start, end, number)
            if assignments is not None:
                yield from self._assigned(assignments, line)

    def _assigned(self, assignments: Assignments, line: Line) -> Iterator[Sighting]:
        expressions = self.library.expressions(self.kind.module, self.kind.name, self.kind.whole)
        for view in assignments.views(line):
            for number, expression in enumerate(expressions):
                for span in expression.spans(view.line.projected, view.line.text):
                    start, end = view.offset(span.start), view.offset(span.end)
                    if start is not None and end is not None:
                        value = view.line.text[span.start : span.end]
                        yield Sighting(start, end, value, view.source, view.start, False, number, True)

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """The matches of the plugin in *data*, each once."""
        seen: set[tuple[int, int]] = set()
        rule = rule_id(self.kind.secret_type)
        judged: dict[tuple[str, str, bool], Confidence] = {}  # a file may repeat one value without end
        for sighting in self.sightings(data, ends, path):
            span = (sighting.start, sighting.end)
            if span in seen or sighting.end <= sighting.start:
                continue
            seen.add(span)
            reason = self._reason(sighting)
            if reason is not None:
                self.tally.add(rule, reason)
                continue
            yield Match(
                rule_id=rule,
                detector="detect-secrets",
                title=self.kind.title,
                severity=self.kind.severity,
                confidence=self._confidence(sighting, judged),
                start=sighting.start,
                end=sighting.end,
                secret=Secret(bytes(data[sighting.start : sighting.end])),
            )

    def _reason(self, sighting: Sighting) -> str | None:
        """Tokens have their shape; passwords in URLs are often variables, four numbers often a version."""
        if self.kind.module in ("basic_auth", "npm"):
            return self.judge.filtered(sighting.value, ("template", "variable", "sequence"))
        if self.kind.module == "ip_public":
            return self.judge.address_reason(sighting.value, sighting.line.text, sighting.place)
        return None

    def _confidence(self, sighting: Sighting, judged: dict[tuple[str, str, bool], Confidence]) -> Confidence:
        value, text, place = sighting.value, sighting.line.text, sighting.place
        around = text[max(0, place - 1) : place] + text[place + len(value) : place + len(value) + 1]
        key = value, around, sighting.rewritten
        if key not in judged:
            judged[key] = self._judged(sighting, around)
        return judged[key]

    def _judged(self, sighting: Sighting, around: str) -> Confidence:
        value = sighting.value
        if self.kind.module == "basic_auth":
            return self.kind.confidence if self.judge.telling(value) else Confidence.LOW
        inside = any(neighbour.isalnum() or neighbour == "_" for neighbour in around) and not sighting.rewritten
        raw = value.encode("utf-8", "surrogateescape")
        if plausible.broken(raw) is not None or plausible.test_mode(raw) is not None:
            return Confidence.LOW
        if inside or placeholder(value) or is_name(value) or ascends(value):
            return Confidence.LOW
        return self.kind.confidence

    def _is_jwt(self, value: str) -> bool:
        try:
            return self.library.is_jwt(value)
        except RecursionError:  # JSON nested a thousand deep is no token
            return False


def _sighting(line: Line, start: int, end: int, number: int) -> Sighting:
    quoted = start > 0 and end < len(line.text) and line.text[start - 1] == line.text[end] and line.text[end] in "'\"`"
    return Sighting(line.offset(start), line.offset(end), line.text[start:end], line, start, quoted, number)


def _jwt_end(text: str, end: int) -> int:
    """Where the token ends whose header and claims end before *end*: the signature belongs to it."""
    if text[end - 1 : end] != ".":
        return end
    while end < len(text) and text[end] in _JWT_REST:
        end += 1
    return end

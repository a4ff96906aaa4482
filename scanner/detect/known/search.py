"""A detector for each value that the user gave: cheap triggers for all its forms, one exact comparison for each hit.

The triggers are parts of the value, so their database is compiled in memory and never kept (`Group.KNOWN`).
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scanner.detect.base import Group, Trigger
from scanner.detect.known.encoded import Decoded, aligned, base64_around, hex_around, wide_around, widened
from scanner.detect.known.spelled import Spelled, exact, style, telling
from scanner.evidence import KNOWN_SECRET, Confidence, Evidence, Match, Secret, Severity
from scanner.limits import KIB
from scanner.secrecy.redact import spellings

#: of a longer value so many bytes are looked for: with all escapes they fit between two windows
LONGEST = 16 * KIB
#: bytes of a value that its encoded forms are told by: 14 to 16 characters of base64, looked for in two halves
_SEGMENT = 12
_HEX, _WIDE = 4, 8
#: a run of fewer bytes has base64 forms that occur by chance
_ENOUGH = 5
#: sightings in one content; more of one value in one file are no news
_MOST = 64
#: bytes that are decoded around a trigger, beyond what the value takes
_SLACK = 512
#: a break in each line of so many characters makes base64 this much longer
_WRAPPED = 1.5
#: what evidence says of a sighting that is no part
WHOLE = "the whole value"
_FIRST = 16  # bytes of a spelling that has no core


@dataclass(frozen=True, slots=True)
class Name:
    """What a value is called: the id of its secret, and which part of that it is ('' for the whole value)."""

    secret: str
    part: str = ""


@dataclass(frozen=True, slots=True)
class _Form:
    """What a trigger saw: raw text, or the encoded form of a segment; *phase* is of base64 at the trigger's end."""

    kind: str
    phase: int = 0


class KnownDetector:
    """Finds one value (`detect.base.Detector`).

    Args:
        value: the bytes to be found.
        names: every secret and part that has this value.
        telling: whether having the value is having the secret; users and hosts alone are information.
    """

    def __init__(self, value: bytes, names: Sequence[Name], telling: bool = True) -> None:
        self._value = value[:LONGEST]
        self.names = tuple(names)
        self._telling = telling
        self._spelled = Spelled(self._value)
        self._segment = _most_telling(self._value)
        self._forms: dict[bytes, _Form] = {}
        self._triggers = tuple(self._build())
        self._lengths = sorted({len(form) for form in self._forms}, reverse=True)

    def __repr__(self) -> str:
        return f"KnownDetector({', '.join(name.secret for name in self.names)})"

    @property
    def triggers(self) -> Sequence[Trigger]:
        """The expressions of the first pass."""
        return self._triggers

    @property
    def segment(self) -> bytes:
        """The bytes of the value that are the least likely to occur by chance."""
        return self._segment

    @property
    def wide(self) -> tuple[bytes, bytes]:
        """A few characters of the value as UTF-16, little-endian and big-endian."""
        few = _whole(self._value, self.segment, _WIDE)
        return widened(few, True), widened(few, False)

    def _build(self) -> Iterator[Trigger]:
        yield from self._text_triggers()
        segment = self.segment
        for form, before in aligned(segment):
            middle = len(form) // 2
            for part, size in ((form[:middle], middle), (form[middle:], len(form))):
                self._forms[part] = _Form("base64", (before + size) % 4)
                yield Trigger(exact(part), group=Group.KNOWN)
        for half in (segment[:_HEX], segment[_HEX : 2 * _HEX]):
            self._forms[half.hex().encode()] = _Form("hex")
            yield Trigger(half.hex().encode(), caseless=True, group=Group.KNOWN)
        for wide, codec in zip(self.wide, ("utf-16-le", "utf-16-be"), strict=True):
            self._forms[wide] = _Form(codec)
            yield Trigger(exact(wide), group=Group.KNOWN)
        for run in self._escaped_runs():  # the value may be escaped before it is encoded
            for form, before in aligned(run):
                if form not in self._forms:
                    self._forms[form] = _Form("base64", (before + len(form)) % 4)
                    yield Trigger(exact(form), group=Group.KNOWN)

    def _escaped_runs(self) -> Iterator[bytes]:
        """Runs of which every escaped spelling has one: a long core, else a few bytes of each usual spelling."""
        core = self._value[slice(*self._spelled.core)] if self._spelled.core is not None else b""
        if len(core) >= _ENOUGH:
            yield core
            return
        for spelled in self._escaped():
            yield spelled[slice(*telling(spelled, _SEGMENT))]

    def _escaped(self) -> set[bytes]:
        """The usual spellings of the value, those for JSON within JSON among them."""
        once = spellings(self._value)
        twice = {json.dumps(text, ensure_ascii=False)[1:-1] for text in once if "\\" in text}
        return {text.encode("utf-8", "surrogateescape") for text in (*once, *twice, *map(html.escape, once))}

    def _text_triggers(self) -> Iterator[Trigger]:
        expression = self._spelled.trigger()
        if expression is not None:
            yield Trigger(expression, group=Group.KNOWN)
            return
        starts = {text[:_FIRST] for text in self._escaped()}
        first, last = telling(self._value, 6)
        starts.add(self._value[first:last])
        for start in sorted(starts | {self._value[:_FIRST]}):
            yield Trigger(exact(start), caseless=b"%" in start, group=Group.KNOWN)

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """Every place where *data* holds the value, in whatever form a trigger told (`base.Detector`)."""
        del path
        seen: set[tuple[int, int]] = set()
        reached: dict[str, int] = {}
        for end in ends:
            for match in self._around(data, end, reached):
                if (match.start, match.end) not in seen:
                    seen.add((match.start, match.end))
                    yield match
            if len(seen) >= _MOST:
                return

    def _around(self, data: memoryview, end: int, reached: dict[str, int]) -> Iterator[Match]:
        """The matches that a trigger ending at *end* belongs to; *reached* is where the last ones ended, by kind."""
        before = bytes(data[max(0, end - self._lengths[0]) : end])
        forms = [form for size in self._lengths if (form := self._form(before[-size:])) is not None]
        for form in (*forms, _Form("text")):
            if end <= reached.get(form.kind, 0):
                continue
            for match in self._decoded(data, end, form):
                reached[form.kind] = max(match.end, reached.get(form.kind, 0))
                yield match

    def _form(self, seen: bytes) -> _Form | None:
        return self._forms.get(seen) or self._forms.get(seen.lower())

    def _decoded(self, data: memoryview, end: int, form: _Form) -> Iterator[Match]:
        reach = self._spelled.reach
        if form.kind == "base64":
            reach = int(reach * 4 / 3 * _WRAPPED)
        elif form.kind != "text":
            reach *= 4 if form.kind == "hex" else 2
        low, high = max(0, end - reach - _SLACK), min(len(data), end + reach + _SLACK)
        if form.kind.startswith("utf-16"):
            low += (end - low) % 2
        near = bytes(data[low:high])
        if form.kind == "text":
            for start, stop in self._spelled.spans(near):
                yield self._match(low + start, near[start:stop], style(near[start:stop], self._value))
            return
        for decoded in self._readings(near, end - low, form):
            spans = list(self._spelled.spans(decoded.plain))
            for start, stop in spans:
                first, last = decoded.back(start, stop)
                undone = (decoded.encoding, *style(decoded.plain[start:stop], self._value))
                yield self._match(low + first, near[first:last], undone)
            if spans:
                return

    @staticmethod
    def _readings(near: bytes, at: int, form: _Form) -> Iterable[Decoded]:
        if form.kind == "base64":
            return base64_around(near, at, form.phase)
        return hex_around(near, at) if form.kind == "hex" else (wide_around(near, at, form.kind),)

    def _match(self, start: int, stored: bytes, encoding: tuple[str, ...]) -> Match:
        named = "; ".join(f"{name.secret} ({name.part})" if name.part else name.secret for name in self.names)
        return Match(
            rule_id=KNOWN_SECRET,
            detector=KNOWN_SECRET,
            title=f"Known secret {named}",
            severity=Severity.CRITICAL if self._telling else Severity.MEDIUM,
            confidence=Confidence.HIGH if self._telling else Confidence.LOW,
            start=start,
            end=start + len(stored),
            secret=Secret(self._value),
            evidence=tuple(Evidence(KNOWN_SECRET, name.secret, name.part or WHOLE) for name in self.names),
            gains="" if self._telling else "No secret by itself: it belongs to one that was given.",
            encoding=encoding,
            stored=None if stored == self._value else Secret(stored),
        )


def _most_telling(value: bytes) -> bytes:
    first, last = telling(value, _SEGMENT)
    return value[first:last]


def _whole(value: bytes, segment: bytes, length: int) -> bytes:
    """Up to *length* bytes of *value* from the start of *segment* that cut no character in two."""
    start = value.find(segment)
    while start > 0 and value[start] & 0xC0 == 0x80:
        start -= 1
    end = min(len(value), start + length)
    while end < len(value) and value[end] & 0xC0 == 0x80:
        end += 1
    return value[start:end]


def segments(detectors: Iterable[KnownDetector]) -> tuple[list[bytes], list[bytes]]:
    """What the detectors' values are told by within encodings of encodings (`content.signals`): bytes as they are, and
    as UTF-16."""
    found = list(detectors)
    return sorted({each.segment for each in found}), sorted({wide for each in found for wide in each.wide})

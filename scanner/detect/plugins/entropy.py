"""The two entropy detectors of detect-secrets as one `Detector`: quoted strings of base64 or hexadecimal characters.

Entropy above a limit needs characters that differ: more than 4.5 bits need 23, more than 3 bits need 9. So the
triggers ask for runs of these lengths, and counting different characters settles most of what fires.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from scanner.detect.base import Group, Trigger
from scanner.detect.plugins.assigned import Assignments, Rewritten, reads_as_assignments
from scanner.detect.plugins.catalogue import rule_id
from scanner.detect.plugins.judge import BULK, DIGEST_LENGTHS, Judge, names_secret
from scanner.detect.plugins.library import EntropyPlugin, Library
from scanner.detect.plugins.lines import Line, affected, line_end, line_start, make_line
from scanner.detect.plugins.tally import Tally
from scanner.detect.plugins.tokens import Sighting
from scanner.evidence import Confidence, Evidence, Match, Secret, Severity

#: plugin class, rule, how many different characters its limit needs, title
PLUGINS = (
    ("Base64HighEntropyString", rule_id("Base64 High Entropy String"), 23, "Random-looking base64 string"),
    ("HexHighEntropyString", rule_id("Hex High Entropy String"), 9, "Random-looking hexadecimal string"),
)
_RUN = rb"(?:[A-Za-z0-9+/\\_=-]{23,}|[0-9A-Fa-f]{9,})"
_TRIGGERS = (
    Trigger(rb"['\"]" + _RUN + rb"['\"]", group=Group.QUOTED),
    Trigger(rb"[=:][ \t]*" + _RUN + rb"[ \t]*(?:[\r\n]|[ \t]#|\z)", group=Group.SETTINGS),
    Trigger(rb"[\r\n][ \t]+" + _RUN + rb"[ \t]*(?:[\r\n]|\z)", group=Group.SETTINGS),
)
_QUOTES = b"'\""
_HEX = b"0123456789abcdefABCDEF"
#: a line that ends in a hexadecimal digest behind its label
_LABELLED = re.compile(rb"[\r\n]([^\r\n:=]{1,60}[:=][ \t]*)([0-9a-fA-F]{32,128})[ \t]*[\r\n]?\Z")
#: n times the logarithm of n, to base 2
_WEIGHTS = (0.0, *(count * math.log2(count) for count in range(1, 1024)))
#: a quoted string may be this long; longer ones are counted, not measured
LONGEST = 1 << 20


def _checksum(value: bytes, before: bytes) -> str | None:
    """The reason of those that `Judge.string_reason` gives most often, told from bytes."""
    if value.startswith((b"sha1-", b"sha256-", b"sha384-", b"sha512-")):
        return "checksum"
    if len(value) not in DIGEST_LENGTHS or value.strip(_HEX):
        return None
    return None if names_secret(before) else "digest"


def _high(number: int, plugin: EntropyPlugin, value: bytes, different: Collection[int]) -> bool:
    """Whether *value* is above the limit of a plugin; *different* are its bytes, each once."""
    if len(different) < PLUGINS[number][2] or value.strip(plugin.characters):
        return False
    length = len(value)
    counts = map(value.count, different)
    if length < len(_WEIGHTS):
        bits = math.log2(length) - sum(map(_WEIGHTS.__getitem__, counts)) / length
    else:
        bits = math.log2(length) - sum(count * math.log2(count) for count in counts) / length
    # the plugin's own sum decides where rounding could, and where it takes something off for numbers
    if abs(bits - plugin.limit) > 1e-6 and not value.isdigit():
        return bits > plugin.limit
    return plugin.entropy(value.decode("ascii")) > plugin.limit


@dataclass(slots=True)
class _Chain:
    """Quoted strings that share quotes (`"a"b"c"`), walked once from their first quote to tell which ones are."""

    plugin: EntropyPlugin
    _end: int = 0
    _spans: Iterator[tuple[int, int]] = field(default_factory=lambda: iter(()))
    _last: tuple[int, int] = (0, 0)

    def opens(self, data: memoryview, quote: int, close: int) -> bool:
        """Whether the quote at *quote* opens the string that ends before *close*. Asked in ascending order."""
        if quote >= self._end:
            start = self._start(data, quote)
            if start == quote:
                return True
            self._end = self._stop(data, quote)
            found = self.plugin.quoted.finditer(data[: self._end], start)
            self._spans = (match.span(2) for match in found)
        while self._last[1] < close:
            following = next(self._spans, None)
            if following is None:
                return False
            self._last = following
        return self._last == (quote + 1, close)

    def _start(self, data: memoryview, quote: int) -> int:
        """The first quote of the chain that *quote* ends."""
        links = self.plugin.characters + _QUOTES
        low, step = quote, 64
        while low > 0:
            floor = max(0, low - step)
            kept = len(bytes(data[floor:low]).rstrip(links))
            low, step = floor + kept, min(step * 8, 1 << 16)
            if kept:
                break
        block = bytes(data[low : min(quote, low + 4096)])
        places = [place for place in (block.find(b"'"), block.find(b'"')) if place >= 0]
        return low + min(places) if places else low if len(block) == 4096 else quote

    def _stop(self, data: memoryview, quote: int) -> int:
        """Where the chain of *quote* ends."""
        links, high = self.plugin.characters + _QUOTES, quote
        while high < len(data):
            chunk = bytes(data[high : high + (1 << 16)])
            left = len(chunk.lstrip(links))
            high += len(chunk) - left
            if left:
                break
        return high


@dataclass(frozen=True, slots=True)
class EntropyDetector:
    """Finds quoted strings, and values of configuration files, whose characters look random."""

    library: Library
    judge: Judge
    tally: Tally

    @property
    def triggers(self) -> Sequence[Trigger]:
        """The expressions of the first pass."""
        return _TRIGGERS

    def strings(
        self, data: memoryview, ends: Sequence[int], judged: bool = False
    ) -> Iterator[tuple[int, int, int, bytes]]:
        """Every quoted string above a plugin's limit, as (plugin, start, end, value).

        Data, checksums and digests are most of them; *judged* counts these in the tally instead, before any arithmetic.
        """
        chains = [_Chain(self.library.entropies[name]) for name, *_ in PLUGINS]
        least = PLUGINS[0][2]
        for end in ends:
            if data[end - 1] not in _QUOTES:
                continue
            window = bytes(data[max(0, end - 160) : end])
            opening = max(window.rfind(b'"', 0, -1), window.rfind(b"'", 0, -1))
            if opening < 0:
                window = self._longer(data, end)
                opening = max(window.rfind(b'"', 0, -1), window.rfind(b"'", 0, -1))
            if opening < 0 or window[opening] != window[-1]:
                continue
            value = window[opening + 1 : -1]
            if judged and len(value) > BULK:
                self.tally.add(PLUGINS[0][1], "bulk")
                continue
            different = frozenset(value)
            if len(different) < least and value.strip(_HEX):  # most are names and words, and no plugin's
                continue
            if judged and (reason := _checksum(value, window[max(0, opening - 80) : opening])):
                self.tally.add(PLUGINS[len(different) < least][1], reason)
                continue
            close = end - 1
            start = close - len(value)
            for number, chain in enumerate(chains):
                if _high(number, chain.plugin, value, different) and chain.opens(data, start - 1, close):
                    yield number, start, close, value

    def _longer(self, data: memoryview, end: int) -> bytes:
        """The content before *end*, back to a quote or as far as a string may be long."""
        size = 160
        while size < LONGEST and size < end:
            size *= 8
            window = bytes(data[max(0, end - size) : end])
            if window.rfind(b'"', 0, -1) >= 0 or window.rfind(b"'", 0, -1) >= 0:
                return window
        if size < end:
            self.tally.add(PLUGINS[0][1], "longer-than-measured")
        return b"\0"

    def sightings(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Sighting]:
        """Every string above a limit, unjudged; `expression` says which plugin."""
        for number, start, end, value in self.strings(data, ends):
            yield self._sighting(data, number, start, end, value)
        bare = [end for end in ends if data[end - 1] not in _QUOTES]
        if bare and reads_as_assignments(data, self.library.kind(path)):
            yield from self._values(data, bare, path)

    def _sighting(self, data: memoryview, number: int, start: int, end: int, value: bytes) -> Sighting:
        line = self._line(data, start)
        place = len(bytes(data[line.start : start]).decode("utf-8", "surrogateescape"))
        return Sighting(start, end, value.decode("ascii"), line, place, True, number)

    def _values(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Sighting]:
        """What is seen only as the value of an assignment."""
        assignments = Assignments(data, self.library.kind(path), self.library.project)
        for line in affected(data, ends, self.library.project):
            for view in assignments.views(line):
                yield from self._assigned(view)

    def _assigned(self, view: Rewritten) -> Iterator[Sighting]:
        for number, (name, *_) in enumerate(PLUGINS):
            plugin = self.library.entropies[name]
            for found in plugin.quoted.finditer(view.line.projected):
                if not _high(number, plugin, found[2], frozenset(found[2])):
                    continue
                start, end = view.offset(found.start(2)), view.offset(found.end(2))
                if start is not None and end is not None:
                    value = found[2].decode("ascii")
                    yield Sighting(start, end, value, view.source, view.start, False, number, True)

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """The strings in *data* that might be secrets, each once. Cheap reasons go before those that need the line."""
        seen: set[tuple[int, int, int]] = set()
        for number, start, end, value in self.strings(data, ends, True):
            before = bytes(data[max(0, start - 80) : start]).decode("latin-1").rpartition("\n")[2]
            reason = self.judge.string_reason(value.decode("ascii"), before)
            seen.add((number, start, end))
            if reason is not None:
                self.tally.add(PLUGINS[number][1], reason)
                continue
            yield from self._judged(data, self._sighting(data, number, start, end, value))
        for sighting in self._values(data, self._unsettled(data, ends, path), path):
            span = (sighting.expression, sighting.start, sighting.end)
            if span in seen:
                continue
            seen.add(span)
            before = sighting.line.text[max(0, sighting.place - 80) : sighting.place]
            reason = self.judge.string_reason(sighting.value, before)
            if reason is None:
                yield from self._judged(data, sighting)
            else:
                self.tally.add(PLUGINS[sighting.expression][1], reason)

    def _unsettled(self, data: memoryview, ends: Sequence[int], path: str) -> list[int]:
        """Those of *ends* where an assignment may end, but not `name: digest`, which package indexes are full of."""
        bare = [end for end in ends if data[end - 1] not in _QUOTES]
        if not bare or not reads_as_assignments(data, self.library.kind(path)):
            return []
        unsettled = []
        for end in bare:
            before, _, value = bytes(data[max(0, end - 160) : end]).rstrip(b" \t\r\n").rpartition(b": ")
            if value and _checksum(value, before[before.rfind(b"\n") + 1 :]):
                self.tally.add(PLUGINS[1][1], "digest")
                continue
            label = _LABELLED.search(bytes(data[max(0, end - 160) : end]))
            reason = None
            if label is not None:
                reason = self.judge.string_reason(label[2].decode("ascii"), label[1].decode("latin-1"))
            if reason in ("digest", "checksum"):
                self.tally.add(PLUGINS[1][1], reason)
            else:
                unsettled.append(end)
        return unsettled

    def _judged(self, data: memoryview, sighting: Sighting) -> Iterator[Match]:
        name, rule, _, title = PLUGINS[sighting.expression]
        reason = self.judge.filtered(sighting.value) or self.judge.line_filtered(sighting.line, sighting.place)
        if reason is not None:
            self.tally.add(rule, reason)
            return
        bits = self.library.entropies[name].entropy(sighting.value)
        yield Match(
            rule_id=rule,
            detector="detect-secrets",
            title=title,
            severity=Severity.MEDIUM,
            confidence=Confidence.LOW,
            start=sighting.start,
            end=sighting.end,
            secret=Secret(bytes(data[sighting.start : sighting.end])),
            evidence=(Evidence("entropy", f"{bits:.2f} bits per character"),),
        )

    def _line(self, data: memoryview, at: int) -> Line:
        """The line around *at*, at most a thousand bytes on either side."""
        start, complete = line_start(data, at, 1000)
        end, ended = line_end(data, at, 1000 + BULK)
        return make_line(data, start, end, self.library.project, not complete, not ended)

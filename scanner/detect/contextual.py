"""Finds credentials that have no shape of their own by the name of their issuer near them.

One mechanism over the rows of rulepack/context.toml: the issuer's word, then, within a short distance, a value of the
issuer's shape that looks random, and something that says that the value is a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scanner.detect import dialect, plausible
from scanner.detect.base import Explaining, Trigger
from scanner.detect.context import Context, context_of
from scanner.detect.spans import Suppressed, escape_before, in_picture, ranges
from scanner.errors import RulePackError
from scanner.evidence import Confidence, Evidence, Match, Secret, Severity

#: bytes between the issuer's word and the value at most: on the same line, and with lines between them
_SAME_LINE, _OTHER_LINE = 60, 90
#: the longest value, and how much a word may be longer than the place where its trigger ends tells
_LONGEST, _WORD = 1000, 40
#: a window of the content is copied in portions of this many bytes
_PORTION = 1 << 16
#: what stands between a word and a value for the first pass: something that ends a word, then a run with a digit
_RUN = (
    rb"[^A-Za-z0-9](?:[A-Za-z_+/=~.-]*[0-9][A-Za-z0-9_+/=~.-]{6}|[A-Za-z_+/=~.-]{12,}[0-9]|[A-Za-z+/]{28})"
)
#: the sign of an assignment right behind a word, in quotes or not
_ASSIGNED = rb"[\"'\]]{0,2}[ \t]{0,4}[:=][ \t]{0,4}[\"']?"
_IS_ASSIGNED = re.compile(_ASSIGNED)
_SAYS_SECRET_FIRST = rb"(?:key|token|secret|pass|pwd|auth|cred|access|private)"
#: a word that says that a value is secret
_SECRET = (
    rb"api[-_. ]?key|key|token|secret|passw|passphrase|pwd|auth(?!or)|credential|bearer|private|access|license"
    rb"|\bpat\b"
)
_SAYS_SECRET = re.compile(_SECRET, re.IGNORECASE)
#: the same, as the name or the opening tag that the value belongs to
_NAMES_VALUE = re.compile(
    rb"(?:" + _SECRET + rb")[\w.-]{0,12}[\"'\])]{0,2}[ \t]*[=:>({ ]{1,4}(?:\s{1,20}|[^\n]{0,16})\Z", re.IGNORECASE
)
#: the same for a comment, and a setting of any name in the line below it
_HEADS_VALUE = re.compile(
    rb"[^\n]{0,30}?(?:" + _SECRET + rb")[^\n]{0,16}\n[ \t]*(?:export |const |let |var |set )?[\w.-]{1,40}[\"']?"
    rb"[ \t]*[:=][ \t]*[\"']?",
    re.IGNORECASE,
)
_IN_COMMENT = re.compile(rb"(?:^|\n)[ \t]*(?:#|//|--|;|\*|<!--)[^\n]{0,50}\Z")
#: a word that must follow an issuer's name that is an ordinary word too
_FOLLOWS_COMMON = re.compile(
    rb"(?:[-_. \"']{0,3}(?:api|app|io|bot|cloud|web|rest|org|user|my|the|is|test|prod|live|dev|client|personal"
    rb"|master|v[0-9])){0,3}"
    rb"[-_. \"':]{0,4}(?:" + _SECRET + rb")",
    re.IGNORECASE,
)
#: a secret word right before an issuer's name: `token: acme …`
_LEADS = re.compile(
    rb"(?:secret|token|key|password)[\"'>\])]{0,2}[ \t]{0,3}[=:>]{0,2}[ \t]{0,3}[{(\"']{0,2}\Z", re.IGNORECASE
)
#: nothing but signs and words without meaning
_DIRECT = re.compile(
    rb"(?:[-_.: \t\"'=>(<{\[|,`]|api|app|client|sdk|is|my|the|prod|live|dev|test|com|net|io|org|v[0-9]"
    rb"|AQAAABAAA){1,12}",
    re.IGNORECASE,
)
#: names of values that are public, or only name the other half of a pair
_NO_SECRET_NAME = re.compile(
    rb"(?:^|[-_. \"'])?(?:id|ids|uuid|guid|user(?:name)?|email|mail|host|url|uri|domain|name|org|tenant|region"
    rb"|version|account"
    rb"|project|subscription|region|bucket|site[-_]?key|public[-_]?key|publishable[-_]?key|key[-_]?id|token[-_]?id"
    rb"|fingerprint"
    rb"|sha-?[0-9]{0,3}|md5|hash|digest|checksum|commit|rev|revision|etag|integrity|sri|nonce|build|ref|branch|tag"
    rb"|path|file|image|release|session|trace|span"
    rb"|request[-_]?id)[\"'\])]{0,2}[ \t]*[=:>@, /-]{1,4}[\"'({\[ ]{0,3}\Z",
    re.IGNORECASE,
)
_CAMEL_ID = re.compile(rb"[a-z]I[dD][\"'\])]{0,2}[ \t]*[=:>, ]{1,4}[\"'({\[ ]{0,3}\Z")
_HASH_BEFORE = re.compile(rb"sha(?:1|224|256|384|512)?[-:=]\Z|h1:\Z|\.(?:tgz|git)#\Z", re.IGNORECASE)
#: a path in front of a digest: lists of files
_LISTED = re.compile(rb"[/.][\w.-]+[ \t]{1,4}\Z")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_DIGEST = re.compile(rb"[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")
_UUID = re.compile(rb"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_LINE_START = re.compile(rb"(?:^|[\r\n])[ \t]*(?:export |const |let |var |set |ENV |ARG |- )?[\"']?\Z")
_WORD_BYTE = re.compile(rb"[A-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class Issuer:
    """One row of the data.

    Attributes:
        name: of the issuer.
        kind: what the value is: key, token, secret ...
        words: that name the issuer, in lower case.
        common: those of *words* that are also ordinary words.
        shapes: expressions of RE2, letters in either case.
    """

    name: str
    kind: str
    words: tuple[str, ...]
    common: frozenset[str]
    shapes: tuple[str, ...]


def issuers_of(rows: Sequence[Any], where: str) -> tuple[Issuer, ...]:
    """The rows of context.toml, checked. Raises RulePackError naming the row."""
    found = []
    for row in rows:
        if not isinstance(row, list) or len(row) < 4 or not all(isinstance(cell, str) and cell for cell in row):
            raise RulePackError(f"{where}: an issuer needs a name, a kind, words and shapes: {row!r}")
        name, kind, words, *shapes = row
        listed = words.split()
        common = frozenset(word[1:] for word in listed if word.startswith("~"))
        found.append(Issuer(name, kind, tuple(word.lstrip("~") for word in listed), common, tuple(shapes)))
    return tuple(found)


class ContextDetector(Explaining):
    """Runs all rows at once (`base.Detector`). Compiled at first use, and again in each process it is sent to."""

    def __init__(self, issuers: Sequence[Issuer]) -> None:
        self.issuers = tuple(issuers)
        self._words: Any = None
        self._by_word: Mapping[bytes, tuple[Issuer, ...]] = {}
        self._shapes: dict[str, Any] = {}

    def __reduce__(self) -> tuple[object, ...]:
        return ContextDetector, (self.issuers,)

    @property
    def triggers(self) -> Sequence[Trigger]:
        """One for each word."""
        return tuple(_triggers(self.issuers))

    def explain(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match | Suppressed]:
        """As `confirm`, with what was judged to be no secret, and why."""
        for found in self._seen(data, ends):
            badge = isinstance(found, Match) and in_picture(data, found.start, context_of(path) is Context.PROSE)
            yield Suppressed(found.rule_id, found.start, found.end, "address-of-a-picture") if badge else found

    def _seen(self, data: memoryview, ends: Sequence[int]) -> Iterator[Match | Suppressed]:
        self._prepare()
        taken: set[int] = set()
        reach = _OTHER_LINE + _WORD
        for low, high in ranges(ends, reach):
            for start in range(low, high, _PORTION):
                stop = min(high, start + _PORTION)
                base = max(0, start - 1)
                window = bytes(data[base : stop + _OTHER_LINE + _LONGEST])
                for word in self._words.finditer(window):
                    if start <= base + word.start() < stop:
                        yield from self._near(window, word.start(), word.end(), base, taken)

    def _prepare(self) -> None:
        if self._words is None:
            by_word: dict[bytes, tuple[Issuer, ...]] = {}
            for issuer in self.issuers:
                for word in issuer.words:
                    by_word[word.encode()] = (*by_word.get(word.encode(), ()), issuer)
            self._by_word = by_word
            longest_first = sorted(by_word, key=len, reverse=True)
            self._words = dialect.compile_pattern("(?i)" + "|".join(map(_quoted, longest_first)))

    def _near(
        self, window: bytes, begin: int, end: int, base: int, taken: set[int]
    ) -> Iterator[Match | Suppressed]:
        """The values behind the word at window[begin:end]."""
        word = window[begin:end].lower()
        for issuer in self._by_word.get(word, ()):
            common = word.decode("ascii") in issuer.common
            if not _stands_alone(window, begin, end, common):
                continue
            labelled = common and _stands_as_label(window, begin, end)
            told = not common or labelled or _FOLLOWS_COMMON.match(window, end) is not None
            if not told and not _begins_line(window, begin):
                continue
            for shape in issuer.shapes:
                for start, stop in self._values(window, end, shape):
                    gap, value = window[end:start], window[start:stop]
                    belongs = _belongs(gap, value, common, labelled) if told else _is_set_to(gap, value)
                    belongs = belongs or (not common and _is_headed(window, begin, gap))
                    if base + start in taken or not belongs:
                        continue
                    taken.add(base + start)
                    yield self._judged(issuer, window[start:stop], base + start)

    def _values(self, window: bytes, begin: int, shape: str) -> Iterator[tuple[int, int]]:
        """Where values of *shape* stand alone, not too far behind *begin*."""
        if (compiled := self._shapes.get(shape)) is None:
            compiled = self._shapes[shape] = dialect.compile_pattern(f"(?i){shape}")
        at = begin
        while (match := compiled.search(window, at)) is not None and match.start() - begin <= _OTHER_LINE:
            if window[match.start() : match.start() + 1] != b"=" and not _cut(window, match.start(), match.end()):
                yield match.span()
                at = match.end()
            else:
                at = match.start() + 1

    def _judged(self, issuer: Issuer, value: bytes, start: int) -> Match | Suppressed:
        rule = f"context.{re.sub('[^a-z0-9]+', '-', issuer.name).strip('-')}"
        reason = plausible.token(value) or plausible.orderly(value)
        if reason is not None:
            return Suppressed(rule, start, start + len(value), reason)
        return Match(
            rule,
            "context",
            f"{issuer.name.capitalize()} {issuer.kind}",
            Severity.HIGH,
            Confidence.MEDIUM,
            start,
            start + len(value),
            Secret(value),
            (Evidence("issuer-near", "named", f"{issuer.name} stands near, and the value has its shape"),),
            gains=f"Acts at {issuer.name} as whoever it was issued to.",
        )


def _triggers(issuers: Sequence[Issuer]) -> Iterator[Trigger]:
    words: dict[str, bool] = {}
    for issuer in issuers:
        for word in issuer.words:
            words[word] = words.get(word, True) and word in issuer.common
    for word, common in words.items():
        middle = rb".{0,24}" + _SAYS_SECRET_FIRST + rb".{0,40}" if common else rb".{0,80}"
        quoted = _quoted(word.encode()).encode("ascii")
        yield Trigger(quoted + middle + _RUN, caseless=True)
        if common:
            yield Trigger(quoted + _ASSIGNED + rb"[A-Za-z0-9_+/=~.-]{20}", caseless=True)


def _quoted(word: bytes) -> str:
    return "".join(char if char.isalnum() else f"\\x{ord(char):02x}" for char in word.decode("ascii"))


def _stands_alone(window: bytes, begin: int, end: int, common: bool) -> bool:
    """Whether the word at window[begin:end] is a word, or part of a compound name such as `myAteraKey`."""
    word, before, after = window[begin:end], window[begin - 1 : begin] if begin else b"", window[end : end + 1]
    if before.isalpha() and not (word[:1].isupper() and before.islower()) and (common or len(word) < 7):
        return False
    if not after.isalpha() or len(word) >= 8:
        return True
    if word[-1:].islower() and after.isupper():
        return True
    return _SAYS_SECRET.match(window, end) is not None or window[end : end + 3].lower() in (b"api", b"app")


def _stands_as_label(window: bytes, begin: int, end: int) -> bool:
    """Whether an ordinary word is a name here: alone in quotes or a tag, before API, or behind a secret word."""
    before, after = window[max(0, begin - 16) : begin], window[end : end + 8]
    alone = before[-1:] in (b"{", b'"', b"'", b">", b"`") and after[:1] in (b"}", b'"', b"'", b"<", b"`")
    return alone or after[:4].lower() == b" api" or _LEADS.search(before) is not None


def _belongs(gap: bytes, value: bytes, common: bool, labelled: bool) -> bool:
    """Whether what stands between an issuer's word and *value* says that the value is the issuer's secret."""
    if _NO_SECRET_NAME.search(gap) or _CAMEL_ID.search(gap) or _HASH_BEFORE.search(gap):
        return False
    if _CONTROL.search(gap) is not None:
        return False  # neighbours in a table of strings, not one text
    if _LISTED.search(gap) and _DIGEST.fullmatch(value):
        return False
    if b"\n" in gap:
        return (labelled or not common) and _NAMES_VALUE.search(gap) is not None
    if len(gap) > _SAME_LINE:
        return False
    if _SAYS_SECRET.search(gap) is not None:
        return True
    if common and not labelled:
        return False
    return (_IS_ASSIGNED if _UUID.fullmatch(value) else _DIRECT).fullmatch(gap) is not None


def _is_headed(window: bytes, begin: int, gap: bytes) -> bool:
    """Whether the word at window[begin] is in a comment that says whose key the line below sets."""
    if _HEADS_VALUE.fullmatch(gap) is None or _NO_SECRET_NAME.search(gap) or _CAMEL_ID.search(gap):
        return False
    return _IN_COMMENT.search(window[max(0, begin - 60) : begin]) is not None


def _begins_line(window: bytes, begin: int) -> bool:
    """Whether nothing but blanks, a quote or a keyword stands before window[begin] in its line."""
    return _LINE_START.search(window[max(0, begin - 40) : begin]) is not None


def _is_set_to(gap: bytes, value: bytes) -> bool:
    """Whether an ordinary word at the start of a line is set to *value*, and that is no digest, id or name."""
    if _IS_ASSIGNED.fullmatch(gap) is None or len(value) < 20 or _UUID.fullmatch(value) is not None:
        return False
    one_case = value == value.lower() or value == value.upper()
    if one_case and _DIGEST.fullmatch(value) is not None:
        return False
    return plausible.disorder(value) >= 0.38


def _cut(window: bytes, start: int, end: int) -> bool:
    """Whether window[start:end] is only a part of a longer run."""
    before, after = window[start - 1 : start], window[end : end + 1]
    if _WORD_BYTE.match(before) and _WORD_BYTE.match(window, start):
        return not escape_before(window, start)
    return _WORD_BYTE.match(after) is not None

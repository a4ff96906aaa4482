"""A rule of the pack as a detector: from where its trigger fired to matches with exact spans, checked offline."""

from __future__ import annotations

import bisect
import functools
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scanner.detect import declared, dialect, plausible
from scanner.detect.armour import key_digest
from scanner.detect.assigned import (
    judge_assigned,
    judge_command_password,
    judge_login_line,
    judge_random,
    judge_url_password,
)
from scanner.detect.base import Detector, Explaining, Trigger
from scanner.detect.checks import CHECKS
from scanner.detect.context import Context, context_of
from scanner.detect.contextual import ContextDetector
from scanner.detect.files import FileDetector
from scanner.detect.keystores import KeystoreDetector
from scanner.detect.logins import LoginDetector
from scanner.detect.manifests import ManifestDetector
from scanner.detect.outcome import Outcome, Verdict
from scanner.detect.parsed import ParsedFileDetector
from scanner.detect.published import Unpublished
from scanner.detect.rulepack import LARGEST_MATCH, Rule, RulePack
from scanner.detect.spans import (
    Suppressed,
    amid_zeros,
    escape_before,
    in_picture,
    in_symbol,
    in_table,
    inside_base64,
    past_word,
    ranges,
)
from scanner.evidence import Confidence, Evidence, Match, Secret, Severity

#: bytes of a match up to which it is remembered how it was judged
_REMEMBERED = 512
#: bytes around a window, for word edges
_MARGIN = 16
#: a window is copied in portions of this many bytes, so that a content full of triggers costs no copy of it all
_PORTION = 1 << 20
#: companions are named in evidence, up to so many bytes
_NAMED_BYTES = 80
#: a pair looks at so many candidates on each side of its companion
_TRIES = 16
#: a beginning of so many letters tells whose token it is, however long it is; a run is followed so far
_TELLING_PREFIX, _MOST_LONGER = 4, 256
#: one of so many is no accident even amid other letters
_UNMISTAKABLE_PREFIX = 5
#: where a string of a text or of C begins and ends: no format stores a length there
_TEXT_BEFORE = re.compile(rb"(?:(?:\A|[\n\r])[\t -~]?|[\t -~]{2}\x00)\Z")
_TERMINATORS, _QUOTES = (b"", b"\0", b"\n", b"\r", b'"', b"'"), (b'"', b"'", b"`")
_SCHEME = b"https://"  # that of an address which rules begin with its host
#: so much of a value may be the name of the next one
_NAME_BYTES = 64
#: no rule spells out more leading bytes than this
_LONGEST_PREFIX = 80
_COMPANIONS = ("user", "host", "id", "name")
_WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_WORD_SIGNS = frozenset(bytes((byte,)) for byte in _WORD)
#: checks of rules whose secret is a key in armour: it is known by its body, however that is laid out
_KEY_CHECKS = frozenset(("pem", "service-account"))
_SECRETS = ("secret", "secret2", "secret3")
_Names = tuple[tuple[str, int], ...]  # of groups, and their numbers
_STEP_DOWN = {Confidence.HIGH: Confidence.MEDIUM, Confidence.MEDIUM: Confidence.LOW, Confidence.LOW: Confidence.LOW}


class _Found(NamedTuple):  # a tuple, as there are a hundred thousand in an image
    """A match of the pattern; offsets in the content. *more*: the rest of a run that goes on behind it."""

    groups: Mapping[str, bytes]
    start: int
    end: int
    secret_start: int
    secret_end: int
    more: bytes = b""


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What a rule needs when it first confirms."""

    pattern: Any
    names: _Names
    near: Any
    near_names: _Names
    near_span: int
    span: int
    lead: int
    bounded: bool
    after: frozenset[int]
    secrets: tuple[dialect.Node, ...]
    leads: bool


def detectors(pack: RulePack) -> tuple[Detector, ...]:
    """A detector for each rule of *pack*, one for all its issuers, one for logins. Raises RulePackError."""
    rules = tuple(PatternDetector(rule, pack.known) for rule in pack.rules)
    if not pack.issuers:
        return rules
    guesses = (ContextDetector(pack.issuers), LoginDetector(), ManifestDetector(), FileDetector(), KeystoreDetector())
    known = dict(pack.known)  # a plain one: workers get it pickled
    return (*rules, *(Unpublished(guess, known) for guess in guesses), ParsedFileDetector(known))


class PatternDetector(Explaining):
    """Runs one rule (`base.Detector`). Compiled at first use, and again in each process it is sent to."""

    def __init__(self, rule: Rule, known: Mapping[str, str] | None = None) -> None:
        self.rule = rule
        self._known = known or {}
        self._compiled: _Compiled | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return PatternDetector, (self.rule, dict(self._known))

    @property
    def triggers(self) -> Sequence[Trigger]:
        """The one expression of the first pass. Raises RulePackError if none can be made."""
        return (self.rule.first_pass,)

    def explain(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match | Suppressed]:
        """As `confirm`, with what was judged to be no secret, and why."""
        context = context_of(path)
        seen = -1
        for found in self._found(data, ends):
            if found.secret_start < seen:
                continue
            result = self._judge(found, context)
            if isinstance(result, Match) and self._is_badge(data, found, context):
                result = Suppressed(result.rule_id, result.start, result.end, "address-of-a-picture")
            if isinstance(result, Match) and self._next_string(data, found):
                result = Suppressed(result.rule_id, result.start, result.end, "list")
            if isinstance(result, Match):
                seen = found.secret_end
            yield result

    def _is_badge(self, data: memoryview, found: _Found, context: Context) -> bool:
        """Not for rules of providers: their values work wherever somebody shows them."""
        prose = context is Context.PROSE
        return self.rule.id.startswith("assigned.") and in_picture(data, found.secret_start, prose)

    def _next_string(self, data: memoryview, found: _Found) -> bool:
        """Whether what follows a name is the next one of a program's strings, not a value that a sign sets it to."""
        if self.rule.value not in ("assigned", "random") or found.groups.get("quote", b"").strip(b"([{"):
            return False
        if found.groups.get("sign", b"=").strip() and plausible.words(found.groups["secret"], 0.38) is None:
            return False
        return in_table(data, found.start, found.end)

    # --- where ---------------------------------------------------------------------------------------------------

    def _ready(self) -> _Compiled:
        if self._compiled is None:
            rule = self.rule
            node = dialect.parse(rule.pattern)
            near = dialect.compile_pattern(rule.near.pattern) if rule.near else None
            tail = dialect.last_bytes(node)
            tail = tail if tail.bit_count() < 100 else 0  # a class that is nearly everything is no alphabet
            after = frozenset(byte for byte in range(256) if tail >> byte & 1)
            near_node = dialect.parse(rule.near.pattern) if rule.near else None
            pattern = dialect.compile_pattern(rule.pattern)
            self._compiled = _Compiled(
                pattern,
                _names_of(pattern),
                near,
                _names_of(near) if near is not None else (),
                (dialect.max_width(near_node) or _MARGIN) + _MARGIN if near_node is not None else 0,
                rule.span,
                rule.lead or rule.span,
                dialect.max_width(node) is not None,
                after | (_WORD - {0x2D}),
                tuple(group for name in _SECRETS if (group := dialect.find_group(node, name)) is not None),
                rule.pattern.startswith("(?P<secret>"),
            )
        return self._compiled

    def _found(self, data: memoryview, ends: Sequence[int]) -> Iterator[_Found]:
        compiled = self._ready()
        if compiled.near is not None:
            yield from self._found_near(data, ends, compiled)
            return
        floor = 0
        for low, high in ranges(ends, compiled.lead):
            for start in range(low, high, _PORTION):
                for found in self._search(data, max(start, floor), min(high, start + _PORTION), compiled):
                    floor = max(floor, found.secret_end - _NAME_BYTES, found.secret_start - 1)
                    yield found

    def _search(self, data: memoryview, start: int, stop: int, compiled: _Compiled) -> Iterator[_Found]:
        """The matches that begin in data[start:stop]."""
        base = max(0, start - _MARGIN)
        limit = min(len(data), stop + compiled.span + _MARGIN)
        window = bytes(data[base:limit])
        at = start - base
        while (match := compiled.pattern.search(window, at)) is not None and base + match.start() < stop:
            if match.end() == len(window) and limit < len(data) and limit - base - match.start() < LARGEST_MATCH:
                # what matched touches the cut: look again with more behind it
                limit = min(len(data), base + match.start() + LARGEST_MATCH)
                window = bytes(data[base:limit])
                continue
            found = _found_of(match, base, compiled.names)
            if (exact := self._declared(data, found, compiled)) is not None:
                found = exact
            elif not self._edges_hold(window, match, compiled) and not self._needs_no_edges(data, found):
                more = self._more(window, match, compiled)
                if not more:
                    at = self._next(window, match.start())
                    at = at if compiled.bounded else max(at, match.end())
                    continue
                found = found._replace(more=more)
            yield found
            # what was taken for a value may hold the name of the next one: `TOKEN = env.API_TOKEN || "…"`
            # and the sign before that name is what tells where the name begins
            at = max(found.secret_end - _NAME_BYTES, found.secret_start - 1, found.start + 1) - base

    def _declared(self, data: memoryview, found: _Found, compiled: _Compiled) -> _Found | None:
        """The match as long as a binary format around it says that its string is, if it is a match then."""
        if self.rule.edges == "none" or not amid_zeros(data, found.start, found.end):
            return None
        start = string = found.start
        if bytes(data[max(0, start - len(_SCHEME)) : start]) == _SCHEME:
            string -= len(_SCHEME)
        before = bytes(data[max(0, string - declared.REACH) : string])
        behind = bytes(data[found.end : found.end + 1])
        if (behind in _TERMINATORS and _TEXT_BEFORE.search(before)) or (before[-1:] == behind and behind in _QUOTES):
            return None
        for length in declared.lengths(before):
            if start < (end := string + length) <= len(data):
                match = compiled.pattern.fullmatch(bytes(data[start:end]))
                if match is not None:
                    return _found_of(match, start, compiled.names)
        return None

    def _needs_no_edges(self, data: memoryview, found: _Found) -> bool:
        """Whether it is a token whatever stands around it: amid binary data, as the strings of a program may stand one
        behind the other, if it begins as nothing else does or a checksum holds."""
        if not amid_zeros(data, found.start, found.end) or in_symbol(data, found.start):
            return False
        if self._ready().leads and self._fixed(found.groups["secret"]) >= _UNMISTAKABLE_PREFIX:
            return True
        return any(CHECKS[name](found.groups).verdict is Verdict.SURE for name in self.rule.checks)

    def _edges_hold(self, window: bytes, match: Any, compiled: _Compiled) -> bool:
        if not self._begins_a_word(window, match.start()):
            return False
        end = match.end()
        return self.rule.edges not in ("word", "right") or end == len(window) or window[end] not in compiled.after

    def _begins_a_word(self, window: bytes, start: int) -> bool:
        edges = self.rule.edges
        if edges not in ("word", "left") or not start or window[start] not in _WORD:
            return True
        if window[start - 1] in b"+/":
            return not inside_base64(window, start)
        return window[start - 1] not in _WORD or escape_before(window, start)

    def _next(self, window: bytes, start: int) -> int:
        """Where the next match may begin, after one at *start* whose edges do not hold: amid a long word none does, and
        trying each of its letters would cost more than all the rest of a text that is made for it."""
        return past_word(window, start) if not self._begins_a_word(window, start) else start + 1

    def _more(self, window: bytes, match: Any, compiled: _Compiled) -> bytes:
        """What a run that begins like a token has behind the longest known one, nothing if it begins otherwise.

        Issuers make their tokens longer now and then, and keep what they begin with.
        """
        start, end = match.span()
        if self.rule.near is not None or not compiled.leads or not self._begins_a_word(window, start):
            return b""
        if self._fixed(match.group(0)) < _TELLING_PREFIX:
            return b""
        stop = end
        while stop < len(window) and window[stop] in compiled.after and stop - end < _MOST_LONGER:
            stop += 1
        return window[end:stop]

    def _found_near(self, data: memoryview, ends: Sequence[int], compiled: _Compiled) -> Iterator[_Found]:
        """Secrets near a companion: each takes the nearest plausible one behind it, else the nearest before it."""
        near = self.rule.near
        assert near is not None
        reach = near.within + compiled.span + _MARGIN
        taken: set[int] = set()
        for low, high in ranges(ends, compiled.near_span):
            for start in range(low, high, _PORTION):
                stop = min(high, start + _PORTION)
                base = max(0, start - reach)
                window = bytes(data[base : stop + compiled.near_span + reach])
                companions = [
                    companion
                    for companion in compiled.near.finditer(window, start - base)
                    if base + companion.start() < stop and _is_whole(companion, window, compiled.near_names)
                ]
                if companions:
                    yield from self._pairs(companions, window, base, compiled, taken)

    def _pairs(
        self, companions: Sequence[Any], window: bytes, base: int, compiled: _Compiled, taken: set[int]
    ) -> Iterator[_Found]:
        """*taken* holds the offsets in the content of secrets that have their companion already."""
        near = self.rule.near
        assert near is not None
        candidates = [_found_of(match, base, compiled.names) for match in self._candidates(window, compiled)]
        starts = [found.secret_start for found in candidates]
        for companion in companions:
            begin, end = base + companion.start(), base + companion.end()
            place = bisect.bisect_left(starts, end)
            behind = _free(candidates[place : place + _TRIES], taken, end, near.within)
            before = _free(candidates[max(0, place - _TRIES) : place][::-1], taken, begin, near.within)
            found = behind or (None if near.after else before)
            if found is not None:
                taken.add(found.secret_start)
                groups = {**_groups_of(companion, compiled.near_names), **found.groups}
                yield found._replace(groups=groups)

    def _candidates(self, window: bytes, compiled: _Compiled) -> Iterator[Any]:
        at = 0
        while (match := compiled.pattern.search(window, at)) is not None:
            if not self._edges_hold(window, match, compiled):
                at = self._next(window, match.start())
            else:
                at = max(match.start() + 1, match.end())
                if self._no_candidate(_groups_of(match, compiled.names)) is None:
                    yield match

    # --- whether -------------------------------------------------------------------------------------------------

    def _no_candidate(self, groups: Mapping[str, bytes]) -> str | None:
        """For candidates of a pair: a reason to take the next one."""
        if (reason := plausible.token(groups["secret"])) is not None:
            return reason
        outcomes = (CHECKS[name](groups) for name in self.rule.checks)
        return next((outcome.result for outcome in outcomes if outcome.verdict is Verdict.DROP), None)

    def _judge(self, found: _Found, context: Context) -> Match | Suppressed:
        rule, value = self.rule, found.groups["secret"]
        confidence, reason = self._value(found, context)
        if reason is None and rule.min_entropy and plausible.entropy(value) < rule.min_entropy:
            reason = "low-entropy"
        if reason is None and self._known and (source := self._known.get(hashlib.sha256(value).hexdigest())):
            reason = f"public-example: {source}"
        if reason is None and _KEY_CHECKS & set(rule.checks) and (source := self._known.get(key_digest(found.groups))):
            reason = f"public-key-pair: {source}"
        if reason is not None:
            return Suppressed(rule.id, found.secret_start, found.secret_end, reason)
        severity = rule.severity
        evidence = list(_companions(found.groups))
        for name in rule.checks:
            outcome = CHECKS[name](found.groups)
            if outcome.verdict is Verdict.DROP:
                return Suppressed(
                    rule.id, found.secret_start, found.secret_end, f"{outcome.check}: {outcome.result}"
                )
            confidence = _moved(confidence, outcome)
            severity = outcome.severity or severity
            evidence.append(Evidence(outcome.check, outcome.result, outcome.detail))
        if found.more and not any(item.result == "valid" for item in evidence):
            confidence = _STEP_DOWN[confidence]
            evidence.append(Evidence("length", "longer", f"{len(found.more)} characters more than any that is known"))
            whole = {**found.groups, "secret": value + found.more}
            found = found._replace(groups=whole, secret_end=found.secret_end + len(found.more))
        return self._match(found, severity, confidence, tuple(evidence))

    def _value(self, found: _Found, context: Context) -> tuple[Confidence, str | None]:
        groups = tuple(found.groups.items())
        judge = _remembered if sum(map(len, found.groups.values())) <= _REMEMBERED else _judged
        return judge(self.rule.value, self.rule.confidence, context, groups)

    def _match(
        self, found: _Found, severity: Severity, confidence: Confidence, evidence: tuple[Evidence, ...]
    ) -> Match:
        return Match(
            self.rule.id,
            "pattern",
            self.rule.title,
            severity,
            confidence,
            found.secret_start,
            found.secret_end,
            Secret(found.groups["secret"]),
            evidence,
            self._fixed(found.groups["secret"]),
            self.rule.gains,
        )

    def _fixed(self, value: bytes) -> int:
        """How many leading bytes of *value* the rule spells out."""
        head = value[:_LONGEST_PREFIX]
        return max(dialect.fixed_prefix(group, head) for group in self._ready().secrets)


def _judged(
    kind: str, confidence: Confidence, context: Context, items: tuple[tuple[str, bytes], ...]
) -> tuple[Confidence, str | None]:
    """What `Rule.value` says of a match by its groups."""
    groups = dict(items)
    value = groups["secret"]
    if kind == "assigned":
        return judge_assigned(groups, context, confidence)
    if kind == "random":
        return judge_random(groups, context, confidence)
    if kind == "login-line":
        return judge_login_line(groups, context)
    if kind in ("url-password", "env-url-password"):
        return judge_url_password(groups, context, kind)
    if kind == "password":
        return judge_command_password(value, context, confidence)
    test = {"token": plausible.token, "long-text": plausible.long_text}.get(kind)
    return confidence, test(value) if test else None


#: nine in ten are as one before: names of fields, in every file of a library
_remembered = functools.lru_cache(maxsize=8192)(_judged)


def _free(candidates: Sequence[_Found], taken: set[int], place: int, within: int) -> _Found | None:
    """The first of *candidates* that has no companion yet and stands at most *within* bytes from *place*."""
    for found in candidates:
        if found.secret_start not in taken:
            distance = found.secret_start - place if found.secret_start >= place else place - found.secret_end
            return found if 0 <= distance <= within else None
    return None


def _names_of(pattern: Any) -> _Names:
    """Its named groups, `secret2` and `secret3` under the name `secret`: one of them takes part."""
    names = ((name.decode("ascii"), number) for name, number in pattern.groupindex.items())
    return tuple(("secret" if name in _SECRETS else name, number) for name, number in names)


def _spans_of(match: Any, names: _Names) -> dict[str, tuple[int, int]]:
    """Where the named groups that took part lie in the text."""
    return {name: span for name, number in names if (span := match.span(number))[0] >= 0}


def _groups_of(match: Any, names: _Names) -> dict[str, bytes]:
    """What they hold."""
    return _texts_of(match, _spans_of(match, names))


def _texts_of(match: Any, spans: Mapping[str, tuple[int, int]]) -> dict[str, bytes]:
    """What stands there. RE2's own `groups` takes longer."""
    text = match.string
    return {name: text[start:end] for name, (start, end) in spans.items()}


def _found_of(match: Any, base: int, names: _Names) -> _Found:
    spans = _spans_of(match, names)
    whole, secret = match.span(), spans["secret"]
    return _Found(_texts_of(match, spans), base + whole[0], base + whole[1], base + secret[0], base + secret[1])


def _is_whole(companion: Any, window: bytes, names: _Names) -> bool:
    """Whether the other half of a pair is no part of something longer, as in lists of digests."""
    start, end = _spans_of(companion, names).get("id", (0, 0))
    if window[end : end + 1] in _WORD_SIGNS and end > start:
        return False
    return not start or window[start - 1 : start] not in _WORD_SIGNS or escape_before(window, start)


def _companions(groups: Mapping[str, bytes]) -> Iterator[Evidence]:
    """What the match names beside the secret."""
    for name in _COMPANIONS:
        value = groups.get(name)
        if value:
            shown = value[:_NAMED_BYTES].decode("ascii", "backslashreplace")
            yield Evidence("companion", name, "".join(char if char.isprintable() else "?" for char in shown))


def _moved(confidence: Confidence, outcome: Outcome) -> Confidence:
    if outcome.verdict is Verdict.SURE:
        return Confidence.HIGH
    if outcome.verdict is Verdict.PUBLIC:
        return Confidence.LOW
    return _STEP_DOWN[confidence] if outcome.verdict is Verdict.DOUBT else confidence

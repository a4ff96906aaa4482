"""What the first pass looks for to find encoded text worth decoding: the encoded forms of what secrets begin with.

Base64 of a word has three forms, for where the word starts within a group of three bytes; in each, some characters
depend on the word alone; those have three forms again, and so on. The words are the fixed beginnings of the pack's
rules and names that stand near secrets. Decoding all of an image's base64 would cost more than the scan; most of it
is pictures and checksums.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from scanner.content.embedded import MAGICS
from scanner.content.encoded import Clue
from scanner.content.letters import beginnings
from scanner.detect.base import Group, Trigger
from scanner.detect.known import encoded
from scanner.detect.rulepack import RulePack
from scanner.evidence import Match

#: shorter forms occur by chance: 5 of 64 characters, once in a gigabyte of base64
_SHORTEST_BASE64 = 5
_SHORTEST_WORD, _LONGEST_WORD, _MOST_CHOICES = 4, 12, 64
_TIMES = 3  # that base64 is undone on one word
#: what may follow a word, for its two upper bits: a digit or sign, a letter
_FOLLOWING = (b"0", b"a")
_SECRET = re.compile(r"\(\?P<secret>")
#: what may stand in front of the first letter of a pattern that names no group for its secret
_FRONT = re.compile(r"(?:\\b|\((?:\?:)?)*")
#: a letter, a class of few, or a group of words, that no quantifier follows
_PART = re.compile(
    r"(?:([A-Za-z0-9_:~! @/=,;#%&<>\"'-]|\\[^A-Za-z0-9])|\[([A-Za-z0-9]{1,8})\]"
    r"|\((?:\?:|\?P<\w+>)((?:[A-Za-z0-9_:|-]|\\[.-])+)\))(?![?*+{])"
)

#: what stands near secrets, in the spellings that occur
_WORDS = (
    "-----BEGIN", "PRIVATE KEY", "PuTTY-User-Key", "AGE-SECRET-KEY", "https://", "http://", "postgres", "mysql://",
    "mongodb", "redis://", "amqp", "AccountKey=", "SharedAccess", '"private_key"', '"auths"', "_authToken",
    "Authorization", "authorization", "Bearer ", "aws_secret", "AWS_SECRET", "client_secret", "clientSecret",
    "password", "Password", "PASSWORD", "passwd", "PASSWD", "secret", "Secret", "SECRET", "token", "Token", "TOKEN",
    "api_key", "apikey", "apiKey", "API_KEY", "APIKEY", "api-key", "credential", "CREDENTIAL", "_KEY=", "_key=",
)  # fmt: skip
#: beginnings of formats that hold secrets packed: gzip, zip, xz, zstd, bzip2
_PACKED = (
    b"\x1f\x8b\x08\0", b"\x1f\x8b\x08\x08", b"PK\3\4\x14\0", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd",
    b"BZh91AY&SY",
)  # fmt: skip

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
#: base64 of zlib, whose two bytes of magic are too few anywhere but at the start of a run
_OF_ZLIB = rb"(?:^|[^A-Za-z0-9+/_-])e(?:J[w-z]|N[o-r]|AE|F[4-7])[A-Za-z0-9+/_-]{20}"
#: base64 of ASCII as UTF-16, at the start of a group
_OF_UTF_16 = rb"(?:[A-Za-z0-9+/][AQgw][AB][A-Za-z0-9+/]A[C-H][AEIMQUYcgkosw048]A){4}"

_ESCAPES = (
    rb"\\u00[2-7][0-9a-fA-F]",
    rb"(?:\\u\{[2-7][0-9a-fA-F]\}){3}",
    rb"(?:\\x[2-7][0-9a-fA-F]){3}",
    rb"(?:\\[01][0-7]{2}){3}",
    rb"[A-Za-z0-9+]{8}\\/[A-Za-z0-9+]{4}",
    rb"[=:] {0,2}\\{1,3}[\"']",
    rb"-----BEGIN[A-Z ]{0,40}-----\\{1,4}[rn]",
)
_URL = (
    rb"(?:%[2-7][0-9a-f]){3}",
    rb"(?:%25[2-7][0-9a-f]){3}",
    rb"%(?:25)?3a%(?:25)?2f%(?:25)?2f",
    rb"-BEGIN(?:%20|\+)",
    rb"(?:pass|passwd|password|secret|token|key|pwd)[a-z_-]{0,12}(?:=|%3d)[a-z0-9._~+-]{0,64}%[2-7][0-9a-f]",
    rb"://[a-z0-9._~-]{1,64}:[a-z0-9._~+!$*-]{0,64}%[2-7][0-9a-f]",
    rb"[a-z0-9_-]{10}%(?:2[4bf]|3[ad]|7c)",  # the signs that tokens are made of besides letters
)
_HTML = (
    rb"(?:&#(?:x[0-9a-f]{2}|[0-9]{2,3});){3}",
    rb"[=:]\s?&(?:quot|#34|#39|apos|#x22|#x27);",
    rb"BEGIN&(?:#|nbsp)",
    rb"(?:pass|passwd|password|secret|token|key|pwd)[a-z_.-]{0,12}[\"']?\s?[>=:]\s?[\"']?[^\s\"'<>&]{0,64}&(?:amp|lt|gt|quot|apos|#)",
)


_QUOTED = (rb"(?:^|\n)content-transfer-encoding:[ \t]{0,2}quoted-printable",)


_ESCAPED = tuple(b"\\x%02x" % byte for byte in range(256))


#: expressions, or what spells them out: thousands, which most runs do not need
_Expressions = Sequence[bytes] | Callable[[], Sequence[bytes]]


class Signal:
    """Collects where the triggers of one kind fired (`detect.base.Detector`); it confirms no match itself."""

    def __init__(
        self, kind: str, expressions: _Expressions, phase: int = 0, caseless: bool = False,
        group: Group = Group.ENCODED,
    ) -> None:  # fmt: skip
        self.kind, self.phase = kind, phase
        self._expressions, self._caseless, self._group = expressions, caseless, group
        self._ends: Sequence[int] = ()

    @property
    def triggers(self) -> Sequence[Trigger]:
        """The expressions of the first pass."""
        spelled = self._expressions() if callable(self._expressions) else self._expressions
        return tuple(Trigger(expression, self._caseless, group=self._group) for expression in spelled)

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """Keep *ends* until `take`; there is nothing to confirm."""
        del data, path
        self._ends = ends
        return iter(())

    def take(self) -> Clue:
        """Where the triggers fired in the last content; asked only if they did."""
        ends, self._ends = self._ends, ()
        return Clue(self.kind, ends, self.phase)


def signals(pack: RulePack, patterns: Iterable[str] = ()) -> tuple[Signal, ...]:
    """The signals of every kind; *patterns* are those of rules outside the pack. Raises RulePackError."""
    rules = [rule.pattern for rule in pack.rules]  # not the pack: what spells them out later would keep it

    @functools.cache
    def words() -> list[bytes]:
        return sorted({word.encode() for word in _WORDS} | set(_beginnings(rules, patterns)))

    found = [*_base64_signals(words)]
    found.append(Signal("hex", lambda: [word.hex().encode() for word in (*words(), *_PACKED)], caseless=True))
    for kind, width in (("utf-16", 2), ("utf-32", 4)):
        found.append(Signal(kind, partial(_wide, words, width)))
    found.append(Signal("escapes", _ESCAPES))
    found.append(Signal("url", _URL, caseless=True))
    found.append(Signal("html", _HTML, caseless=True))
    found.append(Signal("quoted", _QUOTED, caseless=True))
    for kind, length, expressions in beginnings():
        found.append(Signal(kind, expressions, length))
    return (*found, *packed_signals())


def packed_signals() -> tuple[Signal, ...]:
    """The signals for what is packed and does not begin a content."""
    ends = Signal("zip", [_exact(b"PK\5\6")])
    packed = (Signal("packed", expressions, length, group=Group.SHAPED) for length, expressions in MAGICS.items())
    return (ends, *packed)


def known_signals(segments: Sequence[bytes], wide: Sequence[bytes]) -> tuple[Signal, ...]:
    """The signals for secrets that the user gave, where they are encoded more than once: what is encoded once their
    own detectors find. Formats that may hold them are looked for in a few more spellings than usual.

    Args:
        segments: of each secret a few bytes that tell it.
        wide: the same as UTF-16.
    """
    once = {form for segment in segments for form, _ in aligned(segment)}
    hexed = {segment.hex().encode() for segment in segments}
    by_phase: dict[int, set[bytes]] = {phase: set() for phase in range(4)}
    for word in once | set(wide) | hexed:
        for form, phase in aligned(word):
            by_phase[phase].add(form)
    for word in (b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"PK\3\4"):
        form, phase = next(aligned(word))
        by_phase[phase].add(form)
    found = [Signal("base64", [_exact(form) for form in sorted(forms)], phase, group=Group.KNOWN)
             for phase, forms in by_phase.items() if forms]  # fmt: skip
    nested = sorted({form.hex().encode() for form in once} | {b"1f8b0800", b"28b52ffd", b"504b0304"})
    found.append(Signal("hex", nested, caseless=True, group=Group.KNOWN))
    words = sorted({word[:10] for word in once | hexed})
    found.append(Signal("utf-16", _wide(lambda: words, 2), group=Group.KNOWN))
    return tuple(found)


def _beginnings(rules: Iterable[str], foreign: Iterable[str]) -> Iterator[bytes]:
    """What the values of rules begin with, where a pattern of the pack or a *foreign* one spells it out."""
    starts = [(pattern, group.end()) for pattern in rules for group in _SECRET.finditer(pattern)]
    for pattern in foreign:
        front = _FRONT.match(pattern)
        starts.append((pattern, front.end() if front else 0))
    for pattern, start in starts:
        for text in _spelled(pattern, start):
            if len(text) >= _SHORTEST_WORD:
                yield text[:_LONGEST_WORD].encode()


def _spelled(pattern: str, at: int) -> list[str]:
    """The beginnings that a pattern spells out from *at* on, with a few choices: `[sr]k_(?:live|test)_` has four.

    A look at the text is enough, and a hundred times faster than taking all patterns apart at every start.
    """
    found = [""]
    while (part := _PART.match(pattern, at)) is not None:
        letter, few, group = part.groups()
        choices = list(few) if few else group.split("|") if group else [letter]
        if len(found) * len(choices) > _MOST_CHOICES:
            break
        found = [text + choice.replace("\\", "") for text in found for choice in choices]
        at = part.end()
    return found


def _exact(raw: bytes) -> bytes:
    """An expression for the very bytes."""
    return b"".join([_ESCAPED[byte] for byte in raw])


def _wide(words: Callable[[], Sequence[bytes]], width: int) -> list[bytes]:
    """The part of each word that both byte orders have. With the zeros of the other end, a thousand expressions more
    would take a tenth longer to look for."""
    zeros = b"\0" * (width - 1)
    return [_exact(zeros.join([word[at : at + 1] for at in range(len(word))])) for word in words()]


def aligned(word: bytes) -> Iterator[tuple[bytes, int]]:
    """The base64 characters that depend on *word* alone, for each way it can lie in groups of three, and how many
    characters of a group of four have been read at their end."""
    for form, before in encoded.aligned(word):
        yield form, (before + len(form)) % 4


def _longer(words: Sequence[bytes]) -> Iterator[tuple[list[bytes], int]]:
    """The forms of the shortest words that start one byte into a group: four characters depend on the word alone, which
    are too few, and a fifth on the upper bits of what follows as well."""
    short = [word + more for word in words if len(word) == _SHORTEST_WORD for more in _FOLLOWING]
    for found, before in encoded.all_aligned(short):
        if before == 2:  # characters that the byte in front has a part in
            yield [form[:_SHORTEST_BASE64] for form in found], before


def _base64_signals(words: Callable[[], Sequence[bytes]]) -> Iterator[Signal]:
    """One signal for each phase, so that decoding starts at a whole group."""
    spelled = functools.cache(lambda: _base64_forms([*words(), *_PACKED]))
    for phase in range(4):
        yield Signal("base64", partial(_of_phase, spelled, phase), phase)
    yield Signal("base64", [_OF_UTF_16])
    yield Signal("base64", [_OF_ZLIB], phase=3)


def _of_phase(spelled: Callable[[], Mapping[int, set[bytes]]], phase: int) -> list[bytes]:
    return [form.replace(b"+", rb"\+") for form in sorted(spelled()[phase])]


def _base64_forms(words: Sequence[bytes]) -> dict[int, set[bytes]]:
    """The base64 of *words*, and of that, in both alphabets: by phase."""
    by_phase: dict[int, set[bytes]] = {phase: set() for phase in range(4)}
    level = set(words)
    for times in range(_TIMES):
        forms = [each for each in encoded.all_aligned(level) if len(each[0][0]) >= _SHORTEST_BASE64 + times]
        forms += () if times else _longer(words)
        for found, before in forms:
            by_phase[(before + len(found[0])) % 4].update(found)
        level = set().union(*(found for found, _ in forms))
    return {phase: forms | {form.translate(_URL_SAFE) for form in forms} for phase, forms in by_phase.items()}

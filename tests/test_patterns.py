"""A rule as a detector: exact spans, each match once, no match lost at the edges of windows, linear work."""

from __future__ import annotations

import base64
import hashlib
import pickle
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.detect import dialect, rulepack
from scanner.detect.patterns import PatternDetector
from scanner.detect.published import Unpublished
from scanner.detect.spans import Suppressed, escape_before, past_word
from scanner.evidence import Confidence, Match

TOKEN = re.compile(rb"shop_[a-z0-9]{20}")


def rule_of(**fields: object) -> rulepack.Rule:
    values: dict[str, object] = {
        "id": "shop.token",
        "title": "Shop token",
        "gains": "Buys.",
        "severity": "high",
        "confidence": "high",
        "pattern": "(?P<secret>shop_[a-z0-9]{20})",
        "examples": ["{secret}"],
        "negatives": ["shop_"],
        **fields,
    }
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    return rulepack.pack_of([("test.toml", ("[[rule]]\n" + "\n".join(lines)).encode())]).rules[0]


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f"'{value}'" if isinstance(value, str) else str(value)


def token(seed: int = 0) -> bytes:
    return dialect.sample(dialect.parse("shop_[a-z][0-9][a-z0-9]{18}"), random.Random(seed)).encode()


def ends_in(data: bytes, pattern: bytes = rb"shop_") -> list[int]:
    return [match.end() for match in re.finditer(pattern, data)]


def found(rule: rulepack.Rule, data: bytes, ends: list[int] | None = None, path: str = "") -> list[Match]:
    detector = PatternDetector(rule)
    return list(detector.confirm(memoryview(data), ends_in(data) if ends is None else ends, path))


def test_span_is_exact() -> None:
    """The match gives the secret's place and bytes."""
    data = b"x = " + token() + b"\n"
    [match] = found(rule_of(), data)
    assert (match.start, match.end) == (4, 29)
    assert match.secret.reveal() == token()
    assert match.confidence is Confidence.HIGH


def test_many_triggers_give_one_match_each() -> None:
    """Neighbours are all found, and each once, however often triggers fired inside."""
    data = b",".join(token(seed) for seed in range(50))
    ends = sorted({end + shift for end in ends_in(data) for shift in range(8)})
    assert [match.start for match in found(rule_of(), data, ends)] == [26 * at for at in range(50)]


@pytest.mark.parametrize("before", [b"x", b"9", b"_", b"-"])
def test_longer_word_before_is_no_match(before: bytes) -> None:
    """A prefix inside a longer word is not the prefix."""
    assert not found(rule_of(), b"a" + before + token())


@pytest.mark.parametrize("before", [b"\\n", b"%3D", b"\\u0022", b"=", b'"', b"\x00\x01a"])
def test_escape_before_is_no_longer_word(before: bytes) -> None:
    """A letter that belongs to an escape, or counts bytes among binary data, does not hide a token."""
    assert len(found(rule_of(), before + token())) == 1


def test_longer_run_is_less_sure() -> None:
    """A run that begins like the token and goes on may be a newer form of it: a match, less sure, with the reason."""
    [match] = found(rule_of(), token() + b"ab")
    assert match.confidence is Confidence.MEDIUM
    assert [(item.check, item.result) for item in match.evidence] == [("length", "longer")]
    assert found(rule_of(), token() + b"-")[0].confidence is Confidence.HIGH


def test_longer_run_without_a_telling_beginning_is_no_match() -> None:
    """Where the pattern spells out no beginning, a longer run is something else."""
    rule = rule_of(pattern="(?P<secret>[a-f]{2}[0-9]{18})", trigger="[0-9]{18}")
    assert not found(rule, b"ab" + b"123789456123789456" + b"7 ", [20])
    assert found(rule, b"ab" + b"123789456123789456" + b" ", [20])


def test_edges_can_be_turned_off() -> None:
    """A rule that says so matches inside words."""
    assert found(rule_of(edges="none"), b"a" + token() + b"a")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=30), st.integers(0, 1000))
def test_equals_a_search_over_the_whole(layout: list[tuple[int, bool]], seed: int) -> None:
    """Windows find what a search of the whole content would find."""
    data = b"".join(b" " * gap + (token(seed + at) if real else b"shop_ ") for at, (gap, real) in enumerate(layout))
    expected = [
        match.start()
        for match in TOKEN.finditer(data)
        if not re.search(rb"[A-Za-z0-9_-]\Z", data[: match.start()])
    ]
    assert [match.start for match in found(rule_of(), data)] == expected


@pytest.mark.parametrize("place", [0, 1, (1 << 20) - 30, (1 << 20) - 10, 1 << 20, (1 << 21) - 12])
def test_match_is_found_at_portion_borders(place: int) -> None:
    """A content full of triggers is worked through in portions; a match across their border is found once."""
    data = bytearray(b"shop_ " * ((1 << 22) // 6))
    data[place : place + 27] = b" " + token() + b" "
    matches = found(rule_of(), bytes(data), ends_in(bytes(data)))
    assert [match.start for match in matches] == [place + 1]


def test_unbounded_match_grows_past_its_window() -> None:
    """A pattern without bound is matched to its end although the first window cuts it."""
    rule = rule_of(pattern="(?P<secret>shop_[a-z0-9]{20,})", max_length=64, value="anything")
    data = b" " + token() + b"b1" * 5000 + b" " + b"c" * 9000
    [match] = found(rule, data)
    assert match.end == 1 + 25 + 10000


def test_pair_is_one_match_with_its_companion() -> None:
    """The secret half is the match, the other half its evidence; the nearest one behind is taken first."""
    rule = rule_of(pattern="(?P<secret>[a-z0-9]{30})", near={"pattern": "(?P<id>SHOP[0-9]{6})", "within": 50})
    first, second = (dialect.sample(dialect.parse("[a-z0-9]{30}"), random.Random(seed)).encode() for seed in (1, 2))
    data = b"old " + first + b"\nid SHOP123456\nkey " + second + b"\n"
    [match] = found(rule, data, ends_in(data, rb"SHOP\d{6}"))
    assert match.secret.reveal() == second
    assert [(each.check, each.result, each.detail) for each in match.evidence] == [("companion", "id", "SHOP123456")]


def test_pair_looks_before_only_if_nothing_follows() -> None:
    """A secret in front of its key id is found as well, but not beyond the distance."""
    rule = rule_of(pattern="(?P<secret>[a-z0-9]{30})", near={"pattern": "(?P<id>SHOP[0-9]{6})", "within": 50})
    secret = dialect.sample(dialect.parse("[a-z0-9]{30}"), random.Random(3)).encode()
    near = secret + b" SHOP123456"
    far = secret + b" " * 60 + b"SHOP123456"
    assert len(found(rule, near, ends_in(near, rb"SHOP\d{6}"))) == 1
    assert not found(rule, far, ends_in(far, rb"SHOP\d{6}"))


def test_two_pairs_share_no_secret() -> None:
    """Two key ids in a row take a secret each."""
    rule = rule_of(pattern="(?P<secret>[a-z0-9]{30})", near={"pattern": "(?P<id>SHOP[0-9]{6})", "within": 90})
    one, two = (dialect.sample(dialect.parse("[a-z0-9]{30}"), random.Random(seed)) for seed in (4, 5))
    data = f"SHOP111111 {one}\nSHOP222222 {two}\n".encode()
    matches = found(rule, data, ends_in(data, rb"SHOP\d{6}"))
    assert [match.evidence[0].detail for match in matches] == ["SHOP111111", "SHOP222222"]
    assert len({match.start for match in matches}) == 2


def test_suppression_has_a_reason() -> None:
    """What is judged to be no secret is told with its place and reason."""
    data = b"shop_" + b"x" * 20
    [told] = PatternDetector(rule_of()).explain(memoryview(data), [5], "")
    assert isinstance(told, Suppressed)
    assert (told.start, told.end, told.reason) == (0, 25, "masked")


def test_public_example_is_suppressed_by_its_digest() -> None:
    """A value that documentation made public is known without standing in the source."""
    known = {hashlib.sha256(token()).hexdigest(): "the manual"}
    [told] = PatternDetector(rule_of(), known).explain(memoryview(token()), [5], "")
    assert isinstance(told, Suppressed)
    assert told.reason == "public-example: the manual"


def test_detector_travels_between_processes() -> None:
    """A detector that was used can be sent to another process."""
    detector = PatternDetector(rule_of())
    list(detector.confirm(memoryview(token()), [5], ""))
    copy = pickle.loads(pickle.dumps(detector))  # noqa: S301 - its own bytes
    assert len(list(copy.confirm(memoryview(token()), [5], ""))) == 1


def test_nothing_of_the_secret_is_in_the_repr() -> None:
    """A match can be printed."""
    [match] = found(rule_of(), token())
    assert token().decode() not in repr(match)


@settings(deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=10))
def test_hostile_bytes_never_raise(data: bytes, ends: list[int]) -> None:
    """Whatever the bytes and wherever triggers fire, confirming ends without an error."""
    places = sorted({end for end in ends if end <= len(data)})
    for rule in rulepack.load().rules[::12]:
        list(PatternDetector(rule).explain(memoryview(data), places, "a.conf"))


def test_dialect_knows_widths() -> None:
    """Bounds of a pattern are what RE2 can match."""
    node = dialect.parse(r"a{2,3}(?:bc|d)?[x-z]\d+")
    assert dialect.min_width(node) == 4
    assert dialect.max_width(node) is None
    assert dialect.max_width(dialect.parse(r"(?P<secret>a{2,3})(?:bc|d)?\b$")) == 5


@pytest.mark.parametrize(
    "rule", [rule for rule in rulepack.load().rules if "\\b" not in rule.pattern], ids=lambda rule: rule.id
)
def test_samples_match_their_pattern(rule: rulepack.Rule) -> None:
    """A random text made from the parsed pattern is matched by RE2's reading of it: both understand the same."""
    node, compiled = dialect.parse(rule.pattern), dialect.compile_pattern(rule.pattern)
    for seed in range(3):
        text = dialect.sample(node, random.Random(seed)).encode("latin-1")
        assert compiled.search(b"\n" + text + b"\n"), text


def test_published_values_are_nobodys_secret() -> None:
    """A value that documentation shows is dropped whichever detector saw it; others stay, and triggers too."""
    one, other = b"shop_" + b"a1b2c3d4e5" * 2, b"shop_" + b"k7x9q2w4z8" * 2
    inner = PatternDetector(rule_of())
    outer = Unpublished(inner, {hashlib.sha256(one).hexdigest(): "the manual"})
    text = one + b" " + other
    ends = [len(one), len(text)]

    assert list(outer.triggers) == list(inner.triggers)
    assert [match.secret.reveal() for match in outer.confirm(memoryview(text), ends, "a.txt")] == [other]
    told = [one for one in outer.explain(memoryview(text), ends, "a.txt") if isinstance(one, Suppressed)]
    assert [(one.start, one.reason) for one in told] == [(0, "public-example: the manual")]
    copied = pickle.loads(pickle.dumps(outer))  # noqa: S301
    assert [match.secret.reveal() for match in copied.confirm(memoryview(text), ends, "a.txt")] == [other]


def test_published_key_is_known_however_it_is_laid_out() -> None:
    """A key in armour that a package publishes is known by its body: escaped, indented or in a JSON file."""
    body = random.Random(5).randbytes(96).hex()
    known = {hashlib.sha256(body.encode()).hexdigest(): "a library's tests"}
    rule = rule_of(
        pattern="(?P<secret>-----BEGIN (?P<label>PRIVATE KEY)-----[^-]{64,400}-----END PRIVATE KEY-----)",
        checks=["pem"], value="anything", edges="none",
    )  # fmt: skip
    for joint in (b"\n", b"\\n", b"\n    "):
        lines = ("-----BEGIN PRIVATE KEY-----", body[:64], body[64:], "-----END PRIVATE KEY-----")
        text = joint.join(line.encode() for line in lines)
        [found] = PatternDetector(rule, known).explain(memoryview(text), [27], "a.pem")
        assert isinstance(found, Suppressed)
        assert found.reason == "public-key-pair: a library's tests"


@pytest.mark.parametrize(
    ("text", "path", "shown"),
    [
        ('<img alt="Build" src="https://ci.shop.io/shop.svg?style=shield&build-token={}">', "README.md", True),
        ("[![Build](https://ci.shop.io/badge/shop.png?token={})](https://ci.shop.io)", "readme.rst", True),
        ('<img alt="Build" src="https://ci.shop.io/shop.svg?style=shield&build-token={}">', "src/app.js", False),
        ("[the log](https://ci.shop.io/status?token={})", "README.md", False),
        ("[![Build](https://ci.shop.io/shop?branch=main&token={})](https://ci.shop.io)", "README.md", True),
        ('{{"readme": "[![Build](https://ci.shop.io/shop?x=1&token={})](https://ci.shop.io)"}}', "package.json", True),
    ],
)
def test_the_token_of_a_badge_is_for_all_readers(text: str, path: str, shown: bool) -> None:
    """It shows a build's state on a page; the same token in a program, or in an address to go to, may do more."""
    [rule] = [rule for rule in rulepack.load().rules if rule.id == "assigned.random"]
    value = hashlib.sha1(b"badge", usedforsecurity=False).hexdigest()
    data = text.format(value).encode()

    seen = list(PatternDetector(rule).explain(memoryview(data), ends_in(data, value[-8:].encode()), path))

    reasons = [one.reason for one in seen if isinstance(one, Suppressed)]
    assert len(reasons) == int(shown)
    assert set(reasons) <= {"address-of-a-picture", "badge"}
    assert len([one for one in seen if isinstance(one, Match)]) == (0 if shown else 1)


@pytest.mark.parametrize(("text", "count"), [("x = token or '{}'", 1), ("mod.py,sha256=x81N_KAPior{}k,221", 0)])
def test_a_word_between_two_values_stands_by_itself(text: str, count: int) -> None:
    """`or` gives a default behind a name; within a digest in base64 it is two letters like all others."""
    value = base64.urlsafe_b64encode(hashlib.sha256(b"word").digest())[:24].decode().replace("-", "3").replace("_", "7")
    [rule] = [rule for rule in rulepack.load().rules if rule.id == "assigned.random"]
    data = text.format(value).encode()

    assert len(found(rule, data, ends_in(data, value[-8:].encode()), "settings.py")) == count


@pytest.mark.parametrize("front", [b"x" * 40, b"word-" * 9, b"abc\\n", b"long_word_here\\u000a", b"aaaaaaaaaaaaa%0A"])
def test_skipping_a_word_skips_no_place_where_one_may_begin(front: bytes) -> None:
    """Behind a match amid a word, the next place that is looked at comes before any where a word may begin."""
    window = front + b"tokentokentoken and more"
    for at in range(1, len(window)):
        after = past_word(window, at)
        places = range(at + 1, after)
        begins = [place for place in places if escape_before(window, place) or window[place - 1] in b" \\%"]
        assert after > at and not begins

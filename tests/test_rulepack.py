"""The rule pack: every rule sound, found by its examples, silent on its negatives; and the schema that guards it."""

from __future__ import annotations

import base64
import functools
import random
import re

import hyperscan
import pytest

from scanner.detect import checksums, dialect, rulepack, templates
from scanner.detect.base import Trigger
from scanner.detect.patterns import PatternDetector
from scanner.errors import RulePackError
from scanner.evidence import Match

PACK = rulepack.load()
RULES = {rule.id: rule for rule in PACK.rules}
by_rule = pytest.mark.parametrize("rule", PACK.rules, ids=lambda rule: rule.id)
ROUNDS = 3

MINIMAL = """
[[rule]]
id = 'shop.token'
title = 'Shop token'
gains = 'Buys.'
severity = 'high'
confidence = 'high'
pattern = '(?P<secret>shop_[a-z]{20})'
examples = ['{secret}']
negatives = ['shop_']
"""


@functools.cache
def scanner_of(trigger: Trigger) -> hyperscan.Database:
    flags = hyperscan.HS_FLAG_DOTALL | (hyperscan.HS_FLAG_CASELESS if trigger.caseless else 0)
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=[trigger.expression], ids=[0], elements=1, flags=[flags])
    return database


def ends_of(trigger: Trigger, text: bytes) -> list[int]:
    ends: set[int] = set()
    scanner_of(trigger).scan(text, match_event_handler=lambda _id, _start, end, _flags, _context: ends.add(end))
    return sorted(ends)


def matches_of(rule: rulepack.Rule, text: bytes, path: str = "srv/app/settings.conf") -> list[Match]:
    detector = PatternDetector(rule, PACK.known)
    [trigger] = detector.triggers
    ends = ends_of(trigger, text)
    return list(detector.confirm(memoryview(text), ends, path)) if ends else []


def rendered(rule: rulepack.Rule, template: str, seed: int) -> bytes:
    rng = random.Random(f"{rule.id}/{template}/{seed}")
    return templates.render(template, rng, lambda: rule.sample(rng)).encode()


@by_rule
def test_rule_is_sound(rule: rulepack.Rule) -> None:
    """The pattern compiles, is bounded, and has a trigger and templates that make sense."""
    rulepack.verify(rule)


@by_rule
def test_examples_are_found(rule: rulepack.Rule) -> None:
    """The trigger fires in every example and leads to one match or more, each exactly where it says."""
    for template in rule.examples:
        for seed in range(ROUNDS):
            text = rendered(rule, template, seed)
            found = matches_of(rule, text)
            assert found, f"{template} was not found"
            for match in found:
                assert match.rule_id == rule.id
                assert text[match.start : match.end] == match.secret.reveal()


BY_VALUE_ALONE = [
    rule for rule in PACK.rules if rule.pattern.startswith("(?P<secret>") and rule.near is None and rule.id != "web.jwe"
]  # a JWE's trigger is in its header, which samples make up


@pytest.mark.parametrize("rule", BY_VALUE_ALONE, ids=lambda rule: rule.id)
def test_triggers_fire_for_every_value_of_the_pattern(rule: rulepack.Rule) -> None:
    """A trigger allows what the pattern allows: every sign of the alphabet at every place, whatever stands before."""
    rng = random.Random(rule.id)
    for before in ("", *" \n\t,;(=>|\"'`") * 3:
        text = f"{before}{rule.sample(rng)}\n".encode()
        assert ends_of(rule.first_pass, text), text


COUNTING = [rule for rule in PACK.rules if re.search(rb"[01],[0-9]+\}|\?", rule.first_pass.expression)]


@pytest.mark.parametrize("rule", COUNTING, ids=lambda rule: rule.id)
def test_triggers_fire_wherever_they_stand(rule: rulepack.Rule) -> None:
    """The engine loses some expressions that begin with a counted repeat and something optional behind more bytes."""
    rng = random.Random(rule.id)
    trigger = rule.first_pass
    node = dialect.parse(("(?i)" if trigger.caseless else "") + trigger.expression.decode("latin-1"))
    texts = [dialect.sample(node, rng).encode("latin-1") for _ in range(100)]
    for text in texts:
        near = [end for end in ends_of(trigger, b"\n" + text) if end > 1]
        far = ends_of(trigger, b"x" * 400 + b"\n" + text)
        assert {end + 400 for end in near} <= set(far), text


@by_rule
def test_negatives_are_silent(rule: rulepack.Rule) -> None:
    """What looks like the credential but is none makes no gated match."""
    for template in rule.negatives:
        for seed in range(ROUNDS):
            found = matches_of(rule, rendered(rule, template, seed))
            assert not [match for match in found if match.confidence != "low" or rule.confidence == "low"], template


@by_rule
def test_examples_are_found_anywhere(rule: rulepack.Rule) -> None:
    """An example is found at the same distance from any start, in a large content, and in one that ends with it."""
    text = rendered(rule, rule.examples[0], 0)
    expected = [(match.start, match.end) for match in matches_of(rule, b"\n" + text + b"\n")]
    for before in (1000, (1 << 20) - 7, 1 << 20):
        content = b" \n" * (before // 2) + b" " * (before % 2) + b"\n" + text + b"\n" + b"the end. " * 1000
        assert [(match.start - before, match.end - before) for match in matches_of(rule, content)] == expected


def test_triggers_compile_together() -> None:
    """All triggers fit into one database."""
    triggers = [rule.first_pass for rule in PACK.rules]
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[trigger.expression for trigger in triggers],
        ids=list(range(len(triggers))),
        elements=len(triggers),
        flags=[hyperscan.HS_FLAG_DOTALL] * len(triggers),
    )


def test_pack_is_large_enough() -> None:
    """There are rules of every domain."""
    assert len(PACK.rules) >= 120
    assert {"aws", "github", "private-key", "stripe", "openai", "slack", "assigned", "url"} <= {
        rule.id.split(".")[0] for rule in PACK.rules
    }


def test_ids_and_texts_have_one_form() -> None:
    """Titles carry no full stop, gains do, and addresses are https."""
    for rule in PACK.rules:
        assert not rule.title.endswith("."), rule.id
        assert rule.gains.endswith("."), rule.id
        assert all(re.match(r"https://", address) for address in (*rule.references, rule.revoke) if address), rule.id


def test_digest_names_the_content() -> None:
    """Equal content gives an equal digest, however it is laid out; other content another."""
    one = rulepack.pack_of([("a.toml", MINIMAL.encode())]).digest
    assert rulepack.pack_of([("a.toml", ("# a comment\n" + MINIMAL).encode())]).digest == one
    assert rulepack.pack_of([("a.toml", MINIMAL.replace("{20}", "{21}").encode())]).digest != one


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("title = 'Shop token'\n", ""), "title is missing"),
        (("title = 'Shop token'", "titel = 'x'\ntitle = 'Shop token'"), "unknown key titel"),
        (("severity = 'high'", "severity = 'huge'"), "severity must be one of"),
        (("(?P<secret>", "(?P<value>"), "no group secret"),
        (("examples = ['{secret}']", "examples = []"), "examples is missing"),
        (("examples = ['{secret}']", "examples = [3]"), "examples must be texts"),
        (("'shop.token'", "'Shop Token'"), "id must be"),
        (("negatives", "checks = ['no-such']\nnegatives"), "unknown check"),
        (("negatives", "max_length = 'long'\nnegatives"), "wrong type"),
        (("negatives", "near = { pattern = 'x' }\nnegatives"), "near needs"),
        (("[[rule]]", "[[regel]]"), "neither a"),
        (("pattern = '", "pattern = "), "not TOML"),
    ],
)
def test_loading_names_what_is_wrong(change: tuple[str, str], reason: str) -> None:
    """A wrong rule is refused with the file, the rule and the reason."""
    with pytest.raises(RulePackError, match=re.escape(reason)) as caught:
        rulepack.pack_of([("mine.toml", MINIMAL.replace(*change).encode())])
    assert "mine.toml" in caught.value.what


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?P<secret>(?<!a)shop_[a-z]{20})", "look-around"),
        ("(?P<secret>(?=a)shop_[a-z]{20})", "look-around"),
        ("(?P<secret>(shop)\\\\1[a-z]{20})", "not part of the dialect"),
        ("(?P<secret>shop_[a-z]{20,})", "no bound"),
        ("(?P<secret>[a-z]{20})", "give it a trigger"),
        ("(?P<secret>shop_[a-z]{20}", "not closed"),
        ("(?P<secret>shop_[a-z]{5000})", "RE2 refuses it: invalid repetition"),
    ],
)
def test_verifying_names_what_is_wrong(pattern: str, reason: str) -> None:
    """A pattern that cannot be run in linear time, or without limit, is refused with the reason."""
    text = MINIMAL.replace("(?P<secret>shop_[a-z]{20})", pattern.replace("\\\\", "\\"))
    pack = rulepack.pack_of([("mine.toml", text.encode())])
    with pytest.raises(RulePackError, match=re.escape(reason)) as caught:
        rulepack.verify(pack.rules[0])
    assert "shop.token" in caught.value.what


def test_same_id_twice_is_refused() -> None:
    """Two rules cannot share an id, not even in two files."""
    with pytest.raises(RulePackError, match="the id is taken"):
        rulepack.pack_of([("a.toml", MINIMAL.encode()), ("b.toml", MINIMAL.encode())])


ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141  # of secp256k1: keys are below it
NKEYS = {"server": 13, "cluster": 2, "operator": 14, "account": 0, "user": 20, "curve": 23}


def crc_encoded(raw: bytes) -> str:
    return base64.b32encode(raw + checksums.crc16_xmodem(raw).to_bytes(2, "little")).decode().rstrip("=")


@pytest.mark.parametrize("version", [b"\x80", b"\xef"], ids=["main", "test"])
@pytest.mark.parametrize("suffix", [b"\x01", b""], ids=["compressed", "whole"])
def test_every_bitcoin_key_has_the_beginning_that_is_looked_for(version: bytes, suffix: bytes) -> None:
    """The first pass knows what keys from the smallest to the largest begin with."""
    rule = RULES["private-key.bitcoin-wif"]
    numbers = [1, *range(ORDER // 200, ORDER, ORDER // 200), ORDER - 1]
    keys = [checksums.base58check_encode(version + number.to_bytes(32, "big") + suffix) for number in numbers]

    assert [key for key in keys if not ends_of(rule.first_pass, f"={key}".encode())] == []
    assert [key for key in keys if not re.fullmatch(rule.pattern, key)] == []


@pytest.mark.parametrize("first", range(0, 256, 15))
def test_every_seed_has_the_beginning_that_is_looked_for(first: int) -> None:
    """Of NATS, of each kind, and of Stellar."""
    seed = bytes([first]) + random.Random(first).randbytes(31)
    told = {kind: bytes((18 << 3 | number >> 2, (number & 3) << 6)) for kind, number in NKEYS.items()}
    seeds = [("nkey", crc_encoded(head + seed)) for head in told.values()] + [("stellar", crc_encoded(b"\x90" + seed))]

    for rule, key in seeds:
        assert matches_of(RULES[f"private-key.{rule}-seed"], f"={key}".encode())[0].secret.reveal() == key.encode()

"""Tokens amid binary data are found with exact edges: where the format stores how long its strings are."""

from __future__ import annotations

import marshal
import pickle
import random
import sqlite3
import string
import struct
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.detect import declared, rulepack, templates
from scanner.detect.firstpass import FirstPass, compile_database, triggers_of
from scanner.detect.patterns import PatternDetector
from scanner.evidence import Confidence
from testimages.values import github_token

SOURCE = random.Random("declared")


def letters(count: int, alphabet: str = string.ascii_letters) -> str:
    """Made up for this run."""
    return "".join(SOURCE.choices(alphabet, k=count))


#: by what is awkward about them: a length that is a letter, letters up to the end, no fixed length, a checksum
TOKENS = {
    "anthropic.api-key": f"sk-ant-api03-{letters(93)}AA",
    "huggingface.user-token": f"hf_{letters(34)}",
    "hashicorp.vault-service-token": f"hvs.{letters(95)}",
    "digitalocean.pat": f"dop_v1_{letters(64, '0123456789abcdef')}",
    "github.pat-classic": github_token(SOURCE),
}


def compiled(token: str, _: Path) -> bytes:
    """A module of Python: each string stands right behind another one's type and its own length."""
    code = compile(f"class A:\n  alpha = '{'x' * 40}'\n  beta = '{token}'\n  gamma = 'more words'\n", "a.py", "exec")
    return b"\xa7\r\r\n" + bytes(12) + marshal.dumps(code)


def pickled(protocol: int) -> Callable[[str, Path], bytes]:
    """An object of Python."""
    return lambda token, _: pickle.dumps({"name": "Yearly", "token": token, "more": "words"}, protocol)


def of_java(token: str, _: Path) -> bytes:
    """Constants of a class: two bytes of length."""
    texts = b"com/x/Y", token.encode(), b"Code"
    constants = b"".join(b"\x01" + struct.pack(">H", len(each)) + each for each in texts)
    return b"\xca\xfe\xba\xbe\0\0\0\x3d\0\x20" + constants + bytes(20)


def message(token: str, _: Path) -> bytes:
    """Fields of Protocol Buffers."""
    size = len(token)
    number = bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])
    return bytes(8) + b"\x0a\x05hello\x12" + number + token.encode() + b"zwords\x1a\x03abc"


def packed(token: str, _: Path) -> bytes:
    """A map of MessagePack."""
    return b"\x82\xa3key\xd9" + bytes([len(token)]) + token.encode() + b"\xa1a\xa1b" + bytes(8)


def database(*before: object) -> Callable[[str, Path], bytes]:
    """A table of SQLite: columns stand one behind the other, with nothing between."""

    def made(token: str, folder: Path) -> bytes:
        path = folder / "rows.db"
        with sqlite3.connect(path) as rows:
            columns = ", ".join(f"c{number}" for number in range(len(before)))
            rows.execute(f"create table t(id integer primary key, {columns}, t, z)")
            for _ in range(3):
                rows.execute(f"insert into t values(null, {'?,' * len(before)} ?, ?)", (*before, token, "2024-01-01"))
        rows.close()
        return path.read_bytes()

    return made


FORMS: dict[str, Callable[[str, Path], bytes]] = {
    "pyc": compiled,
    "pickle-1": pickled(1),
    "pickle-4": pickled(4),
    "class": of_java,
    "protobuf": message,
    "msgpack": packed,
    "sqlite": database("deploy"),
    "sqlite-numbers": database(None, 7, 70_000, 1.5, "Yearly", 1 << 40, "x"),
    "sqlite-long": database("words that go on and on " * 7),
}


@cache
def first_pass() -> FirstPass:
    """The rules of those tokens."""
    pack = rulepack.load()
    detectors = tuple(PatternDetector(rule, pack.known) for rule in pack.rules if rule.id in TOKENS)
    return FirstPass(detectors, compile_database(triggers_of(detectors)))


def seen(data: bytes) -> set[tuple[str, str, Confidence]]:
    """Rule, value and confidence of what is found."""
    return {
        (match.rule_id, match.secret.reveal().decode(), match.confidence)
        for match in first_pass().matches(memoryview(data), "srv/data")
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rule", TOKENS)
def test_a_string_ends_where_its_format_says(tmp_path: Path, form: str, rule: str) -> None:
    """As sure as in a text, and exactly as long."""
    [(_, _, confidence)] = seen(f'KEY = "{TOKENS[rule]}"\n'.encode())

    assert seen(FORMS[form](TOKENS[rule], tmp_path)) == {(rule, TOKENS[rule], confidence)}


@pytest.mark.parametrize("rule", sorted(TOKENS.keys() - {"github.pat-classic"}))  # whose checksum tells its end
def test_letters_of_a_text_are_no_length(rule: str) -> None:
    """In a text a token that goes on as a word, or that a word goes on to, is not taken for shorter."""
    token = TOKENS[rule]
    joined = f"{'words ' * 20}z{chr(len(token))}{token}Yearly\n".encode()

    assert not {value for _, value, confidence in seen(joined) if confidence is Confidence.HIGH}


#: rules of tokens: those of settings and commands want lines of a text
OF_TOKENS = [rule for rule in rulepack.load().rules if rule.near is None and rule.pattern.startswith("(?P<secret>")]


@pytest.mark.parametrize("rule", OF_TOKENS, ids=lambda rule: rule.id)
def test_strings_of_c_and_lines_are_what_they_are_in_a_text(rule: rulepack.Rule) -> None:
    """What stands before a string that has an end of its own, or a line, is no length of it, however it looks."""
    detector = (PatternDetector(rule, {}),)
    first = FirstPass(detector, compile_database(triggers_of(detector)))

    def values(data: bytes) -> list[bytes]:
        return [match.secret.reveal() for match in first.matches(memoryview(data), "srv/data")]

    for template in rule.examples:
        source = random.Random(template)
        text = templates.render(template, source, partial(rule.sample, source)).encode()
        for before in (b"index.h1\0", b"words 0\0", b"zz\0", b"line\n"):
            assert values(b"\0\0 words\n" + before + text + b"\0next\0") == values(b"\n" + text + b"\n")


def test_strings_of_a_program_stand_one_behind_the_other() -> None:
    """A token that begins as nothing else does, or whose checksum holds, needs nothing around it in a program."""
    for rule in ("anthropic.api-key", "digitalocean.pat", "github.pat-classic"):
        data = b"\x7fELF" + bytes(200) + b"bad pointer in frameConvert: value" + TOKENS[rule].encode() + b"\0invalid"
        assert [found[:2] for found in seen(data)] == [(rule, TOKENS[rule])]


@given(st.binary(max_size=300))
def test_any_bytes_declare_lengths_that_strings_may_have(before: bytes) -> None:
    """Nothing fails, whatever stands there."""
    assert all(8 <= length < 1 << 16 for length in declared.lengths(before))

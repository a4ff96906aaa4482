"""Strings of an image made safe to show."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.report import escape

NASTY = st.text(st.characters(codec=None, categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Zs", "Ll", "Lo")), max_size=40)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\r\tc\x00", "a\\x0ab\\x0d\\x09c\\x00"),
        ("\x7f\x85\x9b", "\\x7f\\x85\\x9b"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("\u2066a\u2069", "\\u2066a\\u2069"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("a\u2028b\u2029", "a\\u2028b\\u2029"),
        ("\ud800", "\\ud800"),
        ("\udcff", "\\xff"),
        ("\U000e0041", "\\U000e0041"),
        ("gr\u00fc\u00dfe \u65e5\u672c", "gr\u00fc\u00dfe \u65e5\u672c"),
    ],
)
def test_what_does_not_print_is_spelled_out(raw, shown):
    """Controls, direction marks, invisible characters and surrogates are spelled out; letters of any script stay."""
    assert escape.text(raw) == shown


@given(NASTY)
def test_text_is_one_visible_line(raw):
    """Whatever goes in, one line comes out that moves no cursor, turns no direction and can be encoded."""
    shown = escape.text(raw)

    assert shown.isprintable()
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode("utf-8")
    assert escape.text(shown) == shown


@given(st.binary(max_size=40))
def test_decode_takes_any_bytes(raw):
    """Bytes of any kind become a string that can be encoded; what is UTF-8 stays."""
    text = escape.decode(raw)

    assert escape.plain(text) == text
    text.encode("utf-8")


def test_decode_shows_bytes_that_are_no_utf8():
    """A byte that is not UTF-8 appears as backslash, x and two digits."""
    assert escape.decode(b"caf\xe9 caf\xc3\xa9") == "caf\\xe9 caf\u00e9"


@given(NASTY)
def test_plain_has_no_lone_surrogate(raw):
    """Strings for JSON can always be encoded, and only surrogates change."""
    shown = escape.plain(raw)

    shown.encode("utf-8")
    assert "".join(c for c in raw if unicodedata.category(c) != "Cs") == raw or shown != raw


def test_plain_and_decode_agree():
    """An undecodable byte looks the same whether the string came from decode or from the file system's decoding."""
    raw = b"a\xff\xc3\xa9"

    assert escape.plain(raw.decode("utf-8", "surrogateescape")) == escape.decode(raw)


@pytest.mark.parametrize("name", ["##[error]x", "a ##[set-env name=x]y", "##vso[task.x]", "##teamcity[x]"])
def test_no_mark_of_a_ci_job_stays(name):
    """What a CI job looks for anywhere in a line is spelled out, in text and, with the same meaning, in JSON."""
    document = json.dumps(name)

    assert "[" not in escape.text(name)
    assert "[" not in escape.json(document)
    assert json.loads(escape.json(document)) == name


@pytest.mark.parametrize("start", ["", "  ", "\t", "\x1b[31m"])
def test_no_line_starts_with_a_command(start):
    """A line that a CI job would run as a command starts otherwise; `::` inside a line is left alone."""
    assert escape.line(f"{start}::error::x") == f"{start}\\x3a:error::x"
    assert escape.line(f"{start}a::b") == f"{start}a::b"

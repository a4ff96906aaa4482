"""Found values in strings of a report."""

from __future__ import annotations

import json
import random
import string
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.secrecy.redact import Redactor, preview, spellings

AWKWARD = b"p\"a$s'w&<o>r d/\\\xc3\xa9+%"


def test_replaced_by_as_many_stars():
    """A value in a path becomes as many stars as it has characters, and the path around it stays."""
    redactor = Redactor([b"correct-horse"])

    assert redactor.text("srv/correct-horse/key") == f"srv/{'*' * 13}/key"


def test_text_without_values_is_unchanged():
    """A string that holds no value comes back as it was."""
    assert Redactor([b"correct-horse"]).text("srv/battery/key") == "srv/battery/key"


def test_longest_first():
    """Where one value begins another, all of the longer one is replaced."""
    redactor = Redactor([b"correct-horse", b"correct-horse-battery"])

    assert redactor.text("correct-horse-battery!") == f"{'*' * 21}!"


def test_overlapping_values():
    """Of two values that overlap nothing is left."""
    redactor = Redactor([b"aaaabbbbcccc", b"bbbbccccdddd"])

    assert redactor.text("x aaaabbbbccccdddd y") == f"x {'*' * 16} y"


@pytest.mark.parametrize(
    "spell",
    [
        lambda text: text,
        lambda text: json.dumps(text),
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps(text).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
        lambda text: quote(text),
        lambda text: quote(text, safe="").lower(),
        lambda text: quote_plus(text),
        lambda text: "'" + text.replace("'", "'\\''") + "'",
    ],
)
def test_escaped_spellings(spell):
    """A value is replaced as well where JSON, a URL or a shell has escaped it."""
    spelled = spell(AWKWARD.decode())

    redacted = Redactor([AWKWARD]).text(f"before {spelled} after")

    assert set(redacted.removeprefix("before ").removesuffix(" after").strip("\"'")) == {"*"}


def test_value_found_escaped_is_replaced_unescaped():
    """A value found in raw JSON, escapes and all, is replaced where the string was decoded."""
    assert Redactor([rb"tick\u0026tock"]).text("A=tick&tock") == "A=*********"


def test_bytes_that_are_no_utf8():
    """A value that is not UTF-8 is replaced in both spellings that strings of a report may have."""
    value = b"\xff\xfe-value-\x80"
    redactor = Redactor([value])

    assert "value" not in redactor.text(value.decode("utf-8", "backslashreplace"))
    assert "value" not in redactor.text(value.decode("utf-8", "surrogateescape"))


def test_short_values_do_not_erase_paths():
    """A short value that is also a common word is replaced in its own finding's strings only."""
    redactor = Redactor([b"admin"])

    assert redactor.text("etc/admin/readme") == "etc/admin/readme"
    assert redactor.text("login admin", own=b"admin") == "login *****"


def test_short_values_are_replaced_where_they_are_assigned():
    """A short value directly after = or : is replaced in every string, for another finding may show that string."""
    redactor = Redactor([b"hunter"])

    assert redactor.text("RUN PASS=hunter USER=hunters u:'hunter'@h") == "RUN PASS=****** USER=hunters u:'******'@h"


def test_a_short_value_at_the_end_beside_a_longer_one():
    """As many stars as it has characters, not as many as the longest short value."""
    assert Redactor([b"s3cr3t", b"hunter2"]).text("P=s3cr3t") == "P=******"


def test_very_short_values_spare_words():
    """A value of three characters is replaced only where it stands alone."""
    assert Redactor([]).text("RUN P=abc cat abcd", own=b"abc") == "RUN P=*** cat abcd"


def test_several_own_values():
    """All values of an instruction can be given for one string."""
    assert Redactor([]).text("a hunter b secre", own=[b"hunter", b"secre"]) == "a ****** b *****"


def test_thousands_of_values_that_begin_alike():
    """Ten thousand values with one prefix are each found among ten thousand strings."""
    rng = random.Random(5)
    values = ["tok_" + "".join(rng.choices(string.ascii_letters, k=36)) for _ in range(10_000)]
    redactor = Redactor(value.encode() for value in values)

    assert all(redactor.text(f"etc/{value}/x tok_{'a' * 40}") == f"etc/{'*' * 40}/x tok_{'a' * 40}" for value in values)


@given(st.binary(min_size=8, max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_no_value_survives(value, before, after):
    """Whatever stands around it, a value of eight bytes or more is gone from the string."""
    shown = value.decode("utf-8", "backslashreplace")
    if len(shown) < 8 or shown in "*" * 60:
        return

    assert shown not in Redactor([value]).text(before + shown + after)


@given(st.text(max_size=40), st.lists(st.binary(min_size=1, max_size=12), max_size=5))
def test_length_never_changes(text, values):
    """Redacting keeps every place in a string where it was."""
    redacted = Redactor(values).text(text, own=values)

    assert len(redacted) == len(text)
    assert all(new in ("*", old) for old, new in zip(text, redacted, strict=True))


@given(st.binary(max_size=40))
def test_spellings_of_anything(value):
    """Any bytes have spellings, none of them empty."""
    assert all(spellings(value))


def test_preview_shows_only_what_the_rule_fixes():
    """Of a value only the prefix is shown that the rule's shape fixes."""
    assert preview(b"tok_" + b"k" * 36, "tok_") == "tok_***"
    assert preview(b"hunter2", "") == "***"


def test_preview_of_little_more_than_the_prefix():
    """Where hardly more than the prefix is there, nothing is shown."""
    assert preview(b"tok_abc", "tok_") == "***"


def test_repr_shows_nothing():
    """The repr of a redactor tells no value."""
    assert "horse" not in repr(Redactor([b"correct-horse"]))

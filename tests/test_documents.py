"""Documents from hostile images are parsed strictly and searched leniently."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import MalformedImage
from scanner.image.documents import JsonString, decode_string, folded_keys, parse, strings
from scanner.limits import Limits

LIMITS = Limits()
NUMBERS = st.integers(-(10**19), 10**19) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


def refused(raw: bytes) -> str:
    """The message with which *raw* is refused."""
    with pytest.raises(MalformedImage) as caught:
        parse(raw, "config", LIMITS)
    assert caught.value.tip
    return caught.value.what


@given(VALUES)
def test_parse_agrees_with_json(value: Any) -> None:
    """What json writes, parse reads."""
    assert parse(json.dumps(value).encode(), "x", LIMITS) == value


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"a": 1, "a": 2}', "repeats a key"),
        (b'{"a": {"b": 1, "b": 1}}', "repeats a key"),
        (b"[" * 201 + b"]" * 201, "nested deeper"),
        (b"[" * 200_000, "nested deeper"),
        (b"9" * 21, "integer"),
        (b"[" + b"9" * 5000 + b"]", "integer"),
        (b"1." + b"9" * 5000, "too long"),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "Infinity"),
        (b"", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"\xff\xfe{\0}\0", "not valid JSON"),
        (b'"\n"', "not valid JSON"),
        (b" " * (Limits().document_bytes + 1), "more than"),
    ],
)
def test_parse_refuses(raw: bytes, why: str) -> None:
    """Ambiguous, oversized and broken documents are refused with the reason."""
    assert why in refused(raw)


def test_refusals_do_not_quote_the_document() -> None:
    """A message never holds text of the document, which may be a secret."""
    for raw in (b'{"hunter-two": 1, "hunter-two": 2}', b'{"hunter-two"', b'{"x": hunter-two}'):
        assert "hunter" not in refused(raw)


def test_brackets_in_strings_do_not_nest() -> None:
    """Only structure counts as depth."""
    assert parse(json.dumps(["[" * 1000, '\\"' + "{" * 1000]).encode(), "x", LIMITS)[0] == "[" * 1000


def test_lone_surrogates_are_tolerated() -> None:
    """Go and Python accept a lone surrogate escape, and bytes that are no UTF-8 are kept too."""
    assert parse(rb'["\ud800"]', "x", LIMITS) == ["\ud800"]
    assert parse(b'["\xff"]', "x", LIMITS) == ["\udcff"]


def test_keys_that_differ_by_case_are_refused() -> None:
    """Go reads `Layers` and `layer\u017f` as `layers`; a strict reader would not see them."""
    folded_keys({"layers": [], "x": 1}, frozenset({"layers"}), "m")
    for key in ("Layers", "layer\u017f"):
        with pytest.raises(MalformedImage):
            folded_keys({key: []}, frozenset({"layers"}), "m")


def flat(value: Any) -> list[tuple[str, bool]]:
    """Every string of a value, (text, is it a key), in document order."""
    if isinstance(value, str):
        return [(value, False)]
    if isinstance(value, list):
        return [found for item in value for found in flat(item)]
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in [(key, True), *flat(item)]]
    return []


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_strings_gives_every_string_once(value: Any, ascii_only: bool, indent: int | None) -> None:
    """Keys and values come in document order, and their spans decode to them."""
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    found = list(strings(raw))
    if ascii_only:
        assert [(each.value, each.is_key) for each in found] == flat(value)
    for each in found:
        assert decode_string(raw[each.start : each.end]) == each.value
        assert raw[each.start - 1 : each.start] == b'"' == raw[each.end : each.end + 1]
        assert each.escaped == (b"\\" in raw[each.start : each.end])


def at(value: Any, path: str) -> Any:
    """The value that a path names, by Python's own evaluation of it as subscripts."""
    for key, index in _parts(path):
        value = value[key] if index is None else value[index]
    return value


def _parts(path: str) -> list[tuple[str, int | None]]:
    decoder, rest = json.JSONDecoder(), path
    found: list[tuple[str, int | None]] = []
    while rest:
        if rest.startswith('["'):
            key, end = decoder.raw_decode(rest, 1)
            found.append((key, None))
            rest = rest[end + 1 :]
        elif rest.startswith("["):
            digits, _, rest = rest[1:].partition("]")
            found.append(("", int(digits)))
        else:
            name = rest.removeprefix(".")
            size = next((i for i, char in enumerate(name) if char in ".["), len(name))
            found.append((name[:size], None))
            rest = name[size:]
    return found


@given(VALUES)
def test_paths_lead_to_their_values(value: Any) -> None:
    """Following the path of a string from the top gives that string."""
    for each in strings(json.dumps(value).encode()):
        if not each.is_key and "…" not in each.path:
            assert at(value, each.path) == each.value


def test_paths_as_people_write_them() -> None:
    """Identifiers stand bare, other keys in quotes, items by number; a key has the path of its value."""
    document = {"config": {"Env": ["A=1", "B=2"], "Labels": {"a.b": "c"}}, "history": [{"created_by": "x"}]}
    found = [(each.path, each.value, each.is_key) for each in strings(json.dumps(document).encode())]
    assert ("config.Env[1]", "B=2", False) in found
    assert ('config.Labels["a.b"]', "a.b", True) in found
    assert ('config.Labels["a.b"]', "c", False) in found
    assert ("history[0].created_by", "x", False) in found
    assert [each.path for each in strings(b'"top"')] == [""]
    assert [each.path for each in strings(b'[{"Config":"c"}]')] == ["[0].Config", "[0].Config"]


def test_strings_reads_what_parse_refuses() -> None:
    """Repeated keys, cut ends and broken structure hide no string."""
    assert [each.value for each in strings(b'{"a": "one", "a": "two"}')] == ["a", "one", "a", "two"]
    assert [each.value for each in strings(b'{"a": ["one", "tw')] == ["a", "one", "tw"]
    assert [each.value for each in strings(b']]}{,:"x"')] == ["x"]
    assert [each.value for each in strings(b'["bad \\q escape", "end\\')] == ["bad \\q escape", "end\\"[:-1]]
    assert [each.value for each in strings(b'"\xff"')] == ["\udcff"]


@given(st.binary())
def test_strings_never_raises(raw: bytes) -> None:
    """Any bytes at all are walked to the end, spans in order and apart."""
    at_byte = 0
    for each in strings(raw):
        assert isinstance(each, JsonString)
        assert at_byte <= each.start <= each.end <= len(raw)
        at_byte = each.end


def test_deep_and_wide_documents_do_not_blow_up() -> None:
    """Paths are cut where nesting or keys are absurd, so that memory stays in proportion."""
    deep = b'{"k":[' * 200_000 + b'"found"'
    last = list(strings(deep))[-1]
    assert last.value == "found" and len(last.path) < 2000
    wide = b'{"' + b"k" * 1_000_000 + b'": [' + b'"v",' * 200_000
    assert max(len(each.path) for each in strings(wide)) < 2000

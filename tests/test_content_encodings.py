"""A secret that stands encoded in a text is found, and the proof leads back to the encoded bytes."""

from __future__ import annotations

import base64
import binascii
import gzip
import html
import json
import lzma
import random
import re
import string
import time
import zlib
from collections.abc import Callable, Sequence
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scanner.content import encoded
from scanner.content.signals import aligned, signals
from scanner.content.words import Budget, Content
from scanner.detect import rulepack
from scanner.detect.base import Detector
from scanner.detect.firstpass import FirstPass, compile_database, triggers_of
from scanner.detect.patterns import PatternDetector
from scanner.evidence import Gap
from scanner.limits import Limits
from scanner.work.inside import Inner, Search
from scanner.work.twins import Twins
from tests.builders import tar_of
from tests.test_content_formats import ar, zipped

TOKEN = b"gl" + b"pat-" + "".join(random.Random(5).choices(string.ascii_letters + string.digits, k=20)).encode()
TEXT = b"# settings of the application\nGITLAB_TOKEN=" + TOKEN + b"\nPORT=8080 and so on and on\n"


@pytest.fixture(scope="module")
def search() -> Search:
    """The rules that know the token, and the signals of all rules."""
    pack = rulepack.load()
    rules = [PatternDetector(rule, pack.known) for rule in pack.rules if "gitlab" in rule.id]
    detectors: tuple[Detector, ...] = (*rules, *signals(pack))
    first_pass = FirstPass(detectors, compile_database(triggers_of(detectors)))
    return Search(first_pass, Limits(), Twins(1).part(0, {}))


def inside(search: Search, data: bytes, name: str = "file") -> list[Inner]:
    """Every match in something that was decoded."""
    view = memoryview(data)
    _, clues = search.matches(view, name)
    found = list(search.inside(Content(view, name, (0, len(data))), clues, Budget(search.limits)))
    assert [gap for gap in found if isinstance(gap, Gap)] == []
    return [inner for inner in found if isinstance(inner, Inner)]


def wide(codec: str) -> Callable[[bytes], bytes]:
    """Text as wide characters."""
    return lambda data: data.decode().encode(codec)


def escaped(data: bytes) -> bytes:
    """A JSON string with every character escaped."""
    return b"".join(b"\\u%04x" % byte for byte in data)


def wrapped(data: bytes) -> bytes:
    """Base64 in lines of 76."""
    return base64.encodebytes(data)


def quoted(data: bytes) -> bytes:
    """A part of a mail, cut into lines of a few characters."""
    lines = [b"".join(b"=%02X" % byte if byte == 0x3D or not byte % 5 else bytes([byte]) for byte in data[at : at + 20])
             for at in range(0, len(data), 20)]  # fmt: skip
    return b"\nContent-Transfer-Encoding: quoted-printable\nX: y\n\n" + b"=\n".join(lines) + b"\n\n--boundary--\n"


def uuencoded(data: bytes) -> bytes:
    """A file as uuencode writes it."""
    lines = [binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45)]
    return b"begin 644 settings\n" + b"".join(lines) + b"`\nend\n"


#: from the letters of Python's base85 to those of ZeroMQ
Z85 = bytes.maketrans(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~",
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#",
)

ENCODERS: dict[str, tuple[Callable[[bytes], bytes], Sequence[str]]] = {
    "base64": (base64.b64encode, ["base64"]),
    "url-safe base64": (base64.urlsafe_b64encode, ["base64"]),
    "base64 without padding": (lambda data: base64.b64encode(data).rstrip(b"="), ["base64"]),
    "base64 in lines": (wrapped, ["base64"]),
    "base64 in lines of a JSON string": (lambda data: wrapped(data).replace(b"\n", b"\\n"), ["base64"]),
    "base64 in indented lines": (lambda data: wrapped(data).replace(b"\n", b"\n    "), ["base64"]),
    "base64 twice": (lambda data: base64.b64encode(base64.b64encode(data)), ["base64", "base64"]),
    "base64 three times": (
        lambda data: base64.b64encode(base64.b64encode(base64.b64encode(data))), ["base64", "base64", "base64"]
    ),
    "base64 of gzip": (lambda data: base64.b64encode(gzip.compress(data, mtime=0)), ["base64", "gzip"]),
    "base64 of zlib": (lambda data: base64.b64encode(zlib.compress(data)), ["base64", "zlib"]),
    "URL-safe base64 of zlib packed best": (
        lambda data: base64.urlsafe_b64encode(zlib.compress(data, 9)).rstrip(b"="), ["base64", "zlib"]
    ),
    "base64 of UTF-16": (lambda data: base64.b64encode(wide("utf-16-le")(data)), ["base64", "utf-16le"]),
    "ASCII85 of gzip": (lambda data: base64.a85encode(gzip.compress(data, mtime=0)), ["ascii85", "gzip"]),
    "ASCII85 in lines": (
        lambda data: base64.a85encode(gzip.compress(data), adobe=True, wrapcol=72), ["ascii85", "gzip"]
    ),
    "ASCII85 in its frame": (lambda data: base64.a85encode(data, adobe=True), ["ascii85"]),
    "base85 of gzip": (lambda data: base64.b85encode(gzip.compress(data)), ["base85", "gzip"]),
    "base85 of xz": (lambda data: base64.b85encode(lzma.compress(data)), ["base85", "xz"]),
    "Z85 of gzip": (lambda data: base64.b85encode(gzip.compress(data)).translate(Z85), ["z85", "gzip"]),
    "base32 of gzip": (lambda data: base64.b32encode(gzip.compress(data)), ["base32", "gzip"]),
    "lower-case base32 of xz": (
        lambda data: re.sub(rb"(.{60})", rb"\1\n", base64.b32encode(lzma.compress(data)).lower()), ["base32", "xz"]
    ),
    "uuencode": (uuencoded, ["uuencode"]),
    "quoted-printable": (lambda data: quoted(data), ["quoted-printable"]),
    "hex": (lambda data: data.hex().encode(), ["hex"]),
    "upper-case hex": (lambda data: data.hex().upper().encode(), ["hex"]),
    "URL escapes": (lambda data: quote(data).encode().replace(b"-", b"%2D"), ["url"]),
    "URL escapes of everything": (lambda data: b"".join(b"%%%02x" % byte for byte in data), ["url"]),
    "HTML entities": (lambda data: b"".join(b"&#%d;" % byte for byte in data), ["html"]),
    "hexadecimal HTML entities": (lambda data: b"".join(b"&#x%x;" % byte for byte in data), ["html"]),
    "JSON escapes": (escaped, ["json-string"]),
    "shell escapes": (lambda data: b"".join(b"\\x%02x" % byte for byte in data), ["json-string"]),
    "octal escapes": (lambda data: b"".join(b"\\%03o" % byte for byte in data), ["json-string"]),
    "UTF-16 LE": (wide("utf-16-le"), ["utf-16le"]),
    "UTF-16 BE": (wide("utf-16-be"), ["utf-16be"]),
    "UTF-32 LE": (wide("utf-32-le"), ["utf-32le"]),
    "UTF-32 BE": (wide("utf-32-be"), ["utf-32be"]),
    "URL escapes twice": (lambda data: b"".join(b"%%25%02X" % byte for byte in data), ["url", "url"]),
    "escapes of ECMAScript": (lambda data: b"".join(b"\\u{%x}" % byte for byte in data), ["json-string"]),
    "octal escapes without zeros": (lambda data: b"".join(b"\\%o" % byte for byte in data), ["json-string"]),
    "URL escapes of base64": (
        lambda data: quote(base64.b64encode(data), safe="").replace("=", "%3D").encode(), ["base64"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("lead", [b"", b"x", b"xy", b'{"data": "', b"data:text/plain;base64,"], ids=repr)
@pytest.mark.parametrize("name", ENCODERS)
def test_encoded_secrets_are_found(search: Search, name: str, lead: bytes) -> None:
    """Whatever stands before and behind the encoded text."""
    encode, encoding = ENCODERS[name]
    body = encode(TEXT)
    separator = b"\n\0\n" if encoding[0].startswith("utf") else b" "
    data = lead + separator + body + b'"}\n'

    found = inside(search, data)

    assert {inner.match.secret.reveal() for inner in found} == {TOKEN}
    assert tuple(encoding) in {inner.encoding for inner in found}


@pytest.mark.parametrize(
    ("name", "decode"),
    [
        ("base64", base64.b64decode),
        ("base64 in lines", base64.b64decode),
        ("base64 without padding", lambda raw: base64.b64decode(raw + b"=" * (-len(raw) % 4))),
        ("hex", lambda raw: bytes.fromhex(raw.decode())),
        ("JSON escapes", lambda raw: json.loads(b'"' + raw + b'"').encode()),
        ("HTML entities", lambda raw: html.unescape(raw.decode()).encode()),
        ("UTF-16 LE", lambda raw: raw.decode("utf-16-le").encode()),
        ("UTF-16 BE", lambda raw: raw.decode("utf-16-be").encode()),
        ("UTF-32 LE", lambda raw: raw.decode("utf-32-le").encode()),
    ],
)
@pytest.mark.parametrize("pad", range(3))
def test_the_proof_is_the_encoded_secret(
    search: Search, name: str, decode: Callable[[bytes], bytes], pad: int
) -> None:
    """The stored bytes decode to the secret, with no more around it than whole groups need."""
    data = b"first line\n" * 3 + ENCODERS[name][0](b"y" * pad + TEXT) + b"\n"

    inner = next(inner for inner in inside(search, data) if inner.encoding == tuple(ENCODERS[name][1]))

    offset, length = inner.stored
    plain = decode(data[offset : offset + length])
    assert TOKEN in plain
    assert len(plain) <= len(TOKEN) + 4
    assert inner.spelled is not None
    assert inner.spelled.reveal() == data[offset : offset + length]


ESCAPES = b"." * 300 + rb"\u0041\u0042 = \"a\" \\u0041" + random.Random(1).randbytes(9000).replace(b"\n", b".")
STORED = gzip.compress(ESCAPES, 0, mtime=0)


@pytest.mark.parametrize(
    "data",
    [
        STORED,
        b"..\n" + STORED,
        b"....." + STORED + b"....",
        ar(("data.tar.gz", STORED)),
        tar_of({"a.gz": STORED, "b.txt": ESCAPES, "c.tgz": gzip.compress(tar_of({"d": ESCAPES * 3}), 0)}),
        tar_of({"b.txt": ESCAPES}) + b"behind",
        zipped(("a.txt", ESCAPES), method=0),
        b"..\n" + zipped(("a.txt", ESCAPES[:900]), ("b.gz", gzip.compress(ESCAPES[:900], 0)), method=0),
        zipped(("a.zip", zipped(("a.txt", ESCAPES), ("b.txt", ESCAPES), method=0)), method=0),
        tar_of({"a.jar": zipped(("a.txt", ESCAPES[:600]), method=0), "b.jar": zipped(("b", b"x"))}),
    ],
    ids=["gzip", "in a line", "amid one", "ar", "tar", "cut tar", "zip", "zip in a line", "zip in zip", "zip in tar"],
)
def test_escapes_in_what_is_packed_are_no_damage(search: Search, data: bytes) -> None:
    """What only looks like an escape is undone, and the archive around it then seems broken."""
    view = memoryview(data)
    _, clues = search.matches(view, "file")
    assert any(clue.kind == "escapes" for clue in clues)

    gaps = [found for found in search.inside(Content(view, "file", (0, len(data))), clues, Budget(Limits()))
            if isinstance(found, Gap)]  # fmt: skip

    assert [gap.detail for gap in gaps if "tar.trailing" not in gap.detail] == []


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: zipped(("a", data))], ids=["gzip", "zip"])
def test_packed_bytes_in_a_string_of_a_program_are_found(search: Search, pack: Callable[[bytes], bytes]) -> None:
    """Where only some bytes of it are escaped, and none of those that it begins with."""
    escapes = {b"\\": b"\\\\", b'"': b'\\"', b"\n": b"\\n"}
    for seed in range(100):
        packed = pack(random.Random(seed).randbytes(300).hex().encode() + TEXT)
        text = b"".join(escapes.get(packed[at : at + 1], packed[at : at + 1]) for at in range(len(packed)))
        if len(text) > len(packed) and text[:60] == packed[:60]:
            break

    data = memoryview(b'<?php $key = "\\x41\\x42\\x43\\x44"; eval(unpacked("' + text + b'"));')
    _, clues = search.matches(data, "a.php")

    found = search.inside(Content(data, "a.php", (0, len(data))), clues, Budget(Limits()))

    assert TOKEN in {inner.match.secret.reveal() for inner in found if isinstance(inner, Inner)}


def test_ordinary_base64_costs_nothing(search: Search) -> None:
    """Pictures and checksums hold nothing that a secret begins with, so they are not even decoded."""
    data = base64.b64encode(random.Random(3).randbytes(200_000))

    _, clues = search.matches(memoryview(data), "picture.css")

    assert sum(len(clue.ends) for clue in clues) <= 2


@pytest.mark.parametrize("lead", range(3))
def test_signals_are_what_base64_makes_of_a_word(lead: int) -> None:
    """Wherever the word stands among other bytes."""
    word = b"password"
    rng = random.Random(lead)
    for _ in range(50):
        encoded = base64.b64encode(rng.randbytes(lead) + word + rng.randbytes(9))
        form, phase = list(aligned(word))[lead]
        at = encoded.index(form)
        assert (at + len(form)) % 4 == phase


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("word", [b"ghp_", b"npm_", b"AKIA", b"AIza", b"hvs.", b"glpat-"])
def test_a_short_beginning_is_told_wherever_it_stands_in_base64(search: Search, word: bytes, times: int) -> None:
    """Four characters are what is left of four bytes in one of the three ways they can lie in groups."""
    for lead in range(3):
        for following in (b"0a7B", b"Zz9q", b"mmmm"):
            text = b"." * lead + b" : " + word + following * 9
            for _ in range(times):
                text = b"." * lead + base64.b64encode(text)
            _, clues = search.matches(memoryview(text + b"\n"), "file")

            assert [clue for clue in clues if clue.kind == "base64" and clue.ends], (lead, following)


def test_many_places_in_many_lines_of_base64_cost_little(search: Search) -> None:
    """In noise magics stand by chance, and each is asked whether it stands in the text as well."""
    noise = b"".join(gzip.compress(b"")[:10] + random.Random(at).randbytes(80) for at in range(20_000))
    start = time.monotonic()

    inside(search, wrapped(TEXT + noise))

    assert time.monotonic() - start < 20


def test_many_headers_of_mails_cost_no_more_than_one(search: Search) -> None:
    """Each part ends at the next boundary, and is read once."""
    header = b"\nContent-Transfer-Encoding: quoted-printable\n\n"
    for data in (header * 100_000, header[:-2] * 100_000, (header + b"=\n--x") * 60_000):
        start = time.monotonic()

        assert inside(search, data + quoted(TEXT)) != []
        assert time.monotonic() - start < 10


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from(list(ENCODERS)), st.binary(max_size=200))
@example(b"", "base64", b"LZIP\1")
@example(b"mozLz40\0", "base64", b"")
def test_whatever_stands_around_it(search: Search, before: bytes, name: str, after: bytes) -> None:
    """Bytes of any kind, apart from the encoded text by a line or a zero byte, change nothing."""
    encode, encoding = ENCODERS[name]
    if encoding[0].startswith("utf"):
        before, after = before + b"\xff\0\0\0\0\0\0\0\x01", b"\0\0\0\x01\0\0\0" + after
    data = before + b"\n\0\n" + encode(TEXT) + b"\n\0\n" + after

    view = memoryview(data)
    matches, clues = search.matches(view, "file")
    found = list(search.inside(Content(view, "file", (0, len(data))), clues, Budget(search.limits)))

    assert TOKEN in {inner.match.secret.reveal() for inner in found if isinstance(inner, Inner)}
    assert matches == []


def test_the_line_is_that_of_the_decoded_text(search: Search) -> None:
    """As the offset is."""
    [inner] = inside(search, base64.b64encode(TEXT))

    assert (inner.line, inner.start) == (2, TEXT.index(TOKEN))


@pytest.mark.parametrize("sign", ["+", "/", "=", ":", "$", "|"])
def test_a_sign_of_tokens_is_undone_in_an_address(search: Search, sign: str) -> None:
    """A value in a query whose only escape stands amid it, behind a name that says nothing."""
    word = "".join(random.Random(sign).choices(string.ascii_letters + string.digits, k=24))
    data = f"GET /v1/items?page=2&v={word}%{ord(sign):02X}{word}&sort=asc\n".encode()
    _, clues = search.matches(memoryview(data), "access.log")
    assert [clue.kind for clue in clues] == ["url"]


def test_wide_text_is_read_once_however_many_words_are_in_it(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    """In either order of bytes: each word would have all of it read again."""
    read, run = [], encoded._wide_run
    monkeypatch.setattr(encoded, "_wide_run", lambda *given: read.append(1) or run(*given))

    for codec in ("utf-16-le", "utf-16-be"):
        text = "".join(f"{number} my password=word{number}\n" for number in range(500))
        inside(search, b"\1" + text.encode(codec) + b"\1")

    assert 0 < len(read) <= 16

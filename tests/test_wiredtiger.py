"""What MongoDB keeps in tables and logs of WiredTiger is searched."""

from __future__ import annotations

import base64
import random
import struct
import zlib

import pytest

from scanner.content.snappyfiles import crc32c
from scanner.content.words import Fault
from tests.test_content_formats import MARK, opened
from tests.test_snappyfiles import snappy

#: made by WiredTiger 11.3.1: a row of the mark 300 times
REAL = (
    "eNrtmM2P20QUwB2qFtQTl1IJraqovSTStNjZ7CZ7mEOLtBfEAfF1qKrR2H5O3NgedzxuN3tKKgTqn8A/wIEDHDmBckBc99oLqqj2"
    "XwAuqOKN7XxSuKLC+zmWZ968mfcxz4kmt5+2nJbjOE/fuPGdQxAEQRAEQRAEQRDEf5rXmueLdt1+/aLTct50nM9/Or1m/x+4OJ/9"
    "8oFsp1JP2mYsTbtQKfgq/LpVz/vhdjJt5zKYQHj5JWov9hz6/Oufx3tU6ARBEARBEARBEP9zLjTPfvNfwKV2ff4fXP32SXX+d4bO"
    "F7P5+bXTr44pWwRBEARBEARBEATxatPD+zLeLac+/3/y8/EVe/5//uvbs7PFs8VsRjkiCIIgCIIgCIIgiFedW3hf2jj/X/1Y/rE8"
    "/8/mnz1/Z1Hr/bgHWaCnuYlVxjsTmMYhZ5lMgXeZn6hgIlIwMpRGikYRQh7JpICdYX5XBgEUhcilMaAzMY4zwzOVAZMJakprQRTx"
    "KfD+e3eYzPP1VCaLArThnUClaWyEiVMojEzzen5YauknsCvWIMNd2SMdm01FFUXLONZecB9HGylazDW6rTQvMnRqygIZjEGgLA4B"
    "I6hjRVEwyZUNaaMtfBlMylzEWaS25EmRNf2iTLnKWKCSRBo0YltlmhWchXFgnZF6yl3295sQKZ1Kw32jAdi4jKJUZgJV+KrzUCYl"
    "cIZzeiweZUoDOoTJTZWeijqaKu11JOge7o5MBCYqFak8QesrGa77MpHRZYapA46NjRVyOYJK3W6o1Wt8fVB1RjLnnssSkNGmraq/"
    "tlN1Vwvt93ClSlQFtdRRI96BzNZAWLnQZU101cQ4XU53t+RWcvD+HaaKJgthrM3S7kpYd7EGovhkVQ12H+p0/XVApHHG+1X1qSyZ"
    "NnpFnmDhhgA5VBoiGMdJiCtvDeSgdwbywPAjl5kYNIRC+fchWNZcIyuwbDAc3pGlGQujJoC15ZfBBMzyKWovOVvFiatgHjizJZ9g"
    "MRssZRvUvuvWhcVqU8JIPcIFqgJxu6xOe7OPH7KHoH1VAL97zzartHRSeR/ruMcwSHx63d13TpSFdde+jvcWzzZenM6n6Ff4UTwC"
    "/e5KesvDwMJQ8+uuN8QL+sMjCdFhNBj2bM876B/6oXc4dNdXEAXVfZ0pHQL6wKxx7g2ODobuweBgwKpwht5Rj2XwCN3CJEqNu7D8"
    "IilsBSTheqSSNLrmJFt3MPv59rzNARTc9LYlOPmm59m6yaXGnDbpGeGu7TN8j8S673W7X7bm8/Mn3/z2++P5+ZXj79+aVZwtzhb0"
    "E0YQBEEQBEH8A38CXjffqA=="
)
TEXT = b"".join(MARK[at : at + 5] + b"." for at in range(0, len(MARK), 5)) + MARK * 9


#: what of a page is never packed, behind its header
BEFORE = b"plain up to here, then: "


def sized(raw: bytes) -> bytes:
    """What Snappy packed, as it is kept."""
    return struct.pack("<Q", len(raw)) + raw


def page(body: bytes, plain: int, flags: int = 1, whole: bool = False) -> bytes:
    """A page whose first 64 bytes are as they are, and whose checksum holds."""
    size = (64 + len(body) + 4095) // 4096 * 4096
    head = struct.pack("<QQIIBBBB", 0, 3, 64 + plain, 2, 7, flags, 0, 1)
    rest = (BEFORE + body).ljust(size - 40, b"\0")
    kinds = struct.pack("<B3x", int(whole))
    made = head + struct.pack("<II", size, 0) + kinds + rest
    checksum = crc32c(made if whole else made[:64])
    return head + struct.pack("<II", size, checksum) + kinds + rest


def packed(text: bytes, whole: bool = False) -> bytes:
    """A page that Snappy packed."""
    return page(sized(snappy(text)), len(text), whole=whole)


def wired(*pages: bytes) -> bytes:
    """A table."""
    return struct.pack("<IHHII", 120897, 1, 0, 0, 0).ljust(4096, b"\0") + b"".join(pages)


def record(body: bytes, flags: int, plain: int = 0) -> bytes:
    """A record of a log."""
    made = struct.pack("<IIHHI", 16 + len(body), 0, flags, 0, plain) + body
    return made + bytes(-len(made) % 128)


def log(*records: bytes) -> bytes:
    """A log with room for more."""
    return record(struct.pack("<IHHQ", 0x101064, 5, 0, 1 << 20).ljust(112, b"\0"), 0) + b"".join(records) + bytes(4096)


FORMS = {
    "table": wired(page(b"plain", 5, flags=0), packed(TEXT), packed(TEXT, whole=True)),
    "log": log(record(b"plain", 0), *[record(sized(snappy(TEXT)), 1, 16 + len(TEXT))] * 2),
}


@pytest.mark.parametrize("form", FORMS)
def test_packed_pages_and_records_are_searched(form: str) -> None:
    """Whatever lies between them."""
    [found] = opened(FORMS[form])
    before = BEFORE if form == "table" else b""

    assert not isinstance(found, Fault)
    assert (found.encoding, bytes(found.data)) == (("snappy",), before + TEXT + b"\n" + before + TEXT)


def test_a_table_of_the_library_is_searched() -> None:
    """Whole, and without a gap."""
    [found] = opened(zlib.decompress(base64.b64decode(REAL)))

    assert not isinstance(found, Fault)
    assert bytes(found.data).count(MARK) == 300


@pytest.mark.parametrize("start", [0, 4096, 8192])
def test_a_page_that_was_written_over_is_no_gap(start: int) -> None:
    """It was free: its checksum does not hold, and what lies in it now is found."""
    free = bytearray(packed(random.Random(1).randbytes(9000), whole=True))
    free[start : start + 4096] = packed(TEXT)

    found = list(opened(wired(bytes(free))))

    assert not [inner for inner in found if isinstance(inner, Fault)]
    assert any(bytes(inner.data).endswith(TEXT) for inner in found if not isinstance(inner, Fault))


def test_records_behind_zeros_are_searched() -> None:
    """A log may have holes."""
    [found] = opened(log(bytes(1 << 20), record(sized(snappy(TEXT)), 1, 16 + len(TEXT))))

    assert not isinstance(found, Fault) and bytes(found.data) == TEXT


def test_a_size_that_no_record_has_is_a_gap() -> None:
    """Nothing behind it is found."""
    broken = struct.pack("<I", 5) + record(sized(snappy(TEXT)), 1, 16 + len(TEXT))[4:]
    found = list(opened(log(broken)))

    assert [inner.reason for inner in found if isinstance(inner, Fault)] == ["nested.damaged"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (wired(page(b"\7" * 90, 300), packed(TEXT)), "nested.unknown"),
        (wired(page(b"\7" * 90, 300, flags=8), packed(TEXT)), "nested.encrypted"),
        (wired(packed(TEXT), page(b"\7" * 5000, 9000))[:-4096], "nested.damaged"),
        (log(record(sized(snappy(TEXT))[:-3], 1, 16 + len(TEXT)), record(sized(snappy(TEXT)), 1, 16 + len(TEXT))),
         "nested.damaged"),
        (log(record(struct.pack("<Q", 0x278) + bytes(0x278), 1, 300), record(sized(snappy(TEXT)), 1, 16 + len(TEXT))),
         "nested.damaged"),
    ],
)  # fmt: skip
def test_what_is_packed_otherwise_is_a_gap(data: bytes, reason: str) -> None:
    """And what is not is searched."""
    found = list(opened(data))

    [text] = [bytes(inner.data) for inner in found if not isinstance(inner, Fault)]
    assert text.removeprefix(BEFORE) == TEXT
    assert [inner.reason for inner in found if isinstance(inner, Fault)] == [reason]


@pytest.mark.parametrize("form", FORMS)
def test_damage_to_wiredtiger_never_raises(form: str) -> None:
    """Whatever is written over it, and wherever it is cut."""
    source = random.Random(form)
    for _ in range(100):
        data = bytearray(FORMS[form])
        for at in source.sample(range(24, len(data)), 60):
            data[at] = source.randrange(256)
        assert list(opened(bytes(data[: source.randrange(100, len(data))]))) is not None

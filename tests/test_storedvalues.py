"""Values that Redis and Firefox keep packed are searched."""

from __future__ import annotations

import random
import struct
import time

import lz4.block
import pytest

from scanner.content.storedvalues import unlzf
from scanner.content.unfold import unfold
from scanner.content.words import Budget, Content, Fault, Room, Stop
from scanner.limits import Limits
from tests.test_content_formats import MARK, opened

TEXT = b"%s and more of the same, and more of the same, and more\n" % MARK
HEAD = b"REDIS0011\xfa\x09redis-ver\x057.0.15\xfe\x00\xfb\x01\x00"


def lzf(data: bytes) -> bytes:
    """LZF that refers back where nine bytes were there before, and has no more than five bytes in a row as they are."""
    out, at, literal = b"", 0, b""
    seen: dict[bytes, int] = {}

    def flush() -> bytes:
        parts = [literal[at : at + 5] for at in range(0, len(literal), 5)]
        return b"".join(bytes([len(part) - 1]) + part for part in parts)

    while at < len(data):
        back = seen.get(data[at : at + 9], -9000)
        for each in range(at, min(at + 9, len(data))) if at - back < 8000 else (at,):
            seen[data[each : each + 9]] = each
        if at - back < 8000:
            out, literal = out + flush(), b""
            offset = at - back - 1
            out += bytes([7 << 5 | offset >> 8, 0, offset & 0xFF])
            at += 9
        else:
            literal += data[at : at + 1]
            at += 1
    return out + flush()


def length(number: int) -> bytes:
    """A length as RDB stores it, in the shortest way."""
    if number < 64:
        return bytes([number])
    return struct.pack(">H", number | 0x4000) if number < 1 << 14 else b"\x80" + struct.pack(">I", number)


def string(data: bytes) -> bytes:
    """A string that is packed."""
    packed = lzf(data)
    return b"\xc3" + length(len(packed)) + length(len(data)) + packed


def dump(*values: bytes) -> bytes:
    """A dump with a key for each value."""
    keys = (b"\x00\x03key" + value for value in values)
    return HEAD + b"".join(keys) + b"\xff" + bytes(8)


def held(data: bytes) -> list[tuple[tuple[str, ...], bytes]]:
    """Encoding and bytes of each content in *data*."""
    return [(each.encoding, bytes(each.data)) for each in opened(data) if isinstance(each, Content)]


@pytest.mark.parametrize("data", [TEXT * 2, TEXT * 30, b"." * 300 + TEXT * 400, TEXT[:60] + b"a" * 999], ids=len)
def test_packed_strings_of_a_dump_of_redis_are_searched(data: bytes) -> None:
    """Whatever the length, among strings that are not packed."""
    stored = dump(b"\x05plain", string(data), b"\x05plain", string(b"nothing of any meaning " * 9))
    assert MARK not in stored

    [(encoding, plain)] = held(stored)

    assert encoding == ("lzf",)
    assert plain.split(b"nothing of any meaning")[0].rstrip(b"\n") == data.rstrip(b"\n")
    assert MARK in plain


def test_strings_of_a_dump_are_searched_in_portions() -> None:
    """The proof of a value is not the whole file."""
    chance = random.Random(1)
    filler = [b"".join(b"%x for one and for all of these\n" % chance.getrandbits(40) for _ in range(900))
              for _ in range(40)]  # fmt: skip
    stored = dump(*map(string, [*filler, TEXT * 3, *filler]))

    found = [each for each in opened(stored) if isinstance(each, Content)]

    assert len(found) > 5
    assert [each.stored[1] < len(stored) // 4 for each in found if MARK in bytes(each.data)] == [True]


def test_bytes_that_only_look_like_strings_are_nothing() -> None:
    """Of a dump that is noise nothing comes out, and nothing is damaged."""
    assert list(opened(HEAD + random.Random(1).randbytes(300_000))) == []


def test_a_string_that_takes_too_long_is_said() -> None:
    """Each of many places claims most of the file, which unpacks almost to its end."""
    claim = b"\xc3\x80\x00\x0f\xff\xff\x80\x07\xff\xff\xff"
    data = HEAD + claim * 1000 + b"\x00a" + b"\xe0\xff\x00" * 400_000
    room = Room(Budget(Limits()), len(data), time.monotonic() + 1)
    start = time.monotonic()

    found = list(unfold(Content(memoryview(data), "dump.rdb", (0, len(data))), (), room))

    assert time.monotonic() - start < 10
    assert all(isinstance(each, Content) or each.reason == "limit.time" for each in found)


def test_lzf_never_raises_but_for_a_limit() -> None:
    """It gives the bytes of the size that was told, or nothing."""
    chance = random.Random(1)
    room = Room(Budget(Limits()), 1000, time.monotonic() + 60)
    for _ in range(3000):
        data = chance.randbytes(chance.randrange(60))
        plain = unlzf(memoryview(data), chance.randrange(200), room)
        assert plain is None or isinstance(plain, bytes)
    packed = memoryview(b"\x00a" + b"\xe0\xff\x00" * 20_000)
    with pytest.raises(Stop):
        unlzf(packed, 1 << 30, Room(Budget(Limits()), 10, time.monotonic() - 1))


def mozilla(data: bytes) -> bytes:
    """A file of Firefox."""
    block = lz4.block.compress(data, mode="high_compression", store_size=False)
    return b"mozLz40\0" + struct.pack("<I", len(data)) + block


def test_files_that_firefox_packs_are_searched() -> None:
    """Sessions and bookmarks are JSON in one block of LZ4."""
    data = b'{"a": "' + b"".join(TEXT[at : at + 5] + b"|" for at in range(0, len(TEXT), 5)) + TEXT + b'"}'

    assert held(mozilla(data)) == [(("lz4",), data)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (mozilla(TEXT * 20)[:-9], "nested.damaged"),
        (b"mozLz40\0\x09\0", "nested.damaged"),
        (b"mozLz40\0" + bytes(4) + mozilla(TEXT)[12:], "nested.damaged"),
        (b"mozLz40\0\xff\xff\xff\xff" + bytes(90), "nested.damaged"),
    ],
    ids=["cut", "no block", "a wrong length", "an enormous length"],
)
def test_damage_to_what_firefox_packs_is_a_gap(data: bytes, reason: str) -> None:
    """Nothing is lost without a word."""
    assert reason in [each.reason for each in opened(data) if isinstance(each, Fault)]

"""Files of compress: all that their codes give is searched, and codes that cannot be are said."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.content.unfold import unfold
from scanner.content.words import Budget, Content, Fault, Room
from scanner.limits import Limits
from tests.builders import tar_of
from tests.test_content_formats import MARK, marks, opened, reasons

#: made by ncompress 4.2.4 of 40 lines with the mark: `yes 'a mark that somebody packed' | head -40 | compress`
REAL = """
H52QYUC0CSNnDQg6aMLQATHnTZsyYt6QyQMCTpgxa8qQURBwYMGDCRc2fBhxYsWLGTd2JGgQoUKGDiFKpGgRo0aOAlmCfDlSpsmaKXF6bBkSJs
mZJ22qzPnRpciYJWmivLmyadGeUZMGrUqUJ1SkQKky7fr06M+pS4fuLOtTqlKhOp0abatVrFq5WMGihWvVq1m3W8eunZs1bNq4V7+efct1cN7F
ge8m/lv3cF+2hfc2xqsYsF3Efuka5kuWsF7GgjlTHr15smjNqV1nRi059OzIoDGfxn3ZNOTPvR97tlxaeGXSjjsfb217N/DiylnHbv6bePLVsG
vrro5c9WvauX0P7y7buXXvt59f/x4U
"""


def coded(codes: Iterable[int], most: int = 16, clears: bool = True) -> bytes:
    """A file of these codes; 256 empties the table, if that is allowed."""
    out = bytearray(b"\x1f\x9d" + bytes([most | 0x80 * clears]))
    group: list[int] = []
    empty = 257 if clears else 256
    free, width, first = empty, 9, True

    def flush(last: bool = False) -> None:  # eight by eight, the last ones whole unless the file ends
        bits = "".join(f"{code:0{width}b}" for code in reversed(group))
        size = -(-len(group) * width // 8) if last else -(-len(group) // 8) * width
        out.extend(int(bits or "0", 2).to_bytes(size, "little"))
        group.clear()

    for code in codes:
        if free == 1 << width and width < max(most, 10):
            flush()
            width += 1
        group.append(code)
        if code == 256 and clears:
            flush()
            free, width, first = empty, 9, True
        else:
            free += not first and free < 1 << most
            first = False
    flush(last=True)
    return bytes(out)


def lzw(data: bytes, most: int, clears: bool, table: int) -> Iterator[int]:
    """The codes of *data*; the table is emptied when it has *table* entries."""
    known: dict[bytes, int] = {}
    before = b""
    for at in range(len(data)):
        byte = data[at : at + 1]
        if not known:
            known, before = {bytes([each]): each for each in range(256)}, byte
        elif before + byte in known:
            before += byte
        else:
            yield known[before]
            if len(known) + clears < 1 << most:
                known[before + byte] = len(known) + clears
            before = byte
            if clears and len(known) >= table:
                yield known[before]
                yield 256
                known, before = {}, b""
    if before:
        yield known[before]


def compressed(data: bytes, most: int = 16, clears: bool = True, table: int = 1 << 16) -> bytes:
    """*data* as compress packs it."""
    return coded(lzw(data, most, clears, table), most, clears)


def plain(data: bytes) -> bytes:
    """What comes out of a file of compress."""
    return b"".join(bytes(inner.data) for inner in opened(data) if isinstance(inner, Content))


TEXT = b"".join(b"%d %x\n" % (at, at * at) for at in range(9000))
NOISE = random.Random(1).randbytes(150_000)


@pytest.mark.parametrize("data", [b"some text", MARK, TEXT, NOISE, bytes(400_000), bytes(300_000) + TEXT])
@pytest.mark.parametrize("clears", [True, False])
@pytest.mark.parametrize("most", [9, 10, 13, 16])
def test_files_of_compress_are_searched(most: int, clears: bool, data: bytes) -> None:
    """Codes of any width, with and without a code that empties the table."""
    packed = compressed(data, most, clears)

    assert plain(packed) == data
    assert reasons(packed) == []


@pytest.mark.parametrize("table", [300, 511, 512, 513, 1500, 5000])
def test_the_table_may_be_emptied_at_any_time(table: int) -> None:
    """The rest of a group of codes is skipped then."""
    packed = compressed(TEXT, table=table)

    assert plain(packed) == TEXT
    assert reasons(packed) == []


def test_a_file_of_ncompress_is_searched() -> None:
    """As the usual tool makes it."""
    assert plain(base64.b64decode(REAL)) == MARK * 40


def test_an_archive_in_compress_is_opened() -> None:
    """And the name loses its ending."""
    assert marks(compressed(tar_of({"a": MARK})), "old.tar.Z") == [(("a",), ("compress",))]
    [inner] = [inner for inner in opened(compressed(MARK), "notes.Z") if isinstance(inner, Content)]
    assert inner.name == "notes"


def test_codes_that_cannot_be_are_a_gap() -> None:
    """What came out before is searched."""
    whole = compressed(MARK * 40)
    bad = whole[:60] + b"\xff" * 40

    assert MARK in plain(bad)
    assert reasons(bad) == ["nested.damaged"]
    assert reasons(b"\x1f\x9d\x90\xff\xff\xff\xff\xff\xff") == ["nested.damaged"]


def test_bombs_of_compress_end_at_the_ratio() -> None:
    """Zeros grow a hundred thousand times."""
    assert reasons(compressed(bytes(1 << 20))) == []
    assert reasons(coded([0, *range(257, 1 << 16), *[(1 << 16) - 1] * 9])) == ["nested.ratio"]


def test_a_table_that_is_emptied_for_ever_ends_at_the_time_limit() -> None:
    """Nothing comes out, but it takes time."""
    data = coded([256] * 100_000)
    room = Room(Budget(Limits()), len(data), time.monotonic() - 1)

    found = list(unfold(Content(memoryview(data), "file", (0, len(data))), (), room))

    assert [fault.reason for fault in found if isinstance(fault, Fault)] == ["limit.time"]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3000), st.sampled_from([9, 10, 12, 16]), st.booleans())
def test_what_was_packed_comes_out(data: bytes, most: int, clears: bool) -> None:
    """Whatever it was."""
    assert plain(compressed(b"some text" + data, most, clears, 400)) == b"some text" + data


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), st.integers(0, 255))
def test_a_file_of_compress_may_be_anything(data: bytes, flags: int) -> None:
    """Nothing is raised."""
    for inner in opened(b"\x1f\x9d" + bytes([flags]) + data):
        assert isinstance(inner, Content | Fault)

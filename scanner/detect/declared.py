"""Where a string ends by the length that a binary format stores of it.

Amid binary data no blank stands around a string: what is before it may be a letter (a length of 108 is an `l`), and
what is behind it the next string. That a length which is stored just before a run of characters fits what the run is
known to look like is no accident.

Sources: marshal.c of CPython and pickletools (short and long strings), MessagePack, Protocol Buffers "Encoding"
(varints), JVM specification 4.4.7 (CONSTANT_Utf8), "Database File Format" of SQLite sections 1.6 and 2.1 (cells; and
records: lengths of all columns, then the columns).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

#: bytes before a string that may hold what tells its length: a record's columns stand between
REACH = 256
_LEAST, _MOST = 8, 1 << 16
#: letters that say that a string follows, its length first: of marshal, and of pickle
_LETTERS = b"zZU"
_HEADER = re.compile(rb"[\x02-\x1f]")  # the size of a record's header: of up to thirty columns
_HEADERS = 32  # beginnings that are tried, as hostile bytes would have one everywhere
_LONGEST_NUMBER = 9
_INTEGERS = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)  # bytes of a value by its serial type: NULL, integers, a float, 0 and 1
_FIRST_BLOB = 12


def lengths(before: bytes) -> Iterator[int]:
    """Lengths that formats may declare for a string, by the bytes *before* it, at best the last `REACH`."""
    yield from (length for length in _prefixes(before[-4:]) if _LEAST <= length < _MOST)
    yield from (length for length in _columns(before) if length >= _LEAST)


def _prefixes(before: bytes) -> Iterator[int]:
    """A length right before it: of one byte, two or four in either order, or a varint of two bytes."""
    if len(before) >= 2 and (before[-2] in _LETTERS or not 0x20 <= before[-2] < 0x7F):
        yield before[-1]
    for size in (2, 4):
        if len(before) >= size:
            yield int.from_bytes(before[-size:], "big")
            yield int.from_bytes(before[-size:], "little")
    if len(before) >= 2 and before[-2] & 0x80 and not before[-1] & 0x80:
        yield before[-2] & 0x7F | before[-1] << 7


def _columns(before: bytes) -> Iterator[int]:
    """Lengths of columns that begin right behind *before*, by each header of a record that may stand in it."""
    bodies = [(each.start(), each.start() + before[each.start()]) for each in _HEADER.finditer(before)]
    for start, body in islice((each for each in reversed(bodies) if each[1] <= len(before)), _HEADERS):
        at, end, found = start + 1, body, 0
        while at < body and (found or end <= len(before)):
            serial, at = _varint(before, at)
            if end == len(before) and serial % 2:
                found = found or _size(serial)
            end += _size(serial)
        if found and at == body and _is_cell(before[:start], end - start):
            yield found


def _is_cell(before: bytes, payload: int) -> bool:
    """Whether *before* ends as a cell begins: with the length of its record, and in tables the number of the row. A
    record that was put together from several pages stands by itself."""
    if not before:
        return True
    if payload >= 1 << 14:
        return False
    stored = bytes([payload]) if payload < 0x80 else bytes([payload >> 7 | 0x80, payload & 0x7F])
    return stored in before[-_LONGEST_NUMBER - len(stored) :]


def _size(serial: int) -> int:
    """Bytes of a value, by its serial type."""
    if serial < len(_INTEGERS):
        return _INTEGERS[serial]
    return (serial - _FIRST_BLOB) // 2 if serial >= _FIRST_BLOB else 0


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one or two bytes, the most significant first, and where it ends. Longer ones are too large for us."""
    if data[at] & 0x80 and at + 1 < len(data):
        return (data[at] & 0x7F) << 7 | data[at + 1] & 0x7F, at + 2
    return data[at], at + 1

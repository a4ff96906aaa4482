"""The maps of sparse members: where in the stored data of a member its holes lie.

Stored data of a sparse member is its runs one after the other. In the file that an engine makes of it, holes lie
between them, so that the end of one run and the start of the next are no neighbours.

Sources: GNU tar manual, section "Storing Sparse Files"; go archive/tar for what engines accept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from scanner.limits import MIB

_FIRST, _MORE = 4, 21  # entries of the header and of each block that continues it
_ENTRY = 24


def is_declared(records: Mapping[bytes, bytes]) -> bool:
    """Whether an engine takes PAX records for those of a sparse file (readGNUSparsePAXHeaders): by the version they
    name, or by a map if they name none."""
    version = records.get(b"GNU.sparse.major", b""), records.get(b"GNU.sparse.minor", b"")
    if version != (b"", b""):
        return version in ((b"0", b"0"), (b"0", b"1"), (b"1", b"0"))
    return bool(records.get(b"GNU.sparse.map"))


def old_entries(block: bytes, start: int, count: int) -> Iterator[tuple[bytes, bytes]]:
    """(offset, length) of the map in an old GNU header or in a block that continues it, as numeric fields."""
    for at in range(start, start + count * _ENTRY, _ENTRY):
        if not block[at]:
            return
        yield block[at : at + 12], block[at + 12 : at + 24]


def header_entries(header: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The entries in the header of an old GNU sparse member."""
    return old_entries(header, 386, _FIRST)


def more_entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The entries in a block that continues the map."""
    return old_entries(block, 0, _MORE)


def listed(text: bytes) -> list[tuple[int, int]] | None:
    """The entries of GNU.sparse.map (PAX formats 0.0 and 0.1): numbers between commas. None if it is no such map."""
    return _pairs(text.split(b","))


def stored(data: memoryview) -> tuple[list[tuple[int, int]], int] | None:
    """The entries of a map in front of the data (PAX format 1.0), and how many bytes it takes: a count and that many
    pairs, a line each, up to the end of a block. None if it is no such map."""
    head = bytes(data[:MIB])
    count, newline, rest = head.partition(b"\n")
    if not newline or not count.isdigit() or len(count) > 7 or len(head) < 4 * int(count):
        return None
    lines = rest.split(b"\n", 2 * int(count))
    entries = _pairs(lines[: 2 * int(count)])
    if entries is None or len(lines) <= 2 * int(count):
        return None
    used = len(head) - len(lines[-1])
    return entries, used + -used % 512


def _pairs(numbers: list[bytes]) -> list[tuple[int, int]] | None:
    if len(numbers) % 2 or not all(text.isdigit() and len(text) < 20 for text in numbers):
        return None
    values = [int(text) for text in numbers]
    return list(zip(values[::2], values[1::2], strict=True))


def is_usual(entries: Iterable[tuple[int, int]]) -> bool:
    """Whether data begins and ends where blocks do, as in every file system. What is packed in such data is told by
    the first run of it, and is damaged where that ends; of a shorter one nothing can be told."""
    held = [(offset, length) for offset, length in entries if length]
    return not any(offset % 512 for offset, _ in held) and not any(length % 512 for _, length in held[:-1])


def runs(entries: Iterable[tuple[int, int]], start: int, size: int) -> tuple[int, ...] | None:
    """Where in *size* bytes of stored data, of which runs begin at *start*, a run begins after a hole.

    None if the map is not in order or does not tell of exactly those bytes, which engines refuse.
    """
    found: list[int] = []
    at, end = start, 0
    for offset, length in entries:
        if length < 0 or offset < end:
            return None
        if length and (offset > end or at == start) and 0 < at < size:
            found.append(at)
        at, end = at + length, offset + length
    return tuple(found) if at == size else None

"""Packed fields of systemd's journals are searched."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

import lz4.block
import pytest

from scanner.content.words import Fault
from tests.test_content_formats import MARK, opened

TEXT = b"MESSAGE=" + b"".join(MARK[at : at + 3] + b"." for at in range(0, len(MARK), 3)) + MARK * 9


def thing(kind: int, flags: int, body: bytes) -> bytes:
    """An object of a journal."""
    return struct.pack("<BB6xQ", kind, flags, 16 + len(body)) + body + bytes(-len(body) % 8)


def field(payload: bytes, flags: int = 0, compact: bool = False) -> bytes:
    """A data object: hash, four places, a number of entries; in a compact file two smaller numbers, too."""
    return thing(1, flags, bytes(56 if compact else 48) + payload)


def packed(text: bytes) -> bytes:
    """A field as LZ4 packs it, behind its size."""
    return struct.pack("<Q", len(text)) + lz4.block.compress(text, store_size=False)


def journal(objects: Sequence[bytes], compact: bool = False, header: int = 256) -> bytes:
    """A journal with room for more behind its last object."""
    last = header + sum(map(len, objects[:-1]))
    head = struct.pack("<8sII72xQ40xQ", b"LPKSHHRH", 0, 16 if compact else 2, header, last)
    return head.ljust(header, b"\0") + b"".join(objects) + bytes(4096)


@pytest.mark.parametrize("compact", [False, True])
def test_packed_fields_of_a_journal_are_searched(compact: bool) -> None:
    """Whatever objects lie between."""
    fields = [field(b"_HOSTNAME=shop", 0, compact), field(packed(TEXT), 2, compact)]
    data = journal([thing(3, 0, bytes(40)), *fields, thing(6, 0, bytes(32))], compact)

    found = [inner for inner in opened(data) if not isinstance(inner, Fault)]

    assert [(inner.encoding, bytes(inner.data)) for inner in found] == [(("lz4",), TEXT)]
    assert not [inner for inner in opened(data) if isinstance(inner, Fault)]


@pytest.mark.parametrize("spoil", ["size", "field", "end"])
def test_damage_to_a_journal_is_a_gap(spoil: str) -> None:
    """An object without a size, a field that does not unpack, a file that is cut; what lies before is searched."""
    broken = bytearray(field(packed(TEXT), 2))
    if spoil == "size":
        broken[8:16] = bytes(8)
    elif spoil == "field":
        broken[64:72] = struct.pack("<Q", len(TEXT) + 1)
    data = journal([field(packed(TEXT), 2), bytes(broken), thing(3, 0, bytes(32))])
    if spoil == "end":
        data = data[: 256 + len(broken) + 100]

    found = list(opened(data))

    assert [bytes(inner.data) for inner in found if not isinstance(inner, Fault)] == [TEXT]
    assert [inner.reason for inner in found if isinstance(inner, Fault)] == ["nested.damaged"]


@pytest.mark.parametrize(("at", "value"), [(136, 256), (136, 0), (88, 1 << 40), (88, 99999)])
def test_what_the_header_says_of_places_hides_nothing(at: int, value: int) -> None:
    """The last object's place, and the size of the header."""
    data = bytearray(journal([thing(3, 0, bytes(40)), field(packed(TEXT), 2)], header=240))
    data[at : at + 8] = struct.pack("<Q", value)

    found = list(opened(bytes(data)))

    assert [bytes(inner.data) for inner in found if not isinstance(inner, Fault)] == [TEXT]
    assert [inner.reason for inner in found if isinstance(inner, Fault)] == (["nested.damaged"] if at == 88 else [])


def test_objects_behind_zeros_are_searched() -> None:
    """Room for more is behind the last object, not before it."""
    data = journal([thing(3, 0, bytes(40)), bytes(1 << 20), field(packed(TEXT), 2)])

    assert [bytes(inner.data) for inner in opened(data) if not isinstance(inner, Fault)] == [TEXT]


def test_any_bytes_behind_the_magic_end() -> None:
    """Nothing raises, whatever the header says."""
    source = random.Random("journal")
    for _ in range(200):
        head = b"LPKSHHRH" + source.randbytes(80) + struct.pack("<Q", 240) + source.randbytes(300)
        assert all(isinstance(inner, Fault) for inner in opened(head))

"""Cabinets: what their folders hold is searched, and what cannot be is said."""

from __future__ import annotations

import base64
import random
import struct
import time
import zlib
from functools import reduce

import pytest

from scanner.content.unfold import unfold
from scanner.content.words import Budget, Content, Fault, Room
from scanner.limits import Limits
from tests.test_content_formats import MARK, files, opened, reasons

#: made by gcab 1.5 with `-c -z`, of files with the mark 2500 times and once
REAL = """
TVNDRgAAAACtAQAAAAAAACwAAAAAAAAAAwEBAAIAAAAAAAAAXAAAAAMAAQBwEQEAAAAAAAAAe13GPiAAb25lLnR4dAAcAAAAcBEBAAAAe13GPi
AAdHdvLnR4dABgIyR/fwAAgENL7cnBDYAgEACwv1PcaieQmBCCUT5uzyC232aMfHqsK1e8c7Rz1i/uLL3VI51zzjnnnHPOOeecc84555xzzjnn
nHPOOeecc84555xzzjnnnHPOOeecc84555xzzjnnnHPOOeecc84555xzzjnnnHPOOeecc84555xzzrmf3AYMkiamfwAAgENL7cnBDYAgEACwv1
PcaqeQkBCCUT5s7yC237Zc8c5Rz1l23Hn1Wo6MkU+P1ZxzzjnnnHPOOeecc84555xzzjnnnHPOOeecc84555xzzjnnnHPOOeecc84555xzzjnn
nHPOOeecc84555xzzjnnnHPOOeecc84555xzzrmf3Afg6QSIOwCMEUNL7cmxDYAgEADA3il+tUdITAjBKA3bu4TlXXtl1h13nr3VI2Pk02Ndue
KdoxXnnHPOOeecc8459+t9
"""
NOISE = random.Random(5).randbytes(60_000).hex().encode()
WHOLE = 0x8000  # bytes of a block
_HISTORY = 0x8000


def checksum(data: bytes, seed: int) -> int:
    """Word by word, as the format tells it."""
    whole = len(data) & ~3
    words = struct.unpack(f"<{whole // 4}I", data[:whole])
    return reduce(lambda one, other: one ^ other, words, seed) ^ int.from_bytes(data[whole:], "big")


def block(piece: bytes, history: bytes | None, reserved: int = 0, check: bool = True) -> bytes:
    """A block, packed if there is a *history*."""
    packed = piece
    if history is not None:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=history)
        packed = b"CK" + packer.compress(piece) + packer.flush()
    head = struct.pack("<HH", len(packed), len(piece)) + bytes(reserved)
    return struct.pack("<I", checksum(head, checksum(packed, 0)) if check else 0) + head + packed


def cabinet(*folders: dict[str, bytes], packed: bool = True, reserved: bool = False, check: bool = True) -> bytes:
    """A cabinet of folders of files."""
    extra = 3 if reserved else 0
    start = 36 + (4 + 5 if reserved else 0) + (8 + extra) * len(folders)
    names, blocks, listed = b"", b"", []
    for number, folder in enumerate(folders):
        at = 0
        for name, data in folder.items():
            names += struct.pack("<IIHHHH", len(data), at, number, 0x58A3, 0x4A27, 0xA0) + name.encode() + b"\0"
            at += len(data)
        whole = b"".join(folder.values())
        pieces = [(whole[i : i + WHOLE], whole[max(0, i - _HISTORY) : i]) for i in range(0, len(whole), WHOLE)]
        listed.append((len(blocks), len(pieces)))
        blocks += b"".join(block(piece, before if packed else None, extra, check) for piece, before in pieces)
    data = start + len(names)
    table = b"".join(struct.pack("<IHH", data + at, count, int(packed)) + bytes(extra) for at, count in listed)
    counts = len(folders), sum(len(folder) for folder in folders), 4 if reserved else 0, 7, 0
    head = struct.pack("<4s4xI4xI4xBB5H", b"MSCF", data + len(blocks), start, 3, 1, *counts)
    return head + (struct.pack("<HBB", 5, 3, 3) + b"other" if reserved else b"") + table + names + blocks


FORMS = {
    "packed": cabinet({"a.txt": NOISE[:70_000] + MARK, "b\\c.txt": NOISE[:40_000] + MARK}),
    "stored": cabinet({"a.txt": NOISE[:70_000] + MARK, "b\\c.txt": MARK}, packed=False),
    "stored in one block": cabinet({"a.txt": MARK, "b\\c.txt": MARK}, packed=False),
    "two folders": cabinet({"a.txt": MARK}, {"b\\c.txt": MARK + NOISE}),
    "reserved": cabinet({"a.txt": MARK, "b\\c.txt": MARK}, reserved=True),
    "unchecked": cabinet({"a.txt": MARK, "b\\c.txt": MARK}, check=False),
}


def names(data: bytes) -> list[tuple[str, ...]]:
    """The paths of all files that hold the mark."""
    return [inner.inside for inner in opened(data) if isinstance(inner, Content) and MARK in bytes(inner.data)]


@pytest.mark.parametrize("form", FORMS)
def test_files_of_cabinets_are_searched(form: str) -> None:
    """Each under its own path."""
    assert sorted(names(FORMS[form])) == [("a.txt",), ("b/c.txt",)]
    assert reasons(FORMS[form]) == []


@pytest.mark.parametrize("form", FORMS)
def test_a_cabinet_behind_a_program_is_searched(form: str) -> None:
    """As installers carry it."""
    data = b"MZ" + NOISE[:5000] + FORMS[form] + b"\0" * 99
    content = Content(memoryview(data), "file", (0, len(data)), packed=(5002,))

    found = list(unfold(content, (), Room(Budget(Limits()), len(data), time.monotonic() + 60)))

    assert [inner.inside for inner in found if isinstance(inner, Content)] == [("a.txt",), ("b/c.txt",)]
    assert all(isinstance(inner, Content) for inner in found)


def test_a_cabinet_of_a_program_is_searched() -> None:
    """Of three blocks, each of which goes on with what the one before held."""
    data = base64.b64decode(REAL)

    assert files(data) == {"one.txt": MARK * 2500, "two.txt": MARK}
    assert reasons(data) == []


def test_a_damaged_block_costs_only_itself() -> None:
    """What is in front of the damage and in later blocks is searched."""
    data = cabinet({"a": NOISE[:10_000] + MARK + NOISE[10_000:90_000] + MARK})
    at = data.find(b"CK") + 12_000

    broken = data[:at] + b"\xff" * 40 + data[at + 40 :]

    assert reasons(broken) == ["nested.damaged"]
    assert [bytes(inner.data).count(MARK) for inner in opened(broken) if isinstance(inner, Content)] == [2]


@pytest.mark.parametrize("method", [2, 3, 9])
def test_other_methods_are_gaps_of_their_folder(method: int) -> None:
    """LZX and Quantum; a folder beside them is searched."""
    data = bytearray(cabinet({"a": MARK}, {"b": MARK}))
    data[36 + 6] = method

    assert reasons(bytes(data)) == ["nested.unknown"]
    assert names(bytes(data)) == [("b",)]
    assert [inner.inside for inner in opened(bytes(data)) if isinstance(inner, Fault)] == [("a",)]


@pytest.mark.parametrize("flag", [1, 2])
def test_a_part_of_a_set_says_so(flag: int) -> None:
    """Its first or last file may lie elsewhere in part."""
    data = bytearray(cabinet({"a": MARK}))
    data[30] = flag
    assert struct.unpack_from("<I", data, 16) == (44,)
    parted = data[:36] + b"x.cab\0disk\0" + data[36:]
    struct.pack_into("<I", parted, 16, 55)
    struct.pack_into("<I", parted, 47, struct.unpack_from("<I", data, 36)[0] + 11)

    assert reasons(bytes(parted)) == ["nested.unknown"]
    assert names(bytes(parted)) == [("a",)]


def test_files_that_overlap_end_at_a_limit() -> None:
    """A few bytes for each file, and all of the folder in each."""
    data = cabinet({f"{number}": b"" for number in range(3000)} | {"last": bytes(WHOLE) * 100})
    forged = bytearray(data)
    at = 44
    for _ in range(3000):
        struct.pack_into("<II", forged, at, WHOLE * 100, 0)
        at = forged.index(0, at + 16) + 1

    assert "nested.ratio" in reasons(bytes(forged), Limits())


@pytest.mark.parametrize("size", range(9))
def test_checksums_of_any_length(size: int) -> None:
    """The last bytes come in another order."""
    assert reasons(cabinet({"a": MARK + NOISE[:size]}, packed=False)) == []

"""Compressed disk images of QEMU are searched, as one row of their clusters."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import zstandard

from scanner.content.words import Content, Fault
from tests.test_content_formats import MARK, opened, reasons

BITS = 12
CLUSTER = 1 << BITS
TEXT = b"".join(MARK[at : at + 5] + b"|" for at in range(0, len(MARK), 5)) + MARK


def deflated(data: bytes) -> bytes:
    """Raw deflate with the window that QEMU uses."""
    coder = zlib.compressobj(9, zlib.DEFLATED, -12)
    return coder.compress(data) + coder.flush()


PACK: dict[int, Callable[[bytes], bytes]] = {0: deflated, 1: zstandard.compress}


def disk(
    *clusters: bytes | None, packed: Sequence[int] = (), method: int = 0, crypt: int = 0, features: int = 0,
    snapshot: Sequence[bytes] = (), end: int | None = None,
) -> bytes:  # fmt: skip
    """An image of these clusters, None for one that has no data; those of the numbers *packed* are compressed, as are
    all of a snapshot."""
    features |= 8 if method else 0
    body = bytearray(4 * CLUSTER + CLUSTER)  # header, first-level tables, snapshots, two second-level tables

    def stored(data: bytes, compressed: bool) -> int:
        data = data.ljust(CLUSTER, b"\0")
        if not compressed:
            body.extend(bytes(-len(body) % CLUSTER))
            body.extend(data)
            return (len(body) - CLUSTER) | 1 << 63
        at, data = len(body), PACK[method](data)
        body.extend(data)
        sectors = (at % 512 + len(data) - 1) // 512
        return at | sectors << (62 - (BITS - 8)) | 1 << 62

    for number, cluster in enumerate(clusters):
        if cluster is not None:
            struct.pack_into(">Q", body, 3 * CLUSTER + 8 * number, stored(cluster, number in packed))
    for number, cluster in enumerate(snapshot):
        struct.pack_into(">Q", body, 4 * CLUSTER + 8 * number, stored(cluster, compressed=True))
    struct.pack_into(">Q", body, CLUSTER, 3 * CLUSTER | 1 << 63)
    struct.pack_into(">Q", body, CLUSTER + 512, 4 * CLUSTER)
    struct.pack_into(">QIHHIIQIII", body, 2 * CLUSTER, CLUSTER + 512, 1, 1, 4, 0, 0, 0, 0, 0, 0)
    struct.pack_into(">4sIQIIQIIQQIIQ", body, 0, b"QFI\xfb", 3, 0, 0, BITS, CLUSTER * len(clusters), crypt, 1, CLUSTER,
                     0, 0, 1 if snapshot else 0, 2 * CLUSTER)  # fmt: skip
    struct.pack_into(">QQQIIB", body, 72, features, 0, 0, 4, 112, method)
    return bytes(body) if end is None else bytes(body[:end])


def held(data: bytes) -> list[bytes]:
    """What comes out of an image."""
    return [bytes(each.data) for each in opened(data) if isinstance(each, Content) and each.encoding == ("qcow2",)]


@pytest.mark.parametrize("method", PACK)
def test_compressed_disks_of_qemu_are_searched(method: int) -> None:
    """All clusters with data in their order, whether they are compressed or not, and a value from one to the next."""
    noise = random.Random(1).randbytes(CLUSTER)
    first, second = TEXT.rjust(CLUSTER, b".")[9:] + MARK[:9], MARK[9:] + b"." * 99
    data = disk(first, second, None, noise, b"end", packed=(0, 1, 4), method=method)
    assert MARK not in data

    [plain] = held(data)

    assert plain == b"".join(each.ljust(CLUSTER, b"\0") for each in (first, second, noise, b"end"))
    assert MARK in plain
    assert reasons(data) == []


def test_clusters_of_a_snapshot_are_searched() -> None:
    """What was deleted since is in the file."""
    data = disk(b"now", snapshot=[b"before " + TEXT])

    assert [MARK in plain for plain in held(data)] == [True]


def test_a_disk_without_compressed_clusters_is_searched_as_it_lies_there() -> None:
    """It would be searched twice."""
    assert held(disk(b"now", TEXT)) == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (disk(TEXT, b"more", packed=(0, 1), end=5 * CLUSTER + 40), "nested.damaged"),
        (disk(TEXT, packed=(0,))[: 3 * CLUSTER + 9], "nested.damaged"),
        (disk(TEXT, packed=(0,)).replace(deflated(TEXT.ljust(CLUSTER, b"\0"))[:20], b"\xff" * 20), "nested.damaged"),
        (disk(TEXT, packed=(0,), crypt=2), "nested.encrypted"),
        (disk(TEXT, packed=(0,), features=4), "nested.unknown"),
        (disk(TEXT, packed=(0,), method=1)[:104] + b"\7" + disk(TEXT, packed=(0,), method=1)[105:], "nested.unknown"),
    ],
    ids=["cut", "cut in a table", "a damaged cluster", "encrypted", "data elsewhere", "packed otherwise"],
)
def test_damage_to_a_disk_of_qemu_is_a_gap(data: bytes, reason: str) -> None:
    """Nothing is lost without a word."""
    assert reason in reasons(data)


def test_tables_that_lie_cost_little() -> None:
    """Many entries that name one cluster or one table, and offsets far away."""
    chance = random.Random(1)
    sound = bytearray(disk(*[TEXT] * 300, packed=range(300), snapshot=[TEXT]))
    sound[CLUSTER : 2 * CLUSTER] = sound[CLUSTER : CLUSTER + 8] * (CLUSTER // 8)
    assert sum(map(len, held(bytes(sound)))) <= 301 * CLUSTER
    for _ in range(300):
        data = bytearray(sound)
        for _ in range(8):
            data[chance.randrange(8, 5 * CLUSTER)] = chance.randrange(256)
        assert all(isinstance(each, Content | Fault) for each in opened(bytes(data)))


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")
def test_an_image_that_qemu_writes_is_searched(tmp_path: Path) -> None:
    """The program agrees."""
    plain = random.Random(1).randbytes(70_000) + TEXT * 3000
    (tmp_path / "raw").write_bytes(plain + bytes(-len(plain) % 512))
    command = ("qemu-img", "convert", "-f", "raw", "-c", "-O", "qcow2", "raw", "disk")
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    [found] = held((tmp_path / "disk").read_bytes())

    assert found.startswith(plain)

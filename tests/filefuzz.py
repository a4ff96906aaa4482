"""Mutants of packed files inside a layer: of every kind that is told at the start of a file, in one another.

What any library's own decoder makes of a mutant is the reference, so none of ours is its own judge.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import brotli
import lz4.block
import lz4.frame
import zstandard

from tests.builders import tar_of
from tests.fuzzing import END, Failure, flipped, lost_in, tar_file

_LEGACY = b"\x02\x21\x4c\x18"


@dataclass(frozen=True)
class Form:
    """A way to pack.

    Attributes:
        pack: plain bytes → packed ones.
        unpack: the other way round, by a library; raises whatever it likes.
        suffix: what a file of this kind is called.
        parts: whether several of them one behind the other are one.
        skippable: whether skippable frames may stand between them.
    """

    pack: Callable[[random.Random, bytes], bytes]
    unpack: Callable[[bytes], bytes]
    suffix: str = ""
    parts: bool = False
    skippable: bool = False


def repeated(data: bytes) -> bytes:
    """In front of the data, a copy of it in pieces: a packer that only refers back then leaves nothing as it is."""
    return b"".join(data[at : at + 7] + b"|" for at in range(0, len(data), 7)) + data


def legacy_lz4(*blocks: bytes) -> bytes:
    """A legacy frame of LZ4."""
    packed = [lz4.block.compress(block, mode="high_compression", store_size=False) for block in blocks]
    return _LEGACY + b"".join(struct.pack("<I", len(block)) + block for block in packed)


def skippable(data: bytes, number: int = 0) -> bytes:
    """A frame that decoders of zstd and LZ4 skip."""
    return struct.pack("<II", 0x184D2A50 + number, len(data)) + data


def _zlib(chance: random.Random, data: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, chance.randrange(9, 16))
    return coder.compress(data) + coder.flush()


def _lzma(chance: random.Random, data: bytes) -> bytes:
    lc = chance.randrange(5)
    lp, pb, size = chance.randrange(5 - lc), chance.randrange(5), 1 << chance.randrange(12, 20)
    chain = [{"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": size}]
    known = struct.pack("<Q", len(data)) if chance.random() < 0.5 else b"\xff" * 8
    head = bytes([(pb * 5 + lp) * 9 + lc]) + struct.pack("<I", size) + known
    return head + lzma.compress(data, lzma.FORMAT_RAW, filters=chain)


def _lz4(chance: random.Random, data: bytes) -> bytes:
    packed: bytes = lz4.frame.compress(
        repeated(data), compression_level=9, block_size=chance.randrange(4, 8), block_linked=chance.random() < 0.5,
        content_checksum=chance.random() < 0.5, block_checksum=chance.random() < 0.5, store_size=chance.random() < 0.5,
    )  # fmt: skip
    return packed


def _legacy(_chance: random.Random, data: bytes) -> bytes:
    return legacy_lz4(repeated(data))


def _unlz4(data: bytes) -> bytes:
    """All frames of both kinds, and what is skipped between them."""
    out = b""
    while data:
        if data[:4] == _LEGACY:
            size = int.from_bytes(data[4:8], "little")
            if size > len(data) - 8:
                raise EOFError
            out, data = out + lz4.block.decompress(data[8 : 8 + size], uncompressed_size=8 << 20), data[8 + size :]
        elif data[1:4] == b"\x2a\x4d\x18":
            data = data[8 + int.from_bytes(data[4:8], "little") :]
        else:
            decoder = lz4.frame.LZ4FrameDecompressor()
            out += decoder.decompress(data)
            if not decoder.eof:
                raise EOFError
            data = decoder.unused_data or b""
    return out


def _zip(chance: random.Random, data: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", chance.choice((0, 8, 12, 14))) as archive:
        archive.writestr("note", b"nothing")
        archive.writestr("e", data)
    return target.getvalue()


def _unzip(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read("e")


def _untar(data: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        member: Any = archive.extractfile("e")
        return bytes(member.read())


FORMS: dict[str, Form] = {
    "gzip": Form(lambda _, data: gzip.compress(data, mtime=0), gzip.decompress, parts=True),
    "bzip2": Form(lambda _, data: bz2.compress(data), bz2.decompress, parts=True),
    "xz": Form(lambda _, data: lzma.compress(data), lambda data: lzma.decompress(data, lzma.FORMAT_XZ), parts=True),
    "zstd": Form(
        lambda _, data: zstandard.compress(data),
        lambda data: zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read(),
        parts=True, skippable=True,
    ),
    "zlib": Form(_zlib, zlib.decompress),
    "lzma": Form(_lzma, lambda data: lzma.decompress(data, lzma.FORMAT_ALONE)),
    "lz4": Form(_lz4, _unlz4, parts=True, skippable=True),
    "legacy lz4": Form(_legacy, _unlz4, parts=True, skippable=True),
    "brotli": Form(lambda chance, data: brotli.compress(data, quality=chance.randrange(3, 12)),
                   brotli.decompress, ".br"),
    "zip": Form(_zip, _unzip),
    "tar": Form(lambda _, data: tar_of({"note": b"nothing", "e": data}), _untar),
}  # fmt: skip


def _packed(chance: random.Random, form: Form, data: bytes) -> bytes:
    """*data* in one part, or in several with something between them."""
    cuts = sorted(chance.randrange(len(data)) for _ in range(chance.randrange(3))) if form.parts else []
    parts = [form.pack(chance, data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    if form.skippable and chance.random() < 0.5:
        parts.insert(chance.randrange(len(parts) + 1), skippable(b"x" * chance.randrange(9), chance.randrange(16)))
    return b"".join(parts)


def _mutated(chance: random.Random, data: bytes) -> bytes:
    what = chance.randrange(6)
    if what == 0:
        return flipped(chance, data[:40]) + data[40:]
    if what == 1:
        return flipped(chance, data)
    if what == 2:
        return data[: chance.randrange(len(data))]
    if what == 3:
        return data + chance.choice((b"behind", bytes(chance.randrange(700)), skippable(b"x"), chance.randbytes(40)))
    at = chance.randrange(len(data))
    return data[:at] + chance.randbytes(chance.randrange(1, 9)) + data[at:] if what == 4 else data


def mutated_file(chance: random.Random, key: bytes) -> tuple[str, bytes, bytes | None]:
    """A name, a file with the key packed once or twice and something wrong with it, and its plain bytes if a library
    gets them."""
    names = chance.choices([name for name in FORMS if name != "brotli"], k=chance.randrange(1, 3))
    if chance.random() < 0.1:
        names[-1] = "brotli"
    data = b"".join(b"%x settings\n" % number**9 for number in range(99, 130)) + b"token = " + key + b"\n"
    for name in names:
        data = _packed(chance, FORMS[name], data)
    stored = data = _mutated(chance, data)
    plain: bytes | None
    try:
        for name in reversed(names):
            data = FORMS[name].unpack(data)
        plain = data
    except Exception:  # whatever a library says of a mutant
        plain = None
    return "opt/e" + FORMS[names[-1]].suffix, stored, plain


def lost_in_files(seeds: Iterable[int], jobs: int = 1) -> list[Failure]:
    """Failures among mutated files, one for each seed."""

    def made(chance: random.Random, key: bytes) -> tuple[bytes, bytes, bytes | None]:
        name, stored, plain = mutated_file(chance, key)
        return tar_file(name, stored) + END, stored, plain

    return lost_in(seeds, jobs, made)

"""Mutants of layers, streams, documents and archives, and a harness that scans many of them at a time.

Every mutant comes from a seeded generator, so a failure is repeated by its number.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import random
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import zstandard

from scanner.content.signals import packed_signals
from scanner.detect.base import Detector, Trigger
from scanner.detect.firstpass import FirstPass, compile_database, triggers_of
from scanner.errors import LeakscanError, MalformedImage
from scanner.evidence import Confidence, Match, Secret, Severity
from scanner.image.blob import Blob, BlobFile, spool
from scanner.image.documents import parse, strings
from scanner.image.source import open_image
from scanner.limits import GIB, MIB, Limits
from scanner.request import Detection, Options
from scanner.scan import scan
from scanner.work.jobs import BlobJob, BlobOutcome
from scanner.work.messages import Form
from scanner.work.pool import Pool
from scanner.work.reader import place
from tests.builders import image_of, layer, tar_of, write

BLOCK = 512
END = bytes(2 * BLOCK)
USTAR, GNU, V7 = b"ustar\x0000", b"ustar  \0", bytes(8)
KEY_LENGTH = 28
_BATCH = 500  # mutants that one set of workers scans
KEY = re.compile(rb"\bKEY-[0-9a-f]{24}\b")
#: workers are forked of a process that tests have made large: what it holds counts as theirs
LIMITS = Limits(
    layer_bytes=64 * MIB, image_bytes=256 * MIB, layer_seconds=20.0, image_seconds=60.0, worker_bytes=2 * GIB
)


class KeyDetector:
    """Finds planted keys where they stand alone, as rules of the pack do."""

    triggers = (Trigger(rb"KEY-[0-9a-f]{24}"),)

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """The keys that end at *ends*."""
        for end in ends:
            start = end - KEY_LENGTH
            around = bytes(data[max(0, start - 1) : end + 1])
            if found := KEY.search(around):
                value = Secret(found[0])
                yield Match("key", "pattern", "a key", Severity.HIGH, Confidence.HIGH, start, end, value)


DETECTORS: tuple[Detector, ...] = (KeyDetector(), *packed_signals())
DATABASE = compile_database(triggers_of(DETECTORS))


def new_key(chance: random.Random) -> bytes:
    """A key that no other text holds."""
    return f"KEY-{chance.getrandbits(96):024x}".encode()


# -- a tar, written by hand ------------------------------------------------------------------------------------------


def padded(data: bytes) -> bytes:
    """*data* and zeros up to the next block."""
    return data + bytes(-len(data) % BLOCK)


def signed(block: bytes | bytearray) -> bytes:
    """A header block with the checksum of what it holds."""
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def tar_header(
    name: str | bytes, size: int | bytes = 0, kind: bytes = b"0", magic: bytes = USTAR, link: bytes = b"",
    at: dict[int, bytes] | None = None,
) -> bytes:
    """A header block; *at* overwrites bytes from an offset on before the checksum is made."""
    name = name.encode() if isinstance(name, str) else name
    block = bytearray(BLOCK)
    for start, value in (
        (0, name[:100]), (100, b"0000644\0"), (108, b"0000000\0"), (116, b"0000000\0"),
        (124, size if isinstance(size, bytes) else b"%011o\0" % size), (136, b"14516510100\0"), (156, kind),
        (157, link[:100]), (257, magic), *(at or {}).items(),
    ):
        block[start : start + len(value)] = value
    return signed(block)  # fmt: skip


def tar_file(name: str | bytes, data: bytes, **more: Any) -> bytes:
    """A member with its data."""
    return tar_header(name, len(data), **more) + padded(data)


def record(key: bytes, value: bytes) -> bytes:
    """A record of an extended header: its own length, key and value."""
    body = b" " + key + b"=" + value + b"\n"
    size = len(body)
    while len(str(size)) + len(body) != size:
        size = len(str(size)) + len(body)
    return str(size).encode() + body


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """An extended header."""
    body = b"".join(record(key, value) for key, value in records)
    return tar_header("PaxHeaders/x", len(body), kind) + padded(body)


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    """A GNU header for a long name or link target."""
    return tar_header("././@LongLink", len(name) + 1, kind, GNU) + padded(name + b"\0")


def sparse_old(name: str, runs: Sequence[tuple[int, bytes]]) -> bytes:
    """A sparse member in GNU's old form: (offset, data) of each run, four at most."""
    entries = b"".join(b"%011o\0%011o\0" % (offset, len(data)) for offset, data in runs)
    real = runs[-1][0] + len(runs[-1][1])
    data = b"".join(data for _, data in runs)
    fields = {386: entries, 483: b"%011o\0" % real}
    return tar_header(name, len(data), b"S", GNU, at=fields) + padded(data)


def sparse_pax(name: bytes, runs: Sequence[tuple[int, bytes]], minor: int) -> bytes:
    """A sparse member in one of PAX's forms: 0 for 0.0, 1 for 0.1, 10 for 1.0."""
    data = b"".join(data for _, data in runs)
    real = b"%d" % (runs[-1][0] + len(runs[-1][1]))
    numbers = [b"%d" % number for offset, part in runs for number in (offset, len(part))]
    if minor == 10:
        lines = b"\n".join([b"%d" % len(runs), *numbers]) + b"\n"
        head = pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", name),
                   (b"GNU.sparse.realsize", real))  # fmt: skip
        return head + tar_file(b"GNUSparseFile.0/x", padded(lines) + data)
    common = [(b"GNU.sparse.size", real), (b"GNU.sparse.numblocks", b"%d" % len(runs))]
    if minor == 1:
        return pax(*common, (b"GNU.sparse.name", name), (b"GNU.sparse.map", b",".join(numbers))) + tar_file(name, data)
    pairs = [((b"GNU.sparse.offset", b"GNU.sparse.numbytes")[n % 2], number) for n, number in enumerate(numbers)]
    return pax(*common, *pairs) + tar_file(name, data)


def seed_layer(chance: random.Random, key: bytes) -> bytes:
    """A small layer of everything that tools write, with the key in one member's data."""
    secret = b"token = " + key + b"\n"
    kinds: list[Callable[[bytes], bytes]] = [
        lambda data: tar_file("app/settings", data),
        lambda data: tar_file("app/old", data, magic=V7, kind=b"\0"),
        lambda data: pax((b"path", b"app/" + b"d" * 120), (b"mtime", b"1.5")) + tar_file("app/d", data),
        lambda data: long_name(b"app/" + b"l" * 150) + tar_file("app/l", data, magic=GNU),
        lambda data: pax((b"size", b"%d" % len(data))) + tar_file("app/size", data),
        lambda data: pax((b"SCHILY.xattr.user.note", b"a note")) + tar_file("app/x", data),
        lambda data: tar_file("app/.wh.marked", data),
        lambda data: sparse_old("app/s", [(0, padded(b"start")), (4096, data)]),
        lambda data: sparse_pax(b"app/s0", [(0, b"A" * 512), (4096, data)], 0),
        lambda data: sparse_pax(b"app/s1", [(512, data), (8192, b"z" * 100)], 1),
        lambda data: sparse_pax(b"app/s10", [(4096, data)], 10),
        lambda data: tar_file("lib/inner.tar", tar_file("inner/file", data) + END),
    ]
    chosen, hiding = chance.sample(kinds, 5), chance.randrange(5)
    members = [make(secret if number == hiding else b"nothing here\n") for number, make in enumerate(chosen)]
    members.insert(0, tar_file("app/first", b"x"))
    links = [tar_header("app/", kind=b"5"), tar_header("app/link", kind=b"2", link=b"settings"),
             tar_header("app/hard", kind=b"1", link=b"app/first"), tar_header("dev/null", kind=b"3")]  # fmt: skip
    members += chance.sample(links, 2)
    return b"".join(members) + (END if chance.random() < 0.9 else b"")


# -- mutants ---------------------------------------------------------------------------------------------------------

_TYPES = b"0\0123456789SxgLKVMNDAXZ \xff"
_NUMBERS = (
    b"\0" * 12, b" " * 12, b"-0000000001\0", b"+0000000010\0", b"0o000000010\0", b"0x000000010\0", b"00000_00010\0",
    b"77777777777\0", b"777777777777", b"\x80" + bytes(10) + b"\x10", b"\x81" + bytes(10) + b"\x10", b"\xff" * 12,
    b"\xc0" + bytes(11), b"\0" + b"0000000012\0", b"12 34\0\0\0\0\0\0\0", b"9999999999\0\0", b"1000\0000000\0\0",
)  # fmt: skip
_RECORDS = (
    (b"size", b"0"), (b"size", b"512"), (b"size", b"-512"), (b"size", b""), (b"size", b"1e3"), (b"size", b"+40"),
    (b"path", b"../../etc/x"), (b"path", b"a\0b"), (b"path", b""), (b"linkpath", b"/"), (b"hdrcharset", b"BINARY"),
    (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.map", b"0,10,600,100"),
    (b"GNU.sparse.realsize", b"99999"), (b"GNU.sparse.size", b"10"), (b"GNU.sparse.name", b"s"), (b"comment", b"x"),
)  # fmt: skip


def mutated_tar(chance: random.Random, layer: bytes) -> bytes:
    """A tar with one to three things wrong with it; most headers keep a right checksum."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        layer = chance.choice(_TAR_MUTATORS)(chance, layer)
    return layer


def _blocks(layer: bytes) -> list[int]:
    """Where header blocks lie, as far as their magic tells."""
    found = [at for at in range(0, len(layer) - BLOCK + 1, BLOCK) if layer[at + 257 : at + 262] == b"ustar"]
    return found or [0]


def _replaced(layer: bytes, at: int, value: bytes) -> bytes:
    return layer[:at] + value + layer[at + len(value) :]


def _header_field(chance: random.Random, layer: bytes) -> bytes:
    at = chance.choice(_blocks(layer))
    block = bytearray(layer[at : at + BLOCK].ljust(BLOCK, b"\0"))
    start, length, values = chance.choice((
        (124, 12, [*_NUMBERS, *(b"%011o\0" % chance.randrange(4096) for _ in range(6))]),
        (124, 12, [b"%011o\0" % (BLOCK * chance.randrange(8)), b"%011o\0" % 28, b"%011o\0" % 30]),
        (156, 1, [bytes([kind]) for kind in _TYPES]),
        (257, 8, [USTAR, GNU, V7, b"ustar\0\0\0", b"tar\0\0\0\0\0"]),
        (0, 100, [b"a" * 100, b"dir/", b"", b".wh..wh..opq", b"/", b"..", bytes(chance.randbytes(40))]),
        (157, 100, [b"b" * 100, b"/etc/passwd", b""]),
        (345, 155, [b"prefix", b"p" * 155, b""]),
        (482, 1, [b"\1", b"\0"]),
        (386, 24, [b"%011o\0%011o\0" % (chance.randrange(9999), chance.randrange(600))]),
        (chance.choice((100, 108, 116, 136, 329, 337)), 8, [value[:8] for value in _NUMBERS]),
    ))  # fmt: skip
    value = chance.choice(values)
    block[start : start + length] = value.ljust(length, b"\0")[:length]
    return _replaced(layer, at, signed(block) if chance.random() < 0.9 else bytes(block))


def _insert(chance: random.Random, layer: bytes) -> bytes:
    at = chance.choice((*_blocks(layer), BLOCK * chance.randrange(len(layer) // BLOCK + 1)))
    extra = chance.choice((
        bytes(BLOCK), END, b"junk" * 128, tar_header("extra"), tar_header("extra", 600), tar_header("d/", 0, b"5"),
        pax(*chance.sample(_RECORDS, 2)), pax(*chance.sample(_RECORDS, 2), kind=b"g"), pax(chance.choice(_RECORDS)),
        long_name(b"n" * chance.randrange(300)), long_name(b"k", b"K"), pax((b"comment", b"c")) * 25,
        tar_header("x", 40, b"x") + padded(chance.choice((b"9 size=1\n", b"0 path=x\n", b"99999999 a=b\n", b"1" * 40))),
    ))  # fmt: skip
    return layer[:at] + extra + layer[at:]


def _delete(chance: random.Random, layer: bytes) -> bytes:
    at = BLOCK * chance.randrange(len(layer) // BLOCK + 1)
    return layer[:at] + layer[at + BLOCK * chance.randrange(1, 4) :]


def _repeat(chance: random.Random, layer: bytes) -> bytes:
    first, last = sorted(BLOCK * chance.randrange(len(layer) // BLOCK + 1) for _ in range(2))
    return layer[:last] + layer[first:last] + layer[last:]


def _swap(chance: random.Random, layer: bytes) -> bytes:
    first, second = sorted(BLOCK * chance.randrange(len(layer) // BLOCK + 1) for _ in range(2))
    return layer[second:] + layer[first:second] + layer[:first] if chance.random() < 0.2 else (
        layer[:first] + layer[second : second + BLOCK] + layer[first:second] + layer[second + BLOCK :])  # fmt: skip


def flipped(chance: random.Random, data: bytes) -> bytes:
    """One to four bytes are others."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        if changed:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _appended(chance: random.Random, data: bytes) -> bytes:
    return data + chance.choice((b"tail", bytes(100), bytes(3 * BLOCK), tar_file("behind", b"x"), chance.randbytes(50)))


_TAR_MUTATORS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _header_field, _header_field, _header_field, _insert, _insert, _delete, _repeat, _swap, flipped, _cut, _appended,
)  # fmt: skip


COMPRESSIONS = ("gzip", "zstd", "bzip2", "xz")


def packed(compression: str, data: bytes) -> bytes:
    """*data* compressed."""
    return {
        "gzip": lambda: gzip.compress(data, 6, mtime=0),
        "zstd": lambda: zstandard.ZstdCompressor(write_checksum=True).compress(data),
        "bzip2": lambda: bz2.compress(data),
        "xz": lambda: lzma.compress(data),
    }[compression]()  # fmt: skip


def mutated_stream(chance: random.Random, compression: str, plain: bytes) -> bytes:
    """*plain* as a compressed stream of several parts, with something odd or wrong about it."""
    cut = sorted(chance.randrange(len(plain) + 1) for _ in range(chance.randrange(3)))
    parts = [packed(compression, plain[a:b]) for a, b in zip([0, *cut], [*cut, len(plain)], strict=True)]
    for _ in range(chance.choice((1, 1, 2))):
        at = chance.randrange(len(parts))
        what = chance.randrange(8)
        if what == 0:
            parts[at] = flipped(chance, parts[at])
        elif what == 1:
            parts[at] = _cut(chance, parts[at])
        elif what == 2:
            parts.insert(at, packed(chance.choice((compression, compression, *COMPRESSIONS)), b""))
        elif what == 3:
            parts.insert(at, struct.pack("<II", 0x184D2A50 + chance.randrange(16), 5) + b"frame")
        elif what == 4:
            parts.append(chance.choice((bytes(20), b"behind", bytes(4) + parts[0])))
        elif what == 5 and compression == "gzip":
            parts[at] = gzip_with_fields(chance.randrange(32), parts[at])
        elif what == 6:
            parts.insert(at, bytes(chance.choice((1, 4, 8, 600))))
        else:
            parts[at] = parts[at] + chance.randbytes(3)
    return b"".join(parts)


def gzip_with_fields(flags: int, stream: bytes, name: bytes = b"name") -> bytes:
    """A gzip member with the optional header fields that *flags* name (RFC 1952 section 2.3.1)."""
    if stream[:4] != b"\x1f\x8b\x08\0":
        return stream
    head = stream[:3] + bytes([flags]) + stream[4:10]
    head += struct.pack("<H", 6) + b"AB\2\0xy" if flags & 4 else b""
    head += name + b"\0" if flags & 8 else b""
    head += b"comment\0" if flags & 16 else b""
    head += struct.pack("<H", zlib.crc32(head) & 0xFFFF) if flags & 2 else b""
    return head + stream[10:]


def mutated_json(chance: random.Random, document: bytes) -> bytes:
    """A JSON document with something odd or wrong about it."""
    what = chance.randrange(9)
    at = chance.randrange(len(document) + 1)
    if what == 0:
        return flipped(chance, document)
    if what == 1:
        return _cut(chance, document)
    if what == 2:
        token = chance.choice((b"[", b"}", b"NaN", b"1" * 300, b"\xff", b"\\", b'"', b"\xef\xbb\xbf", b"[" * 500, b"-",
                               b"1e999", b"\\ud800", b"null", b",", b'"a":1,'))  # fmt: skip
        return document[:at] + token + document[at:]
    if what == 3:
        return chance.choice((document.decode("utf-8", "replace").encode("utf-16"), b"\xef\xbb\xbf" + document))
    if what == 4:
        return document.swapcase() if chance.random() < 0.3 else document.replace(b'"config"', b'"Config"')
    if what == 5:
        return document.replace(b"sha256:", chance.choice((b"sha512:", b"SHA256:", b"sha256:../", b"md5:")), 1)
    try:
        value = json.loads(document)
    except ValueError:
        return document
    _odd_value(chance, value)
    return json.dumps(value, ensure_ascii=chance.random() < 0.5).encode("utf-8", "replace")


def _odd_value(chance: random.Random, value: Any) -> None:
    """Replace one value somewhere inside."""
    while isinstance(value, dict | list) and value:
        place = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
        inner = value[place]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.3:
            odd: list[Any] = [None, -1, 0, 1 << 70, 1.5, "", "x", [], {}, [None], {"a": 1}, True, "../x", [[]], inner]
            value[place] = chance.choice(odd)
            return
        value = inner


def escaped(chance: random.Random, text: str) -> str:
    """*text* as the inside of a JSON string, some characters escaped."""
    return "".join(f"\\u{ord(char):04x}" if chance.random() < 0.3 else char for char in text)


# -- the harness -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What a scan of one layer's stored bytes gave.

    Attributes:
        keys: all that was found.
        gaps: reason codes.
        diff_id: of the plain bytes.
        accounted: whether pieces and ledger cover every plain byte.
    """

    keys: frozenset[bytes]
    gaps: tuple[str, ...]
    diff_id: str
    accounted: bool

    @property
    def broken(self) -> bool:
        """Whether a worker died, failed or hung: faults of ours, not of the mutant."""
        return any(reason.startswith("worker.") or reason == "limit.time" for reason in self.gaps)


def scan_layers(layers: Sequence[bytes], jobs: int = 1, limits: Limits = LIMITS) -> list[Seen]:
    """Expand, walk and match the stored bytes of many layers, in worker processes as a scan does it."""
    file = spool("layers")
    blobs, at = [], 0
    try:
        for number, stored in enumerate(layers):
            write_all(file, stored)
            blobs.append(BlobJob(Blob(f"layer-{number}", file, at, len(stored)), Form.LAYER))
            at += len(stored)
        return [_seen(outcome) for outcome in Pool(FirstPass(DETECTORS, DATABASE), limits, jobs).run(blobs, ())]
    finally:
        file.close()


def _seen(outcome: BlobOutcome) -> Seen:
    read, gaps = outcome.read, [gap.reason for gap in outcome.gaps]
    gaps += [nested.gap.reason for nested in outcome.nested]
    keys = frozenset(sighting.match.secret.reveal() for sighting in (*outcome.sightings, *outcome.stored_sightings))
    if read is None:
        return Seen(keys, tuple(gaps), "", False)
    whole = outcome.matched == read.size == read.ledger.total
    return Seen(keys, (*gaps, *(gap.reason for gap in read.gaps)), read.diff_id, whole)


def write_all(file: BlobFile, data: bytes) -> None:
    """Write *data* to a spool."""
    view = memoryview(data)
    while view:
        view = view[os.write(file.fileno(), view) :]


def reference_plain(compression: str, stored: bytes) -> bytes | None:
    """What the plain decoders of the library make of all members; None if they refuse any of it."""
    new: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.decompressobj(31),
        "bzip2": bz2.BZ2Decompressor,
        "xz": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ),
        "zstd": lambda: zstandard.ZstdDecompressor(max_window_size=128 * MIB).decompressobj(),
    }
    out, rest = b"", stored
    try:
        while rest:
            decoder = new[compression]()
            out += decoder.decompress(rest)
            if not decoder.eof:
                return None
            rest = decoder.unused_data
    except (zlib.error, OSError, EOFError, lzma.LZMAError, zstandard.ZstdError):
        return None
    return out


# -- properties ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure:
    """A mutant that breaks a property; *data* repeats it without the generator."""

    what: str
    seed: int
    data: bytes = field(repr=False)


def _holds(data: bytes | None, key: bytes) -> bool:
    return data is not None and any(found[0] == key for found in KEY.finditer(data))


def judged(seed: int, key: bytes, stored: bytes, plain: bytes | None, seen: Seen) -> Iterator[Failure]:
    if seen.broken:
        yield Failure(f"a worker failed: {', '.join(seen.gaps)}", seed, stored)
    if not seen.accounted:
        yield Failure("bytes are not accounted for", seed, stored)
    if key not in seen.keys and not seen.gaps and (_holds(stored, key) or _holds(plain, key)):
        yield Failure("the key is lost without a gap", seed, stored)


def batches(seeds: Iterable[int]) -> Iterator[list[int]]:
    rest = iter(seeds)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def lost_in(
    seeds: Iterable[int], jobs: int, made: Callable[[random.Random, bytes], tuple[bytes, bytes, bytes | None]]
) -> list[Failure]:
    """Failures among layers, one for each seed. *made* gives a layer with a key in it, the stored bytes that were
    mutated, and their plain ones as another reader sees them, None if it refuses them."""
    failures: list[Failure] = []
    for batch in batches(seeds):
        cases = []
        for seed in batch:
            chance = random.Random(seed)
            key = new_key(chance)
            cases.append((seed, key, *made(chance, key)))
        for (seed, key, _, stored, plain), seen in zip(cases, scan_layers([c[2] for c in cases], jobs), strict=True):
            failures += judged(seed, key, stored, plain, seen)
    return failures


def lost_in_tars(seeds: Iterable[int], jobs: int = 1) -> list[Failure]:
    """Failures among mutated layers, one for each seed."""

    def made(chance: random.Random, key: bytes) -> tuple[bytes, bytes, bytes]:
        stored = mutated_tar(chance, seed_layer(chance, key))
        return stored, stored, stored

    return lost_in(seeds, jobs, made)


def lost_in_streams(seeds: Iterable[int], jobs: int = 1) -> list[Failure]:
    """Failures among mutated compressed layers, one for each seed."""

    def made(chance: random.Random, key: bytes) -> tuple[bytes, bytes, bytes | None]:
        compression = chance.choice(COMPRESSIONS)
        stored = mutated_stream(chance, compression, seed_layer(chance, key))
        return stored, stored, reference_plain(compression, stored)

    return lost_in(seeds, jobs, made)


def seed_document(chance: random.Random, key: bytes) -> bytes:
    """A config with the key in one of its strings, some characters of it escaped."""
    image = image_of(layer({"a": "b"}), layer({"c": "d"}))
    hidden = chance.choice(('"PATH=/bin"', '"COPY . / # buildkit"', '"/bin/sh"', '"amd64"'))
    spelled = f'"X={escaped(chance, key.decode())}"'
    return image.config.replace(hidden.encode(), spelled.encode(), 1)


def lost_in_documents(seeds: Iterable[int]) -> list[Failure]:
    """Failures among mutated JSON documents, one for each seed."""
    failures: list[Failure] = []
    for seed in seeds:
        chance = random.Random(seed)
        document = mutated_json(chance, seed_document(chance, new_key(chance)))
        try:
            strict = set(_strings_of(parse(document, "document", LIMITS)))
        except MalformedImage:
            strict = set()
        except Exception as error:
            failures.append(Failure(f"{type(error).__name__} from parse", seed, document))
            continue
        given = {string.value for string in strings(document)}
        if not strict <= given:
            failures.append(Failure("a string is not given", seed, document))
    return failures


def _strings_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _strings_of(inner)
    elif isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _strings_of(inner)


def mutated_archive(chance: random.Random, key: bytes) -> tuple[bytes, bytes | None]:
    """A whole archive with something wrong with it, and its plain bytes if they can be had."""
    text = b"token = " + key + b"\n"
    content = layer({"app/settings": text}) if chance.random() < 0.7 else layer(raw=seed_layer(chance, key))
    image = image_of(layer({"etc/os-release": "NAME=x"}), content, annotations={"note": "x"})
    if chance.random() < 0.3:
        image = replace(image, config=mutated_json(chance, seed_document(chance, key)))
    members = chance.choice((image.docker_members, image.oci_members, image.docker25_members))()
    what = chance.randrange(4)
    if what == 0:
        names = ("manifest.json", "index.json", "oci-layout", "repositories")
        members = [replace(m, data=mutated_json(chance, m.data)) if m.name in names and chance.random() < 0.7 else m
                   for m in members]  # fmt: skip
    if what == 1:
        chance.shuffle(members)
    archive = tar_of(*members)
    if what >= 2:
        archive = mutated_tar(chance, archive)
    if chance.random() < 0.15:
        compression = chance.choice(COMPRESSIONS)
        stored = mutated_stream(chance, compression, archive)
        return stored, reference_plain(compression, stored)
    return archive, archive


def lost_in_archives(seeds: Iterable[int], folder: Path, jobs: int = 1) -> list[Failure]:
    """Failures among mutated archives, one for each seed. *folder* is for the file that is scanned."""
    failures: list[Failure] = []
    detection = Detection(FirstPass(DETECTORS, DATABASE), "sha256:fuzz")
    options = Options(LIMITS, jobs, b"key", show_secrets=True)
    for seed in seeds:
        chance = random.Random(seed)
        key = new_key(chance)
        archive, plain = mutated_archive(chance, key)
        path = write(folder / "archive.tar", archive)
        try:
            opened = open_image(str(path), limits=LIMITS)
            try:
                result = scan(opened, detection, options)
            finally:
                opened.close()
        except LeakscanError:
            continue
        except Exception as error:
            failures.append(Failure(f"{type(error).__name__} at {place(error)}", seed, archive))
            continue
        gaps = tuple(gap.reason for gap in result.coverage.gaps)
        keys = frozenset((finding.secret.value or "").encode() for finding in result.findings)
        accounted = bool(gaps) or result.coverage.total == result.coverage.accounted
        failures += judged(seed, key, archive, plain, Seen(keys, gaps, "", accounted))
    return failures

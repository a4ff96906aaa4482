"""Files of PHP's archives are searched."""

from __future__ import annotations

import bz2
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from scanner.content.words import Content, Fault
from tests.test_content_formats import MARK, opened

HALT = b"__HALT_COMPILER();"
STUB = b"#!/usr/bin/env php\n<?php Phar::mapPhar();\n" + HALT + b" ?>\r\n"
TEXT = MARK * 9


def deflated(data: bytes) -> bytes:
    """Deflate without a frame."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED = {0: bytes, 0x1000: deflated, 0x2000: bz2.compress, 0x4000: bytes}


def text(data: bytes) -> bytes:
    """Bytes behind their length."""
    return struct.pack("<I", len(data)) + data


def phar(*files: tuple[str, bytes, int], stub: bytes = STUB, told: int = 0, more: bytes = b"") -> bytes:
    """An archive; of each file name, bytes and how it is packed. *told*: added to the checksums; *more*: what its
    author says of it."""
    stored = [PACKED[flags](data) for _, data, flags in files]
    entries = b"".join(
        text(name.encode())
        + struct.pack("<5I", len(data), 1, len(body), zlib.crc32(data) + told, flags | 0o644)
        + text(b"")
        for (name, data, flags), body in zip(files, stored, strict=True)
    )
    manifest = struct.pack("<IHI", len(files), 0x0011, 0x10000) + text(b"app.phar") + text(b"a:0:{}" + more) + entries
    return stub + text(manifest) + b"".join(stored) + b"a checksum of 20 bytes" + b"\2\0\0\0GBMB"


def held(data: bytes, name: str = "file") -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Names and encodings of each content that has the mark."""
    found = [each for each in opened(data, name) if isinstance(each, Content)]
    return [(each.inside, each.encoding) for each in found if MARK in bytes(each.data)]


def reasons(data: bytes) -> list[str]:
    """Why something in *data* was not looked at."""
    return [each.reason for each in opened(data) if isinstance(each, Fault)]


@pytest.mark.parametrize(
    "stub",
    [
        STUB, b"<?php " + HALT, b"<?php\n" + HALT + b"\n?>\n", b"\n<?php " + HALT + b" ?>\r\n",
        b"<?= 1; " + HALT + b" ?>\n",
        b"GIF89a<?php " + HALT + b" ?>", b"<?PHP " + HALT, b"#!/usr/bin/env hhvm\n" + b"#" * 200 + b"\n<?php " + HALT,
    ],
)  # fmt: skip
def test_files_of_php_archives_are_searched(stub: bytes) -> None:
    """Packed or not, whatever the program in front of them."""
    data = phar(("a.php", TEXT, 0), ("b/.env", TEXT, 0x1000), ("none", b"", 0x1000), ("c", TEXT, 0x2000), stub=stub)

    assert held(data) == [(("a.php",), ()), (("b/.env",), ("deflate",)), (("c",), ("bzip2",))]
    assert reasons(data) == []


@pytest.mark.parametrize("low", [10, 13, 32])
def test_what_is_no_end_of_a_line_is_the_size_of_a_manifest(low: int) -> None:
    """Nothing but that may follow a program that is not closed."""
    size = int.from_bytes(phar(("a", TEXT, 0), stub=b"")[:4], "little")
    data = phar(("a", TEXT, 0), stub=b"<?php " + HALT, more=b"x" * ((low - size) % 256))

    assert data[len(HALT) + 6] == low
    assert held(data) == [(("a",), ())]


@pytest.mark.parametrize("stub", [b"<?PHP ", b"<?= 1; ", b"#! /bin/php\n"])
def test_an_archive_without_its_end_is_told_by_its_beginning(stub: bytes) -> None:
    """Or by its name, whatever it begins with."""
    data = phar(("a", TEXT, 0x1000), stub=stub + HALT)[:-30]

    assert held(data) == [(("a",), ("deflate",))]
    assert held(b"GIF89a" + data) == []
    assert held(b"GIF89a" + data, "app.phar") == [(("a",), ("deflate",))]


def test_an_archive_behind_more_than_any_program_is_a_gap() -> None:
    """Its end tells it, and no more of it is looked at for each window of a large file."""
    data = phar(("a", TEXT, 0x1000), stub=b"<?php\n" + b"_" * (4 << 20) + HALT)

    assert reasons(data) == ["nested.unknown"]
    assert reasons(data[:-4]) == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (phar(("a", TEXT, 0), ("b", TEXT, 0x1000))[:-40], "nested.damaged"),
        (phar(("a", TEXT, 0x1000), told=1), "nested.damaged"),
        (phar(("a", TEXT, 0x4000)), "nested.unknown"),
        (phar(("a", TEXT, 0))[: len(STUB) + 60], "nested.damaged"),
    ],
    ids=["cut", "a wrong checksum", "packed otherwise", "cut in what it tells"],
)
def test_damage_to_php_archives_is_a_gap(data: bytes, reason: str) -> None:
    """Nothing is lost without a word."""
    assert reason in reasons(data)


@pytest.mark.parametrize(
    "data",
    [
        b"<?php\n// __HALT_COMPILER(); ends a program\n" + b"echo 1;\n" * 40,
        b"<?php __HALT_COMPILER(); data that the program reads itself, of whatever kind it is",
        b"<?xml version='1.0'?><p>php: __HALT_COMPILER();" + bytes(90),
    ],
)
def test_programs_that_are_no_archives_are_nothing(data: bytes) -> None:
    """A word that ends programs stands in many."""
    assert list(opened(data)) == []


def test_an_archive_of_php_itself_is_searched(tmp_path: Path) -> None:
    """As its own class writes it."""
    if shutil.which("php") is None:
        pytest.skip("no PHP to make an archive with")
    (tmp_path / "settings").write_bytes(TEXT)
    code = "$p = new Phar('a.phar'); $p->addFile('settings'); $p->compressFiles(Phar::GZ);"
    subprocess.run(["php", "-d", "phar.readonly=0", "-r", code], cwd=tmp_path, check=True)

    assert held((tmp_path / "a.phar").read_bytes()) == [(("settings",), ("deflate",))]

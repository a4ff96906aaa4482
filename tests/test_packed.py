"""What is packed in a file in a way that its first bytes do not tell: it is found, or said not to be looked at."""

# ruff: noqa: ARG005  (every builder is given a key; some have no place for it)

from __future__ import annotations

import base64
import binascii
import bz2
import gzip
import io
import lzma
import random
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import lz4.block
import lz4.frame
import pytest

from scanner.content.words import Content, Fault
from tests import fuzzing
from tests.builders import Member, file, image_of, layer, tar_of, write
from tests.fuzzing import gzip_with_fields
from tests.test_content_formats import opened, rpm
from tests.test_hostile import ACCEPTED, CLEAN, FOUND, SAID, WHOLE, outcome, skippable, zstd

SCRIPT = b"#!/bin/sh\nskip=20\ntail -n +20 \"$0\" | tar xz\nexit 0\n"
PLAIN = {"pdf_run_length"}  # where a key is packed and stands there all the same
ELF = b"\x7fELF\2\1\1" + bytes(9) + random.Random(3).randbytes(5000)


def text(key: bytes) -> bytes:
    """A line with the key, and enough around it that no form of packing leaves it as it is."""
    return b"".join(b"%x settings\n" % number**9 for number in range(99, 140)) + b"token = " + key + b"\n"


def gz(data: bytes, name: bytes = b"") -> bytes:
    """gzip, with a name in its header if one is given."""
    return gzip_with_fields(8, gzip.compress(data, mtime=0), name) if name else gzip.compress(data, mtime=0)


def zipped(*entries: tuple[str, bytes], comment: bytes = b"", extra: bytes = b"", method: int = 8) -> bytes:
    """A zip archive; *extra* goes into the field of every entry."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.comment = comment
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type, info.extra, info.comment = method, extra, comment
            archive.writestr(info, data)
    return target.getvalue()


def field(data: bytes) -> bytes:
    """An extra field of a zip entry, of a kind that nobody knows."""
    return struct.pack("<HH", 0x7777, len(data)) + data


def cpio_binary(*entries: tuple[str, bytes], order: str = "<") -> bytes:
    """The oldest form of cpio."""
    out = b""
    for name, data in (*entries, ("TRAILER!!!", b"")):
        raw, size = name.encode() + b"\0", len(data)
        mode = 0o100644 if size else 0
        out += struct.pack(f"{order}13H", 0o070707, 1, 2, mode, 0, 0, 1, 0, 0, 0, len(raw), size >> 16, size & 0xFFFF)
        out += raw + bytes(len(raw) % 2) + data + bytes(size % 2)
    return out


def lzma_alone(
    data: bytes, lc: int = 3, lp: int = 0, pb: int = 2, dictionary: int = 1 << 16, sized: bool = False
) -> bytes:
    """The legacy format of lzma with any properties, as 7-Zip's and Go's encoders write it."""
    chain = [{"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": max(4096, dictionary)}]
    size = struct.pack("<Q", len(data)) if sized else b"\xff" * 8
    return bytes([(pb * 5 + lp) * 9 + lc]) + struct.pack("<I", dictionary) + size + lzma.compress(
        data, lzma.FORMAT_RAW, filters=chain)  # fmt: skip


def deflated(data: bytes, window: int = 15) -> bytes:
    """zlib with a window of two to that power."""
    coder = zlib.compressobj(9, zlib.DEFLATED, window)
    return coder.compress(data) + coder.flush()


def lzip(data: bytes) -> bytes:
    """A member of lzip."""
    chain = [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 16}]
    body = b"LZIP\1\x10" + lzma.compress(data, lzma.FORMAT_RAW, filters=chain)
    return body + struct.pack("<IQQ", zlib.crc32(data), len(data), len(body) + 20)


def repeated(data: bytes) -> bytes:
    """In front of the data, a copy of it in pieces: a packer that only refers back then leaves nothing as it is."""
    return b"".join(data[at : at + 7] + b"|" for at in range(0, len(data), 7)) + data


def lz4_frame(data: bytes) -> bytes:
    """A frame of LZ4."""
    return lz4.frame.compress(repeated(data), compression_level=9)


def lz4_legacy(data: bytes) -> bytes:
    """A legacy frame of LZ4, as it packs kernels."""
    block = lz4.block.compress(repeated(data), mode="high_compression", store_size=False)
    return b"\x02\x21\x4c\x18" + struct.pack("<I", len(block)) + block


def pdf(*objects: bytes) -> bytes:
    """Objects as a PDF without a table of them."""
    numbered = (b"%d 0 obj\n%s\nendobj\n" % (number + 1, each) for number, each in enumerate(objects))
    return b"%PDF-1.5\n" + b"".join(numbered) + b"%%EOF\n"


def stream(data: bytes, dictionary: bytes) -> bytes:
    """A stream of a PDF."""
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (dictionary, len(data), data)


def database(data: bytes) -> bytes:
    """A SQLite database with one value."""
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table t (v blob)")
        connection.execute("insert into t values (?)", (data,))
        connection.commit()
        return connection.serialize()


def uuencoded(data: bytes) -> bytes:
    """A file as uuencode writes it."""
    lines = [binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45)]
    return b"begin 644 settings\n" + b"".join(lines) + b"`\nend\n"


def seven_zip() -> bytes:
    """The start of a 7z archive, its checksum right."""
    start = struct.pack("<QQI", 100, 40, 7)
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", zlib.crc32(start)) + start + random.Random(1).randbytes(140)


def upx(program: bytes) -> bytes:
    """A program that UPX packed: the header that it leaves at the end."""
    header = b"UPX!" + bytes([14, 22, 14, 9]) + struct.pack("<5I", 7, 8, 90_000, len(program), 90_000) + bytes(3)
    return program + header + bytes([sum(header[4:]) % 251]) + struct.pack("<I", 0xEC)


SQUASHFS = struct.pack("<4s4I4H2H", b"hsqs", 9, 0, 1 << 17, 1, 1, 17, 0, 1, 4, 0) + bytes(400)
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gz, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd, "zip": lambda data: zipped(("e", data)),
    "zlib": deflated, "lzip": lzip, "lz4": lz4_frame, "legacy_lz4": lz4_legacy,
    "tar.gz": lambda data: gz(tar_of(file("e", data))),
}  # fmt: skip

def revision(head: bytes, key: bytes) -> bytes:
    """A text of a revision of Subversion that LZ4 packed."""
    plain = repeated(key)
    packed = lz4.block.compress(plain, mode="high_compression", store_size=False)
    return head + b"\nSVN\2\0\0\x50\3" + bytes([len(plain), len(packed)]) + packed + b"ENDREP\n"


FILES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    **{f"script_with_{form}": (WHOLE, lambda key, pack=pack: SCRIPT + pack(text(key))) for form, pack in FORMS.items()},
    **{f"program_with_{form}": (WHOLE, lambda key, pack=pack: ELF + pack(text(key)) + ELF[:99])
       for form, pack in FORMS.items()},
    **{f"{form}_after_one_byte": (WHOLE, lambda key, pack=pack: b"\n" + pack(text(key)))
       for form, pack in FORMS.items()},
    **{f"{form}_behind_{other}": (WHOLE, lambda key, pack=pack, other=other: FORMS[other](b"nothing\n") + b"--\n"
                                  + pack(text(key)))
       for form, pack in FORMS.items() for other in ("gzip", "xz", "zstd", "zip", "lzip")},
    "two_streams_in_a_script": (WHOLE, lambda key: SCRIPT + gz(b"nothing") + b"\n--\n" + lzma.compress(text(key))),
    "initramfs_of_three": (WHOLE, lambda key: cpio_binary(("a", b"x")) + bytes(512) + gz(cpio_binary(("b", b"y")))
                           + bytes(100) + lzma.compress(cpio_binary(("etc/key", text(key))))),
    "binary_cpio_of_gzip": (WHOLE, lambda key: cpio_binary(("a", b"x"), ("e.gz", gz(text(key))))),
    "binary_cpio_of_zlib": (WHOLE, lambda key: cpio_binary(("a", b"x"), ("e", deflated(text(key))))),
    "binary_cpio_big_endian": (WHOLE, lambda key: cpio_binary(("e", deflated(text(key))), order=">")),
    "zlib_small_window": (WHOLE, lambda key: deflated(text(key), 9)),
    "zlib_middle_window": (WHOLE, lambda key: deflated(text(key), 12)),
    "lzma_other_properties": (WHOLE, lambda key: lzma_alone(text(key) * 3, 0, 2, 0)),
    "lzma_odd_dictionary": (WHOLE, lambda key: lzma_alone(text(key) * 3, dictionary=100_000)),
    "lzma_small_dictionary": (WHOLE, lambda key: lzma_alone(text(key) * 3, dictionary=0)),
    "lzma_of_a_size": (WHOLE, lambda key: lzma_alone(text(key) * 3, 1, 1, 1, sized=True)),
    "lzma_of_a_huge_dictionary": (WHOLE, lambda key: _huge(lzma_alone(text(key) * 3, 0, 3, 1))),
    "lzma_of_a_huge_dictionary_and_a_size": (WHOLE, lambda key: _huge(lzma_alone(text(key) * 3, 0, 3, 1, sized=True))),
    "usual_lzma_of_a_huge_dictionary": (WHOLE, lambda key: _huge(lzma_alone(text(key) * 3, sized=True))),
    "gzip_behind_lzma_of_a_huge_dictionary": (FOUND, lambda key: _huge(lzma_alone(b"nothing " * 99, sized=True))
                                              + gz(text(key))),
    "lzma_of_a_huge_dictionary_and_a_wrong_size": (FOUND, lambda key: _huge(lzma_alone(
        repeated(text(key)) + random.Random(1).randbytes(9000), sized=True))[:5] + bytes(8)
        + _huge(lzma_alone(repeated(text(key)) + random.Random(1).randbytes(9000), sized=True))[13:]),
    "lzma_of_many_context_bits": (SAID, lambda key: b"\x08\0\0\1\0" + b"\xff" * 8 + b"\0" + gz(text(key))[20:]),
    "lzip": (WHOLE, lambda key: lzip(text(key))),
    "lzip_of_two_members": (WHOLE, lambda key: lzip(b"nothing") + lzip(text(key))),
    "lz4_of_two_frames": (WHOLE, lambda key: lz4_frame(b"nothing") + lz4_legacy(text(key))),
    "lz4_behind_a_skippable_frame": (WHOLE, lambda key: skippable(b"toc") + lz4_legacy(text(key))),
    "lz4_behind_zstd": (WHOLE, lambda key: zstd(b"nothing") + lz4_legacy(text(key))),
    "zstd_behind_lz4": (WHOLE, lambda key: lz4_frame(b"nothing") + zstd(text(key))),
    "gzip_of_reserved_flags": (FOUND, lambda key: tar_of(file("e.gz", _flagged(gz(text(key)), 0xE0)))),
    "gzip_of_reserved_flags_in_a_program": (FOUND, lambda key: tar_of(file("e", ELF + _flagged(gz(text(key)), 0x80)))),
    "gzip_with_a_wrong_checksum_of_its_header": (FOUND, lambda key: tar_of(file("e", _flagged(
        gzip_with_fields(2, gz(text(key))), 2, level=1)))),
    "gzip_in_a_skippable_frame_of_lz4": (WHOLE, lambda key: lz4_frame(b"x") + skippable(gz(text(key)))),
    "lz4_in_lz4_in_zip": (WHOLE, lambda key: zipped(("e.lz4", lz4_frame(tar_of(file("e", lz4_legacy(text(key)))))))),
    "initramfs_of_lz4": (WHOLE, lambda key: cpio_binary(("a", b"x")) + bytes(512)
                         + lz4_legacy(cpio_binary(("etc/key", text(key))))),
    "lz4_cut": (SAID, lambda key: lz4.frame.compress(
        repeated(text(key)) + random.Random(1).randbytes(99_000), compression_level=9)[:-3000]),
    "lz4_of_a_dictionary": (SAID, lambda key: _with_dictionary(gz(key))),
    "brotli": (WHOLE, lambda key: zipped(("e.js.br", brotli.compress(text(key))))),
    "brotli_of_a_tar": (WHOLE, lambda key: tar_of(file("e.tar.br", brotli.compress(tar_of(file("e", text(key))))))),
    "gzip_behind_brotli": (FOUND, lambda key: tar_of(file("e.br", brotli.compress(b"x" * 99) + gz(text(key))))),
    "gzip_in_brotli_metadata": (WHOLE, lambda key: tar_of(file("e.br", _metadata(gz(text(key)))))),
    "brotli_cut": (SAID, lambda key: tar_of(file("e.br", brotli.compress(text(key) * 9)[:-4]))),
    "gzip_in_an_extra_field": (WHOLE, lambda key: _extra(gz(b"x"), b"AB\0\2" + gz(text(key)))),
    "gzip_in_a_skippable_frame": (WHOLE, lambda key: zstd(b"nothing") + skippable(gz(text(key))) + zstd(b"nothing")),
    "zstd_in_a_skippable_frame": (WHOLE, lambda key: skippable(b"toc " + zstd(text(key))) + zstd(b"nothing")),
    "gzip_in_a_zip_extra": (WHOLE, lambda key: zipped(("e", b"x"), extra=field(gz(text(key))))),
    "gzip_in_a_zip_comment": (WHOLE, lambda key: zipped(("e", b"x"), comment=gz(text(key)))),
    "zip_in_a_zip_comment": (WHOLE, lambda key: zipped(("e", b"x"), comment=zipped(("k", text(key))))),
    "zip_behind_a_zip": (WHOLE, lambda key: zipped(("e", b"x")) + zipped(("k", text(key)))),
    "zip_before_a_zip": (WHOLE, lambda key: zipped(("k", text(key))) + zipped(("e", b"x"))),
    "zip_in_an_entry_that_is_stored": (WHOLE, lambda key: zipped(("e", b"head" + zipped(("k", text(key)))), method=0)),
    "zip_entry_without_directory_in_a_program": (WHOLE, lambda key: ELF + zipped(("k", text(key)))[:-40]),
    "gzip_behind_an_rpm": (WHOLE, lambda key: rpm(gz(b"x" * 99)) + gz(text(key))),
    "xz_behind_an_rpm": (WHOLE, lambda key: rpm(zstd(b"x" * 99)) + b"--" + lzma.compress(text(key))),
    "gzip_behind_a_loose_object": (WHOLE, lambda key: deflated(b"blob 3\0abc") + gz(text(key))),
    "gzip_behind_the_stream_of_a_zip_entry": (WHOLE, lambda key: ELF + _entry(
        93, b"x" * 99, zstd(b"x" * 99) + gz(text(key)))),
    "gzip_between_zip_entries": (WHOLE, lambda key: _between(gz(text(key)))),
    "gzip_behind_a_tar": (FOUND, lambda key: tar_of(file("e", b"x")) + gz(text(key))),
    "gzip_in_a_tar_s_attribute": (FOUND, lambda key: tar_of(Member("e", b"x", pax={
        "SCHILY.xattr.user.x": gz(text(key)).decode("utf-8", "surrogateescape")}))),
    "gzip_amid_a_tar_s_member": (WHOLE, lambda key: tar_of(file("e", SCRIPT + gz(text(key))))),
    "gzip_amid_an_ar_s_member": (WHOLE, lambda key: b"!<arch>\n" + _ar("e.o/", ELF + gz(text(key)))),
    "gzip_in_a_database": (WHOLE, lambda key: database(gz(text(key)))),
    "zlib_in_a_database": (WHOLE, lambda key: database(deflated(text(key)))),
    "zlib_behind_an_empty_block": (WHOLE, lambda key: SCRIPT + b"x\x9c\0\0\0\xff\xff" + deflated(text(key))[2:]),
    "text_of_a_picture": (WHOLE, lambda key: _png((b"IHDR", bytes(13)), (b"zTXt", b"note\0\0" + deflated(text(key))))),
    "literals_of_a_beam_file": (WHOLE, lambda key: b"FOR1\0\0\4\0BEAMLitT\0\0\3\0\0\0\5\0" + deflated(text(key))),
    "zstd_in_a_database": (WHOLE, lambda key: database(b"v1" + zstd(text(key)))),
    "pdf_ascii85_flate": (WHOLE, lambda key: pdf(stream(base64.a85encode(deflated(text(key))) + b"~>",
                                                        b"/Filter [/ASCII85Decode /FlateDecode]"))),
    "pdf_ascii_hex_flate": (WHOLE, lambda key: pdf(stream(deflated(text(key)).hex().encode() + b">",
                                                          b"/Filter [ /ASCIIHexDecode/FlateDecode ]"))),
    "pdf_flate_twice": (WHOLE, lambda key: pdf(stream(deflated(deflated(text(key))), b"/Filter [/FlateDecode /Fl]"))),
    "pdf_escaped_filter": (WHOLE, lambda key: pdf(stream(deflated(text(key)), b"/Filter /Flate#44ecode"))),
    "pdf_filter_elsewhere": (WHOLE, lambda key: pdf(stream(deflated(text(key)), b"/Filter 9 0 R"))),
    "pdf_ascii85": (WHOLE, lambda key: pdf(stream(base64.a85encode(text(key)) + b"~>", b"/Filter /A85"))),
    "pdf_run_length": (WHOLE, lambda key: pdf(stream(_run_length(b"A A " + key), b"/Filter /RunLengthDecode"))),
    "pdf_lzw": (WHOLE, lambda key: pdf(stream(_lzw(text(key)), b"/Filter /LZWDecode"))),
    "pdf_object_stream": (WHOLE, lambda key: pdf(stream(deflated(b"7 0 << /Note (" + key + b") >>"),
                                                        b"/Type /ObjStm /N 1 /First 4 /Filter /FlateDecode"))),
    "pdf_unknown_filter": (SAID, lambda key: pdf(stream(deflated(key)[2:], b"/Filter /BrotliDecode"))),
    "pdf_crypt_filter": (SAID, lambda key: pdf(stream(key[::-1], b"/Filter /Crypt"))),
    **{f"pdf_{name}_behind_damage": (FOUND, lambda key, pack=pack: _damaged_pdf(key, *pack)) for name, pack in {
        "flate": (lambda data: data, b"/FlateDecode"),
        "ascii_hex_flate": (lambda data: data.hex().encode() + b">", b"[/ASCIIHexDecode /FlateDecode]"),
        "ascii85_flate": (lambda data: base64.a85encode(data) + b"~>", b"[/ASCII85Decode /FlateDecode]"),
    }.items()},
    "pdf_escaped_key": (WHOLE, lambda key: pdf(stream(deflated(text(key)).hex().encode(), b"/F#69lter [/AHx /Fl]"))),
    "pdf_filter_in_a_long_array": (SAID, lambda key: pdf(stream(
        deflated(text(key)).hex().encode(), b"/Filter [/AHx /Fl" + b" " * 2000 + b"]"))),
    "pdf_filter_of_an_array_elsewhere": (SAID, lambda key: pdf(stream(
        deflated(text(key)).hex().encode(), b"/Filter [/AHx 9 0 R]"))),
    "pdf_long_dictionary": (WHOLE, lambda key: pdf(stream(deflated(text(key)).hex().encode(),
                                                          b"/Filter [/AHx /Fl] /Index [" + b"1 1 " * 2000 + b"]"))),
    "pdf_nine_filters": (SAID, lambda key: pdf(stream(_nine(text(key)), b"/Filter [" + b"/AHx " * 8 + b"/Fl]"))),
    "7z_behind_a_program": (SAID, lambda key: ELF + seven_zip()),
    "program_that_upx_packed": (SAID, lambda key: upx(ELF)),
    "revision_of_subversion": (SAID, lambda key: revision(b"DELTA", key)),
    "later_revision_of_subversion": (SAID, lambda key: revision(b"DELTA 1 0 45", key)),
    "revision_of_subversion_behind_plain_text": (SAID, lambda key: b"PLAIN\nEND\nENDREP\n" + revision(b"DELTA", key)),
    "squashfs_behind_a_program": (SAID, lambda key: ELF + SQUASHFS),
    "cut_gzip_in_a_script": (SAID, lambda key: SCRIPT + gz(text(key) + random.Random(1).randbytes(20_000))[:-3000]),
    "cut_xz_in_a_script": (SAID, lambda key: SCRIPT + lzma.compress(random.Random(1).randbytes(20_000))[:9000]),
    "deflate64_in_a_program": (SAID, lambda key: ELF + _method(9, zipped(("k", text(key)))) + ELF),
    "deflate64_before_a_zip_in_a_program": (SAID, lambda key: ELF + _method(9, zipped(("k", text(key))))
                                            + zipped(("e", b"x"))),
    "encrypted_zip_entry_in_a_program": (SAID, lambda key: ELF + _encrypted(zipped(("k", text(key)))) + ELF),
}  # fmt: skip


def _flagged(stream: bytes, flags: int, level: int = 0) -> bytes:
    """A gzip member with flags, of which some are reserved, and a level."""
    return stream[:3] + bytes([stream[3] | flags]) + stream[4:8] + bytes([level]) + stream[9:]


def _huge(stream: bytes) -> bytes:
    """The stream with 3 GiB for the size of its dictionary, which a decoder need not have for less than that."""
    return stream[:1] + struct.pack("<I", 3 << 30) + stream[5:]


def _extra(stored: bytes, data: bytes) -> bytes:
    """A gzip member with an extra field."""
    return stored[:3] + bytes([stored[3] | 4]) + stored[4:10] + struct.pack("<H", len(data)) + data + stored[10:]


def _with_dictionary(data: bytes) -> bytes:
    """An LZ4 frame that begins with what is sixteen bytes back, in a dictionary that nobody has."""
    block = b"\x0f\x10\0\xff\xff\x10" + b"\xf0" + bytes([len(data) - 15]) + data
    return b"\x04\x22\x4d\x18\x61\x40\x07\0\0\0\xe3" + struct.pack("<I", len(block)) + block + bytes(4)


def _metadata(data: bytes) -> bytes:
    """A brotli stream of nothing but a block of more than 256 bytes that decoders skip (RFC 7932 section 9.2)."""
    return (0b1001100 | len(data) - 1 << 7).to_bytes(3, "little") + data + b"\3"


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
                    for kind, data in chunks)  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + body


def _between(data: bytes) -> bytes:
    """A zip whose entries have *data* between them, where its directory names none."""
    first, second = zipped(("a", b"x")), zipped(("b", b"y"))
    end = first.index(b"PK\1\2")
    return first[:end] + data + second


def _ar(name: str, data: bytes) -> bytes:
    return f"{name:<16}{0:<12}{0:<6}{0:<6}{0o100644:<8o}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)


def _run_length(data: bytes) -> bytes:
    return bytes([len(data) - 1]) + data + b"\x80"


def _lzw(data: bytes) -> bytes:
    """LZW that says each byte as it is: codes of nine bits, the table emptied before it grows."""
    codes = [256, *[code for at in range(0, len(data), 200) for code in (*data[at : at + 200], 256)], 257]
    bits = "".join(f"{code:09b}" for code in codes)
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def _damaged_pdf(key: bytes, pack: Callable[[bytes], bytes], names: bytes) -> bytes:
    """A PDF whose one stream has the key in its first half, and damage in its last quarter."""
    plain = b"token = " + key + b"\n" + text(key)
    packed = bytearray(deflated(repeated(plain) + random.Random(1).randbytes(len(plain) * 2)))
    packed[len(packed) * 3 // 4 :] = b"\xff" * (len(packed) // 4)
    return pdf(stream(pack(bytes(packed)), b"/Filter " + names))


def _nine(data: bytes) -> bytes:
    packed = deflated(data)[:400]
    for _ in range(8):
        packed = packed.hex().encode()
    return packed


def _encrypted(archive: bytes) -> bytes:
    """A zip whose first entry says that it is encrypted; without its directory."""
    return archive[:6] + b"\1\0" + archive[8 : archive.index(b"PK\1\2")]


def _entry(method: int, plain: bytes, data: bytes) -> bytes:
    """An entry of a zip, stored as it is given."""
    sizes = zlib.crc32(plain), len(data), len(plain)
    return b"PK\3\4" + struct.pack("<HHHHHIIIHH", 63, 0, method, 0, 33, *sizes, 1, 0) + b"e" + data


def _method(number: int, archive: bytes) -> bytes:
    """A zip whose first entry says that it is packed by another method; without its directory."""
    return archive[:8] + struct.pack("<H", number) + archive[10 : archive.index(b"PK\1\2")]


@pytest.mark.parametrize("name", FILES)
def test_what_is_packed_anywhere_is_found_or_said(name: str, tmp_path: Path) -> None:
    """A key that any usual tool would unpack is found; what cannot be unpacked is a gap."""
    expected, build = FILES[name]
    key = fuzzing.new_key(random.Random(name))
    data = build(key)
    assert name in PLAIN or key not in data
    path = write(tmp_path / "image.tar", image_of(layer({"opt/file": data})).docker_archive())

    assert outcome(path, key) in ACCEPTED[expected]


@pytest.mark.parametrize("name", [*FILES, "sqlite", "compress"])
def test_a_file_may_end_anywhere(name: str) -> None:
    """Within its header, too, where readers look at bytes that are not there."""
    more = {"sqlite": b"SQLite format 3\0\x10\0\1\1\0" + bytes(200), "compress": b"\x1f\x9d\x90" + bytes(60)}
    data = more[name] if name in more else FILES[name][1](fuzzing.new_key(random.Random(name)))

    for end in range(1, min(len(data), 300)):
        for each in (data[:end], b"\n" + data[:end]):
            assert all(isinstance(inner, Content | Fault) for inner in opened(each))


def test_what_only_speaks_of_upx_is_no_gap(tmp_path: Path) -> None:
    """Its magic is a word, as programs that look for it have it."""
    data = ELF + b"Info: This file is packed with the UPX executable packer\0UPX!\0" + ELF
    path = write(tmp_path / "image.tar", image_of(layer({"a": data})).docker_archive())

    assert outcome(path, fuzzing.new_key(random.Random(1))) == CLEAN


def test_what_only_speaks_of_subversion_is_no_gap(tmp_path: Path) -> None:
    """A difference that is packed by zlib or not at all, a program that writes the magic."""
    data = b"DELTA\nSVN\1\0\0\x10\1\x10\x90some text of a file\nSVN\0" + ELF + b"SVN\0SVN\1SVN\2" + ELF
    path = write(tmp_path / "image.tar", image_of(layer({"a": data})).docker_archive())

    assert outcome(path, fuzzing.new_key(random.Random(1))) == CLEAN


def test_what_only_looks_like_an_entry_in_front_of_a_zip_is_no_gap(tmp_path: Path) -> None:
    """A program that knows the magic of zip may have an archive behind it."""
    like = b"PK\3\4\x14\0\0\0" + b"r)\0\0" + bytes(14) + b"\x08\0\0\0" + b"\1\2\3\4" * 30
    path = write(tmp_path / "image.tar", image_of(layer({"a": ELF + like + zipped(("e", b"x"))})).docker_archive())

    assert outcome(path, fuzzing.new_key(random.Random(1))) == CLEAN


def table(page: int, *values: bytes) -> bytes:
    """A SQLite database of pages of that size with a row for each value."""
    with sqlite3.connect(":memory:") as connection:
        connection.execute(f"pragma page_size = {page}")
        connection.execute("create table t (v blob)")
        connection.executemany("insert into t values (?)", [(value,) for value in values])
        connection.commit()
        return connection.serialize()


def test_a_value_beside_one_that_fills_pages_is_found(tmp_path: Path) -> None:
    """The row of many pages begins in front of it, on the same page."""
    key = fuzzing.new_key(random.Random(1))
    data = table(4096, gz(text(key)), random.Random(2).randbytes(9000))
    path = write(tmp_path / "image.tar", image_of(layer({"a.db": data})).docker_archive())

    assert outcome(path, key) == WHOLE


def test_packed_values_that_fill_pages_are_no_gap(tmp_path: Path) -> None:
    """Each seems to break off where its first page ends, and is whole in its row."""
    chance = random.Random(1)
    words = b"alpha", b"beta", b"gamma", b"delta", b"settings"
    lines = [b" ".join(chance.choices(words, k=chance.randrange(5000, 20_000))) for _ in range(150)]
    data = table(1024, *(b"." * chance.randrange(900) + pack(each) for each in lines for pack in (gz, zstd)))
    path = write(tmp_path / "image.tar", image_of(layer({"a.db": data})).docker_archive())

    assert outcome(path, fuzzing.new_key(chance)) == CLEAN


@pytest.mark.parametrize("kept", ["packed", "plain"])
def test_members_of_a_large_ar_archive_are_looked_at_as_what_they_are(kept: str, tmp_path: Path) -> None:
    """A compressed member keeps what it cannot pack in pieces, and what is in these is no stream that broke off; in
    another member there may be one."""
    chance = random.Random(kept)
    key, noise = fuzzing.new_key(chance), chance.randbytes(17 << 20)
    streams = b"".join(gz(base64.b64encode(chance.randbytes(200_000))) for _ in range(5))
    large, last = (noise, ELF + gz(text(key))) if kept == "plain" else (lzma.compress(noise + streams, preset=0), b"x")
    data = b"!<arch>\n" + _ar("a.o/", large) + _ar("b.o/", last)
    path = write(tmp_path / "image.tar", image_of(layer({"a.a": data})).docker_archive())

    assert outcome(path, key) == (CLEAN if kept == "packed" else WHOLE)


#: what else may stand in front of something packed, made of a text that holds nothing
FRONTS: dict[str, Callable[[bytes], bytes]] = {
    **FORMS,
    "lzma": lzma_alone, "zlib of a small window": lambda data: deflated(data, 9),
    "lzma of other properties": lambda data: lzma_alone(data * 3, 0, 2, 0),
    "brotli": brotli.compress, "brotli metadata": lambda data: _metadata(data),
    "tar": lambda data: tar_of(file("e", data)), "rpm": lambda data: rpm(gz(data)),
    "cpio": lambda data: cpio_binary(("a", data)), "ar": lambda data: b"!<arch>\n" + _ar("a/", data),
    "deb": lambda data: b"!<arch>\n" + _ar("data.tar.xz/", lzma.compress(tar_of(file("e", data)))),
    "database": lambda data: table(4096, data, data * 100),
    "pdf": lambda data: pdf(stream(deflated(data), b"/Filter /FlateDecode")),
    "loose object": lambda data: deflated(b"blob %d\0" % len(data) + data),
    "UTF-16": lambda data: ("\ufeff" + data.decode()).encode("utf-16-le"),
    "picture": lambda data: _png((b"IHDR", bytes(13)), (b"IDAT", deflated(data)), (b"IEND", b"")),
}  # fmt: skip


@pytest.mark.parametrize("front", FRONTS)
def test_what_follows_something_packed_is_found_or_said(front: str) -> None:
    """Whatever is packed behind it, at once or behind a few bytes."""
    cases = []
    for form, pack in FORMS.items():
        for glue in (b"", b"--\n", b"\0", bytes(600)):
            key = fuzzing.new_key(random.Random(f"{front} {form} {glue!r}"))
            cases.append((form, glue, key, FRONTS[front](b"nothing to see here\n" * 20) + glue + pack(text(key))))
    name = "opt/e.br" if front.startswith("brotli") else "opt/e"

    seen = fuzzing.scan_layers([tar_of(file(name, data)) for _, _, _, data in cases])

    lost = [(form, glue) for (form, glue, key, _), one in zip(cases, seen, strict=True)
            if key not in one.keys and not one.gaps]  # fmt: skip
    assert lost == []
    assert sum(key in one.keys for (_, _, key, _), one in zip(cases, seen, strict=True)) >= len(cases) - 2


@pytest.mark.parametrize("what", ["random", "zeros", "letters"])
def test_what_only_looks_packed_is_no_gap(what: str, tmp_path: Path) -> None:
    """Magics stand in programs that know them, and anywhere by chance; what follows them there unpacks to nothing."""
    chance = random.Random(what)
    magics = (
        b"\x1f\x8b\x08\0", b"\x1f\x8b\x08\x08\0\0\0\0\0\3", b"\x28\xb5\x2f\xfd", b"PK\3\4", b"PK\3\4\x14\0\0\0\x08\0",
        b"\x04\x22\x4d\x18\x64\x40", b"\x02\x21\x4c\x18", b"LZIP\1\x10", b"\xfd7zXZ\0\0\4", b"7z\xbc\xaf\x27\x1c\0\4",
        b"Rar!\x1a\x07\0", b"Rar!\x1a\x07\1\0", b"MSCF\0\0\0\0", b"BZh91AY&SY", b"hsqs", b"x\x9c",
        b"\xc7\x71", b"\x71\xc7",
    )  # fmt: skip

    def filler(size: int) -> bytes:
        if what == "zeros":
            return bytes(size)
        return chance.randbytes(size) if what == "random" else bytes(chance.choices(b"abcdef \n", k=size))

    content = {
        f"{number}": b".." + b"".join(filler(chance.randrange(60)) + each for each in magics * 9) + filler(number)
        for number in range(50)
    }
    path = write(tmp_path / "image.tar", image_of(layer(content)).docker_archive())

    assert outcome(path, fuzzing.new_key(chance)) == CLEAN


@pytest.mark.parametrize("kind", [0, 1])
def test_one_block_behind_a_magic_of_zstd_is_no_gap(kind: int, tmp_path: Path) -> None:
    """A block that is a copy, or of one byte, is what any three bytes may say; a packed one is not."""
    block = (8192 << 3 | kind << 1).to_bytes(3, "little") + (b"A" if kind else bytes(8192))
    program = ELF + b"\x28\xb5\x2f\xfd\x00\x58" + block + b"\xff" * 99
    path = write(tmp_path / "image.tar", image_of(layer({"a": program})).docker_archive())

    assert outcome(path, fuzzing.new_key(random.Random(1))) == CLEAN


def test_a_picture_in_pieces_is_no_gap(tmp_path: Path) -> None:
    """PNG cuts the stream of its pixels into chunks, so that it seems to break off."""
    pixels = zlib.compress(random.Random(1).randbytes(40_000) + bytes(400_000))
    chunks = [(b"IDAT", pixels[at : at + 8192]) for at in range(0, len(pixels), 8192)]
    picture = _png((b"IHDR", bytes(13)), *chunks, (b"IEND", b""))
    path = write(tmp_path / "image.tar", image_of(layer({"a.png": picture, "a.ico": ELF + picture})).docker_archive())

    assert outcome(path, fuzzing.new_key(random.Random(1))) == CLEAN

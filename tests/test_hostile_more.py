"""More hostile images of the kinds of `test_hostile`, from other fields, other writers and other orders."""

# ruff: noqa: ARG005  (every builder is given a key; some have no place for it)

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import fuzzing
from tests.builders import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    BuiltImage,
    Member,
    blob_path,
    descriptor_of,
    directory,
    dumps,
    file,
    hardlink,
    image_of,
    layer,
    layout_members,
    opaque,
    sha256,
    symlink,
    tar_of,
    whiteout,
    write,
)
from tests.fuzzing import END, GNU, long_name, padded, pax
from tests.fuzzing import tar_file as member
from tests.fuzzing import tar_header as header
from tests.test_hostile import (
    ACCEPTED,
    FOUND,
    GOOD,
    NEXT,
    SAID,
    WHOLE,
    described,
    listing,
    oci,
    outcome,
    plain,
    skippable,
    stored,
    text,
    zstd,
)

Build = Callable[[bytes], bytes]
CASES: dict[str, tuple[str, Build]] = {}


def layers(expected: str, **builds: Build) -> None:
    """Cases that are the plain bytes of a layer."""
    for name, build in builds.items():
        CASES[f"layer_{name}"] = expected, lambda key, build=build: image_of(layer(raw=build(key))).docker_archive()


def streams(expected: str, **builds: Build) -> None:
    """Cases that are the stored bytes of a layer around `plain`."""
    for name, build in builds.items():
        CASES[f"stream_{name}"] = expected, lambda key, build=build: stored(plain(key), build(key)).docker_archive()


def files(expected: str, **builds: Build) -> None:
    """Cases that are one file of a layer."""
    for name, build in builds.items():
        CASES[f"file_{name}"] = expected, lambda key, build=build: image_of(
            layer({"opt/file": build(key)})).docker_archive()  # fmt: skip


def archives(expected: str, **builds: Build) -> None:
    """Cases that are whole archives."""
    CASES.update({f"archive_{name}": (expected, build) for name, build in builds.items()})


# -- numbers and extended headers ------------------------------------------------------------------------------------


def sized(*records: tuple[bytes, bytes], field: int | bytes = 0, behind: bytes = NEXT) -> Build:
    """A member whose extended header speaks of its size; %d stands for the real one."""

    def build(key: bytes) -> bytes:
        data = text(key)
        spoken = [(name, value.replace(b"%d", b"%d" % len(data))) for name, value in records]
        return GOOD + pax(*spoken) + header("root/.env", field) + padded(data) + behind + END

    return build


layers(
    WHOLE,
    size_with_zeros=sized((b"size", b"0000000%d")),
    size_twice_last_wins=sized((b"size", b"1"), (b"size", b"%d")),
    size_and_unknown_numbers=sized((b"mtime", b"1.999999999999"), (b"VENDOR.n", b"1e99"), (b"size", b"%d")),
    size_field_of_junk_behind_a_record=sized((b"size", b"%d"), field=b"\0" * 12),
    size_of_a_header_that_was_replaced=lambda key: GOOD + pax((b"size", b"0")) + pax((b"mtime", b"1"))
    + member("e", text(key)) + END,
    names_in_any_order=lambda key: long_name(b"a" * 150) + pax((b"path", b"b" * 150)) + long_name(b"c" * 150)
    + member("e", text(key)) + END,
    link_then_name=lambda key: long_name(b"x" * 200, b"K") + long_name(b"n" * 200) + member("e", text(key)) + END,
    name_for_a_directory_goes_no_further=lambda key: long_name(b"n" * 150) + header("d/", 0, b"5")
    + member("root/.env", text(key)) + END,
    value_with_signs=lambda key: pax((b"VENDOR.a=b", b"c=d\ne=" + key)) + member("e", b"x") + END,
    name_that_is_binary=lambda key: pax((b"hdrcharset", b"BINARY"), (b"path", b"e\xff\xfe"))
    + member("e", text(key)) + END,
    times_in_base_256=lambda key: GOOD + member("e", text(key), magic=GNU, at={136: b"\xff" * 12}) + END,
    owners_in_base_256=lambda key: GOOD + member(
        "e", text(key), magic=GNU, at={108: b"\x80\0\0\0\x7f\xff\xff\xff", 116: b"\xff" * 8}) + END,
    mode_in_base_256=lambda key: GOOD + member("e", text(key), magic=GNU, at={100: b"\x80\0\0\0\0\0\x01\xa4"}) + END,
    star_form=lambda key: GOOD + member("e", text(key), at={345: b"prefix", 508: b"tar\0"}) + END,
    checksum_without_end=lambda key: GOOD + header("e", len(text(key)))[:154] + b"  "
    + header("e", len(text(key)))[156:] + padded(text(key)) + END,
)  # fmt: skip
layers(
    FOUND,
    volume_label=lambda key: header("label", 0, b"V", GNU) + plain(key),
    size_with_a_sign=sized((b"size", b"+%d")),
    volume_that_goes_on=lambda key: GOOD + header("e", len(text(key)), b"M", GNU) + padded(text(key)) + NEXT + END,
    directory_of_gnu=lambda key: GOOD + header("d/", len(text(key)), b"D", GNU) + padded(text(key)) + NEXT + END,
    attributes_of_solaris=lambda key: GOOD + header("e", len(text(key)), b"E") + padded(text(key)) + NEXT + END,
    access_list_of_solaris=lambda key: GOOD + header("e", len(text(key)), b"A") + padded(text(key)) + NEXT + END,
    type_of_a_letter_that_is_none=lambda key: GOOD + header("e", len(text(key)), b"\xff") + padded(text(key)) + END,
    fifo_with_data=lambda key: GOOD + header("e", len(text(key)), b"6") + padded(text(key)) + NEXT + END,
    device_with_data=lambda key: GOOD + header("e", len(text(key)), b"3") + padded(text(key)) + NEXT + END,
    hard_link_with_data=lambda key: GOOD + header("e", len(text(key)), b"1", link=b"etc/os-release") + padded(text(key))
    + NEXT + END,
)  # fmt: skip
layers(
    SAID,
    size_record_in_hex=sized((b"size", b"0x%d")),
    size_record_in_spaces=sized((b"size", b" %d ")),
    size_record_with_underscore=sized((b"size", b"1_0")),
    size_record_of_other_digits=sized((b"size", "\u0664\u0664".encode())),
    size_record_past_the_end=sized((b"size", b"99999999")),
    size_of_zero_before_data=sized((b"size", b"0")),
    record_longer_than_its_header=lambda key: header("x", 20, b"x") + padded(b"90 path=root/.env\n") + plain(key),
    record_of_negative_length=lambda key: header("x", 12, b"x") + padded(b"-9 path=abc\n") + plain(key),
    record_with_a_plus=lambda key: header("x", 11, b"x") + padded(b"+11 path=a\n") + plain(key),
    record_without_sign=lambda key: header("x", 9, b"x") + padded(b"9 pathab\n") + plain(key),
    extended_header_in_itself=lambda key: header("x", 1024, b"x") + pax((b"path", b"e")) + plain(key),
    long_name_of_a_long_name=lambda key: header("L", 512, b"L", GNU) + long_name(b"n" * 9) + plain(key),
    long_name_of_no_size=lambda key: header("L", b"-0000000001\0", b"L", GNU) + plain(key),
    extended_header_at_the_end=lambda key: member("e", text(key)) + pax((b"path", b"more")),
    checksum_of_zero=lambda key: GOOD + header("x")[:148] + b"0000000\0" + header("x")[156:] + plain(key),
    headers_of_two_archives=lambda key: GOOD + b"!<arch>\n" + bytes(504) + plain(key),
    half_a_block_between=lambda key: GOOD + bytes(256) + plain(key),
)  # fmt: skip


# -- sparse members --------------------------------------------------------------------------------------------------


def sparse(*records: tuple[bytes, bytes], head: bytes = b"") -> Build:
    """A member with records of sparse files that lie; *head* is the map in its data."""
    return lambda key: GOOD + pax(*records) + member("s", head + text(key)) + NEXT + END


layers(
    FOUND,
    sparse_of_unknown_version=sparse((b"GNU.sparse.major", b"7"), (b"GNU.sparse.minor", b"3")),
    sparse_map_descends=sparse((b"GNU.sparse.map", b"9,4,0,4"), (b"GNU.sparse.size", b"20")),
    sparse_map_overlaps=sparse((b"GNU.sparse.map", b"0,40,10,40"), (b"GNU.sparse.size", b"90")),
    sparse_map_of_odd_count=sparse((b"GNU.sparse.map", b"0,4,9"), (b"GNU.sparse.size", b"20")),
    sparse_map_negative=sparse((b"GNU.sparse.map", b"-1,4"), (b"GNU.sparse.size", b"20")),
    sparse_map_past_the_end=sparse((b"GNU.sparse.map", b"0,4,99999999999,9"), (b"GNU.sparse.size", b"20")),
    sparse_map_empty=sparse((b"GNU.sparse.map", b""), (b"GNU.sparse.size", b"0")),
    sparse_size_of_zero=sparse((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"0"),
                               head=padded(b"1\n0\n44\n")),
    sparse_size_no_number=sparse((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
                                 (b"GNU.sparse.realsize", b"x"), head=padded(b"1\n0\n44\n")),
    sparse_blocks_that_are_more=sparse((b"GNU.sparse.numblocks", b"9"), (b"GNU.sparse.offset", b"0"),
                                       (b"GNU.sparse.numbytes", b"4"), (b"GNU.sparse.size", b"4")),
    sparse_names_another=sparse((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
                                (b"GNU.sparse.name", b"etc/motd"), (b"path", b"root/.env"), head=padded(b"1\n0\n44\n")),
    sparse_global=lambda key: pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), kind=b"g") + plain(key),
    sparse_old_of_negative_size=lambda key: GOOD + member("s", text(key), kind=b"S", magic=GNU,
                                                          at={483: b"\xff" * 12}) + NEXT + END,
)  # fmt: skip


# -- names, links and whiteouts --------------------------------------------------------------------------------------


def above(*content: Any) -> Build:
    """The key in root/.env, and a layer above it."""
    return lambda key: image_of(layer({"root/.env": text(key)}), layer(*content)).docker_archive()


archives(
    WHOLE,
    whiteout_of_the_parent=above(whiteout("root")),
    whiteout_with_a_dot=above(Member("./root/.wh..env")),
    whiteout_with_a_slash=above(Member("root/.wh..env/", kind=b"5")),
    whiteout_of_nothing=above(Member("root/.wh.")),
    whiteout_of_a_dot=above(Member("root/.wh..")),
    whiteout_of_the_parent_by_dots=above(Member("root/.wh...")),
    whiteout_by_a_link=above(symlink("root/.wh..env", "/dev/null")),
    whiteout_through_a_link=above(symlink("r", "root"), Member("r/.wh..env")),
    whiteout_of_a_whiteout=above(Member("root/.wh..wh..env")),
    whiteout_of_aufs=above(Member(".wh..wh.plnk/", kind=b"5"), Member(".wh..wh.plnk/1.2")),
    opaque_and_again=above(opaque("root"), file("root/.env", "")),
    opaque_after_its_files=above(file("root/.env", ""), opaque("root")),
    opaque_at_the_root=above(Member(".wh..wh..opq")),
    overwritten_by_a_directory=above(directory("root/.env")),
    overwritten_by_a_link=above(symlink("root/.env", "/nowhere")),
    parent_overwritten_by_a_file=above(file("root", "x")),
    parent_overwritten_by_a_link=above(symlink("root", "/tmp")),
    case_is_folded=above(file("ROOT/.ENV", "x")),
)  # fmt: skip
layers(
    WHOLE,
    dots_in_a_name=lambda key: member("a/../../b/./.env", text(key)) + END,
    many_slashes=lambda key: member("//root////.env", text(key)) + END,
    backslashes=lambda key: member("..\\root\\.env", text(key)) + END,
    two_names_that_look_alike=lambda key: member("e\u0301", b"x") + member("\u00e9", text(key)) + END,
    names_of_blanks=lambda key: member(" ", text(key)) + member("\t\r", b"x") + END,
    deep_name=lambda key: long_name(b"d/" * 1500 + b"e") + member("e", text(key)) + END,
    name_longer_than_any_path=lambda key: long_name(b"d/" * 9000 + b"e") + member("e", text(key)) + END,
    name_with_nul_in_a_long_name=lambda key: long_name(b"root/.env\0.png") + member("e", text(key)) + END,
    long_chain_of_links=lambda key: b"".join(
        header(f"l{n}", 0, b"2", link=b"l%d" % (n + 1)) for n in range(500)) + member("l500", text(key)) + END,
    hard_link_to_what_follows=lambda key: header("h", 0, b"1", link=b"e") + member("e", text(key)) + END,
    hard_link_to_itself=lambda key: header("h", 0, b"1", link=b"h") + member("e", text(key)) + END,
    file_then_link_of_one_name=lambda key: member("e", text(key)) + header("e", 0, b"2", link=b"x") + END,
    directory_then_file_of_one_name=lambda key: header("e/", 0, b"5") + member("e", text(key)) + END,
    hundred_of_one_name=lambda key: b"".join(member("e", b"%d" % n) for n in range(99)) + member("e", text(key))
    + member("e", b"x") + END,
    pseudo_files=lambda key: member("proc/self/environ", text(key)) + member("dev/null", b"x") + END,
    only_a_link_holds_it=lambda key: header("l", 0, b"2", link=b"/x/" + key) + END,
    only_a_user_name_holds_it=lambda key: header("e", at={265: key}) + END,
)  # fmt: skip


# -- compressed streams ----------------------------------------------------------------------------------------------

PACKED_TWICE: dict[str, Build] = {
    "gzip_of_gzip": lambda data: gzip.compress(gzip.compress(data)),
    "gzip_of_zstd": lambda data: gzip.compress(zstd(data)),
    "zstd_of_gzip": lambda data: zstd(gzip.compress(data)),
    "xz_of_bzip2": lambda data: lzma.compress(bz2.compress(data)),
}
streams(FOUND, **{name: lambda key, pack=pack: pack(plain(key)) for name, pack in PACKED_TWICE.items()})


def gz(data: bytes) -> bytes:
    """gzip without a time."""
    return gzip.compress(data, mtime=0)


streams(
    WHOLE,
    xz_padding_of_odd_length=lambda key: lzma.compress(plain(key)[:512]) + bytes(5) + lzma.compress(plain(key)[512:]),
    zstd_of_skippable_frames_alone_between=lambda key: skippable(b"") * 40 + zstd(plain(key)) + skippable(b"") * 40,
    xz_of_many_blocks=lambda key: lzma.compress(plain(key), check=lzma.CHECK_SHA256),
    xz_without_check=lambda key: lzma.compress(plain(key), check=lzma.CHECK_NONE),
    xz_with_a_filter=lambda key: lzma.compress(plain(key), filters=[
        {"id": lzma.FILTER_DELTA, "dist": 4}, {"id": lzma.FILTER_LZMA2}]),
    gzip_of_one_byte_parts=lambda key: b"".join(gz(plain(key)[n : n + 1]) for n in range(len(plain(key)))),
)  # fmt: skip
streams(
    SAID,
    gzip_junk_between=lambda key: gz(plain(key)[:600]) + b"junk" + gz(plain(key)[600:]),
    gzip_zeros_between=lambda key: gz(plain(key)[:600]) + bytes(600) + gz(plain(key)[600:]),
    gzip_header_checksum_wrong=lambda key: gz(plain(key))[:3] + b"\2" + gz(plain(key))[4:10] + b"\0\0"
    + gz(plain(key))[10:],
    gzip_second_header_cut=lambda key: gz(plain(key)) + gz(b"")[:7],
    gzip_of_an_endless_name=lambda key: gz(plain(key))[:3] + b"\x08" + gz(plain(key))[4:10] + b"n" * 5000,
    gzip_extra_field_too_long=lambda key: gz(plain(key))[:3] + b"\4" + gz(plain(key))[4:10] + b"\xff\xff"
    + gz(plain(key))[10:],
    zstd_wrong_checksum=lambda key: zstd(plain(key))[:-4] + bytes(4),
    zstd_wrong_size=lambda key: zstd(plain(key))[:5] + b"\x01\x00" + zstd(plain(key))[7:],
    zstd_reserved_block=lambda key: zstd(plain(b"")) + b"\x28\xb5\x2f\xfd\0\x58\7\0\0" + text(key),
    zstd_of_a_huge_size=lambda key: b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 7 + b"\x7f" + b"\1\0\0",
    zstd_without_end=lambda key: zstd(plain(key))[:-9],
    bzip2_wrong_checksum=lambda key: bz2.compress(plain(key))[:10] + bytes(4) + bz2.compress(plain(key))[14:],
    bzip2_randomised=lambda key: bz2.compress(plain(key))[:14] + b"\xff" + bz2.compress(plain(key))[15:],
    xz_wrong_index=lambda key: lzma.compress(plain(key))[:-20] + bytes(20),
    xz_of_much_memory=lambda key: lzma.compress(plain(key))[:12] + b"\x02\x00\x21\x01\x28"
    + lzma.compress(plain(key))[17:],
    legacy_lz4=lambda key: b"\x02\x21\x4c\x18" + struct.pack("<I", 60) + b"\xf0" + bytes(59),
    lzip=lambda key: b"LZIP\1\x10" + bytes(60),
    seven_zip=lambda key: b"7z\xbc\xaf\x27\x1c\0\4" + bytes(60),
    zip_of_a_tar=lambda key: zipped(("layer.tar", plain(key))),
    zlib_of_a_tar=lambda key: zlib.compress(plain(key)),
    base64_of_a_tar=lambda key: base64.b64encode(plain(key)),
    gzip_of_nothing=lambda key: gz(b""),
)  # fmt: skip


# -- files in files --------------------------------------------------------------------------------------------------


def zipped(*entries: tuple[str, bytes], method: int = 8, comment: bytes = b"") -> bytes:
    """A zip archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.comment = comment
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return target.getvalue()


def patched(archive: bytes, local: dict[int, bytes] | None = None, central: dict[int, bytes] | None = None,
            end: dict[int, bytes] | None = None) -> bytes:  # fmt: skip
    """A zip of one entry with fields of its headers replaced."""
    out = bytearray(archive)
    for magic, fields in ((b"PK\3\4", local), (b"PK\1\2", central), (b"PK\5\6", end)):
        for at, value in (fields or {}).items():
            start = archive.index(magic) + at
            out[start : start + len(value)] = value
    return bytes(out)


def packed(key: bytes) -> bytes:
    """A zip with the key, deflated."""
    return zipped(("a/key", b"words " * 40 + text(key)))


def nested(depth: int, pack: Callable[[bytes], bytes]) -> Build:
    """The key packed many times."""

    def build(key: bytes) -> bytes:
        data = b"words " * 40 + text(key)
        for _ in range(depth):
            data = pack(data)
        return data

    return build


def deb(*parts: tuple[str, bytes]) -> bytes:
    """An ar archive."""
    return b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{0o100644:<8o}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        for name, data in parts
    )


def cpio(name: bytes, data: bytes, magic: bytes = b"070701", **fields: int) -> bytes:
    """A member of cpio in its new form."""
    known = {"mode": 0o100644, "links": 1, "size": len(data), "names": len(name) + 1, **fields}
    numbers = (1, known["mode"], 0, 0, known["links"], 0, known["size"], 0, 0, 0, 0, known["names"], 0)
    head = magic + b"".join(b"%08x" % number for number in numbers) + name + b"\0"
    head += bytes(-len(head) % 4)
    return head + data + bytes(-len(data) % 4)


LAST = cpio(b"TRAILER!!!", b"")
files(
    FOUND,
    zip_sizes_of_zero=lambda key: patched(packed(key), {18: bytes(8)}, {20: bytes(8)}),
    zip_sizes_of_everything=lambda key: patched(packed(key), {18: b"\xff" * 8}, {20: b"\xff" * 8}),
    zip_wrong_checksum=lambda key: patched(packed(key), {14: bytes(4)}, {16: bytes(4)}),
    zip_stored_says_the_directory=lambda key: patched(packed(key), None, {10: b"\0\0"}),
    zip_stored_says_the_header=lambda key: patched(packed(key), {8: b"\0\0"}),
    zip_encrypted_says_the_directory=lambda key: patched(packed(key), None, {8: b"\1\0"}),
    zip_encrypted_says_the_header=lambda key: patched(packed(key), {6: b"\1\0"}),
    zip_of_two_disks=lambda key: patched(packed(key), None, None, {4: b"\1\0\1\0"}),
    zip_counts_no_entry=lambda key: patched(packed(key), None, None, {8: bytes(4)}),
    zip_directory_elsewhere=lambda key: patched(packed(key), None, None, {16: b"\x09\0\0\0"}),
    zip_directory_of_no_size=lambda key: patched(packed(key), None, None, {12: bytes(4)}),
    zip_offset_elsewhere=lambda key: patched(packed(key), None, {42: b"\x07\0\0\0"}),
    zip_with_two_ends=lambda key: zipped(
        ("a/key", b"words " * 40 + text(key)), comment=b"x" + zipped(("b", b"nothing"))),
    zip_with_an_end_in_its_comment=lambda key: zipped(("b", b"nothing"), comment=b"PK\5\6" + bytes(18)) + packed(key),
    zip_name_with_nul=lambda key: packed(key).replace(b"a/key", b"a\0key"),
    zip_name_out=lambda key: packed(key).replace(b"a/key", b"../.."),
    zip_same_name_twice=lambda key: zipped(("a", b"nothing"), ("b", b"words " * 40 + text(key))).replace(b"b", b"a"),
    zip_without_ends=lambda key: packed(key)[: packed(key).index(b"PK\1\2")],
    zip_end_alone_is_cut=lambda key: packed(key)[:-9],
    gzip_five_deep=nested(5, gz),
    zip_five_deep=nested(5, lambda data: zipped(("z", data))),
    mixed_deep=nested(2, lambda data: gz(tar_of(file("z", lzma.compress(data))))),
    ar_size_too_large=lambda key: deb(("a/", gz(b"words " * 40 + text(key))), ("b/", b"x")).replace(
        b"1         `", b"99999     `"),
    ar_of_two_data_members=lambda key: deb(("data.tar.gz", gz(tar_of(file("e", b"x")))),
                                           ("data.tar.gz", gz(tar_of(file("e", text(key)))))),
    ar_name_past_the_names=lambda key: deb(("//", b"x/\n"), ("/999", gz(b"words " * 40 + text(key)))),
    cpio_with_checksums=lambda key: cpio(b"e", gz(b"words " * 40 + text(key)), b"070702") + LAST,
    cpio_hard_links=lambda key: cpio(b"a", b"", links=2) + cpio(b"b", gz(b"words " * 40 + text(key)), links=2) + LAST,
    cpio_end_first=lambda key: LAST + gz(cpio(b"e", b"words " * 40 + text(key)) + LAST),
    cpio_name_of_nothing=lambda key: cpio(b"", gz(b"words " * 40 + text(key))) + LAST,
    cpio_in_gzip_in_cpio=lambda key: cpio(b"a", gz(cpio(b"e", text(key)) + LAST)) + LAST,
    tar_without_magic=lambda key: gz(member("e", text(key), magic=bytes(8)) + END),
    tar_that_ends_in_junk=lambda key: gz(member("e", b"x") + b"junk" * 128 + text(key)),
    tar_behind_zeros=lambda key: gz(bytes(1024) + member("e", text(key)) + END),
)  # fmt: skip
files(
    SAID,
    zip_of_deflate64=lambda key: patched(packed(key), {8: b"\x09\0"}, {10: b"\x09\0"}),
    zip_of_ppmd=lambda key: patched(packed(key), {8: b"\x62\0"}, {10: b"\x62\0"}),
    zip_of_aes=lambda key: patched(packed(key), {6: b"\1\0", 8: b"\x63\0"}, {8: b"\1\0", 10: b"\x63\0"}),
    zip_of_implode=lambda key: patched(packed(key), {8: b"\x06\0"}, {10: b"\x06\0"}),
    gzip_twenty_deep=nested(20, gz),
    zip_cut=lambda key: zipped(("a", random.Random(1).randbytes(3000)), ("b", b"words " * 40 + text(key)))[:2000],
    cpio_size_too_large=lambda key: cpio(b"e", b"x", size=1 << 30) + gz(text(key)),
    cpio_name_too_large=lambda key: cpio(b"e", b"x", names=1 << 30) + gz(text(key)),
    rpm_without_header=lambda key: b"\xed\xab\xee\xdb\3\0" + bytes(90) + b"\x8e\xad\xe8\2" + bytes(60),
    git_pack_of_junk=lambda key: b"PACK\0\0\0\2\0\0\0\1" + b"\x3f" + bytes(60),
    bomb_of_zeros=lambda key: gz(bytes(90 << 20)) + gz(text(key)),
)  # fmt: skip


# -- documents and archives ------------------------------------------------------------------------------------------


def one(key: bytes, **more: Any) -> BuiltImage:
    """An image of one layer with the key."""
    return image_of(layer(raw=plain(key)), **more)


def rootfs(*diff_ids: str, **more: Any) -> Build:
    """An image whose config names these diff_ids beside the right one."""
    right = lambda key: sha256(plain(key))  # noqa: E731
    return lambda key: one(key, config={"rootfs": {"type": "layers", "diff_ids": [right(key), *diff_ids], **more}}
                           ).docker_archive()  # fmt: skip


def manifested(**changes: Any) -> Build:
    """An OCI archive whose manifest says something else."""
    return lambda key: oci(one(key), dumps({**json.loads(one(key).manifest()), **changes}))


def indexed(*more: Any, **changes: Any) -> Build:
    """An OCI archive whose index says more."""
    return lambda key: oci(one(key), manifests=[descriptor_of(one(key).manifest(), OCI_MANIFEST), *more], **changes)


def manifested_key(name: str) -> Build:
    """An OCI archive whose manifest has the key in a member."""
    return lambda key: oci(one(b""), dumps({**json.loads(one(b"").manifest()), name: key.decode()}))


def described_members(key: bytes, more: dict[str, Any]) -> list[Member]:
    """The members of an OCI archive whose layer's descriptor says more."""
    image = image_of(layer(raw=plain(key), descriptor=more))
    return image.oci_members()


NOWHERE = "sha256:" + "7" * 64
archives(
    SAID,
    more_diff_ids_than_layers=rootfs(NOWHERE),
    no_diff_ids=lambda key: one(key, config={"rootfs": {"type": "layers", "diff_ids": []}}).docker_archive(),
    diff_ids_of_a_number=lambda key: one(key, config={"rootfs": {"type": "layers", "diff_ids": 5}}).docker_archive(),
    diff_id_that_is_no_digest=lambda key: one(key, config={"rootfs": {"diff_ids": ["x"]}}).docker_archive(),
    rootfs_null=lambda key: one(key, config={"rootfs": None}).docker_archive(),
    history_of_a_number=lambda key: one(key, config={"history": 7}).docker_archive(),
    history_of_numbers=lambda key: one(key, config={"history": [1, None, "x", []]}).docker_archive(),
    layers_null_in_a_manifest=manifested(layers=None),
    layers_of_numbers_in_a_manifest=manifested(layers=[1, 2]),
    manifest_of_schema_1=manifested(schemaVersion=1, fsLayers=[{"blobSum": NOWHERE}]),
    config_of_a_layer=lambda key: oci(one(key), dumps({**json.loads(one(key).manifest()), "config": {
        "mediaType": OCI_CONFIG, "digest": sha256(plain(key)), "size": len(plain(key))}})),
    config_that_is_missing=manifested(config={"mediaType": OCI_CONFIG, "digest": NOWHERE, "size": 9}),
    index_in_a_circle_of_names=indexed({"mediaType": OCI_INDEX, "digest": NOWHERE, "size": 9}),
    index_names_a_layer=lambda key: indexed({"mediaType": OCI_MANIFEST, "digest": sha256(plain(key)),
                                             "size": len(plain(key))})(key),
    index_entry_is_a_string=indexed("x"),
    index_entry_without_a_digest=indexed({"mediaType": OCI_MANIFEST, "size": 1}),
    manifest_json_of_nothing=lambda key: tar_of(*one(key).docker_members(manifest=[])),
    manifest_json_of_a_string=lambda key: tar_of(*one(key).docker_members(manifest=[
        {"Config": "c", "Layers": "000/layer.tar"}])),
    manifest_json_config_out=lambda key: tar_of(*one(key).docker_members(manifest=[
        {"Config": "../../../etc/passwd", "Layers": [one(key).docker_members()[3].name]}])),
    manifest_json_config_is_a_layer=lambda key: tar_of(*one(key).docker_members(manifest=[
        {"Config": one(key).docker_members()[3].name, "Layers": [one(key).docker_members()[3].name]}])),
    manifest_json_in_utf_16=lambda key: tar_of(*[replace(m, data=m.data.decode().encode("utf-16")) if
                                                 m.name == "manifest.json" else m for m in one(key).docker_members()]),
    manifest_json_twice=lambda key: tar_of(*one(key).docker_members(), file("manifest.json", "[]")),
    manifest_json_is_a_link=lambda key: tar_of(*[m for m in one(key).docker_members() if m.name != "manifest.json"],
                                               symlink("manifest.json", "/etc/passwd")),
    manifest_json_is_a_directory=lambda key: tar_of(*[m for m in one(key).docker_members() if
                                                      m.name != "manifest.json"], directory("manifest.json")),
    manifest_media_type_lies=manifested(mediaType="application/vnd.docker.distribution.manifest.list.v2+json"),
    index_media_type_lies=indexed(mediaType=OCI_MANIFEST),
    manifest_of_two_spellings=lambda key: oci(one(key), one(key).manifest()[:-1] + b', "Layers": []}'),
)  # fmt: skip
archives(
    FOUND,
    layer_that_is_only_its_data=lambda key: tar_of(*[m for m in described_members(key, {
        "data": base64.b64encode(plain(key)).decode()}) if m.name != blob_path(sha256(plain(key)))]),
    history_without_layers=lambda key: one(
        key, history=[{"created_by": "x", "empty_layer": True}] * 3).docker_archive(),
    history_longer=lambda key: one(key, history=[{"created_by": f"RUN {n}"} for n in range(40)]).docker_archive(),
    history_empty_layer_is_a_string=lambda key: one(key, history=[
        {"created_by": "RUN x", "empty_layer": "false"}]).docker_archive(),
    layers_of_one_diff_id=lambda key: image_of(
        layer(raw=plain(key), compression="gz"), layer(raw=plain(key), compression="zst")).oci_archive(),
    layer_named_twice=lambda key: image_of(layer(raw=plain(key)), layer(raw=plain(key))).oci_archive(),
    foreign_layer_that_is_here=lambda key: described(one(key), urls=["http://127.0.0.1:9/x"]),
    layer_with_data_that_lies=lambda key: described(one(key), data=base64.b64encode(b"other").decode()),
    layer_with_data_that_is_no_base64=lambda key: described(one(key), data="%%%"),
    key_in_the_data_of_the_config=lambda key: oci(one(b""), dumps({**json.loads(one(b"").manifest()), "config": {
        **json.loads(one(b"").manifest())["config"], "data": base64.b64encode(text(key)).decode()}})),
    key_in_the_data_of_an_index=lambda key: oci(one(b""), manifests=[{
        **descriptor_of(one(b"").manifest(), OCI_MANIFEST), "data": base64.b64encode(gz(text(key))).decode()}]),
    key_in_urls=lambda key: described(one(b""), urls=[f"https://x/?k={key.decode()}"]),
    key_in_a_platform=lambda key: oci(one(b""), manifests=[descriptor_of(
        one(b"").manifest(), OCI_MANIFEST, platform={"os": key.decode(), "architecture": "x"})]),
    key_in_an_artifact_type=manifested_key("artifactType"),
    key_in_a_subject=lambda key: oci(one(b""), dumps({**json.loads(one(b"").manifest()), "subject": {
        "mediaType": OCI_MANIFEST, "digest": NOWHERE, "size": 1, "annotations": {"x": key.decode()}}})),
    key_in_the_index=lambda key: oci(one(b""), annotations={"x": key.decode()}),
    key_in_the_layout_file=lambda key: tar_of(*[replace(m, data=dumps({
        "imageLayoutVersion": "1.0.0", "x": key.decode()})) if m.name == "oci-layout" else m
        for m in one(b"").oci_members()]),
    key_in_a_blob_that_nothing_names=lambda key: tar_of(*layout_members(one(b""), blobs=[gz(plain(key))])),
    key_in_a_blob_that_is_no_blob=lambda key: tar_of(*one(b"").oci_members(), file("blobs/sha256/x", gz(plain(key)))),
    key_in_the_json_of_a_layer=lambda key: tar_of(*[replace(m, data=dumps({"container_config": {
        "Env": [f"K={key.decode()}"]}})) if m.name.endswith("/json") else m for m in one(b"").docker_members()]),
    key_in_repositories=lambda key: tar_of(*[replace(m, data=dumps({key.decode(): {"x": "y"}})) if
                                             m.name == "repositories" else m for m in one(b"").docker_members()]),
    key_in_a_tag=lambda key: tar_of(*one(b"").docker_members(manifest=[{
        **listing(one(b""), one(b"").docker_members()[3].name)[0], "RepoTags": [f"x:{key.decode()}"]}])),
    key_in_the_image_that_is_second=lambda key: tar_of(*one(b"").docker_members(manifest=[
        *listing(one(b""), one(b"").docker_members()[3].name), *listing(one(b""), "l.tar")]),
        file("l.tar", plain(key))),
    key_in_the_image_of_the_other_list=lambda key: tar_of(*one(b"").oci_members(), *one(key).docker_members()),
    key_in_a_layer_under_another_media_type=lambda key: described(one(key), mediaType=OCI_CONFIG),
    key_in_a_layer_of_media_type_null=lambda key: described(one(key), mediaType=None),
    layer_in_docker_load_s_words=lambda key: described(
        one(key), mediaType="application/vnd.docker.image.rootfs.diff.tar.gzip"),
    layer_sources_lie=lambda key: tar_of(*one(key).docker_members(manifest=[{
        **listing(one(key), one(key).docker_members()[3].name)[0],
        "LayerSources": {sha256(plain(key)): {"mediaType": OCI_LAYER, "size": 1, "digest": NOWHERE}}}])),
    outer_members_in_reverse=lambda key: tar_of(*one(key).docker_members()[::-1]),
    outer_names_with_dots=lambda key: tar_of(*[replace(m, name=f"./{m.name}") for m in one(key).docker_members()]),
    outer_hard_link_to_a_layer=lambda key: tar_of(*one(key).docker_members(), hardlink("copy", "manifest.json")),
)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_image_of_another_writer_hides_nothing(name: str, tmp_path: Path) -> None:
    """Found where an engine would show it, else named as not looked at."""
    expected, build = CASES[name]
    key = fuzzing.new_key(random.Random(name))
    path = write(tmp_path / "image.tar", build(key))

    assert outcome(path, key) in ACCEPTED[expected]

"""Hostile images of every kind we know: what an engine would show is found, the rest is said, nothing breaks.

The kinds are what counts: numbers that readers read differently, headers that grow or chain, sparse files, streams of
many parts, documents that lie, archives that loop, names that inject, and much of everything.
"""

# ruff: noqa: ARG001, ARG005  (every builder is given a key; some have no place for it)

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import json
import lzma
import os
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import brotli
import lz4.frame
import pytest
import zstandard

from bench.measure import run as measured
from scanner.detect.firstpass import FirstPass
from scanner.errors import LeakscanError
from scanner.image.source import open_image
from scanner.request import Detection, Options
from scanner.scan import scan
from tests import fuzzing
from tests.builders import (
    OCI_LAYER,
    OCI_MANIFEST,
    BuiltImage,
    BuiltLayer,
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
    sha256,
    symlink,
    tar_of,
    write,
)
from tests.conftest import Leakscan
from tests.fuzzing import END, GNU, V7, gzip_with_fields, long_name, padded, pax, record, sparse_old, sparse_pax
from tests.fuzzing import tar_file as member
from tests.fuzzing import tar_header as header

SHARED = os.environ.get("LEAKSCAN_SHARED", "")
MEMORY = 512  # MiB, over all processes
SECONDS, BOMB_SECONDS = 30.0, 60.0
GOOD, NEXT = member("etc/os-release", b"NAME=x\n"), member("etc/after", b"nothing\n")

FOUND = "found"  # the key is found; there may be gaps
WHOLE = "whole"  # the key is found and nothing is missing
SAID = "said"  # incomplete, or refused in words; found as well is fine
CLEAN = "clean"  # no key, no gap


@dataclass(frozen=True)
class Case:
    """An archive around a key, and what must come out."""

    expected: str
    build: Callable[[bytes], bytes]


CASES: dict[str, Case] = {}


def case(expected: str) -> Callable[[Callable[[bytes], bytes]], Callable[[bytes], bytes]]:
    """Register a builder of a whole archive."""

    def register(build: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
        CASES[build.__name__] = Case(expected, build)
        return build

    return register


def raw_layers(expected: str, **layers: Callable[[bytes], bytes]) -> None:
    """Register builders of a layer's plain bytes, each as a docker-archive."""
    for name, build in layers.items():
        CASES[name] = Case(expected, lambda key, build=build: image_of(layer(raw=build(key))).docker_archive())


def stored_layers(expected: str, **layers: Callable[[bytes], bytes]) -> None:
    """Register builders of a layer's compressed bytes around PLAIN, each as a docker-archive."""
    for name, build in layers.items():
        CASES[name] = Case(expected, lambda key, build=build: stored(plain(key), build(key)).docker_archive())


def plain(key: bytes) -> bytes:
    """A layer with the key in a file."""
    return GOOD + member("root/.env", text(key)) + NEXT + END


def text(key: bytes) -> bytes:
    """A line with the key."""
    return b"token = " + key + b"\n"


def stored(content: bytes, data: bytes, media_type: str = OCI_LAYER + "+gzip", **more: Any) -> BuiltImage:
    """An image of one layer whose stored bytes are given."""
    return image_of(BuiltLayer(content, data, media_type, sha256(content), "COPY . /", more))


def oci(image: BuiltImage, manifest: bytes | None = None, **index: Any) -> bytes:
    """An OCI archive with another manifest or index."""
    raw = image.manifest() if manifest is None else manifest
    document = {"schemaVersion": 2, "manifests": [descriptor_of(raw, OCI_MANIFEST)], **index}
    return tar_of(*layout_members(image, index=dumps(document), blobs=[raw]))


def described(image: BuiltImage, **changes: Any) -> bytes:
    """An OCI archive whose only layer's descriptor lies."""
    document = json.loads(image.manifest())
    document["layers"][0].update(changes)
    return oci(image, dumps(document))


# -- numbers, as engines read them -----------------------------------------------------------------------------------

def sized(size: bytes, magic: bytes = fuzzing.USTAR) -> Callable[[bytes], bytes]:
    """A layer whose secret member has a size field of these bytes; %o stands for the real size."""

    def build(key: bytes) -> bytes:
        data = text(key)
        field = size.replace(b"%o", b"%o" % len(data)).replace(b"%b", len(data).to_bytes(4, "big"))
        return GOOD + header("root/.env", field, magic=magic) + padded(data) + NEXT + END

    return build


raw_layers(
    WHOLE,
    size_after_nul=sized(b"\0%o\0"),
    size_in_spaces=sized(b"   %o  "),
    size_without_end=sized(b"0000000000%o"),
    size_base_256=sized(b"\x80" + bytes(7) + b"%b"),
    size_base_256_gnu=sized(b"\x80" + bytes(7) + b"%b", GNU),
    size_then_junk_after_nul=sized(b"%o\0junk\0"),
    device_numbers_in_base_256=lambda key: GOOD + member("e", text(key), magic=GNU, at={329: b"\x81" + bytes(7)}) + END,
    global_size=lambda key: pax((b"size", b"0"), kind=b"g") + plain(key),
    global_path=lambda key: pax((b"path", b"x.md"), kind=b"g") + plain(key),
    empty_size_record=lambda key: pax((b"size", b"")) + member("e", text(key)) + NEXT + END,
    record_behind_its_header=lambda key: header("x", 8, b"x") + padded(b"8 a=bcd\n" + record(b"size", b"0"))
    + member("e", text(key)) + NEXT + END,
    size_record_wins=lambda key: pax((b"size", b"%d" % len(text(key)))) + header("e", 0) + padded(text(key)) + END,
    local_before_global=lambda key: pax((b"size", b"99999")) + pax((b"comment", b"x"), kind=b"g") + plain(key),
    nested_tar_by_size=lambda key: pax((b"size", b"%d" % len(member("n", text(key)))))
    + header("blob.bin", 0) + member("n", text(key)) + NEXT + END,
    v7_directory_with_size=lambda key: header("dir/", 1024, b"\0", V7) + member("e", text(key)) + END,
    v7_file=lambda key: member("e", text(key), kind=b"\0", magic=V7) + END,
    no_end_marker=lambda key: GOOD + member("e", text(key)),
    half_an_end_marker=lambda key: GOOD + member("e", text(key)) + bytes(512),
    much_of_an_end_marker=lambda key: plain(key) + bytes(100 * 512),
    signed_checksum=lambda key: header("\udc80".encode("utf-8", "surrogateescape"), 0) + plain(key),
)  # fmt: skip
raw_layers(
    SAID,
    size_negative_octal=sized(b"-0000000100\0"),
    size_with_sign=sized(b"+0000000%o\0"),
    size_with_underscores=sized(b"00000_00%o\0"),
    size_with_prefix=sized(b"0o000000%o\0"),
    size_of_eights=sized(b"00000000089\0"),
    size_negative_base_256=sized(b"\xff" * 12),
    size_too_large_base_256=sized(b"\xbf" + b"\xff" * 11),
    size_two_to_62=lambda key: GOOD + member("e", text(key))
    + header("h", b"\x80" + bytes(3) + b"\x40" + bytes(7)) + END,
    size_record_negative=lambda key: pax((b"size", b"-1536")) + member("e", text(key)) + END,
    size_record_no_number=lambda key: pax((b"size", b"1e3")) + member("e", text(key)) + END,
    size_record_huge=lambda key: pax((b"size", b"9" * 400)) + member("e", text(key)) + END,
    bad_checksum=lambda key: GOOD + header("a")[:148] + b"0000000\0" + header("a")[156:] + plain(key),
    junk_block=lambda key: GOOD + b"junk" * 128 + plain(key),
    zero_block=lambda key: GOOD + bytes(512) + plain(key),
    behind_the_end=lambda key: GOOD + END + text(key),
    an_archive_behind_the_end=lambda key: GOOD + END + plain(key),
    half_a_header=lambda key: member("e", text(key)) + header("x", 5)[:200],
    half_a_member=lambda key: member("e", text(key)) + header("x", 5000) + b"data",
    unknown_type=lambda key: GOOD + member("e", text(key), kind=b"Z") + NEXT + END,
    solaris_type=lambda key: GOOD + member("e", text(key), kind=b"X") + NEXT + END,
    directory_with_data=lambda key: GOOD + header("dir/", len(text(key)), b"5") + padded(text(key)) + NEXT + END,
    link_with_data=lambda key: GOOD + header("l", len(text(key)), b"2", link=b"x") + padded(text(key)) + NEXT + END,
    no_tar=lambda key: text(key),
    zeros_then_text=lambda key: bytes(1024) + text(key),
)  # fmt: skip

# -- extended headers ------------------------------------------------------------------------------------------------

raw_layers(
    WHOLE,
    contiguous_type=lambda key: GOOD + member("e", text(key), kind=b"7") + END,
    long_name_then_record=lambda key: long_name(b"n" * 200) + pax((b"mtime", b"1")) + member("e", text(key)) + END,
    long_link=lambda key: long_name(b"/x/" + key, b"K") + header("l", 0, b"2") + END,
    key_in_attribute=lambda key: pax((b"SCHILY.xattr.user.note", key)) + member("e", b"x") + END,
    key_in_link_record=lambda key: pax((b"linkpath", b"/x/" + key)) + header("l", 0, b"2") + END,
    key_in_unknown_record=lambda key: pax((b"VENDOR.note", key)) + member("e", b"x") + END,
    key_in_global_comment=lambda key: pax((b"comment", key), kind=b"g") + GOOD + END,
    key_in_name=lambda key: header(b"app/" + key) + END,
    key_at_the_end_of_a_full_name=lambda key: header(b"d/" + b"x" * 69 + b"/" + key) + END,
    key_at_the_end_of_a_full_link=lambda key: header("l", 0, b"2", link=b"d" * 71 + b"/" + key) + END,
    key_at_the_end_of_a_full_owner=lambda key: header("e", at={265: b"own " + key, 297: b"group"}) + END,
    key_in_prefix=lambda key: header(b"x", at={345: b"p/" + key}) + END,
    whiteout_with_data=lambda key: GOOD + member("etc/.wh.x", text(key)) + END,
    opaque_with_data=lambda key: GOOD + member("etc/.wh..wh..opq", text(key)) + END,
    aufs_file_with_data=lambda key: GOOD + member(".wh..wh.aufs", text(key)) + END,
    hard_link_to_whiteout=lambda key: GOOD + header("h", 0, b"1", link=b"etc/.wh.x") + member("e", text(key)) + END,
    same_name_twice=lambda key: member("e", text(key)) + member("e", b"redacted\n") + END,
    same_name_as_directory=lambda key: member("e", text(key)) + header("e/", 0, b"5") + END,
    empty_names=lambda key: member("", text(key)) + member(".", b"x") + member("/", b"y") + END,
    parents_in_name=lambda key: member("../../root/.env", text(key)) + END,
    absolute_name=lambda key: member("/root/.env", text(key)) + END,
    link_out_then_file_through_it=lambda key: header("l", 0, b"2", link=b"/tmp") + member("l/x", text(key)) + END,
    link_loops=lambda key: header("a", 0, b"1", link=b"b")
    + header("b", 0, b"1", link=b"a") + header("s", 0, b"2", link=b"s") + member("e", text(key)) + END,
    devices=lambda key: header("n", 0, b"3") + header("f", 0, b"6") + header("b", 0, b"4")
    + member("e", text(key)) + END,
)  # fmt: skip
raw_layers(
    SAID,
    many_long_names=lambda key: long_name(b"n") * 4000 + member("e", text(key)) + END,
    many_extended_headers=lambda key: pax((b"comment", b"x")) * 4000 + member("e", text(key)) + END,
    extended_header_too_large=lambda key: header("x", 2 << 20, b"x") + bytes(2 << 20) + plain(key),
    extended_header_without_end=lambda key: member("e", text(key)) + header("x", 2000, b"x") + b"12 path=x\n",
    record_of_length_zero=lambda key: header("x", 9, b"x") + padded(b"0 path=x\n") + member("e", text(key)) + END,
    record_of_many_digits=lambda key: header("x", 100_000, b"x") + padded(b"1" * 100_000) + plain(key),
    record_without_newline=lambda key: header("x", 8, b"x") + padded(b"8 a=bcde") + plain(key),
    name_record_with_nul=lambda key: pax((b"path", b"root/.env\0.png")) + member("e", text(key)) + END,
)  # fmt: skip
raw_layers(
    FOUND,
    key_in_padding=lambda key: header("e", 3) + b"abc" + (b" " + key).ljust(509, b"\0") + END,
    key_half_in_padding=lambda key: header("e", 20) + padded(text(key)) + NEXT + END,
    last_key_half_in_padding=lambda key: GOOD + header("e", 20) + padded(text(key)) + END,
)  # fmt: skip

# -- sparse members --------------------------------------------------------------------------------------------------

for minor, form in ((0, "00"), (1, "01"), (10, "10")):
    raw_layers(WHOLE, **{
        f"sparse_{form}": lambda key, minor=minor: sparse_pax(b"s", [(4096, text(key))], minor) + NEXT + END,
        f"sparse_{form}_key_behind_a_hole": lambda key, minor=minor: sparse_pax(
            b"s", [(0, b"A" * 512), (4096, key + b" ")], minor) + NEXT + END,
    })  # fmt: skip
raw_layers(
    WHOLE,
    sparse_old_form=lambda key: sparse_old("s", [(0, b"A" * 512), (4096, text(key))]) + NEXT + END,
    sparse_old_key_behind_a_hole=lambda key: sparse_old("s", [(0, b"A" * 512), (4096, key + b" ")]) + NEXT + END,
    sparse_old_runs_without_a_hole=lambda key: sparse_old("s", [(0, text(key)[:20]), (20, text(key)[20:])])
    + NEXT + END,
)  # fmt: skip
raw_layers(
    FOUND,
    sparse_hole_where_no_tool_puts_one=lambda key: sparse_old("s", [(0, b"start"), (4096, text(key))]) + NEXT + END,
)
raw_layers(
    SAID,
    sparse_map_of_nothing=lambda key: header("s", 512, b"S", GNU, at={386: b"%011o\0%011o\0" % (0, 0)})
    + padded(text(key)) + NEXT + END,
    sparse_count_too_large=lambda key: pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"))
    + member("s", b"1000000000\n" + b"0\n" * 90) + plain(key),
    sparse_map_without_newline=lambda key: pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"))
    + member("s", b"5") + plain(key),
    sparse_map_no_numbers=lambda key: pax((b"GNU.sparse.map", b"0,a")) + member("s", text(key)) + END,
    sparse_map_without_end=lambda key: member("e", text(key)) + header("s", 0, b"S", GNU, at={482: b"\1"})
    + (b"1" * 504 + b"\1" * 8) * 30,
    sparse_map_far_too_long=lambda key: member("e", text(key)) + header("s", 0, b"S", GNU, at={482: b"\1"})
    + (b"1" * 504 + b"\1" * 8) * 6000,
)  # fmt: skip

# -- compressed streams ----------------------------------------------------------------------------------------------


def zstd(data: bytes) -> bytes:
    """A zstd frame with a checksum."""
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def skippable(data: bytes, number: int = 0) -> bytes:
    """A skippable zstd frame."""
    return struct.pack("<II", 0x184D2A50 + number, len(data)) + data


def packed(key: bytes) -> bytes:
    """A line with the key, as gzip that does not hold it as it is."""
    data = text(key)
    return gzip.compress(b"".join(data[at : at + 7] + b"|" for at in range(0, len(data), 7)) + data, mtime=0)


def gzip_with_extra(stream: bytes, data: bytes) -> bytes:
    """A gzip member with an extra field."""
    extra = struct.pack("<HHH", len(data) + 4, 0x4241, len(data)) + data
    return stream[:3] + b"\4" + stream[4:10] + extra + stream[10:]


def with_dictionary(data: bytes) -> bytes:
    """A zstd frame that needs a dictionary."""
    samples = [b"line %d of many words" % number for number in range(2000)]
    return zstandard.ZstdCompressor(dict_data=zstandard.train_dictionary(2048, samples)).compress(data)


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0), "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd,
}  # fmt: skip
for form, pack in PACK.items():
    stored_layers(WHOLE, **{
        f"{form}_layer": lambda key, pack=pack: pack(plain(key)),
        f"{form}_of_two_parts": lambda key, pack=pack: pack(plain(key)[:700]) + pack(plain(key)[700:]),
        f"{form}_with_an_empty_part": lambda key, pack=pack: pack(b"") + pack(plain(key)) + pack(b""),
    })  # fmt: skip
    stored_layers(SAID, **{
        f"{form}_cut": lambda key, pack=pack: pack(plain(key) + random.Random(1).randbytes(9000))[:4000],
        f"{form}_and_bytes_behind_it": lambda key, pack=pack: pack(plain(b"")) + text(key),
        f"{form}_and_another_form": lambda key, pack=pack: pack(plain(key)) + lzma.compress(b"x", lzma.FORMAT_ALONE),
        f"{form}_of_junk": lambda key, pack=pack: pack(b"")[:8] + text(key),
    })  # fmt: skip
for flags in (1, 2, 4, 8, 16, 31):
    stored_layers(WHOLE, **{
        f"gzip_header_fields_{flags}": lambda key, flags=flags: gzip_with_fields(flags, PACK["gzip"](plain(key)))})
stored_layers(
    WHOLE,
    gzip_and_zeros=lambda key: PACK["gzip"](plain(key)) + bytes(3000),
    gzip_stored_blocks=lambda key: gzip.compress(plain(key), 0, mtime=0),
    gzip_many_empty_parts=lambda key: PACK["gzip"](b"") * 3000 + PACK["gzip"](plain(key)),
    xz_and_padding=lambda key: lzma.compress(plain(key)[:512]) + bytes(8) + lzma.compress(plain(key)[512:]) + bytes(4),
    bzip2_smallest_blocks=lambda key: bz2.compress(plain(key), 1),
    zstd_skippable_first=lambda key: skippable(b"index") + zstd(plain(key)),
    zstd_skippable_between=lambda key: zstd(plain(key)[:600]) + skippable(b"x", 15) + zstd(plain(key)[600:]),
    zstd_without_checksum=lambda key: zstandard.ZstdCompressor(write_content_size=False).compress(plain(key)),
)  # fmt: skip
stored_layers(
    FOUND,
    gzip_key_in_name=lambda key: gzip_with_fields(8, PACK["gzip"](plain(b"")), b"/" + key),
    gzip_key_in_a_long_name=lambda key: gzip_with_fields(8, PACK["gzip"](plain(b"")), b"n" * 3_000_000 + b" " + key),
    gzip_reserved_flag=lambda key: PACK["gzip"](plain(key))[:3] + b"\xe0" + PACK["gzip"](plain(key))[4:],
    zstd_key_in_skippable=lambda key: zstd(plain(b"")) + skippable(b"note " + key),
    zstd_key_packed_in_skippable=lambda key: zstd(plain(b"")) + skippable(b"index " + packed(key)),
    gzip_key_packed_in_extra_field=lambda key: gzip_with_extra(PACK["gzip"](plain(b"")), packed(key)),
)
stored_layers(
    SAID,
    gzip_wrong_checksum=lambda key: PACK["gzip"](plain(key))[:-8] + bytes(4) + PACK["gzip"](plain(key))[-4:],
    gzip_wrong_length=lambda key: PACK["gzip"](plain(key))[:-4] + bytes(4),
    gzip_unknown_method=lambda key: b"\x1f\x8b\x07" + PACK["gzip"](plain(key))[3:],
    zstd_dictionary=lambda key: with_dictionary(plain(key)),
    zstd_skippable_cut=lambda key: zstd(plain(key)) + skippable(b"x" * 100)[:40],
    zstd_skippable_swallows=lambda key: struct.pack("<II", 0x184D2A50, 1 << 30) + zstd(plain(key)),
    zstd_window_too_large=lambda key: b"\x28\xb5\x2f\xfd\0" + bytes([20 << 3]) + zstd(plain(key))[6:],
    zstd_old_magic=lambda key: b"\x27" + zstd(plain(key))[1:],
    xz_of_unknown_check=lambda key: lzma.compress(plain(key))[:7] + b"\x0e" + lzma.compress(plain(key))[8:],
    lz4=lambda key: b"\x04\x22\x4d\x18" + bytes(60),
    lzma_alone=lambda key: lzma.compress(plain(key), lzma.FORMAT_ALONE),
    unix_compress=lambda key: b"\x1f\x9d\x90" + bytes(60),
)  # fmt: skip


# -- documents -------------------------------------------------------------------------------------------------------


def configured(key: bytes, config: bytes) -> bytes:
    """A docker-archive whose config has these bytes."""
    return replace(image_of(layer(raw=plain(key))), config=config).docker_archive()


def extra(key: bytes, value: bytes, name: bytes = b'"x"') -> bytes:
    """A docker-archive whose config has one member more."""
    return configured(key, image_of(layer(raw=plain(key))).config[:-1] + b", " + name + b": " + value + b"}")


def with_config(**more: Any) -> BuiltImage:
    """An image with keys in its config."""
    return image_of(layer({"a": "b"}), config=more)


WITH_DOCUMENTS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "duplicate_key": (SAID, lambda key: configured(b"", b'{"config": {"Env": ["' + key + b'"]}, '
                                                   + image_of(layer(raw=plain(b""))).config[1:])),
    "second_spelling": (SAID, lambda key: extra(b"", b'{"Env": ["' + key + b'"]}', b'"Config"')),
    "deep_config": (SAID, lambda key: extra(key, b"[" * 200_000 + b"]" * 200_000)),
    "huge_integer": (SAID, lambda key: extra(key, b"9" * 5000)),
    "not_a_number": (SAID, lambda key: extra(key, b"NaN")),
    "infinity": (SAID, lambda key: extra(key, b"-Infinity")),
    "byte_order_mark": (SAID, lambda key: configured(key, b"\xef\xbb\xbf" + image_of(layer(raw=plain(key))).config)),
    "utf_16": (SAID, lambda key: configured(key, image_of(layer(raw=plain(key))).config.decode().encode("utf-16"))),
    "config_is_an_array": (SAID, lambda key: configured(key, b"[]")),
    "config_is_a_number": (SAID, lambda key: configured(key, b"42")),
    "config_is_empty": (SAID, lambda key: configured(key, b"")),
    "config_too_large": (SAID, lambda key: extra(key, b'"' + b"x" * (5 << 20) + b'"')),
    "lone_surrogate": (FOUND, lambda key: with_config(x="\ud800", y=key.decode()).docker_archive()),
    "key_in_unknown_member": (WHOLE, lambda key: with_config(moby={"deep": [{"er": key.decode()}]}).docker_archive()),
    "key_as_name_of_member": (WHOLE, lambda key: with_config(**{key.decode(): 1}).docker_archive()),
    "key_escaped": (WHOLE, lambda key: configured(b"", image_of(layer(raw=plain(b""))).config.replace(
        b"PATH=/bin", b"".join(b"\\u%04x" % byte for byte in key)))),
    "key_in_history": (WHOLE, lambda key: image_of(
        layer({"a": "b"}), history=[{"created_by": "RUN x", "comment": key.decode()}]).docker_archive()),
    "key_in_annotation": (WHOLE, lambda key: image_of(layer({"a": ""}), annotations={"n": key.decode()}).oci_archive()),
    "key_as_name_of_annotation": (WHOLE, lambda key: image_of(
        layer({"a": ""}), annotations={key.decode(): "x"}).oci_archive()),
    "key_in_descriptor_s_annotation": (WHOLE, lambda key: described(
        image_of(layer({"a": ""})), annotations={"x": key.decode()})),
    "key_in_data_of_a_descriptor": (WHOLE, lambda key: described(image_of(layer({"a": ""})), note=key.decode())),
    "size_too_small": (SAID, lambda key: described(image_of(layer(raw=plain(key))), size=1024)),
    "size_too_large": (SAID, lambda key: described(image_of(layer(raw=plain(key))), size=1 << 40)),
    "size_negative": (SAID, lambda key: described(image_of(layer(raw=plain(key))), size=-1)),
    "size_a_float": (SAID, lambda key: described(image_of(layer(raw=plain(key))), size=1e300)),
    "size_a_string": (SAID, lambda key: described(image_of(layer(raw=plain(key))), size="12")),
    "size_a_boolean": (SAID, lambda key: described(image_of(layer(raw=plain(key))), size=True)),
    "size_past_int64": (SAID, lambda key: described(image_of(layer(raw=plain(key))), size=1 << 63)),
    "digest_in_capitals": (SAID, lambda key: described(image_of(layer(raw=plain(key))), digest="sha256:" + "A" * 64)),
    "digest_of_unknown_kind": (SAID, lambda key: described(image_of(layer(raw=plain(key))), digest="md5:" + "0" * 32)),
    "digest_a_path": (SAID, lambda key: described(image_of(layer(raw=plain(key))), digest="sha256:../../etc/passwd")),
    "digest_too_short": (SAID, lambda key: described(image_of(layer(raw=plain(key))), digest="sha256:" + "0" * 63)),
    "digest_missing": (SAID, lambda key: described(image_of(layer(raw=plain(key))), digest=None)),
    "media_type_lies_zstd": (WHOLE, lambda key: described(
        image_of(layer(raw=plain(key), compression="gz")), mediaType=OCI_LAYER + "+zstd")),
    "media_type_lies_plain": (WHOLE, lambda key: described(
        image_of(layer(raw=plain(key), compression="xz")), mediaType=OCI_LAYER)),
    "media_type_unknown": (FOUND, lambda key: described(
        image_of(layer(raw=plain(key), compression="gz")), mediaType="text/x-unheard-of")),
    "layer_of_another_diff_id": (SAID, lambda key: image_of(
        layer(raw=plain(key), diff_id="sha256:" + "0" * 64)).docker_archive()),
    "encrypted": (SAID, lambda key: described(
        image_of(layer(raw=plain(key))), mediaType=OCI_LAYER + "+encrypted")),
    "foreign": (SAID, lambda key: oci(image_of(layer(raw=plain(key))), dumps({
        **json.loads(image_of(layer(raw=plain(key))).manifest()), "layers": [{
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "size": 9,
            "digest": "sha256:" + "1" * 64, "urls": ["http://127.0.0.1:9/x"]}]}))),
    "artifact": (FOUND, lambda key: described(
        image_of(layer(raw=text(key))), mediaType="application/vnd.cncf.helm.values.v1+yaml")),
    "index_and_manifest": (SAID, lambda key: oci(image_of(layer(raw=plain(key))), dumps({
        **json.loads(image_of(layer(raw=plain(key))).manifest()), "manifests": []}))),
    "index_is_a_manifest": (SAID, lambda key: tar_of(*layout_members(
        image_of(layer(raw=plain(key))), index=image_of(layer(raw=plain(key))).manifest()))),
    "index_is_an_array": (SAID, lambda key: tar_of(*layout_members(image_of(layer(raw=plain(key))), index=b"[]"))),
    "index_of_nothing": (SAID, lambda key: tar_of(*layout_members(image_of(layer(raw=plain(key))), index=b"{}"))),
    "manifest_missing": (SAID, lambda key: oci(image_of(layer(raw=plain(key))), manifests=[
        {"mediaType": OCI_MANIFEST, "digest": "sha256:" + "2" * 64, "size": 9}])),
    "manifest_json_is_a_number": (SAID, lambda key: tar_of(
        *image_of(layer(raw=plain(key))).docker_members(manifest=b"42"))),
    "layers_of_wrong_types": (SAID, lambda key: tar_of(*image_of(layer(raw=plain(key))).docker_members(
        manifest=[{"Config": "x", "Layers": [None, 7, {}]}]))),
    "layers_null": (FOUND, lambda key: tar_of(*image_of(layer(raw=plain(key))).docker_members(
        manifest=[{"Config": "x", "Layers": None}]))),
}  # fmt: skip
CASES |= {name: Case(*known) for name, known in WITH_DOCUMENTS.items()}


@case(SAID)
def manifest_larger_than_its_digest(key: bytes) -> bytes:
    """A blob that is not what its name says."""
    image = image_of(layer(raw=plain(key)))
    raw = image.manifest()
    members = [replace(m, data=raw + b" ") if m.data == raw else m for m in image.oci_members()]
    return tar_of(*members)


@case(SAID)
def attestation_of_another_digest(key: bytes) -> bytes:
    """A statement whose bytes are others than its descriptor says."""
    statement = dumps({"_type": "https://in-toto.io/Statement/v0.1"})
    image = image_of(layer({"a": "b"}), layer(raw=statement, media_type="application/vnd.in-toto+json"))
    members = [replace(m, data=m.data + b" ") if m.data == statement else m for m in image.oci_members()]
    return tar_of(*members)


@case(FOUND)
def attestation_with_key(key: bytes) -> bytes:
    """Build arguments in a provenance statement."""
    statement = dumps({"predicate": {"args": {"build-arg:TOKEN": key.decode()}}})
    return image_of(layer({"a": "b"}), layer(raw=statement, media_type="application/vnd.in-toto+json")).oci_archive()


@case(WHOLE)
def layer_of_a_sha512_digest(key: bytes) -> bytes:
    """sha512 is a registered algorithm."""
    return _sha512(plain(key), plain(key))


@case(SAID)
def layer_of_a_wrong_sha512_digest(key: bytes) -> bytes:
    """The other algorithm is checked too."""
    return _sha512(plain(key), plain(key) + bytes(512))


def _sha512(content: bytes, kept: bytes) -> bytes:
    image = image_of(layer(raw=content))
    digest = f"sha512:{hashlib.sha512(content).hexdigest()}"
    document = json.loads(image.manifest())
    document["layers"][0].update(digest=digest, size=len(kept))
    raw = dumps(document)
    index = dumps({"schemaVersion": 2, "manifests": [descriptor_of(raw, OCI_MANIFEST)]})
    members = [m for m in layout_members(image, index=index, blobs=[raw])
               if m.name not in (blob_path(sha256(content)), blob_path(sha256(image.manifest())))]  # fmt: skip
    return tar_of(*members, file(blob_path(digest), kept))


@case(SAID)
def index_deeper_than_allowed(key: bytes) -> bytes:
    """Indexes in indexes."""
    image = image_of(layer(raw=plain(key)))
    blobs = [image.manifest()]
    for _ in range(8):
        blobs.append(dumps({"schemaVersion": 2, "manifests": [descriptor_of(blobs[-1], OCI_MANIFEST)]}))
    return tar_of(*layout_members(image, index=blobs[-1], blobs=blobs))


@case(FOUND)
def index_that_names_one_manifest_often(key: bytes) -> bytes:
    """A repeated entry is read once."""
    image = image_of(layer(raw=plain(key)))
    return oci(image, manifests=[descriptor_of(image.manifest(), OCI_MANIFEST)] * 400)


@case(FOUND)
def secret_in_a_platform_nobody_runs(key: bytes) -> bytes:
    """All platforms that are there are scanned."""
    return tar_of(*layout_members(image_of(layer({"a": "b"})), image_of(layer(raw=plain(key)), platform="plan9/mips")))


# -- archives --------------------------------------------------------------------------------------------------------


def listing(image: BuiltImage, *layers: str) -> list[dict[str, Any]]:
    """A manifest.json that names these members."""
    return [{"Config": f"{image.config_digest[7:]}.json", "RepoTags": None, "Layers": list(layers)}]


def outer(key: bytes, *names: str, more: tuple[Member, ...] = (), layers: int = 1) -> bytes:
    """A docker-archive whose manifest.json names other members."""
    image = image_of(*[layer(raw=plain(key))] * layers)
    return tar_of(*more, *image.docker_members(manifest=listing(image, *names)))


ARCHIVES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "layer_is_traversal": (SAID, lambda key: outer(key, "../../../../etc/passwd")),
    "layer_is_absolute": (SAID, lambda key: outer(key, "/etc/passwd")),
    "layer_is_empty_name": (SAID, lambda key: outer(key, "")),
    "layer_is_directory": (SAID, lambda key: outer(key, "d", more=(directory("d"),))),
    "layer_is_link_out": (SAID, lambda key: outer(key, "l", more=(symlink("l", "../../../etc/passwd"),))),
    "layer_is_link_loop": (SAID, lambda key: outer(key, "a", more=(symlink("a", "b"), symlink("b", "a")))),
    "layer_is_link_to_itself": (SAID, lambda key: outer(key, "a/b", more=(symlink("a", "a"),))),
    "layer_is_hard_link_to_nothing": (SAID, lambda key: outer(key, "h", more=(hardlink("h", "nowhere"),))),
    "layer_is_fifo": (SAID, lambda key: outer(key, "f", more=(Member("f", kind=b"6"),))),
    "layer_through_links": (WHOLE, lambda key: outer(
        key, "one/layer.tar",
        more=(file("real/layer.tar", plain(key)), symlink("one", "two"), symlink("two", "real")))),
    "layer_by_hard_link": (FOUND, lambda key: outer(
        key, "h", more=(file("real.tar", plain(key)), hardlink("h", "real.tar")))),
    "layer_listed_twice": (FOUND, lambda key: outer(
        key, "l.tar", "l.tar", more=(file("l.tar", plain(key)),), layers=2)),
    "layer_missing": (SAID, lambda key: outer(key, "nowhere.tar")),
    "member_twice": (FOUND, lambda key: outer(
        key, "l.tar", more=(file("l.tar", plain(b"")), file("l.tar", plain(key))))),
    "member_twice_key_first": (FOUND, lambda key: outer(
        b"", "l.tar", more=(file("l.tar", plain(key)), file("l.tar", plain(b""))))),
    "orphan_layer": (FOUND, lambda key: outer(b"", "l.tar", more=(file("l.tar", plain(b"")), file("o", plain(key))))),
    "orphan_compressed_layer": (FOUND, lambda key: outer(
        b"", "l.tar", more=(file("l.tar", plain(b"")), file("o", gzip.compress(plain(key)))))),
    "key_in_outer_name": (FOUND, lambda key: outer(
        b"", "l.tar", more=(file("l.tar", plain(b"")), directory(key.decode())))),
    "key_in_outer_padding": (FOUND, lambda key: header("e", 1) + b"a" + (b" " + key).ljust(511, b"\0")
                             + image_of(layer({"a": "b"})).docker_archive()),
    "outer_bad_checksum": (SAID, lambda key: header("x")[:148] + bytes(8) + header("x")[156:]
                           + image_of(layer(raw=plain(key))).docker_archive()),
    "outer_cut": (SAID, lambda key: image_of(layer(raw=plain(key))).docker_archive().rstrip(b"\0")[:-3]),
    "outer_cut_in_the_middle": (SAID, lambda key: image_of(layer(raw=plain(key))).docker_archive()[:4000]),
    "outer_trailing": (SAID, lambda key: image_of(layer({"a": "b"})).docker_archive() + text(key)),
    "outer_without_end": (WHOLE, lambda key: image_of(layer(raw=plain(key))).docker_archive().rstrip(b"\0").ljust(
        -(-len(image_of(layer(raw=plain(key))).docker_archive().rstrip(b"\0")) // 512) * 512, b"\0")),
    "outer_gzip": (WHOLE, lambda key: gzip.compress(image_of(layer(raw=plain(key))).docker_archive())),
    "outer_xz": (WHOLE, lambda key: lzma.compress(image_of(layer(raw=plain(key))).docker_archive())),
    "outer_bzip2": (WHOLE, lambda key: bz2.compress(image_of(layer(raw=plain(key))).docker_archive())),
    "outer_zstd": (WHOLE, lambda key: zstd(image_of(layer(raw=plain(key))).oci_archive())),
    "outer_gzip_twice": (SAID, lambda key: gzip.compress(gzip.compress(image_of(layer(raw=plain(key))).oci_archive()))),
    "outer_gzip_cut": (SAID, lambda key: gzip.compress(image_of(layer(raw=plain(key))).docker_archive())[:-20]),
    "outer_lzma": (SAID, lambda key: lzma.compress(image_of(layer(raw=plain(key))).oci_archive(), lzma.FORMAT_ALONE)),
    "outer_lz4": (SAID, lambda key: b"\x04\x22\x4d\x18" + bytes(100)),
    "outer_empty": (SAID, lambda key: b""),
    "outer_zeros": (SAID, lambda key: bytes(10_240)),
    "outer_text": (SAID, lambda key: text(key) * 100),
    "outer_filesystem": (SAID, lambda key: plain(key)),
    "no_layers": (CLEAN, lambda key: image_of().docker_archive()),
    "empty_files": (CLEAN, lambda key: image_of(layer({".env": "", "root/.ssh/id_rsa": ""})).docker_archive()),
}  # fmt: skip
CASES |= {name: Case(*known) for name, known in ARCHIVES.items()}


@case(FOUND)
def thousand_layers(key: bytes) -> bytes:
    """One layer listed a thousand times."""
    image = image_of(*[layer(raw=plain(key))] * 1000)
    one = replace(image, layers=image.layers[:1])
    name = one.docker_members()[3].name
    return tar_of(*one.docker_members(manifest=listing(image, *[name] * 1000)))


# -- what comes out --------------------------------------------------------------------------------------------------


def outcome(path: Path, key: bytes) -> str:
    """What a scan says of an archive: found, whole, said or clean."""
    limits = fuzzing.LIMITS
    try:
        opened = open_image(str(path), limits=limits)
    except LeakscanError as error:
        refusal = error.what
        if not refusal or key.decode() in refusal + error.tip:
            pytest.fail("a refusal says nothing, or shows the key")
        return SAID
    try:
        detection = Detection(FirstPass(fuzzing.DETECTORS, fuzzing.DATABASE), "sha256:x")
        result = scan(opened, detection, Options(limits, 1, b"key", show_secrets=True))
    finally:
        opened.close()
    gaps = {gap.reason for gap in result.coverage.gaps}
    assert not any(reason.startswith("worker.") for reason in gaps), gaps
    assert gaps or result.coverage.accounted == result.coverage.total
    found = any(finding.secret.value == key.decode() for finding in result.findings)
    if found:
        return FOUND if gaps else WHOLE
    return SAID if gaps else CLEAN


ACCEPTED = {FOUND: (FOUND, WHOLE), WHOLE: (WHOLE,), SAID: (SAID, FOUND), CLEAN: (CLEAN,)}


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_image_hides_nothing(name: str, tmp_path: Path) -> None:
    """Found where an engine would show it, else named as not looked at."""
    key = fuzzing.new_key(random.Random(name))
    path = write(tmp_path / "image.tar", CASES[name].build(key))

    assert outcome(path, key) in ACCEPTED[CASES[name].expected]


@pytest.mark.parametrize("where", [-1, -100, 0, 1, 27, 28])
def test_a_key_across_a_window_is_found(where: int, tmp_path: Path) -> None:
    """Members larger than a window are looked at in windows that overlap."""
    from scanner.layer.walk import WINDOW

    key = fuzzing.new_key(random.Random(where))
    data = bytearray(b"." * (2 * WINDOW + 5000))
    data[WINDOW - where : WINDOW - where + len(key) + 2] = b" " + key + b" "
    path = write(tmp_path / "image.tar", image_of(layer({"big": bytes(data)})).docker_archive())

    assert outcome(path, key) == WHOLE


def _directory(tmp_path: Path, image: BuiltImage) -> Path:
    return image.oci_dir(tmp_path / "layout")


def test_a_directory_with_odd_things_in_it_blocks_nothing(tmp_path: Path) -> None:
    """Pipes, sockets, links out and unreadable files in a layout are gaps; none is opened or followed."""
    key = fuzzing.new_key(random.Random(1))
    layout = _directory(tmp_path, image_of(layer({"root/.env": text(key)})))
    os.mkfifo(layout / "pipe")
    (layout / "out").symlink_to("/etc/passwd")
    (layout / "loop").symlink_to("loop")
    (layout / "up").symlink_to("..")

    assert outcome(layout, key) == FOUND


def test_a_layer_that_is_a_pipe_is_missing(tmp_path: Path) -> None:
    """A blob that is no file is not opened."""
    key = fuzzing.new_key(random.Random(2))
    image = image_of(layer({"root/.env": text(key)}))
    layout = _directory(tmp_path, image)
    blob = layout / blob_path(image.layers[0].digest)
    blob.unlink()
    os.mkfifo(blob)

    assert outcome(layout, key) == SAID


def test_a_layout_of_more_files_than_descriptors(tmp_path: Path) -> None:
    """Files are opened when they are read, and closed again."""
    key = fuzzing.new_key(random.Random(3))
    layout = _directory(tmp_path, image_of(layer({"root/.env": text(key)})))
    for number in range(1500):
        (layout / f"f{number}").write_bytes(b"{}" if number % 2 else b"x" * 100_000 if number < 20 else b"x")

    code = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256));"
        "sys.argv[1:] = ['--format', 'json', '--no-progress', sys.argv[1]];"
        "runpy.run_module('scanner', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(layout)], capture_output=True, text=True, timeout=120)

    assert done.returncode in (0, 1), done.stderr
    assert json.loads(done.stdout)["coverage"]["complete"] is True


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "/proc/self/mem"])
def test_a_device_is_refused(name: str, leakscan: Leakscan) -> None:
    """What is no file and no directory is not read."""
    done = leakscan("--no-progress", name)

    assert done.returncode == 3
    assert "Traceback" not in done.stderr and done.stderr.startswith("leakscan: ")


HOSTILE_NAMES = {
    "escape": b"app/\x1b[2K\x1b[1Aclean\x07.env",
    "carriage": b"app/a\rb.env",
    "newline": b"app/a\n::error file=x::injected.env",
    "workflow": b"::error::injected\n##[error]x",
    "bidi": "app/‮gnp.env⁦​".encode(),
    "separators": "app/a\u2028b\u2029c\x85d".encode(),
    "not_utf8": b"app/\xff\xfe\x80.env",
    "surrogate": b"app/\xed\xa0\x80.env",
    "html": b'app/<img src=x onerror=alert(1)>"|](javascript:1)`%0A#?.env',
    "formula": b"=cmd|' /C calc'!A0",
    "long": b"a/" * 16_000 + b".env",
    "percent": b"app/%s%n%(x)s{0}.env",
}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_name_injects_nothing(name: str, form: str, tmp_path: Path, leakscan: Leakscan) -> None:
    """Nothing that moves a cursor, reverses reading or starts a line of its own comes out of a name."""
    chance = random.Random(name)
    token = _aws(chance)
    content = (long_name(HOSTILE_NAMES[name]) + member("x", token, magic=GNU) + long_name(HOSTILE_NAMES[name])
               + member("y", b"x", kind=b"Z", magic=GNU) + END)  # fmt: skip
    path = write(tmp_path / "image.tar", image_of(layer(raw=content)).docker_archive())

    done = leakscan("--format", form, "--no-progress", path)

    assert done.returncode == 1, done.stderr
    for out in (done.stdout, done.stderr):
        assert all(char.isprintable() or char == "\n" for char in out)
        assert not any(line.lstrip().startswith(("::", "##[")) for line in out.splitlines())
    if form == "json":
        assert done.stdout.isascii()


def _aws(chance: random.Random) -> bytes:
    """A made-up key pair in the file that the AWS tools read."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    name = "AK" + "IA" + "".join(chance.choice(letters) for _ in range(16))
    secret = base64.b64encode(chance.randbytes(30)).decode()
    return f"[default]\naws_access_key_id = {name}\naws_secret_access_key = {secret}\n".encode()


# -- much of everything: memory and time of the whole program ----------------------------------------------------------


def zeros(pack: str, size: int, head: bytes, tail: bytes) -> bytes:
    """head, *size* zeros and tail as one compressed stream, made piece by piece."""
    new: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.compressobj(9, zlib.DEFLATED, 31), "bzip2": bz2.BZ2Compressor,
        "xz": lambda: lzma.LZMACompressor(preset=0), "zstd": lambda: zstandard.ZstdCompressor().compressobj(),
    }  # fmt: skip
    coder, block = new[pack](), bytes(1 << 20)
    parts = [coder.compress(head), *(coder.compress(block) for _ in range(size >> 20)), coder.compress(tail)]
    return b"".join([*parts, coder.flush()])


def _bomb(pack: str) -> Callable[[bytes], bytes]:
    media = {"gzip": "+gzip", "zstd": "+zstd"}.get(pack, "")
    return lambda key: stored(
        b"", zeros(pack, 1 << 30, member("e", key) + END, b""), OCI_LAYER + media
    ).docker_archive()


def _configured(value: bytes) -> Callable[[bytes], bytes]:
    return lambda _: extra(b"", b"[" + value * ((3 << 20) // len(value)) + b"0]")


def _padded_manifests(key: bytes) -> bytes:
    image = image_of(layer(raw=plain(key)))
    raws = [image.manifest()[:-1] + b" " * ((3 << 20) + number) + b"}" for number in range(60)]
    index = dumps({"schemaVersion": 2, "manifests": [descriptor_of(raw, OCI_MANIFEST) for raw in raws]})
    return gzip.compress(tar_of(*layout_members(image, index=index, blobs=raws)), 1)


def _outer_members(key: bytes) -> bytes:
    image = image_of(layer(raw=plain(key)))
    return tar_of(*[file(f"f{number}", b"x") for number in range(60_000)], *image.oci_members())


MUCH: dict[str, tuple[Callable[[bytes], bytes], float]] = {
    **{f"bomb_{pack}": (_bomb(pack), BOMB_SECONDS) for pack in PACK},
    "large_long_name": (lambda key: stored(b"", zeros(
        "gzip", 512 << 20, GOOD + header("L", 512 << 20, b"L", GNU), plain(key))).docker_archive(), BOMB_SECONDS),
    "large_file": (lambda key: stored(b"", zeros(
        "gzip", 300 << 20, GOOD + header("big", (300 << 20) + len(key)), padded(key) + END)).docker_archive(),
        BOMB_SECONDS),
    "many_members": (lambda key: image_of(layer(raw=b"".join(
        header(f"d/{number}") for number in range(60_000)) + plain(key), compression="gz")).docker_archive(), SECONDS),
    "many_outer_members": (_outer_members, SECONDS),
    "many_global_records": (lambda key: stored(b"", gzip.compress(pax(
        *[(b"k%d" % n, b"v" * 20) for n in range(20_000)], kind=b"g") + header("f") * 3000 + plain(key))
        ).docker_archive(), SECONDS),
    "many_small_streams": (lambda key: stored(b"", gzip_with_fields(8, gzip.compress(b"")) * 200_000
                                              + gzip.compress(plain(key))).docker_archive(), SECONDS),
    "many_skippable_frames": (lambda key: stored(b"", skippable(b"") * 500_000 + zstd(plain(key)),
                                                 OCI_LAYER + "+zstd").docker_archive(), SECONDS),
    "bomb_of_lz4_in_a_file": (lambda key: image_of(layer(
        {"e": lz4.frame.compress(bytes(512 << 20)), "f": text(key)})).docker_archive(), BOMB_SECONDS),
    "bomb_of_brotli_in_a_file": (lambda key: image_of(layer(
        {"e.br": brotli.compress(bytes(1 << 30), quality=1), "f": text(key)})).docker_archive(), BOMB_SECONDS),
    "many_empty_frames_of_lz4_in_a_file": (lambda key: image_of(layer(
        {"e": lz4.frame.compress(b"") * 300_000 + b"."})).docker_archive(), SECONDS),
    "many_skippable_frames_of_lz4_in_a_file": (lambda key: image_of(layer(
        {"e": skippable(b"") * 1_000_000 + lz4.frame.compress(b"x")})).docker_archive(), SECONDS),
    "many_short_blocks_of_lz4_in_a_file": (lambda key: image_of(layer(
        {"e": b"\x02\x21\x4c\x18" + b"\2\0\0\0\x10a" * 1_000_000})).docker_archive(), SECONDS),
    "many_strings": (_configured(b'"",'), SECONDS),
    "many_escaped_strings": (_configured(b'"\\n abcdefgh",'), SECONDS),
    "many_arrays": (_configured(b"[],"), SECONDS),
    "many_objects": (_configured(b'{"":0},'), SECONDS),
    "many_padded_manifests": (_padded_manifests, BOMB_SECONDS),
    "many_sparse_entries": (lambda key: image_of(layer(raw=pax(
        (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")) + member("s", padded(
            b"90000\n" + b"".join(b"%d\n1\n" % (2 * n) for n in range(90_000))) + b"x" * 90_000) + plain(key))
        ).docker_archive(), SECONDS),
}  # fmt: skip


@pytest.mark.parametrize("name", MUCH)
def test_much_of_everything_takes_little_memory(name: str, tmp_path: Path) -> None:
    """The program ends by itself with a clear result, and never takes more memory than promised."""
    build, seconds = MUCH[name]
    path = write(tmp_path / "image.tar", build(_aws(random.Random(name))))

    measure = measured(
        ["timeout", str(2 * seconds), sys.executable, "-m", "scanner", "--format", "json", "--no-progress", str(path)],
        os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")},
    )

    assert measure.code in (0, 1, 3), measure  # timeout gives 124
    assert measure.memory <= MEMORY, measure


def _bait() -> Iterator[bytes]:
    for prefix in (
        b"password=", b"-----BEGIN RSA " + b"PRIVATE KEY-----\n", b"eyJ", b"AK" + b"IA", b"https://a:", b"ghp_", b"{{",
        b"token: ", b" ", b'"', b"\\u0041", b"a" * 63 + b".", b"KEY=$", b"xoxb-", b"A" * 40 + b"\n",
    ):  # fmt: skip
        yield prefix * (600_000 // len(prefix)) + b"\n"


def test_repeated_prefixes_cost_no_time_without_end(tmp_path: Path, leakscan: Leakscan) -> None:
    """Rules run in linear time on text that is made to keep them busy, and a secret beside it is found."""
    content = {f"bait{number}": part for number, part in enumerate(_bait())}
    image = image_of(layer(content, {"root/.aws/credentials": _aws(random.Random(7))}, compression="gz"))
    path = write(tmp_path / "image.tar", image.docker_archive())

    done = leakscan("--format", "json", "--no-progress", path)

    assert done.returncode == 1
    paths = {finding["path"] for finding in json.loads(done.stdout)["findings"]}
    assert "root/.aws/credentials" in paths


# -- the shared cases --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SHARED, reason="LEAKSCAN_SHARED names no folder of hostile cases")
@pytest.mark.parametrize("form", [[], ["--as-oci"]])
def test_every_shared_case_is_right(form: list[str], tmp_path: Path) -> None:
    """Each case of the collection ends as it must, within memory and time."""
    tools = Path(SHARED) / "hostile"
    subprocess.run([sys.executable, tools / "make_hostile.py", *form, tmp_path], check=True, stdout=subprocess.DEVNULL)

    done = subprocess.run(
        [sys.executable, tools / "check.py", tmp_path, "--cmd", f"{sys.executable} -m scanner"],
        capture_output=True, text=True, env=os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")},
    )  # fmt: skip

    assert done.returncode == 0, done.stdout

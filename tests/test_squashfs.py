"""Squashfs images: every file, whether a directory names it or not, is given to the search, and damage is said."""

from __future__ import annotations

import base64
import gzip
import random
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.content.words import Content, Fault
from scanner.limits import KIB, Limits
from tests import fuzzing
from tests.builders import image_of, layer, write
from tests.squashimages import COMPRESSORS, Image, Odd, device, link
from tests.test_content_formats import MARK, faults, files, marks, opened, reasons, zipped
from tests.test_hostile import CLEAN, WHOLE, outcome

TEXT = MARK + bytes(random.Random(3).choices(b"abcdefgh \n", k=9000))
OTHER = bytes(random.Random(4).choices(b"ijklmnop \n", k=2000))
NOISE = random.Random(5).randbytes(6000)
TREE = {"a.txt": TEXT, "etc": {"note": MARK, "other": OTHER, "void": b""}, "noise": NOISE}
FILES = {"a.txt": TEXT, "etc/note": MARK, "etc/other": OTHER, "noise": NOISE}

#: made by mksquashfs 4.5.1 of a/note.txt, which holds the mark, with `-comp zstd -all-root -all-time 0 -mkfs-time 0
#: -no-xattrs`, without the zeros at its end
REAL = """
aHNxcwMAAAAAAAAAAAACAAEAAAAGABEAwAIBAAQAAABAAAAAAAAAACsBAAAAAAAAIwEAAAAAAAD//////////3wAAAAAAAAAswAAAAAAAADzAA
AAAAAAABUBAAAAAAAAYSBtYXJrIHRoYXQgc29tZWJvZHkgcGFja2VkCjUAKLUv/SBgZQEA8kEGDeDpADMAABYHEXBLKVM/LEf7z169X+ajGQYA
K4YYqutShoFMAtlc8AYsACi1L/0gMR0BAKLBBQzQ52DAORY4UTnbJin1wz8/3CxZ8ZY4AwBu9rewDAgBEIBgAAAAAAAAABwAAAEAAAAA4QAAAA
AAAAAYgCAAAAAAAAAAAAAAAAAAAABAAAAAAAAAAPsAAAAAAAAABIAAAAAAHQEAAAAAAAA=
"""


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_files_of_squashfs_images_are_searched(compressor: str, packed: bool, ends: bool, extended: bool) -> None:
    """Of one block and of several, with their ends in fragments or not, packed or not, with either kind of inode."""
    data = Image(TREE, compressor, packed, ends, extended).build()

    assert files(data) == FILES
    assert faults(data) == []


def test_an_image_of_mksquashfs_is_searched() -> None:
    """As the usual tool makes it."""
    data = base64.b64decode(REAL)

    assert files(data.ljust(4096, b"\0")) == {"a/note.txt": MARK}
    assert faults(data.ljust(4096, b"\0")) == []


def test_what_is_not_packed_has_the_place_of_its_bytes() -> None:
    """The proof of a finding is then the very bytes, in a block and in a fragment."""
    data = Image(TREE, packed=False).build()

    for name in ("etc/note", "etc/other"):
        [inner] = [inner for inner in opened(data) if isinstance(inner, Content) and inner.inside == (name,)]
        at, length = inner.place(0, len(inner.data))
        assert inner.verbatim
        assert data[at : at + length] == FILES[name]


def test_names_targets_and_attributes_are_searched() -> None:
    """Those of links, devices, pipes and sockets too."""
    odd = {f"kind{kind}": device(kind) for kind in (4, 5, 6, 7, 11, 12, 13, 14)}
    tree = {"dir": {"to": link(b"https://target/one"), "far": link(b"https://target/two", True), **odd}}
    data = Image(tree, attributes=b"\0\0\4\0note\x08\0\0\0a value!").build()

    told = b"\n".join(bytes(inner.data) for inner in opened(data) if isinstance(inner, Content))

    for word in (b"dir/to", b"https://target/one", b"https://target/two", b"dir/kind4", b"dir/kind14", b"a value!"):
        assert word in told
    assert faults(data) == []


def test_files_that_no_directory_names_are_searched() -> None:
    """They are in the table of inodes, and whoever mounts the image does not see them."""
    data = Image({"a": OTHER}, loose=(TEXT,)).build()

    assert [inside for inside, _ in marks(data)] == [()]


def test_holes_are_zeros() -> None:
    """Blocks of zeros are not stored; a long hole is given as a shorter one."""
    hole = Image({"a": bytes(8192) + MARK + bytes(4096)}).build()
    long = Image({"a": bytes(40 << 20) + MARK}, block_size=1 << 20).build()

    assert files(hole)["a"] == bytes(8192) + MARK + bytes(4096)
    assert files(long)["a"] == bytes(16 << 20) + MARK
    assert faults(hole) + faults(long) == []


def test_tables_of_many_blocks_are_read() -> None:
    """An inode may begin in one and end in the next."""
    tree = {f"dir{at}": {f"file{at}.{each}": b"%d" % each for each in range(40)} for at in range(40)}
    data = Image({**tree, "z": MARK}, packed=False).build()

    found = files(data)

    assert len(found) == 1601
    assert found["dir39/file39.39"] == b"39"
    assert found["z"] == MARK
    assert faults(data) == []


def test_a_compressor_that_is_not_understood_is_a_gap() -> None:
    """One that may come."""
    data = Image(TREE, fields={20: struct.pack("<H", 7)}).build()

    assert reasons(data) == ["nested.unknown"]


def test_directories_that_contain_themselves_end() -> None:
    """The root as its own entry, by the place of its inode."""
    image = Image({"a": TEXT, "loop": b"x"}, packed=False)
    data = bytearray(image.build())
    root, table = (int.from_bytes(data[at : at + 8], "little") for at in (32, 72))
    entry = data.index(b"loop", table) - 8
    data[entry : entry + 2] = struct.pack("<H", root & 0xFFFF)

    assert len(marks(bytes(data))) == 1
    assert faults(bytes(data)) == []


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (4, b"\xff\xff\xff\xff"), (4, b"\0\1\0\0"), (12, b"\1\0\0\0"), (22, b"\x11\0"), (32, b"\xff" * 8),
        (32, struct.pack("<Q", 7000)), (40, b"\xff" * 8), (64, b"\xff" * 8), (64, bytes(8)), (72, b"\xff" * 8),
        (72, bytes(8)), (80, b"\xff" * 8), (80, bytes(8)), (16, bytes(4)),
    ],
)  # fmt: skip
def test_superblocks_that_cannot_be_are_a_gap(at: int, value: bytes) -> None:
    """Counts and places that lead nowhere."""
    data = Image(TREE, fields={at: value}).build()

    assert set(reasons(data)) == {"nested.damaged"}


def test_damaged_blocks_give_what_they_have_and_a_gap() -> None:
    """In a file, at its end, and in the tables."""
    data = Image({"a": TEXT, "b": OTHER}).build()
    inodes = int.from_bytes(data[64:72], "little")

    cut = bytearray(data)
    cut[96 + 1500] ^= 0xFF
    assert [(reason, inside) for reason, inside, _ in faults(bytes(cut))] == [("nested.damaged", ("a",))]
    assert files(bytes(cut))["b"] == OTHER
    table = bytearray(data)
    table[inodes + 9] ^= 0xFF
    assert "nested.damaged" in reasons(bytes(table))
    assert "nested.damaged" in reasons(data[:inodes])
    assert reasons(data[:90]) == ["nested.damaged"]


@pytest.mark.parametrize(
    "inode",
    [
        struct.pack("<H", 99) + bytes(30),
        struct.pack("<H14x", 3) + struct.pack("<II", 1, 0xFFFFFFFF),
        struct.pack("<H14x", 2) + struct.pack("<IIII", 0, 0xFFFFFFFF, 0, 0xFFFFFFFF),
        struct.pack("<H14x", 9) + struct.pack("<QQQIIII", 0, 1 << 62, 0, 1, 0xFFFFFFFF, 0, 0),
        struct.pack("<H14x", 9) + struct.pack("<QQQIIII", 1 << 62, 5000, 0, 1, 9, 0, 0) + b"\xff\0\0\0",
        struct.pack("<H14x", 2) + struct.pack("<IIII", 96, 7, 0, 9),
        struct.pack("<H14x", 2) + struct.pack("<IIII", 96, 0, 1 << 31, 9),
        struct.pack("<H14x", 1) + struct.pack("<IIHHI", 1 << 30, 1, 99, 0, 1),
        struct.pack("<H14x", 1) + struct.pack("<IIHHI", 0, 1, 0xFFFF, 1 << 15, 1),
        struct.pack("<H14x", 8) + struct.pack("<IIIIHHI", 1, 0xFFFFFFFF, 0, 1, 0xFFFF, 0, 1),
    ],
)  # fmt: skip
def test_inodes_that_cannot_be_are_a_gap(inode: bytes) -> None:
    """Sizes, kinds and places that nothing has."""
    data = Image({"a": TEXT, "odd": Odd(inode)}).build()

    assert "nested.damaged" in reasons(data)
    assert files(data)["a"] == TEXT


def test_bombs_of_squashfs_end_at_the_limits() -> None:
    """In what comes out of blocks, in files and in names."""
    zeros = b"\1" + bytes(99)
    bomb = Image({"a": zeros * (1 << 20)}, ends=False, block_size=1 << 20).build()
    many = Image({str(at): MARK for at in range(50)}).build()

    assert "nested.ratio" in reasons(bomb)
    assert "nested.bytes" in reasons(Image(TREE).build(), replace(Limits(), nested_bytes=KIB))
    few = replace(Limits(), nested_entries=20)
    assert reasons(many, few) == ["nested.entries"]
    assert sum(isinstance(inner, Content) and bytes(inner.data) == MARK for inner in opened(many, limits=few)) == 20


def test_very_deep_directories_are_read() -> None:
    """Of their paths, the last names are told."""
    tree: dict[str, object] = {"note": MARK}
    for at in range(400):
        tree = {f"d{at}": tree}
    data = Image(tree, packed=False).build()  # type: ignore[arg-type]

    [(path,)] = [inside for inside, _ in marks(data)]

    assert path.startswith("d254/d253/")
    assert path.endswith("d0/note")
    assert faults(data) == []


def test_squashfs_images_nest_like_others() -> None:
    """An image in a zip archive, and an archive in an image."""
    data = zipped(("app.squashfs", Image({"etc": {"a.zip": zipped(("b", TEXT))}}).build()))

    assert ("app.squashfs", "etc/a.zip", "b") in [inside for inside, _ in marks(data)]


@pytest.mark.parametrize("behind", [b"", b"\n-- the end --\n"])
def test_a_squashfs_image_behind_a_program_is_searched(behind: bytes, tmp_path: Path) -> None:
    """As AppImages are made; offsets count from its own start."""
    key = fuzzing.new_key(random.Random(1))
    program = b"\x7fELF\2\1\1" + bytes(9) + random.Random(3).randbytes(5000)
    image = Image({"etc": {"settings": b"token = " + key + b"\n" + OTHER}}, "zstd").build()
    path = write(tmp_path / "image.tar", image_of(layer({"a": program + image + behind})).docker_archive())

    assert outcome(path, key) == WHOLE


def test_a_squashfs_image_is_no_gap_of_an_image(tmp_path: Path) -> None:
    """One that could be read and holds nothing."""
    path = write(tmp_path / "image.tar", image_of(layer({"a.snap": Image(TREE, "xz").build()})).docker_archive())

    assert outcome(path, fuzzing.new_key(random.Random(1))) == CLEAN


_TREE = {"a": TEXT, "dir": {"b": OTHER, "to": link(b"target")}}
_SAMPLES = [
    Image(_TREE).build(),
    Image(_TREE, extended=True, attributes=b"\0\0\4\0note\4\0\0\0text").build(),
    Image(_TREE, ends=False).build(),
    Image(_TREE, "lz4", packed=False).build(),
    Image(_TREE, "xz").build(),
]
_CHANGES = st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 255)), max_size=4)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([0, 1, 2, 4]), _CHANGES, st.integers(0, 2000))
def test_damage_to_a_squashfs_image_never_takes_a_file_silently(
    which: int, changes: list[tuple[int, int]], cut: int
) -> None:
    """Whatever byte of the blocks and tables is wrong and whatever is missing: all comes out, or there is a gap."""
    data = bytearray(_SAMPLES[which])
    for at, value in changes:
        data[96 + at % (len(data) - 96)] = value
    damaged = bytes(data[: max(100, len(data) - cut // 4)] if cut % 4 == 0 else data)

    held = [bytes(inner.data) for inner in opened(damaged) if isinstance(inner, Content) and not inner.closed]

    assert reasons(damaged) or {TEXT, OTHER} <= set(held)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(range(len(_SAMPLES))), _CHANGES, st.integers(0, 96))
def test_a_squashfs_image_may_say_anything(which: int, changes: list[tuple[int, int]], first: int) -> None:
    """Its superblock too; nothing is raised and nothing takes long."""
    data = bytearray(_SAMPLES[which])
    for number, (at, value) in enumerate(changes):
        data[4 + (at % 92 if number < first % 3 else at % (len(data) - 4))] = value

    for inner in opened(bytes(data)):
        assert isinstance(inner, Content | Fault)


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_a_block_with_a_wrong_end_is_a_gap(compressor: str) -> None:
    """Whatever it is packed with; files behind it are whole."""
    data = bytearray(Image({"a": TEXT[:4096], "b": OTHER}, compressor).build())
    size = len(COMPRESSORS[compressor][1](TEXT[:4096]))
    data[96 + size - 30 : 96 + size] = bytes(30)

    assert [(reason, inside) for reason, inside, _ in faults(bytes(data))] == [("nested.damaged", ("a",))]
    assert files(bytes(data))["b"] == OTHER


@pytest.mark.parametrize("front", [b"", b"\x7fELF\2\1\1" + bytes(500)])
def test_an_image_that_says_it_is_larger_hides_nothing(front: bytes, tmp_path: Path) -> None:
    """What is packed behind its files is looked at, whatever its superblock counts in."""
    key = fuzzing.new_key(random.Random(1))
    image = Image(TREE, fields={40: struct.pack("<Q", 20_000)}).build().ljust(12_000, b"\0")
    data = front + image + gzip.compress(b"token = " + key + b"\n" + OTHER, mtime=0) + bytes(20_000)
    path = write(tmp_path / "image.tar", image_of(layer({"a": data})).docker_archive())

    assert outcome(path, key) == WHOLE

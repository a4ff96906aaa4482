"""7z archives: every file of every block is given to the search, and what cannot be read is said."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.content.sevenzip import open_seven
from scanner.content.words import Budget, Content, Fault, Room
from scanner.limits import KIB, Limits
from tests import fuzzing
from tests.builders import image_of, layer, tar_of, write
from tests.sevenzips import (
    PACKINGS,
    Block,
    Packing,
    archive,
    encoded,
    folder,
    names,
    number,
    seven,
    streams,
)
from tests.test_content_formats import MARK, faults, files, marks, opened, reasons, zipped
from tests.test_hostile import CLEAN, WHOLE, outcome

TEXT = MARK + bytes(random.Random(3).choices(b"abcdefgh \n", k=3000))
OTHER = bytes(random.Random(4).choices(b"ijklmnop \n", k=2000))
LINES = MARK + b"".join(b"%d\n" % line for line in range(1, 41))

#: made by 7-Zip 26.02: `7zz a -mtm=off tiny.7z a b.txt`, of a/note.txt (the mark) and b.txt (seq 1 40)
SOLID = """
N3q8ryccAARxaHKWzQAAAAAAAAAgAAAAAAAAAJH4R9LgAIoAal0AMIgJplRjZEWdTRX/9AVNqX+OLsnT7DFyZ2Op6n4NuUWgqHsV
x3RELAHq4zhoReVPi+KXq5vOuD8yk+IdEpp9NN1+qZjdH571aSByOB86s2pZoKoRoohGCBdmVXxVqbtESeWt+7MDbDBYYAAAAIEz
B64P1HgnLUIV9rNFfWlNjxapWWN5yz7qwNXC+MvVmgbTlUD3a61uCBhWRaYYWMsNA7lNj7jvUoJcYhxiAivebJ/VU+rO71BXhy9x
O24nkZfhN7KsbPUAFwZyAQlbAAcLAQABIwMBAQVdABAAAAxqCgF46xsDAAA=
"""
#: the same of a/note.txt with `-pplain -mhe=on`
ENCRYPTED = """
N3q8ryccAAQM7kSTkAAAAAAAAAA7AAAAAAAAAKjhG1/iKKm3LtxJJOr32PAwdQpOQKYIZflp7vCzkEfvEvybwe4YnmCEnF/Hgikh
AXesz6ZIxyhvCC1Tsx2KZ/O3S/8X6qck4xT0X53og9nhmIJJ5eVLb+3rTO1oCLq6Qz7YBW8D7LLXnW8Bua2pd/RIojNos0Vj9n08
oLB668lsFZoQVJxW/ZEcek0vDhXn3OzHQBMXBiABCXAABwsBAAIkBvEHARJTD1ey1ow71Mb+ylmTAZAKpUEjAwEBBV0AEAAAAQAM
ZmoKAfmopcQAAA==
"""
#: by the same program, a file of calls and jumps of x86 with `-m0=bcj2 -m1=lzma -m2=lzma -m3=lzma -mb0:1 -mb0s1:2
#: -mb0s2:3`
JUMPS = """
N3q8ryccAAS80M74AwIAAAAAAAByAAAAAAAAABkLmVgAMIgJplRjZEWdTRX/9AVNqX+OLsnT7DFyZ2Op6n5Wt+r2usUgvcZ2/AFipSJH/oytYA
rtUCVSA5iFevE+mPYzdfZru53XCUHTuo0LkZYDPKcIF63MDarCg1jPM4akXhxYs44kv5/SKcHo1sTUzrtJ8911M+ntWc0Y2BhBcmuJIO9WeSLI
rnZIDZIkAwLo6jIU9faZlIIJCBH7B51pkPaPzl/NvLX7Xzg0vp1WW+pYM1hInVK8+U+pUx90Lj3nQgaWKP25RO8MvUYnZIyEJjTBXydgrzezd5
/JdS8lCJyUxyAra75fHPd1sWANIa4u/fLO4i21XjG40CbvQo3DvvgId9yHQ7iQiQgcrQgDX8VsAug3C+opBjrBhZws6UM38FzU2lXZL3fpVAxv
bt7f6iwCD4CgD5Py3dHjtdlOBEWwFfbQtacFfZbQvxf1YpBCdu6hNcDBUNaknyg0u/MGPHHMKgj7dzN23+hApg10nCG533Dq/IieSJszUc7Hzp
zVtELBCk+5vpNzPXdy91QV293lV6g1jljAkdCIsEDs0VcjPM0z8PNt2trXvDaSurtwkmmuoMj5h2Dbrq40fyY7lWAbHhtlbFw0doozHdkDPLzu
fyLr+Z710J15EjzKqt4/6wzZmEEhQJQliIFYu4XkAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEEBgAECYHtDAUFAAcLAQAEIwMBAQVdABAAACMDAQ
EFXQAQAAAjAwEBBV0AEAAAFAMDARsEAQUABAEDAgIGAQAMAACDKIMoAAgKAfjFQksAAAUBGQgAAAAAAAAAABEJAHgAOAA2AAAAFQYBACCApIEA
AA==
"""


@pytest.mark.parametrize("packing", PACKINGS)
def test_files_of_7z_archives_are_searched(packing: str) -> None:
    """With every coder that is understood; the second file begins where the first ends."""
    data = seven(Block([("a/one", OTHER), ("b/two", TEXT), ("c", OTHER)], PACKINGS[packing]))

    assert files(data) == {"a/one": OTHER, "b/two": TEXT, "c": OTHER}
    assert reasons(data) == []


def test_archives_of_7_zip_are_searched() -> None:
    """As the program itself makes them, the header packed."""
    assert files(base64.b64decode(SOLID)) == {"a/note.txt": MARK, "b.txt": LINES[len(MARK) :]}
    assert faults(base64.b64decode(SOLID)) == []
    assert faults(base64.b64decode(ENCRYPTED)) == [
        ("nested.encrypted", (), "the header of the 7z archive is encrypted")
    ]


def test_calls_and_jumps_that_7_zip_took_out_are_put_back() -> None:
    """A program is packed as four streams by BCJ2."""
    [program] = files(base64.b64decode(JUMPS)).values()

    assert hashlib.sha256(program).hexdigest().startswith("5a7e36d7b7c06b761c55a1869179cf78")
    assert faults(base64.b64decode(JUMPS)) == []


def test_stored_files_have_the_place_of_their_bytes() -> None:
    """The proof of a finding is then the very bytes."""
    data = seven(Block([("a", OTHER), ("b", TEXT)], PACKINGS["copy"]))

    [inner] = [inner for inner in opened(data) if isinstance(inner, Content) and inner.inside == ("b",)]

    at, length = inner.place(0, len(MARK))
    assert inner.verbatim
    assert data[at : at + length] == MARK


def test_packed_files_have_the_place_of_their_block() -> None:
    """Nothing nearer is stored."""
    first = PACKINGS["lzma"].pack(OTHER)
    data = seven(Block([("a", OTHER)], PACKINGS["lzma"]), Block([("b", TEXT)], PACKINGS["bcj"]))

    [inner] = [inner for inner in opened(data) if isinstance(inner, Content) and inner.inside == ("b",)]

    assert inner.encoding == ("lzma", "bcj")
    assert inner.place(0, 5)[0] == 32 + len(first)


def test_names_of_7z_archives_are_searched_whatever_their_files_are_packed_with() -> None:
    """Of files that cannot be read, of empty ones, and in a header that is packed."""
    unknown = Packing(((b"\3\4\1", b"\5\0\0\0\1"),), bytes)

    data = seven(Block([("deep/" + MARK.decode(), OTHER)], unknown), empty=["nothing"], times=1)

    assert reasons(data) == ["nested.unknown"]
    assert any(
        MARK in bytes(inner.data) and b"nothing" in bytes(inner.data)
        for inner in opened(data)
        if isinstance(inner, Content)
    )


def test_empty_files_take_no_part_of_a_block() -> None:
    """They stand among the others and only have names."""
    packed = PACKINGS["lzma"].pack(OTHER + TEXT)
    block = Block([("", OTHER), ("", TEXT)], PACKINGS["lzma"])
    told = names(["a", "none", "b"], [False, True, False])

    data = archive(packed, b"\1\4" + streams(0, [packed], [block]) + told + b"\0")

    assert files(data) == {"a": OTHER, "b": TEXT}


@pytest.mark.parametrize(
    ("method", "reason", "name"),
    [
        (b"\3\4\1", "nested.unknown", "packed by PPMd"),
        (b"\4\1\x09", "nested.unknown", "packed by Deflate64"),
        (b"\4\xf7\x11\5", "nested.unknown", "packed by LZ5"),
        (b"\x7f\x01", "nested.unknown", "packed by method 7f01"),
        (b"", "nested.unknown", "packed by method of no name"),
        (b"\6\xf1\7\1", "nested.encrypted", "the entry is encrypted"),
    ],
)
def test_coders_that_are_not_understood_are_gaps_of_their_block(method: bytes, reason: str, name: str) -> None:
    """The others are read."""
    unknown = Packing(((method, b""),), bytes)

    data = seven(Block([("a", OTHER)]), Block([("b", OTHER)], unknown), Block([("c", TEXT)]))

    assert files(data) == {"a": OTHER, "c": TEXT}
    [(found, inside, text)] = faults(data)
    assert (found, inside) == (reason, ("b",))
    assert text.startswith(name)


def test_a_filter_for_programs_that_is_not_undone_leaves_text_as_it_is() -> None:
    """It is searched, and said."""
    plain = PACKINGS["lzma2"]
    data = seven(Block([("a", TEXT)], Packing(((b"\x0a", b""), *plain.coders), plain.pack)))

    assert files(data) == {"a": TEXT}
    assert [reason for reason, _, _ in faults(data)] == ["nested.unknown"]


@pytest.mark.parametrize("packing", ["copy", "lzma", "lzma2", "bzip2"])
def test_a_wrong_checksum_is_a_gap(packing: str) -> None:
    """What comes out is searched all the same."""
    data = seven(Block([("a", TEXT)], PACKINGS[packing], crcs=[7]))

    assert files(data) == {"a": TEXT}
    assert faults(data) == [("nested.damaged", ("a",), "the checksum of the entry is wrong")]


@pytest.mark.parametrize("packing", ["lzma", "lzma2", "deflate", "bzip2", "bcj"])
def test_a_cut_block_gives_what_it_has_and_a_gap(packing: str) -> None:
    """Files in front of the damage are whole, those behind it are counted."""
    noise = random.Random(1).randbytes(9000)
    block = Block([("a", TEXT), ("b", noise), ("c", OTHER)], PACKINGS[packing])
    packed = block.packing.pack(block.plain)
    body = packed[: 6000 if packing != "bzip2" else len(packed) - 20]

    data = archive(body, b"\1\4" + streams(0, [body], [block]) + names(["a", "b", "c"]) + b"\0")

    if packing != "bzip2":  # it gives blocks or nothing
        assert files(data)["a"] == TEXT
    assert faults(data)[0][2].startswith("the entry is damaged or cut off, and so are")


@pytest.mark.parametrize("packing", ["copy", "lzma", "lzma2", "deflate", "bzip2", "bcj"])
def test_sizes_that_are_too_small_hide_nothing(packing: str) -> None:
    """What a block gives behind its last file is searched, and no archive should have it."""
    data = seven(Block([("a", OTHER + TEXT)], PACKINGS[packing], sizes=[100], crcs=[zlib.crc32(OTHER[:100])]))

    assert packing == "copy" or len(marks(data)) == 1
    assert MARK in data or reasons(data) == ["nested.damaged"]


@pytest.mark.parametrize("packing", ["lzma", "lzma2", "deflate", "bzip2"])
def test_what_follows_a_packed_block_in_its_stream_is_a_gap(packing: str) -> None:
    """Nobody unpacks it, and something may be in it."""
    known = PACKINGS[packing]
    behind = gzip.compress(MARK, mtime=0)
    changed = Packing(known.coders, lambda plain: known.pack(plain)[: _ended(packing)] + behind)
    data = seven(Block([("a", OTHER)], changed))

    assert files(data) == {"a": OTHER}
    assert reasons(data) == ["nested.damaged"]


def _ended(packing: str) -> int | None:
    """Where a stream is cut off so that it does not say that it ends: LZMA's mark is its last bytes."""
    return -8 if packing == "lzma" else None


@pytest.mark.parametrize("packing", ["lzma", "lzma2"])
def test_sizes_that_are_too_large_are_a_gap(packing: str) -> None:
    """The file is given as far as it goes."""
    data = seven(Block([("a", TEXT)], PACKINGS[packing], sizes=[1 << 60]))

    assert files(data) == {"a": TEXT}
    assert [reason for reason, _, _ in faults(data)] == ["nested.damaged"]


def test_a_header_may_be_packed_again_and_again() -> None:
    """Up to the depth that archives may have."""
    assert files(seven(Block([("a", TEXT)]), times=3)) == {"a": TEXT}
    assert reasons(seven(Block([("a", TEXT)]), times=20)) == ["nested.depth"]


def joined(*bonds: tuple[int, int]) -> bytes:
    """A file that three coders were applied to, which are joined by *bonds*: which reads, which is read."""
    one, two = PACKINGS["deflate"], PACKINGS["deflate of deflate"]
    block = Block([("", TEXT)], Packing(one.coders + two.coders, lambda data: one.pack(two.pack(data))))
    packed, coders = block.packing.pack(TEXT), block.packing.coders
    header = b"\1\4" + streams(0, [packed], [block]).replace(folder(coders), folder(coders, bonds)) + b"\0"
    return archive(packed, header)


def test_coders_may_be_joined_in_any_order() -> None:
    """What no other reads is the end."""
    for bonds in (((0, 1), (1, 2)), ((2, 1), (0, 2)), ((1, 0), (2, 1))):
        assert len(marks(joined(*bonds))) == 1
        assert reasons(joined(*bonds)) == []


@pytest.mark.parametrize(
    "bonds",
    [((0, 1), (1, 0)), ((0, 0), (1, 1)), ((0, 1), (1, 9)), ((0, 1), (9, 2)), ((0, 1), (0, 2)), ((1, 0), (2, 0))],
)
def test_coders_that_are_joined_as_they_cannot_be_are_a_gap(bonds: tuple[tuple[int, int], ...]) -> None:
    """In circles, twice, or with those that are not there."""
    assert reasons(joined(*bonds)) == ["nested.damaged"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"", []),
        (b"\0", ["nested.damaged"]),
        (b"\1", ["nested.damaged"]),
        (b"\1\0", []),
        (b"\1\x63", ["nested.damaged"]),
        (b"\1\2" + b"\xff" * 9, ["nested.damaged"]),
        (b"\1\4\6\0" + b"\xff" * 9, ["nested.entries"]),
        (b"\1\4\7\x0b" + b"\xff" * 9, ["nested.entries"]),
        (b"\1\4\7\x0b\1\0" + b"\xff" * 9, ["nested.damaged"]),
        (b"\1\4\7\x0b\1\0\1\x11\0" + b"\xff" * 9, ["nested.damaged"]),
        (b"\1\4\7\x0b\1\1\0", ["nested.unknown"]),
        (b"\1\4\7\x0b\1\0\1\1\0\x0c\x05\0\x08\x0d" + b"\xff" * 9 + b"\0", ["nested.entries"]),
        (b"\1\4\7\x0b\1\0\1\1\0\x0c\x05\0\0\0", ["nested.damaged"]),
        (b"\1\5" + b"\xff" * 9 + b"\0\0", []),
        (b"\1\5\1" + b"\x19\0" * 2_500_000 + b"\0\0", ["nested.entries"]),
        (b"\1\2" + b"\x19\0" * 2_500_000 + b"\0\0", ["nested.entries"]),
        (b"\1\4" + b"\7\x0b\1\0\1\1\0\x0c\5\0" * 500_000 + b"\0\0", ["nested.entries"]),
        (b"\1\5\1\x11\3\1\0\0\0\0", ["nested.unknown"]),
        (b"\1\5\1\x11" + b"\xff" * 9, ["nested.damaged"]),
        (b"\x17\0", ["nested.damaged"]),
        (b"\x17\6\0\1\x09\5\0\7\x0b\1\0\1\1\0\x0c\5\0\0", ["nested.damaged"]),
    ],
)
def test_headers_that_nobody_writes_end_in_a_gap(header: bytes, expected: list[str]) -> None:
    """Whatever they count and wherever they end."""
    assert reasons(archive(b"hello", header)) == expected


def test_a_damaged_start_is_a_gap_and_what_it_leads_to_is_read() -> None:
    """Its checksum may be all that is wrong."""
    data = seven(Block([("a", TEXT)]))

    assert files(data[:8] + b"oops" + data[12:]) == {"a": TEXT}
    assert [text for _, _, text in faults(data[:8] + b"oops" + data[12:])] == [
        "the first header of the 7z archive is damaged"
    ]
    assert reasons(data[:28] + b"oops" + data[32:]) == ["nested.damaged"] * 2
    assert reasons(data[:-9]) == ["nested.damaged"]
    assert reasons(data[:20]) == ["nested.damaged"]


def test_an_immense_dictionary_costs_no_more_than_what_comes_out() -> None:
    """liblzma takes the memory for it at once."""
    for method, properties, packing in ((b"\3\1\1", b"\x5d\xff\xff\xff\xff", "lzma"), (b"\x21", b"\x28", "lzma2")):
        coder = Packing(((method, properties),), PACKINGS[packing].pack)
        data = seven(Block([("a", TEXT)], coder))

        assert files(data) == {"a": TEXT}


@pytest.mark.parametrize(
    ("method", "properties", "reason"),
    [
        (b"\3\1\1", b"", "nested.damaged"),
        (b"\3\1\1", b"\xff\0\0\1\0", "nested.damaged"),
        (b"\3\1\1", b"\x08\0\0\1\0", "nested.unknown"),
        (b"\x21", b"", "nested.damaged"),
        (b"\x21", b"\x29", "nested.damaged"),
        (b"\3\3\1\x1b", b"", "nested.damaged"),
    ],
)
def test_wrong_properties_of_coders_are_a_gap(method: bytes, properties: bytes, reason: str) -> None:
    """They are the archive's, not ours."""
    data = seven(Block([("a", TEXT)], Packing(((method, properties),), bytes)))

    assert [found for found, _, _ in faults(data)] == [reason]


def test_bombs_of_7z_end_at_the_limits() -> None:
    """In what comes out of a block, in its files, and in the header."""
    bomb = seven(Block([("a", bytes(80 << 20))], PACKINGS["lzma2"]))
    many = seven(Block([(str(at), b"x") for at in range(50)]))
    header = encoded(b"", b"\1\5\1\x11" + number((80 << 20) + 1) + bytes((80 << 20) + 1) + b"\0\0")

    assert "nested.ratio" in reasons(bomb)
    assert "nested.bytes" in reasons(bomb, replace(Limits(), nested_bytes=KIB))
    assert "nested.entries" in reasons(many, replace(Limits(), nested_entries=10))
    assert reasons(header) == ["nested.ratio"]


def test_blocks_that_share_their_bytes_end_at_a_limit() -> None:
    """Stored bytes that a thousand files share."""
    body = random.Random(2).randbytes(1 << 20)
    blocks = [Block([(str(at), body)], PACKINGS["copy"], crcs=[0]) for at in range(300)]
    one = b"\6\0" + number(1) + b"\x09" + number(len(body)) + b"\0"
    header = b"\1" + b"".join(b"\4" + one + streams(0, [body], [block])[len(one) :] for block in blocks) + b"\0"

    assert "nested.ratio" in reasons(archive(body, header))


def test_what_a_chain_of_coders_makes_of_nothing_ends_at_the_time_limit() -> None:
    """A bomb amid a chain, of which nothing comes out."""
    empty = b"\0\0\0\xff\xff" * (64 << 20 >> 2)  # stored blocks of deflate that hold nothing
    lzma2, deflate = PACKINGS["lzma2"], PACKINGS["deflate"]
    block = Block([("a", b"x")], Packing((*deflate.coders, *lzma2.coders), lambda _: lzma2.pack(empty)))
    data = seven(block)
    room = Room(Budget(Limits()), len(data), 0.0)  # which is over

    found = list(open_seven(Content(memoryview(data), "a", (0, len(data))), 0, room))

    assert [fault.reason for fault in found if isinstance(fault, Fault)] == ["limit.time"]


def test_7z_archives_nest_like_others() -> None:
    """In each other, in zip archives, around tars."""
    data = zipped(("a.7z", seven(Block([("b.7z", seven(Block([("c.tar", tar_of({"x": TEXT}))])))]))))

    assert (("a.7z", "b.7z", "c.tar", "x"), ("deflate", "lzma2", "lzma2")) in marks(data)


@pytest.mark.parametrize("behind", [b"", b"\n-- the end --\n"])
def test_a_7z_archive_behind_a_program_is_searched(behind: bytes, tmp_path: Path) -> None:
    """As installers are made; offsets count from its own start."""
    key = fuzzing.new_key(random.Random(1))
    program = b"\x7fELF\2\1\1" + bytes(9) + random.Random(3).randbytes(5000)
    body = seven(Block([("a/settings", b"token = " + key + b"\n" + OTHER)]), times=1)
    path = write(tmp_path / "image.tar", image_of(layer({"a": program + body + behind})).docker_archive())

    assert outcome(path, key) == WHOLE


def test_a_7z_archive_is_no_gap_of_an_image(tmp_path: Path) -> None:
    """One that could be read and holds nothing."""
    data = seven(Block([("a", OTHER)]), Block([("b", OTHER)], PACKINGS["bcj"]), times=1)
    path = write(tmp_path / "image.tar", image_of(layer({"a.7z": data})).docker_archive())

    assert outcome(path, fuzzing.new_key(random.Random(1))) == CLEAN


def _samples() -> list[bytes]:
    blocks = [Block([("a", TEXT), ("b", OTHER)]), Block([("c", TEXT)], PACKINGS["copy"])]
    return [
        seven(*blocks),
        seven(*blocks, empty=["d"], times=1),
        seven(Block([("a", TEXT), ("b", OTHER)], PACKINGS["bcj"])),
        seven(Block([("a", TEXT)], PACKINGS["deflate of deflate"]), Block([("b", OTHER)], PACKINGS["zstd"])),
        base64.b64decode(JUMPS),
        base64.b64decode(SOLID),
    ]


_SAMPLES = _samples()
_FILES = [files(each) for each in _SAMPLES]
_LOST = st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 255)), max_size=4), st.integers(0, 2000)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(range(len(_SAMPLES))), *_LOST)
def test_damage_to_a_7z_archive_never_takes_a_file_silently(
    which: int, changes: list[tuple[int, int]], cut: int
) -> None:
    """Whatever byte is wrong and whatever is missing: all files come out whole, or there is a gap."""
    data = bytearray(_SAMPLES[which])
    for at, value in changes:
        data[6 + at % (len(data) - 6)] = value
    damaged = bytes(data[: max(8, len(data) - cut // 4)] if cut % 4 == 0 else data)

    found, gaps = files(damaged), reasons(damaged)

    assert gaps or sorted(found.values()) == sorted(_FILES[which].values())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(range(4)), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6))
def test_a_header_may_say_anything(which: int, changes: list[tuple[int, int]]) -> None:
    """With checksums that are right, so that all of it is believed; nothing is raised and nothing takes long."""
    data = _SAMPLES[which]
    packed = int.from_bytes(data[12:20], "little")
    header = bytearray(data[32 + packed :])
    for at, value in changes:
        header[at % len(header)] = value

    for inner in opened(archive(data[32 : 32 + packed], bytes(header))):
        assert isinstance(inner, Content | Fault)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"\1", b"\1\4", b"\x17", b"\1\5", b"\1\4\7\x0b\2\0"]))
def test_a_header_may_be_anything(data: bytes, start: bytes) -> None:
    """Random bytes."""
    for inner in opened(archive(struct.pack("<I", 7), start + data)):
        assert isinstance(inner, Content | Fault)

"""A layer's bytes become pieces that cover it, and whatever an engine would refuse is named."""

from __future__ import annotations

import io
import tarfile
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.layer import walk as walking
from scanner.layer.tree import DIRECTORY, FILE, OPAQUE, WHITEOUT, clean, path_hash
from scanner.layer.walk import Piece, Walk, number
from scanner.limits import Limits
from tests.builders import directory, file, opaque, tar_of, whiteout


def walk(data: bytes, limits: Limits = Limits()) -> tuple[list[Piece], Walk]:  # noqa: B008  (frozen)
    """All pieces of a layer, and the walk that made them."""
    done = Walk(memoryview(data), limits, time.monotonic() + 60)
    return [piece for batch in done.batches() for piece in batch], done


def contents(data: bytes, pieces: list[Piece]) -> dict[bytes | None, bytes]:
    """The data of each member by name; the last one of a name wins."""
    return {piece.member: data[piece.start : piece.end] for piece in pieces}


def covered(data: bytes, pieces: list[Piece]) -> bool:
    """Whether structure and windows, put together in order, are the whole layer."""
    at = 0
    for piece in pieces:
        if piece.header < piece.data:
            if piece.header != at:
                return False
            at = piece.data
        if piece.start != at:
            return False
        at = piece.end
    return at == len(data)


def header(name: str, size: int = 0, kind: bytes = b"0", **fields: bytes) -> bytes:
    """A ustar header; fields overwrite bytes at an offset given as `at_N`, and the checksum is made right."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT)[:512])
    for place, value in fields.items():
        at = int(place.removeprefix("at_"))
        block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def record(text: str) -> bytes:
    """A record of an extended header, which begins with its own length."""
    size = len(text) + 4
    return f"{size:2} {text}\n".encode().replace(b" ", b"0", 1) if size < 10 else f"{size} {text}\n".encode()


def padded(data: bytes) -> bytes:
    """Data and the zeros up to the next block."""
    return data + bytes(-len(data) % 512)


END = bytes(1024)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300)


@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=3000)), max_size=8),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
@settings(max_examples=60, deadline=None)
def test_any_tar_is_read_whole(members: list[tuple[str, bytes]], form: int) -> None:
    """Every member comes out with its data, the pieces cover the layer, and the ledger's sum is its size."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    layer = target.getvalue()

    pieces, done = walk(layer)

    expected = [(clean(name.encode()), data) for name, data in members]
    assert [(clean(p.member), layer[p.start : p.end]) for p in pieces if p.member is not None] == expected
    assert covered(layer, pieces)
    assert (done.ledger.total, done.ledger.stops, done.ledger.gap) == (len(layer), [], 0)


@given(st.binary(max_size=4000), st.integers(0, 6000), st.binary(min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_damage_never_loses_a_byte(data: bytes, at: int, junk: bytes) -> None:
    """Whatever is written over a tar, its pieces still cover every byte of it."""
    layer = bytearray(tar_of({"a/first": data, "second": b"x" * 100}, directory("d/"), file("third", b"last")))
    at %= len(layer)
    layer[at : at + len(junk)] = junk
    whole = bytes(layer)

    pieces, done = walk(whole)

    assert covered(whole, pieces)
    assert done.ledger.total == len(whole)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("a leading NUL in the size", {"at_124": b"\0" + b"0000000012\0"}),
        ("base 256 with odd first bytes", {"at_124": b"\x80" + bytes(10) + b"\x0a", "at_329": b"\x81\0\0"}),
    ],
)
def test_numbers_are_read_as_the_engine_reads_them(name: str, fields: dict[str, bytes]) -> None:
    """Header tricks that blind tarfile do not hide a member."""
    layer = header("first", 10, **fields) + padded(b"0123456789") + header("second", 4) + padded(b"data") + END

    pieces, done = walk(layer)

    assert contents(layer, pieces)[b"first"] == b"0123456789", name
    assert contents(layer, pieces)[b"second"] == b"data"
    assert done.ledger.stops == []


def test_global_headers_and_empty_records_do_not_change_sizes() -> None:
    """A global `size=0` and a local `size=` are ignored, as Go ignores them."""
    layer = (
        header("g", 9, b"g") + padded(b"9 size=0\n") + header("x", 8, b"x") + padded(b"8 size=\n")
        + header("file", 4) + padded(b"data") + END
    )  # fmt: skip

    pieces, done = walk(layer)

    assert contents(layer, pieces)[b"file"] == b"data"
    assert done.ledger.stops == []


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ([], b"app/.env"),
        ([("GNU.sparse.major", "7"), ("GNU.sparse.minor", "0")], b"app/.env"),
        ([("GNU.sparse.major", "1")], b"app/.env"),
        ([("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")], b"usr/.wh.x"),
        ([("GNU.sparse.map", "0,4")], b"usr/.wh.x"),
    ],
)
def test_the_name_of_a_sparse_file_is_one_of_sparse_files_only(more: list[tuple[str, str]], name: bytes) -> None:
    """An engine takes `GNU.sparse.name` only where the records are of a sparse format that it knows."""
    records = [("path", "app/.env"), ("GNU.sparse.name", "usr/.wh.x"), *more]
    body = b"".join(record(f"{key}={value}") for key, value in records)
    layer = header("x", len(body), b"x") + padded(body) + header("short", 512) + padded(b"1\n0\n4\n") + END

    pieces, _ = walk(layer)

    assert {piece.member for piece in pieces} - {None} == {name}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        (b"root/.docker/config.json", {"at_345": b"root/.docker"}),
        (b"p" * 131 + b"/config.json", {"at_345": b"p" * 131 + b"00000000000 " * 2, "at_508": b"tar\0"}),
        (b"p" * 155 + b"/config.json", {"at_345": b"p" * 155}),
        (b"root/.docker/config.json", {"at_257": b"ustar  \0", "at_345": b"root/.docker"}),
        (b"config.json", {"at_257": b"ustar  \0", "at_345": b"00000000000\0" * 2}),
        (b"config.json", {"at_257": b"ustar  \0", "at_345": b"00000000000\0\0no number"}),
        (b"root/config.json", {"at_257": b"ustar  \0", "at_345": b"root\0" + b"0" * 7 + b"\0no number"}),
        (b"config.json", {"at_257": b"ustar  \0", "at_345": b"root/\xff"}),
        (b"config.json", {"at_257": b"\0" * 8, "at_345": b"root/.docker"}),
    ],
)
def test_names_have_the_prefix_that_an_engine_gives_them(name: bytes, fields: dict[str, bytes]) -> None:
    """Each form of tar keeps a prefix, times or nothing behind a header's other fields."""
    layer = header("config.json", 4, **fields) + padded(b"data") + END

    assert contents(layer, walk(layer)[0])[name] == b"data"


@pytest.mark.parametrize(("holes", "stops"), [("0,512,8192,512", []), ("0,12,4108,1012", ["tar.sparse"])])
def test_holes_that_no_tool_leaves_are_a_stop(holes: str, stops: list[str]) -> None:
    """What is packed across a hole is told by its first run, which no tool makes shorter than a block."""
    body = record(f"GNU.sparse.map={holes}") + record("GNU.sparse.size=9000")
    layer = header("x", len(body), b"x") + padded(body) + header("a.gz", 1024) + bytes(range(256)) * 4 + END

    assert [stop.reason for stop in walk(layer)[1].ledger.stops] == stops


def test_records_behind_a_pax_header_s_size_do_not_count() -> None:
    """The body of an extended header ends where it says, not at its block's end."""
    layer = header("x", 3, b"x") + padded(b"\0\0\0" + b"9 size=1\n") + header("file", 4) + padded(b"data") + END

    pieces, _ = walk(layer)

    assert contents(layer, pieces)[b"file"] == b"data"


@pytest.mark.parametrize(
    ("reason", "tail"),
    [
        ("tar.header", b"junk" * 128 + header("lost", 4) + padded(b"data") + END),
        ("tar.lone-zero-block", bytes(512) + header("lost", 4) + padded(b"data") + END),
        ("tar.trailing", END + b"hidden words"),
        ("tar.truncated", header("lost", 4)[:300]),
        ("tar.size", header("lost", 4, at_124=b"-0000001000\0") + padded(b"data") + END),
        ("tar.truncated", header("lost", 5000) + b"data"),
        ("tar.unknown-type", header("odd", 4, b"Q") + padded(b"data") + END),
        ("tar.extended-headers", header("L", 2 << 20, b"L") + bytes(2 << 20) + END),
        ("tar.pax", header("x", 6, b"x") + padded(b"zzzzzz") + header("file") + END),
    ],
)
def test_what_an_engine_would_refuse_is_a_stop(reason: str, tail: bytes) -> None:
    """Nothing ends silently, and the bytes are pieces all the same."""
    layer = header("first", 4) + padded(b"data") + tail

    pieces, done = walk(layer)

    assert [stop.reason for stop in done.ledger.stops] == [reason]
    assert covered(layer, pieces)
    assert done.ledger.total == len(layer)


def test_a_layer_that_just_ends_is_complete() -> None:
    """Some writers leave out the end marker; engines accept it."""
    pieces, done = walk(header("first", 4) + padded(b"data"))

    assert done.ledger.stops == []
    assert len(pieces) == 1 or pieces[-1].member is None


def test_no_tar_at_all_is_said() -> None:
    """Bytes that are no tar are matched as they are, with a reason."""
    pieces, done = walk(b"plain words " * 100)

    assert [stop.reason for stop in done.ledger.stops] == ["tar.none"]
    assert [(piece.member, piece.start, piece.end) for piece in pieces] == [(None, 0, 1200)]


def test_long_chains_of_headers_end_at_the_limit() -> None:
    """A thousand extended headers in a row neither recurse nor hide what follows."""
    layer = (header("L", 2, b"L") + padded(b"a\0")) * 1000 + header("file", 4) + padded(b"data") + END

    pieces, done = walk(layer)

    assert [stop.reason for stop in done.ledger.stops] == ["tar.extended-headers"]
    assert covered(layer, pieces)


def test_too_many_members_are_a_stop() -> None:
    """The limit on members is a gap; the rest is matched without names."""
    _, done = walk(tar_of({f"f{n}": b"x" for n in range(30)}), Limits(members=10))

    assert [stop.reason for stop in done.ledger.stops] == ["limit.members"]
    assert done.ledger.members == 10


def test_large_members_come_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member larger than a window is shared out, and its windows meet without overlap."""
    monkeypatch.setattr(walking, "WINDOW", 1000)
    layer = tar_of({"big": bytes(range(256)) * 10, "small": b"x"})

    pieces, _ = walk(layer)

    windows = [(p.start - p.data, p.end - p.data) for p in pieces if p.member == b"big"]
    assert windows == [(0, 1000), (1000, 2000), (2000, 2560)]
    assert covered(layer, pieces)


def test_the_tree_knows_files_directories_and_whiteouts() -> None:
    """Paths are cleaned before they are kept, and whiteouts stand for what they remove."""
    _, done = walk(tar_of(directory("./app/"), file("/app/x"), whiteout("app/gone"), opaque("var/cache")))

    tree = done.tree()

    assert tree.has_hash(DIRECTORY, path_hash(b"app"))
    assert tree.has_hash(FILE, path_hash(b"app/x"))
    assert tree.has_hash(WHITEOUT, path_hash(b"app/gone"))
    assert tree.has_hash(OPAQUE, path_hash(b"var/cache"))
    assert not tree.has_hash(FILE, path_hash(b"app/gone"))


@pytest.mark.parametrize(
    ("stored", "value"),
    [
        (b"0000644\0", 0o644),
        (b"   644 \0", 0o644),
        (b"\0\0\0\0\0\0\0\0", 0),
        (b"12x45670", None),
        (b"-0000010", None),
        (b"0o12\0\0\0\0", None),
        (b"\x80" + bytes(6) + b"\x05", 5),
        (b"\xff" * 8, -1),
    ],
)
def test_number(stored: bytes, value: int | None) -> None:
    """Octal and base 256 as Go's parseNumeric has them; nothing that Python's int() would add."""
    assert number(stored) == value

"""Git repositories: loose objects and packs, with deltas resolved and paths where commits and trees tell them.

Nothing asks whether a commit can still be reached: what lies in a pack is in the image. Source: git's documentation
of pack-format and of the object storage.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import OrderedDict
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from scanner.content.buffer import Buffer
from scanner.content.streams import fill_from, inflate
from scanner.content.words import Content, Fault, Room, Stop

_LOOSE = re.compile(rb"(blob|tree|commit|tag) (\d{1,12})\0")
_LOOSE_HEADER = 20  # bytes that it takes
_OBJECT_PATH = re.compile(
    rb"(?P<repository>(?:.*/)?)objects/(?:(?P<first>[0-9a-f]{2})/(?P<rest>[0-9a-f]{38})|pack/[^/]+\.pack)", re.DOTALL
)
_LARGEST_NAMING = 1 << 20  # bytes of a commit or tree
_KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_OFS_DELTA, _REF_DELTA = 6, 7
_KEPT = 64 << 20  # bytes of resolved bases held for the deltas that follow
_CHAIN = 4096  # git writes chains of 50, and reads of any length
_LARGEST_OBJECT = 64 << 20  # that a delta makes
_ROUNDS = 64
_TRAILERS = {20: "sha1", 32: "sha256"}  # by its length, the checksum behind the objects


def is_loose(head: bytes) -> bool:
    """Whether a zlib stream that starts with these bytes holds a git object; what is damaged behind its header does."""
    decoder, plain = zlib.decompressobj(), b""
    try:
        for at in range(len(head)):
            plain += decoder.decompress(head[at : at + 1])
            if len(plain) > _LOOSE_HEADER:
                break
    except zlib.error:
        pass
    return bool(_LOOSE.match(plain))


def open_loose(content: Content, room: Room) -> Iterator[Content | Fault]:
    """The one object of a loose object file."""
    buffer = Buffer(room)
    try:
        fault, end = fill_from(buffer, content.data, "zlib")
        plain = buffer.view()
        head = _LOOSE.match(bytes(plain[:64]))
        if head is not None:
            name = f"{head.group(1).decode()} {_name_of(content.name, plain)}"
            size = len(content.data)
            yield content.made(plain[head.end() :], 0, size, name, ("git",), covers=((0, end),))
        if fault:
            yield Fault(fault[0], content.inside, len(content.data), fault[1])
    finally:
        buffer.close()


def _name_of(path: str, plain: memoryview) -> str:
    """The object's id: of its path, which is what git goes by, else of its bytes."""
    found = re.search(r"([0-9a-f]{2})/([0-9a-f]{38}(?:[0-9a-f]{24})?)$", path)
    return "".join(found.groups()) if found else hashlib.sha1(plain, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class LooseObject:
    """A commit or tree that is a file of its own: it names blobs that are other files.

    Attributes:
        repository: the path of the directory that `objects` is in, with `/` at its end unless it is the root; its
            hash where paths are not kept.
        digest: its id.
        data: without its header.
    """

    repository: bytes | int
    kind: str
    digest: bytes
    data: bytes = field(repr=False)


def repository_of(path: bytes) -> bytes | None:
    """The repository that a file with objects belongs to, as in `LooseObject`; None for other files."""
    found = _OBJECT_PATH.fullmatch(path)
    return found["repository"] if found else None


def loose_object(path: bytes, data: memoryview) -> LooseObject | None:
    """The commit or tree in the file called *path* (clean); None if it is neither, damaged or too large."""
    found = _OBJECT_PATH.fullmatch(path)
    if found is None or found["first"] is None or bytes(data[:1]) != b"x":
        return None
    try:
        plain = zlib.decompressobj().decompress(data, _LARGEST_NAMING)
    except zlib.error:
        return None
    head = _LOOSE.match(plain)
    if head is None or head[1] not in (b"commit", b"tree") or len(plain) - head.end() != int(head[2]):
        return None
    return LooseObject(found["repository"], head[1].decode(), bytes.fromhex((found["first"] + found["rest"]).decode()),
                       plain[head.end() :])  # fmt: skip


# --- packs --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Object:
    """An object as the pack stores it. *base* is an offset or an id for deltas; *at*, *size*: its inflated bytes."""

    kind: int
    base: int | bytes | None
    start: int
    end: int
    at: int
    size: int


@dataclass(slots=True)
class _Pack:
    """A pack, inflated."""

    plain: memoryview
    objects: dict[int, _Object]
    room: Room
    by_id: dict[bytes, int] = field(default_factory=dict)
    kept: OrderedDict[int, tuple[str, bytes | memoryview]] = field(default_factory=OrderedDict)
    held: int = 0

    def raw(self, item: _Object) -> memoryview:
        """The object's inflated bytes: its own, or its delta."""
        return self.plain[item.at : item.at + item.size]

    def chain(self, offset: int) -> list[int] | None:
        """The object and the bases that it is made from, down to one that is kept or whole; None if one is missing."""
        places: list[int] = []
        place: int | None = offset
        while place is not None and len(places) <= _CHAIN:
            item = self.objects.get(place)
            if item is None:
                return None
            places.append(place)
            if item.base is None or place in self.kept:
                return places
            place = self.by_id.get(item.base) if isinstance(item.base, bytes) else item.base
        return None

    def resolve(self, offset: int) -> tuple[str, bytes | memoryview] | None:
        """Kind and bytes of an object, with its deltas applied; None if a base is missing or a delta damaged."""
        chain = self.chain(offset)
        if chain is None:
            return None
        first = chain.pop()
        if first in self.kept:
            self.kept.move_to_end(first)
        data: bytes | memoryview
        kind, data = self.kept.get(first) or (_KINDS[self.objects[first].kind], self.raw(self.objects[first]))
        for place in reversed(chain):
            made = _apply(data, bytes(self.raw(self.objects[place])))
            if made is None:
                return None
            self.room.take(len(made))
            self._keep(place, kind, made)
            data = made
        return kind, data

    def _keep(self, offset: int, kind: str, data: bytes) -> None:
        if len(data) > _KEPT // 4 or offset in self.kept:
            return
        self.kept[offset] = kind, data
        self.held += len(data)
        while self.held > _KEPT:
            _, (_, old) = self.kept.popitem(last=False)
            self.held -= len(old)


def is_pack(head: bytes) -> bool:
    """Whether the first 12 bytes are those of a pack of version 2 or 3."""
    return head[:4] == b"PACK" and head[4:8] in (b"\0\0\0\2", b"\0\0\0\3") and len(head) >= 12


def open_pack(content: Content, room: Room) -> Iterator[Content | Fault]:
    """Every object, deleted commits and all. Blobs are named by a commit that has them and their path in it."""
    buffer = Buffer(room)
    try:
        objects, fault = _inflate_all(content.data, buffer, room)
        pack = _Pack(buffer.view(), objects, room)
        yield from _objects(content, pack)
        if fault:
            yield Fault(fault[0], content.inside, None, fault[1])
    except Stop as stop:
        yield Fault(stop.reason, content.inside, len(content.data), stop.what)
    finally:
        buffer.close()


def _inflate_all(
    data: memoryview, buffer: Buffer, room: Room
) -> tuple[dict[int, _Object], tuple[str, str] | None]:
    """All objects by their offset, and what ended the reading early."""
    count, at = int.from_bytes(data[8:12], "big"), 12
    objects: dict[int, _Object] = {}
    for _ in range(count):
        head = _header(data, at)
        if head is None:
            return objects, ("nested.damaged", "the git pack ends early, or holds what is no object")
        kind, base, start = head
        before = buffer.size
        try:
            room.entry()
            used, whole = inflate(buffer, data[start:], zlib.MAX_WBITS)
        except Stop as stop:  # of a full disk, with bytes of objects before this one
            held = {place: item for place, item in objects.items() if item.at + item.size <= buffer.size}
            return held, (stop.reason, stop.what)
        if not whole:
            return objects, ("nested.damaged", "an object of the git pack is damaged or cut off")
        objects[at] = _Object(kind, base, at, start + used, before, buffer.size - before)
        at = start + used
    if len(data) - at not in _TRAILERS:
        return objects, ("nested.damaged", "the git pack holds more than the objects that it counts")
    digest = hashlib.new(_TRAILERS[len(data) - at], data[:at], usedforsecurity=False).digest()
    if digest != data[at:]:  # the streams have checksums of their own, kinds of objects and bases of deltas do not
        return objects, ("nested.damaged", "the checksum of the git pack is wrong")
    return objects, None


def _header(data: memoryview, at: int) -> tuple[int, int | bytes | None, int] | None:
    """Kind, base and where the stream of the object at *at* starts."""
    head = bytes(data[at : at + 64])
    place = 0
    while place < len(head) and head[place] & 0x80:
        place += 1
    place += 1
    if place >= len(head):
        return None
    kind = head[0] >> 4 & 7
    if kind in _KINDS:
        return kind, None, at + place
    if kind == _REF_DELTA:
        return kind, head[place : place + 20], at + place + 20
    if kind != _OFS_DELTA:
        return None
    distance = head[place] & 0x7F
    while head[place] & 0x80:
        place += 1
        if place >= len(head):
            return None
        distance = (distance + 1) << 7 | head[place] & 0x7F
    return kind, at - distance, at + place + 1


def _apply(base: bytes | memoryview, delta: bytes) -> bytes | None:
    """A delta applied to its base (pack-format, "Deltified representation"); None if it does not fit."""
    try:
        _, at = _delta_size(delta, 0)
        size, at = _delta_size(delta, at)
        if size > _LARGEST_OBJECT:
            return None
        parts: list[bytes | memoryview] = []
        made = 0
        part: bytes | memoryview
        while at < len(delta):
            code = delta[at]
            at += 1
            if code & 0x80:
                offset = length = 0
                for bit in range(7):
                    if code >> bit & 1:
                        if bit < 4:
                            offset |= delta[at] << 8 * bit
                        else:
                            length |= delta[at] << 8 * (bit - 4)
                        at += 1
                part = base[offset : offset + (length or 0x10000)]
            else:
                part = delta[at : at + code]
                at += code
            made += len(part)
            if not code or made > size:
                return None
            parts.append(part)
    except IndexError:
        return None
    return b"".join(parts)


def _delta_size(delta: bytes, at: int) -> tuple[int, int]:
    size = shift = 0
    while True:
        byte = delta[at]
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return size, at


def _objects(content: Content, pack: _Pack) -> Iterator[Content | Fault]:
    """Commits and trees first, for the names of the blobs."""
    names = Names()
    first = [offset for offset in pack.objects if _root_kind(pack, offset) in ("commit", "tree")]
    missing = yield from _resolved(content, pack, first, names)
    names.spread()
    done = set(first)
    missing += yield from _resolved(content, pack, [offset for offset in pack.objects if offset not in done], names)
    if missing:
        text = f"{missing} objects of the git pack are deltas that are damaged, or of objects that are not in it"
        yield Fault("nested.damaged", content.inside, None, text)


def _root_kind(pack: _Pack, offset: int) -> str:
    """What the object is, by the object at the end of its chain of deltas; '' if that is not known yet."""
    chain = pack.chain(offset)
    return _KINDS[pack.objects[chain[-1]].kind] if chain else ""


def _resolved(
    content: Content, pack: _Pack, offsets: list[int], names: Names
) -> Generator[Content | Fault, None, int]:
    """The objects at *offsets*; returns how many cannot be had. A base may be named by an id that is only known once
    it was resolved itself, so there are several rounds."""
    for _ in range(_ROUNDS):
        later = []
        for offset in offsets:
            found = pack.resolve(offset)
            if found is None:
                later.append(offset)
                continue
            kind, data = found
            digest = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)), usedforsecurity=False)
            digest.update(data)
            pack.by_id[digest.digest()] = offset
            names.learn(kind, digest.digest(), data)
            item, path = pack.objects[offset], names.paths.get(digest.digest(), "")
            title = names.title(kind, digest.digest())
            yield content.made(data, item.start, item.end, title, ("git",), rename=path)
        if not later or len(later) == len(offsets):
            return len(later)
        offsets = later
    return len(offsets)


@dataclass(slots=True)
class Names:
    """Which commit and path a blob has: `learn` all commits and trees, `spread`, then ask for `title`."""

    commits: list[tuple[str, bytes]] = field(default_factory=list)
    trees: dict[bytes, bytes] = field(default_factory=dict)
    paths: dict[bytes, str] = field(default_factory=dict)
    owners: dict[bytes, str] = field(default_factory=dict)

    def learn(self, kind: str, digest: bytes, data: bytes | memoryview) -> None:
        """Take note of a commit or tree."""
        if kind == "tree":
            self.trees[digest] = bytes(data)
        elif kind == "commit" and (root := re.fullmatch(rb"tree ([0-9a-f]{40})", bytes(data[:45]))):
            self.commits.append((digest.hex(), bytes.fromhex(root.group(1).decode())))

    def spread(self) -> None:
        """Walk the trees of all commits, each tree once."""
        seen: set[bytes] = set()
        for commit, root in self.commits:
            stack = [(root, "")]
            while stack:
                tree, parent = stack.pop()
                if tree in seen or tree not in self.trees:
                    continue
                seen.add(tree)
                for mode, name, digest in _tree_entries(self.trees[tree]):
                    path = parent + name.decode("utf-8", "surrogateescape")
                    if mode == b"40000":
                        stack.append((digest, path + "/"))
                    elif digest not in self.paths:
                        self.paths[digest], self.owners[digest] = path, commit

    def title(self, kind: str, digest: bytes) -> str:
        """`commit <id>:<path>` for what a commit's trees name, else the kind and the id."""
        path = self.paths.get(digest)
        return f"{kind} {digest.hex()}" if path is None else f"commit {self.owners[digest]}:{path}"


def _tree_entries(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Mode, name and id of each entry of a tree."""
    at = 0
    while at < len(data):
        space = data.find(b" ", at)
        end = data.find(b"\0", space)
        if space < 0 or end < 0 or end + 21 > len(data):
            return
        yield data[at:space], data[space + 1 : end], data[end + 1 : end + 21]
        at = end + 21

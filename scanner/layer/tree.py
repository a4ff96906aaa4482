"""A layer's members as hashed paths: enough to tell what the layer does to the layers below, and no more.

Paths are kept as 8-byte keyed-less BLAKE2b hashes: small for millions of members, and no path (which may hold a
secret) outlives the walk. Whiteouts are those of image-spec layer.md#whiteouts.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

FILE, DIRECTORY, WHITEOUT, OPAQUE = range(4)


def clean(name: bytes) -> bytes:
    """A member name as a path from the root: no leading slash, no `.`, `..` or empty parts, as the engine cleans it."""
    if b"/." not in name and b"//" not in name and not name.startswith((b".", b"/")):
        return name.rstrip(b"/")  # nearly every name
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part and part != b".":
            parts.append(part)
    return b"/".join(parts)


def path_hash(path: bytes) -> int:
    """The hash that a tree keeps of a cleaned path."""
    return int.from_bytes(hashlib.blake2b(path, digest_size=8).digest(), "little")


def effect(path: bytes) -> tuple[int, bytes]:
    """(WHITEOUT, the path removed), (OPAQUE, the directory emptied) or (FILE, the path itself)."""
    parent, _, base = path.rpartition(b"/")
    if not base.startswith(b".wh."):
        return FILE, path
    if base == b".wh..wh..opq":
        return OPAQUE, parent
    if base.startswith(b".wh..wh."):  # aufs' own files, which mark nothing
        return FILE, path
    return WHITEOUT, clean(parent + b"/" + base[4:])


def parents(path: bytes) -> list[bytes]:
    """Every directory above *path*, nearest first, the root (b"") last."""
    found = []
    while path:
        path = path.rpartition(b"/")[0]
        found.append(path)
    return found


def parent_hashes(path: bytes) -> tuple[int, ...]:
    """The hashes of `parents`, each byte of the path read once."""
    if not path:
        return ()
    state = hashlib.blake2b(digest_size=8)
    found = [path_hash(b"")]
    for number, part in enumerate(path.split(b"/")[:-1]):
        state.update(b"/" + part if number else part)
        found.append(int.from_bytes(state.digest(), "little"))
    return tuple(reversed(found))


@dataclass(frozen=True, slots=True)
class Trail:
    """A member's name as the trees know it: hashes of its path and of every directory above, nearest first."""

    is_file: bool
    path: int
    above: tuple[int, ...]


def trail_of(member: bytes) -> Trail:
    """The trail of a member's name as stored. What is no file is a whiteout."""
    path = clean(member)
    return Trail(effect(path)[0] == FILE, path_hash(path), parent_hashes(path))


@dataclass(frozen=True)
class Tree:
    """What one layer holds, by member in order of appearance.

    Attributes:
        kinds: one byte for each member: FILE, DIRECTORY, WHITEOUT or OPAQUE.
        hashes: `path_hash` of the path a member stands for (of what it removes, for whiteouts), as packed
            native 64-bit integers, like all that follow.
        directories: every directory that a member lies in, listed or not: its hash, and the number of the one above.
        links: hard links: the number of the member, the hash of its target, the number of its directory.
    """

    kinds: bytes = b""
    hashes: bytes = field(default=b"", repr=False)
    directories: bytes = field(default=b"", repr=False)
    links: bytes = field(default=b"", repr=False)

    def _own(self, wanted: int) -> int:
        """The hash that this tree has for a path."""
        return wanted

    def _told(self, value: int) -> int:
        """A hash of this tree, for others."""
        return value

    def _of(self, kind: int) -> tuple[array[int], array[int]]:
        """The hashes of all members of a kind, sorted, and the number of each member, ascending for each hash."""
        values = _numbers(self.hashes)
        order = sorted((at for at, k in enumerate(self.kinds) if k == kind), key=values.__getitem__)
        return array("Q", map(values.__getitem__, order)), array("L", order)

    @cached_property
    def _sorted(self) -> tuple[tuple[array[int], array[int]], ...]:
        return tuple(self._of(kind) for kind in (FILE, DIRECTORY, WHITEOUT, OPAQUE))

    @cached_property
    def _links_to(self) -> dict[int, list[tuple[int, int]]]:
        """Of each target the hard links to it: the number of the member, and of its directory."""
        found: dict[int, list[tuple[int, int]]] = {}
        links = _numbers(self.links)
        for number, target, directory in zip(links[::3], links[1::3], links[2::3], strict=True):
            found.setdefault(target, []).append((number, directory))
        return found

    @cached_property
    def _above(self) -> frozenset[int]:
        return frozenset(_numbers(self.directories)[::2])

    def has_hash(self, kind: int, wanted: int) -> bool:
        """Whether a member of that kind stands for the cleaned path of that hash."""
        values, own = self._sorted[kind][0], self._own(wanted)
        at = bisect_left(values, own)
        return at < len(values) and values[at] == own

    def is_above(self, wanted: int) -> bool:
        """Whether a member lies below the path of that hash, which so is a directory, be it listed or not."""
        return self._own(wanted) in self._above

    def comes_later(self, kind: int, index: int, wanted: int, before: int | None = None) -> bool:
        """Whether a member of that kind behind the one at *index*, and in front of *before*, stands for that path."""
        (values, numbers), own = self._sorted[kind], self._own(wanted)
        at = bisect_left(values, own)
        if at == len(values) or values[at] != own:
            return False
        end = bisect_right(values, own, at)
        later = bisect_right(numbers, index, at, end)
        return later < end and (before is None or numbers[later] < before)

    def other_names(self, index: int, wanted: int) -> Iterator[tuple[int, Trail]]:
        """The hard links of this layer to the file at *index*, which stands for that path: the number of each member,
        and its trail."""
        hashes, names = _numbers(self.hashes), [(index, self._own(wanted))]
        for number, target in names:  # which a link to a link adds to
            for place, directory in self._links_to.get(target, ()):
                if place > number and not self.comes_later(FILE, number, self._told(target), place):
                    names.append((place, hashes[place]))
                    yield place, Trail(True, self._told(hashes[place]), tuple(self._chain(directory)))

    def _chain(self, directory: int) -> Iterator[int]:
        """The hash of a directory and of those above it."""
        directories = _numbers(self.directories)
        while True:
            yield self._told(directories[2 * directory])
            if not directory:
                return
            directory = directories[2 * directory + 1]


def _numbers(packed: bytes) -> memoryview[int]:
    return memoryview(packed).cast("Q")

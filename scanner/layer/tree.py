"""A layer's members as hashed paths: enough to tell what the layer does to the layers below, and no more.

Paths are kept as 8-byte keyed-less BLAKE2b hashes: small for millions of members, and no path (which may hold a
secret) outlives the walk. Whiteouts are those of image-spec layer.md#whiteouts.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
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
            native 64-bit integers.
    """

    kinds: bytes = b""
    hashes: bytes = field(default=b"", repr=False)

    def _of(self, kind: int) -> array[int]:
        values = array("Q")
        values.frombytes(self.hashes)
        return array("Q", sorted(value for value, k in zip(values, self.kinds, strict=True) if k == kind))

    @cached_property
    def _sorted(self) -> tuple[array[int], ...]:
        return tuple(self._of(kind) for kind in (FILE, DIRECTORY, WHITEOUT, OPAQUE))

    def has_hash(self, kind: int, wanted: int) -> bool:
        """Whether a member of that kind stands for the cleaned path of that hash."""
        values = self._sorted[kind]
        at = bisect_left(values, wanted)
        return at < len(values) and values[at] == wanted

    def superseded_hash(self, index: int, wanted: int) -> bool:
        """Whether a later member of this same layer writes the path of that hash again (the last one wins on disk)."""
        values = self._sorted[FILE]
        at = bisect_left(values, wanted)
        if at + 1 >= len(values) or values[at + 1] != wanted:
            return False
        packed = wanted.to_bytes(8, "little")
        later = self.hashes.find(packed, 8 * (index + 1))
        while later >= 0 and (later % 8 or self.kinds[later // 8] != FILE):
            later = self.hashes.find(packed, later + 1)
        return later >= 0

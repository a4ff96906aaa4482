"""Hashes of paths and digests of files under the installation's key: nobody without it can test guesses with them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace

from scanner.layer.tree import Tree, path_hash
from scanner.packages.model import FileList, Record, Versions
from scanner.secrecy.seal import Seal

_KEYED = 1 << 64  # tells keyed hashes of paths from plain ones


def keyed(seal: Seal, wanted: int) -> int:
    """A path's hash keyed; one that is keyed already as it is."""
    if wanted >= _KEYED:
        return wanted
    return _KEYED + int.from_bytes(seal.mark(b"path", wanted.to_bytes(8, "little"), 8), "little")


def plain(wanted: int) -> int:
    """A keyed hash in 64 bits, as trees and lists have it."""
    return wanted - _KEYED


@dataclass(frozen=True)
class KeyedTree(Tree):
    """A tree whose hashes are keyed; it is asked with plain hashes or with keyed ones."""

    seal: Seal = None  # type: ignore[assignment]  # always given; a base class has defaults

    def _own(self, wanted: int) -> int:
        return plain(keyed(self.seal, wanted))

    def _told(self, value: int) -> int:
        return _KEYED + value


@dataclass(frozen=True)
class KeyedFiles(FileList):
    """A list of files whose paths and digests are keyed."""

    def paths(self) -> Iterator[int]:
        return (_KEYED + value for value in super().paths())

    def digest(self, path: int) -> bytes | None:
        return super().digest(plain(path))


class KeyedDigest(bytes):
    """The mark of a digest."""


def keyed_digest(digest: bytes, seal: Seal) -> KeyedDigest:
    """The mark of a digest; one that is a mark already as it is."""
    return digest if isinstance(digest, KeyedDigest) else KeyedDigest(seal.digest(digest))


def keyed_record(record: Record, seal: Seal) -> Record:
    """What a package manager's record says with all paths, and the digests of files, keyed; such a one as it is."""
    if isinstance(record, Versions | KeyedFiles):
        return record
    home = _place(record.home, seal)
    if not isinstance(record, FileList):
        return replace(record, home=home)
    width = len(record.digests) * 8 // len(record.hashes) if record.hashes else 0
    starts = range(0, len(record.digests), width) if width else ()
    marks = b"".join(seal.digest(record.digests[at : at + width]) for at in starts)
    hashes, bare, root = _packed(record.hashes, seal), _packed(record.bare, seal), _place(record.root, seal)
    return KeyedFiles(record.package, record.algorithm, hashes, marks, bare, root, record.registry, home)


def _place(path: bytes | int, seal: Seal) -> int:
    if isinstance(path, int):
        return path
    return keyed(seal, path_hash(path)) if path else 0


def _packed(hashes: bytes, seal: Seal, start: int = 0, step: int = 1) -> bytes:
    """Packed numbers, those that are hashes keyed: each *step*-th from *start* on."""
    values = array("Q", hashes)
    for at in range(start, len(values), step):
        values[at] = plain(keyed(seal, values[at]))
    return values.tobytes()


def keyed_tree(tree: Tree, seal: Seal) -> KeyedTree:
    """A tree that can be asked with keyed hashes; one mark is made for each member of a plain one."""
    if isinstance(tree, KeyedTree):
        return tree
    directories, links = _packed(tree.directories, seal, 0, 2), _packed(tree.links, seal, 1, 3)
    return KeyedTree(tree.kinds, _packed(tree.hashes, seal), directories, links, seal)

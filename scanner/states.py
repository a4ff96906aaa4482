"""Whether a file of one layer is in the final filesystem, told from the layers above it (image-spec layer.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scanner.evidence import State
from scanner.layer.tree import DIRECTORY, FILE, OPAQUE, WHITEOUT, Trail, Tree, trail_of


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a file: its state, and the index of the layer that brought it about (None while live)."""

    state: State
    layer: int | None = None


def fate(trees: Sequence[Tree | None], index: int, member: bytes | Trail, number: int) -> Fate:
    """The fate of a member.

    Args:
        trees: one for each layer, base first; None for a layer that could not be read.
        index: the member's layer.
        member: its name as stored, or the trail of that.
        number: which member of the layer it is, from 0.
    """
    trail = trail_of(member) if isinstance(member, bytes) else member
    if not trail.is_file:  # a whiteout is a mark, not a file; what it carries never reaches the filesystem
        return Fate(State.HIDDEN, index)
    own, wanted, above = trees[index], trail.path, trail.above
    if own is not None and own.superseded_hash(number, wanted):
        return Fate(State.OVERWRITTEN, index)
    directory = own is not None and own.has_hash(DIRECTORY, wanted)
    for later in range(index + 1, len(trees)):
        tree = trees[later]
        if tree is not None and (state := _effect_of(tree, wanted, above, directory)) is not None:
            return Fate(state, later)
    return Fate(State.LIVE)


def _effect_of(tree: Tree, path: int, above: Sequence[int], directory: bool) -> State | None:
    """What a later layer does to a path, given as hashes; None for nothing. Its whiteouts apply before its files."""
    has = tree.has_hash
    if has(FILE, path) or (not directory and has(DIRECTORY, path)):
        return State.OVERWRITTEN
    if has(DIRECTORY, path):  # a directory that is listed again is still there
        return None
    if has(WHITEOUT, path) or any(has(WHITEOUT, parent) for parent in above):
        return State.DELETED
    if any(has(OPAQUE, parent) or has(FILE, parent) for parent in above):
        return State.HIDDEN
    return None

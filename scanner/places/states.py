"""Whether a file of one layer is in the final filesystem, told from the layers above it (image-spec layer.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scanner.evidence import State
from scanner.layer.tree import DIRECTORY, FILE, OPAQUE, WHITEOUT, Trail, Tree, trail_of


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a file: its state, and the index of the layer that brought it about (None while live).

    *linked* if it lives on under another name only, by a hard link.
    """

    state: State
    layer: int | None = None
    linked: bool = False


def fate(
    trees: Sequence[Tree | None], index: int, member: bytes | Trail, number: int, data: bool = True
) -> Fate:
    """The fate of a member.

    Args:
        trees: one for each layer, base first; None for a layer that could not be read.
        index: the member's layer.
        member: its name as stored, or the trail of that.
        number: which member of the layer it is, from 0.
        data: what is in it is asked for, which has all names of the file, and not its name or header.
    """
    trail = trail_of(member) if isinstance(member, bytes) else member
    if not trail.is_file:  # a whiteout is a mark, not a file; what it carries never reaches the filesystem
        return Fate(State.HIDDEN, index)
    found, own = _fate(trees, index, trail, number), trees[index]
    if found.state is State.LIVE or own is None or not data:
        return found
    others = [_fate(trees, index, name, place) for place, name in own.other_names(number, trail.path)]
    if any(other.state is State.LIVE for other in others):
        return Fate(State.LIVE, linked=True)
    return max((found, *others), key=lambda each: each.layer or 0)


def _fate(trees: Sequence[Tree | None], index: int, trail: Trail, number: int) -> Fate:
    """The fate of one name of a member."""
    own, wanted, above = trees[index], trail.path, trail.above
    directory = own is not None and own.kinds[number] == DIRECTORY
    if own is not None:
        if own.comes_later(FILE, number, wanted) or (not directory and own.comes_later(DIRECTORY, number, wanted)):
            return Fate(State.OVERWRITTEN, index)
        if any(own.comes_later(FILE, number, parent) for parent in above):
            return Fate(State.HIDDEN, index)
    for later in range(index + 1, len(trees)):
        tree = trees[later]
        if tree is not None and (state := _effect_of(tree, wanted, above, directory)) is not None:
            return Fate(state, later)
    return Fate(State.LIVE)


def _effect_of(tree: Tree, path: int, above: Sequence[int], directory: bool) -> State | None:
    """What a later layer does to a path, given as hashes; None for nothing. Its whiteouts apply before its files."""
    has = tree.has_hash
    becomes = has(DIRECTORY, path) or tree.is_above(path)
    if has(FILE, path) or (not directory and becomes):
        return State.OVERWRITTEN
    if has(DIRECTORY, path):  # a directory that is listed again is still there
        return None
    if has(WHITEOUT, path) or any(has(WHITEOUT, parent) for parent in above):
        return State.DELETED
    if any(has(OPAQUE, parent) or has(FILE, parent) for parent in above):
        return State.HIDDEN
    return None

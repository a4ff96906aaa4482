"""What became of a file is told from the layers above it."""

from __future__ import annotations

import time

import pytest

from scanner.evidence import State
from scanner.layer.tree import Tree, parent_hashes, parents, path_hash
from scanner.layer.walk import Walk
from scanner.limits import Limits
from scanner.states import Fate, fate
from tests.builders import Content, directory, file, opaque, symlink, tar_of, whiteout


def tree(*content: Content) -> Tree:
    """The tree of a layer with these members."""
    done = Walk(memoryview(tar_of(*content)), Limits(), time.monotonic() + 60)
    for _ in done.batches():
        pass
    return done.tree()


BASE = (directory("app/"), directory("app/conf/"), file("app/conf/.env", b"x"))


@pytest.mark.parametrize(
    ("above", "state"),
    [
        ((), State.LIVE),
        ((file("app/conf/other"),), State.LIVE),
        ((directory("app/"), directory("app/conf/")), State.LIVE),
        ((file("app/conf/.wh..envy"),), State.LIVE),
        ((file("app/conf/a.wh..env"),), State.LIVE),
        ((whiteout("app/conf/.env"),), State.DELETED),
        ((whiteout("./app/conf/.env"),), State.DELETED),
        ((whiteout("app/conf"),), State.DELETED),
        ((whiteout("app"),), State.DELETED),
        ((opaque("app/conf"),), State.HIDDEN),
        ((opaque("app"), directory("app/conf/")), State.HIDDEN),
        ((file("app/conf/.env", b"new"),), State.OVERWRITTEN),
        ((whiteout("app/conf/.env"), file("app/conf/.env", b"new")), State.OVERWRITTEN),
        ((directory("app/conf/.env/"),), State.OVERWRITTEN),
        ((symlink("app/conf/.env", "/run/secrets/env"),), State.OVERWRITTEN),
        ((symlink("app/conf", "/elsewhere"),), State.HIDDEN),
    ],
)
def test_the_layer_above_decides(above: tuple[Content, ...], state: State) -> None:
    """Deleted, overwritten or hidden by whichever mark or file stands above; and which layer it was."""
    trees = [tree(*BASE), tree(file("unrelated")), tree(*above)]

    found = fate(trees, 0, b"app/conf/.env", 2)

    assert found == Fate(state, None if state is State.LIVE else 2)


def test_the_first_layer_that_acts_counts() -> None:
    """A file deleted twice was deleted by the first."""
    trees = [tree(*BASE), tree(whiteout("app/conf/.env")), tree(whiteout("app"))]

    assert fate(trees, 0, b"app/conf/.env", 2) == Fate(State.DELETED, 1)


def test_a_later_duplicate_in_the_same_layer_overwrites() -> None:
    """Of two members of one name the last wins on disk; the first one is still in the layer."""
    trees = [tree(file("a", b"old"), file("b"), file("a", b"new"))]

    assert fate(trees, 0, b"a", 0) == Fate(State.OVERWRITTEN, 0)
    assert fate(trees, 0, b"a", 2) == Fate(State.LIVE)


def test_a_directory_listed_again_lives() -> None:
    """Upper layers list the directories of what they add; that removes nothing."""
    trees = [tree(directory("data/"), directory("data/x/")), tree(directory("data/"), directory("data/x/"))]

    assert fate(trees, 0, b"data/x/", 1) == Fate(State.LIVE)


def test_a_whiteout_s_own_bytes_are_hidden() -> None:
    """A whiteout may carry data; it never reaches the filesystem."""
    trees = [tree(file("app/.wh.x", b"data"))]

    assert fate(trees, 0, b"app/.wh.x", 0).state is State.HIDDEN


def test_an_unreadable_layer_changes_nothing() -> None:
    """What a layer that could not be read would have done is unknown; its gap says so."""
    assert fate([tree(*BASE), None], 0, b"app/conf/.env", 2) == Fate(State.LIVE)


@pytest.mark.parametrize("path", [b"", b"a", b"a/b", b"usr/lib/x/y.so", b"\xff/\xfe/..x"])
def test_directories_above_are_hashed_as_each_by_itself(path: bytes) -> None:
    """Though the path is read once."""
    assert parent_hashes(path) == tuple(map(path_hash, parents(path)))

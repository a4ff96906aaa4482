"""What became of a file is told from the layers above it."""

from __future__ import annotations

import time

import pytest

from scanner.evidence import State
from scanner.layer import walk
from scanner.layer.tree import Tree, parent_hashes, parents, path_hash
from scanner.layer.walk import Walk
from scanner.limits import Limits
from scanner.places.states import Fate, fate
from scanner.secrecy.seal import Seal
from scanner.work.keyed import keyed_tree
from tests.builders import Content, directory, file, hardlink, opaque, symlink, tar_of, whiteout


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
        ((file("app/conf/.env/x"),), State.OVERWRITTEN),
        ((whiteout("app/conf/.env/x/y"),), State.OVERWRITTEN),
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


def test_what_replaces_a_directory_in_the_same_layer_hides_what_was_in_it() -> None:
    """And a directory replaces a file, as engines have it."""
    trees = [tree(file("d/e/a", b"x"), file("f", b"x"), file("d"), directory("f/"), file("d/e/b"))]

    assert fate(trees, 0, b"d/e/a", 0) == Fate(State.HIDDEN, 0)
    assert fate(trees, 0, b"f", 1) == Fate(State.OVERWRITTEN, 0)
    assert fate(trees, 0, b"d/e/b", 4) == Fate(State.LIVE)


LINKED = (file("store/a", b"x"), hardlink("app/b", "./store/a"), hardlink("bin/c", "app/b"))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (((*LINKED,), (whiteout("store"),)), Fate(State.LIVE, linked=True)),
        (((*LINKED,), (whiteout("store"), whiteout("app"))), Fate(State.LIVE, linked=True)),
        (((*LINKED,), (whiteout("store"), whiteout("app")), (file("bin/c"),)), Fate(State.OVERWRITTEN, 2)),
        (((*LINKED, file("store/a", b"new")),), Fate(State.LIVE, linked=True)),
        (((LINKED[0], file("store/a", b"new"), *LINKED[1:]),), Fate(State.OVERWRITTEN, 0)),
        (((hardlink("app/b", "store/a"), LINKED[0]), (whiteout("store"),)), Fate(State.DELETED, 1)),
        (((LINKED[0], symlink("app/b", "store/a")), (whiteout("store"),)), Fate(State.DELETED, 1)),
    ],
)
@pytest.mark.parametrize("kept", [False, True])
def test_a_file_lives_as_long_as_one_of_its_names(
    layers: tuple[tuple[Content, ...], ...], expected: Fate, kept: bool
) -> None:
    """A hard link is the file under another name, which what removes the first one leaves where it is."""
    trees = [tree(*content) for content in layers]
    trees = [keyed_tree(each, Seal(bytes(32))) for each in trees] if kept else trees
    number = next(at for at, member in enumerate(layers[0]) if member == LINKED[0])

    assert fate(trees, 0, b"store/a", number) == expected


def test_the_name_itself_goes_with_its_own_member() -> None:
    """A value in a path is not in the paths of hard links."""
    trees = [tree(*LINKED), tree(whiteout("store"))]

    assert fate(trees, 0, b"store/a", 0, data=False) == Fate(State.DELETED, 1)


def test_very_deep_paths_take_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of many members in a path of its own with two thousand directories."""
    monkeypatch.setattr(walk, "_DIRECTORIES", 5000)

    found = tree(*(file(f"{number}/" + "d/" * 2000 + "x") for number in range(10)))

    assert 8 * 5000 < len(found.directories) <= 16 * 5000


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

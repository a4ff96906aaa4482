"""What somebody who misspelt an image may have meant: paths, prefixes and names of the engine that look like it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable

from scanner.image.reference import PREFIXES, Form, shown, split_form

_ALIKE = 0.75


def nearest(word: str, known: Iterable[str], alike: float = _ALIKE) -> str:
    """The one of *known* that looks most like *word*, empty if none does."""
    return next(iter(difflib.get_close_matches(word, list(known), 1, alike)), "")


def meant(reference: str, engine_names: Callable[[Form], Iterable[str]]) -> str:
    """An image that is there and that *reference* may be a misspelling of; empty if there is none.

    Args:
        engine_names: the names of the images of the engine that a form means.
    """
    form, rest = split_form(reference)
    prefix = reference.removesuffix(rest) if rest else ""
    found = ""
    if form in (Form.ANY, Form.FILE):
        found = _path(rest)
    if not found and form is Form.ANY:
        found = _prefix(rest)
    if not found and form in (Form.ANY, Form.DOCKER, Form.PODMAN):
        found = _name(rest, engine_names(form))
    return shown(f"{prefix}{found}") if found and found != rest else ""


def _path(words: str) -> str:
    """A path of the same folder."""
    folder, name = os.path.split(words.rstrip("/"))
    try:
        there = os.listdir(folder or ".")
    except OSError:
        return ""
    found = nearest(name, there) if name else ""
    return os.path.join(folder, found) if found else ""


def _prefix(words: str) -> str:
    """The same words behind a prefix that is one, if what they have in front looks like it."""
    first, colon, rest = words.partition(":")
    known = sorted({prefix.partition(":")[0] for prefix, _ in PREFIXES})
    found = nearest(first, known) if colon and rest and "/" not in first and first not in known else ""
    return f"{found}:{rest}" if found else ""


def _name(words: str, names: Iterable[str]) -> str:
    """A name of the engine; without a tag it is compared without."""
    known = list(names)
    found = nearest(words, known)
    if not found and ":" not in words.rpartition("/")[2]:
        bare = {name.rpartition(":")[0]: name for name in known}
        found = bare.get(nearest(words, bare), "")
    return found

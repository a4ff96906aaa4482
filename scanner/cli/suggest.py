"""What a misspelt command or image may have meant."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence

#: of a directory so many names are looked at
_MOST = 10_000
_ALIKE = 0.65
#: names of commands are short: at less, alpine is a misspelt baseline, and memcached a cache
_ALIKE_COMMAND = 0.75
#: where Podman keeps images (containers-transports(5), with a [place] or without): the engine is asked for them
_STORAGE = "containers-storage:"


def command(word: str, commands: Sequence[str]) -> str:
    """The command that *word*, taken for an image, may have meant; empty if none is near, or if it is a file."""
    return "" if os.path.exists(word) else _nearest(word, commands, _ALIKE_COMMAND)


def image(reference: str) -> str:
    """The file beside it, or the image of the engine, that *reference* may have meant; empty if none is near."""
    from scanner.image.reference import Form, looks_like_archive, looks_like_path, path_and_tag, split_form

    if reference.startswith(_STORAGE):
        return f"podman:{reference.removeprefix(_STORAGE).rpartition(']')[2]}"
    form, rest = split_form(reference)
    if form is Form.STDIN or form is Form.REGISTRY or os.path.exists(rest):
        return ""
    path, tag = path_and_tag(rest)
    if form is Form.ANY and tag:  # one of several images in it; Path.is_file() raises where one may not look
        if os.path.isfile(path / "oci-layout"):
            return f"oci-dir:{rest}"
        if os.path.isfile(path) and looks_like_archive(path.name):
            return f"docker-archive:{rest}"
    prefix = reference.removesuffix(rest)
    folder, name = os.path.split(rest)
    if looks_like_path(rest) or form is Form.FILE or (folder and os.path.isdir(folder)):
        near = _nearest(name, _names(folder or "."))
        return prefix + os.path.join(folder, near) if near else ""
    from scanner.image.engine.images import tags

    known = tags(form)
    # without a tag the nearest name counts, whatever its tag
    by_name = {tag: tag for tag in known} if ":" in rest else {tag.rpartition(":")[0]: tag for tag in known}
    near = _nearest(rest, by_name)
    found = by_name.get(near, "") or _nearest(rest, _names("."))
    return prefix + found if found and found != rest else ""


def _nearest(word: str, names: Iterable[str], alike: float = _ALIKE) -> str:
    close = difflib.get_close_matches(word, [name for name in names if name != word], 1, alike)
    return close[0] if close else ""


def _names(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for _, entry in zip(range(_MOST), entries, strict=False)]
    except OSError:
        return []

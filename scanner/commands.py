"""Commands that a person can paste to see the bytes of a proof with tar, a decompressor, tail and head."""

from __future__ import annotations

import shlex

from scanner.image.model import OpenedImage
from scanner.locate import Place

_EXPAND = {"gzip": "gzip -dc", "zstd": "zstd -dc", "bzip2": "bzip2 -dc", "xz": "xz -dc"}


def show(opened: OpenedImage, place: Place) -> str:
    """The command for *place*. It addresses bytes by offset, so it works whatever the member is called."""
    offset, length = place.stored
    source, lead = _blob(opened, place)
    parts = [source]
    if place.compression in _EXPAND:
        parts.append(_EXPAND[place.compression])
    parts += [f"tail -c +{lead + offset + 1}", f"head -c {length}"]
    return " | ".join(parts)


def _blob(opened: OpenedImage, place: Place) -> tuple[str, int]:
    """The command that prints the stored bytes of the blob, and how many bytes come before them."""
    member = place.blob.member
    archive = _archive(opened)
    if member is None and archive is None:
        return f"cat {shlex.quote(place.blob.file.name)}", place.blob.offset
    if member is None:
        return archive or "", place.blob.offset
    if archive is None or not opened.path:
        return f"{archive or 'cat ARCHIVE'} | tar -xO -f - {shlex.quote(member)}", 0
    return f"tar -xOf {shlex.quote(opened.path)} {shlex.quote(member)}", 0


def _archive(opened: OpenedImage) -> str | None:
    """The command that prints the plain archive the image lies in; None for directories."""
    if opened.exported:
        engine = "podman" if opened.source == "podman" else "docker"
        return f"{engine} save {shlex.quote(opened.exported)}"
    if opened.source in ("oci-dir", "dir"):
        return None
    expand = _EXPAND.get(opened.compression, "cat")
    return f"{expand} {shlex.quote(opened.path)}" if opened.path else f"{expand} ARCHIVE"

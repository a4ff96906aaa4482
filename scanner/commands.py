"""Commands that a person can paste to see the bytes of a proof with tar, a decompressor, tail and head; those in a
registry come by crane (go-containerregistry), as no standard tool prints a single blob."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace

from scanner.evidence import Surface
from scanner.image.model import OpenedImage
from scanner.places.locate import Place

#: what expands blobs of each compression
EXPAND = {"gzip": "gzip -dc", "zstd": "zstd -dc", "bzip2": "bzip2 -dc", "xz": "xz -dc"}


def show(opened: OpenedImage, place: Place, redacted: Callable[[str], str]) -> str:
    """The command for *place*. It addresses bytes by offset, so it works whatever the member is called.

    Only names go through *redacted*: a mask in our own words would tell what a common word hides.
    """
    offset, length = place.stored
    source, lead = _blob(opened, place, redacted)
    parts = [source]
    if place.compression in EXPAND:
        parts.append(EXPAND[place.compression])
    parts += [f"tail -c +{lead + offset + 1}", f"head -c {length}"]
    return " | ".join(parts)


def _blob(opened: OpenedImage, place: Place, redacted: Callable[[str], str]) -> tuple[str, int]:
    """The command that prints the stored bytes of the blob, and how many bytes come before them."""
    if place.blob.within is not None:
        document, start, length = place.blob.within
        source, lead = _blob(opened, replace(place, blob=document), redacted)
        return f"{source} | tail -c +{lead + start + 1} | head -c {length} | base64 -d", 0
    member = place.blob.member
    if place.blob.file.repository:  # the image's, or that of a build cache
        digest = shlex.quote(redacted(f"{place.blob.file.repository}@{place.blob.name}"))
        return f"crane {'manifest' if member else 'blob'} {digest}", 0
    archive = _archive(opened, redacted)
    if member is None and (archive is None or place.surface is Surface.CACHE):  # caches lie in directories of their own
        return f"cat {_file(place.blob.file.name, redacted)}", place.blob.offset
    if member is None:
        return archive or "", place.blob.offset
    if archive is None or not opened.path:
        return f"{archive or 'cat ARCHIVE'} | tar -xO -f - {shlex.quote(redacted(member))}", 0
    return f"tar -xOf {_file(opened.path, redacted)} {shlex.quote(redacted(member))}", 0


def _file(path: str, redacted: Callable[[str], str]) -> str:
    """A path that no tool takes for an option or for HOST:FILE."""
    clear = redacted(path)
    return shlex.quote(f"./{clear}" if path.startswith("-") or (":" in path and not path.startswith("/")) else clear)


def _archive(opened: OpenedImage, redacted: Callable[[str], str]) -> str | None:
    """The command that prints the plain archive the image lies in; None for directories."""
    if opened.exported:
        engine = "podman" if opened.source == "podman" else "docker"
        return f"{engine} save {shlex.quote(redacted(opened.exported))}"
    if opened.source in ("oci-dir", "dir"):
        return None
    expand = EXPAND.get(opened.compression, "cat")
    return f"{expand} {_file(opened.path, redacted)}" if opened.path else f"{expand} ARCHIVE"

"""Tells which form a store has, and has its images read by the reader of that form."""

from __future__ import annotations

from scanner.errors import ImageUnavailable, LeakscanError, MalformedImage
from scanner.evidence import Gap
from scanner.image import archive, dirform, layout
from scanner.image.assembly import Assembly
from scanner.image.reference import shown
from scanner.image.store import Kind, Store


def read(assembly: Assembly, tag: str) -> str:
    """Read the store by whatever form it has; returns the name of the source.

    Args:
        tag: of the only image that is wanted, empty for all that there are.

    Raises:
        ImageUnavailable: it holds no image, or none of that *tag*.
        MalformedImage: it is damaged, or what it holds cannot be used as an image.
        OSError: it cannot be read.
    """
    store = assembly.store
    manifest = store.find(archive.MANIFEST)
    listed = manifest is not None and manifest.read(0, 64).lstrip()[:1] != b"{"
    if store.find(layout.INDEX) is not None or store.find(layout.LAYOUT) is not None:
        _read_layout(assembly, tag, listed)
        if store.kind is Kind.DIRECTORY:
            return "oci-dir"
        return "docker-archive" if listed else "oci-archive"
    if listed:
        archive.read_archive(assembly)
        _keep_named(assembly, tag)
        return "docker-archive"
    if manifest is not None:
        dirform.read_directory(assembly)
        return "dir"
    raise _no_image(store)


def _read_layout(assembly: Assembly, tag: str, listed: bool) -> None:
    """An OCI layout, which may be a docker-archive as well; engines differ in which of the two they believe."""
    try:
        layout.read_layout(assembly, tag)
    except LeakscanError as error:
        if not listed or tag:
            raise
        assembly.gaps.append(Gap(layout.INDEX, "", "manifest.malformed", None, error.what))
    if listed and not tag:
        archive.cross_check(assembly)


def _keep_named(assembly: Assembly, tag: str) -> None:
    if not tag:
        return
    found = [image for image in assembly.images if tag in image.names]
    if not found:
        names = ", ".join(sorted({shown(name) for image in assembly.images for name in image.names})) or "none"
        raise ImageUnavailable(f"{assembly.store.name} has no image {shown(tag)}", f"Names in it: {names}.")
    assembly.images[:] = found


def _no_image(store: Store) -> LeakscanError:
    name = shown(store.name)
    damaged = next((gap for gap in store.gaps if store.kind is Kind.ARCHIVE), None)
    if damaged:
        return MalformedImage(f"no image can be read from {name}: {damaged.detail}", "Export or download it again.")
    tip = "docker save writes an image; docker export writes a file system only."
    return ImageUnavailable(f"{name} holds no image: neither index.json nor manifest.json is in it", tip)

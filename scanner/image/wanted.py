"""Of all that was read of a source, what was asked for: the images of some platforms, and what is missing of them."""

from __future__ import annotations

from dataclasses import dataclass

from scanner.errors import ImageUnavailable, LeakscanError
from scanner.evidence import Gap, Surface
from scanner.image import layout
from scanner.image.assembly import Assembly
from scanner.image.documents import refusal
from scanner.image.model import Image, OpenedImage
from scanner.image.reference import matches, parse_platform, shown
from scanner.oci import Descriptor, Platform

_NO_ATTESTATIONS = "attestations: an engine hands over none that it did not build itself; read the registry for those"


@dataclass(frozen=True, slots=True)
class Asked:
    """The user's words for an image and a platform; see `open_image`."""

    reference: str
    platform: str | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a store came from, as the opened image will tell."""

    source: str = ""
    path: str = ""
    exported: str = ""
    tag: str = ""


def opened_image(asked: Asked, assembly: Assembly, source: str, origin: Origin) -> OpenedImage:
    """What was asked for of what was read; *source* is what to call it if *origin* does not. Raises LeakscanError."""
    store = assembly.store
    images = _selected(asked, assembly)
    notes = list(assembly.notes)
    if origin.source and not any(document.surface == Surface.ATTESTATION for document in assembly.documents):
        notes.append(_NO_ATTESTATIONS)
    return OpenedImage(
        asked.reference,
        origin.source or source,
        tuple(images),
        tuple(assembly.documents),
        (*store.gaps, *assembly.gaps),
        tuple(store.opened),
        tuple(notes),
        origin.path,
        origin.exported,
        store.compression,
        tuple(assembly.referrers),
    )


def _selected(asked: Asked, assembly: Assembly) -> list[Image]:
    """The images of the platforms asked for; says what is not here. Raises LeakscanError if that is everything."""
    platform = parse_platform(asked.platform) if asked.platform is not None else None
    missing = [entry for entry in assembly.absent if not layout.is_attestation_descriptor(entry)]
    if len(missing) < len(assembly.absent):
        assembly.notes.append("attestations: the index names some that are not in it")
    if not assembly.images:
        raise _nothing(assembly, missing)
    present = [image for image in assembly.images if platform is None or matches(platform, image.platform)]
    if not present:
        found = ", ".join(sorted({str(image.platform) for image in assembly.images}))
        raise ImageUnavailable(f"{shown(assembly.store.name)} has no image for {platform}", f"It has: {found}.")
    for entry in missing:
        _tell_missing(asked, assembly, entry, platform)
    return present


def _tell_missing(asked: Asked, assembly: Assembly, entry: Descriptor, only: Platform | None) -> None:
    """A manifest that is not here is a gap, unless it is of a platform that nobody asked for."""
    platform = entry.platform or Platform()
    if only is not None and platform != Platform() and not matches(only, platform):
        return
    elsewhere = platform != Platform() and platform not in {image.platform for image in assembly.images}
    if asked.platform is None and elsewhere:
        assembly.notes.append(f"{shown(str(platform))}: named in the index, but not here; not scanned")
        return
    text = f"the manifest for {shown(str(platform))} is not here"
    assembly.gaps.append(Gap(entry.digest, "", "manifest.missing", entry.size, text))


def _nothing(assembly: Assembly, missing: list[Descriptor]) -> LeakscanError:
    if assembly.refused:
        return assembly.refused[0]
    if missing:
        named = ", ".join(sorted({shown(str(entry.platform or Platform())) for entry in missing}))
        tip = f"Its index names: {named}. Export the image together with its blobs."
        return ImageUnavailable(f"{shown(assembly.store.name)} holds none of the manifests that it names", tip)
    return refusal(shown(assembly.store.name), "lists no image")

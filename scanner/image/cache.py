"""BuildKit cache exports: the layers of all stages of a build, also of those that never reach the image.

An export is a manifest whose config is a cache config, or in its older shape an index that lists layers and the cache
config side by side. It says nothing of build steps; a layer that the image has too is known by its diffID.

Source: BuildKit cache/remotecache/export.go, cache/remotecache/v1/types.
"""

from __future__ import annotations

from collections.abc import Collection

from scanner.errors import ImageUnavailable
from scanner.evidence import Gap, Surface
from scanner.image.assembly import Assembly
from scanner.image.blob import Blob
from scanner.image.manifests import CACHE_CONFIG, Index, Manifest
from scanner.image.model import Document
from scanner.oci import Descriptor


class CacheExport(ImageUnavailable):
    """It is no image, but a build cache, which can be read as one."""


#: how a report names a layer of a cache that is none of the image's own
ONLY = "cache only, layer "


def add_cache(
    assembly: Assembly,
    entry: Descriptor,
    blob: Blob,
    manifest: Manifest | Index,
    gaps: list[Gap],
    known: Collection[str] = (),
) -> None:
    """Add the manifest, cache config and layers of an export as documents; a part that is not here is a gap.

    Args:
        gaps: those found with the manifest itself.
        known: digests of layers that are read with the image.

    Raises OSError.
    """
    assembly.documents.append(Document(Surface.CACHE, entry.digest, blob))
    parts = (manifest.config, *manifest.layers) if isinstance(manifest, Manifest) else manifest.manifests
    for part in {each.digest: each for each in parts if each.digest not in known}.values():
        is_config = part.media_type == CACHE_CONFIG
        inner = assembly.blob(part, blob)
        if inner is None:
            reason = "config.missing" if is_config else "layer.missing"
            gaps.append(Gap(part.digest, "", reason, part.size, "a part of the build cache is not here"))
            continue
        gaps += assembly.check(part, inner)
        where = part.digest if is_config else f"{ONLY}{part.digest}"
        assembly.documents.append(assembly.document(Surface.CACHE, where, inner, is_config))
    assembly.gaps += gaps

"""skopeo's `dir:` form: manifest.json is the manifest itself, blobs lie beside it under their bare digests.

Source: containers-image directory/directory_transport.go; for schema 1 see `manifests`.
"""

from __future__ import annotations

from scanner.evidence import Gap, Surface
from scanner.image.assembly import Assembly, digest_like, stacked
from scanner.image.blob import Blob
from scanner.image.documents import refusal
from scanner.image.layout import cache_refusal, image_of_manifest, take
from scanner.image.manifests import Index, Manifest, Schema1, read_manifest
from scanner.image.model import Document, Image, Layer
from scanner.oci import Config, Descriptor

MANIFEST = "manifest.json"
_SCHEMA1_LAYER = "application/vnd.docker.container.image.rootfs.diff+x-gtar"


def read_directory(assembly: Assembly) -> None:
    """Add the image of the store's manifest.json. Raises MalformedImage, ImageUnavailable, OSError."""
    blob = assembly.store.find(MANIFEST)
    if blob is None:
        raise refusal(assembly.store.name, f"has no {MANIFEST}")
    raw = assembly.read(blob, MANIFEST)
    manifest = read_manifest(raw, MANIFEST, assembly.limits)
    digest = digest_like("sha256", raw)
    if isinstance(manifest, Schema1):
        assembly.images.append(schema1(assembly, blob, digest, manifest))
    elif manifest.is_cache:
        raise cache_refusal(assembly)
    elif isinstance(manifest, Manifest):
        entry = Descriptor(manifest.media_type, digest, blob.size)
        assembly.images.append(image_of_manifest(assembly, entry, blob, manifest, []))
    else:
        _index(assembly, blob, manifest)


def _index(assembly: Assembly, blob: Blob, index: Index) -> None:
    """`skopeo copy --all`: the manifests of the index lie beside it as <digest>.manifest.json."""
    assembly.documents.append(Document(Surface.ANNOTATION, MANIFEST, blob))
    for entry in index.manifests:
        name = f"{entry.digest.partition(':')[2]}.{MANIFEST}"
        inner = assembly.store.find(name)
        if inner is None:
            assembly.absent.append(entry)
            continue
        if (found := assembly.read_entry(entry, inner)) is not None:
            take(assembly, entry, inner, *found)


def schema1(assembly: Assembly, blob: Blob, digest: str, manifest: Schema1) -> Image:
    """The image of a schema 1 manifest, which has no config: it holds what others keep there. Raises OSError."""
    layers = []
    gaps: list[Gap] = []
    for each in manifest.layers:
        found = assembly.blob(Descriptor(_SCHEMA1_LAYER, each, 0), blob)
        size, absent = (found.size, "") if found else (0, "layer.missing")
        layers.append(Layer(0, each, None, size, _SCHEMA1_LAYER, found, absent))
    stack = stacked(layers, (), manifest.history, gaps, counted=False)
    config = Config(manifest.platform, (), manifest.history)
    documents = (Document(Surface.CONFIG, MANIFEST, blob),)
    return Image(manifest.platform, digest, None, config, stack, documents, tuple(gaps))

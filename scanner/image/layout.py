"""OCI layout: every image that index.json leads to, through indexes inside indexes; attestations beside them.

Sources: image-spec image-layout.md, image-index.md; BuildKit docs/attestations/attestation-storage.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from scanner.errors import ImageUnavailable, LeakscanError
from scanner.evidence import Gap, Surface
from scanner.image.assembly import Assembly, stacked
from scanner.image.blob import Blob
from scanner.image.cache import CacheExport, add_cache
from scanner.image.documents import refusal
from scanner.image.manifests import IN_TOTO, Index, Manifest, Schema1, read_manifest
from scanner.image.model import Document, Image, Layer
from scanner.oci import Config, Descriptor, Platform

INDEX, LAYOUT = "index.json", "oci-layout"
REF_NAME, CONTAINERD_NAME = "org.opencontainers.image.ref.name", "io.containerd.image.name"
_REFERENCE_TYPE = "vnd.docker.reference.type"
_ATTESTATION = "attestation-manifest"
#: the annotation of an index entry that is an attestation
ATTESTATION_MARK = {_REFERENCE_TYPE: _ATTESTATION}
#: times `limits.index_manifests`: descriptors followed in all indexes together
ALL_MANIFESTS = 4
_CACHE = "is a BuildKit cache export, not an image"
_CACHE_TIP = (
    "Scan the image that was built with it, and add --cache-from type=local,src=DIRECTORY or type=registry,ref=REF."
)
#: tags under which signatures and statements lie where a registry knows no referrers (cosign, referrers fallback)
_REFERRER_TAG = re.compile(r"sha256-[0-9a-f]{64}(?:\.(?:att|sig|sbom))?")


@dataclass(slots=True)
class _Visit:
    """The walk over a layout's indexes. Each manifest is read once, however many indexes name it. *top* is the digest
    that a name points to: of the entry that the walk is below."""

    assembly: Assembly
    seen: dict[str, int | None]
    followed: int = 0
    top: str = ""


def read_layout(assembly: Assembly, tag: str = "") -> None:
    """Add every image that index.json of the store leads to, or those of one reference name.

    Raises:
        MalformedImage: index.json is missing or broken.
        ImageUnavailable: no entry has the name *tag*, or this is a cache export.
        OSError: the store cannot be read.
    """
    blob = assembly.store.find(INDEX)
    if blob is None:
        raise refusal(assembly.store.name, f"has no {INDEX}")
    layout = assembly.store.find(LAYOUT)
    if layout is not None:
        assembly.documents.append(Document(Surface.METADATA, LAYOUT, layout))
    assembly.documents.append(Document(Surface.ANNOTATION, INDEX, blob))
    index = read_manifest(assembly.read(blob, INDEX), INDEX, assembly.limits)
    if not isinstance(index, Index):
        raise refusal(INDEX, "is no index")
    if index.is_cache:
        raise cache_refusal(assembly)
    entries = _selected(assembly, index, tag) if tag else index.manifests
    visit = _Visit(assembly, {})
    for entry in entries:
        visit.top = entry.digest
        _follow(visit, entry, blob, 1)


def read_entry(assembly: Assembly, entry: Descriptor) -> None:
    """Add every image that one descriptor leads to. Raises OSError if the store cannot be read."""
    _follow(_Visit(assembly, {}, top=entry.digest), entry, None, 1)


def read_cache(assembly: Assembly) -> None:
    """Add every cache export that index.json of the store leads to. What else lies there is a leftover.

    Raises:
        MalformedImage: index.json is missing or broken.
        ImageUnavailable: there is no cache export.
        OSError: the store cannot be read.
    """
    blob = assembly.store.find(INDEX)
    if blob is None:
        raise refusal(assembly.store.name, f"has no {INDEX}")
    raw = assembly.read(blob, INDEX)
    index = read_manifest(raw, INDEX, assembly.limits)
    if not isinstance(index, Index):
        raise refusal(INDEX, "is no index")
    top = Descriptor("", INDEX, blob.size)
    found = index.is_cache
    if index.is_cache:
        add_cache(assembly, top, blob, index, [])
    else:
        assembly.documents.append(Document(Surface.CACHE, INDEX, blob))
    for entry in () if index.is_cache else index.manifests:
        inner = assembly.blob(entry, blob)
        if inner is None:
            text = "the cache manifest is not here"
            assembly.gaps.append(Gap(entry.digest, "", "manifest.missing", entry.size, text))
            continue
        raw = assembly.read(inner, entry.digest)
        manifest = read_manifest(raw, entry.digest, assembly.limits)
        if not isinstance(manifest, Schema1) and manifest.is_cache:
            found = True
            add_cache(assembly, entry, inner, manifest, assembly.check(entry, inner, raw))
    if not found:
        raise ImageUnavailable(f"{assembly.store.name} holds no build cache", "It is what --cache-to type=local wrote.")


def cache_refusal(assembly: Assembly) -> CacheExport:
    """The error for a cache export."""
    return CacheExport(f"{assembly.store.name} {_CACHE}", _CACHE_TIP)


def _names(entry: Descriptor) -> tuple[str, ...]:
    full, short = entry.annotations.get(CONTAINERD_NAME, ""), entry.annotations.get(REF_NAME, "")
    return tuple(name for name in dict.fromkeys((full, short)) if name)


def _selected(assembly: Assembly, index: Index, tag: str) -> list[Descriptor]:
    found = [entry for entry in index.manifests if tag in _names(entry)]
    if not found:
        names = ", ".join(sorted({name for entry in index.manifests for name in _names(entry)})) or "none"
        raise ImageUnavailable(f"{assembly.store.name} has no image of that name", f"Names in it: {names}.")
    return found


def _follow(visit: _Visit, entry: Descriptor, index: Blob | None, depth: int) -> None:
    """Read what a descriptor leads to; *index* holds it, if anything does."""
    assembly = visit.assembly
    if entry.digest in visit.seen:
        _name_again(assembly, visit.seen[entry.digest], entry)
        return
    visit.followed += 1
    if depth > assembly.limits.index_depth or visit.followed > ALL_MANIFESTS * assembly.limits.index_manifests:
        assembly.gaps.append(Gap(entry.digest, "", "limit.index", entry.size, "indexes lead to more than the limit"))
        assembly.refused.append(refusal(entry.digest, "lies behind more indexes or manifests than the limit"))
        return
    visit.seen[entry.digest] = None
    blob = assembly.manifest(entry, index)
    if blob is None:
        assembly.absent.append(entry)
        return
    found = assembly.read_entry(entry, blob)
    if found is None:
        return
    manifest, gaps = found
    if isinstance(manifest, Index) and not manifest.is_cache:
        assembly.documents.append(Document(Surface.ANNOTATION, entry.digest, blob))
        assembly.gaps += gaps
        names = {key: entry.annotations[key] for key in (REF_NAME, CONTAINERD_NAME) if key in entry.annotations}
        for inner in manifest.manifests:
            _follow(visit, replace(inner, annotations={**names, **inner.annotations}), blob, depth + 1)
        return
    before = len(assembly.images)
    take(assembly, entry, blob, manifest, gaps)
    if len(assembly.images) > before:
        visit.seen[entry.digest] = before
        if visit.top != entry.digest:
            assembly.images[before] = replace(assembly.images[before], tagged=visit.top)


def take(
    assembly: Assembly, entry: Descriptor, blob: Blob, manifest: Manifest | Index | Schema1, gaps: list[Gap]
) -> None:
    """Add what the manifest of an index entry stands for: an image, or an attestation. Raises OSError."""
    if isinstance(manifest, Manifest) and _is_attestation(entry, manifest):
        _attestation(assembly, entry, blob, manifest, gaps)
        return
    if isinstance(manifest, Manifest) and not manifest.is_cache:
        assembly.images.append(image_of_manifest(assembly, entry, blob, manifest, gaps))
        return
    if not isinstance(manifest, Schema1) and manifest.is_cache:
        add_cache(assembly, entry, blob, manifest, gaps)
        assembly.refused.append(ImageUnavailable(f"{entry.digest} {_CACHE}", _CACHE_TIP))
        return
    assembly.documents.append(Document(Surface.ANNOTATION, entry.digest, blob))
    if isinstance(manifest, Schema1):
        refused: LeakscanError = refusal(entry.digest, "is a schema 1 manifest, which has no place in an index")
    else:
        refused = refusal(entry.digest, "is an index inside the index of a directory")
    assembly.refused.append(refused)
    assembly.gaps += [*gaps, Gap(entry.digest, "", "manifest.malformed", blob.size, refused.what)]


def _name_again(assembly: Assembly, place: int | None, entry: Descriptor) -> None:
    """A manifest that was read before has one name more."""
    if place is not None:
        image = assembly.images[place]
        assembly.images[place] = replace(image, names=tuple(dict.fromkeys((*image.names, *_names(entry)))))


def image_of_manifest(assembly: Assembly, entry: Descriptor, blob: Blob, manifest: Manifest, gaps: list[Gap]) -> Image:
    """The image of a manifest; *gaps* are those found with the manifest itself. Raises OSError."""
    documents = [Document(Surface.ANNOTATION, entry.digest, blob)]
    config = _config(assembly, manifest, blob, documents, gaps)
    stack: list[Layer] = []
    for layer in stacked(
        [assembly.layer(each, blob, gaps) for each in manifest.layers],
        config.diff_ids if config else (),
        config.history if config else (),
        gaps,
        config is not None,
    ):
        if layer.blob is None or not _is_document(layer.media_type, manifest.is_image):
            stack.append(layer)
            continue
        statement = layer.media_type.endswith("json")
        surface = Surface.ATTESTATION if statement else Surface.METADATA
        documents.append(assembly.document(surface, layer.blob.name, layer.blob, is_json=statement))
    layers = tuple(replace(layer, index=index) for index, layer in enumerate(stack))
    platform = config.platform if config and config.platform != Platform() else entry.platform or Platform()
    return Image(
        platform, entry.digest, manifest.config.digest, config, layers, tuple(documents), tuple(gaps), _names(entry)
    )


def _is_document(media_type: str, in_image: bool) -> bool:
    """Whether a layer is no file system: a statement, or what an artifact carries."""
    statement = media_type == IN_TOTO or (media_type.endswith("json") and "tar" not in media_type)
    return statement if in_image else ".tar" not in media_type and "tar+" not in media_type


def _config(
    assembly: Assembly, manifest: Manifest, document: Blob, documents: list[Document], gaps: list[Gap]
) -> Config | None:
    descriptor = manifest.config
    blob = assembly.blob(descriptor, document)
    if blob is None:
        gaps.append(Gap(descriptor.digest, "", "config.missing", descriptor.size, "the config is not here"))
        return None
    small = blob.size <= assembly.limits.document_bytes
    gaps += assembly.check(descriptor, blob, blob.read() if small else None)
    is_json = manifest.is_image or descriptor.media_type.endswith("json")
    documents.append(assembly.document(Surface.CONFIG, descriptor.digest, blob, is_json))
    return assembly.config(blob, descriptor.digest, gaps) if manifest.is_image else None


def _is_attestation(entry: Descriptor, manifest: Manifest) -> bool:
    about = manifest.subject is not None and not manifest.is_image
    return is_attestation_descriptor(entry) or manifest.is_attestation or about


def _attestation(assembly: Assembly, entry: Descriptor, blob: Blob, manifest: Manifest, gaps: list[Gap]) -> None:
    """The manifest, config and statements of an attestation as documents; a part that is not here is a gap."""
    surface = Surface.ATTESTATION
    assembly.documents.append(Document(surface, entry.digest, blob))
    for part in (manifest.config, *manifest.layers):
        inner = assembly.blob(part, blob)
        if inner is None:
            gaps.append(Gap(part.digest, "", "attestation.missing", part.size, "a part of an attestation is not here"))
            continue
        gaps += assembly.check(part, inner)
        assembly.documents.append(assembly.document(surface, part.digest, inner, part.media_type.endswith("json")))
    assembly.gaps += gaps


def is_attestation_descriptor(entry: Descriptor) -> bool:
    """Whether an index marks this entry as an attestation, or a tag as something about another manifest."""
    tag = entry.annotations.get(REF_NAME, "").rpartition(":")[2]
    return entry.annotations.get(_REFERENCE_TYPE) == _ATTESTATION or _REFERRER_TAG.fullmatch(tag) is not None

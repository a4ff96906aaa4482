"""The images that a reference leads to in a registry: index, platforms, attestations, referrers.

Source: distribution-spec, "Listing Referrers"; cosign's tags `sha256-<hex>.sig`, `.att` and `.sbom`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from scanner.errors import ImageUnavailable, LeakscanError, MalformedImage, RegistryFault
from scanner.evidence import Gap, Surface
from scanner.image import dirform, layout
from scanner.image.assembly import Assembly
from scanner.image.blob import Blob
from scanner.image.cache import add_cache
from scanner.image.manifests import Index, Schema1, read_manifest
from scanner.image.model import Document
from scanner.image.reference import Reference
from scanner.image.registry.client import Client, RawManifest, digest_of
from scanner.image.registry.store import RegistryStore
from scanner.oci import Descriptor

_COSIGN = (".sig", ".att", ".sbom")


def read_repository(
    assembly: Assembly, store: RegistryStore, client: Client, reference: Reference, tags: Collection[str] | None = None
) -> str:
    """Add every image that *reference* leads to; returns the digest of the manifest or index it names.

    Args:
        tags: those of the repository, if they are known: then none is looked for that is not among them.

    Raises:
        ImageUnavailable: there is no such image, or the registry does not give it.
        MalformedImage: what it gives is no image.
        OSError: no file can be made for it.
    """
    found = client.manifest(reference.version)
    if found is None:
        raise ImageUnavailable(f"{client.repository.host} has no such image", "Check repository and tag.")
    blob = store.keep(found)
    manifest = read_manifest(found.raw, found.digest, assembly.limits)
    if isinstance(manifest, Schema1):
        assembly.images.append(dirform.schema1(assembly, blob, found.digest, manifest))
        return found.digest
    if manifest.is_cache:
        raise layout.cache_refusal(assembly)
    layout.read_entry(assembly, Descriptor(found.media_type, found.digest, len(found.raw)))
    subjects = [found.digest, *(image.manifest_digest for image in assembly.images if image.manifest_digest)]
    for subject in dict.fromkeys(subjects):
        _referrers(assembly, store, client, subject, tags)
    return found.digest


def read_cache(
    assembly: Assembly, store: RegistryStore, client: Client, reference: Reference, known: Collection[str]
) -> None:
    """Add the build cache that *reference* names, in either form: `image-manifest=true` or an index of layers.

    Args:
        known: digests of layers that are read with the image.

    Raises:
        ImageUnavailable: there is no such cache, or the registry does not give it.
        MalformedImage: its manifest is broken.
        OSError: no file can be made for it.
    """
    host = client.repository.host
    found = client.manifest(reference.version)
    if found is None:
        raise ImageUnavailable(f"{host} has no such build cache", "Check repository and tag.")
    blob = store.keep(found)
    manifest = read_manifest(found.raw, found.digest, assembly.limits)
    if isinstance(manifest, Schema1) or not manifest.is_cache:
        tip = "It is what --cache-to type=registry,ref=REF wrote. An image is scanned by its own name."
        raise ImageUnavailable(f"{found.digest} is no build cache", tip)
    entry = Descriptor(found.media_type, found.digest, len(found.raw))
    add_cache(assembly, entry, blob, manifest, assembly.check(entry, blob, found.raw), known)


def _referrers(
    assembly: Assembly, store: RegistryStore, client: Client, subject: str, tags: Collection[str] | None
) -> None:
    """All that refers to a manifest, as documents; what cannot be read is a gap."""
    try:
        raw = client.referrers(subject, tags)
        if raw is not None:
            assembly.referrers.append(digest_of(raw, ""))
            _listed(assembly, store, subject, raw)
        for suffix in _COSIGN:
            tag = f"{subject.replace(':', '-')[:122]}{suffix}"
            there = client.pointer(tag) is not None if tags is None else tag in tags
            if there and (found := client.manifest(tag)) is not None:
                _refer(assembly, store, found)
    except RegistryFault as error:
        assembly.gaps.append(Gap(subject, "referrers", error.reason, None, error.what))


def read_referrer(assembly: Assembly, store: RegistryStore, client: Client, reference: Reference) -> None:
    """Add what refers to an image, a signature, an attestation or an index of them, by itself: as documents.

    Raises:
        ImageUnavailable: there is no such manifest, or the registry does not give it.
        OSError: no file can be made for it.
    """
    found = client.manifest(reference.version)
    if found is None:
        raise ImageUnavailable(f"{client.repository.host} has no such manifest", "Audit it again.")
    _refer(assembly, store, found)


def _refer(assembly: Assembly, store: RegistryStore, found: RawManifest) -> None:
    assembly.referrers.append(found.digest)
    _take(assembly, Descriptor(found.media_type, found.digest, len(found.raw)), store.keep(found), found.raw)


def _listed(assembly: Assembly, store: RegistryStore, subject: str, raw: bytes) -> None:
    name = f"referrers of {subject}"
    blob = store.shelve(name, raw)
    assembly.documents.append(Document(Surface.ANNOTATION, name, blob))
    try:
        index = read_manifest(raw, name, assembly.limits)
        if not isinstance(index, Index):
            raise MalformedImage(f"{name}: is no index")
    except MalformedImage as error:
        assembly.gaps.append(Gap(name, "", "manifest.malformed", len(raw), error.what))
        return
    known = {image.manifest_digest for image in assembly.images}
    for entry in index.manifests:
        if entry.digest in known:
            continue
        inner = store.manifest(entry)
        if inner is None:
            assembly.gaps.append(Gap(entry.digest, "referrers", "attestation.missing", entry.size, ""))
            continue
        _take(assembly, entry, inner, inner.read())


def _take(assembly: Assembly, entry: Descriptor, blob: Blob, raw: bytes, depth: int = 1) -> None:
    """A manifest that refers to an image, with its parts, as surfaces of the image; each once."""
    if any(document.blob is blob for document in assembly.documents):
        return
    try:
        manifest = read_manifest(raw, entry.digest, assembly.limits)
    except LeakscanError as error:
        assembly.documents.append(Document(Surface.ATTESTATION, entry.digest, blob))
        assembly.gaps.append(Gap(entry.digest, "", "manifest.malformed", blob.size, error.what))
        return
    if not isinstance(manifest, Index):
        marked = replace(entry, annotations={**entry.annotations, **layout.ATTESTATION_MARK})
        layout.take(assembly, marked, blob, manifest, assembly.check(entry, blob, raw))
        return
    assembly.documents.append(Document(Surface.ATTESTATION, entry.digest, blob))
    if depth > assembly.limits.index_depth:
        assembly.gaps.append(Gap(entry.digest, "referrers", "limit.index", None, "indexes inside indexes"))
        return
    for inner in manifest.manifests:
        below = assembly.manifest(inner, blob)
        if below is None:
            assembly.gaps.append(Gap(inner.digest, "referrers", "attestation.missing", inner.size, ""))
        else:
            _take(assembly, inner, below, below.read(), depth + 1)

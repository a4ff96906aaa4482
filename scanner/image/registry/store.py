"""A repository of a registry as a store: documents are kept in one nameless file, layers fetched when they are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from scanner.errors import RegistryFault
from scanner.evidence import Gap
from scanner.image.blob import AwaitedFile, Blob, BlobFile, spool
from scanner.image.registry.client import Client, RawManifest, digest_of
from scanner.image.store import Kind, Store
from scanner.limits import MIB, Limits
from scanner.oci import Descriptor

#: what `Blob.member` says of manifests, which registries serve apart from blobs
MANIFEST = "manifest"


class Documents:
    """Small blobs that several images share, by digest, up to a number of bytes; the oldest go first.

    What comes out has its digest, whoever put it in: one repository must not tell what is in the images of others.
    """

    def __init__(self, most: int = 64 * MIB) -> None:
        self._most, self._size = most, 0
        self._known: dict[str, bytes] = {}

    def get(self, digest: str) -> bytes | None:
        """The bytes of a blob, None if they are not here."""
        return self._known.get(digest)

    def put(self, digest: str, raw: bytes) -> None:
        """Remember a blob, if it is the one that the digest means."""
        if digest not in self._known and len(raw) <= self._most and digest_of(raw, digest) == digest:
            self._known[digest] = raw
            self._size += len(raw)
            while self._size > self._most:
                self._size -= len(self._known.pop(next(iter(self._known))))


class RemoteFile(AwaitedFile):
    """A blob that is downloaded when it is read. Promised is its digest, which it is held to when it comes."""

    def __init__(self, client: Client, digest: str, size: int) -> None:
        super().__init__(f"{client.repository}@{digest}", digest)
        self._client, self._digest, self._size = client, digest, size
        self.repository = str(client.repository)

    def fetch(self, target: BlobFile) -> None:
        """Download it into *target*. Raises RegistryFault, OSError."""
        if not self._client.blob(self._digest, self._size, target):
            raise RegistryFault("blob.missing", f"{self._client.repository} has no blob {self._digest}")


class Connections(BlobFile):
    """Holds a client's connections among the files of an image, so that they are closed with it."""

    def __init__(self, client: Client) -> None:
        super().__init__(-1, str(client.repository))
        self._client = client

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


@dataclass(slots=True)
class RegistryStore(Store):
    """What one repository holds, by digest.

    Attributes:
        shelf: where small documents lie one behind the other.
        shared: small blobs of images that were read before.
    """

    client: Client | None = None
    limits: Limits = field(default_factory=Limits)
    shelf: BlobFile | None = None
    known: dict[str, Blob | None] = field(default_factory=dict)
    shelved: int = 0
    shared: Documents = field(default_factory=Documents)

    def blob(self, descriptor: Descriptor) -> Blob | None:
        """The blob that a descriptor means. What cannot be fetched leaves a gap and is None."""
        if descriptor.digest not in self.known:
            self.known[descriptor.digest] = self._guarded(descriptor, self._blob)
        return self.known[descriptor.digest]

    def manifest(self, descriptor: Descriptor) -> Blob | None:
        """The manifest that a descriptor means; None if there is none, or with a gap if it cannot be had."""
        key = f"{MANIFEST} {descriptor.digest}"
        if key not in self.known:
            self.known[key] = self._guarded(descriptor, self._manifest)
        return self.known[key]

    def shelve(self, name: str, raw: bytes, member: str | None = None) -> Blob:
        """Bytes as a blob. Raises OSError."""
        if self.shelf is None:
            self.shelf = spool(self.name)
            self.shelf.repository = self.name
            self.opened.append(self.shelf)
        offset = self.shelved
        view = memoryview(raw)
        while view:
            count = os.pwrite(self.shelf.fileno(), view, self.shelved)
            self.shelved += count
            view = view[count:]
        return Blob(name, self.shelf, offset, len(raw), member)

    def keep(self, found: RawManifest) -> Blob:
        """A manifest that was read as a blob."""
        blob = self.shelve(found.digest, found.raw, MANIFEST)
        self.known[f"{MANIFEST} {found.digest}"] = blob
        return blob

    def _guarded(self, descriptor: Descriptor, get: Callable[[Descriptor], Blob | None]) -> Blob | None:
        try:
            return get(descriptor)
        except RegistryFault as error:
            self.gaps.append(Gap(descriptor.digest, "", error.reason, descriptor.size, error.what))
            return None

    def _manifest(self, descriptor: Descriptor) -> Blob | None:
        assert self.client is not None
        found = self.client.manifest(descriptor.digest)
        return None if found is None else self.keep(found)

    def _blob(self, descriptor: Descriptor) -> Blob | None:
        """Configs and statements at once, whatever else when it is read; so only the size is asked for."""
        assert self.client is not None
        size: int | None = descriptor.size
        if size == 0:  # schema 1 tells no sizes
            size = self.client.blob_size(descriptor.digest)
            if size is None:
                return None
        assert size is not None
        file = RemoteFile(self.client, descriptor.digest, size)
        is_layer = ".layer." in descriptor.media_type or ".rootfs." in descriptor.media_type
        if is_layer or size > self.limits.document_bytes:
            self.opened.append(file)
            return Blob(descriptor.digest, file, 0, size)
        raw = self.shared.get(descriptor.digest)
        if raw is None:
            target = spool(descriptor.digest)
            try:
                if not self.client.blob(descriptor.digest, size, target):
                    return None
                raw = target.read(0, size)
            finally:
                target.close()
            self.shared.put(descriptor.digest, raw)
        return self.shelve(descriptor.digest, raw)


def store_of(client: Client, limits: Limits, shared: Documents | None = None) -> RegistryStore:
    """The store of a client's repository. Closing what it opened closes the client too, unless there is something
    *shared* with other images."""
    opened: list[BlobFile] = [] if shared is not None else [Connections(client)]
    store = RegistryStore(str(client.repository), Kind.REGISTRY, opened=opened, client=client, limits=limits)
    if shared is not None:
        store.shared = shared
    return store

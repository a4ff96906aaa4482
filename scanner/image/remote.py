"""A reference in the repository of a registry as an opened image, with a client that is there already."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack

from scanner.image.assembly import Assembly
from scanner.image.cache import CacheExport
from scanner.image.model import OpenedImage
from scanner.image.reference import Reference
from scanner.image.registry.client import Client
from scanner.image.registry.read import read_cache, read_referrer, read_repository
from scanner.image.registry.store import Documents, store_of
from scanner.image.wanted import Asked, Origin, opened_image
from scanner.image.withcache import with_documents
from scanner.limits import Limits


def open_remote(
    client: Client,
    reference: Reference,
    *,
    limits: Limits,
    platform: str | None,
    shared: Documents,
    name: str,
    tags: Collection[str] | None = None,
) -> OpenedImage:
    """Open the image that *reference* means in the client's repository. Close what it returns; the client stays open.

    A build cache that somebody pushed is opened as well: it has no images, only documents.

    Args:
        shared: small blobs that were read before.
        name: what the user knows it by.
        tags: those of the repository by which something refers to an image, if they are known.

    Raises:
        LeakscanError: as `open_image`.
        OSError: no file can be made for it.
    """
    with ExitStack() as files:
        try:
            opened = read(Asked(name, platform), client, reference, limits, files, shared, tags)
        except CacheExport:
            opened = _cache(name, client, reference, limits, files, shared)
        files.pop_all()
        return opened


def open_referrer(
    client: Client, reference: Reference, *, limits: Limits, shared: Documents, name: str
) -> OpenedImage:
    """Open what refers to an image in the client's repository, by itself: it has no images, only documents. Close it.

    Raises:
        LeakscanError: it cannot be read.
        OSError: no file can be made for it.
    """
    with ExitStack() as files:
        found = store_of(client, limits, shared)
        files.callback(found.close)
        assembly = Assembly(found, limits)
        read_referrer(assembly, found, client, reference)
        files.pop_all()
    empty = OpenedImage(name, "registry", (), exported=str(client.repository), referrers=tuple(assembly.referrers))
    return with_documents(empty, assembly, client.notes)


def read(
    asked: Asked,
    client: Client,
    reference: Reference,
    limits: Limits,
    files: ExitStack,
    shared: Documents | None = None,
    tags: Collection[str] | None = None,
) -> OpenedImage:
    """As `open_remote`, but nothing is closed before *files*, and a build cache is none: CacheExport is raised."""
    found = store_of(client, limits, shared)
    files.callback(found.close)
    assembly = Assembly(found, limits)
    assembly.notes += client.notes
    read_repository(assembly, found, client, reference, tags)
    return opened_image(asked, assembly, "registry", Origin(exported=str(client.repository)))


def _cache(
    name: str, client: Client, reference: Reference, limits: Limits, files: ExitStack, shared: Documents
) -> OpenedImage:
    found = store_of(client, limits, shared)
    files.callback(found.close)
    assembly = Assembly(found, limits)
    read_cache(assembly, found, client, reference, ())
    empty = OpenedImage(name, "registry", (), exported=str(client.repository))
    return with_documents(empty, assembly, client.notes)

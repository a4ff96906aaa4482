"""The build cache that a user names beside an image, from a directory or a registry."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from scanner.errors import ImageUnavailable, RegistryFault
from scanner.evidence import Surface
from scanner.image import layout
from scanner.image.assembly import Assembly
from scanner.image.blob import SPACE_TIP
from scanner.image.directory import open_directory
from scanner.image.model import OpenedImage
from scanner.image.reference import parse_reference, shown
from scanner.limits import Limits


def add_cache(opened: OpenedImage, path: Path, limits: Limits) -> OpenedImage:
    """The image with the build cache that `--cache-to type=local` wrote to a directory; close it as the image.

    Raises:
        ImageUnavailable: it cannot be read, or holds no cache.
        MalformedImage: its documents are broken.
    """
    try:
        with ExitStack() as files:
            store = open_directory(path)
            files.callback(store.close)
            assembly = Assembly(store, limits)
            layout.read_cache(assembly)
            for where, blob in store.unused():  # older exports into the same directory
                if where != layout.LAYOUT:
                    named = f"cache, unreferenced {where}"
                    assembly.documents.append(replace(assembly.leftover(named, blob), surface=Surface.CACHE))
            files.pop_all()
    except OSError as error:
        what = f"the cache {shown(str(path))} cannot be read: {error.strerror or 'input/output error'}"
        raise ImageUnavailable(what, "Name the directory that --cache-to type=local,dest=DIRECTORY wrote.") from None
    return with_documents(opened, assembly)


def add_remote_cache(opened: OpenedImage, name: str, limits: Limits) -> OpenedImage:
    """The image with the build cache that `--cache-to type=registry` wrote to a reference; close it as the image.

    Raises:
        InvalidReference: *name* is no reference.
        ImageUnavailable: the registry does not give it, or it is no cache.
        MalformedImage: its documents are broken.
    """
    # requests costs time to import, and a directory does not need it
    from scanner.image.registry import names, settings
    from scanner.image.registry.client import Client
    from scanner.image.registry.read import read_cache
    from scanner.image.registry.store import store_of

    reference = parse_reference(name)
    client = Client.connect(names.repository_of(reference), settings.from_environment(os.environ), limits, os.environ)
    store = store_of(client, limits)
    known = {layer.digest for image in opened.images for layer in image.layers if layer.digest and layer.blob}
    try:
        with ExitStack() as files:
            files.callback(store.close)
            assembly = Assembly(store, limits)
            read_cache(assembly, store, client, reference, known)
            files.pop_all()
    except (ImageUnavailable, RegistryFault) as error:
        raise ImageUnavailable(f"the cache {reference}: {error.what}", error.tip) from None
    except OSError as error:
        what = f"the cache {reference} cannot be read: {error.strerror or 'input/output error'}"
        raise ImageUnavailable(what, SPACE_TIP) from None
    return with_documents(opened, assembly, client.notes)


def with_documents(opened: OpenedImage, assembly: Assembly, notes: Collection[str] = ()) -> OpenedImage:
    """An image with the documents of a cache."""
    return replace(
        opened,
        documents=(*opened.documents, *assembly.documents),
        gaps=(*opened.gaps, *assembly.store.gaps, *assembly.gaps),
        files=(*opened.files, *assembly.store.opened),
        notes=tuple(dict.fromkeys((*opened.notes, *notes))),
    )

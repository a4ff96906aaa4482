"""`open_image(reference)`: the one place that knows every source and every form."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from scanner.errors import ImageUnavailable, InvalidReference, LeakscanError, MalformedImage, RegistryFault
from scanner.evidence import Gap, Surface
from scanner.image import archive, dirform, layout
from scanner.image.assembly import Assembly
from scanner.image.blob import Blob, BlobFile, spool
from scanner.image.cache import CacheExport
from scanner.image.directory import open_directory
from scanner.image.documents import refusal
from scanner.image.model import Document, Image, OpenedImage
from scanner.image.reference import (
    Form,
    Reference,
    is_image_id,
    looks_like_path,
    matches,
    parse_platform,
    parse_reference,
    path_and_tag,
    shown,
    split_form,
)
from scanner.image.store import Kind, Store
from scanner.image.tarball import open_tar
from scanner.layer.expand import expand, sniff
from scanner.limits import KIB, MIB, Limits
from scanner.oci import Descriptor, Platform

if TYPE_CHECKING:  # requests costs time to import, and files do not need it
    from scanner.image.registry.client import Client
    from scanner.image.registry.store import Documents

Received = Callable[[int], None]
_WRITER_SECONDS = 10.0  # until a named pipe must have a writer
_SPACE_TIP = "Free some space in TMPDIR, or set TMPDIR to a larger file system."
_NO_ATTESTATIONS = "attestations: an engine hands over none that it did not build itself; read the registry for those"


def open_image(
    reference: str,
    *,
    limits: Limits,
    platform: str | None = None,
    stdin: BinaryIO | None = None,
    progress: Received | None = None,
) -> OpenedImage:
    """Open the image that *reference* names. Close what it returns.

    Args:
        reference: name[:tag][@digest], a path, `-`, or either with the prefix of a source.
        platform: os/architecture[/variant], or all; None for all that are present.
        stdin: what `-` reads.
        progress: told of bytes as they arrive from a stream.

    Raises:
        InvalidReference: the words name nothing.
        ImageUnavailable: file or engine cannot give the image, or not for that platform.
        MalformedImage: there is something, but nothing of it can be used as an image.
        LeakscanError: nothing else is raised, whatever the bytes are.
    """
    request = _Request(reference, limits, platform, stdin, progress or (lambda _: None))
    try:
        with ExitStack() as files:
            opened = _open(request, files)
            files.pop_all()
            return opened
    except LeakscanError:
        raise
    except OSError as error:
        tip = _SPACE_TIP if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Check that it exists and can be read."
        what = f"{shown(reference)} cannot be read: {error.strerror or 'input/output error'}"
        raise ImageUnavailable(what, tip) from None
    except Exception as error:  # hostile bytes must not end in a traceback, which could quote them
        what = f"{shown(reference)} cannot be read as an image ({type(error).__name__})"
        raise MalformedImage(what, "Export the image again with the tool that made it.") from None


@dataclass(frozen=True, slots=True)
class _Request:
    """The arguments of `open_image`."""

    reference: str
    limits: Limits
    platform: str | None
    stdin: BinaryIO | None
    progress: Received


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a store came from, as the opened image will tell."""

    source: str = ""
    path: str = ""
    exported: str = ""
    tag: str = ""


def _open(request: _Request, files: ExitStack) -> OpenedImage:
    if request.platform is not None:
        parse_platform(request.platform)  # wrong usage is told before any work
    form, rest = split_form(request.reference)
    if form is Form.STDIN:
        return _from_stream(request, files)
    if form is Form.ANY and rest and os.path.lexists(rest):
        form = Form.FILE
    if not rest:
        raise InvalidReference("no image is named", "Give an image name, a path, or - for standard input.")
    if form is Form.FILE:
        path, tag = path_and_tag(rest)
        return _from_path(request, files, path, tag)
    if looks_like_path(rest) and form is Form.ANY:
        tip = "Check the path." if "/" in rest else f"For an image of that name write docker:{shown(rest)}"
        raise InvalidReference(f"there is no file or directory {shown(rest)}", tip)
    if form is Form.REGISTRY:
        return _from_registry(request, files, rest)
    return _from_engine(request, files, form, rest)


def add_cache(opened: OpenedImage, path: Path, limits: Limits) -> OpenedImage:
    """The image with the build cache that `--cache-to type=local` wrote to a directory; close it as the image.

    Raises:
        ImageUnavailable: it cannot be read, or holds no cache.
        MalformedImage: its documents are broken.
    """
    try:
        with ExitStack() as files:
            store = open_directory(path)
            files.callback(_close_all, store.opened)
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
    return _with(opened, assembly)


def add_remote_cache(opened: OpenedImage, name: str, limits: Limits) -> OpenedImage:
    """The image with the build cache that `--cache-to type=registry` wrote to a reference; close it as the image.

    Raises:
        InvalidReference: *name* is no reference.
        ImageUnavailable: the registry does not give it, or it is no cache.
        MalformedImage: its documents are broken.
    """
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
            files.callback(_close_all, store.opened)
            assembly = Assembly(store, limits)
            read_cache(assembly, store, client, reference, known)
            files.pop_all()
    except (ImageUnavailable, RegistryFault) as error:
        raise ImageUnavailable(f"the cache {reference}: {error.what}", error.tip) from None
    except OSError as error:
        what = f"the cache {reference} cannot be read: {error.strerror or 'input/output error'}"
        raise ImageUnavailable(what, _SPACE_TIP) from None
    return _with(opened, assembly, client.notes)


def _with(opened: OpenedImage, assembly: Assembly, notes: Collection[str] = ()) -> OpenedImage:
    """An image with the documents of a cache."""
    return replace(
        opened,
        documents=(*opened.documents, *assembly.documents),
        gaps=(*opened.gaps, *assembly.store.gaps, *assembly.gaps),
        files=(*opened.files, *assembly.store.opened),
        notes=tuple(dict.fromkeys((*opened.notes, *notes))),
    )


def _from_stream(request: _Request, files: ExitStack) -> OpenedImage:
    if request.stdin is None:
        tip = "Pipe an archive in: docker save IMAGE | leakscan -"
        raise ImageUnavailable("there is no standard input to read", tip)
    file = _spooled(request, files, request.stdin, "standard input")
    return _finish(request, _store(request, files, file), _Origin())


def _spooled(request: _Request, files: ExitStack, stream: BinaryIO, name: str, first: bytes = b"") -> BlobFile:
    """All bytes of a stream in a nameless file. Raises ImageUnavailable if there are more than the limit, OSError."""
    file = spool(name)
    files.callback(file.close)
    size = 0
    while chunk := first or stream.read(MIB):
        first = b""
        size += len(chunk)
        if size > request.limits.image_bytes:
            raise ImageUnavailable(f"{name} holds more than {request.limits.image_bytes} bytes", "")
        view = memoryview(chunk)
        while view:
            view = view[os.write(file.fileno(), view) :]
        request.progress(len(chunk))
    return file


def _from_path(request: _Request, files: ExitStack, path: Path, tag: str) -> OpenedImage:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise ImageUnavailable(f"there is no file or directory {shown(str(path))}", "Check the path.") from None
    origin = _Origin(path=str(path), tag=tag)
    if stat.S_ISDIR(mode):
        store = open_directory(path)
        files.callback(_close_all, store.opened)
        return _finish(request, store, origin)
    if stat.S_ISREG(mode):
        file = BlobFile.open(path)
        files.callback(file.close)
    elif stat.S_ISFIFO(mode):
        file = _from_fifo(request, files, path)
    else:
        what = f"{shown(str(path))} is neither a file nor a directory"
        raise ImageUnavailable(what, "Give an archive or a directory.")
    return _finish(request, _store(request, files, file), origin)


def _from_fifo(request: _Request, files: ExitStack, path: Path) -> BlobFile:
    """All that comes through a named pipe. Raises ImageUnavailable if nobody has it open for writing, OSError."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as stream:
        first = _first_bytes(stream.fileno(), path)
        os.set_blocking(stream.fileno(), True)
        return _spooled(request, files, stream, str(path), first)


def _first_bytes(descriptor: int, path: Path) -> bytes:
    """What a pipe gives first, nothing if its writer takes its time; without a writer a read says end of file."""
    until = time.monotonic() + _WRITER_SECONDS
    while time.monotonic() < until:
        try:
            if chunk := os.read(descriptor, 64 * KIB):
                return chunk
        except BlockingIOError:
            return b""
        time.sleep(0.02)
    raise ImageUnavailable(f"nobody writes to the pipe {shown(str(path))}", "Start what writes to it first.")


def _close_all(opened: list[BlobFile]) -> None:
    for file in opened:
        file.close()


def _store(request: _Request, files: ExitStack, file: BlobFile) -> Store:
    """The store of an archive, expanded first if it is compressed."""
    name, size = file.name, file.size()
    if size == 0:
        raise ImageUnavailable(f"{shown(name)} is empty", "Export the image again; look at the exporter's messages.")
    compression = sniff(file.read(0, 6))
    if not compression:
        store = open_tar(file, request.limits)
        files.callback(_close_all, store.opened)
        return store
    target = spool(name)
    files.callback(target.close)
    source = Blob(name, file, 0, size)
    expansion = expand(source, target, replace(request.limits, layer_bytes=request.limits.image_bytes))
    if not expansion.compression:
        raise ImageUnavailable(f"{shown(name)} is compressed with {compression}, which is not read", "Unpack it first.")
    store = open_tar(target, request.limits)
    store.opened.append(file)
    store.compression = compression
    store.gaps[:0] = expansion.gaps
    for region in expansion.outside:
        part = Blob(f"{name}@{region.offset}+{region.length}", file, region.offset, region.length)
        where = f"compressed archive, bytes {region.offset}-{region.offset + region.length}"
        store.documents.append(Document(Surface.METADATA, where, part, is_json=False))
    files.callback(_close_all, store.opened)
    return store


def _from_engine(request: _Request, files: ExitStack, form: Form, name: str) -> OpenedImage:
    from scanner.image import engine, storage  # docker costs time to import, and files do not need it

    wanted = None if request.platform in (None, "all") else request.platform
    reference = parse_reference(name)
    file = spool(shown(name))
    files.callback(file.close)
    no_engine: ImageUnavailable | None = None
    exported = None
    local: list[Store] = []

    def instead(place: storage.Place, id: str, tag: str, name: str) -> bool:
        found = storage.stored(place, id, tag, shown(name), request.limits)
        if found is not None:
            local.append(found)
            files.callback(_close_all, found.opened)
        return found is not None

    try:
        exported = engine.export(
            reference, form, file, platform=wanted, progress=request.progress, instead=instead
        )
    except ImageUnavailable as error:
        if form is not Form.ANY or is_image_id(name):
            raise
        no_engine = error  # a name without an engine is a registry's
    if exported is None:
        return _from_registry(request, files, name, no_engine)
    origin = _Origin(exported.source, "", exported.name)
    return _finish(request, local[0] if local else _store(request, files, file), origin)


def _from_registry(
    request: _Request, files: ExitStack, name: str, no_engine: ImageUnavailable | None = None
) -> OpenedImage:
    """The image out of its registry; *no_engine* is why no engine was asked before."""
    from scanner.image.registry import names, settings
    from scanner.image.registry.client import Client

    reference = parse_reference(name)
    repository = names.repository_of(reference)
    client = Client.connect(repository, settings.from_environment(os.environ), request.limits, os.environ)
    try:
        return _remote(request, files, client, reference, None)
    except ImageUnavailable as error:
        client.close()
        what = f"{reference}: {error.what}" + (f"; and {no_engine.what}" if no_engine else "")
        raise ImageUnavailable(what, error.tip) from None


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
        request = _Request(name, limits, platform, None, lambda _: None)
        try:
            opened = _remote(request, files, client, reference, shared, tags)
        except CacheExport:
            opened = _remote_cache(request, files, client, reference, shared)
        files.pop_all()
        return opened


def _remote(
    request: _Request,
    files: ExitStack,
    client: Client,
    reference: Reference,
    shared: Documents | None,
    tags: Collection[str] | None = None,
) -> OpenedImage:
    from scanner.image.registry.read import read_repository
    from scanner.image.registry.store import store_of

    found = store_of(client, request.limits, shared)
    files.callback(_close_all, found.opened)
    assembly = Assembly(found, request.limits)
    assembly.notes += client.notes
    read_repository(assembly, found, client, reference, tags)
    return _finished(request, assembly, "registry", _Origin(exported=str(client.repository)))


def _remote_cache(
    request: _Request, files: ExitStack, client: Client, reference: Reference, shared: Documents
) -> OpenedImage:
    from scanner.image.registry.read import read_cache
    from scanner.image.registry.store import store_of

    found = store_of(client, request.limits, shared)
    files.callback(_close_all, found.opened)
    assembly = Assembly(found, request.limits)
    read_cache(assembly, found, client, reference, ())
    empty = OpenedImage(request.reference, "registry", (), exported=str(client.repository))
    return _with(empty, assembly, client.notes)


def _finish(request: _Request, store: Store, origin: _Origin) -> OpenedImage:
    """Read the store by its form, and make the opened image of what was asked for."""
    assembly = Assembly(store, request.limits)
    source = _read(assembly, origin.tag)
    if not origin.tag:
        assembly.leftovers()
    return _finished(request, assembly, source, origin)


def _finished(request: _Request, assembly: Assembly, source: str, origin: _Origin) -> OpenedImage:
    """The opened image of what was asked for."""
    store = assembly.store
    images = _selected(request, assembly)
    notes = list(assembly.notes)
    if origin.source and not any(document.surface == Surface.ATTESTATION for document in assembly.documents):
        notes.append(_NO_ATTESTATIONS)
    return OpenedImage(
        request.reference,
        origin.source or source,
        tuple(images),
        tuple(assembly.documents),
        (*store.gaps, *assembly.gaps),
        tuple(store.opened),
        tuple(notes),
        origin.path,
        origin.exported,
        store.compression,
    )


def _read(assembly: Assembly, tag: str) -> str:
    """Read the store by whatever form it has; returns the name of the source."""
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


def _selected(request: _Request, assembly: Assembly) -> list[Image]:
    """The images of the platforms asked for; says what is not here. Raises LeakscanError if that is everything."""
    asked = parse_platform(request.platform) if request.platform is not None else None
    missing = [entry for entry in assembly.absent if not layout.is_attestation_descriptor(entry)]
    if len(missing) < len(assembly.absent):
        assembly.notes.append("attestations: the index names some that are not in it")
    if not assembly.images:
        raise _nothing(assembly, missing)
    present = [image for image in assembly.images if asked is None or matches(asked, image.platform)]
    if not present:
        found = ", ".join(sorted({str(image.platform) for image in assembly.images}))
        raise ImageUnavailable(f"{shown(assembly.store.name)} has no image for {asked}", f"It has: {found}.")
    for entry in missing:
        _tell_missing(request, assembly, entry, asked)
    return present


def _tell_missing(request: _Request, assembly: Assembly, entry: Descriptor, asked: Platform | None) -> None:
    """A manifest that is not here is a gap, unless it is of a platform that nobody asked for."""
    platform = entry.platform or Platform()
    if asked is not None and platform != Platform() and not matches(asked, platform):
        return
    elsewhere = platform != Platform() and platform not in {image.platform for image in assembly.images}
    if request.platform is None and elsewhere:
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

"""`open_image(reference)`: the one place that knows every source."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from scanner.errors import ImageUnavailable, InvalidReference, LeakscanError, MalformedImage
from scanner.image.arriving import Carrier, here
from scanner.image.assembly import Assembly
from scanner.image.blob import SPACE_TIP, BlobFile, spool
from scanner.image.directory import open_directory
from scanner.image.forms import read
from scanner.image.model import OpenedImage
from scanner.image.received import from_fifo, spooled, store_in
from scanner.image.reference import (
    Form,
    is_image_id,
    looks_like_path,
    parse_platform,
    parse_reference,
    path_and_tag,
    shown,
    split_form,
)
from scanner.image.store import Store
from scanner.image.wanted import Asked, Origin, opened_image
from scanner.limits import Limits


def open_image(
    reference: str,
    *,
    limits: Limits,
    platform: str | None = None,
    stdin: BinaryIO | None = None,
    carry: Carrier | None = None,
) -> OpenedImage:
    """Open the image that *reference* names. Close what it returns.

    Args:
        reference: name[:tag][@digest], a path, `-`, or either with the prefix of a source.
        platform: os/architecture[/variant], or all; None for all that are present.
        stdin: what `-` reads.
        carry: has what arrives in a stream, or comes out of a compressed archive, written into a file.

    Raises:
        InvalidReference: the words name nothing.
        ImageUnavailable: file or engine cannot give the image, or not for that platform.
        MalformedImage: there is something, but nothing of it can be used as an image.
        LeakscanError: nothing else is raised, whatever the bytes are.
    """
    request = _Request(Asked(reference, platform), limits, stdin, carry or here())
    try:
        with ExitStack() as files:
            opened = _open(request, files)
            files.pop_all()
            return opened
    except LeakscanError:
        raise
    except OSError as error:
        tip = SPACE_TIP if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Check that it exists and can be read."
        what = f"{shown(reference)} cannot be read: {error.strerror or 'input/output error'}"
        raise ImageUnavailable(what, tip) from None
    except Exception as error:  # hostile bytes must not end in a traceback, which could quote them
        what = f"{shown(reference)} cannot be read as an image ({type(error).__name__})"
        raise MalformedImage(what, "Export the image again with the tool that made it.") from None


@dataclass(frozen=True, slots=True)
class _Request:
    """The arguments of `open_image`."""

    asked: Asked
    limits: Limits
    stdin: BinaryIO | None
    carry: Carrier


def _open(request: _Request, files: ExitStack) -> OpenedImage:
    if request.asked.platform is not None:
        parse_platform(request.asked.platform)  # wrong usage is told before any work
    form, rest = split_form(request.asked.reference)
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
        _look(rest)
        tip = "Check the path." if "/" in rest else f"For an image of that name write docker:{shown(rest)}"
        raise InvalidReference(f"there is no file or directory {shown(rest)}", tip)
    if form is Form.REGISTRY:
        return _from_registry(request, files, rest)
    return _from_engine(request, files, form, rest)


def _look(path: str) -> None:
    """Raise OSError if it cannot be told whether there is such a file, as in a directory that is closed to us."""
    with suppress(FileNotFoundError, NotADirectoryError):
        os.lstat(path)


def _from_stream(request: _Request, files: ExitStack) -> OpenedImage:
    if request.stdin is None:
        tip = "Pipe an archive in: docker save IMAGE | leakscan -"
        raise ImageUnavailable("there is no standard input to read", tip)
    with _own(request.stdin) as stream:
        file = spooled(stream, "standard input", request.limits, files, request.carry)
    return _finish(request, store_in(file, request.limits, files, request.carry), Origin())


@contextmanager
def _own(stream: BinaryIO) -> Iterator[BinaryIO]:
    """A stream that nobody has read from, by a descriptor of our own: a process that is forked finds standard input
    closed."""
    try:
        descriptor = os.dup(stream.fileno())
    except io.UnsupportedOperation:  # it is in memory
        yield stream
    else:
        with open(descriptor, "rb", buffering=0) as own:
            yield own


def _from_path(request: _Request, files: ExitStack, path: Path, tag: str) -> OpenedImage:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise ImageUnavailable(f"there is no file or directory {shown(str(path))}", "Check the path.") from None
    origin = Origin(path=str(path), tag=tag)
    if stat.S_ISDIR(mode):
        store = open_directory(path)
        files.callback(store.close)
        return _finish(request, store, origin)
    if stat.S_ISREG(mode):
        file = BlobFile.open(path)
        files.callback(file.close)
    elif stat.S_ISFIFO(mode):
        file = from_fifo(path, request.limits, files, request.carry)
    else:
        what = f"{shown(str(path))} is neither a file nor a directory"
        raise ImageUnavailable(what, "Give an archive or a directory.")
    return _finish(request, store_in(file, request.limits, files, request.carry), origin)


def _from_engine(request: _Request, files: ExitStack, form: Form, name: str) -> OpenedImage:
    from scanner.image import storage
    from scanner.image.engine.export import export  # docker costs time to import, and files do not need it

    wanted = None if request.asked.platform in (None, "all") else request.asked.platform
    reference = parse_reference(name)
    file = spool(shown(name))
    files.callback(file.close)
    no_engine: ImageUnavailable | None = None
    exported = None
    local: list[Store] = []

    def instead(place: storage.Place, image: storage.Kept, name: str) -> bool:
        found = storage.stored(place, image, shown(name), request.limits)
        if found is not None:
            local.append(found)
            files.callback(found.close)
        return found is not None

    try:
        exported = export(reference, form, file, platform=wanted, carry=request.carry, instead=instead)
    except ImageUnavailable as error:
        if form is not Form.ANY or is_image_id(name):
            raise
        no_engine = error  # a name without an engine is a registry's
    if exported is None:
        return _from_registry(request, files, name, no_engine)
    origin = Origin(exported.source, "", exported.name)
    return _finish(request, local[0] if local else store_in(file, request.limits, files, request.carry), origin)


def _from_registry(
    request: _Request, files: ExitStack, name: str, no_engine: ImageUnavailable | None = None
) -> OpenedImage:
    """The image out of its registry; *no_engine* is why no engine was asked before."""
    from scanner.image import remote  # requests costs time to import, and files do not need it
    from scanner.image.registry import names, settings
    from scanner.image.registry.client import Client

    reference = parse_reference(name)
    repository = names.repository_of(reference)
    client = Client.connect(repository, settings.from_environment(os.environ), request.limits, os.environ)
    try:
        return remote.read(request.asked, client, reference, request.limits, files)
    except ImageUnavailable as error:
        client.close()
        what = f"{reference}: {error.what}" + (f"; and {no_engine.what}" if no_engine else "")
        raise ImageUnavailable(what, error.tip) from None


def _finish(request: _Request, store: Store, origin: Origin) -> OpenedImage:
    """Read the store by its form, and make the opened image of what was asked for."""
    assembly = Assembly(store, request.limits)
    source = read(assembly, origin.tag)
    if not origin.tag:
        assembly.leftovers()
    return opened_image(request.asked, assembly, source, origin)

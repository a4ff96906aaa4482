"""Archives that arrive as a stream, a named pipe or compressed: into a file first, where their members are ranges."""

from __future__ import annotations

import os
import select
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from scanner.errors import ImageUnavailable
from scanner.evidence import Surface
from scanner.image.arriving import Carrier, Tell
from scanner.image.blob import Blob, BlobFile, spool
from scanner.image.model import Document
from scanner.image.reference import shown
from scanner.image.store import Store
from scanner.image.tarball import open_tar
from scanner.layer.compression import sniff
from scanner.layer.expand import Expansion, expand
from scanner.limits import KIB, MIB, Limits

_WRITER_SECONDS = 10.0  # until a named pipe must have a writer


def spooled(
    stream: BinaryIO, name: str, limits: Limits, files: ExitStack, carry: Carrier, first: bytes = b""
) -> BlobFile:
    """All bytes of a stream in a nameless file, *first* what was read of it before.

    Raises ImageUnavailable if there are more than the limit, OSError.
    """
    file = spool(name)
    files.callback(file.close)

    def copy(tell: Tell) -> None:
        size, chunk = 0, first or _next(stream)
        while chunk:
            size += len(chunk)
            if size > limits.image_bytes:
                raise ImageUnavailable(f"{name} holds more than {limits.image_bytes} bytes", "")
            file.write(chunk)
            tell(len(chunk))
            chunk = _next(stream)

    carry(file, copy)
    return file


def _next(stream: BinaryIO) -> bytes:
    """What comes next, nothing at the end. A stream that does not block is waited for."""
    while True:
        chunk: bytes | None = stream.read(MIB)
        if chunk is not None:
            return chunk
        select.select([stream], [], [])


def from_fifo(path: Path, limits: Limits, files: ExitStack, carry: Carrier) -> BlobFile:
    """All that comes through a named pipe. Raises ImageUnavailable if nobody has it open for writing, OSError."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as stream:
        first = _first_bytes(stream.fileno(), path)
        os.set_blocking(stream.fileno(), True)
        return spooled(stream, str(path), limits, files, carry, first)


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


def store_in(file: BlobFile, limits: Limits, files: ExitStack, carry: Carrier) -> Store:
    """The store of an archive, expanded first if it is compressed.

    Raises ImageUnavailable if it is empty or of a compression that is not read, OSError.
    """
    name, size = file.name, file.size()
    if size == 0:
        raise ImageUnavailable(f"{shown(name)} is empty", "Export the image again; look at the exporter's messages.")
    compression = sniff(file.read(0, 6))
    if not compression:
        store = open_tar(file, limits)
        files.callback(store.close)
        return store
    target = spool(name)
    files.callback(target.close)
    source = Blob(name, file, 0, size)

    def copy(tell: Tell) -> Expansion:
        return expand(source, target, replace(limits, layer_bytes=limits.image_bytes), tell)

    expansion = carry(target, copy)
    if not expansion.compression:
        raise ImageUnavailable(f"{shown(name)} is compressed with {compression}, which is not read", "Unpack it first.")
    store = open_tar(target, limits)
    store.opened.append(file)
    store.compression = compression
    store.gaps[:0] = expansion.gaps
    for region in expansion.outside:
        part = Blob(f"{name}@{region.offset}+{region.length}", file, region.offset, region.length)
        where = f"compressed archive, bytes {region.offset}-{region.offset + region.length}"
        store.documents.append(Document(Surface.METADATA, where, part, is_json=False))
    files.callback(store.close)
    return store

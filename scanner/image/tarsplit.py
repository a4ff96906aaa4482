"""A layer's very tar out of an engine's storage: the files of its directory, and what lies between them.

When an engine unpacks a layer it keeps the bytes of the tar that no file holds (headers, padding, the end) in
`tar-split.json.gz`: one JSON value a line, in order, a segment of bytes or the name and size of a file whose bytes
follow. Put together they give the tar whose digest is the diffID. Whether they do is not decided here: whoever reads
the result hashes it.

Source: vbatts/tar-split tar/storage; moby layer/layer_store.go (TarStream).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import gzip
import json
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scanner.errors import ImageUnavailable
from scanner.limits import KIB, MIB

_SEGMENT = b'{"type":2,"payload":"'
_LONGEST = 64 * MIB  # of a line: a segment has extended headers at most
_COPIED = 128 * KIB  # files of that size and more are copied by the kernel
_HOPS = 40  # symbolic links on the way to a file, as Linux bounds them
#: another file system, or one that cannot
_NO_RANGES = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def size_of(split: Path) -> int:
    """Bytes of the tar. Raises OSError, ImageUnavailable if *split* is damaged."""
    return sum(len(part) if isinstance(part, bytes) else part[1] for part in _parts(split))


def reassemble(split: Path, root: Path, target: int) -> None:
    """Write the tar to the descriptor *target*; *root* has the layer's files. Nothing outside it is ever opened.

    Raises OSError, ImageUnavailable if the storage is damaged.
    """
    with _Folders(root) as folders:
        waiting: list[bytes] = []
        held = 0
        for part in _parts(split):
            if isinstance(part, bytes):
                waiting.append(part)
                held += len(part)
            elif part[1] >= _COPIED:
                _write(target, waiting)
                waiting, held = [], 0
                _copy(folders, *part, target)
            else:
                waiting.append(_content(folders, *part))
                held += part[1]
            if held >= MIB:
                _write(target, waiting)
                waiting, held = [], 0
        _write(target, waiting)


def _parts(split: Path) -> Iterator[bytes | tuple[bytes, int]]:
    """Segments as bytes, files that have any bytes as (name, size)."""
    try:
        with gzip.open(split, "rb") as lines:
            while line := lines.readline(_LONGEST):
                if line.startswith(_SEGMENT):
                    yield binascii.a2b_base64(line[len(_SEGMENT) : line.index(b'"', len(_SEGMENT))])
                elif b'"size":' in line:
                    entry = json.loads(line)
                    size = entry["size"]
                    if entry["type"] != 1 or type(size) is not int or size < 0:
                        raise ValueError
                    if size:
                        yield _name(entry), size
                elif not line.startswith(b'{"type":1,'):
                    entry = json.loads(line)
                    if entry["type"] == 2:
                        yield base64.b64decode(entry["payload"] or "")
                    elif entry["type"] != 1:
                        raise ValueError
    except (ValueError, LookupError, TypeError, EOFError, zlib.error, gzip.BadGzipFile, RecursionError):
        raise ImageUnavailable("what the engine keeps of a layer's tar is damaged", "Pull or build it again.") from None


def _name(entry: dict[str, Any]) -> bytes:
    raw = entry.get("name_raw")
    return base64.b64decode(raw) if raw else str(entry["name"]).encode("utf-8", "surrogateescape")


def _write(target: int, parts: list[bytes]) -> None:
    view = memoryview(b"".join(parts))
    while view:
        view = view[os.write(target, view) :]


def _opened(folders: _Folders, name: bytes, size: int) -> int:
    fd = folders.open(name)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size != size:
        os.close(fd)
        raise _changed()
    return fd


def _changed() -> ImageUnavailable:
    return ImageUnavailable("a file in the engine's storage is not what the layer had", "Pull or build it again.")


def _content(folders: _Folders, name: bytes, size: int) -> bytes:
    fd = _opened(folders, name, size)
    try:
        found = os.read(fd, size)
    finally:
        os.close(fd)
    if len(found) != size:
        raise _changed()
    return found


def _copy(folders: _Folders, name: bytes, size: int, target: int) -> None:
    fd = _opened(folders, name, size)
    try:
        left, by_range = size, True
        while left:
            try:
                most = min(left, 1 << 30)
                count = os.copy_file_range(fd, target, most) if by_range else os.sendfile(target, fd, None, most)
            except OSError as error:
                if error.errno not in _NO_RANGES or not by_range:
                    raise
                by_range = False
                continue
            if not count:
                raise _changed()
            left -= count
    finally:
        os.close(fd)


class _Folders:
    """Opens files below a directory by path. Links on the way are followed within it, as the engine did from a root
    directory of its own; the last folder stays open, as files of one folder follow each other."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._folder, self._fd = b"", -1

    def __enter__(self) -> _Folders:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in (self._fd, self._root):
            if fd >= 0:
                os.close(fd)

    def open(self, name: bytes) -> int:
        """A descriptor of the file *name*. Raises OSError."""
        folder, _, last = name.rstrip(b"/").rpartition(b"/")
        if last in (b"", b".", b".."):
            raise _changed()
        if folder != self._folder or self._fd < 0:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            self._fd = self._descend(folder)
            self._folder = folder
        return os.open(last, _FILE, dir_fd=self._fd)

    def _descend(self, folder: bytes) -> int:
        todo = folder.split(b"/")[::-1]
        stack = [os.dup(self._root)]
        hops = 0
        try:
            while todo:
                part = todo.pop()
                if part in (b"", b"."):
                    continue
                if part == b"..":
                    if len(stack) > 1:
                        os.close(stack.pop())
                    continue
                try:
                    stack.append(os.open(part, _DIRECTORY, dir_fd=stack[-1]))
                except OSError as error:
                    if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                        raise
                    link = os.readlink(part, dir_fd=stack[-1])
                    hops += 1
                    if hops > _HOPS:
                        raise
                    if link.startswith(b"/"):
                        while len(stack) > 1:
                            os.close(stack.pop())
                    todo += link.split(b"/")[::-1]
            return stack.pop()
        finally:
            for fd in stack:
                with contextlib.suppress(OSError):
                    os.close(fd)

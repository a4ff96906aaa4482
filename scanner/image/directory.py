"""The files of a directory as a store: opened below it one by one, symbolic links never followed by the system."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from scanner.evidence import Gap
from scanner.image.blob import Blob, BlobFile
from scanner.image.store import Kind, Link, Store, blob_name

_DEPTH, _FILES = 8, 100_000
_BELOW = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class DirectoryFile(BlobFile):
    """A file of a directory. It is opened when it is first read, and again if it is read after `close()`, so that a
    directory of thousands of blobs does not take thousands of descriptors."""

    def __init__(self, root: Path, relative: str) -> None:
        super().__init__(-1, os.path.join(root, relative))
        self._root = root
        self._relative = relative

    def fileno(self) -> int:
        """The descriptor. Raises OSError if the file is gone, or a link by now."""
        if self._fd < 0:
            self._fd = self._open()
        return self._fd

    def release(self) -> None:
        """Close the file; it opens again when it is read."""
        self.close()

    def _open(self) -> int:
        *folders, name = self._relative.split("/")
        fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                inner = os.open(folder, _BELOW | os.O_DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = inner
            return os.open(name, _BELOW, dir_fd=fd)
        finally:
            os.close(fd)


def open_directory(path: Path) -> Store:
    """All files below *path*. Raises OSError if the directory itself cannot be read.

    Whatever cannot be listed, and whatever is neither a file nor a directory nor a link, becomes a gap. Links are
    noted, and followed only to files of the store.
    """
    store = Store(str(path), Kind.DIRECTORY)
    for relative, status, target in _listed(path, store):
        if stat.S_ISLNK(status.st_mode):
            store.link(relative, Link(target, target.startswith("/")))
        elif stat.S_ISREG(status.st_mode):
            file = DirectoryFile(path, relative)
            store.opened.append(file)
            store.add(relative, Blob(blob_name(relative), file, 0, status.st_size))
        else:
            store.gaps.append(Gap(store.name, relative, "file.special", None, "neither a file nor a directory"))
    return store


def _listed(path: Path, store: Store) -> Iterator[tuple[str, os.stat_result, str]]:
    """Relative path, status and link target of everything below that is no directory, in a stable order. What cannot
    be read of it is a gap: /proc has directories that open and cannot be listed, and links that hide their targets."""

    def unreadable(error: OSError, where: str = "", what: str = "a directory") -> None:
        detail = f"{what} cannot be read: {error.strerror}"
        store.gaps.append(Gap(store.name, where, "file.unreadable", None, detail))

    os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))  # the directory itself must be readable
    count = 0
    try:
        for folder, folders, names, fd in os.fwalk(path, onerror=unreadable, follow_symlinks=False):
            folders.sort()
            relative = os.path.relpath(folder, path)
            prefix = "" if relative == "." else relative + "/"
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            for name in sorted([*names, *links]):
                count += 1
                if count > _FILES:
                    store.gaps.append(Gap(store.name, "", "limit.members", None, f"more than {_FILES} files"))
                    return
                try:
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    target = os.readlink(name, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else ""
                except OSError as error:
                    unreadable(error, prefix + name, "it")
                    continue
                yield prefix + name, status, target
            if prefix.count("/") >= _DEPTH and len(folders) > len(links):
                deep = f"nested deeper than {_DEPTH} directories"
                store.gaps.append(Gap(store.name, prefix, "limit.depth", None, deep))
                folders.clear()
    except OSError as error:  # of a directory that opens and cannot be listed; those behind it are not known
        unreadable(error)

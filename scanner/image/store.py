"""The files of an archive or a directory, found by path without ever leaving it.

Paths come from hostile documents. They are only ever looked up among the files that the store lists; links are
followed within it, `..` stops at its root.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from scanner.evidence import Gap
from scanner.image.blob import Blob, BlobFile
from scanner.image.model import Document
from scanner.oci import Descriptor

_HOPS, _PATH_LENGTH = 40, 4096  # as Linux bounds them: symlinks on the way, bytes of a path


class Kind(StrEnum):
    """What a store's files lie in."""

    ARCHIVE = "archive"
    DIRECTORY = "directory"
    REGISTRY = "registry"


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic or hard link; the target of a hard link, or one with a slash in front, counts from the root."""

    target: str
    from_root: bool


@dataclass(slots=True)
class Store:
    """Files by path. Filled by `tarball` or `directory`, read by the forms.

    Attributes:
        name: what messages call it.
        files: by clean path; of members under one path the last one, as engines have it.
        shadowed: what earlier members under the same path hold.
        documents: structure of the archive itself (headers, whatever follows the end).
        opened: what to close.
        used: paths that something referred to.
        compression: of the whole archive, '' for none.
    """

    name: str
    kind: Kind
    files: dict[str, Blob] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    shadowed: list[Blob] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    opened: list[BlobFile] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    compression: str = ""

    def add(self, path: str, blob: Blob) -> None:
        """A file; it takes the place of what had its path."""
        if path in self.files:
            self.shadowed.append(self.files[path])
        self.links.pop(path, None)
        self.files[path] = blob

    def link(self, path: str, link: Link) -> None:
        """A link; it takes the place of what had its path."""
        if path in self.files:
            self.shadowed.append(self.files.pop(path))
        self.links[path] = link

    def find(self, path: str) -> Blob | None:
        """The file at *path*, links followed; None if the store has none. It then counts as referred to."""
        resolved = self._resolve(path)
        blob = None if resolved is None else self.files.get(resolved)
        if resolved is not None and blob is not None:
            self.used.add(resolved)
        return blob

    def blob(self, descriptor: Descriptor) -> Blob | None:
        """The blob that a descriptor means, None if the store has it not."""
        algorithm, _, encoded = descriptor.digest.partition(":")
        return self.find(f"blobs/{algorithm}/{encoded}") or self.find(encoded)

    def manifest(self, descriptor: Descriptor) -> Blob | None:  # noqa: ARG002
        """The manifest that a descriptor means, where manifests are kept apart from blobs; else None."""
        return None

    def close(self) -> None:
        """Close what was opened for it."""
        for file in self.opened:
            file.close()

    def unused(self) -> list[tuple[str, Blob]]:
        """Files that nothing referred to, by path."""
        return sorted((path, blob) for path, blob in self.files.items() if path not in self.used)

    def _resolve(self, path: str) -> str | None:
        if len(path) > _PATH_LENGTH:
            return None
        todo = path.split("/")[::-1]
        done: list[str] = []
        hops = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]
                continue
            done.append(part)
            link = self.links.get("/".join(done))
            if link is None:
                continue
            hops += 1
            if hops > _HOPS or len(link.target) > _PATH_LENGTH:
                return None
            done = [] if link.from_root else done[:-1]
            todo += link.target.split("/")[::-1]
        return "/".join(done)


def clean_path(name: str) -> str:
    """A member's name as a path from the root: no leading slash, no `.`, `..` or empty parts."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def blob_name(path: str) -> str:
    """The digest for the path of a blob in an OCI layout, any other path as it is (image-layout.md#blobs)."""
    folder, _, rest = path.partition("/")
    algorithm, _, encoded = rest.partition("/")
    if folder == "blobs" and algorithm and encoded and "/" not in encoded:
        return f"{algorithm}:{encoded}"
    return path

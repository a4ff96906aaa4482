"""JSON and tar headers as programs in Go write them, byte for byte; an archive of such, with holes for its layers.

Source: encoding/json (HTML's characters become escapes), archive/tar (USTAR headers).
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_BLOCK = 512
_GO = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029\ud800-\udfff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True, slots=True)
class Hole:
    """Bytes of an archive that come from elsewhere: the number of where from, and how many they are."""

    index: int
    size: int


def go_json(value: object) -> str:
    """JSON: no spaces, keys as they come, characters that HTML minds as escapes.

    Raises ValueError for backspace and form feed, which Go writes in another way since 1.22.
    """
    if isinstance(value, str):
        if "\b" in value or "\f" in value:
            raise ValueError("a character that versions of Go write in two ways")
        return f'"{_GO.sub(_escaped, value)}"'
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{go_json(str(key))}:{go_json(item)}' for key, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(go_json, value))}]"
    return json.dumps(value)


def _escaped(found: re.Match[str]) -> str:
    char = found[0]
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"
    return _SHORT.get(char) or f"\\u{ord(char):04x}"


def header(name: str, size: int, time: int, mode: int, kind: bytes = b"0", link: str = "", owner: str = "") -> bytes:
    """A header: *mode* as it shall stand there, numbers of devices as zeros. Raises ValueError if it is too large."""
    if size >= 8 << 30:
        raise ValueError("larger than a plain header can tell")
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.type, member.linkname = size, max(0, time), kind, link
    member.uname = member.gname = owner
    block = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    if kind == tarfile.DIRTYPE:
        block[: len(name)] = name.encode()
    block[100:108] = b"%07o\0" % mode
    block[329:345] = b"0000000\0" * 2
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


class Archive:
    """An archive that is put together in any order, and written as an engine finds files in a directory.

    A second member of the same name is left out. Times are seconds, modes as they shall stand in headers.
    """

    def __init__(self, owner: str = "") -> None:
        """*owner* is the name of every member's user and group."""
        self._owner = owner
        self._members: dict[str, list[bytes | Hole]] = {}

    def folder(self, name: str, time: int, mode: int = 0o755) -> None:
        """A directory; its name ends with a slash."""
        self._members.setdefault(name, [header(name, 0, time, mode, b"5", owner=self._owner)])

    def link(self, name: str, target: str, time: int, mode: int) -> None:
        """A symbolic link."""
        self._members.setdefault(name, [header(name, 0, time, mode, b"2", target, self._owner)])

    def file(self, name: str, content: bytes, time: int, mode: int = 0o644) -> None:
        """A file."""
        self._add(name, content, len(content), time, mode)

    def hole(self, name: str, hole: Hole, time: int, mode: int = 0o644) -> None:
        """A file whose content comes from elsewhere."""
        self._add(name, hole, hole.size, time, mode)

    def _add(self, name: str, content: bytes | Hole, size: int, time: int, mode: int) -> None:
        made = [header(name, size, time, mode, owner=self._owner), content, bytes(-size % _BLOCK)]
        self._members.setdefault(name, made)

    def pieces(self) -> Iterator[bytes | Hole]:
        """All of it, in order."""
        for name in sorted(self._members, key=lambda name: name.encode().split(b"/")):
            yield from self._members[name]
        yield bytes(2 * _BLOCK)


def blob_path(digest: str) -> str:
    """The path of a blob in an OCI layout (image-layout.md#blobs)."""
    return f"blobs/{digest.replace(':', '/')}"


def index_of(entries: Sequence[Mapping[str, object]]) -> bytes:
    """The index.json of some descriptors."""
    document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
    return go_json(document).encode()

"""What no scan of an image can leave out, each by itself: processor seconds of libraries, without a finding.

    python -m bench.floor ARCHIVE [--save]

Hashing the layers, the headers by tarfile, one pass of all triggers over the layers' bytes, unpacking what Debian's
packages hold by xz, and the pass over that. Layers must not be compressed.
"""

from __future__ import annotations

import argparse
import lzma
import os
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.keeping import keep
from scanner import detection
from scanner.detect.base import Group
from scanner.detect.firstpass import compile_database, fired, triggers_of
from scanner.image.source import open_image
from scanner.layer.expand import map_blob, plain_digests
from scanner.layer.walk import ViewFile
from scanner.limits import MIB, Limits

_AR = 60  # bytes of a header in front of a member


def floor(archive: Path) -> list[tuple[str, float, int]]:
    """What was done, in how many seconds, to how many bytes."""
    opened = open_image(str(archive), limits=Limits())
    blobs = {layer.blob.offset: layer.blob for image in opened.images for layer in image.layers if layer.blob}
    views = [map_blob(blob) for blob in blobs.values()]
    size = sum(map(len, views))
    triggers = _triggers()
    packed, plain = [part for view in views for part in _packed(view)], list[memoryview]()
    rows = [
        ("hash", _seconds(lambda: [plain_digests(blob) for blob in blobs.values()]), size),
        ("headers", _seconds(lambda: [sum(1 for _ in _members(view)) for view in views]), size),
        ("first pass", _seconds(lambda: fired(triggers, _blocks(views))), size),
        ("unpack xz", _seconds(lambda: plain.extend(map(_plain, packed))), sum(map(len, packed))),
        ("first pass, of that", _seconds(lambda: fired(triggers, _blocks(plain))), sum(map(len, plain))),
    ]
    opened.close()
    return [*rows, ("together", sum(seconds for _, seconds, _ in rows), size)]


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _triggers() -> bytes:
    """Those that every content is searched with, compiled."""
    triggers = triggers_of(detection.load(os.environ).detectors)
    return compile_database([trigger for trigger in triggers if trigger.group is not Group.SETTINGS])


def _blocks(views: Sequence[memoryview]) -> list[memoryview]:
    return [view[at : at + MIB] for view in views for at in range(0, len(view), MIB)]


def _plain(packed: memoryview) -> memoryview:
    return memoryview(lzma.decompress(packed))


def _members(view: memoryview) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(fileobj=ViewFile(view), mode="r:") as tar:  # type: ignore[call-overload]
        while (member := tar.next()) is not None:
            tar.members.clear()
            yield member


def _packed(view: memoryview) -> Iterator[memoryview]:
    """The members of Debian's packages that are packed by xz (deb(5))."""
    for member in _members(view):
        if not member.name.endswith(".deb"):
            continue
        data, at = view[member.offset_data : member.offset_data + member.size], 8
        while at + _AR <= len(data):
            size = int(bytes(data[at + 48 : at + 58]))
            if b".xz" in bytes(data[at : at + 16]):
                yield data[at + _AR : at + _AR + size]
            at += _AR + size + size % 2


def main() -> None:
    """Measure and print; with --save keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    lines = [f"{what:20}{seconds:8.2f} s{size / 1e6:12,.1f} MB" for what, seconds, size in floor(options.archive)]
    text = "\n".join(lines)
    print(text)
    if options.save:
        keep("floor", text)


if __name__ == "__main__":
    main()

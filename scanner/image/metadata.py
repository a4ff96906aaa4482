"""What `docker buildx build --metadata-file` writes of a build: which image came out of it.

https://docs.docker.com/reference/cli/docker/buildx/build/#metadata-file; `docker buildx bake` writes one such object
for each of its targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanner import userfile
from scanner.errors import ImageUnavailable, InvalidReference, LeakscanError, UnusableFile
from scanner.image.documents import parse
from scanner.image.model import OpenedImage
from scanner.image.reference import shown
from scanner.limits import Limits
from scanner.oci import is_digest

_DIGEST, _CONFIG, _NAME = "containerimage.digest", "containerimage.config.digest", "image.name"
_KEYS = (_DIGEST, _CONFIG, _NAME)


@dataclass(frozen=True, slots=True)
class BuildMetadata:
    """The image that a build says it made.

    Attributes:
        file: the metadata file, as the user gave it.
        names: what the build called it; empty if it was not given a name.
        digests: of manifest or index, and of the config; engines without a manifest store tell the config's as both.
    """

    file: str
    names: tuple[str, ...]
    digests: tuple[str, ...]

    @property
    def reference(self) -> str:
        """What to scan if nobody says where the image is. Raises InvalidReference if the file does not tell."""
        for reference in (*self.names, *reversed(self.digests)):
            return reference
        raise InvalidReference(f"{shown(self.file)} names no image", "Give the image, or build with --tag.")

    def check(self, opened: OpenedImage) -> None:
        """See that *opened* is that image; where digests cannot be compared its notes say so.

        Raises:
            ImageUnavailable: it is another image, perhaps of an older build under the same name.
        """
        here = {digest for image in opened.images for digest in (image.manifest_digest, image.config_digest) if digest}
        here |= {each.blob.name for each in opened.documents if is_digest(each.blob.name)}
        if not self.digests or not here:
            opened.notes = (*opened.notes, f"{shown(self.file)}: it could not be checked that this is the image built")
        elif here.isdisjoint(self.digests):
            what = f"{shown(opened.reference)} is not the image that {shown(self.file)} tells of ({self.digests[0]})"
            raise ImageUnavailable(what, "It may be of an older build: build again, or give the image that was built.")


def read_metadata(path: Path, limits: Limits) -> BuildMetadata:
    """Read a metadata file. Raises UnusableFile if it cannot be read, is no such file, or tells of several images."""
    name, raw = shown(str(path)), userfile.read(path)
    try:
        document = parse(raw, name, limits)
    except LeakscanError as error:
        raise _malformed(error.what) from None
    return _read(document, name)


def _malformed(what: str) -> UnusableFile:
    return UnusableFile(what, "Give what docker buildx build --metadata-file FILE wrote.")


def _read(document: Any, file: str) -> BuildMetadata:
    if not isinstance(document, dict):
        raise _malformed(f"{file} is no metadata file: it holds no object")
    if not any(key in document for key in _KEYS):
        document = _only_target(document, file)
    digests = [document[key] for key in (_DIGEST, _CONFIG) if key in document]
    names = document.get(_NAME, "")
    if not isinstance(names, str) or not all(isinstance(digest, str) and is_digest(digest) for digest in digests):
        raise _malformed(f"{file} is no metadata file: {', '.join(_KEYS)} are not names and digests")
    return BuildMetadata(
        file,
        tuple(name.strip() for name in names.split(",") if name.strip()),
        tuple(dict.fromkeys(digests)),
    )


def _only_target(document: Mapping[str, Any], file: str) -> Mapping[str, Any]:
    """The one target of a bake that made an image."""
    made = {
        target: told
        for target, told in document.items()
        if isinstance(told, dict) and any(key in told for key in _KEYS)
    }
    if not made:
        raise _malformed(f"{file} tells of no image")
    if len(made) > 1:
        targets = ", ".join(shown(target) for target in sorted(made))
        what = f"{file} tells of several images ({targets})"
        raise UnusableFile(what, "Scan them one by one: bake one target with a metadata file of its own.")
    return next(iter(made.values()))

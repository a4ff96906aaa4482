"""The words that a user names an image with: source forms, image references, platforms.

Sources: distribution reference grammar (name[:tag][@digest]); containers-transports(5) and syft for the prefixes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from scanner.errors import InvalidReference
from scanner.oci import Platform, is_digest

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
_HOST = rf"(?:{_DOMAIN}|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"
_NAME = re.compile(rf"(?P<domain>{_HOST}/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)")
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
_NAME_LENGTH, _REFERENCE_LENGTH = 255, 1024
_ARCHIVE_NAME = re.compile(r".*\.(?:tar|tgz|tbz2?|txz|tzst|gz|bz2|xz|zst|oci)", re.DOTALL)
_WORD = re.compile(r"[a-z0-9_.]+")
_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm"}
_VARIANTS = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
#: the tip where nothing better is known
GIVE = "Give a name such as alpine:3.20, the path of an archive or of an OCI directory, or - for standard input."


class Form(StrEnum):
    """Where an image is to be read from."""

    DOCKER = "docker"
    PODMAN = "podman"
    REGISTRY = "registry"
    FILE = "file"
    STDIN = "stdin"
    #: a name alone: the local engine if it has the image, else a registry
    ANY = "any"


PREFIXES = (
    ("docker://", Form.REGISTRY),
    ("docker-archive:", Form.FILE),
    ("docker-daemon:", Form.DOCKER),
    ("oci-archive:", Form.FILE),
    ("oci-dir:", Form.FILE),
    ("oci:", Form.FILE),
    ("dir:", Form.FILE),
    ("docker:", Form.DOCKER),
    ("podman:", Form.PODMAN),
    ("registry:", Form.REGISTRY),
)


def split_form(text: str) -> tuple[Form, str]:
    """The form that a prefix names, and what follows it; a word without prefix is any or a file, '-' is stdin."""
    if text == "-":
        return Form.STDIN, ""
    for prefix, form in PREFIXES:
        if text.startswith(prefix):
            return form, text.removeprefix(prefix)
    return Form.ANY, text


def path_and_tag(rest: str) -> tuple[Path, str]:
    """`path[:tag]`; a path that exists as a whole has no tag (containers-transports(5), oci and docker-archive)."""
    if os.path.lexists(rest):
        return Path(rest), ""
    path, colon, tag = rest.partition(":")
    while colon and not os.path.lexists(path) and ":" in tag:
        more, _, tag = tag.partition(":")
        path = f"{path}:{more}"
    return (Path(path), tag) if colon and os.path.lexists(path) else (Path(rest), "")


@dataclass(frozen=True, slots=True)
class Reference:
    """An image reference: name[:tag][@digest]. *repository* is the name as the user gave it, domain included."""

    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def version(self) -> str:
        """What selects the image within its repository: the digest if there is one, else the tag, else latest."""
        return self.digest or self.tag or "latest"

    @property
    def exact(self) -> str:
        """The reference as engines take it: with a digest the tag is left out."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag or 'latest'}"


def parse_reference(text: str) -> Reference:
    """Read an image reference. Raises InvalidReference with a tip."""
    rest, at, digest = text.partition("@")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, colon, tag = rest, "", ""
    if len(text) > _REFERENCE_LENGTH or len(name) > _NAME_LENGTH:
        raise InvalidReference("the image reference is too long", GIVE)
    if _NAME.fullmatch(name) is None:
        lower = _NAME.fullmatch(name.lower()) is not None
        tip = f"Names are lower case: try {shown(text.lower())}." if lower else GIVE
        raise InvalidReference(f"{shown(text) or 'an empty name'} is no image reference", tip)
    if colon and _TAG.fullmatch(tag) is None:
        raise InvalidReference(f"{shown(text)} has no valid tag", "A tag is up to 128 letters, digits, _ . and -.")
    if at and not is_digest(digest):
        raise InvalidReference(f"{shown(text)} has no valid digest", "A digest is sha256: and 64 hexadecimal digits.")
    return Reference(name, tag, digest)


def is_tag(text: str) -> bool:
    """Whether *text* can be a tag."""
    return _TAG.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether *text* can be a repository's name within its registry."""
    return len(text) <= _NAME_LENGTH and _PATH.fullmatch(text) is not None


def is_image_id(text: str) -> bool:
    """Whether *text* is a full image id of an engine."""
    return _ID.fullmatch(text) is not None


def looks_like_path(text: str) -> bool:
    """Whether a person who wrote *text* meant a file; names of images do not look so."""
    return text.startswith(("/", "./", "../", "~")) or text in (".", "..") or looks_like_archive(text)


def looks_like_archive(name: str) -> bool:
    """Whether a file of that name is likely an archive."""
    return _ARCHIVE_NAME.fullmatch(name) is not None


def shown(text: str) -> str:
    """What a message says of words that the user gave: without control characters, and short."""
    plain = "".join(char if char.isprintable() else "?" for char in text)
    return plain if len(plain) <= 200 else plain[:200] + "…"


def parse_platform(text: str) -> Platform | None:
    """The platform os/architecture[/variant] that is asked for, None for `all`. Raises InvalidReference."""
    if text == "all":
        return None
    parts = text.lower().split("/")
    if len(parts) not in (2, 3) or not all(_WORD.fullmatch(part) for part in parts):
        tip = "Give os/architecture[/variant], such as linux/arm64, or all."
        raise InvalidReference(f"{shown(text)} is no platform", tip)
    return Platform(parts[0], _ARCHITECTURES.get(parts[1], parts[1]), parts[2] if len(parts) == 3 else "")


def matches(asked: Platform, found: Platform) -> bool:
    """Whether an image of platform *found* is what *asked* names; a variant counts only if it is asked for."""
    architecture = _ARCHITECTURES.get(found.architecture, found.architecture)
    if (asked.os, asked.architecture) != (found.os, architecture):
        return False
    return not asked.variant or asked.variant == (found.variant or _VARIANTS.get(architecture, ""))

"""The option that names build caches to be scanned with an image."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scanner.errors import ImageUnavailable, InvalidReference

if TYPE_CHECKING:
    from scanner.image.model import OpenedImage
    from scanner.limits import Limits

_FORMS = "type=local,src=DIR or type=registry,ref=REF"


@dataclass(frozen=True, slots=True)
class Cache:
    """A build cache as the user names it: a directory, or else the reference of one in a registry."""

    directory: Path | None = None
    reference: str = ""


class CacheType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """The words of `docker buildx build --cache-from`: type=local,src=DIR, type=registry,ref=REF, or REF alone."""

    name = "cache"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Cache:
        if isinstance(value, Cache):
            return value
        fields: dict[str, str] = {}
        try:
            words = next(csv.reader([value], strict=True), [])
        except csv.Error:
            self.fail(f"it has a quote that does not end, or ends amid a field: write {_FORMS}", param, ctx)
        if len(words) == 1 and "=" not in words[0]:  # buildx takes a reference alone as one of a registry
            words = ["type=registry", f"ref={words[0]}"]
        for field in words:
            key, _, word = field.partition("=")
            fields[key.strip().lower()] = word
        kind = fields.get("type", "")
        if kind == "local":
            return self._local(fields.get("src", ""), param, ctx)
        if kind == "registry":
            return self._remote(fields.get("ref", ""), param, ctx)
        self.fail(f"only local directories and registries are read: write {_FORMS}", param, ctx)

    def _local(self, source: str, param: click.Parameter | None, ctx: click.Context | None) -> Cache:
        if not source or not os.path.isdir(source):
            self.fail(f"there is no directory {source!r}", param, ctx)
        return Cache(directory=Path(source))

    def _remote(self, name: str, param: click.Parameter | None, ctx: click.Context | None) -> Cache:
        from scanner.image.reference import GIVE, parse_reference

        name = name.removeprefix("registry:").removeprefix("docker://")
        try:
            parse_reference(name)
        except InvalidReference as error:
            tip = f"Write {_FORMS}." if error.tip == GIVE else error.tip  # that tip is of images, which may be files
            self.fail(f"{error.what}. {tip}", param, ctx)
        return Cache(reference=name)

    def get_metavar(self, *_: Any, **__: Any) -> str:  # its arguments differ between releases of click
        return "type=local,src=DIR|type=registry,ref=REF"


def with_cache(opened: OpenedImage, cache: Cache, limits: Limits) -> OpenedImage:
    """The image with a build cache. Raises LeakscanError if that cannot be read."""
    from scanner.image.withcache import add_cache, add_remote_cache

    if cache.directory is not None:
        return add_cache(opened, cache.directory, limits)
    try:
        return add_remote_cache(opened, cache.reference, limits)
    except ImageUnavailable as error:
        if os.path.isdir(cache.reference):
            error.tip = f"{error.tip} The directory of that name is type=local,src={cache.reference}".lstrip()
        raise

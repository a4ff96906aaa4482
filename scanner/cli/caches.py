"""The option that names build caches to be scanned with an image."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import click


class CacheType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """type=local,src=DIRECTORY, in the words of `docker buildx build --cache-from`."""

    name = "cache"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if isinstance(value, Path):
            return value
        fields: dict[str, str] = {}
        for field in next(csv.reader([value]), []):
            key, _, word = field.partition("=")
            fields[key.strip().lower()] = word
        kind, source = fields.get("type", ""), fields.get("src", "")
        if kind != "local":
            self.fail("only caches of type=local are read: write type=local,src=DIRECTORY", param, ctx)
        if not source or not Path(source).is_dir():
            self.fail(f"there is no directory {source!r}", param, ctx)
        return Path(source)

    def get_metavar(self, *_: Any, **__: Any) -> str:  # its arguments differ between releases of click
        return "type=local,src=DIR"

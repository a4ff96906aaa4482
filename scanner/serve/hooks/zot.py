"""Zot's events extension: CloudEvents over HTTP, in the body (structured) or in headers (binary).

Source: project-zot/zot pkg/extensions/events; CloudEvents 1.0.2, HTTP protocol binding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scanner.oci import is_digest
from scanner.serve.hooks.push import Headers, NoNotification, Push, text

_PUSHED = "zotregistry.image.updated"


def pushes(headers: Headers, body: Mapping[str, Any]) -> Iterator[Push]:
    """The image of an update."""
    in_headers = headers.get("ce-type", "")
    kind = in_headers or text(body, "type")
    if not kind:
        raise NoNotification("it is no CloudEvent")
    data = body if in_headers else body.get("data")
    if kind == _PUSHED:
        reference = text(data, "reference")
        yield Push("", text(data, "name"), "" if is_digest(reference) else reference, text(data, "digest"))

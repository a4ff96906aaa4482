"""CNCF distribution (Docker Registry, GitLab's registry, ACR): envelopes of events, for blobs and pulls too.

Source: distribution, docs/content/about/notifications.md; notifications/event.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scanner.serve.hooks.push import Headers, NoNotification, Push, objects, text

_MANIFESTS = frozenset((
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v1+json",
))  # fmt: skip


def pushes(_headers: Headers, body: Mapping[str, Any]) -> Iterator[Push]:
    """What an envelope tells of manifests that were pushed. The host in it is what the client called the registry."""
    if not isinstance(body.get("events"), list):
        raise NoNotification("there are no events")
    for event in objects(body, "events"):
        target = event.get("target")
        if text(event, "action") == "push" and text(target, "mediaType") in _MANIFESTS:
            yield Push("", text(target, "repository"), text(target, "tag"), text(target, "digest"))

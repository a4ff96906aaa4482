"""Harbor's project webhooks, in its own form and as CloudEvents.

Source: goharbor/harbor src/pkg/notifier/model/http.go, formats/cloudevents.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scanner.serve.hooks.push import Headers, NoNotification, Push, objects, text

_PUSHED = ("PUSH_ARTIFACT", "harbor.artifact.pushed")


def pushes(_headers: Headers, body: Mapping[str, Any]) -> Iterator[Push]:
    """The artifacts of a push. The host that its URLs name is Harbor's own, as people reach it."""
    kind = text(body, "type")
    if not kind:
        raise NoNotification("there is no type")
    if kind not in _PUSHED:
        return
    data = body.get("event_data", body.get("data"))
    repository = text(data, "repository", "repo_full_name")
    for resource in objects(data, "resources"):
        tag, digest = text(resource, "tag"), text(resource, "digest")
        yield Push("", repository, "" if tag == digest else tag, digest)  # of untagged ones it says the digest twice

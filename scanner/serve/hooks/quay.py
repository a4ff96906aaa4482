"""Quay's repository push notification, which names tags and no digests.

Source: quay/quay notifications/notificationevent.py, RepoPushEvent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scanner.serve.hooks.push import Headers, NoNotification, Push, text


def pushes(_headers: Headers, body: Mapping[str, Any]) -> Iterator[Push]:
    """The tags that were updated."""
    tags = body.get("updated_tags")
    if not isinstance(tags, list):
        raise NoNotification("there are no updated_tags")
    host = text(body, "docker_url").partition("/")[0]
    for tag in tags:
        if isinstance(tag, str):
            yield Push(host, text(body, "repository"), tag)

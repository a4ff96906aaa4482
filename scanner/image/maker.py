"""Which builder made an image, as far as its config tells, and what that builder calls a build.

Builders differ in what they can do about secrets: mounts are a matter of BuildKit and buildah, and only newer frontends
of BuildKit set variables from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from scanner.oci import HistoryEntry


class Builder(StrEnum):
    """Who made the last step of an image."""

    BUILDKIT = "BuildKit"
    CLASSIC = "the classic builder"
    BUILDAH = "buildah"
    KANIKO = "kaniko"
    UNKNOWN = "an unknown builder"

    @property
    def sets_variables(self) -> bool:
        """Whether its secret mounts can be expected to set variables (`env=`, Dockerfile 1.10, BuildKit 0.16).

        Whoever still uses the classic builder has an engine whose BuildKit is likely older than that.
        """
        return self in (Builder.BUILDKIT, Builder.UNKNOWN)

    def build(self, *options: str) -> str:
        """The command that builds the folder it is given in with these options."""
        command = {
            Builder.CLASSIC: "DOCKER_BUILDKIT=1 docker build",
            Builder.BUILDAH: "buildah build",
        }.get(self, "docker build")
        return " ".join([command, *options, "."])


def builder_of(history: Sequence[HistoryEntry]) -> Builder:
    """The builder of an image's own steps, the last ones of *history*; its base may be another one's.

    BuildKit signs its entries, kaniko names itself as the author, buildah notes
    `FROM <base>` beside the entries that it writes like the classic builder.
    """
    for entry in reversed(history[-200:]):
        if entry.comment.startswith("buildkit.") or entry.created_by.endswith("# buildkit"):
            return Builder.BUILDKIT
        if entry.author == "kaniko":
            return Builder.KANIKO
        if entry.comment.startswith("FROM "):
            return Builder.BUILDAH
    classic = any(entry.created_by.startswith(("/bin/sh -c", "|")) for entry in history[-200:])
    return Builder.CLASSIC if classic else Builder.UNKNOWN

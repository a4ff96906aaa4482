"""Which images an object of Kubernetes has run: every kind of container, in pods and in templates of pods.

Source: Kubernetes API reference, `PodSpec` and the workload kinds of core/v1, apps/v1 and batch/v1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scanner.report import escape

#: (group, kind) → the way to the pod spec
KINDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "Pod"): ("spec",),
    ("", "PodTemplate"): ("template", "spec"),
    ("", "ReplicationController"): ("spec", "template", "spec"),
    ("apps", "ReplicaSet"): ("spec", "template", "spec"),
    ("apps", "Deployment"): ("spec", "template", "spec"),
    ("apps", "StatefulSet"): ("spec", "template", "spec"),
    ("apps", "DaemonSet"): ("spec", "template", "spec"),
    ("batch", "Job"): ("spec", "template", "spec"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template", "spec"),
}
_CONTAINERS = (
    ("initContainers", "init container"),
    ("containers", "container"),
    ("ephemeralContainers", "ephemeral container"),
)
_NAME = 63  # a DNS label, which names of containers and volumes are


class Unreadable(Exception):
    """The object is not what its kind says; the message tells where, without a value of it."""


@dataclass(frozen=True, slots=True)
class Use:
    """An image that is run or mounted.

    Attributes:
        reference: as the object has it; may be anything, also empty.
        where: which container, in words that are safe to show: `init container "setup"`.
        pointer: JSON Pointer (RFC 6901) of the reference within the object.
    """

    reference: str
    where: str
    pointer: str


def is_pod(group: str, kind: str) -> bool:
    """Whether the object is run as it is; the others are templates of pods to come."""
    return (group, kind) == ("", "Pod")


def uses(group: str, kind: str, object_: Any) -> tuple[Use, ...]:
    """Every image of an object, in the order of its containers; images mounted as volumes are images too.

    A template may lack its pod spec (a ReplicationController's is optional); a pod may not.

    Raises:
        KeyError: (group, kind) is not among `KINDS`.
        Unreadable: the object is not of that form.
    """
    spec, pointer = object_, ""
    for step in KINDS[group, kind]:
        spec, pointer = _mapping(spec, pointer).get(step), f"{pointer}/{step}"
        if spec is None and not is_pod(group, kind):
            return ()
    return tuple(_of_spec(_mapping(spec, pointer), pointer))


def _of_spec(spec: Mapping[str, Any], pointer: str) -> Iterator[Use]:
    for field, words in _CONTAINERS:
        for place, entry in _entries(spec, field, pointer):
            yield Use(_text(entry.get("image"), f"{place}/image"), _named(words, entry), f"{place}/image")
    for place, volume in _entries(spec, "volumes", pointer):
        image = volume.get("image")
        if image is not None:
            reference = _mapping(image, f"{place}/image").get("reference")
            at = f"{place}/image/reference"
            yield Use(_text(reference, at), _named("volume", volume), at)


def _entries(spec: Mapping[str, Any], field: str, pointer: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    entries = spec.get(field)
    if entries is None:
        return
    if not isinstance(entries, list):
        raise Unreadable(f"{pointer}/{field} is no list")
    for number, entry in enumerate(entries):
        place = f"{pointer}/{field}/{number}"
        yield place, _mapping(entry, place)


def _mapping(value: Any, pointer: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Unreadable(f"{pointer or '/'} is no object")
    return value


def _text(value: Any, pointer: str) -> str:
    """A reference. A missing one is empty: no registry has that, and the API server refuses it in a pod."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unreadable(f"{pointer} is no string")
    return value


def _named(words: str, entry: Mapping[str, Any]) -> str:
    name = entry.get("name")
    return f'{words} "{escape.text(name)[:_NAME]}"' if isinstance(name, str) and name else words

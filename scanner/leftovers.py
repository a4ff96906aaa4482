"""A scan of what an engine keeps of builds, each finding with the command that makes the engine forget it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from scanner.evidence import Finding, ImageSummary, Remediation, ScanResult
from scanner.image.kept import IMAGE, RECORD
from scanner.image.model import OpenedImage
from scanner.oci import Platform
from scanner.request import Detection, Options
from scanner.scan import scan

_RECORD = re.compile(re.escape(RECORD) + r"(?P<id>[A-Za-z0-9]+)")
_IMAGE = re.compile(re.escape(IMAGE) + r"(?P<id>sha256:[0-9a-f]{64})")
_ROTATE = "Revoke or change the credential if others can use this engine, its cache or its disk."
_MOUNT = (
    "Pass the secret with RUN --mount=type=secret from now on: its value is then in no command line, neither in the "
    "cache nor in the image of any stage."
)


def scan_builder(
    opened: OpenedImage, detection: Detection, options: Options, progress: Callable[[int], None] = lambda _: None
) -> ScanResult:
    """Scan what `image.kept.open_builder` opened. Raises OSError if no spool can be made."""
    result = scan(opened, detection, options, progress)
    summary = ImageSummary(opened.reference, opened.source, None, None, str(Platform()))
    above = _built_upon(opened)
    return replace(
        result, images=(summary,), findings=tuple(_cured(each, opened.source, above) for each in result.findings)
    )


def _built_upon(opened: OpenedImage) -> dict[str, list[str]]:
    """By id of a record, the ids of those that were built upon it. Raises OSError."""
    found: dict[str, list[str]] = {}
    for document in opened.documents:
        if document.where.startswith(RECORD):
            record = json.loads(document.blob.read())
            for parent in (record.get("Parent"), *(record.get("Parents") or ())):
                if parent and record["ID"] not in found.setdefault(parent, []):
                    found[parent].append(record["ID"])
    return found


def _last_first(id: str, above: Mapping[str, list[str]]) -> list[str]:
    """A record and all that were built upon it, in the order in which they can be pruned: none before its child."""
    order: dict[str, None] = {}
    todo = [(id, False)]
    while todo:
        each, done = todo.pop()
        if done:
            order[each] = None
        elif each not in order:
            todo.append((each, True))
            todo += [(child, False) for child in above.get(each, ())]
    return list(order)


def _cured(finding: Finding, source: str, above: Mapping[str, list[str]]) -> Finding:
    """The finding with what cures it: not another build, but a prune of this very record or image."""
    path = finding.path or ""
    program = "podman" if source == "podman" else "docker"
    if found := _RECORD.match(path):
        id = found["id"]
        order = _last_first(id, above)
        prune = " && ".join(f"{program} builder prune --all --force --filter id={each}" for each in order)
        what = f"The builder keeps the command line in record {id} of its cache; it is in no image."
        command = f"{program} system df --verbose --format '{{{{json .BuildCache}}}}' | grep -F {id}"
    elif found := _IMAGE.match(path):
        id = found["id"]
        prune = f"{program} image rm --force {id}"
        what = f"Image {id[7:19]} has no name and is in no registry, but whoever uses this engine can read it."
        command = finding.proof.command.replace("cat ARCHIVE", f"{program} save {id}", 1)
    else:
        return finding
    steps = (_ROTATE, f"Remove it: {prune}", f"Or everything like it: {program} builder prune --all; "
             f"{program} image prune", _MOUNT)  # fmt: skip
    return replace(
        finding, remediation=Remediation(what, steps), proof=replace(finding.proof, command=command)
    )

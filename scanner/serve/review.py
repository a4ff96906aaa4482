"""AdmissionReview of admission.k8s.io/v1: the request as a value, and the answer in the same words.

Source: Kubernetes documentation, "Dynamic Admission Control", and the types of k8s.io/api/admission/v1.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scanner.report import escape
from scanner.report.lines import cut
from scanner.serve.refusal import Refused, json_object

#: what the API server asks about (admissionregistration.k8s.io/v1, OperationType)
_OPERATIONS = ("CREATE", "UPDATE", "DELETE", "CONNECT")
API_VERSION, KIND = "admission.k8s.io/v1", "AdmissionReview"
#: what the API server passes on of one warning, and of all of them; more is cut there without a word
WARNING, WARNINGS = 256, 4096
_UID = 128
_MESSAGE = 3000
_NOTE = 1000


@dataclass(frozen=True, slots=True)
class Review:
    """A request for admission.

    Attributes:
        uid: echoed in the answer.
        group: of the kind, empty for core.
        operation: CREATE, UPDATE, DELETE or CONNECT.
        dry_run: nothing may be left behind by it.
        object: None for a deletion.
        old: what an update replaces.
    """

    uid: str
    group: str
    kind: str
    operation: str
    dry_run: bool = False
    object: Mapping[str, Any] | None = None
    old: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Attributes:
        message: why not, for whoever is refused.
        warnings: shown to whoever asked, one a line.
        notes: for the audit log of the cluster.
        patch: operations of JSON Patch (RFC 6902), from a mutating webhook only.
    """

    allowed: bool
    message: str = ""
    warnings: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    patch: Sequence[Mapping[str, Any]] = ()


def parse(raw: bytes) -> Review:
    """The request of a review. Raises Refused."""
    document = json_object(raw)
    if document.get("kind") != KIND:
        raise Refused(400, "the body is no AdmissionReview")
    if document.get("apiVersion") != API_VERSION:
        raise Refused(400, f"only {API_VERSION} is understood: set admissionReviewVersions to [v1]")
    request = document.get("request")
    if not isinstance(request, dict):
        raise Refused(400, "the review has no request")
    uid = request.get("uid")
    if not isinstance(uid, str) or not 0 < len(uid) <= _UID or not uid.isascii() or not uid.isprintable():
        raise Refused(400, "the request has no uid")
    kind = request.get("kind")
    if not isinstance(kind, dict) or not isinstance(kind.get("kind"), str):
        raise Refused(400, "the request has no kind")
    operation = request.get("operation")
    if operation not in _OPERATIONS:  # taken for one by which nothing comes to run, it would be admitted
        raise Refused(400, "the request has no operation")
    return Review(
        uid=uid,
        group=_string(kind, "group"),
        kind=kind["kind"],
        operation=operation,
        # whoever does not say false outright may mean a dry run, and must find nothing left behind
        dry_run=request.get("dryRun", False) not in (False, None),
        object=_object(request, "object"),
        old=_object(request, "oldObject"),
    )


def document(uid: str, answer: Answer) -> dict[str, Any]:
    """The review to send back: same version, same kind, the uid of the request."""
    response: dict[str, Any] = {"uid": uid, "allowed": answer.allowed}
    if not answer.allowed:
        message = cut(escape.text(answer.message), _MESSAGE)
        response["status"] = {"status": "Failure", "code": 403, "reason": "Forbidden", "message": message}
    if warnings := fitted(answer.warnings):
        response["warnings"] = warnings
    if answer.notes:
        response["auditAnnotations"] = {key: cut(escape.text(value), _NOTE) for key, value in answer.notes.items()}
    if answer.allowed and answer.patch:
        patch = json.dumps([dict(each) for each in answer.patch], separators=(",", ":"))
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch.encode()).decode()}
    return {"apiVersion": API_VERSION, "kind": KIND, "response": response}


def fitted(warnings: Sequence[str]) -> list[str]:
    """The warnings as the API server passes them on; of too many the last line says how many there are more.

    They become headers, so they are plain ASCII: the server drops one that is not printable.
    """
    lines = [cut(_ascii(each), WARNING) for each in dict.fromkeys(warnings)]
    if sum(map(len, lines)) <= WARNINGS:
        return lines
    kept: list[str] = []
    room = WARNINGS - WARNING
    for line in lines:
        if room < len(line):
            break
        kept.append(line)
        room -= len(line)
    return [*kept, f"leakscan: {len(lines) - len(kept)} more warnings"]


def _ascii(text: str) -> str:
    return escape.text(text).encode("ascii", "backslashreplace").decode()


def _string(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _object(request: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    value = request.get(key)
    if value is None or isinstance(value, dict):
        return value
    raise Refused(400, f"the request's {key} is no object")

"""The service's own JSON: verdicts, and scans that are asked for."""

from __future__ import annotations

from typing import Any

from scanner.oci import is_digest
from scanner.serve.refusal import json_object
from scanner.serve.routing import Door, JSONResponse, Refused, Request, Response, Scope
from scanner.serve.service import Service
from scanner.serve.words import Priority, Ticket, Verdict

_REFERENCE_BYTES = 1024


def verdict_document(verdict: Verdict, effect: str) -> dict[str, Any]:
    """A verdict as docs/serve.md has it. *effect*: what the policy makes of it."""
    return {
        "digest": verdict.digest,
        "verdict": verdict.standing.value,
        "effect": effect,
        "rules": verdict.rule_set or None,
        "stale": verdict.stale,
        "repository": verdict.repository or None,
        "references": list(verdict.tags),
        "scanned": verdict.scanned or None,
        "findings": list(verdict.findings),
        "gaps": list(verdict.gaps),
    }


def ticket_document(ticket: Ticket) -> dict[str, Any]:
    """A scan that was asked for, as docs/serve.md has it."""
    return {
        "id": ticket.id,
        "reference": ticket.reference,
        "digest": ticket.digest,
        "state": ticket.state.value,
        "origin": ticket.origin,
        "priority": Priority(ticket.priority).name.lower(),
        "asked": ticket.asked,
        "started": ticket.started or None,
        "ended": ticket.ended or None,
        "reason": ticket.reason or None,
        "tries": ticket.tries,
    }


async def verdict(request: Request, service: Service) -> Response:
    """GET /v1/verdicts/{digest}."""
    digest = request.path_params["digest"]
    if not is_digest(digest):
        raise Refused(400, "that is no digest; give sha256: and 64 hexadecimal digits")
    found = await service.verdict(digest)
    return JSONResponse(verdict_document(found, service.policy.of(found).value))


async def ask(request: Request, service: Service) -> Response:
    """POST /v1/scans with {"reference": "HOST/NAME[:TAG][@DIGEST]"}; *digest* may stand apart from it."""
    document = json_object(await request.body())
    reference = document.get("reference")
    if not isinstance(reference, str) or not 0 < len(reference) <= _REFERENCE_BYTES:
        raise Refused(422, "reference must be HOST/NAME[:TAG][@DIGEST]")
    pinned, digest = await service.resolve(reference)
    ticket = await service.ask(pinned, digest, Priority.INTERACTIVE, "api")
    return JSONResponse(ticket_document(ticket), 202, headers={"Location": f"/v1/scans/{ticket.id}"})


async def ticket(request: Request, service: Service) -> Response:
    """GET /v1/scans/{id}."""
    found = await service.looked_up(service.queue.ticket, request.path_params["id"][:64])
    if found is None:
        raise Refused(404, "there is no scan of that id")
    return JSONResponse(ticket_document(found))


DOORS = (
    Door("GET", "/v1/verdicts/{digest}", Scope.READ, verdict),
    Door("POST", "/v1/scans", Scope.SCAN, ask),
    Door("GET", "/v1/scans/{id}", Scope.READ, ticket),
)

"""Doors for Harbor: a scanner adapter that shows leaked credentials where Harbor shows vulnerabilities.

Harbor gives each call five seconds, so nothing here waits for a scan, and the ids that it polls outlive this process.
Source: goharbor/pluggable-scanner-spec 1.0 to 1.2, and what Harbor's client does with it (docs/harbor.md).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from scanner.limits import MIB
from scanner.oci import is_digest
from scanner.serve import adapter
from scanner.serve.api import verdict_document
from scanner.serve.queue import QueueFull
from scanner.serve.registries import RegistryRefused
from scanner.serve.routing import Door, JSONResponse, Refused, Request, Response, Scope
from scanner.serve.service import Service
from scanner.serve.vulnerabilities import INFORMATION, gap_item, item, merged, worst
from scanner.serve.words import Effect, Policy, Priority, Standing, Ticket, TicketState, Verdict

_BODY = MIB
#: between two polls: the longer it takes the less often; Harbor reads the number into a signed byte
_SOONEST, _LATEST = 2, 60
#: a scan ended so long ago, and its verdict may still be on its way to this process
_SETTLED_SECONDS = 30.0
#: what Harbor is told of an image that was not read whole
_GAPS = {Effect.DENY: "High", Effect.WARN: "Low", Effect.ALLOW: INFORMATION}


async def metadata(_request: Request, service: Service) -> Response:
    """GET /api/v1/metadata, which Harbor takes for a sign of life too."""
    return JSONResponse(adapter.metadata(service.verdicts.rule_set), media_type=adapter.METADATA)


async def scan(request: Request, service: Service) -> Response:
    """POST /api/v1/scan: the id of a scan, or of the verdict if there is one that another scan would only repeat."""
    wanted = adapter.read_request(request.headers.get("content-type", ""), await request.body())
    known = await service.verdict(wanted.digest)
    # what was not read whole is read again: Harbor may hand over the login that was missing
    if known.standing in (Standing.CLEAN, Standing.LEAKED) and not (known.due or known.gaps):
        return _accepted(wanted.digest)
    try:
        ticket = await service.ask(wanted.image, wanted.digest, Priority.INTERACTIVE, "harbor", wanted.login)
    except RegistryRefused as error:
        raise Refused(422, error.what) from None
    except QueueFull as error:
        raise Refused(500, error.what) from None
    return _accepted(ticket.id)


async def report(request: Request, service: Service) -> Response:
    """GET /api/v1/scan/{id}/report: the report, or 302 and when to come again."""
    mime = adapter.report_type(request.headers.get("accept", ""))
    if mime is None:
        raise Refused(501, f"only these are made: {', '.join(adapter.REPORTS)}")
    identity = str(request.path_params["id"])[:200]
    if is_digest(identity):
        return await _told(await service.verdict(identity), mime, service)
    ticket = await service.looked_up(service.queue.ticket, identity)
    if ticket is None:
        raise Refused(404, "there is no scan of that id")
    if ticket.state in (TicketState.QUEUED, TicketState.RUNNING):
        return _later(ticket)
    if ticket.state is TicketState.FAILED:
        raise Refused(500, f"the image could not be scanned: {ticket.reason}")
    found = await service.verdict(ticket.digest)
    if found.standing is Standing.UNKNOWN and _age(ticket.ended) < _SETTLED_SECONDS:
        return _later(ticket)
    return await _told(found, mime, service)


def _accepted(identity: str) -> Response:
    return JSONResponse({"id": identity}, 202, media_type=adapter.RESPONSE)


def _later(ticket: Ticket) -> Response:
    seconds = min(max(int(_age(ticket.asked) / 4), _SOONEST), _LATEST)
    return Response(status_code=302, headers={"Refresh-After": str(seconds)})


def _age(time: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds() if time else 0.0


async def _told(verdict: Verdict, mime: str, service: Service) -> Response:
    if verdict.standing is Standing.UNKNOWN:
        raise Refused(500, "the result of that scan is gone; scan the image again")
    # of ten thousand findings it takes a while, and others are to be answered meanwhile
    return Response(await asyncio.to_thread(_written, verdict, mime, service), media_type=mime)


def _written(verdict: Verdict, mime: str, service: Service) -> str:
    if mime == adapter.RAW:
        return json.dumps(verdict_document(verdict, service.policy.of(verdict).value))
    return json.dumps(document(verdict, service.policy, service.settings.public_url))


def document(verdict: Verdict, policy: Policy, public_url: str = "") -> Mapping[str, Any]:
    """A verdict as Harbor's report.

    Of the artifact the digest alone is told: the verdict may have been made for another project with the same image.
    """
    items = [item(finding, _link(finding, public_url)) for finding in verdict.findings]
    severity = _GAPS[policy.effect(Standing.INCOMPLETE)]
    items += [gap_item(gap, verdict.repository, severity) for gap in verdict.gaps]
    listed = merged(items)
    return {
        "generated_at": verdict.scanned,
        "artifact": {"digest": verdict.digest},
        "scanner": adapter.scanner(),
        "severity": worst(listed),
        "vulnerabilities": listed,
    }


def _link(finding: Mapping[str, Any], public_url: str) -> str:
    return f"{public_url}/findings/{finding['secret']['fingerprint']}" if public_url else ""


def _problem(status: int, detail: str) -> Response:
    return JSONResponse({"error": {"message": detail}}, status, media_type=adapter.ERROR)


DOORS = (
    Door("GET", "/api/v1/metadata", Scope.HARBOR, metadata, problem=_problem),
    Door("POST", "/api/v1/scan", Scope.HARBOR, scan, _BODY, _problem),
    Door("GET", "/api/v1/scan/{id}/report", Scope.HARBOR, report, problem=_problem),
)

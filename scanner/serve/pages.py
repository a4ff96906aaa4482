"""Pages for people: the overview, a repository, an image, a secret, the queue. Made on the server, without script.

Whoever looks passes with a token of scope `read` as the password that a browser asks for.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from scanner import __version__
from scanner.audit.html import STATES, STYLES, sentence
from scanner.audit.leaks import Image
from scanner.evidence import Coverage, Finding, Gap, ScanResult
from scanner.image.instruction import parse_created_by
from scanner.oci import is_digest
from scanner.report import html, markup
from scanner.report.lines import amount, counted, cut, short
from scanner.report.stored import coverage_of, finding_of, image_of
from scanner.report.story import SURFACES, where
from scanner.serve.overviews import ROWS, images
from scanner.serve.routing import Door, HTMLResponse, Refused, Request, Response, Scope
from scanner.serve.routing import problem as plain_problem
from scanner.serve.service import Service
from scanner.serve.words import Priority, Standing, TicketState, Verdict
from scanner.store.ledger import State, now
from scanner.store.views import Seen, repository, secret

_PAGE, _DEEPEST = 100, 100_000
_FINGERPRINT = re.compile(r"[0-9A-Za-z:_-]{1,64}")
_TEXT, _STEP = 600, 240
_WORDS = {"version": __version__, "amount": amount, "counted": counted, "cut": cut, "short": short, "linked": True}


@dataclass(slots=True)
class _Place:
    """Where a secret stands in images that have it in the same place."""

    heading: str
    where: str
    step: str
    finding: Finding
    digests: list[str] = field(default_factory=list)


def _page(template: str, status: int = 200, **values: object) -> Response:
    text = markup.page(template, *STYLES, **{**_WORDS, **values})
    policy = f"{markup.policy(*STYLES)}; frame-ancestors 'none'"
    return HTMLResponse(text, status, headers={"Content-Security-Policy": policy})


def problem(status: int, detail: str) -> Response:
    """A problem as a page, but for whoever is yet to say who they are: browsers show no page for that."""
    if status == 401:
        return plain_problem(status, detail)
    title = {403: "Not allowed", 404: "There is nothing of that name", 429: "Too many requests"}.get(status)
    return _page("problem.html", status, title=title or "That did not work", detail=detail)


async def overview(_request: Request, service: Service) -> Response:
    """GET /."""
    return await service.shown(_overview, service)


def _overview(service: Service) -> Response:
    made = service.overviews.of(service.store, service.verdicts.rule_set, service.settings.fail_on)
    found = made.overview
    begin = sentence(found.leaking, found.images, found.states[State.SCANNED], found.states[State.FAILED])
    return _page("overview.html", made=made, sentence=begin, states=STATES, rows=ROWS,
                 rules=service.verdicts.rule_set)  # fmt: skip


async def tags(request: Request, service: Service) -> Response:
    """GET /repositories/{host}/{name}."""
    host, name = request.path_params["host"], request.path_params["name"]
    return await service.shown(_tags, service, host, name, _number(request))


def _tags(service: Service, host: str, name: str, page: int) -> Response:
    rules = service.verdicts.rule_set
    found, total = repository(service.store, rules, host, name, (page - 1) * _PAGE, _PAGE)
    if not found:
        raise Refused(404, "No tag of such a repository, or none so far down, is known here.")
    judged = zip(found, images(found, rules, service.settings.fail_on), strict=True)
    return _page("repository.html", name=f"{host}/{name}", tags=list(judged), total=total, page=page,
                 last=_last(total), standing=_standing)  # fmt: skip


def _standing(seen: Seen, image: Image) -> str:
    if image.leaks:
        return Standing.LEAKED.value
    if seen.state is None or seen.state is State.NOT_REACHED:
        return Standing.UNKNOWN.value
    return Standing.CLEAN.value if seen.state is State.SCANNED else Standing.INCOMPLETE.value


async def image(request: Request, service: Service) -> Response:
    """GET /images/{digest}."""
    digest = request.path_params["digest"]
    if not is_digest(digest):
        raise Refused(404, "That is no digest of an image.")
    found = await service.verdict(digest)
    if found.standing is Standing.UNKNOWN:
        raise Refused(404, "This image was not scanned yet. The queue says whether it waits.")
    return await service.shown(_image, service, found)


def _image(service: Service, verdict: Verdict) -> Response:
    effect = service.policy.of(verdict).value
    more = {"linked": True, "closing": "", "verdict": verdict, "repository": verdict.repository, "effect": effect}
    return _page("image.html", 200, **{**html.values(result_of(verdict)), **more})


def result_of(verdict: Verdict) -> ScanResult:
    """What is stored of an image as a result, which the page of a scan shows."""
    reference = verdict.tags[0] if verdict.tags else f"{verdict.repository}@{verdict.digest}"
    coverage = next((coverage_of(each["coverage"]) for each in verdict.images if "coverage" in each), None)
    if coverage is None or (coverage.complete and verdict.standing is Standing.INCOMPLETE):
        coverage = Coverage(0, 0, 0, tuple(Gap("", "", "", None, cut(gap, _TEXT)) for gap in verdict.gaps))
    return ScanResult(
        reference=reference,
        source="registry",
        images=tuple(image_of(each, reference, "registry") for each in verdict.images),
        findings=tuple(finding_of(each) for each in verdict.findings),
        coverage=coverage,
        rules_digest=verdict.rule_set,
    )


async def finding(request: Request, service: Service) -> Response:
    """GET /findings/{fingerprint}."""
    fingerprint = request.path_params["fingerprint"]
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise Refused(404, "That is no fingerprint of a secret.")
    return await service.shown(_finding, service, fingerprint, _number(request))


def _finding(service: Service, fingerprint: str, page: int) -> Response:
    found = secret(service.store, fingerprint, (page - 1) * _PAGE, _PAGE)
    if found is None or not found.findings:
        raise Refused(404, "No image is known to hold that secret.")
    findings = [(digest, finding_of(document)) for digest, document in found.findings]
    worst = min((each for _, each in findings), key=lambda each: each.severity.rank)
    return _page("finding.html", secret=found, worst=worst, fingerprint=fingerprint, places=_places(findings),
                 page=page, last=_last(found.now + found.before))  # fmt: skip


def _places(findings: Sequence[tuple[str, Finding]]) -> list[_Place]:
    """Places, the ones that most images share first."""
    found: OrderedDict[tuple[str, str, str], _Place] = OrderedDict()
    for digest, each in findings:
        step = cut(parse_created_by(each.instruction.created_by).line, _STEP) if each.instruction else ""
        place = cut(where(each), _TEXT)
        key = place, each.state.value, step
        if key not in found:
            found[key] = _Place(SURFACES[each.surface].capitalize(), place, step, each)
        if digest not in found[key].digests:
            found[key].digests.append(digest)
    return sorted(found.values(), key=lambda each: -len(each.digests))[:_PAGE]


async def queue(_request: Request, service: Service) -> Response:
    """GET /queue."""
    return await service.shown(_queue, service)


def _queue(service: Service) -> Response:
    depth = service.queue.depth()
    rows = [(priority.name.lower(), *depth.get((priority, TicketState.QUEUED.value), (0, ""))) for priority in Priority]
    running = sum(number for (_, state), (number, _) in depth.items() if state == TicketState.RUNNING)
    return _page(
        "queue.html",
        depth=rows,
        waiting=sum(number for _, number, _ in rows),
        running=running,
        live=service.queue.listed((TicketState.RUNNING,), _PAGE) + service.queue.listed((TicketState.QUEUED,), _PAGE),
        ended=service.queue.listed((TicketState.DONE, TicketState.FAILED), 50),
        now=now(),
    )


def _number(request: Request) -> int:
    """Which page is asked for. Raises Refused."""
    given = request.query_params.get("page", "1")
    if not (given.isascii() and given.isdecimal() and len(given) <= 6 and 1 <= int(given) <= _DEEPEST):
        raise Refused(404, "There is no such page.")
    return int(given)


def _last(total: int) -> int:
    return max(1, -(-total // _PAGE))


DOORS: tuple[Door, ...] = (
    Door("GET", "/", Scope.READ, overview, problem=problem),
    Door("GET", "/repositories/{host}/{name:path}", Scope.READ, tags, problem=problem),
    Door("GET", "/images/{digest}", Scope.READ, image, problem=problem),
    Door("GET", "/findings/{fingerprint}", Scope.READ, finding, problem=problem),
    Door("GET", "/queue", Scope.READ, queue, problem=problem),
)

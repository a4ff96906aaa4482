"""A scan's result as a JUnit report, as Jenkins, Azure Pipelines, CircleCI and GitLab show it among the tests.

A suite for each layer and one for all that lies in none: a failed test for each finding that fails the scan, else one
that passed, as a report without tests fails some jobs. Each gap is an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from scanner.evidence import Finding, ScanResult
from scanner.report.escape import xml
from scanner.report.lines import counted, cut
from scanner.report.order import ordered, parted
from scanner.report.phrases import LONGEST, accepted_gap, fate, image_name, reason, verdict
from scanner.report.setting import PLAIN, Setting
from scanner.report.story import gap_line, where


def render(result: ScanResult, setting: Setting = PLAIN) -> str:
    """The document, with a newline at its end."""
    name = image_name(result)
    suites = [_suite(f"{name}: {suite}", name, findings, setting) for suite, findings in _suites(result).items()]
    suites.append(_coverage(result, name))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="leakscan">\n{"".join(suites)}</testsuites>\n'


def _suites(result: ScanResult) -> dict[str, list[Finding]]:
    """Findings by suite; layers without any have an empty one, if only one image was scanned."""
    found: dict[str, list[Finding]] = defaultdict(list)
    found["config, history and documents"] = []
    for image in result.images:
        of = f" of {image.platform}" if len(result.images) > 1 else ""
        for layer in image.layers:
            found[f"layer {layer.index}{of}"] = []
    for finding in ordered(result.findings):
        of = f" of {finding.platform}" if finding.platform and len(result.images) > 1 else ""
        suite = f"layer {finding.layer.index}{of}" if finding.layer else "config, history and documents"
        found[suite].append(finding)
    return found


def _suite(name: str, image: str, findings: Sequence[Finding], setting: Setting) -> str:
    gated, accepted, hints = parted(findings)
    cases = [*_failed(gated, image), *_accepted(accepted, image)]
    if not gated:
        cases.insert(0, _case("no leaked credential", image))
    out = ""
    if hints:
        said = f"{counted(len(hints), 'finding')} for information, not sure or not severe enough; {setting.complete}."
        out = f"  <system-out>{xml(said)}</system-out>\n"
    return _element(name, cases, failures=len(gated), skipped=len(accepted), tail=out)


def _element(
    name: str, cases: Sequence[str], *, failures: int = 0, errors: int = 0, skipped: int = 0, tail: str = ""
) -> str:
    counts = f'tests="{len(cases)}" failures="{failures}" errors="{errors}" skipped="{skipped}"'
    return f' <testsuite name="{xml(cut(name, LONGEST))}" {counts}>\n{"".join(cases)}{tail} </testsuite>\n'


def _case(name: str, image: str, inside: str = "") -> str:
    opening = f'  <testcase name="{xml(cut(name, LONGEST))}" classname="leakscan.{xml(cut(image, LONGEST))}"'
    return f"{opening}>\n{inside}  </testcase>\n" if inside else f"{opening}/>\n"


def _failed(findings: Iterable[Finding], image: str) -> Iterator[str]:
    for finding in findings:
        message = f"{finding.severity.value.upper()}: {finding.title}. {finding.remediation.summary}"
        said = [finding.gains, *fate(finding), *finding.remediation.steps]
        said += [f"Check: {finding.proof.command}", f"Finding {finding.id}"]
        body = "\n".join(f"   {xml(cut(line, LONGEST))}" for line in said if line)
        kind = f'type="{xml(finding.rule_id)}" message="{xml(message)}"'
        yield _case(_name(finding), image, f"   <failure {kind}>\n{body}\n   </failure>\n")


def _accepted(findings: Iterable[Finding], image: str) -> Iterator[str]:
    for finding in findings:
        said = f"accepted: {reason(finding.suppressed)}"
        yield _case(_name(finding), image, f'   <skipped message="{xml(cut(said, LONGEST))}"/>\n')


def _name(finding: Finding) -> str:
    return f"{finding.title} in {where(finding)}"


def _coverage(result: ScanResult, image: str) -> str:
    errors = [
        f'   <error type="{xml(gap.reason)}" message="{xml(cut(gap_line(gap), LONGEST))}"/>\n'
        for gap in result.coverage.gaps
    ]
    if not errors and not result.coverage.complete:
        errors = [f'   <error type="coverage" message="{xml(verdict(result))}"/>\n']
    cases = [_case("every byte was read", image, "".join(errors))]
    for each in result.coverage.accepted:
        skipped = f'   <skipped message="{xml(cut(accepted_gap(each), LONGEST))}"/>\n'
        cases.append(_case(f"{each.gap.reason} {each.gap.where}", image, skipped))
    accepted = len(result.coverage.accepted)
    return _element(f"{image}: coverage", cases, errors=1 if errors else 0, skipped=accepted)

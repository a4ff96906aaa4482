"""What a result tells, before it is laid out: findings by build step and secret, places in words, what to do."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from scanner.evidence import Confidence, Finding, Gap, Remediation, ScanResult, State, Surface, Verdict, line_to_show
from scanner.image.instruction import parse_created_by
from scanner.image.reference import Form, split_form
from scanner.report.lines import amount, counted, cut, short, unique

SURFACES = {
    Surface.LAYER: "layer",
    Surface.CONFIG: "image config",
    Surface.HISTORY: "image history",
    Surface.ATTESTATION: "attestation",
    Surface.ANNOTATION: "annotation",
    Surface.CACHE: "build cache",
    Surface.BUILDER: "builder",
    Surface.METADATA: "the archive's own file",
}
BURIED = {State.DELETED: "deleted", State.OVERWRITTEN: "overwritten", State.HIDDEN: "hidden"}
CLOSING = {
    Verdict.LEAKED: "Exit code 1: credentials leaked.",
    Verdict.CLEAN: "Exit code 0: nothing that counts was found, everything was read.",
    Verdict.INCOMPLETE: "Exit code 3: not everything could be read (0 with --allow-incomplete).",
}
#: Beside each layer, `docker save` of old wrote what schema 1 knew of it.
_LEGACY = re.compile(r"[0-9a-f]{64}/json(?::|$)")
_TOP = tuple[str, str, int]
#: Of more kinds of advice for one step the first are given.
_ADVICES = 3


@dataclass(frozen=True, slots=True)
class Group:
    """The gated findings of one build step, worst first."""

    heading: str
    step: str
    findings: tuple[Finding, ...]

    @property
    def lines(self) -> str:
        """Where the step stands in the user's Dockerfile, empty if that is not known."""
        return lines_of(self.findings[0])

    @property
    def secrets(self) -> list[list[Finding]]:
        """Its findings by secret, in the order of the worst of each."""
        by_value: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            by_value[value_of(finding)].append(finding)
        return list(by_value.values())


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do about one group.

    Attributes:
        summaries: how the secrets came in, a sentence each.
        steps: in their order.
        alike: steps were left out that only repeat these for other files.
        dockerfiles: rewritten instructions.
        diffs: the same as diffs against the user's Dockerfile, each with the command that makes the change where values
            are masked in it, else with ''.
    """

    summaries: tuple[str, ...]
    steps: tuple[str, ...]
    alike: bool
    dockerfiles: tuple[str, ...]
    diffs: tuple[tuple[str, str], ...] = ()


def value_of(finding: Finding) -> str:
    """What all findings of one value have in common, and no other has."""
    return finding.secret.fingerprint or finding.id


def by_step(findings: Sequence[Finding]) -> list[Group]:
    """*findings* by build step, groups in the order of the first of each."""
    found: dict[_TOP, list[Finding]] = defaultdict(list)
    for finding in findings:
        found[_step_of(finding)].append(finding)
    return [Group(_heading(members[0]), step, tuple(members)) for (_, step, _), members in found.items()]


def _step_of(finding: Finding) -> _TOP:
    platform, step = finding.platform or "", finding.instruction
    if _is_known(finding) and step:
        return platform, step.created_by, step.history_index
    if finding.layer:
        return platform, "", finding.layer.index
    return platform, "", -2 - step.history_index if step else -1


def _is_known(finding: Finding) -> bool:
    """Whether it is known what the step did: an import has an entry in the history and no instruction."""
    return finding.instruction is not None and bool(finding.instruction.created_by or finding.instruction.range)


def _heading(finding: Finding) -> str:
    step, where = finding.instruction, f" ({finding.platform})" if finding.platform else ""
    if step and step.range:
        return f"One of the steps {step.range[0]} to {step.range[1]}{where}"
    if step and _is_known(finding):
        return f"Step {step.history_index}{where}"
    if finding.layer:
        return f"Layer {finding.layer.index}, build step unknown{where}"
    if step:
        return f"Entry {step.history_index} of the history, which tells no build step{where}"
    return f"Outside the build steps{where}"


def spot(finding: Finding, nameless: str = "") -> str:
    """The path, the path on through archives, the line: `srv/app.jar > config.yml:3`; *nameless* for want of a path."""
    found = " > ".join((finding.path or nameless, *finding.inside))
    line = line_to_show(finding.line, finding.encoding)
    return found if line is None else f"{found}:{line}"


def where(finding: Finding) -> str:
    """The place of a finding: path, line, surface, layer, encodings."""
    place = spot(finding)
    kind = SURFACES[finding.surface]
    if finding.surface is Surface.METADATA and _LEGACY.match(place):
        kind = "a layer's legacy JSON"
    layer = finding.layer
    if layer:
        digest = layer.digest or layer.diff_id
        kind = f"{'' if finding.surface is Surface.LAYER else f'{kind}, '}layer {layer.index}"
        kind += f" {short(digest)}" if digest else ""
    encoding = f", encoded as {' in '.join(finding.encoding)}" if finding.encoding else ""
    return f"{place} ({kind}{encoding})" if place else f"{kind}{encoding}"


def lines_of(finding: Finding) -> str:
    """Where its step stands in the user's Dockerfile, as `Dockerfile:4` or `Dockerfile:4-6`; empty if unknown."""
    place = finding.dockerfile
    if place is None:
        return ""
    return f"{place.path}:{place.line}" + (f"-{place.end_line}" if place.end_line > place.line else "")


def masked(diff: str) -> bool:
    """Whether a diff does not apply as it is, since values are masked in it."""
    return re.search(r"^[- ].*\*{4}", diff, re.MULTILINE) is not None


#: what is said of a diff with masked values: with the command that does the same, and without
APPLIES_BY = "Values are masked in the diff, so patch does not take it; this makes the same change:"
BY_HAND = "Values are masked in the diff, so patch does not take it: make the change by hand, or use --show-secrets."


def buried(finding: Finding) -> str:
    """Which step took a file out of sight, and where it still is; empty where no step did, or it is in no image.

    What lies in no layer of the image (build caches, images of stages, blobs that nothing refers to) was never in its
    file system, so nothing can have taken it out, and bytes of no member were never there either.
    """
    if finding.state not in BURIED or finding.layer is None or finding.removed_by is None:
        return ""
    done, removed = BURIED[finding.state], finding.removed_by
    by = f" by layer {removed.layer_index}"
    if removed.created_by:
        by += f" `{cut(parse_created_by(removed.created_by).line, 100)}`"
    return (f"{done}{by}, which only buries it: whoever can pull the image still gets it from "
            f"layer {finding.layer.index}")  # fmt: skip


def common_steps(groups: Sequence[Group]) -> list[str]:
    """Steps that are the same for all of several groups, so that they need saying only once."""
    if len(groups) < 2:
        return []
    held = [{step for finding in group.findings for step in finding.remediation.steps} for group in groups]
    return [step for step in groups[0].findings[0].remediation.steps if all(step in steps for steps in held)]


def advised(group: Group) -> Advice:
    """The advice for a group, each kind of it once."""
    said: dict[str, list[Remediation]] = defaultdict(list)
    for finding in group.findings[:1000]:
        said[finding.remediation.summary].append(finding.remediation)
    steps, alike = _steps(list(said.values())[:_ADVICES])
    everything = [advice for advices in said.values() for advice in advices]
    return Advice(
        tuple(list(said)[:_ADVICES]),
        tuple(steps),
        alike or len(said) > _ADVICES,
        tuple(unique(advice.dockerfile for advice in everything if advice.dockerfile)[:_ADVICES]),
        tuple(unique((advice.diff, advice.script or "") for advice in everything if advice.diff)[:_ADVICES]),
    )


def _steps(kinds: Sequence[Sequence[Remediation]]) -> tuple[list[str], bool]:
    """The steps to show, and whether some were left out that only repeat them for other files."""
    lists, alike = [], False
    for advices in kinds:
        first, merged = advices[0].steps, _merged([advice.steps for advice in advices])
        short_enough = len(merged) <= len(first) + 2
        lists.append(merged if short_enough else first)
        alike = alike or not short_enough
    return _merged(lists), alike


def _merged(lists: Sequence[Sequence[str]]) -> list[str]:
    """All steps, each once; what comes last in a list (deleting, purging) stays behind what comes first in others."""
    place = {step: at / len(steps) for steps in reversed(lists) for at, step in enumerate(steps)}
    return sorted(unique(step for steps in lists for step in steps), key=lambda step: place[step])


def why_not_gated(finding: Finding) -> str:
    """Why a finding does not count, in a few words."""
    if finding.suppressed is not None:
        return "accepted"
    return f"{finding.severity.value}, confidence {finding.confidence.value}"


def called(result: ScanResult) -> str:
    """What a sentence calls the image: as the user gave it, if that is a name."""
    return "standard input" if split_form(result.reference)[0] is Form.STDIN else result.reference


def sentence(result: ScanResult, groups: Sequence[Group]) -> str:
    """The verdict in a sentence.

    Args:
        groups: the gated findings.
    """
    name = called(result)
    if result.verdict is Verdict.LEAKED:
        values = {value_of(finding) for group in groups for finding in group.findings}
        worst = groups[0].findings[0].severity.value
        text = f"{name} holds {counted(len(values), 'secret')} (worst: {worst}){_from_steps(groups)}."
        return text + ("" if result.coverage.complete else " Not all of it was read.")
    if not result.images:
        return f"{name} could not be opened, nothing was scanned."
    what = "nothing that counts was found in" if _surely(result) else "no leaked credential found in"
    if result.verdict is Verdict.CLEAN:
        return f"{what} {name}, and every byte of it was read."
    return f"{what} what was read of {name}, but not all of it was read."


def _from_steps(groups: Sequence[Group]) -> str:
    """From how many build steps the secrets of several groups came; what no step is known for is none."""
    steps = sum(_is_known(group.findings[0]) for group in groups)
    if len(groups) < 2 or not steps:
        return ""
    return f", from {counted(steps, 'build step')}{' and elsewhere' if steps < len(groups) else ''}"


def _surely(result: ScanResult) -> bool:
    """Whether there are findings that are sure, though none reaches --fail-on."""
    return any(finding.confidence is not Confidence.LOW for finding in result.findings)


def gap_line(gap: Gap) -> str:
    """Where a gap is, how large, and why, without its reason code."""
    blob = short(gap.blob) if gap.blob.startswith(("sha256:", "sha512:")) else gap.blob
    place = " ".join(part for part in (blob, gap.where) if part)
    size = "" if gap.bytes is None else f" ({amount(gap.bytes)})"
    return f"{place}{size}: {gap.detail}" if gap.detail and place else f"{place}{size}{gap.detail}"

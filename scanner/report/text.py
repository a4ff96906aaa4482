"""A scan's result for people: verdict first, then what leaked by build step, what else was seen, and what was read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from scanner.evidence import (
    Confidence,
    Coverage,
    Finding,
    Gap,
    Remediation,
    ScanResult,
    Severity,
    State,
    Surface,
    Verdict,
)
from scanner.image.instruction import parse_created_by
from scanner.report.escape import plain
from scanner.report.lines import Page, Style, amount, counted, cut, short, unique
from scanner.report.order import ordered

#: Above these numbers the rest is counted instead of listed; the JSON report lists all.
_PLACES, _SECRETS, _ADVICES, _TITLES, _GAPS = 5, 20, 3, 20, 10
_STYLES = {
    Severity.CRITICAL: Style.RED,
    Severity.HIGH: Style.RED,
    Severity.MEDIUM: Style.YELLOW,
    Severity.LOW: Style.YELLOW,
}
_SURFACES = {
    Surface.LAYER: "layer",
    Surface.CONFIG: "image config",
    Surface.HISTORY: "image history",
    Surface.ATTESTATION: "attestation",
    Surface.ANNOTATION: "annotation",
    Surface.CACHE: "build cache",
    Surface.BUILDER: "builder",
    Surface.METADATA: "file name or header",
}
_BURIED = {State.DELETED: "deleted", State.OVERWRITTEN: "overwritten", State.HIDDEN: "hidden"}
_TOP = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class _Group:
    """The gated findings of one build step, worst first."""

    heading: str
    step: str
    findings: tuple[Finding, ...]

    @property
    def secrets(self) -> list[list[Finding]]:
        """Its findings by secret, in the order of the worst of each."""
        by_value: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            by_value[finding.secret.fingerprint or finding.id].append(finding)
        return list(by_value.values())


def render(result: ScanResult, *, width: int = 80, color: bool = False) -> str:
    """The report as text, with a newline at its end; *width* in characters, never less than 40."""
    page = Page(width, color)
    findings = ordered(result.findings)
    groups = _groups([finding for finding in findings if finding.gated])
    _verdict(page, result, groups)
    _images(page, result)
    _leaks(page, groups)
    _information(page, [finding for finding in findings if not finding.gated])
    _known(page, result)
    _coverage(page, result)
    _closing(page, result.verdict)
    return str(page)


def _groups(findings: Sequence[Finding]) -> list[_Group]:
    by_step: dict[_TOP, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_step[_step_of(finding)].append(finding)
    return [_Group(_heading(members[0]), step, tuple(members)) for (_, step, _), members in by_step.items()]


def _step_of(finding: Finding) -> _TOP:
    platform = finding.platform or ""
    if finding.instruction:
        return platform, finding.instruction.created_by, finding.instruction.history_index
    return platform, "", finding.layer.index if finding.layer else -1


def _heading(finding: Finding) -> str:
    step, where = finding.instruction, f" ({finding.platform})" if finding.platform else ""
    if step and step.range:
        return f"One of the steps {step.range[0]} to {step.range[1]}{where}"
    if step:
        return f"Step {step.history_index}{where}"
    if finding.layer:
        return f"Layer {finding.layer.index}, build step unknown{where}"
    return f"Outside the build steps{where}"


# --- top -------------------------------------------------------------------------------------------------------------


def _verdict(page: Page, result: ScanResult, groups: Sequence[_Group]) -> None:
    name = result.reference
    if result.verdict is Verdict.LEAKED:
        values = {finding.secret.fingerprint or finding.id for group in groups for finding in group.findings}
        worst = groups[0].findings[0].severity.value
        steps = f", from {counted(len(groups), 'build step')}"
        text = f"{name} holds {counted(len(values), 'secret')} (worst: {worst}){steps if len(groups) > 1 else ''}."
        text += "" if result.coverage.complete else " Not all of it was read."
        page.say(text, label="LEAKED: ", style=Style.RED)
    elif result.verdict is Verdict.CLEAN:
        what = "nothing that counts was found in" if _surely(result) else "no leaked credential found in"
        text = f"{what} {name}, and every byte of it was read."
        page.say(text, label="CLEAN: ", style=Style.GREEN)
    elif not result.images:
        page.say(f"{name} could not be opened, nothing was scanned.", label="INCOMPLETE: ", style=Style.YELLOW)
    else:
        what = "nothing that counts was found in" if _surely(result) else "no leaked credential found in"
        text = f"{what} what was read of {name}, but not all of it was read."
        page.say(text, label="INCOMPLETE: ", style=Style.YELLOW)


def _surely(result: ScanResult) -> bool:
    """Whether there are findings that are sure, though none reaches --fail-on."""
    return any(finding.confidence is not Confidence.LOW for finding in result.findings)


def _images(page: Page, result: ScanResult) -> None:
    for image in result.images:
        digest = image.manifest_digest or image.config_digest
        parts = [image.source, image.platform, counted(len(image.layers), "layer"), digest and digest[:19]]
        page.say(", ".join(part for part in parts if part), indent=2)


# --- leaks -----------------------------------------------------------------------------------------------------------


def _leaks(page: Page, groups: Sequence[_Group]) -> None:
    common = _common_steps(groups)
    shown: dict[str, str] = {}
    for group in groups:
        page.blank()
        _step(page, group)
        secrets = group.secrets
        for findings in secrets[:_SECRETS]:
            _secret(page, findings, shown)
        if len(secrets) > _SECRETS:
            rest = counted(len(secrets) - _SECRETS, "more secret")
            page.say(f"... and {rest} from this step; the JSON report lists all.", indent=2)
        for secret in secrets:
            shown.setdefault(secret[0].secret.fingerprint, group.heading)
        _fix(page, group, common)
    if common:
        page.blank()
        page.say("For all of these:", style=Style.BOLD)
        _numbered(page, common)


def _step(page: Page, group: _Group) -> None:
    step = parse_created_by(group.step)
    page.say(cut(step.line, 400), label=f"{group.heading}: " if group.step else group.heading, style=Style.BOLD)
    if step.args:
        given = " ".join(f"{name}={value}" for name, value in step.args)
        page.say(cut(f"with build arguments {given}", 240), indent=2)


def _secret(page: Page, findings: Sequence[Finding], shown: dict[str, str]) -> None:
    worst = findings[0]
    page.blank()
    known = f"{worst.secret.preview}, {counted(worst.secret.length, 'byte')}"
    label = f"{worst.severity.value.upper()}  "
    page.say(f"{worst.title} ({known})", indent=2, label=label, style=_STYLES[worst.severity])
    if worst.secret.value is not None:
        page.say(worst.secret.value, indent=4, label="value  ")
    if worst.gains:
        page.say(worst.gains, indent=4)
    elsewhere = shown.get(worst.secret.fingerprint) if worst.secret.fingerprint else None
    if elsewhere:
        page.say(f"The same secret as above, under {elsewhere}.", indent=4)
    for finding in findings[:_PLACES]:
        page.say(_where(finding), indent=4, label="in     ", style=Style.CYAN)
        if finding.state in _BURIED:
            page.say(_buried(finding), indent=11)
    if len(findings) > _PLACES:
        page.say(f"... and in {counted(len(findings) - _PLACES, 'more place')}", indent=4)
    if worst.proof.command:
        page.command(worst.proof.command, indent=4, label="check  ")


def _where(finding: Finding) -> str:
    place = finding.path or ""
    for inner in finding.inside:
        place += f" > {inner}"
    if finding.line is not None:
        place += f":{finding.line}"
    kind = _SURFACES[finding.surface]
    layer = finding.layer
    if layer:
        digest = layer.digest or layer.diff_id
        kind = f"{'' if finding.surface is Surface.LAYER else f'{kind}, '}layer {layer.index}"
        kind += f" {short(digest)}" if digest else ""
    encoding = f", encoded as {' in '.join(finding.encoding)}" if finding.encoding else ""
    return f"{place} ({kind}{encoding})" if place else f"{kind}{encoding}"


def _buried(finding: Finding) -> str:
    done, removed = _BURIED[finding.state], finding.removed_by
    by = f" by layer {removed.layer_index}" if removed else " later"
    if removed and removed.created_by:
        by += f" `{cut(parse_created_by(removed.created_by).line, 100)}`"
    still = f"layer {finding.layer.index}" if finding.layer else "the layer below"
    return f"{done}{by}, which only buries it: whoever can pull the image still gets it from {still}"


def _common_steps(groups: Sequence[_Group]) -> list[str]:
    """Steps that are the same for all of several groups, so that they need saying only once."""
    if len(groups) < 2:
        return []
    held = [{step for finding in group.findings for step in finding.remediation.steps} for group in groups]
    return [step for step in groups[0].findings[0].remediation.steps if all(step in steps for steps in held)]


def _fix(page: Page, group: _Group, common: Sequence[str]) -> None:
    said: dict[str, list[Remediation]] = defaultdict(list)
    for finding in group.findings[:1000]:
        said[finding.remediation.summary].append(finding.remediation)
    page.blank()
    page.say(" ".join(list(said)[:_ADVICES]), indent=2, label="Why and what to do: ", style=Style.BOLD)
    advised, alike = _steps(list(said.values())[:_ADVICES])
    _numbered(page, [step for step in advised if step not in common])
    if alike or len(said) > _ADVICES:
        page.say("The like for the other places above.", indent=2)
    written = (advice.dockerfile for advices in said.values() for advice in advices)
    for dockerfile in unique(text for text in written if text)[:_ADVICES]:
        page.blank()
        page.verbatim(dockerfile, indent=6)


def _steps(kinds: Sequence[Sequence[Remediation]]) -> tuple[list[str], bool]:
    """The steps to print, and whether some were left out that only repeat them for other files."""
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


def _numbered(page: Page, steps: Sequence[str]) -> None:
    for number, step in enumerate(steps, 1):
        page.say(step, indent=2, label=f"{number}. ")


# --- the rest --------------------------------------------------------------------------------------------------------


def _information(page: Page, findings: Sequence[Finding]) -> None:
    if not findings:
        return
    by_title: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_title[f"{finding.title} ({_why_not_gated(finding)})"].append(finding)
    page.blank()
    page.say(
        f"{counted(len(findings), 'finding')} not sure or not severe enough (--fail-on) to count.",
        label="For information: ",
        style=Style.BOLD,
    )
    titles = sorted(by_title.items(), key=lambda item: (-len(item[1]), item[0]))
    for title, members in titles[:_TITLES]:
        page.say(title, indent=2, label=f"{len(members):,} x ")
        places = unique(_where(finding) for finding in members[:1000])
        more = len(members) > 3
        page.say("; ".join(cut(place, 200) for place in places[:3]) + ("; ..." if more else ""), indent=6)
    if len(titles) > _TITLES:
        rest = sum(len(members) for _, members in titles[_TITLES:])
        page.say(f"... and {rest:,} of {counted(len(titles) - _TITLES, 'other kind')}.", indent=2)


def _why_not_gated(finding: Finding) -> str:
    if finding.suppressed is not None:
        return "accepted"
    return f"{finding.severity.value}, confidence {finding.confidence.value}"


def _known(page: Page, result: ScanResult) -> None:
    """What is proved about each secret that the user gave; of its parts only those that were seen."""
    shown = [entry for entry in result.known_secrets if "part_of" not in entry or entry["verdict"] == "present"]
    if not shown:
        return
    page.blank()
    page.say("", label="Known secrets", style=Style.BOLD)
    for entry in shown:
        verdict, sightings, encodings = entry["verdict"], entry["sightings"], entry["encodings"]
        assert isinstance(sightings, list) and isinstance(encodings, list)
        style = {"present": Style.RED, "unknown": Style.YELLOW}.get(str(verdict), Style.GREEN)
        if verdict == "present":
            text = f"present, {counted(len(sightings), 'sighting')}"
        elif verdict == "absent":
            text = f"absent from {entry['bytes_searched']:,} bytes, in all of {len(encodings)} encodings"
        else:
            text = f"unknown: {entry.get('reason') or 'not all of the image was read'}"
        page.say(text, indent=2, label=f"{plain(str(entry['id']))}: ", style=style)


def _coverage(page: Page, result: ScanResult) -> None:
    page.blank()
    _accounts(page, result.coverage)
    for note in result.notes:
        page.say(note, indent=2, label="note  ")


def _accounts(page: Page, coverage: Coverage) -> None:
    if coverage.complete:
        read = f"complete, {counted(coverage.total, 'byte')} in {counted(coverage.members, 'file')}, all accounted for."
        page.say(read, label="Coverage: ", style=Style.BOLD)
        return
    read = f"{coverage.accounted:,} of {counted(coverage.total, 'byte')}, {counted(coverage.members, 'file')}"
    gaps = counted(len(coverage.gaps), "gap")
    page.say(f"incomplete, {read}, {gaps}.", label="Coverage: ", style=Style.YELLOW)
    if len(coverage.gaps) > _GAPS:
        for reason, number in sorted(Counter(gap.reason for gap in coverage.gaps).items()):
            page.say(reason, indent=2, label=f"{number:,} x ")
        page.say(f"The first {_GAPS} of {len(coverage.gaps):,}:", indent=2)
    for gap in coverage.gaps[:_GAPS]:
        page.say(_gap(gap), indent=2, label=f"{gap.reason}  ", style=Style.YELLOW)


def _gap(gap: Gap) -> str:
    blob = short(gap.blob) if gap.blob.startswith(("sha256:", "sha512:")) else gap.blob
    place = " ".join(part for part in (blob, gap.where) if part)
    size = "" if gap.bytes is None else f" ({amount(gap.bytes)})"
    return f"{place}{size}: {gap.detail}" if gap.detail and place else f"{place}{size}{gap.detail}"


def _closing(page: Page, verdict: Verdict) -> None:
    meaning = {
        Verdict.LEAKED: "Exit code 1: credentials leaked.",
        Verdict.CLEAN: "Exit code 0: nothing that counts was found, everything was read.",
        Verdict.INCOMPLETE: "Exit code 3: not everything could be read (0 with --allow-incomplete).",
    }
    page.blank()
    page.say(meaning[verdict])

"""A scan's result for people: verdict first, then what leaked by build step, what else was seen, and what was read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from scanner.evidence import Coverage, Finding, ScanResult, Verdict
from scanner.image.instruction import parse_created_by
from scanner.report.accepted import say_accepted
from scanner.report.escape import plain
from scanner.report.lines import SEVERITY, Page, Style, counted, cut, unique
from scanner.report.order import ordered, parted
from scanner.report.story import (
    APPLIES_BY,
    BY_HAND,
    CLOSING,
    Group,
    advised,
    buried,
    by_step,
    common_steps,
    gap_line,
    masked,
    sentence,
    value_of,
    where,
    why_not_gated,
)

#: Above these numbers the rest is counted instead of listed; the JSON report lists all.
_PLACES, _SECRETS, _TITLES, _GAPS = 5, 20, 20, 10
_VERDICTS = {Verdict.LEAKED: Style.RED, Verdict.CLEAN: Style.GREEN, Verdict.INCOMPLETE: Style.YELLOW}


def render(result: ScanResult, *, width: int = 80, color: bool = False) -> str:
    """The report as text, with a newline at its end; *width* in characters, never less than 40."""
    page = Page(width, color)
    gated, _, hints = parted(ordered(result.findings))
    groups = by_step(gated)
    _verdict(page, result, groups)
    _images(page, result)
    _leaks(page, groups)
    _information(page, hints)
    say_accepted(page, result)
    _known(page, result)
    _coverage(page, result)
    _closing(page, result.verdict)
    return str(page)


# --- top -------------------------------------------------------------------------------------------------------------


def _verdict(page: Page, result: ScanResult, groups: Sequence[Group]) -> None:
    page.say(sentence(result, groups), label=f"{result.verdict.value.upper()}: ", style=_VERDICTS[result.verdict])


def _images(page: Page, result: ScanResult) -> None:
    for image in result.images:
        digest = image.manifest_digest or image.config_digest
        parts = [image.source]
        if digest or image.layers:  # what a builder keeps is no image
            parts += [image.platform, counted(len(image.layers), "layer"), digest[:19] if digest else ""]
        page.say(", ".join(part for part in parts if part), indent=2)


# --- leaks -----------------------------------------------------------------------------------------------------------


def _leaks(page: Page, groups: Sequence[Group]) -> None:
    common = common_steps(groups)
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
            shown.setdefault(value_of(secret[0]), group.heading)
        _fix(page, group, common)
    if common:
        page.blank()
        page.say("For all of these:", style=Style.BOLD)
        _numbered(page, common)


def _step(page: Page, group: Group) -> None:
    step = parse_created_by(group.step)
    page.say(cut(step.line, 400), label=f"{group.heading}: " if group.step else group.heading, style=Style.BOLD)
    if group.lines:
        page.say(group.lines, indent=2, label="at ", style=Style.CYAN)
    if step.args:
        given = " ".join(f"{name}={value}" for name, value in step.args)
        page.say(cut(f"with build arguments {given}", 240), indent=2)


def _secret(page: Page, findings: Sequence[Finding], shown: dict[str, str]) -> None:
    worst = findings[0]
    page.blank()
    known = f"{worst.secret.preview}, {counted(worst.secret.length, 'byte')}"
    label = f"{worst.severity.value.upper()}  "
    page.say(f"{worst.title} ({known})", indent=2, label=label, style=SEVERITY[worst.severity])
    if worst.secret.value is not None:
        page.say(worst.secret.value, indent=4, label="value  ")
    if worst.gains:
        page.say(worst.gains, indent=4)
    if elsewhere := shown.get(value_of(worst)):
        page.say(f"The same secret as above, under {elsewhere}.", indent=4)
    for finding in findings[:_PLACES]:
        page.say(where(finding), indent=4, label="in     ", style=Style.CYAN)
        if fate := buried(finding):
            page.say(fate, indent=11)
    if len(findings) > _PLACES:
        page.say(f"... and in {counted(len(findings) - _PLACES, 'more place')}", indent=4)
    if worst.proof.command:
        page.command(worst.proof.command, indent=4, label="check  ")


def _fix(page: Page, group: Group, common: Sequence[str]) -> None:
    advice = advised(group)
    page.blank()
    page.say(" ".join(advice.summaries), indent=2, label="Why and what to do: ", style=Style.BOLD)
    _numbered(page, [step for step in advice.steps if step not in common])
    if advice.alike:
        page.say("The like for the other places above.", indent=2)
    for dockerfile in () if advice.diffs else advice.dockerfiles:
        page.blank()
        page.verbatim(dockerfile, indent=6)
    for diff, script in advice.diffs:
        page.blank()
        page.verbatim(diff.rstrip("\n"), indent=6)
        if script:
            page.say(APPLIES_BY, indent=2)
            page.verbatim(script, indent=0)  # to be pasted: its lines may begin a file's
        elif masked(diff):
            page.say(BY_HAND, indent=2)


def _numbered(page: Page, steps: Sequence[str]) -> None:
    for number, step in enumerate(steps, 1):
        page.say(step, indent=2, label=f"{number}. ")


# --- the rest --------------------------------------------------------------------------------------------------------


def _information(page: Page, findings: Sequence[Finding]) -> None:
    if not findings:
        return
    by_title: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_title[f"{finding.title} ({why_not_gated(finding)})"].append(finding)
    page.blank()
    page.say(
        f"{counted(len(findings), 'finding')} not sure or not severe enough (--fail-on) to count.",
        label="For information: ",
        style=Style.BOLD,
    )
    titles = sorted(by_title.items(), key=lambda item: (-len(item[1]), item[0]))
    for title, members in titles[:_TITLES]:
        page.say(title, indent=2, label=f"{len(members):,} x ")
        places = unique(where(finding) for finding in members[:1000])
        more = len(members) > 3
        page.say("; ".join(cut(place, 200) for place in places[:3]) + ("; ..." if more else ""), indent=6)
    if len(titles) > _TITLES:
        rest = sum(len(members) for _, members in titles[_TITLES:])
        page.say(f"... and {rest:,} of {counted(len(titles) - _TITLES, 'other kind')}.", indent=2)


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
        page.say(gap_line(gap), indent=2, label=f"{gap.reason}  ", style=Style.YELLOW)


def _closing(page: Page, verdict: Verdict) -> None:
    page.blank()
    page.say(CLOSING[verdict])

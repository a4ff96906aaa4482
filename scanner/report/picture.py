"""The picture of an image: its steps from the base down, and each leak as a line through them.

A line begins at the step that brought a secret in. It is whole as long as a container would see the secret, and dotted
from the step that buried it on, as whoever pulls the image still gets it. This module decides what is drawn; how it
looks is the page's affair.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from scanner.evidence import Finding, Gap, ImageSummary, LayerSummary, Severity, State, Surface
from scanner.image.instruction import parse_created_by
from scanner.report.lines import cut, unique
from scanner.report.story import SURFACES, Group, value_of

#: Lines beside one another that an eye can follow; further leaks are told in words only.
LANES = 8
#: In a picture of more rows, runs of more than _TOGETHER rows that no leak touches become one.
_ROWS, _TOGETHER = 10, 3
_STEP, _NAMES = 240, 3
_SETTINGS_SEEN = ("config.Env", "config.Cmd", "config.Entrypoint", "config.Healthcheck")
_NOT_PULLED = (Surface.CACHE, Surface.BUILDER)

#: A row: a layer by its index, a step without a layer by its history index, a surface beside them by its name.
Key = tuple[str, int | str]


class Mark(StrEnum):
    """What a line does in a row."""

    NONE = "none"
    STARTS = "starts"
    STARTS_UNSEEN = "starts-unseen"
    ALONE = "alone"
    SEEN = "seen"
    BURIED = "buried"
    UNSEEN = "unseen"
    ARRIVES = "arrives"
    ARRIVES_UNSEEN = "arrives-unseen"


@dataclass(frozen=True, slots=True)
class Thread:
    """Secrets that came in by one step and went out of sight by one step, or by none.

    Attributes:
        number: of the leak that they belong to, counted from 1.
        secrets: how many different values.
        names: of a few files or places.
        seen: a container sees at least one of them.
        pulled: whoever pulls the image gets them; not so for what only a builder or a cache keeps.
        still: index of the layer that keeps them although they were buried.
    """

    number: int
    severity: Severity
    secrets: int
    names: tuple[str, ...]
    start: Key
    end: Key | None
    state: State
    seen: bool
    pulled: bool
    still: int | None


@dataclass(frozen=True, slots=True)
class Lane:
    """One line's part in one row; *number* is of its leak."""

    mark: Mark
    severity: Severity
    number: int


@dataclass(frozen=True, slots=True)
class Row:
    """One step, or several that no leak touches.

    Attributes:
        text: the instruction; empty if it is unknown.
        layer: index of the layer that the step made, None if it made none or is not known to have.
        size: stored bytes, None where there is no layer.
        share: of the largest layer, in percent.
        gaps: reasons for which bytes of the layer were not looked at.
        folded: the rows that this one stands for.
    """

    label: str
    text: str
    layer: int | None = None
    size: int | None = None
    share: float = 0.0
    brings: tuple[Thread, ...] = ()
    buries: tuple[Thread, ...] = ()
    gaps: tuple[str, ...] = ()
    lanes: tuple[Lane, ...] = ()
    folded: tuple[Row, ...] = ()

    @property
    def worst(self) -> Severity | None:
        """Of what it brings in."""
        return min((thread.severity for thread in self.brings), key=lambda severity: severity.rank, default=None)


@dataclass(frozen=True, slots=True)
class Picture:
    """One image.

    Attributes:
        rows: the base first, then what lies beside the layers.
        container, pull: the lines as they arrive in a container, and at whoever pulls.
        seen, got: how many different secrets that is.
        undrawn: how many lines there are no lanes for.
    """

    image: ImageSummary
    size: int
    rows: tuple[Row, ...]
    container: tuple[Lane, ...]
    pull: tuple[Lane, ...]
    seen: int
    got: int
    undrawn: int

    @property
    def unseen(self) -> str:
        """How many of the secrets that a puller gets no container sees, in words; empty for none."""
        number = self.got - self.seen
        if number <= 0:
            return ""
        if number == self.got:
            return "which a container does not see" if number == 1 else "none of which a container sees"
        return f"{number:,} of which a container does not see"


def picture(image: ImageSummary, groups: Sequence[Group], gaps: Sequence[Gap], several: bool) -> Picture:
    """The picture of *image*.

    Args:
        groups: the gated findings of the whole result; their place in the list is the number of the leak.
        several: the result has several images, so findings say which they belong to.
    """
    mine = [
        (number, finding)
        for number, group in enumerate(groups, 1)
        for finding in group.findings
        if not several or finding.platform in (None, image.platform)
    ]
    layer_of_step = {layer.history_index: layer.index for layer in image.layers if layer.history_index is not None}
    threads = _threads(mine, layer_of_step)
    rows = _fold(_rows(image, threads, mine, gaps))
    drawn = threads[:LANES]
    keys = [key for key, _ in rows]
    lanes = [_lanes(thread, keys) for thread in drawn]
    return Picture(
        image=image,
        size=sum(layer.size for layer in image.layers),
        rows=tuple(replace(row, lanes=tuple(lane[at] for lane in lanes)) for at, (_, row) in enumerate(rows)),
        container=tuple(map(_in_container, drawn)),
        pull=tuple(map(_at_puller, drawn)),
        seen=len({value_of(finding) for _, finding in mine if _seen(finding)}),
        got=len({value_of(finding) for _, finding in mine if finding.surface not in _NOT_PULLED}),
        undrawn=len(threads) - len(drawn),
    )


def _seen(finding: Finding) -> bool:
    if finding.surface is Surface.LAYER:
        return finding.state is State.LIVE
    return finding.surface is Surface.CONFIG and (finding.path or "").startswith(_SETTINGS_SEEN)


def _start(finding: Finding, layer_of_step: Mapping[int, int]) -> Key:
    if finding.layer is not None:
        return "layer", finding.layer.index
    if finding.instruction is None:
        return "beside", finding.surface.value
    step = finding.instruction.history_index
    return ("layer", layer_of_step[step]) if step in layer_of_step else ("step", step)


def _threads(findings: Sequence[tuple[int, Finding]], layer_of_step: Mapping[int, int]) -> list[Thread]:
    found: dict[tuple[int, Key, Key | None], list[Finding]] = defaultdict(list)
    for number, finding in findings:
        end: Key | None = None if finding.removed_by is None else ("layer", finding.removed_by.layer_index)
        found[number, _start(finding, layer_of_step), end].append(finding)
    return [
        Thread(
            number=number,
            severity=members[0].severity,
            secrets=len({value_of(finding) for finding in members}),
            names=tuple(unique(_name(finding) for finding in members[:1000])),
            start=start,
            end=end,
            state=members[0].state,
            seen=any(map(_seen, members)),
            pulled=any(finding.surface not in _NOT_PULLED for finding in members),
            still=members[0].layer.index if end and members[0].layer else None,
        )
        for (number, start, end), members in found.items()
    ]


def _name(finding: Finding) -> str:
    if finding.surface is Surface.LAYER and finding.path:
        return cut("/" + finding.path.lstrip("/"), 80)
    return SURFACES[finding.surface]


def _rows(
    image: ImageSummary, threads: Sequence[Thread], findings: Sequence[tuple[int, Finding]], gaps: Sequence[Gap]
) -> list[tuple[Key, Row]]:
    """Layers and the steps between them in the order of the build, then the surfaces beside them."""
    brings: dict[Key, list[Thread]] = defaultdict(list)
    buries: dict[Key, list[Thread]] = defaultdict(list)
    for thread in threads:
        brings[thread.start].append(thread)
        if thread.end:
            buries[thread.end].append(thread)
    largest = max((layer.size for layer in image.layers), default=0) or 1
    reasons: dict[str, list[str]] = defaultdict(list)
    for gap in gaps:
        reasons[gap.blob].append(gap.reason)
    rows: list[tuple[tuple[int, int, int], Key, Row]] = []
    last = -1
    for layer in image.layers:
        key: Key = ("layer", layer.index)
        last = layer.history_index if layer.history_index is not None else last
        rows.append(((0, last, layer.index), key, replace(_layer(layer, largest, reasons), brings=tuple(brings[key]),
                                                         buries=tuple(buries[key]))))  # fmt: skip
    steps = {
        finding.instruction.history_index: finding.instruction.created_by
        for _, finding in findings
        if finding.instruction is not None
    }
    for key in brings.keys() - {key for _, key, _ in rows}:
        kind, place = key
        if kind == "step":
            text = cut(parse_created_by(steps[int(place)]).line, _STEP)
            rows.append(((0, int(place), -1), key, Row(f"Step {place}", text, brings=tuple(brings[key]))))
        else:
            what = f"Layer {place}" if kind == "layer" else f"Beside the layers: {SURFACES[Surface(str(place))]}"
            rows.append(((1, 0, 0), key, Row(what, "", brings=tuple(brings[key]))))
    return [(key, row) for _, key, row in sorted(rows, key=lambda item: (item[0], str(item[1])))]


def _layer(layer: LayerSummary, largest: int, reasons: dict[str, list[str]]) -> Row:
    text = cut(parse_created_by(layer.created_by).line, _STEP) if layer.created_by else ""
    missed = [reason for name in unique(n for n in (layer.digest, layer.diff_id) if n) for reason in reasons[name]]
    known = layer.history_index is not None
    return Row(
        label=f"Step {layer.history_index}" if known else f"Layer {layer.index}",
        text=text,
        layer=layer.index if known else None,
        size=layer.size,
        share=100 * layer.size / largest,
        gaps=tuple(unique(missed)),
    )


def _fold(rows: Sequence[tuple[Key, Row]]) -> list[tuple[Key, Row]]:
    if len(rows) <= _ROWS:
        return list(rows)
    found: list[tuple[Key, Row]] = []
    run: list[tuple[Key, Row]] = []
    for key, row in rows:
        if row.brings or row.buries or row.gaps:
            found += [*_folded(run), (key, row)]
            run = []
        else:
            run.append((key, row))
    return found + _folded(run)


def _folded(run: list[tuple[Key, Row]]) -> list[tuple[Key, Row]]:
    if len(run) <= _TOGETHER:
        return run
    (key, first), (_, last) = run[0], run[-1]
    size = sum(row.size or 0 for _, row in run)
    share = max(row.share for _, row in run)
    label = f"{first.label} to {last.label.lower()}"
    return [(key, Row(label, "", None, size, share, folded=tuple(row for _, row in run)))]


def _lanes(thread: Thread, keys: Sequence[Key]) -> list[Lane]:
    start = keys.index(thread.start)
    end = keys.index(thread.end) if thread.end in keys else None
    lanes = []
    for at in range(len(keys)):
        if at < start:
            mark = Mark.NONE
        elif at == start:
            through = Mark.STARTS if thread.seen or thread.end else Mark.STARTS_UNSEEN
            mark = through if thread.pulled else Mark.ALONE
        elif not thread.pulled:
            mark = Mark.NONE
        elif at == end:
            mark = Mark.BURIED
        else:
            shown = thread.seen if end is None else at < end
            mark = Mark.SEEN if shown else Mark.UNSEEN
        lanes.append(Lane(mark, thread.severity, thread.number))
    return lanes


def _in_container(thread: Thread) -> Lane:
    mark = Mark.SEEN if thread.seen and thread.end is None else Mark.UNSEEN
    return Lane(mark if thread.pulled else Mark.NONE, thread.severity, thread.number)


def _at_puller(thread: Thread) -> Lane:
    mark = Mark.ARRIVES if thread.seen and thread.end is None else Mark.ARRIVES_UNSEEN
    return Lane(mark if thread.pulled else Mark.NONE, thread.severity, thread.number)

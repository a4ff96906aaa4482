"""Which instruction of a Dockerfile an image's history entry was made from.

Entries and instructions are compared in order, from the base up; what the builder expands or hides is left open. The
stage that explains most of the history is the one that was built, so it need not be the last.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from scanner.image.dockerfile import Dockerfile, Instruction
from scanner.image.instruction import Step, exec_form, parse_created_by
from scanner.oci import HistoryEntry

#: Histories and stages are compared at their last so many entries; engines allow 127 layers.
_MOST = 500
_VARIABLE = re.compile(r"(?<!\\)\$(?:\w+|\{[^}]*\})")
_CLASSIC_SOURCE = re.compile(r"(?:file|dir|multi):\S+ in ")
_DOCUMENT = re.compile(r"<<-?['\"]?([\w.-]+)['\"]?")
#: What these mean is written into history in another form; that they are there is what can be compared.
_BY_KIND = frozenset(["CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "SHELL", "STOPSIGNAL", "VOLUME", "MAINTAINER"])


@dataclass(frozen=True, slots=True)
class Recipe:
    """A Dockerfile beside the history of one image.

    Attributes:
        stage: the instructions of the stage that was built.
        made: history index → the instruction that made the entry.
    """

    dockerfile: Dockerfile
    stage: tuple[Instruction, ...]
    made: dict[int, Instruction]


def recipe_of(dockerfile: Dockerfile, history: Sequence[HistoryEntry]) -> Recipe:
    """*dockerfile* beside *history*, base first; entries that no instruction explains have none."""
    first = max(0, len(history) - _MOST)
    steps = [parse_created_by(entry.created_by[:65536]) for entry in history[first:]]
    best: tuple[tuple[Instruction, ...], list[tuple[int, Instruction]]] = ((), [])
    for stage in dockerfile.stages():
        pairs = _aligned(steps, stage[-_MOST:])
        if len(pairs) >= len(best[1]):
            best = stage, pairs
    return Recipe(dockerfile, best[0], {first + at: instruction for at, instruction in best[1]})


def _aligned(steps: Sequence[Step], stage: Sequence[Instruction]) -> list[tuple[int, Instruction]]:
    """The longest common subsequence; of equal ones the one that matches the latest steps."""
    shapes = [_shape(instruction) for instruction in stage]
    pairs_of = list(zip(stage, shapes, strict=True))
    same = [
        [_fits(step, text, instruction, shape) for instruction, shape in pairs_of]
        for step, text in ((step, _text(step)) for step in steps)
    ]
    lengths = [[0] * (len(stage) + 1) for _ in range(len(steps) + 1)]
    for i, row in enumerate(same):
        for j, fits in enumerate(row):
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if fits else max(lengths[i][j + 1], lengths[i + 1][j])
    pairs: list[tuple[int, Instruction]] = []
    i, j = len(steps), len(stage)
    while i and j:
        if same[i - 1][j - 1]:
            pairs.append((i - 1, stage[j - 1]))
            i, j = i - 1, j - 1
        elif lengths[i - 1][j] >= lengths[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]


def _shape(instruction: Instruction) -> list[str]:
    """The parts of an instruction's text that history shows as they are; anything may stand between them."""
    keyword, text = instruction.keyword, instruction.text
    if keyword == "RUN":
        words = exec_form(text)
        if words is not None:
            return [_spaced(" ".join(words))]
        document = _DOCUMENT.fullmatch(text.partition("\n")[0]) if instruction.heredocs else None
        if document is None:
            return [_spaced(text)]
        script = instruction.heredocs[0]  # which is run as a file if it names its interpreter
        return [f"/dev/pipes/{document[1]}" if script.startswith("#!") else _spaced(script)]
    if keyword == "ARG":
        return [re.split(r"[=\s]", text, maxsplit=1)[0], ""]
    if keyword in ("ENV", "LABEL") and "=" not in text.split(" ")[0]:
        text = re.sub(r"\s+", "=", text, count=1)
    if keyword in ("COPY", "ADD"):
        text = " ".join(exec_form(text) or [text.partition("\n")[0]])
    literal = _VARIABLE.split(text)
    return [_spaced(re.sub(r"[\"']|\\(?=.)", "", part)) for part in literal]


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _text(step: Step) -> str:
    """A step's operands as far as they can be compared, blanks made one."""
    if step.kind == "RUN":
        return _spaced(step.command) if step.shell else _loose(step.command)
    text = _spaced(re.sub(r"[\"']|\\(?=.)", "", step.command))
    if step.kind in ("COPY", "ADD"):
        return " ".join(word for word in text.split() if not word.startswith("--"))
    return re.split(r"[=\s]", text, maxsplit=1)[0] if step.kind == "ARG" else text


def _fits(step: Step, text: str, instruction: Instruction, shape: Sequence[str]) -> bool:
    if step.kind != instruction.keyword:
        return False
    if step.kind in _BY_KIND:
        return True
    if step.kind == "RUN":
        return text == (shape[0] if step.shell else _loose(shape[0]))
    if step.kind == "ARG":
        return text == shape[0]
    if step.kind in ("COPY", "ADD") and _CLASSIC_SOURCE.match(text):  # the source's name is lost
        target = _spaced(instruction.text.partition("\n")[0]).rpartition(" ")[2].strip("\"'[]")
        return "$" in target or text.rstrip("/").endswith(target.rstrip("/"))
    if step.kind == "WORKDIR":
        return text.endswith(shape[-1].removeprefix("./").rstrip("/"))
    return _in_order(text, shape)


def _loose(text: str) -> str:
    return re.sub(r"[\"'\s,\[\]]", "", text)


def _in_order(text: str, parts: Sequence[str]) -> bool:
    """Whether *text* is *parts* with anything between them."""
    if len(parts) == 1:
        return text == parts[0]
    if not text.startswith(parts[0]) or not text.endswith(parts[-1]):
        return False
    at, end = len(parts[0]), len(text) - len(parts[-1])
    for part in parts[1:-1]:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return at <= end

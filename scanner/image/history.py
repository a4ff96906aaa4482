"""Which history entry made which layer.

The rule (image-spec config.md, property `history`): the k-th entry that is not `empty_layer` made the k-th layer.
Builders bend it in one way that can be told: buildah and podman without `--layers` run all instructions in one
container, mark every one `empty_layer` and hang the single layer on the last entry, be it `CMD`. There the step is
known as a range only. Where the counts differ nothing is known, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence

from scanner.evidence import Instruction
from scanner.image.instruction import parse_created_by
from scanner.oci import HistoryEntry

_KIND_PREFIX = 1000  # characters of created_by that suffice to tell its kind
_ALWAYS_LAYERS = frozenset({"ADD", "COPY"})
_WRITES = frozenset({"ADD", "COPY", "RUN", "WORKDIR", ""})


def instructions(history: Sequence[HistoryEntry], layers: int) -> tuple[Instruction | None, ...]:
    """The build step of each layer, base first; None for all of them where the history does not fit the layers.

    Args:
        history: base first.
        layers: how many layers the image has.
    """
    made = [index for index, entry in enumerate(history) if not entry.empty_layer]
    if len(made) != layers:
        return (None,) * layers
    found = []
    previous = -1
    for index in made:
        first = previous + 1
        collapsed = first < index and _collapsed(history[first : index + 1])
        step_range = (first, index) if collapsed else None
        found.append(Instruction(index, history[index].created_by, step_range))
        previous = index
    return tuple(found)


def users(history: Sequence[HistoryEntry]) -> tuple[str, ...]:
    """Who each entry was run as, empty for root."""
    found, user = [], ""
    for entry in history:
        text = entry.created_by
        step = parse_created_by(text) if "USER" in text[:_KIND_PREFIX] and len(text) <= _KIND_PREFIX else None
        if step is not None and step.kind == "USER":
            user = step.command.strip()
            user = "" if user.partition(":")[0] in ("root", "0") else user
        found.append(user)
    return tuple(found)


def _collapsed(segment: Sequence[HistoryEntry]) -> bool:
    """Whether the layer of the last entry holds the work of the entries before it, which claim to have no layer.

    An engine marks COPY and ADD empty never, and RUN only if it changed nothing. So an empty COPY, a layer that belongs
    to an entry which cannot write, and an empty RUN in a build that calls itself buildah's (comment `FROM <base>`)
    are signs of one layer for all.
    """
    kinds = [_kind(entry) for entry in segment]
    earlier = set(kinds[:-1])
    if earlier & _ALWAYS_LAYERS:
        return True
    if "RUN" not in earlier:
        return False
    return kinds[-1] not in _WRITES or any(entry.comment.startswith("FROM ") for entry in segment)


def _kind(entry: HistoryEntry) -> str:
    return parse_created_by(entry.created_by[:_KIND_PREFIX]).kind

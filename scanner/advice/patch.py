"""A change of the user's Dockerfile: as a unified diff, and as a command that shows none of the lines it replaces.

A Dockerfile can hold secrets that no image of it does: in comments, or in stages that were not built. The lines around
a change are shown only if they belong to steps of the image, whose text was searched and is redacted.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from scanner.advice.chain import uses
from scanner.image.dockerfile import Dockerfile, Instruction
from scanner.image.recipe import Recipe

_CONTEXT = 3
_NAME = re.compile(r"[A-Za-z_]\w*")
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'[^']*'")
_NO_END = "\\ No newline at end of file\n"


@dataclass(frozen=True, slots=True)
class _Change:
    """Lines *start* up to *end* (from 0, not included) become *new*."""

    start: int
    end: int
    new: tuple[str, ...]


def diff(
    recipe: Recipe, edits: Mapping[int, str | None], arguments: Collection[str] = (), ignored: str = ""
) -> str | None:
    """The diff that makes the edits; None if a step's instruction is not known, nothing would change, or a variable
    would be gone that an instruction uses which stays, or that is declared beside another one.

    Args:
        edits: history index → the instruction to put there, None to delete it.
        arguments: names of build arguments whose ARG goes too.
        ignored: a pattern that .dockerignore gains.
    """
    changes, dockerfile = _changes(recipe, edits, arguments), recipe.dockerfile
    if changes is None:
        return None
    hunks = "".join(_hunks(dockerfile.lines, changes, _safe(recipe)))
    name = _name(dockerfile.path)
    return (_ignoring(dockerfile, ignored) + (f"--- a/{name}\n+++ b/{name}\n{hunks}" if hunks else "")) or None


def command(
    recipe: Recipe, edits: Mapping[int, str | None], arguments: Collection[str] = (), ignored: str = ""
) -> str | None:
    """The change of `diff`, with the same arguments, as a command for a shell, which names lines by their numbers.

    A diff tells what it takes away, and that is where the secret is: one whose values are masked applies nowhere.
    """
    changes, dockerfile = _changes(recipe, edits, arguments), recipe.dockerfile
    if changes is None:
        return None
    commands = []
    if changes:
        name = _shown(dockerfile.path)
        words = " ".join(f"-e {shlex.quote(_edit(change))}" for change in changes)
        commands.append(f"sed {words} {name} > {name}.fixed && mv {name}.fixed {name}")
    if _adds(dockerfile, ignored):
        lines = dockerfile.ignore
        begin = "\\n" if lines and not lines[-1].endswith("\n") else ""
        commands.append(f"printf '{begin}%s\\n' {shlex.quote(ignored)} >> {_shown(dockerfile.ignore_path)}")
    return " && ".join(commands) or None


def _shown(path: str) -> str:
    """A file's name as a word of a shell that no tool takes for an option."""
    name = _name(path)
    return shlex.quote(f"./{name}" if name.startswith("-") else name)


def _edit(change: _Change) -> str:
    """A change as a command of sed; it puts a text in the place of lines, or takes them away."""
    first, last = change.start + 1, change.end
    lines = f"{first},{last}" if last > first else f"{first}"
    if not change.new:
        return f"{lines}d"
    text = "\\\n".join(line.removesuffix("\n").replace("\\", "\\\\") for line in change.new)
    return f"{lines}c\\\n{text}"


def _changes(
    recipe: Recipe, edits: Mapping[int, str | None], arguments: Collection[str]
) -> list[_Change] | None:
    """The lines that the edits replace, in order; None if there is no diff."""
    dockerfile = recipe.dockerfile
    if dockerfile.escape != "\\" or any(step not in recipe.made for step in edits):
        return None
    texts = {recipe.made[step]: text for step, text in edits.items()}
    for instruction in recipe.stage:
        declared = _declared(instruction) if instruction.keyword == "ARG" else set()
        if not declared.isdisjoint(arguments):
            texts.setdefault(instruction, None)
    gone = [_declared(instruction) for instruction, text in texts.items() if text is None]
    staying = [" ".join([*each.flags, each.text]) for each in recipe.stage if each not in texts]
    if any(len(names) > 1 or any(uses(text, name) for name in names for text in staying) for names in gone):
        return None
    changes = [_change(dockerfile, instruction, text) for instruction, text in texts.items()]
    return sorted(changes, key=lambda change: change.start)


def _declared(instruction: Instruction) -> set[str]:
    """The variables that an ARG or ENV gives to the instructions behind it."""
    if instruction.keyword not in ("ARG", "ENV"):
        return set()
    words = _QUOTED.sub("", instruction.text).split()
    names = [word.partition("=")[0] for word in words if "=" in word or instruction.keyword == "ARG"]
    return set(filter(_NAME.fullmatch, names or words[:1]))


def _adds(dockerfile: Dockerfile, pattern: str) -> bool:
    """Whether .dockerignore gains *pattern*: it may be empty, or listed already."""
    return bool(pattern) and pattern not in (line.strip() for line in dockerfile.ignore)


def _ignoring(dockerfile: Dockerfile, pattern: str) -> str:
    """The diff that makes .dockerignore list *pattern*, empty if it does."""
    if not _adds(dockerfile, pattern):
        return ""
    lines = dockerfile.ignore
    name, end = _name(dockerfile.ignore_path), len(lines)
    if not lines:
        return f"--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+{pattern}\n"
    change = _Change(end, end, (f"{pattern}\n",))
    if not lines[-1].endswith("\n"):
        change = _Change(end - 1, end, (f"{lines[-1]}\n", f"{pattern}\n"))
    return f"--- a/{name}\n+++ b/{name}\n" + "".join(_hunks(lines, [change], frozenset(range(end))))


def _name(path: str) -> str:
    """The file as a diff names it: relative, so that it applies in the folder that the user is in."""
    pure = PurePosixPath(path)
    return pure.name if pure.is_absolute() or ".." in pure.parts else str(pure)


def _change(dockerfile: Dockerfile, instruction: Instruction, text: str | None) -> _Change:
    start, end = instruction.line - 1, instruction.end_line
    if text is None:
        return _Change(start, end, ())
    keyword, _, rest = text.partition(" ")
    kept = [flag for flag in instruction.flags if flag not in text.split()] if keyword == instruction.keyword else []
    # history does not hold the flags of BuildKit's instructions
    head = " \\\n    ".join([f"{keyword} {flag}" if not at else flag for at, flag in enumerate(kept)])
    whole = f"{head} \\\n    {rest}" if kept else text
    last = dockerfile.lines[end - 1]
    ends = "\r\n" if last.endswith("\r\n") else "\n"
    new = [f"{line}{ends}" for line in whole.split("\n")]
    if not last.endswith("\n"):
        new[-1] = new[-1].removesuffix(ends)
    return _Change(start, end, tuple(new))


def _safe(recipe: Recipe) -> frozenset[int]:
    """Lines that belong to steps of the image; not those of comments within."""
    lines = recipe.dockerfile.lines
    made = [at for step in recipe.made.values() for at in range(step.line - 1, step.end_line)]
    blank = [at for at, line in enumerate(lines) if not line.strip()]
    return frozenset(at for at in [*made, *blank] if not lines[at].lstrip().startswith("#"))


def _hunks(lines: Sequence[str], changes: Sequence[_Change], safe: frozenset[int]) -> Iterator[str]:
    """Each group of changes that lie near one another, with the lines around them."""
    shift = 0
    group: list[_Change] = []
    for at, change in enumerate(changes):
        group.append(change)
        following = changes[at + 1].start if at + 1 < len(changes) else None
        between = range(change.end, following) if following is not None else ()
        if following is not None and len(between) <= 2 * _CONTEXT and all(line in safe for line in between):
            continue
        yield _hunk(lines, group, safe, shift)
        shift += sum(len(one.new) - (one.end - one.start) for one in group)
        group = []


def _hunk(lines: Sequence[str], group: Sequence[_Change], safe: frozenset[int], shift: int) -> str:
    first, last = group[0].start, group[-1].end
    while first > 0 and first - 1 in safe and group[0].start - first < _CONTEXT:
        first -= 1
    while last < len(lines) and last in safe and last - group[-1].end < _CONTEXT:
        last += 1
    out: list[str] = []
    at = first
    for change in group:
        out += [f" {line}" for line in lines[at : change.start]]
        out += [f"-{line}" for line in lines[change.start : change.end]]
        out += [f"+{line}" for line in change.new]
        at = change.end
    out += [f" {line}" for line in lines[at:last]]
    old, new = last - first, sum(not line.startswith("-") for line in out)
    head = f"@@ -{_span(first, old)} +{_span(first + shift, new)} @@\n"
    return head + "".join(line if line.endswith("\n") else f"{line}\n{_NO_END}" for line in out)


def _span(start: int, length: int) -> str:
    return f"{start + 1 if length else start},{length}"

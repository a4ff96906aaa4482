"""A Dockerfile as its instructions, each with the lines that it stands on.

The rules are those of BuildKit's parser (docs.docker.com/reference/dockerfile): directives at the top, comments and
empty lines inside a continued line, heredocs behind RUN, COPY and ADD, flags in front of the operands.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from scanner import userfile
from scanner.errors import UnusableFile

#: A Dockerfile larger than this is none.
_LARGEST = 4 << 20
_DIRECTIVE = re.compile(r"#\s*([A-Za-z][\w.-]*)\s*=\s*(\S+)")
_BLANKS = re.compile(r"[ \t\v\f\r]+")
_FLAGS = re.compile(r"(?:\s*--[a-z][\w.-]*(?:=(?:\"[^\"]*\"|'[^']*'|\S)*)?(?=\s|$))*\s*")
_HEREDOC = re.compile(r"(?<!<)<<(?P<chomp>-?)(?P<quote>['\"]?)(?P<name>[A-Za-z_][\w.-]*)(?P=quote)")
_WITH_HEREDOCS = frozenset(["RUN", "COPY", "ADD"])


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. Shows nothing of its text: secrets may stand in it.

    Attributes:
        keyword: in capitals.
        flags: `--mount=...` and the like, as they are written.
        text: the operands as one line, continued lines joined as the builder joins them; then the bodies of heredocs,
            each with its end.
        heredocs: the bodies alone.
        line, end_line: counted from 1, the last one included.
    """

    keyword: str
    flags: tuple[str, ...] = field(repr=False)
    text: str = field(repr=False)
    heredocs: tuple[str, ...] = field(repr=False)
    line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A Dockerfile.

    Attributes:
        path: as the user gave it.
        lines: with their ends.
        syntax: the frontend that its first directive asks for, empty if it asks for none.
        escape: what continues a line.
        instructions: in their order.
        ignore_path, ignore: the .dockerignore that goes with it and its lines, with their ends; none if there is none.
    """

    path: str
    lines: tuple[str, ...] = field(repr=False)
    syntax: str
    escape: str
    instructions: tuple[Instruction, ...]
    ignore_path: str = ".dockerignore"
    ignore: tuple[str, ...] = field(default=(), repr=False)

    @property
    def sets_variables(self) -> bool | None:
        """Whether its frontend is known to have `--mount=type=secret,env=` (1.10), None if the file does not tell."""
        version = re.search(r"/dockerfile(?:-upstream)?:(\d+)(?:\.(\d+))?", self.syntax)
        if not version:
            return None
        return version[2] is None or (int(version[1]), int(version[2])) >= (1, 10)

    @property
    def digest(self) -> str:
        """Tells the file with its .dockerignore from every other one."""
        every = "\0".join([self.path, self.ignore_path, *self.lines, "", *self.ignore])
        return hashlib.sha256(every.encode("utf-8", "surrogateescape")).hexdigest()

    def stages(self) -> list[tuple[Instruction, ...]]:
        """The instructions of each stage, FROM left out; a stage that builds on another one begins with the other's."""
        found: list[tuple[Instruction, ...]] = []
        names: dict[str, int] = {}
        for instruction in self.instructions:
            if instruction.keyword == "FROM":
                words = instruction.text.split()
                parent = names.get(words[0].lower()) if words else None
                found.append(found[parent] if parent is not None else ())
                if len(words) >= 3 and words[1].upper() == "AS":
                    names[words[2].lower()] = len(found) - 1
                names.setdefault(str(len(found) - 1), len(found) - 1)
            elif found:
                found[-1] = (*found[-1], instruction)
        return found


def read(path: Path) -> Dockerfile:
    """The Dockerfile at *path* with its .dockerignore. Raises UnusableFile if they cannot be read or are no text."""
    found = parse(_text(path, "Dockerfile"), str(path))
    for ignore in (path.with_name(f"{path.name}.dockerignore"), path.with_name(".dockerignore")):
        if os.path.isfile(ignore):  # nobody named it: a directory or a pipe of that name is passed over
            return replace(found, ignore_path=str(ignore), ignore=_lines(_text(ignore, ".dockerignore")))
    return replace(found, ignore_path=str(path.with_name(".dockerignore")))


def _text(path: Path, kind: str) -> str:
    raw = userfile.read(path, _LARGEST)
    if b"\0" in raw:
        what = f"{userfile.shown(path)} is no {kind}: it holds a null character"
        raise UnusableFile(what, f"A {kind} is a text file.")
    return raw.decode("utf-8-sig", "surrogateescape")


def _lines(text: str) -> tuple[str, ...]:
    """The lines of *text* with their ends."""
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1].removesuffix("\n")
    return tuple(lines if lines[-1] else lines[:-1])


def parse(text: str, path: str = "Dockerfile") -> Dockerfile:
    """The instructions of *text*; what is none is passed over, as this reader is not the builder."""
    whole = _lines(text)
    lines = [line.removesuffix("\n").removesuffix("\r") for line in whole]
    directives = _directives(lines)
    escape = "`" if directives.get("escape") == "`" else "\\"
    return Dockerfile(path, whole, directives.get("syntax", ""), escape, tuple(_instructions(lines, escape)))


def _directives(lines: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        directive = _DIRECTIVE.fullmatch(line.strip())
        if not directive or directive[1].lower() in found:
            break
        found[directive[1].lower()] = directive[2]
    return found


def _instructions(lines: Sequence[str], escape: str) -> Iterator[Instruction]:
    at = 0
    while at < len(lines):
        first = at
        if _blank(lines[at]):
            at += 1
            continue
        parts, at = _continued(lines, at, escape)
        keyword, rest = [*_BLANKS.split("".join(parts).strip(), maxsplit=1), ""][:2]
        keyword = keyword.upper()
        flags = _FLAGS.match(rest)
        start = flags.end() if flags else 0
        operands = rest[start:].strip()
        heredocs = []
        if keyword in _WITH_HEREDOCS:
            for found in list(_HEREDOC.finditer(operands)):
                body, at = _heredoc(lines, at, found["name"], bool(found["chomp"]))
                heredocs.append((found["name"], body))
        yield Instruction(
            keyword,
            tuple(re.findall(r"--(?:\"[^\"]*\"|'[^']*'|\S)+", rest[:start])),
            "\n".join([operands, *(f"{body}{name}" for name, body in heredocs)]),
            tuple(body for _, body in heredocs),
            first + 1,
            at,
        )


def _blank(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _continued(lines: Sequence[str], at: int, escape: str) -> tuple[list[str], int]:
    """The parts of one logical line, and the number of the line after it."""
    parts: list[str] = []
    while at < len(lines):
        line = lines[at]
        if parts and _blank(line):  # comments and empty lines inside are passed over
            at += 1
            continue
        at += 1
        stripped = line.rstrip()
        if not stripped.endswith(escape):
            parts.append(line)
            break
        parts.append(stripped[:-1])
    return parts, at


def _heredoc(lines: Sequence[str], at: int, name: str, chomp: bool) -> tuple[str, int]:
    body = []
    while at < len(lines):
        line = lines[at].lstrip("\t") if chomp else lines[at]
        at += 1
        if line == name:
            break
        body.append(f"{line}\n")
    return "".join(body), at

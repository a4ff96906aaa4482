"""Reads created_by back into the build instruction it was made from, in the spelling of every builder.

Builders write the same step in different words (none of which the image-spec fixes, config.md says only "the command
which created the layer"):

    classic           /bin/sh -c CMD              |1 K=V /bin/sh -c CMD             /bin/sh -c #(nop)  ENV K=V
    BuildKit          RUN /bin/sh -c CMD # buildkit     RUN |1 K=V /bin/sh -c CMD # buildkit     ENV K=V
    BuildKit, filler  mount / from exec /bin/sh -c CMD
    buildah, podman   /bin/sh -c --mount=type=secret,id=pip CMD             /bin/sh -c #(nop) ENV K=V
    kaniko            the line of the Dockerfile
    others            anything: `bazel build ...`, `ko build ...`, `Layer: 'x', Created by buildpack: y`
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import islice

# fmt: off
_KEYWORDS = frozenset({
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
    "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
})
# fmt: on
_NOP = re.compile(r"[^\n#]{0,80}#\(nop\)\s*")
_FILLER = "mount / from exec "
_BUILDKIT = " # buildkit"
#: A shell in its usual place and options, up to the `-c` that the command follows.
_SHELL = re.compile(r"(?:/[\w./-]{0,60}/)?(?:ba|da|a|z|k)?sh(?: -[a-z]{1,8}(?: pipefail)?){0,4}? -[a-z]{0,8}c ")
_WINDOWS = re.compile(r"(?:cmd(?:\.exe)? /S /C|powershell(?:\.exe)?(?: -\w+(?: \w+)?){0,6}? -Command) ", re.IGNORECASE)
_COUNT = re.compile(r"\|(\d{1,4}) ")
_NAME = re.compile(r"(?<![^ ])([A-Za-z_][A-Za-z0-9_]*)=")
_FLAG = re.compile(r"\s*(--(?:mount|network|security|device)=\S+)(?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Step:
    """One build step as its author may have written it. Shows nothing of itself: secrets stand in steps.

    Attributes:
        kind: keyword in capitals (RUN, COPY, ENV ...), empty if the text is no instruction.
        args: for RUN: build arguments in scope, name and value. Builders do not quote the values, so one that holds
            ` NAME=` is read as two.
        flags: `--mount=...` and the like, where a builder keeps them (BuildKit does not).
        command: for RUN: what the shell was given, or the words of the exec form; else the operands.
        shell: for RUN: the command is text for a shell of POSIX; else it is for one of Windows, or the words of the
            exec form, their quotes lost.
        user: for RUN: who it is run as, empty for root; no builder says so in these words, the steps before them do.
    """

    kind: str
    command: str = field(repr=False)
    args: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    flags: tuple[str, ...] = field(default=(), repr=False)
    shell: bool = False
    user: str = ""

    @property
    def line(self) -> str:
        """The step as one line of a Dockerfile, without build arguments; runs of white space are one space, and the end
        of a line, which ends a command in a here-document, is a `\\n` between spaces."""
        lines = " ".join([self.kind, *self.flags, self.command]).split("\n")
        return " \\n ".join(filter(None, (" ".join(line.split()) for line in lines)))


def parse_created_by(created_by: str) -> Step:
    """The step that *created_by* tells of; never fails, what it does not know becomes a step of no kind."""
    text = created_by.removesuffix(_BUILDKIT)
    nop = _NOP.match(text)
    if nop:
        return _keyword(text[nop.end() :].rstrip())
    if text.startswith(_FILLER):
        return _run(text.removeprefix(_FILLER))
    if text.startswith("RUN "):
        rest = text.removeprefix("RUN ").lstrip(" ")
        as_written = text == created_by and not _COUNT.match(rest) and not rest.startswith("/bin/")
        return _flagged(rest, (), True) if as_written else _run(rest)
    if _COUNT.match(text) or _shell_end(text, 0):
        return _run(text)
    return _keyword(text)


def _keyword(text: str) -> Step:
    kind, _, rest = text.partition(" ")
    return Step(kind, rest.strip()) if kind in _KEYWORDS else Step("", text.strip())


def _run(text: str) -> Step:
    args, command = _arguments(text)
    end = _shell_end(command, 0)
    return _flagged(command[end:], args, _SHELL.match(command) is not None)


def _flagged(command: str, args: tuple[tuple[str, str], ...], shell: bool) -> Step:
    flags = []
    while found := _FLAG.match(command):
        flags.append(found[1])
        command = command[found.end() :]
    return Step("RUN", command.strip(), args, tuple(flags), shell and exec_form(command) is None)


def exec_form(text: str) -> list[str] | None:
    """The words of an exec form as Dockerfiles write it, and buildah behind its shell; None for other text."""
    if not text.startswith("["):
        return None
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


def _shell_end(text: str, at: int) -> int:
    """Where the command begins if a shell stands at *at*, else 0."""
    found = _SHELL.match(text, at) or _WINDOWS.match(text, at)
    return found.end() if found else 0


def _arguments(text: str) -> tuple[tuple[tuple[str, str], ...], str]:
    """The build arguments in front of a command, and the command.

    `|N` says how many there are. The last value ends at the shell, or at a space where no shell follows (exec form).
    """
    count = _COUNT.match(text)
    if not count:
        return (), text
    names = list(islice(_NAME.finditer(text, count.end()), int(count[1])))
    if not names:
        return (), text[count.end() :]
    end = _end_of_last(text, names[-1].end())
    stops = [name.start() - 1 for name in names[1:]] + [end]
    args = tuple((name[1], text[name.end() : stop]) for name, stop in zip(names, stops, strict=True))
    return args, text[end + 1 :]


def _end_of_last(text: str, start: int) -> int:
    first = -1
    for space in re.finditer(" ", text[start : start + 65536]):
        at = start + space.start()
        first = at if first < 0 else first
        if _shell_end(text, at + 1):
            return at
    return first if first >= 0 else len(text)

"""What the commands of a RUN do with a file that an earlier step brought in.

Told by their first words and operands alone, which is enough to tell a step that needs a file from one that only keeps
it: moves it, copies it, links it, packs it or changes whose it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import chain, pairwise

from scanner.advice.shell import LONGEST, Edit, Simple, Word, edited, read
from scanner.image.instruction import Step

#: How often a shell may be given a command that gives a shell a command.
_DEEPEST = 3
_FLAG = re.compile(r"-[\w-]+")
_MODE = re.compile(r"0?[0-7]{3,4}|[ugoa]*[-+=][rwxXst]*(?:,[ugoa]*[-+=][rwxXst]*){0,4}")
_OWNER = re.compile(r"[\w.-]+(?::[\w.-]*)?|:[\w.-]+")
#: Commands that only look after a file: remove it, change its mode or whose it is. A mount needs and allows neither.
#: Each with what its first operand is, where that is no file.
_TENDS = {"rm": None, "shred": None, "chmod": _MODE, "chown": _OWNER, "chgrp": _OWNER}
#: The same with rmdir, which is given no file: it tells what becomes of one, and is never left out of a chain itself.
_TENDERS = _TENDS.keys() | {"rmdir"}
#: The name of one file, which may begin with a variable such as $HOME.
_PLAIN = re.compile(r"(?:\$(?:\w+|\{\w+\}))?[^\s;&|<>(){}$`'\"*?\\#]+")
_TRANSFERS = frozenset(["cp", "mv", "ln", "install", "link", "rename"])
_PACKERS = frozenset(["tar", "zip", "cpio", "rsync", "scp", "dd", "tee"])
_SHELLS = frozenset(["sh", "bash", "ash", "dash"])
_GIVES = re.compile(r"-[a-z]*c")
_READERS = frozenset(["cat", "head", "tail", "sed", "awk", "grep", "cut", "tr", "base64", "envsubst",
                      "gzip", "openssl"])
#: Commands that put files in their places and need none of them.
_ARRANGES = _TRANSFERS | _TENDERS | {"mkdir", "touch", "cd", "set", "true", ":", "echo", "printf", "ls", "test", "["}
#: After these words a command still follows.
_PREFIXES = frozenset(["sudo", "env", "exec", "time", "nice", "busybox", "command", "then", "do", "else", "if", "while",
                       "!", "{", "xargs"])  # fmt: skip
#: Tools that look for settings in files of these names without being told of them; scripts may run them as well.
_SCRIPTS = r"make|\w+\.(?:sh|py)|sh"
_TOOLS = {
    name: f"{tools}|{_SCRIPTS}"
    for name, tools in {
        ".npmrc": "npm|npx|yarn|pnpm|node|corepack|bun",
        ".yarnrc": "yarn",
        ".yarnrc.yml": "yarn",
        ".netrc": r"curl|wget|git|pip[\d.]*|python[\d.]*|pipenv|poetry|uv|go|bazel|fetch",
        "pip.conf": r"pip[\d.]*|python[\d.]*|pipenv|poetry|uv",
        ".pypirc": r"twine|python[\d.]*|poetry|flit|hatch",
        ".git-credentials": r"git|go|npm|yarn|pip[\d.]*|composer|cargo|bundle",
        "settings.xml": "mvnw?|maven",
        "auth.json": "composer|php",
        ".gemrc": "gem|bundle",
        "NuGet.Config": "dotnet|nuget",
        "nuget.config": "dotnet|nuget",
    }.items()
}
_PIPES = ("|", "|&")
#: Where a redirection goes that goes to no file.
_DESCRIPTOR = re.compile(r"[0-9]+|-")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_OVER_SSH = re.compile(r"\bgit@|\bssh://|(?<![\w./-])(?:ssh|scp|sftp|rsync)\s")
_OWN_KEY = re.compile(r"(?<![\w./-])ssh-(?:add|keygen)\b")


def plain(step: Step) -> bool:
    """Whether a step is a chain of commands in one line."""
    return step.kind == "RUN" and step.shell and "\n" not in step.command and len(step.command) <= LONGEST


def named(command: str, path: str) -> bool:
    """Whether a command names the file *path*, by its last part."""
    name = path.rpartition("/")[2]
    return name in command and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", command) is not None


def uses(command: str, variable: str) -> bool:
    """Whether the text of a command names a variable."""
    return re.search(rf"\$(?:{variable}(?!\w)|\{{#?{variable}\b)", command) is not None


def reads(command: str, path: str) -> bool:
    """Whether a command runs a tool that finds the file *path* by its usual name; any may where no tool is known."""
    tools = _TOOLS.get(path.rpartition("/")[2])
    return tools is None or re.search(rf"(?<![\w.-])(?:{tools})(?![\w-])", command) is not None


def over_ssh(command: str) -> bool:
    """Whether a command talks ssh and would do so with the keys of an agent."""
    return _OVER_SSH.search(command) is not None and _OWN_KEY.search(command) is None


@dataclass(frozen=True, slots=True)
class _Run:
    """A program that a command runs: its words, the program first, and the files that it is redirected into."""

    words: tuple[str, ...] = field(repr=False)
    written: tuple[str, ...] = field(repr=False)

    @property
    def program(self) -> str:
        """Its name, without the folder."""
        return self.words[0].rpartition("/")[2]

    @property
    def redirected(self) -> bool:
        """Whether what it prints goes into a file of the layer."""
        return any(not target.startswith("/dev/") for target in self.written)


_Pipeline = tuple[_Run, ...]


@lru_cache(maxsize=512)  # every finding of a layer asks about the same steps after it
def _pipelines(command: str, depth: int = 0) -> tuple[_Pipeline, ...]:
    """What a command runs, by the pipe that each program is in."""
    found: list[list[_Run]] = []
    for each in read(command).lists:
        for one in each:
            run = _run(one)
            given = _given(run) if depth < _DEEPEST else ""
            if one.before is None or one.before.text not in _PIPES or not found:
                found.append([])
            found[-1].append(replace(run, words=()) if given else run)
            if given:
                found += map(list, _pipelines(given, depth + 1))
    return tuple(filter(None, (tuple(run for run in pipeline if run.words or run.written) for pipeline in found)))


def _given(run: _Run) -> str:
    """The command that a shell is given to run, empty if this is none."""
    if not run.words or run.program not in _SHELLS:
        return ""
    return next((command for flag, command in pairwise(run.words) if _GIVES.fullmatch(flag)), "")


def _run(one: Simple) -> _Run:
    words = [word.text for word in one.words if word.text]
    while words and (words[0] in _PREFIXES or _ASSIGNMENT.match(words[0]) or words[0].startswith("-")):
        words = words[1:]
    into = (each.target for each in one.redirections if ">" in each.operator and each.target is not None)
    return _Run(tuple(words), tuple(file.text for file in into if not _DESCRIPTOR.fullmatch(file.text)))


def _runs(command: str) -> Iterator[_Run]:
    return (run for run in chain.from_iterable(_pipelines(command)) if run.words)


def arranges(command: str) -> bool:
    """Whether a command does no more than put files in their places, or say something."""
    return all(run.program in _ARRANGES for run in _runs(command))


def keeps(command: str, path: str) -> bool:
    """Whether a command would put the file *path*, or what is in it, into its layer again, or wants to write to it."""
    return any(
        any(_keeps(run, path) or any(_same(target, path) for target in run.written) for run in pipeline)
        or _piped(pipeline, path)
        for pipeline in _pipelines(command)
    )


def tends(command: str, path: str) -> bool:
    """Whether a command removes the file *path*, or changes its mode or whose it is."""
    name = path.rpartition("/")[2]
    operands = chain.from_iterable(run.words[1:] for run in _runs(command) if run.program in _TENDERS)
    return any(_holds(word, path) if word.startswith("/") else _is(word, name) for word in operands)


def _keeps(run: _Run, path: str) -> bool:
    if not run.words:
        return False
    words, operands = run.words, [word for word in run.words[1:] if not word.startswith("-")]
    if run.program in _TRANSFERS:  # the last operand is the place to put it, where it is no option's
        sources = operands if any(word.startswith(("-t", "--target-directory")) for word in words) else operands[:-1]
        return any(_holds(word, path) for word in sources) or any(_same(word, path) for word in operands)
    if run.program in _PACKERS:
        packs = run.program != "tar" or any("c" in word for word in words[1:2])  # else it unpacks, into a folder
        return any(_same(word.partition("=")[2] or word, path) or (packs and _holds(word, path)) for word in operands)
    if run.program in _READERS:
        in_place = run.program == "sed" and any(word.startswith(("-i", "--in-place")) for word in words)
        return (in_place or run.redirected) and any(_same(word, path) for word in operands)
    return False


def _piped(pipeline: _Pipeline, path: str) -> bool:
    """Whether what is in the file *path* runs through a pipe, unchanged or nearly so, into another one."""
    flows = False
    for run in pipeline:
        reads = bool(run.words) and run.program in _READERS
        if flows and run.words and (run.program == "tee" or (reads and run.redirected)):
            return True
        flows = reads and (flows or any(_same(word, path) for word in run.words[1:]))
    return False


def _same(word: str, path: str) -> bool:
    """Whether a word may be the very file *path*, also by a pattern or from a folder that is not known."""
    if word.startswith("/"):
        return fnmatchcase(path, word)
    return fnmatchcase(path.rpartition("/")[2], word.rpartition("/")[2] or word)


def _holds(word: str, path: str) -> bool:
    """Whether a word may be the file *path* or a folder that it lies in."""
    folder = word.rstrip("/").removesuffix("/.")
    if not folder.startswith("/"):
        return folder in ("", ".", "*") or _same(word, path) or f"/{folder.removeprefix('./')}/" in path
    return _same(word, path) or path.startswith(f"{folder}/") or fnmatchcase(path, f"{folder}/*")


def without_care(command: str, path: str) -> str:
    """*command* without the parts of its chain that only remove *path*, or change its mode or whose it is."""
    if path.rpartition("/")[2] not in command:
        return command.strip()
    edits: list[Edit] = []
    kept = False
    for one in read(command).lists[0]:
        operands = _tended(one)
        of_path = [word for word in operands if _names(word.text, path)]
        if not of_path or len(of_path) < len(operands):
            kept = True
            edits += [Edit(len(command[: word.start].rstrip()), word.end, "") for word in of_path]
        elif kept and one.before is not None:
            edits.append(Edit(one.before.start, len(command) if one.behind is None else one.behind.start, ""))
        else:
            edits.append(Edit(0, len(command) if one.behind is None else one.behind.end, ""))
    return edited(command, edits).strip()


def _tended(one: Simple) -> Sequence[Word]:
    """The files that a part of a chain only removes, or changes the mode or owner of; none where it does more."""
    in_chain = all(each is None or each.text in ("&&", ";") for each in (one.before, one.behind))
    if not in_chain or one.redirections or not one.words or one.words[0].written not in _TENDS:
        return ()
    operands = [word for word in one.words[1:] if not _FLAG.fullmatch(word.text)]
    first = _TENDS[one.words[0].written]
    if first is not None:
        operands = operands[1:] if operands and first.fullmatch(operands[0].text) else []
    return operands if all(_PLAIN.fullmatch(word.text) for word in operands) else ()


def _names(word: str, path: str) -> bool:
    """Whether a word is the file *path*, or may be it from a folder that is not known."""
    return word.strip("/") == path.strip("/") or _is(word, path.rpartition("/")[2])


def _is(word: str, name: str) -> bool:
    """Whether a word that is no absolute path may be the file of that name."""
    return not word.startswith("/") and word.rpartition("/")[2] == name

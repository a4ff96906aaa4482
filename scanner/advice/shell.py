"""Reads the text of a shell's command: its words, the simple commands they make, and the quotes around them.

Source: POSIX.1-2017, "Shell Command Language": 2.2 (quoting), 2.3 (tokens, comments), 2.6.3 (command substitution), 2.7
(redirection, here-documents), 2.9 (lists, pipelines, compound commands). Nothing is expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What a part of a command is."""

    SINGLE = "single quotes, in which nothing is expanded"
    DOUBLE = "double quotes"
    COMMENT = "a comment"
    DOCUMENT = "the body of a here-document"
    COMMAND = "$(...), in which quotes begin anew"
    BACKQUOTES = "`...`"


@dataclass(frozen=True, slots=True)
class Part:
    """From its first mark up to behind its last one; what is never closed goes on to the end."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Operator:
    """What separates two simple commands: `&&`, `;`, `|`, a parenthesis, the end of a line ..."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a word, from *start* to *end* without its quotes; *double* where such stand around it."""

    start: int
    end: int
    double: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """A word of *command*. It has no text of its own: substitutions within each other would each hold the next."""

    start: int
    end: int
    command: str = field(repr=False)
    pieces: tuple[Piece, ...] = field(repr=False)

    @property
    def written(self) -> str:
        """The word with its quotes."""
        return self.command[self.start : self.end]

    @property
    def text(self) -> str:
        """The word as the shell understands it, but for what it expands."""
        return "".join(
            _UNQUOTED.sub(r"\1", self.command[each.start : each.end]) if each.double
            else self.command[each.start : each.end]
            for each in self.pieces
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Redirection:
    """From or into a file. *target* is None for a here-document."""

    operator: str
    target: Word | None


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple command, perhaps empty: its words, reserved ones among them, and the operators around it."""

    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...]
    before: Operator | None
    behind: Operator | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a command is made of.

    Attributes:
        parts: what is not bare words, in the order of their starts: what lies within another one comes after it.
        lists: the simple commands of the whole, then those of each substitution; commands in parentheses are among
            those around them.
    """

    parts: tuple[Part, ...]
    lists: tuple[tuple[Simple, ...], ...]


#: Longer commands are left alone: nobody wrote or reads them, and only hostile ones are.
LONGEST = 16384
#: Reserved words that a command follows, be it on the next line.
OPENERS = frozenset(["then", "do", "else", "{"])
_QUOTED = re.compile(r'\\.|["`]|\$\(', re.DOTALL)
_BARE = re.compile(
    r"""(?P<blank>[ \t\r]+) | \\(?P<escaped>.?) | '(?P<single>[^']*)'? | (?P<opens>"|`|\$\() |
    \d{0,9}<<(?P<tabs>-?)[ \t]*(?P<document>'[^'\n]*'|"[^"\n]*"|[^\s;&|<>()'"`]+) |
    \d{0,9}(?P<redirection><<<|<<|<&|<>|<|>>|>\||>&|>) | (?P<both>&>>?) |
    (?P<operator>&&|\|\||\|&|;;|[;|&()\n]) | (?P<hash>\#) |
    (?P<plain>(?:\$\{[^}\n"'`$]*\}|\$(?!\()|[^ \t\r\n;&|()<>'"`\\$\#])+)""",
    re.VERBOSE | re.DOTALL,
)
_UNQUOTED = re.compile(r'\\(?:\n|(["$`\\]))')


def read(command: str) -> Reading:
    """Takes *command* apart, in time that grows with its length; what is never closed goes on to its end."""
    return _Reader(command).reading()


def parts(command: str) -> Sequence[Part]:
    """The parts of *command* that are not bare words (`Reading.parts`)."""
    return read(command).parts


def around(found: Sequence[Part], at: int) -> Iterator[Part]:
    """The parts that the character at *at* belongs to, from the outermost to the innermost."""
    return (part for part in found if part.start <= at < part.end)


@dataclass(frozen=True, slots=True)
class Edit:
    """Put *text* in place of what lies between *start* and *end*."""

    start: int
    end: int
    text: str = field(repr=False)


def edited(command: str, edits: Sequence[Edit]) -> str:
    """*command* after *edits*; of those that overlap, the later begins where the earlier ends."""
    kept, done = [], 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        kept += [command[done : max(done, edit.start)], edit.text]
        done = max(done, edit.end)
    return "".join(kept) + command[done:]


class _List:
    """Simple commands that are being read, and the word that is."""

    def __init__(self, command: str) -> None:
        self.commands: list[Simple] = []
        self.word: int | None = None  # where it starts
        self._command = command
        self._words: list[Word] = []
        self._redirections: list[Redirection] = []
        self._before: Operator | None = None
        self._pieces: list[Piece] = []
        self._redirects = ""

    def begin_word(self, at: int) -> None:
        """A word begins at *at*, if there is none."""
        self.word = at if self.word is None else self.word

    def add(self, at: int, *pieces: Piece) -> None:
        """Pieces of the word, with their quotes from *at* on."""
        self.begin_word(at)
        self._pieces.extend(pieces)

    def redirect(self, at: int, operator: str, *, document: bool = False) -> None:
        """The next word is a file, unless it is the end of a here-document, which is no word."""
        self.end_word(at)
        if document:
            self._redirections.append(Redirection(operator, None))
        else:
            self._redirects = operator

    def end_word(self, at: int) -> None:
        """The word, if there is one, ends before *at*."""
        if self.word is None:
            return
        word = Word(self.word, at, self._command, tuple(self._pieces))
        if self._redirects:
            self._redirections.append(Redirection(self._redirects, word))
        else:
            self._words.append(word)
        self.word, self._pieces, self._redirects = None, [], ""

    def end_command(self, at: int, behind: Operator | None = None) -> None:
        """A simple command ends before *at*; a line may end where it has not begun."""
        self.end_word(at)
        begun = self._redirections or any(word.written not in OPENERS for word in self._words)
        if behind is not None and behind.text == "\n" and not begun:
            return
        self.commands.append(Simple(tuple(self._words), tuple(self._redirections), self._before, behind))
        self._words, self._redirections, self._before = [], [], behind


class _Reader:
    """One pass over a command."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._parts: list[Part] = []
        self._lists = [_List(command)]
        self._opened: list[tuple[Kind | None, int, _List]] = []  # None is a group in parentheses, which is no part
        self._backquotes: int | None = None  # how many are open around them
        self._awaited: list[tuple[str, bool]] = []  # the ends of here-documents that begin with the next line

    def reading(self) -> Reading:
        """Reads to the end."""
        at, end = 0, len(self._command)
        while at < end:
            at = self._quoted(at) if self._kind is Kind.DOUBLE else self._bare(at)
        self._close(0, end, end)
        self._lists[0].end_command(end)
        ordered = tuple(sorted(self._parts, key=lambda part: part.start))
        return Reading(ordered, tuple(tuple(each.commands) for each in self._lists))

    @property
    def _kind(self) -> Kind | None:
        return self._opened[-1][0] if self._opened else None

    @property
    def _list(self) -> _List:
        return self._opened[-1][2] if self._opened else self._lists[0]

    def _quoted(self, at: int) -> int:
        """Reads on within double quotes; returns where it came to."""
        token = _QUOTED.search(self._command, at)
        if token is None:
            return len(self._command)
        if token[0] == '"':
            self._close(len(self._opened) - 1, token.end() - 1, token.end())
        elif token[0] in ("`", "$("):
            self._open(token[0], token.start())
        return token.end()

    def _bare(self, at: int) -> int:
        """Reads a token outside of double quotes; returns where it came to."""
        token = _BARE.match(self._command, at)
        assert token is not None
        name, current, end = token.lastgroup, self._list, token.end()
        if name == "blank":
            current.end_word(at)
        elif name == "escaped":
            if token["escaped"] != "\n":  # else the line goes on
                current.add(at, Piece(at + 1, end))
        elif name == "single":
            self._parts.append(Part(at, end, Kind.SINGLE))
            current.add(at, Piece(*token.span("single")))
        elif name == "opens":
            self._open(token[0], at)
        elif name == "document":
            current.redirect(at, "<<", document=True)
            self._awaited.append((re.sub(r"[\\'\"]", "", token["document"]), bool(token["tabs"])))
        elif name in ("redirection", "both"):
            current.redirect(at, token[name])
        elif name == "operator":
            return self._operator(at, end)
        elif name == "hash" and current.word is None:
            stop = self._command.find("\n", at)
            end = len(self._command) if stop < 0 else stop
            self._parts.append(Part(at, end, Kind.COMMENT))
        else:
            current.add(at, Piece(at, end))
        return end

    def _operator(self, at: int, end: int) -> int:
        text = self._command[at:end]
        if text == ")" and self._kind is Kind.COMMAND:
            self._close(len(self._opened) - 1, at, end)
            return end
        self._list.end_command(at, Operator(at, end, text))
        if text == "(":
            self._opened.append((None, at, self._list))
        elif text == ")" and self._opened and self._kind is None:
            self._opened.pop()  # never below backquotes, which are no group
        elif text == "\n":
            stop = _behind(self._command, end, self._awaited)
            if stop > end:
                self._parts.append(Part(end, stop, Kind.DOCUMENT))
            self._awaited, end = [], stop
        return end

    def _open(self, mark: str, at: int) -> None:
        """Opens double quotes or a substitution; a second backquote closes the first, and all that is open in it."""
        if mark == "`":
            if self._backquotes is not None:
                self._close(self._backquotes, at, at + 1)
                return
            self._backquotes = len(self._opened)
        if self._kind is not Kind.DOUBLE:
            self._list.begin_word(at)
        if mark == '"':
            self._opened.append((Kind.DOUBLE, at, self._list))
            return
        self._lists.append(_List(self._command))
        self._opened.append((Kind.COMMAND if mark == "$(" else Kind.BACKQUOTES, at, self._lists[-1]))

    def _close(self, depth: int, inner: int, end: int) -> None:
        """Closes what was opened from *depth* on: what lies in it ends at *inner*, with its mark at *end*."""
        while len(self._opened) > depth:
            kind, start, closed = self._opened.pop()
            if kind is None:
                continue
            self._parts.append(Part(start, end, kind))
            if kind is Kind.DOUBLE:
                closed.add(start, Piece(start + 1, inner, double=True))
                continue
            closed.end_command(inner)
            if self._kind is not Kind.DOUBLE:
                self._list.add(start, Piece(start, end))
        if self._backquotes is not None and depth <= self._backquotes:
            self._backquotes = None


def _behind(command: str, at: int, ends: Sequence[tuple[str, bool]]) -> int:
    """Where the here-documents that begin at *at* end, one after the other."""
    for word, tabs in ends:
        line = None
        while line != word and at < len(command):
            stop = command.find("\n", at)
            stop = len(command) if stop < 0 else stop
            line = command[at:stop].lstrip("\t") if tabs else command[at:stop]
            at = min(stop + 1, len(command))
    return at

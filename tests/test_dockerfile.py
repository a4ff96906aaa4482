"""A Dockerfile is read line by line as the builder reads it, and found again in an image's history."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import LeakscanError, UnusableFile
from scanner.image.dockerfile import parse, read
from scanner.image.recipe import recipe_of
from scanner.oci import HistoryEntry
from tests.builders import write

SAMPLE = """\
# syntax=docker/dockerfile:1.4
# a comment
FROM base:1 AS first
ARG TOKEN
RUN --mount=type=cache,target=/c --network=host make \\
    # a comment inside

    A=1   all   \\
    && true
FROM first
COPY --chown=1:1 a b /srv/
RUN <<EOT
set -e
echo one
EOT
RUN cat <<'A' > /f && cat <<-B
a \\
A
\t\tb
\tB
CMD ["x"]
"""


def test_instructions_have_their_lines() -> None:
    """Continuations, comments and empty lines inside them, and heredocs belong to their instruction."""
    found = parse(SAMPLE).instructions

    assert [(i.keyword, i.line, i.end_line) for i in found] == [
        ("FROM", 3, 3), ("ARG", 4, 4), ("RUN", 5, 9), ("FROM", 10, 10), ("COPY", 11, 11), ("RUN", 12, 15),
        ("RUN", 16, 20), ("CMD", 21, 21),
    ]  # fmt: skip


def test_operands_are_joined_as_the_builder_joins_them() -> None:
    """Flags stand apart; the rest is one line, followed by the heredocs."""
    found = parse(SAMPLE).instructions

    assert found[2].flags == ("--mount=type=cache,target=/c", "--network=host")
    assert found[2].text == "make     A=1   all       && true"
    assert found[4].text == "a b /srv/" and found[4].flags == ("--chown=1:1",)
    assert found[5].heredocs == ("set -e\necho one\n",)
    assert found[6].text == "cat <<'A' > /f && cat <<-B\na \\\nA\nb\nB"


@pytest.mark.parametrize(
    ("syntax", "answer"),
    [("", None), ("docker/dockerfile:1", True), ("docker/dockerfile:1.4", False), ("docker/dockerfile:1.10.0", True),
     ("docker.io/docker/dockerfile-upstream:1.9-labs", False), ("mine/frontend:3", None)],
)  # fmt: skip
def test_the_frontend_tells_whether_mounts_set_variables(syntax: str, answer: bool | None) -> None:
    """`env=` of a secret mount is of 1.10; a file that names no version leaves it open."""
    text = f"# syntax={syntax}\nFROM a" if syntax else "FROM a"

    assert parse(text).sets_variables is answer


def test_tabs_part_words_too() -> None:
    """A tab behind the keyword, or behind a flag, does what a blank does."""
    found = parse("FROM\ta\nrun\t--mount=type=cache,target=/c\tmake\nCOPY \t a\tb\nRUN\\\n\tmake").instructions

    assert [(i.keyword, i.flags, i.text) for i in found] == [
        ("FROM", (), "a"), ("RUN", ("--mount=type=cache,target=/c",), "make"), ("COPY", (), "a\tb"),
        ("RUN", (), "make"),
    ]  # fmt: skip


def test_another_escape_character() -> None:
    """A directive may choose the escape character, as Windows' paths need it."""
    found = parse("# escape=`\nFROM a\nRUN dir c:\\\nRUN a `\n b")

    assert [(i.line, i.end_line) for i in found.instructions] == [(2, 2), (3, 3), (4, 5)]


def test_stages_build_on_one_another() -> None:
    """A stage from an earlier one, by name or number, begins with what the earlier one does."""
    found = parse("FROM a AS One\nRUN 1\nFROM b\nRUN 2\nFROM one\nRUN 3\nFROM 1\nRUN 4").stages()

    assert [[i.text for i in stage] for stage in found] == [["1"], ["2"], ["1", "3"], ["2", "4"]]


def lines_of(text: str, *history: str) -> list[int | None]:
    """The line of the instruction for each history entry."""
    made = recipe_of(parse(text), [HistoryEntry(entry) for entry in history]).made
    return [made[at].line if at in made else None for at in range(len(history))]


def test_steps_whose_text_history_does_not_have() -> None:
    """BuildKit runs a here-document that names its interpreter as a file; buildah writes the exec form as it is."""
    script = "FROM a\nRUN <<EOT\n#!/bin/sh\nmake\nEOT\nRUN <<B\nmake\nB\n"

    assert lines_of(script, "RUN /bin/sh -c /dev/pipes/EOT # buildkit", "RUN /bin/sh -c make\n # buildkit") == [2, 6]
    assert lines_of('FROM a\nRUN ["make", "a b"]\n', '/bin/sh -c ["make","a b"]') == [2]


def test_a_dollar_sign_that_names_no_variable() -> None:
    """Behind a backslash it is one sign among others, and history has it as it is."""
    assert lines_of("FROM a\nENV A=\\$x B=$C\nRUN b\n", "ENV A=$x B=1", "RUN b") == [2, 3]


def test_every_builders_history_leads_to_its_lines() -> None:
    """BuildKit, the classic builder and kaniko write the same steps in different words."""
    text = (
        'FROM base\nARG TOKEN\nENV A="x y" B=$TOKEN\nRUN --mount=type=secret,id=t make \\\n   all\n'
        "COPY --from=base app $B/app/\nWORKDIR app\nUSER $B\nLABEL a ${TOKEN:-x}\nEXPOSE 80\nCMD run me\n"
    )
    buildkit = (
        "ADD file:00 in /", "ARG TOKEN=t", "ENV A=x y B=t", "RUN |1 TOKEN=t /bin/sh -c make    all # buildkit",
        "COPY app t/app/ # buildkit", "WORKDIR /t/app", "USER t", "LABEL a=t", "EXPOSE map[80/tcp:{}]",
        'CMD ["/bin/sh" "-c" "run me"]',
    )  # fmt: skip
    classic = (
        "/bin/sh -c #(nop) ADD file:00 in / ", "/bin/sh -c #(nop)  ARG TOKEN", "/bin/sh -c #(nop)  ENV A=x y B=t",
        "|1 TOKEN=t /bin/sh -c make    all", "/bin/sh -c #(nop) COPY dir:00ff in t/app/ ",
        "/bin/sh -c #(nop) WORKDIR /t/app", "/bin/sh -c #(nop)  USER t", "/bin/sh -c #(nop)  LABEL a=t",
        "/bin/sh -c #(nop)  EXPOSE 80", '/bin/sh -c #(nop)  CMD ["/bin/sh" "-c" "run me"]',
    )  # fmt: skip
    kaniko = ("", "RUN make    all", "COPY --from=base app $B/app/", "WORKDIR app")

    assert lines_of(text, *buildkit) == lines_of(text, *classic) == [None, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert lines_of(text, *kaniko) == [None, 4, 6, 7]


def test_heredocs_are_found_again() -> None:
    """The body of a RUN's heredoc is what history shows; with a command before it, both are."""
    history = (
        "RUN /bin/sh -c set -e\necho one\n # buildkit",
        "RUN /bin/sh -c cat <<'A' > /f && cat <<-B\na \\\nA\nb\nB # buildkit",
    )

    assert lines_of(SAMPLE, *history) == [12, 16]


def test_the_stage_that_was_built_need_not_be_the_last() -> None:
    """An image of an earlier stage is explained by that stage."""
    text = "FROM a AS x\nRUN one\nRUN two\nFROM b\nRUN one\nRUN three\n"

    assert lines_of(text, "RUN /bin/sh -c one # buildkit", "RUN /bin/sh -c two # buildkit") == [2, 3]
    assert lines_of(text, "RUN /bin/sh -c one # buildkit", "RUN /bin/sh -c three # buildkit") == [5, 6]


def test_the_same_instruction_twice() -> None:
    """Equal steps are told apart by their order; the base's, which come first, are left over."""
    assert lines_of("FROM a\nRUN x\nRUN y\nRUN x\n", *(f"RUN /bin/sh -c {c} # buildkit" for c in "xxyx")) == [
        None, 2, 3, 4,
    ]  # fmt: skip


def test_another_images_dockerfile_explains_nothing() -> None:
    """Nothing is guessed where no instruction fits."""
    assert lines_of("FROM a\nRUN x\n", "RUN /bin/sh -c y # buildkit", "COPY a b # buildkit") == [None, None]


def test_a_file_that_is_no_dockerfile(tmp_path: Path) -> None:
    """What cannot be read is said by name."""
    (tmp_path / "binary").write_bytes(b"\0")

    for path in (tmp_path / "binary", tmp_path / "nowhere", tmp_path):
        with pytest.raises(LeakscanError, match=path.name):
            read(path)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_an_ignore_file_is_a_file(make: Callable[[Path], None], tmp_path: Path) -> None:
    """Nobody named it: whatever else has that name is passed over, and not waited for."""
    recipe = write(tmp_path / "Dockerfile", b"FROM scratch\n")
    make(tmp_path / ".dockerignore")

    assert read(recipe).ignore == ()


def test_an_ignore_file_that_is_no_text(tmp_path: Path) -> None:
    """The message is of that file."""
    recipe = write(tmp_path / "Dockerfile", b"FROM scratch\n")
    write(tmp_path / ".dockerignore", b"a\0")

    with pytest.raises(UnusableFile, match=r"/\.dockerignore is no \.dockerignore: it holds a null character"):
        read(recipe)


@given(st.text(alphabet="RUN <EOT\\\n#`='\"$ac", max_size=80))
def test_lines_never_overlap(text: str) -> None:
    """Whatever the file, instructions stand on lines of their own, in order."""
    spans = [(i.line, i.end_line) for i in parse(text).instructions]

    assert all(first <= last for first, last in spans)
    assert all(last < first for (_, last), (first, _) in pairwise(spans))
    assert not spans or spans[-1][1] <= len(text.split("\n"))

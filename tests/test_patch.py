"""Fixes as diffs against the user's Dockerfile: they apply, and show no lines that the image does not vouch for."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.advice.patch import command, diff
from scanner.image.dockerfile import parse, read
from scanner.image.recipe import Recipe, recipe_of
from scanner.oci import HistoryEntry

TEXT = """\
FROM base AS other
ENV HUSH=not-built-1
RUN other
FROM base
ARG TOKEN
# not-built-2
RUN one

RUN --mount=type=cache,target=/c \\
    two \\
    2
RUN three
RUN <<EOT
four
EOT
"""
HISTORY = ("ARG TOKEN", "RUN one", "RUN two     2", "RUN three", "RUN /bin/sh -c four\n # buildkit")


def recipe(text: str = TEXT, history: tuple[str, ...] = HISTORY) -> Recipe:
    """The Dockerfile beside the history of its last stage."""
    return recipe_of(parse(text), [HistoryEntry(entry) for entry in history])


def patched(folder: Path, text: str, change: str) -> str:
    """The Dockerfile after `patch -p1`; it must apply where it says, without fuzz."""
    if not shutil.which("patch"):
        pytest.skip("patch is not installed (Debian: apt-get install patch)")
    file = folder / "Dockerfile"
    file.write_bytes(text.encode())
    command = ["patch", "--binary", "-p1", "--fuzz=0", "--no-backup-if-mismatch"]
    done = subprocess.run(command, cwd=folder, input=change.encode(), capture_output=True)
    assert done.returncode == 0 and b"offset" not in done.stdout, done.stdout
    return file.read_bytes().decode()


def test_an_instruction_is_replaced_and_keeps_its_own_flags(tmp_path: Path) -> None:
    """The flags that history does not hold come from the Dockerfile."""
    change = diff(recipe(), {2: "RUN --mount=type=secret,id=t,env=T \\\n    two"})

    assert change is not None
    new = "RUN --mount=type=cache,target=/c \\\n    --mount=type=secret,id=t,env=T \\\n    two\n"
    assert patched(tmp_path, TEXT, change) == TEXT.replace(
        "RUN --mount=type=cache,target=/c \\\n    two \\\n    2\n", new
    )


def test_a_flag_that_another_one_begins_with_stays() -> None:
    """A cache mounted at /c is another one than at /c/d."""
    change = diff(recipe(), {2: "RUN --mount=type=cache,target=/c/d \\\n    two"})

    assert change is not None and "+RUN --mount=type=cache,target=/c \\\n" in change


def test_another_instruction_has_no_flags_of_the_old_one() -> None:
    """A mount of a RUN means nothing to the ADD in its place."""
    change = diff(recipe(), {2: "ADD https://example.com/two.git /two"})

    assert change is not None and "+ADD https://example.com/two.git /two\n" in change


def test_instructions_and_arguments_are_deleted(tmp_path: Path) -> None:
    """A step can go, and the ARG of a value with it."""
    change = diff(recipe(), {3: None, 4: "RUN five"}, {"TOKEN"})

    assert change is not None
    expected = TEXT.replace("RUN three\n", "").replace("RUN <<EOT\nfour\nEOT\n", "RUN five\n")
    assert patched(tmp_path, TEXT, change) == expected.replace("ARG TOKEN\n", "")


def test_an_env_of_an_argument_s_name_stays() -> None:
    """It gives the variable another value; only what declares the argument goes."""
    text = "FROM base\nARG TOKEN\nENV TOKEN=of-the-program\nRUN one\n"
    found = diff(recipe(text, ("ARG TOKEN", "ENV TOKEN=of-the-program", "RUN one")), {2: "RUN two"}, {"TOKEN"})

    assert found is not None
    assert [line for line in found.splitlines() if line[:1] in "+-" and line[1:2] not in "+-"] == [
        "-ARG TOKEN", "-RUN one", "+RUN two",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["ARG TOKEN", "ENV TOKEN=x", "ENV TOKEN x"])
@pytest.mark.parametrize("user", ["RUN two $TOKEN", 'ENV U="${TOKEN:-y}"', "COPY --chown=$TOKEN a b"])
def test_no_variable_goes_that_is_used(kind: str, user: str) -> None:
    """An instruction that uses it would find it empty."""
    text, steps = f"FROM a\n{kind}\nRUN one\n{user}\n", (kind.replace("TOKEN x", "TOKEN=x"), "RUN one")

    assert diff(recipe(text, steps), {0: None}) is None and command(recipe(text, steps), {0: None}) is None
    assert diff(recipe(text.replace("TOKEN:", "T:").replace("=$TOKEN", "").replace("$TOKEN", "$T"), steps), {0: None})
    assert diff(recipe(f"FROM a\n{kind}\nRUN one $TOKEN\n", (steps[0], "RUN one $TOKEN")), {0: None, 1: "RUN 1"})


@pytest.mark.parametrize("declared", ["ARG TOKEN A=1", "ARG A=1 TOKEN=x", 'ENV A=1 TOKEN="x y"'])
def test_no_variable_goes_with_another_one(declared: str) -> None:
    """An instruction that sets two cannot go for the sake of one."""
    found = recipe(f"FROM a\n{declared}\nRUN one $TOKEN $A\n", (declared.replace('"', ""), "RUN one $TOKEN $A"))

    assert diff(found, {0: None, 1: "RUN 1"}) is None
    if declared.startswith("ARG"):
        assert diff(found, {1: "RUN 1"}, {"TOKEN"}) is None
        assert diff(found, {1: "RUN 1"}, {"OTHER"}) is not None


def test_lines_around_a_change_are_those_of_the_image() -> None:
    """Comments and other stages may hold what no scan of the image saw; a diff does not show them."""
    change = diff(recipe(), {1: "RUN 1", 3: "RUN 3"}, {"TOKEN"})

    assert change is not None
    assert "not-built" not in change and "FROM" not in change
    assert " RUN --mount=type=cache,target=/c \\\n" in change


def test_line_ends_stay_as_they_are(tmp_path: Path) -> None:
    """Files of Windows and files whose last line does not end are patched as well."""
    for text in (TEXT.replace("\n", "\r\n"), TEXT.rstrip("\n"), TEXT.replace("\n", "\r\n").rstrip("\r\n")):
        change = diff(recipe(text), {1: "RUN 1 \\\n  1", 4: "RUN 4"})

        assert change is not None
        ends = "\r\n" if "\r\n" in text else "\n"
        found = patched(tmp_path, text, change)
        assert f"RUN 1 \\{ends}  1{ends}" in found and found.endswith(text[-1] if text[-1] == "\n" else "RUN 4")


def test_no_diff_where_the_step_is_not_in_the_file() -> None:
    """Nothing is guessed: a step of the base image has no lines here."""
    assert diff(recipe(history=("RUN base", *HISTORY)), {0: None}) is None
    assert diff(recipe("# escape=`\n" + TEXT), {1: None}) is None


@pytest.mark.parametrize(
    ("before", "after"), [(None, "a/.env\n"), ("x\ny\n", "x\ny\na/.env\n"), ("x", "x\na/.env\n"), ("a/.env\n", None)]
)
def test_dockerignore_gains_a_pattern(before: str | None, after: str | None, tmp_path: Path) -> None:
    """The file is made if there is none, and left alone if it lists the pattern."""
    file = tmp_path / "Dockerfile"
    file.write_text(TEXT)
    ignore = tmp_path / ".dockerignore"
    if before is not None:
        ignore.write_text(before)

    change = diff(recipe_of(read(file), [HistoryEntry(entry) for entry in HISTORY]), {}, ignored="a/.env")

    assert (change is None) == (after is None)
    if change is not None:
        patched(tmp_path, TEXT, change)
        assert ignore.read_text() == after


@given(
    st.lists(st.sampled_from(["RUN a", "RUN b", "# c", "", "RUN c \\\n  d", "ARG X", "ENV A=1"]), max_size=15),
    st.dictionaries(st.integers(0, 9), st.sampled_from([None, "RUN new", "RUN new \\\n  line"]), max_size=4),
)
def test_diffs_say_what_they_do(parts: list[str], edits: dict[int, str | None]) -> None:
    """Applied by hand, line for line, every diff gives the file with the instructions replaced."""
    text = "\n".join(["FROM x", *parts, ""])
    file = parse(text)
    steps = {at: i for at, i in enumerate(i for i in file.instructions if i.keyword != "FROM") if at in edits}
    found = Recipe(file, file.stages()[0], steps)
    edits = {at: edit for at, edit in edits.items() if at in steps}

    change = diff(found, edits)

    lines = text.split("\n")
    for at, new in sorted(edits.items(), reverse=True):
        lines[steps[at].line - 1 : steps[at].end_line] = [] if new is None else new.split("\n")
    assert applied(text.split("\n"), change) == lines
    assert edited(text, command(found, edits)) == "\n".join(lines)


def edited(text: str, script: str | None) -> str:
    """A Dockerfile after a command that changes it."""
    if script is None:
        return text
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "Dockerfile"
        file.write_bytes(text.encode())
        subprocess.run(["sh", "-ec", script], cwd=folder, check=True, stdin=subprocess.DEVNULL)
        assert [path.name for path in Path(folder).iterdir()] == ["Dockerfile"]
        return file.read_bytes().decode()


def test_a_command_makes_the_same_change(tmp_path: Path) -> None:
    """Continued lines, backslashes, quotes and the line ends of Windows come out as the diff has them, and nothing of
    what goes stands in the command."""
    new = "RUN --mount=type=secret,id=t,env=T \\\n    printf 'a\\tb\\\\n' \"$T\" > \\\n  /x"
    for text in (TEXT, TEXT.replace("\n", "\r\n")):
        change, script = (make(recipe(text), {1: new, 3: None}, {"TOKEN"}) for make in (diff, command))

        assert change is not None and script is not None
        assert edited(text, script) == patched(tmp_path, text, change)
        assert "RUN one" not in script and "TOKEN" not in script


@pytest.mark.parametrize("before", [None, "x\n", "x"])
def test_a_command_adds_to_dockerignore(before: str | None, tmp_path: Path) -> None:
    """The file is made if there is none, and its last line ended."""
    (tmp_path / "Dockerfile").write_text(TEXT)
    if before is not None:
        (tmp_path / ".dockerignore").write_text(before)
    found = recipe_of(read(tmp_path / "Dockerfile"), [HistoryEntry(entry) for entry in HISTORY])

    script = command(found, {1: "RUN 1"}, ignored="a b/.env")

    assert script is not None
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, check=True)
    assert (tmp_path / ".dockerignore").read_text() == ("x\n" if before else "") + "a b/.env\n"
    assert "RUN 1\n" in (tmp_path / "Dockerfile").read_text()


def applied(lines: list[str], change: str | None) -> list[str]:
    """*lines* after a unified diff, each of its lines checked."""
    if change is None:
        return lines
    out: list[str] = []
    at = 0
    for line in change.split("\n")[2:]:
        if line.startswith("@@"):
            start, _, length = line.split()[1][1:].partition(",")
            begin = int(start) - (length != "0")
            out += lines[at:begin]
            at = begin
        elif line[:1] in (" ", "-"):
            assert lines[at] == line[1:]
            out += [line[1:]] if line[0] == " " else []
            at += 1
        elif line:
            out.append(line[1:])
    return out + lines[at:]


@pytest.mark.parametrize("declared", ["ENV T=x", "ENV T x", "ARG T=x"])
def test_no_variable_is_taken_from_a_step_that_uses_it(declared: str) -> None:
    """Steps that changed no file have no layer, and still run."""
    text = f"FROM x\n{declared}\nRUN test $T\nRUN make $T\n"
    found = recipe(text, (declared.replace("T x", "T=x"), "RUN test $T", "RUN make $T"))

    assert diff(found, {0: None, 2: "RUN 2"}) is None
    assert diff(found, {0: None, 1: "RUN 1", 2: "RUN 2"}) is not None

"""created_by of every builder read back into instructions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.image.instruction import Step, parse_created_by

FORMS = {
    "classic shell form": ("/bin/sh -c rm /root/.netrc", Step("RUN", "rm /root/.netrc", shell=True)),
    "classic with build arguments": (
        "|2 A=1 TOKEN=two words /bin/sh -c echo $TOKEN A=3",
        Step("RUN", "echo $TOKEN A=3", (("A", "1"), ("TOKEN", "two words")), shell=True),
    ),
    "classic exec form": (
        "|1 TOKEN=fake /bin/echo execform word",
        Step("RUN", "/bin/echo execform word", (("TOKEN", "fake"),)),
    ),
    "classic ENV has two spaces": ("/bin/sh -c #(nop)  ENV K=a value", Step("ENV", "K=a value")),
    "classic COPY hides the source": (
        "/bin/sh -c #(nop) COPY file:0123 in /root/.netrc ",
        Step("COPY", "file:0123 in /root/.netrc"),
    ),
    "classic behind another shell": ("/bin/bash -o pipefail -c #(nop)  USER app", Step("USER", "app")),
    "BuildKit RUN": (
        "RUN /bin/sh -c TOOL_URL=fake pip install foo # buildkit",
        Step("RUN", "TOOL_URL=fake pip install foo", shell=True),
    ),
    "BuildKit RUN with build arguments": (
        "RUN |1 TOKEN=fake /bin/sh -c echo hi # buildkit",
        Step("RUN", "echo hi", (("TOKEN", "fake"),), shell=True),
    ),
    "BuildKit exec form": (
        "RUN |1 TOKEN=fake /bin/echo word # buildkit",
        Step("RUN", "/bin/echo word", (("TOKEN", "fake"),)),
    ),
    "BuildKit behind another shell": (
        "RUN /bin/bash -o pipefail -c a | b # buildkit",
        Step("RUN", "a | b", shell=True),
    ),
    "BuildKit behind a shell without a path": ("RUN bash -ec make # buildkit", Step("RUN", "make", shell=True)),
    "BuildKit heredoc": (
        "RUN /bin/sh -c echo one\nTOK=x true\n # buildkit",
        Step("RUN", "echo one\nTOK=x true", shell=True),
    ),
    "BuildKit shebang heredoc": ("RUN /bin/sh -c /dev/pipes/EOT # buildkit", Step("RUN", "/dev/pipes/EOT", shell=True)),
    "BuildKit COPY": ("COPY sec.txt /root/.netrc # buildkit", Step("COPY", "sec.txt /root/.netrc")),
    "BuildKit ENV": ("ENV SECRET_KEY=fake", Step("ENV", "SECRET_KEY=fake")),
    "BuildKit HEALTHCHECK": (
        'HEALTHCHECK &{["CMD-SHELL" "wget x"] "5s" "0s" "0s" \'\\x00\'}',
        Step("HEALTHCHECK", '&{["CMD-SHELL" "wget x"] "5s" "0s" "0s" \'\\x00\'}'),
    ),
    "BuildKit filler entry": ("mount / from exec /bin/sh -c make", Step("RUN", "make", shell=True)),
    "buildah keeps mounts": (
        "/bin/sh -c --mount=type=secret,id=pip     TOOL_URL=$(cat /run/secrets/pip) true",
        Step("RUN", "TOOL_URL=$(cat /run/secrets/pip) true", (), ("--mount=type=secret,id=pip",), True),
    ),
    "buildah with build arguments": (
        "|1 TOKEN=fake /bin/sh -c echo hi",
        Step("RUN", "echo hi", (("TOKEN", "fake"),), shell=True),
    ),
    "buildah ARG": ("/bin/sh -c #(nop) ARG API_TOKEN", Step("ARG", "API_TOKEN")),
    "kaniko RUN": ("RUN sh -c 'make all'", Step("RUN", "sh -c 'make all'", shell=True)),
    "kaniko RUN with a mount": (
        "RUN --mount=type=cache,target=/c make",
        Step("RUN", "make", (), ("--mount=type=cache,target=/c",), True),
    ),
    "kaniko exec form": ('RUN ["make", "all"]', Step("RUN", '["make", "all"]')),
    "kaniko test in a shell": ('RUN [ -f "/a" ] || make', Step("RUN", '[ -f "/a" ] || make', shell=True)),
    "buildah exec form": (
        '|1 T=x /bin/sh -c ["make","a b"]',
        Step("RUN", '["make","a b"]', (("T", "x"),)),
    ),
    "kaniko COPY": ("COPY . .", Step("COPY", ". .")),
    "Windows": ("cmd /S /C dir", Step("RUN", "dir")),
    "ko": ("ko build ko://example/cmd", Step("", "ko build ko://example/cmd")),
    "buildpack": (
        "Layer: 'deps', Created by buildpack: a/b@1",
        Step("", "Layer: 'deps', Created by buildpack: a/b@1"),
    ),
    "nothing": ("", Step("", "")),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form(form):
    """Each builder's spelling of a step is read back into the instruction."""
    created_by, step = FORMS[form]

    assert parse_created_by(created_by) == step


def test_exec_form_ends_arguments_at_a_space():
    """Without a shell the last build argument ends at the first space after it, for builders quote nothing."""
    assert parse_created_by("|2 A=x y B=z cmd word").args == (("A", "x y"), ("B", "z"))


def test_a_count_without_arguments():
    """A count that no assignment follows is taken for nothing more than a count."""
    assert parse_created_by("RUN |3 make # buildkit") == Step("RUN", "make")


def test_line_is_one_line():
    """The line shown to people has no builder's words and no line breaks."""
    assert parse_created_by("RUN |1 A=b /bin/sh -c echo one\n  two # buildkit").line == "RUN echo one \\n two"


def test_repr_shows_no_secret():
    """Commands and arguments, where secrets stand, are not in the repr."""
    assert "fake" not in repr(parse_created_by("RUN |1 TOKEN=fake /bin/sh -c echo fake # buildkit"))


@given(st.text())
def test_never_fails(text):
    """Any text is a step, if only of no kind."""
    assert isinstance(parse_created_by(text), Step)


NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True)
VALUES = st.text("abcXYZ019:/@.-+%$'\"", max_size=20)


@given(st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=5), st.sampled_from(["", "RUN "]))
def test_arguments_come_back(args, keyword):
    """Build arguments written as builders write them come back, whatever their values without spaces hold."""
    words = " ".join(f"{name}={value}" for name, value in args)
    suffix = " # buildkit" if keyword else ""

    step = parse_created_by(f"{keyword}|{len(args)} {words} /bin/sh -c make{suffix}")

    assert step == Step("RUN", "make", tuple(args), shell=True)

"""The report that people read."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.evidence import Confidence, Gap, ImageSummary, Instruction, SecretSummary, State, Surface
from scanner.report import output
from scanner.report.json import render as render_json
from scanner.report.lines import Page, amount
from scanner.report.setting import PLAIN
from scanner.report.text import render
from tests import reports
from tests.reports import finding, result

CASES = {
    "clean": result,
    "leaked": reports.leaked,
    "incomplete": reports.incomplete,
    "unavailable": reports.unavailable,
    "many": reports.many,
}


@pytest.mark.parametrize("case", CASES)
def test_snapshot(case):
    """The whole report is as it was."""
    assert reports.matches_snapshot(render(CASES[case](), width=80, color=False), f"{case}.txt")


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("case", CASES)
def test_lines_fit(case, width):
    """Lines are no longer than the page, commands and instructions to paste aside, and none ends in a space."""
    lines = render(CASES[case](), width=width).split("\n")

    assert [line for line in lines if line.endswith((" ", "\t"))] == []
    wide = [line for line in lines if len(line) > width]
    assert [line for line in wide if "tar -xOf" not in line and "blobs/" not in line and "RUN --" not in line
            and "pip install" not in line and not line.startswith("          --mount")] == []  # fmt: skip


def test_verdict_comes_first():
    """The first word of the report is the verdict."""
    firsts = {case: render(make()).split(":")[0] for case, make in CASES.items()}

    assert firsts == {
        "clean": "CLEAN", "leaked": "LEAKED", "incomplete": "INCOMPLETE", "unavailable": "INCOMPLETE", "many": "LEAKED",
    }  # fmt: skip


@pytest.mark.parametrize("form", ["text", "html", "markdown", "github", "gitlab"])
def test_a_dash_is_told_as_standard_input(form):
    """For people; where programs read a name it is what was given."""
    made = replace(result(images=(reports.image(reference="-"),)), reference="-")

    text = output.render(made, form, PLAIN)
    assert "standard input" in text and "<code>-</code>" not in text
    assert json.loads(render_json(made))["image"]["reference"] == "-"


def test_worst_step_comes_first():
    """Build steps are in the order of the worst that they leaked."""
    shown = render(reports.leaked())

    assert shown.index("Step 2: COPY") < shown.index("Step 1: RUN") < shown.index("Step 4: ENV")


def test_rm_only_buries():
    """A deleted file is said to be buried, with the step that deleted it and the layer that still gives it away."""
    shown = " ".join(render(reports.leaked()).split())

    assert "deleted by layer 3 `RUN npm ci && rm /root/.npmrc`, which only buries it" in shown
    assert "whoever can pull the image still gets it from layer 2" in shown


def test_what_no_step_removed_is_not_said_to_be_buried():
    """A file of a build cache or of the image of a stage was never in the image's file system."""
    kept = finding(1, surface=Surface.BUILDER, path="dangling image: etc/app.env", state=State.HIDDEN)

    shown = render(result(kept))

    assert "etc/app.env" in shown
    assert "buries" not in shown and "hidden" not in shown


def test_what_is_no_image_has_no_platform_and_no_layers():
    """Of what a builder keeps the source is named, and nothing that only images have."""
    nothing = ImageSummary("the build cache", "docker", None, None, "unknown/unknown")
    kept = replace(result(finding(1)), images=(nothing,))

    shown = render(kept)

    assert "\n  docker\n" in shown
    assert "unknown" not in shown and "0 layers" not in shown


def test_same_secret_in_two_steps():
    """A secret that is seen again under another step is said to be the same."""
    second = finding(2, step=4, surface=Surface.CONFIG, path="config.Env[0]")

    assert "The same secret as above, under Step 1." in render(result(finding(1), second))


def test_one_secret_in_many_places_is_one_entry():
    """A secret that one step left in many places is told once, with the first places and the number of the others."""
    many = [finding(n, surface=Surface.LAYER, layer=1, path=f"srv/{n:02}") for n in range(40)]

    shown = render(result(*many))

    assert shown.count("URL with credentials") == 1
    assert "... and in 35 more places" in shown


def test_ten_thousand_informational_findings_are_counted():
    """Findings that do not count are summed up by kind, however many there are."""
    shown = render(reports.many())

    assert "7,500 x High entropy hex" in shown
    assert len(shown.split("\n")) < 200


def test_gaps_are_counted_and_the_first_listed():
    """Of many gaps the reasons are counted and the first ten listed."""
    shown = render(reports.many())

    assert "200 x nested.encrypted" in shown and "The first 10 of 200:" in shown
    assert shown.count("opt/a") == 10


def test_every_gap_of_a_few_is_listed():
    """Of a few gaps each is listed with reason, place, size and sentence."""
    shown = render(reports.incomplete())

    assert "layer.missing  033333333333 (3.0 kB): the blob is not in the archive" in shown


def test_repeated_advice_is_given_once():
    """What has to be done for every step alike stands once, at the end."""
    assert render(reports.leaked()).count("Revoke or change the credential") == 1


def test_check_command_can_be_pasted():
    """The command of a proof, joined again at its line ends, is the command."""
    shown = render(reports.leaked(), width=60)
    joined = re.sub(r" \\\n +", " ", shown)

    assert all(found.proof.command in joined for found in reports.leaked().findings if found.id in ("f00004", "f00001"))


def test_accepted_findings():
    """A suppressed finding is listed as accepted, with what accepts it and why, not as a leak."""
    accepted = finding(gated=False, suppressed={"by": "baseline", "reason": "known", "expires": None})

    shown = render(result(accepted))

    assert "Accepted: 1 finding" in shown
    assert "1 x baseline: known" in shown
    assert "For information" not in shown


def test_shown_value_is_one_line():
    """With --show-secrets the value stands there, its line ends spelled out."""
    shown = render(result(finding(secret=SecretSummary("***", 14, "fp", "two\nlines"))))

    assert "value  two\\x0alines" in shown


def test_unknown_and_ranged_steps():
    """A finding of an unknown step is headed by its layer, one of a run of steps by the run."""
    unknown = finding(1, step=None, surface=Surface.LAYER, layer=3, path="a", value="another")
    ranged = finding(2, instruction=Instruction(5, "/bin/sh -c #(nop) CMD x", (2, 5)))

    shown = render(result(unknown, ranged))

    assert "Layer 3, build step unknown" in shown
    assert "One of the steps 2 to 5: CMD x" in shown


def test_platforms_stand_apart():
    """The same step of two platforms is two groups, each naming its platform."""
    images = (reports.image(), reports.image(platform="linux/arm64"))
    both = [finding(n, platform=f"linux/{arch}") for n, arch in enumerate(("amd64", "arm64"))]

    shown = render(result(*both, images=images))

    assert "Step 1 (linux/amd64): RUN" in shown and "Step 1 (linux/arm64): RUN" in shown


def test_colour_changes_no_word():
    """With colour the words are the same; without there is no escape sequence."""
    plain, coloured = render(reports.leaked()), render(reports.leaked(), color=True)

    assert "\x1b" not in plain and "\x1b[1;31mLEAKED: \x1b[0m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_no_report_holds_a_secret():
    """No found value stands in either report."""
    for make in CASES.values():
        for shown in (render(make()), render_json(make())):
            assert not [value for value in (reports.FAKE, "another-fake", "npm-fake-value") if value in shown]


NASTY = st.text(st.characters(codec=None), min_size=1, max_size=30)


@given(NASTY, NASTY, NASTY, st.sampled_from(list(State)), st.integers(1, 200))
def test_nothing_from_an_image_breaks_the_page(path, created_by, reference, state, width):
    """Whatever names and commands an image holds, the report is printable lines."""
    leak = finding(path=path, state=state, surface=Surface.LAYER, layer=0, instruction=Instruction(0, created_by))
    told = finding(2, path=path, gated=False, confidence=Confidence.LOW, inside=(path,), platform=reference)
    scan = replace(result(leak, told, gaps=(Gap(path, path, "layer.missing", 1, created_by),)), reference=reference)

    shown = render(scan, width=width)

    assert all(line.isprintable() for line in shown.split("\n"))
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_999, "1.0 MB"),
        (2_500_000_000, "2.5 GB"),
    ],
)
def test_amounts(number, shown):
    """Bytes are told in the unit that a person would take."""
    assert amount(number) == shown


def test_command_keeps_quoted_words_whole():
    """A command is broken only between words, never inside quotes."""
    page = Page(40, False)
    page.command("cat 'a file with a name of many words' | head -c 14 > 'another long name'", indent=2)

    assert str(page) == "  cat \\\n    'a file with a name of many words' \\\n    | head -c 14 > 'another long name'\n"


def test_only_build_steps_are_counted_as_such():
    """A config without a step, and a layer that was imported, are no build steps; neither has a bare number."""
    imported = Instruction(0, "")
    config = replace(finding(1, surface=Surface.CONFIG, path="config.Cmd[1]"), instruction=None)
    layer = replace(finding(2, surface=Surface.LAYER, layer=0, path="root/.npmrc"), instruction=imported)
    history = replace(finding(3, surface=Surface.HISTORY, path="history[0].comment"), instruction=imported)

    shown = render(result(config, layer, history))

    assert "build steps" not in shown.partition("\n")[0] and "build step" not in shown.partition(".")[0]
    assert "Layer 0, build step unknown\n" in shown and "Step 0" not in shown
    assert "Entry 0 of the history, which tells no build step\n" in shown
    shown = " ".join(render(result(config, finding(4, step=4), finding(5, step=1))).split())
    assert "from 2 build steps and elsewhere." in shown


def test_a_line_break_in_a_step_is_shown():
    """Two commands of a here-document are not read as one."""
    step = Instruction(4, "RUN /bin/sh -c export TOKEN=****\necho hi > /x\n # buildkit")

    shown = render(result(replace(finding(1), instruction=step)))

    assert "Step 4: RUN export TOKEN=**** \\n echo hi > /x\n" in shown


def test_places_in_the_json_of_layers_are_called_that():
    """docker save of old wrote a config beside each layer: that is no name of a file and no header."""
    path = f"{'0' * 64}/json: container_config.Env[1]"

    shown = " ".join(render(result(finding(1, surface=Surface.METADATA, path=path)), width=200).split())

    assert f"{path} (a layer's legacy JSON)" in shown

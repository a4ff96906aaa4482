"""Rule files of the user's own: Gitleaks' and detect-secrets' forms read as they are, and what they cannot do said."""

from __future__ import annotations

import base64
import json
import os
import pickle
import random
import string
import subprocess
import sys
from pathlib import Path

import pytest

from scanner.detect import userrules
from scanner.detect.firstpass import FirstPass, compile_database, triggers_of
from scanner.detect.foreign import ForeignDetector
from scanner.detect.plugins import detectors
from scanner.detect.spans import Suppressed
from scanner.errors import UnusableFile
from scanner.evidence import Match
from tests.builders import image_of, layer, write

RNG = random.Random("userrules")
VALUE = "".join(RNG.choices(string.ascii_lowercase + string.digits, k=32))
RULE = r"""
[[rules]]
id = "acme-key"
description = "Acme key"
regex = '''(?i)acme[\w.-]{0,20}[\s'"]{0,3}[=:]{1,2}[\s'"]{0,3}([a-z0-9]{32})(?:['"\s;]|$)'''
entropy = 3
keywords = ["acme"]
"""


def loaded(tmp_path: Path, text: str, name: str = "gitleaks.toml") -> userrules.UserRules:
    path = tmp_path / name
    path.write_text(text)
    return userrules.load([path])


def found(own: userrules.UserRules, text: str, path: str = "app/settings.py") -> list[Match]:
    own_detectors = [pickle.loads(pickle.dumps(ForeignDetector(rule))) for rule in own.foreign]  # noqa: S301
    first = FirstPass(own_detectors, compile_database(triggers_of(own_detectors)))
    return first.matches(memoryview(text.encode()), path)


def values(matches: list[Match]) -> list[str]:
    return [match.secret.reveal().decode() for match in matches]


def test_a_rule_of_gitleaks_finds_its_group(tmp_path: Path) -> None:
    """The value is what the first group holds, with the rule's id, wherever the trigger stood."""
    own = loaded(tmp_path, RULE)
    text = f"a = 1\nACME_KEY = '{VALUE}'\n" + "x" * 2_000_000 + f"\nacme: {VALUE[::-1]}\n"

    matches = found(own, text)

    assert values(matches) == [VALUE, VALUE[::-1]]
    assert {match.rule_id for match in matches} == {"gitleaks.acme-key"}
    assert text[matches[0].start : matches[0].end] == VALUE


@pytest.mark.parametrize(
    ("regex", "group", "text", "value"),
    [
        ("(ac)(me_[a-z]{9})", 2, "acme_abcdefghi", "me_abcdefghi"),
        ("(ac)?xacme_([a-z]{9})", 0, "xacme_abcdefghi", "abcdefghi"),
        ("acme_[a-z]{9}", 0, "acme_abcdefghi.", "acme_abcdefghi"),
        (r"\bacme-[\pL]{9}\b", 0, "an acme-abcdefghi here", "acme-abcdefghi"),
        (r"[a-f0-9]{12}", 0, "-0123456789ab-", "0123456789ab"),
        (r"acme_[a-z]{9}\s", 0, "acme_abcdefghi\nend", "acme_abcdefghi"),
    ],
)
def test_the_secret_is_the_group_that_gitleaks_takes(
    tmp_path: Path, regex: str, group: int, text: str, value: str
) -> None:
    """secretGroup, else the first group that holds anything, else the whole match; whatever wakes the rule."""
    own = loaded(tmp_path, f"[[rules]]\nid = 'a'\nregex = '{regex}'\nsecretGroup = {group}\nkeywords = []\n")

    assert values(found(own, text)) == [value]


@pytest.mark.parametrize(
    ("more", "text", "path", "passes"),
    [
        ("", f"acme = '{VALUE}'", "a.py", False),
        ("entropy = 7", f"acme = '{VALUE}'", "a.py", True),
        ("keywords = ['other']", f"acme = '{VALUE}'", "a.py", True),
        ("keywords = ['other']", f"# other\nacme = '{VALUE}'", "a.py", False),
        (r"path = '\.env$'", f"acme = '{VALUE}'", "a.py", True),
        (r"path = '\.env$'", f"acme = '{VALUE}'", "a/.env", False),
        (f"[[rules.allowlists]]\nstopwords = ['{VALUE[4:9].upper()}']", f"acme = '{VALUE}'", "a.py", True),
        (f"[[rules.allowlists]]\nregexes = ['^{VALUE[:5]}']", f"acme = '{VALUE}'", "a.py", True),
        ("[[rules.allowlists]]\nregexes = ['^acme']", f"acme = '{VALUE}'", "a.py", False),
        ("[[rules.allowlists]]\nregexTarget = 'match'\nregexes = ['^acme']", f"acme = '{VALUE}'", "a.py", True),
        ("[[rules.allowlists]]\nregexTarget = 'line'\nregexes = ['test']", f"test acme = '{VALUE}' #", "a.py", True),
        ("[[rules.allowlists]]\nregexTarget = 'line'\nregexes = ['test']", f"test\nacme = '{VALUE}'", "a.py", False),
        ("[[rules.allowlists]]\ncondition = 'AND'\npaths = ['x']\nstopwords = ['zz']", f"acme = '{VALUE}'", "x", False),
        ("[rules.allowlist]\npaths = ['^vendor/']", f"acme = '{VALUE}'", "vendor/a", True),
        ("[[allowlists]]\npaths = ['^vendor/']", f"acme = '{VALUE}'", "vendor/a", True),
        ("[[allowlists]]\ntargetRules = ['b']\npaths = ['^vendor/']", f"acme = '{VALUE}'", "vendor/a", False),
    ],
)
def test_what_a_file_lets_pass_is_let_pass(tmp_path: Path, more: str, text: str, path: str, passes: bool) -> None:
    """Entropy, keywords, paths and allowlists mean what they mean in Gitleaks."""
    rule = "[[rules]]\nid = 'a'\nregex = '''acme = '([a-z0-9]{32})''''\n"
    own = loaded(tmp_path, rule + more)

    assert values(found(own, text, path)) == ([] if passes else [VALUE])


def test_what_an_allowlist_lets_pass_has_a_reason(tmp_path: Path) -> None:
    """`explain` tells why, so that nothing is silently dropped."""
    own = loaded(tmp_path, RULE + "[[rules.allowlists]]\ndescription = 'ours'\npaths = ['^vendor/']\n")
    text = f"acme = '{VALUE}'".encode()

    [set_aside] = ForeignDetector(own.foreign[0]).explain(memoryview(text), [4], "vendor/a")

    assert isinstance(set_aside, Suppressed)
    assert set_aside.reason == "allowlist: ours"


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("[extend]\nuseDefault = true\n" + RULE, "useDefault"),
        ("[extend]\ndisabledRules = ['x']\n" + RULE, "disabledRules"),
        (RULE + "\n[[rules.required]]\nid = 'b'\n", "required"),
        (RULE + "\nvalidate = 'x'\n", "never sent"),
        (RULE + "\n[[rules.allowlists]]\ncommits = ['abc']\n", "commits"),
        (RULE + "\n[[rules]]\nid = 'p'\npath = 'key$'\n", "rule p: not run"),
        (RULE + "\n[[rules]]\nid = 'p'\nregex = 'aaaaaaaaaa'\nskipReport = true\n", "rule p: not run"),
        (RULE + "\n[[rules]]\nid = 'p'\nregex = 'a*'\n", "rule p: not run"),
        (RULE + "\n[[rules]]\nid = 'p'\nregex = 'acme_[a-z]{8,}'\n", "64 KiB"),
        (RULE + "\nnewKey = 1\n", "newKey"),
        ("newKey = 1\n" + RULE, "newKey"),
    ],
)
def test_what_cannot_be_honoured_is_told(tmp_path: Path, text: str, remark: str) -> None:
    """Never dropped silently; the other rules run."""
    own = loaded(tmp_path, text)

    assert [each for each in own.remarks if remark in each]
    assert own.foreign[0].id == "gitleaks.acme-key"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[rules]]\nregex = 'a'\n", "has no id"),
        ("[[rules]]\nid = 'a'\nregex = '(?<!x)aaaa'\n", "RE2 refuses"),
        ("[[rules]]\nid = 'a'\nregex = 'é'\n", "beyond ASCII"),
        ("[[rules]]\nid = 'a'\nregex = 'aaaa'\nsecretGroup = 3\n", "has 0 groups"),
        ("[[rules]]\nid = 'a'\nregex = 3\n", "regex must be a text"),
        ("[[rules]]\nid = 'a'\nregex = 'aaaaaa'\nentropy = 'x'\n", "must be numbers"),
        ("rules = 3\n", "must be a list"),
        ("rules = [3]\n", "is no table"),
        ("title = 'x'\n", "no rule file"),
        ("[[rules]]\nid = 'a'\nregex = 'aaaaaa'\n[[rules.allowlists]]\nregexes = ['(']\n", "RE2 refuses"),
        ("", "holds no rules"),
        ("x = " + "[" * 9000, "nested deeper"),
        ('{"a": 1}', "no plugins_used"),
        ('{"a": ', "is not JSON"),
        ('{"plugins_used": 3}', "must be a list"),
        ("{" * 3, "is not JSON"),
    ],
)
def test_a_malformed_file_is_one_clear_error(tmp_path: Path, text: str, reason: str) -> None:
    """It names the file and the reason."""
    with pytest.raises(UnusableFile, match=r"gitleaks\.toml") as caught:
        loaded(tmp_path, text)
    assert reason in caught.value.what


def test_a_file_may_extend_another(tmp_path: Path) -> None:
    """extend.path is followed from the file's own directory, without the rules that are disabled."""
    (tmp_path / "base.toml").write_text(RULE + "\n[[rules]]\nid = 'two'\nregex = 'two_[a-z]{8}'\n")
    own = loaded(tmp_path, "[extend]\npath = 'base.toml'\ndisabledRules = ['two']\n")

    assert [rule.id for rule in own.foreign] == ["gitleaks.acme-key"]


def test_a_file_that_extends_itself_is_refused(tmp_path: Path) -> None:
    """Circles end in an error, not in a recursion."""
    with pytest.raises(UnusableFile, match="cannot be followed"):
        loaded(tmp_path, "[extend]\npath = 'gitleaks.toml'\n")


def baseline(**keys: object) -> str:
    return json.dumps({"version": "1.5.0", **keys})


def test_plugins_run_as_a_baseline_says(tmp_path: Path) -> None:
    """Only those listed, with their limits; the others are named in a remark."""
    text = baseline(plugins_used=[{"name": "JwtTokenDetector"}, {"name": "HexHighEntropyString", "limit": 3.9}])
    own = loaded(tmp_path, text, ".secrets.baseline")
    chosen = detectors(settings=own.plugins)

    assert [type(each).__name__ for each in chosen] == ["TokenDetector", "EntropyDetector"]
    assert own.plugins.limit("HexHighEntropyString") == 3.9
    assert own.plugins.limit("Base64HighEntropyString") == 8.0
    assert any("KeywordDetector" in remark and "do not run" in remark for remark in own.remarks)


def test_expressions_of_a_baseline_leave_out(tmp_path: Path) -> None:
    """should_exclude_file, _line and _secret hold for the plugins' findings."""
    token = "".join(RNG.choices(string.ascii_letters + string.digits, k=36))
    text = f"x = 'ghp_{token}'\n".encode()

    def seen(kind: str, pattern: str) -> int:
        filters = [{"path": f"detect_secrets.filters.regex.should_exclude_{kind}", "pattern": [pattern]}]
        own = loaded(tmp_path, baseline(filters_used=filters), ".secrets.baseline")
        chosen = detectors(settings=own.plugins)
        first = FirstPass(chosen, compile_database(triggers_of(chosen)))
        return len([m for m in first.matches(memoryview(text), "a/b.py") if m.rule_id.endswith("github-token")])

    assert seen("file", "nothing") == 1
    assert [seen("file", "^a/"), seen("line", "^x ="), seen("secret", "^ghp_")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        (baseline(plugins_used=[{"name": "Mine", "path": "file://mine.py"}]), "is not run"),
        (baseline(filters_used=[{"path": "detect_secrets.filters.allowlist.is_line_allowlisted"}]), "not honoured"),
        (baseline(filters_used=[{"path": "detect_secrets.filters.gibberish.should_exclude_secret"}]), "not run"),
        (baseline(filters_used=[{"path": "detect_secrets.filters.regex.should_exclude_line", "pattern": ["(?<!a)b"]}]),
         "RE2 cannot read it"),
    ],
)  # fmt: skip
def test_what_of_a_baseline_cannot_be_honoured_is_told(tmp_path: Path, text: str, remark: str) -> None:
    """Plugins of the user's own, comments, models, expressions with look-around."""
    assert [each for each in loaded(tmp_path, text, ".secrets.baseline").remarks if remark in each]


def test_a_digest_names_the_rules_that_ran(tmp_path: Path) -> None:
    """It differs with what detection depends on, not with comments."""
    digests = [
        loaded(tmp_path, text).digest
        for text in (RULE, "# words\n" + RULE, RULE.replace("entropy = 3", "entropy = 3.5"), baseline(plugins_used=[]))
    ]

    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert userrules.NONE.digest == ""


def test_a_scan_runs_the_rules_of_the_user(tmp_path: Path) -> None:
    """--rules finds what the pack does not know, notes what cannot be done, and changes the rules' digest."""
    gitleaks = write(tmp_path / "gitleaks.toml", b"[extend]\nuseDefault = true\n" + RULE.encode())
    ours = write(
        tmp_path / "ours.toml",
        b"[[rule]]\nid = 'acme.ticket'\ntitle = 'Acme ticket'\ngains = 'Enters.'\nseverity = 'high'\n"
        b"confidence = 'high'\npattern = '(?P<secret>tkt-[0-9]{4}-[a-z]{12})'\nexamples = ['{secret}']\n"
        b"negatives = ['tkt-']\n",
    )
    ticket = "tkt-8264-" + "".join(RNG.choices(string.ascii_lowercase, k=12))
    image = image_of(layer({"app/a.txt": f"zz acme: {VALUE}\n", "app/t.txt": f"t {ticket}\n"}))
    archive = write(tmp_path / "image.tar", image.docker_archive())
    command = [sys.executable, "-m", "scanner", "--format", "json", str(archive)]

    plain = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path, timeout=120)
    run = subprocess.run([*command, "--rules", str(gitleaks), "--rules", str(ours)], capture_output=True, check=False,
                         cwd=tmp_path, env={**os.environ}, timeout=120)  # fmt: skip

    report = json.loads(run.stdout)
    rules = {finding["rule_id"] for finding in report["findings"] if finding["gated"]}
    assert run.returncode == 1
    assert {"gitleaks.acme-key", "acme.ticket"} <= rules
    assert any("useDefault" in note for note in report["notes"])
    assert report["tool"]["rules_digest"] != json.loads(plain.stdout)["tool"]["rules_digest"]
    assert VALUE.encode() not in run.stdout + run.stderr and ticket.encode() not in run.stdout + run.stderr


def test_rules_of_the_user_look_into_encoded_text(tmp_path: Path) -> None:
    """What a rule of Gitleaks' form spells out at its beginning is found in base64 within files, too."""
    rule = write(tmp_path / "g.toml", rb"[[rules]]%sid = 'zyx'%sregex = '\b(zyxkey_[a-z0-9]{24})\b'" % (b"\n", b"\n"))
    value = "zyxkey_" + "".join(RNG.choices(string.ascii_lowercase + string.digits, k=24))
    packed = base64.b64encode(f"some words, then: {value} and others".encode()).decode()
    archive = write(tmp_path / "image.tar", image_of(layer({"app/x.txt": f"data: {packed}\n"})).docker_archive())

    run = subprocess.run([sys.executable, "-m", "scanner", "--format", "json", "--rules", str(rule), str(archive)],
                         capture_output=True, check=False, timeout=120)  # fmt: skip

    found = [f for f in json.loads(run.stdout)["findings"] if f["rule_id"] == "gitleaks.zyx"]
    assert [f["encoding"] for f in found] == [["base64"]]


def test_a_wrong_rule_file_is_wrong_usage(tmp_path: Path) -> None:
    """Exit code 2 and one line of reason, before anything is read of the image."""
    bad = write(tmp_path / "bad.toml", b"[[rules]]\nid = 'a'\nregex = '('\n")
    run = subprocess.run([sys.executable, "-m", "scanner", "--rules", str(bad), "image"], capture_output=True,
                         check=False, timeout=120)  # fmt: skip

    assert run.returncode == 2
    assert b"bad.toml: rule a: RE2 refuses an expression: missing ): (\n" in run.stderr
    assert run.stdout == b""

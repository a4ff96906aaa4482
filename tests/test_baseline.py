"""Baselines: the same secret in the same place is accepted, a rotated one is new; nothing of a value is in the file."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from scanner.accept import baseline, secretsbaseline
from scanner.accept.baseline import Baseline, Sighting
from scanner.errors import UnusableFile
from scanner.evidence import Secret, Surface
from testimages.values import github_token
from tests.builders import image_of, layer, write
from tests.reports import finding

TODAY = date(2026, 6, 15)
OLD, NEW = (github_token(random.Random(seed)) for seed in ("old", "new"))
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def seen(value: str | None = OLD, path: str = "app/.env", surface: str = "layer", mark: str = "") -> Sighting:
    mark = mark or hashlib.md5((value or "").encode(), usedforsecurity=False).hexdigest()
    return Sighting("lk-1", "github.pat", "Token", surface, path, (), mark, Secret(value.encode()) if value else None)


def made(*sightings: Sighting, key: str = "aa") -> Baseline:
    fresh, _ = Baseline.fresh(TODAY, key).updated(sightings, TODAY, "old sins", None)
    return baseline.parsed(json.loads(fresh.text()), "b.json", key)


def known(file: Baseline, sighting: Sighting) -> bool:
    return bool(file.known([sighting], TODAY))


def test_a_value_is_accepted_in_its_place_only() -> None:
    """The same value in the same place is known; a rotated value and another place are new."""
    file = made(seen())

    assert known(file, seen())
    assert not known(file, seen(NEW))
    assert not known(file, seen(path="app/other.env"))


@pytest.mark.parametrize(
    ("surface", "before", "after", "same"),
    [
        ("history", "history[2].created_by", "history[5].created_by", True),
        ("config", "config.Env[1]", "config.Env[3]", True),
        ("config", "config.Env[1]", "config.Labels[1]", False),
        ("layer", "app/a[2].env", "app/a[3].env", False),
        ("layer", f"cache/{'a' * 64}/x", f"cache/{'b' * 64}/x", True),
    ],
)
def test_a_place_survives_a_rebuild(surface: str, before: str, after: str, same: bool) -> None:
    """Numbers of history entries and digests in names change; what a person calls the place does not."""
    assert known(made(seen(path=before, surface=surface)), seen(path=after, surface=surface)) is same


def test_the_file_tells_nothing_of_the_values() -> None:
    """Neither the value nor a digest that a table could undo; equal values in two files look different."""
    one, two = made(seen()).text(), made(seen()).text()
    [first], [second] = (json.loads(text)["findings"] for text in (one, two))

    assert OLD not in one
    assert first["value"] != second["value"]
    assert first["fingerprint"] == ""


def test_an_entry_without_value_matches_under_its_key_only() -> None:
    """A report holds no values: the fingerprint counts, and only where the key is the same."""
    file = made(seen(None, mark="fp-1"))

    assert file.bound == 1
    assert known(file, seen(OLD, mark="fp-1"))
    elsewhere = baseline.parsed(json.loads(file.text()), "b.json", "bb")
    assert not known(elsewhere, seen(OLD, mark="fp-1"))


def test_an_update_keeps_what_holds() -> None:
    """Reasons and dates of entries stay, new ones get the new reason, gone ones go."""
    old = made(seen(), seen(path="gone"))
    later = date(2026, 9, 1)

    file, changes = old.updated([seen(), seen(NEW, path="added")], later, "from September", date(2027, 1, 1))

    assert changes == (1, 0, 1)
    by_path = {entry.sighting.path: (entry.reason, entry.since, entry.expires) for entry in file.entries}
    assert by_path == {"app/.env": ("old sins", TODAY, None), "added": ("from September", later, date(2027, 1, 1))}


def test_what_was_not_read_is_not_gone() -> None:
    """Of an image that was read in part an update drops nothing; fingerprints of another key cannot stay."""
    old = made(seen(), seen(path="elsewhere"))
    marked = made(seen(None, mark="fp"), key="bb")

    file, changes = old.updated([seen(), seen(NEW)], TODAY, "more", None, complete=False)
    foreign = baseline.parsed(json.loads(marked.text()), "b.json", "aa").updated([], TODAY, "x", None, complete=False)

    assert (changes, len(file.entries)) == ((1, 0, 0), 3)
    assert known(file, seen(path="elsewhere"))
    assert marked.updated([], TODAY, "x", None, complete=False)[1] == (0, 0, 0)
    assert (foreign[0].entries, foreign[1]) == ((), (0, 0, 1))


def test_an_expired_entry_is_renewed_by_an_update_only() -> None:
    """A scan tells that it has expired; an update accepts it again, with a new date."""
    file, _ = Baseline.fresh(TODAY, "aa").updated([seen()], TODAY, "r", TODAY)
    next_day = date(2026, 6, 16)
    found = finding(1, surface=Surface.LAYER, path="app/.env", layer=1, value=OLD)
    values = {found.secret.fingerprint: Secret(OLD.encode())}

    assert file.accepted([found], values, TODAY)[0].holds(TODAY)
    assert not file.accepted([found], values, next_day)[0].holds(next_day)
    renewed, changes = file.updated([seen()], next_day, "again", None)
    assert changes == (0, 1, 0)
    assert renewed.accepted([found], values, next_day)[0].reason == "again"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"leakscan_baseline": 2}, "of version 2"),
        ({"findngs": []}, "not known"),
        ({"findings": 3}, "must be a list"),
        ({"findings": [3]}, "no object"),
        ({"findings": [{}]}, "no value and no fingerprint"),
        ({"created": "soon"}, "must be a date"),
        ({"key_id": 3}, "must be a text"),
        ({"scrypt": {}}, "scrypt needs"),
        ({"scrypt": {"salt": "zz", "n": 2, "r": 8, "p": 1}}, "no parameters"),
        ({"scrypt": {"salt": "00" * 16, "n": True, "r": 8, "p": 1}}, "no parameters"),
        ({"scrypt": {"salt": "00" * 16, "n": 1 << 20, "r": 8, "p": 1}}, "more than 64 MiB"),
        ({"scrypt": {"salt": "00" * 16, "n": 3, "r": 8, "p": 1}}, "MiB"),
    ],
)
def test_a_wrong_file_is_one_clear_error(change: dict[str, Any], reason: str) -> None:
    """It names the file; a hostile one cannot ask for more memory than a scan may have."""
    with pytest.raises(UnusableFile, match=r"b\.json") as caught:
        baseline.parsed({**json.loads(made(seen()).text()), **change}, "b.json", "aa")
    assert reason in caught.value.what


@pytest.mark.parametrize("key", ["value", "fingerprint", "path", "inside", "expires", "since", "reason", "surface"])
def test_every_field_of_an_entry_is_held_to_its_type(key: str) -> None:
    """A number where a text belongs is refused, not met later."""
    document = json.loads(made(seen()).text())
    document["findings"][0][key] = 7

    with pytest.raises(UnusableFile, match=r"b\.json: finding 1"):
        baseline.parsed(document, "b.json", "aa")


def test_values_of_a_report_are_used_where_it_has_them() -> None:
    """--show-secrets gives them; without them, and where bytes are written as escapes, the fingerprint counts."""
    secret = {"preview": "***", "length": len(OLD), "fingerprint": "fp"}
    entry = {"id": "a", "rule_id": "r", "title": "t", "surface": "layer", "path": "p", "inside": [], "gated": True}
    findings = [
        {**entry, "secret": {**secret, "value": OLD}},
        {**entry, "secret": secret},
        {**entry, "secret": {**secret, "value": "\\xff"}},
        {**entry, "gated": False, "secret": secret},
    ]

    sightings, key, complete = baseline.reported({"tool": {"key_id": "kk"}, "findings": findings}, "r.json")

    assert (key, complete) == ("kk", False)
    assert [each.value is not None for each in sightings] == [True, False, False]


@pytest.mark.parametrize("document", [[], {}, {"findings": 3}, {"findings": [{}]}, {"findings": [{"gated": True}]}])
def test_what_is_no_report_is_told(document: object) -> None:
    """One error, naming the file."""
    with pytest.raises(UnusableFile, match=r"r\.json is no report"):
        baseline.reported(document, "r.json")


def secrets_baseline(value: str, file: str = "src/app/.env", **more: object) -> dict[str, object]:
    digest = hashlib.sha1(value.encode(), usedforsecurity=False).hexdigest()
    return {"version": "1.5.0", "results": {file: [{"type": "x", "filename": file, "hashed_secret": digest, **more}]}}


def test_a_baseline_of_detect_secrets_accepts_by_file_name_and_value() -> None:
    """Directories differ between a repository and an image; name and value decide."""
    found = finding(1, surface=Surface.LAYER, path="srv/.env", layer=1, value=OLD)
    values = {found.secret.fingerprint: Secret(OLD.encode())}

    def accepted(document: dict[str, object]) -> list[str]:
        assert secretsbaseline.is_baseline(document)
        return [each.reason for each in secretsbaseline.parsed(document, "s").accepted([found], values, TODAY).values()]

    assert accepted(secrets_baseline(OLD)) == ["in a baseline of detect-secrets, not audited"]
    assert accepted(secrets_baseline(OLD, is_secret=False)) == ["in a baseline of detect-secrets, audited as no secret"]
    assert accepted(secrets_baseline(NEW)) == []
    assert accepted(secrets_baseline(OLD, file="src/other.env")) == []


def test_what_detect_secrets_hashed_only_in_part_accepts_nothing() -> None:
    """Its GitHub plugin hashes `ghp`: accepting that would accept every token to come; the file says so."""
    file = secretsbaseline.parsed(secrets_baseline("ghp"), "s")

    assert not file.places
    assert "accept nothing" in file.remarks[0]


# --- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def leakscan(tmp_path: Path) -> Run:
    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"XDG_STATE_HOME": str(tmp_path / "state"), **environment}
        return subprocess.run([sys.executable, "-m", "scanner", *map(str, arguments)], cwd=tmp_path, text=True,
                              capture_output=True, env={**os.environ, **own}, timeout=120, check=False)  # fmt: skip

    return run


def archive(tmp_path: Path, name: str, **files: str) -> Path:
    return write(tmp_path / name, image_of(layer({f"app/{key}.env": f"T={value}\n" for key, value in files.items()}))
                 .docker_archive())  # fmt: skip


def test_a_pipeline_fails_on_new_findings_only(tmp_path: Path, leakscan: Run) -> None:
    """Create accepts and exits 0, the next scan is clean, a rotated token fails again, and update accepts it."""
    old, rotated = archive(tmp_path, "old.tar", a=OLD), archive(tmp_path, "new.tar", a=NEW)

    create = leakscan("baseline", "create", old, "-o", "b.json", "--reason", "known since May")
    accepted = leakscan("--baseline", "b.json", "--format", "json", old)
    failing = leakscan("--baseline", "b.json", rotated)
    update = leakscan("baseline", "update", rotated, "-o", "b.json")

    assert (create.returncode, create.stdout) == (0, "")
    assert "1 finding accepted in b.json" in create.stderr
    report = json.loads(accepted.stdout)
    assert (accepted.returncode, report["verdict"]) == (0, "clean")
    assert [f["suppressed"] for f in report["findings"] if f["suppressed"]] == [
        {"by": "b.json", "reason": "known since May", "expires": None}
    ]
    assert failing.returncode == 1
    assert "(1 new, 1 gone)" in update.stderr
    assert leakscan("--baseline", "b.json", rotated).returncode == 0
    written = (tmp_path / "b.json").read_text()
    for value in (OLD, NEW):
        assert value not in written + create.stderr + accepted.stdout + update.stderr


def test_a_baseline_may_go_to_standard_output(tmp_path: Path, leakscan: Run) -> None:
    """As reports may; only a file can be brought up to date."""
    image = archive(tmp_path, "old.tar", a=OLD)

    create = leakscan("baseline", "create", image, "-o", "-")
    (tmp_path / "b.json").write_text(create.stdout)

    assert not (tmp_path / "-").exists()
    assert leakscan("--baseline", "b.json", image).returncode == 0
    assert leakscan("baseline", "update", image, "-o", "-").returncode == 2


def test_a_baseline_that_cannot_be_written_is_called_one(tmp_path: Path, leakscan: Run) -> None:
    """It is no report, and no option of reports gives it another file."""
    image = archive(tmp_path, "old.tar", a=OLD)

    nowhere, full = (leakscan("baseline", "create", image, "-o", file) for file in ("none/b.json", "/dev/full"))

    assert nowhere.returncode == full.returncode == 3
    assert nowhere.stderr.startswith("leakscan: the baseline cannot be written to none/b.json: No such file")
    assert full.stderr.startswith("leakscan: the baseline cannot be written to /dev/full: No space left")


def test_a_project_that_never_fails_has_a_baseline_too(tmp_path: Path, leakscan: Run) -> None:
    """fail-on never gates nothing; a baseline takes what the default would count."""
    write(tmp_path / ".leakscan.toml", b'fail-on = "never"\n')
    image = archive(tmp_path, "old.tar", a=OLD)

    create = leakscan("baseline", "create", image, "-o", "b.json")

    assert "1 finding accepted" in create.stderr
    assert leakscan("--config", "/dev/null", "--baseline", "b.json", image).returncode == 0


def test_a_baseline_of_a_report_says_what_it_can_match_by(tmp_path: Path, leakscan: Run) -> None:
    """By fingerprint under this installation's key: elsewhere the findings count, and the report says why."""
    image = archive(tmp_path, "old.tar", a=OLD)
    leakscan("--format", "json=r.json", image)

    create = leakscan("baseline", "create", "r.json", "-o", "b.json")
    elsewhere = leakscan("--baseline", "b.json", image, LEAKSCAN_KEY="another")
    foreign = leakscan("baseline", "create", "r.json", "-o", "c.json", LEAKSCAN_KEY="another")

    assert create.returncode == 0
    assert "by fingerprint only" in create.stderr
    assert leakscan("--baseline", "b.json", image).returncode == 0
    assert elsewhere.returncode == 1
    assert "match only under the key" in " ".join(elsewhere.stdout.split())
    assert (foreign.returncode, (tmp_path / "c.json").exists()) == (2, False)


def test_a_report_of_what_was_not_read_makes_no_silent_baseline(tmp_path: Path, leakscan: Run) -> None:
    """Exit code 3 as for the image itself, and an update loses nothing by it."""
    image = archive(tmp_path, "old.tar", a=OLD)
    leakscan("baseline", "create", image, "-o", "b.json")
    leakscan("--format", "json=r.json", "missing.tar")

    create = leakscan("baseline", "create", "r.json", "-o", "c.json")
    update = leakscan("baseline", "update", "r.json", "-o", "b.json")

    assert (create.returncode, update.returncode) == (3, 3)
    assert "does not say that all of the image was read" in create.stderr
    assert "(0 new, 0 gone)" in update.stderr
    assert "no entry was dropped" in update.stderr
    assert leakscan("baseline", "update", "r.json", "-o", "b.json", "--allow-incomplete").returncode == 0
    assert leakscan("--baseline", "b.json", image).returncode == 0


def test_a_baseline_that_detect_secrets_made_is_understood(tmp_path: Path, leakscan: Run) -> None:
    """What its own program accepted in a repository is accepted in the image made from it."""
    password = "".join(random.Random("ds").choices("abcdefghjkmnpqrstuvwxyz23456789", k=18))
    text = f"url = 'https://ci:{password}@registry.internal.example/simple'\n"
    write(tmp_path / "repo" / "src" / "settings.py", text.encode())
    made = subprocess.run([sys.executable, "-m", "detect_secrets", "scan", "--all-files"], cwd=tmp_path / "repo",
                          capture_output=True, timeout=120, check=True)  # fmt: skip
    write(tmp_path / ".secrets.baseline", made.stdout)
    image = write(tmp_path / "image.tar", image_of(layer({"srv/settings.py": text})).docker_archive())
    rotated = write(tmp_path / "new.tar", image_of(layer({"srv/settings.py": text.replace(password, password[::-1])}))
                    .docker_archive())  # fmt: skip

    accepted = leakscan("--baseline", ".secrets.baseline", "--format", "json", image)

    assert leakscan(image).returncode == 1
    assert accepted.returncode == 0
    assert {f["suppressed"]["by"] for f in json.loads(accepted.stdout)["findings"] if f["suppressed"]} == {
        ".secrets.baseline"
    }
    assert leakscan("--baseline", ".secrets.baseline", rotated).returncode == 1


def test_what_cannot_be_read_makes_no_baseline(tmp_path: Path, leakscan: Run) -> None:
    """An image that cannot be opened is exit code 3, a wrong baseline 2; nothing is written, nothing replaced."""
    write(tmp_path / "words.tar", b"no image " * 100)
    write(tmp_path / "bad.json", b"{}")
    image = archive(tmp_path, "old.tar", a=OLD)

    assert leakscan("baseline", "create", "words.tar", "-o", "b.json").returncode == 3
    assert not (tmp_path / "b.json").exists()
    for command in (("--baseline", "bad.json", image), ("baseline", "update", image, "-o", "bad.json"),
                    ("--baseline", "absent.json", image)):  # fmt: skip
        run = leakscan(*command)
        assert (run.returncode, run.stdout) == (2, "")
        assert len(run.stderr.splitlines()) == 2
    assert (tmp_path / "bad.json").read_bytes() == b"{}"


def test_an_end_that_is_over_is_refused(tmp_path: Path) -> None:
    """Entries that never held would look like accepted findings."""
    run = subprocess.run(
        [sys.executable, "-m", "scanner", "baseline", "create", "image.tar", "-o", "b.json", "--expires", "2026-01-31"],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip

    assert run.returncode == 2 and "2026-01-31 is over" in run.stderr

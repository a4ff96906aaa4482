"""Settings: files, the table of pyproject.toml and variables; which wins, what is refused, and `config show`."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from scanner.cli.configured import keys
from scanner.cli.scan import scan
from scanner.errors import UnusableFile
from scanner.settings import Keys, Settings, load
from testimages.values import github_token
from tests.builders import image_of, layer, write

KEYS = Keys((*keys(scan),), {"show-secrets": "Only on the command line."})
TOKEN = github_token(random.Random("settings"))
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def loaded(folder: Path, named: Path | None = None, **environment: str) -> Settings:
    return load(named, folder, environment, lambda: KEYS)



def test_a_folder_that_cannot_be_looked_into_has_no_settings(tmp_path: Path) -> None:
    """It may be one above the working directory, closed to this user; a name that is too long fails alike."""
    assert loaded(tmp_path / ("d" * 300)) == Settings()


def test_every_option_that_makes_sense_can_be_set() -> None:
    """All of a scan's but those that show values or name the file itself."""
    assert {"fail-on", "platform", "format", "rules", "baseline", "jobs", "allow-incomplete"} <= set(KEYS.options)
    assert not {"help", "config", "show-secrets"} & set(KEYS.options)


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    """From the working directory upward; one that is named wins."""
    write(tmp_path / ".leakscan.toml", b'fail-on = "high"\n')
    write(tmp_path / "a" / "pyproject.toml", b"[tool.other]\nx = 1\n")
    write(tmp_path / "a" / "b" / "pyproject.toml", b'[tool.leakscan]\nfail-on = "critical"\n')
    (tmp_path / "a" / "b" / "c").mkdir()
    other = write(tmp_path / "other.toml", b'fail-on = "never"\n')

    assert loaded(tmp_path / "a").values["fail-on"].value == "high"
    assert loaded(tmp_path / "a" / "b" / "c").values["fail-on"].value == "critical"
    assert loaded(tmp_path / "a", other).values["fail-on"].value == "never"
    assert loaded(tmp_path / "a", LEAKSCAN_CONFIG=str(other)).values["fail-on"].value == "never"


def test_nothing_beyond_the_repository_is_read(tmp_path: Path) -> None:
    """A file above the directory that holds .git belongs to something else."""
    write(tmp_path / ".leakscan.toml", b'fail-on = "high"\n')
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "src").mkdir()

    assert loaded(tmp_path / "repo" / "src").file is None


def test_a_file_that_anybody_could_have_laid_there_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of another user in a directory such as /tmp could switch the check off."""
    shared = tmp_path / "shared"
    write(shared / ".leakscan.toml", b'fail-on = "never"\n')
    (shared / "mine").mkdir()
    shared.chmod(0o1777)
    monkeypatch.setattr(os, "geteuid", lambda: (shared / ".leakscan.toml").stat().st_uid + 1)
    if (shared / ".leakscan.toml").stat().st_uid == 0:
        os.chown(shared / ".leakscan.toml", 4321, -1)

    settings = loaded(shared / "mine")

    assert settings.file is None or settings.file.parent != shared
    assert any("anybody can write" in notice for notice in settings.notices)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere")], ids=["directory", "link"])
def test_settings_that_are_no_file_are_told_of(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Whoever put them there believes that they count."""
    make(tmp_path / ".leakscan.toml")

    settings = loaded(tmp_path)

    assert settings.file is None
    assert any("is no file" in notice for notice in settings.notices)


def test_a_file_wins_over_the_table_beside_it(tmp_path: Path) -> None:
    """And that the table is not read is told."""
    write(tmp_path / ".leakscan.toml", b'fail-on = "high"\n')
    write(tmp_path / "pyproject.toml", b'[tool.leakscan]\nfail-on = "never"\n')

    settings = loaded(tmp_path)

    assert settings.values["fail-on"].value == "high"
    assert any("is not read" in notice for notice in settings.notices)


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    """And each value says where it came from; the limits of the file do not win over variables either."""
    write(tmp_path / ".leakscan.toml", b'fail-on = "high"\njobs = 2\n[limits]\nlayer-bytes = "8G"\nmembers = 9\n')
    settings = loaded(tmp_path, LEAKSCAN_FAIL_ON="critical", LEAKSCAN_KEY="k", LEAKSCAN_PLATFORM="")

    found = {key: (value.value, value.source) for key, value in settings.values.items()}
    assert found == {"fail-on": ("critical", "LEAKSCAN_FAIL_ON"), "jobs": (2, ".leakscan.toml")}
    assert settings.environment({"LEAKSCAN_LIMIT_MEMBERS": "5"}) == {
        "LEAKSCAN_LIMIT_LAYER_BYTES": "8G", "LEAKSCAN_LIMIT_MEMBERS": "5",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason", "tip"),
    [
        ("fail_on = 'high'", "fail_on is not known", "Did you mean fail-on?"),
        ("failon = 'high'", "failon is not known", "Did you mean fail-on?"),
        ("[[ignores]]\nreason = 'r'", "ignores is not known", "Did you mean ignore?"),
        ("zzz = 1", "zzz is not known", "Known are"),
        ("show-secrets = true", "cannot be set in a file", "command line"),
        ("fail-on = { a = 1 }", "must be a value", ""),
        ("[limits]\nlayer-byte = 1", "layer-byte is not known", "Did you mean layer-bytes?"),
        ("[limits]\nlayer-bytes = true", "must be a number", ""),
        ("limits = 3", "limits must be a table", ""),
        ("ignore = 3", "must be a list of tables", ""),
        ("fail-on = ", "is not TOML", ""),
        ("x = " + "[" * 5000, "nested deeper", ""),
        ("x = 1" + "0" * 5000, "is not TOML", ""),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, text: str, reason: str, tip: str) -> None:
    """One error with the file, the key and a suggestion."""
    write(tmp_path / ".leakscan.toml", text.encode())

    with pytest.raises(UnusableFile, match=r"\.leakscan\.toml") as caught:
        loaded(tmp_path)
    assert reason in caught.value.what
    assert tip in caught.value.tip


def test_a_file_that_is_no_text_is_one_clear_error(tmp_path: Path) -> None:
    """Bytes, directories, files that are not there."""
    binary = write(tmp_path / "a.toml", b"\xff\xfe\x00")
    for path in (binary, tmp_path, tmp_path / "absent.toml"):
        with pytest.raises(UnusableFile):
            loaded(tmp_path, path)


def test_a_misspelt_variable_is_an_error(tmp_path: Path) -> None:
    """With a suggestion; other variables are somebody else's."""
    with pytest.raises(UnusableFile, match="LEAKSCAN_FAILON") as caught:
        loaded(tmp_path, LEAKSCAN_FAILON="high")
    assert caught.value.tip == "Did you mean LEAKSCAN_FAIL_ON?"
    with pytest.raises(UnusableFile, match="LEAKSCAN_SHOW_SECRETS"):
        loaded(tmp_path, LEAKSCAN_SHOW_SECRETS="1")
    assert not loaded(tmp_path, LEAKSCAN_DATABASE_URL="x", LEAKSCAN_LIMIT_MEMBERS="1").values


# --- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def leakscan(tmp_path: Path) -> Run:
    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "scanner", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=120, check=False,
                              env={**os.environ, **environment})  # fmt: skip

    return run


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    image = image_of(layer({"app/.env": f"T={TOKEN}\n", "etc/motd": "hello"}))
    return write(tmp_path / "image.tar", image.docker_archive())


def test_settings_of_a_file_hold_for_a_scan(tmp_path: Path, leaky: Path, leakscan: Run) -> None:
    """Ignore entries suppress, with their reason; the command line wins over the file; the report names the file."""
    write(tmp_path / ".leakscan.toml", b'format = "json"\n[[ignore]]\npaths = ["app/.env"]\nreason = "rotated"\n')

    run = leakscan(leaky)
    report = json.loads(run.stdout)

    assert (run.returncode, report["verdict"]) == (0, "clean")
    assert {f["suppressed"]["reason"] for f in report["findings"] if f["path"] == "app/.env"} == {"rotated"}
    assert leakscan(leaky, "--format", "text").stdout.startswith("CLEAN")
    write(tmp_path / ".leakscan.toml", b'fail-on = "never"\n')
    assert leakscan(leaky).returncode == 0
    assert "settings of .leakscan.toml: fail-on" in leakscan(leaky).stdout
    assert leakscan(leaky, "--fail-on", "low").returncode == 1
    assert leakscan(leaky, LEAKSCAN_FAIL_ON="low").returncode == 1


def test_an_expired_entry_returns_with_a_notice(tmp_path: Path, leaky: Path, leakscan: Run) -> None:
    """The finding counts again, and the report says which entry has expired."""
    entry = b'[[ignore]]\npaths = ["app/.env"]\nreason = "until we rotate"\nexpires = 2020-01-01\n'
    write(tmp_path / ".leakscan.toml", entry)

    run = leakscan(leaky)

    assert run.returncode == 1
    said = " ".join(run.stdout.split())
    assert "expired on 2020-01-01" in said
    assert "until we rotate" in said
    assert "expired" not in run.stderr
    assert "expired on 2020-01-01" in leakscan(leaky, "--format", "json=r.json").stderr
    assert leakscan(leaky, "--format", "json=r.json", "--quiet").stderr == ""


def test_a_gap_inside_a_file_can_be_accepted(tmp_path: Path, leakscan: Run) -> None:
    """An encrypted archive makes a scan incomplete, unless the settings accept it; it stays listed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "words")
    raw = bytearray(packed.getvalue())
    raw[6] |= 1  # flag bit 0 of the local header, and of the central directory: encrypted (APPNOTE 4.4.4)
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    image = write(tmp_path / "image.tar", image_of(layer({"opt/vendor.zip": bytes(raw)})).docker_archive())

    assert leakscan(image).returncode == 3
    write(tmp_path / ".leakscan.toml", b'[[accept]]\npaths = ["opt/*.zip"]\nreason = "the vendor keeps the key"\n')
    run = leakscan(image, "--format", "json", "--format", "text=t.txt")

    report = json.loads(run.stdout)
    assert (run.returncode, report["verdict"], report["coverage"]["gaps"]) == (0, "clean", [])
    [accepted] = report["coverage"]["accepted"]
    assert accepted["reason"] == "nested.encrypted"
    assert accepted["accepted"] == {"by": ".leakscan.toml: [[accept]] 1", "reason": "the vendor keeps the key",
                                    "expires": None}  # fmt: skip
    assert "the vendor keeps the key" in " ".join((tmp_path / "t.txt").read_text().split())


def test_files_are_named_as_seen_from_the_settings_file(tmp_path: Path, leaky: Path, leakscan: Run) -> None:
    """A baseline beside the settings is found from a directory below."""
    leakscan("baseline", "create", leaky, "-o", "b.json")
    write(tmp_path / ".leakscan.toml", b'baseline = ["b.json"]\n')
    (tmp_path / "deep").mkdir()
    run = subprocess.run([sys.executable, "-m", "scanner", str(leaky)], cwd=tmp_path / "deep", capture_output=True,
                         check=False, timeout=120)  # fmt: skip

    assert run.returncode == 0


def test_a_file_that_came_with_the_sources_writes_nothing_elsewhere(tmp_path: Path, leaky: Path, leakscan: Run) -> None:
    """A report goes outside of the working directory only if the user says so: by the option, or by naming the file."""
    (tmp_path / "away").symlink_to(tmp_path.parent)
    for name in (f"{tmp_path.parent}/out.json", "../out.json", "away/out.json", "sub/../../out.json"):
        write(tmp_path / ".leakscan.toml", f'format = "json={name}"\n'.encode())
        run = leakscan(leaky)
        assert run.returncode == 2
        assert "format: " in run.stderr
        assert "is outside of the working directory" in run.stderr
    assert not (tmp_path.parent / "out.json").exists()

    write(tmp_path / ".leakscan.toml", b'format = ["json=inside.json", "text"]\n')
    assert leakscan(leaky).returncode == 1
    assert json.loads((tmp_path / "inside.json").read_text())["findings"]
    write(tmp_path / "named.toml", f'format = "json={tmp_path}/away/named.json"\n'.encode())
    assert leakscan(leaky, "--config", "named.toml").returncode == 1
    assert (tmp_path.parent / "named.json").exists()


@pytest.mark.parametrize(
    ("text", "environment", "reason"),
    [
        ("fail-on = 'hihg'", {}, "fail-on: 'hihg' is not one of"),
        ("jobs = 0", {}, "jobs: 0 is not in the range"),
        ("quiet = 'yes'", {}, "quiet must be true or false"),
        ("format = ['pdf']", {}, "'pdf' is not one of"),
        ("format = [true]", {}, "must be a text or a number"),
        ("", {"LEAKSCAN_QUIET": "maybe"}, "must be true or false"),
        ("", {"LEAKSCAN_JOBS": "many"}, "LEAKSCAN_JOBS"),
        ("", {"LEAKSCAN_CONFIG": "absent.toml"}, "absent.toml cannot be read"),
    ],
)
def test_wrong_values_are_wrong_usage(
    tmp_path: Path, leakscan: Run, text: str, environment: dict[str, str], reason: str
) -> None:
    """Exit code 2, the place and the reason; --help works all the same."""
    write(tmp_path / ".leakscan.toml", text.encode())

    run = leakscan("image.tar", **environment)

    assert (run.returncode, run.stdout) == (2, "")
    assert reason in run.stderr
    assert leakscan("scan", "--help", **environment).returncode == 0


def test_the_reports_of_a_scan_are_no_concern_of_other_commands(tmp_path: Path, leaky: Path, leakscan: Run) -> None:
    """verify and config show print in a way of their own, whatever reports a project or a job wants of its scans."""
    write(tmp_path / ".leakscan.toml", b'format = ["json=report.json", "sarif"]\n')
    assert leakscan(leaky).returncode == 1

    assert leakscan("verify", "report.json").stdout.startswith("CONFIRMED")
    assert leakscan("verify", "report.json", LEAKSCAN_FORMAT="text junit=j.xml").returncode == 0
    rows = json.loads(leakscan("config", "show", "--format", "json").stdout)["settings"]
    assert [row["value"] for row in rows if row["key"] == "format"] == [["json=report.json", "sarif"]]


def test_config_show_tells_where_each_setting_comes_from(tmp_path: Path, leakscan: Run) -> None:
    """Defaults, the file, variables; entries with their reasons; those that have expired."""
    write(
        tmp_path / ".leakscan.toml",
        b'fail-on = "high"\n[limits]\nmembers = 9\n[[ignore]]\nrules = ["a.b"]\nreason = "r"\nexpires = 2020-01-01\n',
    )
    document = json.loads(leakscan("config", "show", "--format", "json", LEAKSCAN_JOBS="3").stdout)
    rows = {row["key"]: (row["value"], row["source"]) for row in document["settings"]}

    assert rows["fail-on"] == ("high", ".leakscan.toml")
    assert rows["jobs"] == ("3", "LEAKSCAN_JOBS")
    assert rows["platform"] == (None, "default")
    assert rows["limits.members"] == ("9", ".leakscan.toml")
    assert document["entries"][0]["expired"] is True
    shown = leakscan("config", "show").stdout
    assert "EXPIRED" in shown and ".leakscan.toml" in shown


def test_config_show_names_rules_that_nobody_has(tmp_path: Path, leakscan: Run) -> None:
    """An entry whose rule is misspelt accepts nothing; the nearest rule is named."""
    write(tmp_path / ".leakscan.toml",
          b'[[ignore]]\nrules = ["aws.access-key-pear", "aws.*", "gitleaks.mine"]\nreason = "r"\n'
          b'[[ignore]]\nrules = ["nobody.*"]\nreason = "r"\n')  # fmt: skip

    notices = json.loads(leakscan("config", "show", "--format", "json").stdout)["notices"]

    assert notices == [
        ".leakscan.toml: [[ignore]] 1: no rule fits aws.access-key-pear. Did you mean aws.access-key-pair?",
        ".leakscan.toml: [[ignore]] 1: no rule fits gitleaks.mine",
        ".leakscan.toml: [[ignore]] 2: no rule fits nobody.*",
    ]
    write(tmp_path / "gitleaks.toml", b"[[rules]]\nid = 'mine'\nregex = 'mine_[a-z]{12}'\n")
    (tmp_path / ".leakscan.toml").write_text('rules = "gitleaks.toml"\n' + (tmp_path / ".leakscan.toml").read_text())
    notices = json.loads(leakscan("config", "show", "--format", "json").stdout)["notices"]
    assert not [notice for notice in notices if "gitleaks" in notice]


def test_an_empty_config_leaves_everything_at_its_default(tmp_path: Path, leakscan: Run) -> None:
    """--config /dev/null reads nothing that lies around."""
    write(tmp_path / ".leakscan.toml", b'fail-on = "never"\n')

    rows = json.loads(leakscan("config", "show", "--format", "json", "--config", "/dev/null").stdout)["settings"]

    assert {row["source"] for row in rows} == {"default"}
    assert next(row["value"] for row in rows if row["key"] == "fail-on") == "low"

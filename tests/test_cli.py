"""The command as a person meets it: reports, exit codes, messages."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import pwd
import random
import signal
import string
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scanner.cli.main import cli
from scanner.errors import LeakscanError
from scanner.secrecy.keys import installation_key
from testimages.values import aws_key_id, aws_secret_key, github_token
from tests.builders import blob_path, directory, file, image_of, layer, layout_members, tar_of, whiteout, write
from tests.fuzzing import gzip_with_fields

KEY = github_token(random.Random("cli"))


def leakscan(*arguments: str | Path, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "scanner", *map(str, arguments)],
        input=stdin, capture_output=True, timeout=120, env={**os.environ, **environment}, check=False,
    )  # fmt: skip
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with a token that a later layer removes."""
    image = image_of(
        layer(directory("app/"), file("app/.env", f"A=1\nTOKEN={KEY}\n"), created_by="COPY app /app # buildkit"),
        layer(whiteout("app/.env"), created_by="RUN /bin/sh -c rm /app/.env # buildkit"),
    )
    return write(tmp_path_factory.mktemp("leaky") / "image.tar", image.docker_archive())


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with nothing in it."""
    return write(tmp_path_factory.mktemp("clean") / "image.tar", image_of(layer({"etc/x": "y"})).docker_archive())


def test_a_leak_is_told_with_its_layer_steps_and_state(leaky: Path) -> None:
    """The JSON report names what leaked, which step brought it in, and which one only buried it."""
    run = leakscan("--format", "json", leaky)

    report = json.loads(run.stdout)
    [finding] = [f for f in report["findings"] if f["gated"]]
    assert run.returncode == 1
    assert report["verdict"] == "leaked"
    assert finding["rule_id"].startswith("github.")
    assert (finding["path"], finding["line"], finding["state"]) == ("app/.env", 2, "deleted")
    assert finding["instruction"]["created_by"] == "COPY app /app # buildkit"
    assert finding["removed_by"] == {"layer_index": 1, "created_by": "RUN /bin/sh -c rm /app/.env # buildkit"}
    assert KEY not in run.stdout + run.stderr


def test_the_proof_s_command_shows_the_bytes(leaky: Path) -> None:
    """A person can paste the command and sees the secret with standard tools."""
    report = json.loads(leakscan("--format", "json", leaky).stdout)
    [finding] = [f for f in report["findings"] if f["gated"]]

    shown = subprocess.run(["sh", "-c", finding["proof"]["command"]], capture_output=True, check=True).stdout

    assert shown == KEY.encode()


def test_the_proof_s_command_shows_bytes_of_a_compressed_blob_s_header(tmp_path: Path) -> None:
    """They are not among those that come out of it."""
    blob = gzip_with_fields(8, gzip.compress(b"nothing", mtime=0), KEY.encode())
    members = layout_members(image_of(layer({"etc/x": "y"})), blobs=[blob])
    path = write(tmp_path / "image.tar", tar_of(*members))

    report = json.loads(leakscan("--format", "json", "--no-cache", path).stdout)
    [finding] = [f for f in report["findings"] if f["gated"]]

    shown = subprocess.run(["sh", "-c", finding["proof"]["command"]], capture_output=True, check=True).stdout
    assert shown == KEY.encode()


@pytest.mark.parametrize("compression", ["", "gz"])
@pytest.mark.parametrize("form", ["archive", "directory"])
def test_the_proof_s_command_shows_bytes_of_a_layer_that_its_manifest_holds(
    form: str, compression: str, tmp_path: Path
) -> None:
    """An embedded layer is a file of its own nowhere."""
    part = layer({"app/.env": f"TOKEN={KEY}\n"}, compression=compression)
    part = replace(part, descriptor={"data": base64.b64encode(part.stored).decode()})
    image = image_of(part)
    members = [each for each in image.oci_members() if each.name != blob_path(part.digest)]
    path = tmp_path / "image"
    if form == "archive":
        write(path, tar_of(*members))
    else:
        with tarfile.open(fileobj=io.BytesIO(tar_of(*members))) as archive:
            archive.extractall(path, filter="data")

    report = json.loads(leakscan("--format", "json", "--no-cache", path).stdout)
    found = [f for f in report["findings"] if f["gated"] and f["surface"] == "layer"]

    assert [f["path"] for f in found] == ["app/.env"]
    shown = subprocess.run(["sh", "-c", found[0]["proof"]["command"]], capture_output=True, check=True).stdout
    assert shown == KEY.encode()


def test_values_show_only_when_asked_for(leaky: Path) -> None:
    """--show-secrets adds the value; the text report is the same without it."""
    report = json.loads(leakscan("--format", "json", "--show-secrets", leaky).stdout)

    assert KEY in [f["secret"].get("value") for f in report["findings"]]
    assert KEY not in leakscan(leaky).stdout


def test_a_clean_image_ends_with_0(clean: Path) -> None:
    """Every byte accounted for and nothing found."""
    run = leakscan(clean)

    assert (run.returncode, run.stderr) == (0, "")
    assert "complete" in run.stdout


def test_options_may_stand_behind_the_image(clean: Path) -> None:
    """Order does not matter, and `scan` may be left out or written."""
    assert leakscan("scan", clean, "--format", "json").returncode == 0
    assert leakscan(clean, "--quiet", "--jobs", "1").returncode == 0


def test_several_reports_at_once(leaky: Path, tmp_path: Path) -> None:
    """A format with a file goes there, whole, and one without goes to standard output."""
    run = leakscan("--format", f"json={tmp_path / 'r.json'}", "--format", "text", leaky)

    assert json.loads((tmp_path / "r.json").read_text())["verdict"] == "leaked"
    assert run.stdout.startswith("LEAKED")
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_the_least_severity_that_counts_can_be_set(leaky: Path) -> None:
    """--fail-on never shows all and fails on nothing."""
    run = leakscan("--fail-on", "never", "--format", "json", leaky)

    assert run.returncode == 0
    assert not any(f["gated"] for f in json.loads(run.stdout)["findings"])


def test_standard_input(leaky: Path) -> None:
    """An archive may be piped in."""
    assert leakscan("-", stdin=leaky.read_bytes()).returncode == 1


def test_a_cut_archive_keeps_what_was_found(tmp_path: Path) -> None:
    """What is missing is a gap beside the finding."""
    image = image_of(layer({"app/.env": f"TOKEN={KEY}\n"}), layer({"big": bytes(50_000)}))
    members = image.docker_members()
    last = [m for m in members if m.name.endswith("/layer.tar")][-1]
    whole = tar_of(*[m for m in members if m is not last], last)
    path = write(tmp_path / "cut.tar", whole[: len(whole) - 30_000])

    run = leakscan("--format", "json", path)

    report = json.loads(run.stdout)
    assert run.returncode == 1
    assert not report["coverage"]["complete"]
    assert report["coverage"]["gaps"]


def test_an_incomplete_scan_ends_with_3(tmp_path: Path) -> None:
    """Nothing found and something not read is not clean, unless that is allowed."""
    members = [m for m in image_of(layer({"a": "b"}), layer({"c": "d"})).docker_members() if "001" not in m.name]
    path = write(tmp_path / "missing.tar", tar_of(*members))

    assert leakscan(path).returncode == 3
    assert leakscan("--allow-incomplete", path).returncode == 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.tar", None, "there is no file"),
        ("empty.tar", b"", "is empty"),
        ("words.tar", b"not an image at all " * 100, "image"),
        ("other.tar", tar_of({"just": "files"}), "no image"),
    ],
)
def test_bad_input_is_one_message(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    """Named, with the reason, and no traceback; JSON still gets its document."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    run, as_json = leakscan(path), leakscan("--format", "json", path)

    assert (run.returncode, as_json.returncode) == (3, 3)
    assert run.stderr.startswith("leakscan: ") and words in run.stderr and name in run.stderr
    assert "Traceback" not in run.stderr and run.stdout == ""
    report = json.loads(as_json.stdout)
    assert (report["verdict"], report["findings"]) == ("incomplete", [])
    assert report["coverage"]["gaps"][0]["reason"] == "image.unavailable"


def test_wrong_usage_ends_with_2(clean: Path) -> None:
    """click's own code, and a word on what would be right."""
    run = leakscan("--format", "yaml", clean)

    assert run.returncode == 2
    assert "text" in run.stderr and "json" in run.stderr


def test_a_report_that_cannot_be_written_is_said(clean: Path, tmp_path: Path) -> None:
    """The file is named."""
    nowhere = tmp_path / "nowhere" / "r.json"
    run = leakscan("--format", f"json={nowhere}", clean)

    assert run.returncode == 3
    assert str(nowhere) in run.stderr and "Traceback" not in run.stderr


def test_a_reader_that_goes_away_is_no_fault(leaky: Path) -> None:
    """`leakscan image | head -1` ends quietly."""
    run = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m scanner --format json {leaky} | head -c 1"],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip

    assert run.stderr == b""


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    """One word, no traceback, no process left behind."""
    image = image_of(*(layer({f"f{n}": os.urandom(1 << 20).hex() for n in range(20)}) for _ in range(4)))
    path = write(tmp_path / "large.tar", image.docker_archive())
    process = subprocess.Popen(
        [sys.executable, "-m", "scanner", str(path)], stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    time.sleep(0.9)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=20)

    assert process.returncode in (130, 0)
    assert b"Traceback" not in stderr


def test_ctrl_c_is_not_lost_while_a_process_is_started(clean: Path) -> None:
    """Python runs code of its own around a fork, and drops whatever is raised there."""
    code = (
        "import os, signal, sys\n"
        "os.register_at_fork(before=lambda: os.kill(os.getpid(), signal.SIGINT))\n"
        f"sys.argv[1:] = ['--no-cache', {str(clean)!r}]\n"
        "from scanner.cli.main import main\n"
        "main()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120, check=False)

    assert (run.returncode, run.stdout, run.stderr) == (130, b"", b"\nleakscan: stopped\n")


def test_ctrl_c_while_modules_are_imported_says_nothing() -> None:
    """Nothing is begun yet that could be told of; a traceback would be of no use."""
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import runpy; runpy.run_module('scanner', run_name='__main__')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)

    assert (run.returncode, run.stdout, run.stderr) == (130, b"", b"")


def test_version_imports_nothing_heavy() -> None:
    """`leakscan --version` does not wait for engines, rule packs or Hyperscan."""
    code = (
        "import sys, scanner.cli.main\n"
        "print(sorted({'docker', 'hyperscan', 'rich', 'detect_secrets', 're2', 'requests'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "[]\n"
    assert leakscan("--version").stdout.startswith("leakscan, version ")


def test_a_scan_imports_no_other_command(clean: Path) -> None:
    """Nor readers of other tools' rules."""
    code = (
        "import sys\n"
        f"sys.argv[1:] = ['--no-cache', '--quiet', {str(clean)!r}]\n"
        "from scanner.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "others = {'scanner.cli.serve', 'scanner.cli.audit', 'scanner.cli.verify', 'scanner.detect.gitleaks'}\n"
        "print(sorted(others & set(sys.modules)), 'scanner.scan' in sys.modules, file=sys.stderr)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEAKSCAN_")}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment,
                         cwd=clean.parent)  # fmt: skip

    assert run.stderr.endswith("[] True\n")


@pytest.mark.parametrize("arguments", [["--help"], ["scan", "--help"], ["-h"]])
def test_help_is_printed(arguments: list[str]) -> None:
    """Every help text renders, with its options."""
    run = leakscan(*arguments)

    assert (run.returncode, run.stderr) == (0, "")
    assert "--help" in run.stdout


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_change_no_exit_code(clean: Path, redirect: str) -> None:
    """A report that nobody can read is no leak."""
    run = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m scanner {clean} {redirect}"], capture_output=True, timeout=120, check=False
    )

    assert run.returncode == 0
    assert b"Traceback" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("words", "what"), [("scan", "the report"), ("baseline create -o -", "the baseline")]
)
def test_a_full_standard_output_is_said(clean: Path, words: str, what: str) -> None:
    """What cannot be printed is one message and exit code 3; it names no option that a command may not have."""
    run = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m scanner {words} {clean} > /dev/full"],
        capture_output=True, timeout=120, check=False, text=True,
    )  # fmt: skip

    assert run.returncode == 3
    assert f"{what} cannot be written to standard output" in run.stderr and "fault" not in run.stderr
    assert "--format" not in run.stderr


@pytest.mark.parametrize("command", ["rules list", "config show"])
def test_a_list_that_cannot_be_printed_is_no_fault_of_ours(command: str) -> None:
    """A full standard output is said by commands that print no report, too."""
    run = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m scanner {command} > /dev/full"],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip

    assert run.returncode == 3
    assert b"no space left" in run.stderr and b"fault" not in run.stderr


def test_a_device_is_written_to_and_not_replaced(clean: Path, tmp_path: Path) -> None:
    """--format json=/dev/null keeps the device; a symbolic link is followed."""
    (tmp_path / "link").symlink_to(tmp_path / "real.json")

    assert leakscan("--format", "json=/dev/null", "--format", f"json={tmp_path / 'link'}", clean).returncode == 0
    assert Path("/dev/null").is_char_device()
    assert (tmp_path / "link").is_symlink() and json.loads((tmp_path / "real.json").read_text())["verdict"] == "clean"


def unread(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run the program; nobody reads its standard output."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as nowhere:
        return subprocess.run([sys.executable, "-m", "scanner", *map(str, arguments)],
                              stdout=nowhere, stderr=subprocess.PIPE, timeout=120, check=False)  # fmt: skip


def test_a_reader_that_has_gone_makes_no_leak(clean: Path, leaky: Path, tmp_path: Path) -> None:
    """Nor does it make a leak less of one, or keep other reports from being written."""
    report = tmp_path / "report.json"
    kept = leakscan("--quiet", "--format", f"json={report}", clean)

    for words in ([clean], ["--help"], ["rules", "list"], ["verify", report]):
        run = unread(*words)
        assert (run.returncode, run.stderr) == (3, b""), words
    leak = unread("--format", "text", "--format", f"json={report}", leaky)

    assert (kept.returncode, leak.returncode, leak.stderr) == (0, 1, b"")
    assert json.loads(report.read_text())["verdict"] == "leaked"


@pytest.mark.parametrize(("words", "code"), [(["nowhere.tar"], 3), (["--bogus"], 2), (["verify", "nowhere.json"], 2)])
def test_a_message_that_cannot_be_written_changes_no_exit_code(words: list[str], code: int) -> None:
    """A disk that is full below standard error is no leak."""
    with open("/dev/full", "wb") as full:
        run = subprocess.run([sys.executable, "-m", "scanner", *words], stdout=subprocess.PIPE, stderr=full,
                             timeout=120, check=False)  # fmt: skip

    assert run.returncode == code


def test_a_home_that_no_variable_names_is_the_user_s() -> None:
    """Services run without HOME; nothing is kept at the root of the file system then."""
    kept = ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in kept}
    run = subprocess.run([sys.executable, "-m", "scanner", "cache", "info", "--format", "json"],
                         capture_output=True, timeout=60, check=True, env=environment)  # fmt: skip

    home = pwd.getpwuid(os.geteuid()).pw_dir
    assert json.loads(run.stdout)["directory"] == f"{home.rstrip('/')}/.cache/leakscan/results"


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_damaged_key_is_refused(tmp_path: Path, size: int) -> None:
    """Fingerprints under a part of a key would fit nothing that was made before."""
    (tmp_path / "leakscan").mkdir()
    (tmp_path / "leakscan" / "key").write_bytes(bytes(size))

    with pytest.raises(LeakscanError, match="is damaged"):
        installation_key({"XDG_STATE_HOME": str(tmp_path)})


def no_link(*_: object) -> None:
    raise PermissionError


def test_a_key_is_kept_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems of containers and networks have none."""
    monkeypatch.setattr(os, "link", no_link)

    assert installation_key({"XDG_STATE_HOME": str(tmp_path)}) == installation_key({"XDG_STATE_HOME": str(tmp_path)})
    assert [each.name for each in (tmp_path / "leakscan").iterdir()] == ["key"]


def test_a_key_that_cannot_be_kept_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk, where each run would leave a file."""
    monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr(os, "rename", no_link)

    assert len(installation_key({"XDG_STATE_HOME": str(tmp_path)})) == 32
    assert list((tmp_path / "leakscan").iterdir()) == []


@pytest.mark.parametrize("words", [["image.tar"], ["audit", "registry.invalid"], ["builder"]])
def test_a_limit_that_is_none_is_wrong_usage(words: list[str]) -> None:
    """In a variable as in a settings file."""
    run = leakscan(*words, LEAKSCAN_LIMIT_LAYER_BYTES="much")

    assert run.returncode == 2 and "LEAKSCAN_LIMIT_LAYER_BYTES is no size" in run.stderr


@pytest.mark.parametrize(
    "words",
    [["--metadata-file", "FILE", "IMAGE"], ["--dockerfile", "FILE", "IMAGE"], ["--baseline", "FILE", "IMAGE"],
     ["--rules", "FILE", "IMAGE"], ["--config", "FILE", "IMAGE"], ["verify", "FILE", "IMAGE"],
     ["verify", "FILE", "IMAGE", "--dockerfile", "FILE"], ["rules", "check", "FILE"]],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_wrong_usage(clean: Path, words: list[str]) -> None:
    """Whatever it is for, and with the reason: one that may not be looked at is there all the same."""
    given = {"FILE": f"{clean}/file", "IMAGE": str(clean)}
    run = leakscan(*(given.get(word, word) for word in words))

    assert (run.returncode, run.stdout) == (2, "")
    assert f"{clean}/file cannot be read: Not a directory" in run.stderr


def test_a_dash_is_standard_output(clean: Path) -> None:
    """As everywhere, and no file of that name is written."""
    run = leakscan("--format", "json=-", clean)

    assert json.loads(run.stdout)["verdict"] == "clean" and not Path("-").exists()


def test_a_file_that_cannot_be_looked_for_is_not_said_to_be_missing() -> None:
    """As in a directory that is closed."""
    run = leakscan(f"{'a' * 300}.tar")

    assert run.returncode == 3 and "cannot be read: File name too long" in run.stderr


def test_two_reports_for_one_file_are_refused(clean: Path, tmp_path: Path) -> None:
    """The second would take the place of the first; a device may have both."""
    one, same = tmp_path / "report", f"{tmp_path}/./report"

    run = leakscan("--format", f"json={one}", "--format", f"csv={same}", clean)

    assert run.returncode == 2 and "two reports go to report" in run.stderr
    assert not one.exists()
    assert leakscan("--format", "json=/dev/null", "--format", "csv=/dev/null", clean).returncode == 0


def test_a_report_that_fails_takes_no_other_with_it(leaky: Path, tmp_path: Path) -> None:
    """The others are written, and a leak stays a leak."""
    nowhere = tmp_path / "nowhere" / "r.json"
    run = leakscan("--format", f"json={nowhere}", "--format", "text", leaky)

    assert run.returncode == 1
    assert run.stdout.startswith("LEAKED") and str(nowhere) in run.stderr


def scanned(image: object, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """The JSON report of an image, values shown."""
    path = write(tmp_path / "image.tar", image.docker_archive())  # type: ignore[attr-defined]
    return json.loads(leakscan("--format", "json", "--show-secrets", *arguments, path).stdout)


def test_secrets_under_bare_names_are_found(tmp_path: Path) -> None:
    """PASSWORD, TOKEN and SECRET need nothing in front of them."""
    values = ["".join(random.Random(n).choices(string.ascii_letters + string.digits, k=20)) for n in range(3)]
    names = ("PASSWORD", "TOKEN", "SECRET")
    settings = [f"{name}={value}" for name, value in zip(names, values, strict=True)]
    image = image_of(layer({"a": "b"}), config={"config": {"Env": settings}})

    report = scanned(image, tmp_path)

    assert sorted(values) == sorted({f["secret"]["value"] for f in report["findings"] if f["gated"]})


def test_escapes_of_json_do_not_cut_a_value(tmp_path: Path) -> None:
    """Go writes & as an escape; the value is that of the decoded string, once."""
    value = "q7Zr2mK9&x4Tb8"
    config = {"config": {"Env": [f"DB_PASSWORD={value}"]}, "history": [], "rootfs": {"type": "layers", "diff_ids": []}}
    raw = json.dumps({"os": "linux", "architecture": "amd64", **config}).replace("&", "\\u0026")

    report = scanned(image_of(config=raw.encode()), tmp_path)

    assert {f["secret"]["value"] for f in report["findings"]} == {value}
    assert "q7Zr2mK9" not in leakscan(tmp_path / "image.tar").stdout


def test_ids_survive_a_rebuild(tmp_path: Path) -> None:
    """Other digests, dates and files beside it change no finding's id."""
    def build(number: int) -> dict[str, Any]:
        step = f"/bin/sh -c #(nop) COPY dir:{number:064x} in /app "
        image = image_of(layer({"app/.env": f"TOKEN={KEY}", "app/n": str(number)}, created_by=step))
        return scanned(image, tmp_path)

    first, second = build(1), build(2)

    assert [f["id"] for f in first["findings"]] == [f["id"] for f in second["findings"]] != []


def test_proofs_work_for_odd_archive_names(tmp_path: Path) -> None:
    """A colon in a file's name makes tar think of a host."""
    image = image_of(layer({"app/.env": f"TOKEN={KEY}\n"}))
    write(tmp_path / "img:1.tar", image.docker_archive())
    run = subprocess.run(
        [sys.executable, "-m", "scanner", "--format", "json", "img:1.tar"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path.cwd())}, capture_output=True, check=False,
    )  # fmt: skip
    [finding] = [f for f in json.loads(run.stdout)["findings"] if f["gated"]]

    shown = subprocess.run(["sh", "-c", finding["proof"]["command"]], cwd=tmp_path, capture_output=True, check=True)

    assert shown.stdout == KEY.encode()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("baseline", "create", "x" * 300, "-o", "out"), 3),
        (("--cache-from", f"type=local,src={'x' * 300}", "image.tar"), 2),
    ],
)
def test_a_path_that_cannot_be_looked_at_is_no_fault_of_ours(words: tuple[str, ...], code: int) -> None:
    """A directory above it may be closed to this user; a name that is too long fails alike."""
    done = leakscan(*words)

    assert done.returncode == code and "fault of leakscan" not in done.stderr


@pytest.mark.parametrize("format_", ["json=/dev/stdout", "json=>(cat)"])
def test_a_report_goes_into_a_pipe_by_its_name(clean: Path, format_: str) -> None:
    """/dev/stdout, and what bash makes of >(...), are links in /proc to what has no path."""
    run = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m scanner {clean} --format {format_} | cat"],
        capture_output=True, timeout=120, check=False, text=True,
    )  # fmt: skip

    assert json.loads(run.stdout)["verdict"] == "clean", run.stderr


def test_a_report_does_not_replace_the_file_that_standard_output_is(clean: Path, tmp_path: Path) -> None:
    """What is printed besides would go into a file that nobody can find."""
    command = f"{sys.executable} -m scanner {clean} --format json=/dev/stdout --format text > {tmp_path}/out"
    subprocess.run(["sh", "-c", command], timeout=120, check=True)

    out = (tmp_path / "out").read_text()
    assert out.startswith("{") and "\nCLEAN: " in out


@pytest.mark.parametrize(("number", "name"), [(2, "/dev/stderr"), (3, "/dev/fd/3")])
def test_a_report_does_not_replace_a_log(clean: Path, tmp_path: Path, number: int, name: str) -> None:
    """What was written before, and is written afterwards, stands around it."""
    scan = f"{sys.executable} -m scanner {clean} --quiet --format json={name}"
    command = f"(echo before >&{number}; {scan}; echo after >&{number}) {number}> {tmp_path}/log"
    subprocess.run(["sh", "-c", command], timeout=120, check=True)

    log = (tmp_path / "log").read_text()
    assert log.startswith("before\n{") and log.endswith("}\nafter\n")


def test_two_reports_go_to_standard_output_by_its_name(clean: Path) -> None:
    """As they do without one."""
    words = "--format json=/dev/stdout --format text=/dev/stdout"
    run = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m scanner {clean} {words} | cat"],
        capture_output=True, timeout=120, check=False, text=True,
    )  # fmt: skip

    assert run.stdout.startswith("{") and "\nCLEAN: " in run.stdout


@pytest.mark.parametrize(
    "words",
    [*((option, "", "image.tar") for option in ("--baseline", "--config", "--rules", "--dockerfile", "--secrets-from")),
     ("--metadata-file", ""), ("verify", ""), ("rules", "check", ""), ("serve", "--tokens", ""),
     ("baseline", "create", "image.tar", "-o", "")],
    ids=" ".join,
)  # fmt: skip
def test_a_variable_that_is_not_set_names_no_file(words: tuple[str, ...]) -> None:
    """As in `--config "$CONFIG"`: it would be the working directory, or no settings at all."""
    run = CliRunner().invoke(cli, words)

    assert (run.exit_code, "no file is named" in run.output) == (2, True)


def test_a_working_directory_that_was_removed(clean: Path, tmp_path: Path) -> None:
    """It holds no settings, and is needed for nothing else."""
    command = f"cd {tmp_path} && rmdir {tmp_path} && exec {sys.executable} -m scanner --quiet {clean.absolute()}"
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}

    done, told = (
        subprocess.run(["sh", "-c", f"mkdir -p {tmp_path} && {command} {more}"], env=environment, capture_output=True)
        for more in ("", "--format json=out")
    )

    assert done.returncode == 0, done.stderr
    assert told.returncode == 3 and b"cannot be written to out" in told.stderr


def test_a_malformed_platform_is_wrong_usage(clean: Path) -> None:
    """The option's words are at fault, not the image."""
    assert leakscan("--platform", "linux", clean).returncode == 2


def test_a_pair_is_one_finding_that_names_its_id(tmp_path: Path) -> None:
    """The key id is no secret: the finding is about the other half, and the evidence says whose it is."""
    source = random.Random("pair")
    key_id, secret = aws_key_id(source), aws_secret_key(source)
    text = f"[default]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n"

    report = scanned(image_of(layer({"root/.aws/credentials": text})), tmp_path)

    [finding] = [f for f in report["findings"] if f["gated"]]
    assert finding["secret"]["value"] == secret
    assert key_id in [item["detail"] for item in finding["evidence"]]


@pytest.mark.parametrize("tag", ["shop:token", "shop:api-token", "shop/passwords:credentials"])
def test_a_tag_does_not_make_the_id_beside_it_a_secret(tag, leakscan, tmp_path):
    """`repositories` of an archive says which layer each tag is: an id, however like a secret the tag is called. What
    is no id of the image stays one."""
    image = image_of(layer({"a": "b"}), tag=tag)
    path = write(tmp_path / "image.tar", image.docker_archive())
    name = tag.partition(":")[2].encode()
    other = path.read_bytes().replace(name + b'":"000', name + b'":"9f3')

    assert leakscan(path).returncode == 0
    assert other != path.read_bytes()
    assert leakscan(write(tmp_path / "other.tar", other)).returncode == 1

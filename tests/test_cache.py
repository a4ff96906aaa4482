"""Results of earlier scans give the reports that a fresh scan gives, for the very bytes that they were made of."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from scanner import detection
from scanner.cache import program as the_program
from scanner.cache.entries import Entries, clear, listed, usage
from scanner.cache.layers import CachedLayers
from scanner.cache.results import CachedResults
from scanner.evidence import Severity
from scanner.image import identity
from scanner.image.blob import Blob
from scanner.image.source import open_image
from scanner.limits import Limits
from scanner.report.json import render
from scanner.request import Detection, Options
from scanner.scan import scan
from scanner.secrecy.seal import Seal
from scanner.surfaces import blob_jobs
from scanner.work.jobs import BlobOutcome
from scanner.work.messages import Form
from testimages.values import value_of
from tests.builders import BuiltImage, image_of, layer, whiteout, write

KEY = b"k" * 32
TOKEN = value_of("cache", "token", "github-token")
PASSWORD = value_of("cache", "password", "password")
SHARED = os.environ.get("LEAKSCAN_SHARED", "")


def settle() -> None:
    """Wait until what was written just now can be told from what is written next."""
    time.sleep(0.03)


def example() -> BuiltImage:
    """An image with a deleted file, a packed one and a config that leaks."""
    return image_of(
        layer({"app/.env": f"GITHUB_TOKEN={TOKEN}\n", "x.gz": gzip.compress(f"password = {PASSWORD}\n".encode())}),
        layer(whiteout("app/.env"), created_by="RUN rm app/.env"),
        layer({"etc/app.yml": f"login: admin\npassword: {PASSWORD}\n"}, created_by=f"RUN deploy --password={PASSWORD}"),
    )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for compiled rules."""
    return tmp_path_factory.mktemp("rules")


@pytest.fixture(scope="module")
def rules(compiled: Path) -> Detection:
    """The detectors, compiled once."""
    return detection.load({**os.environ, "XDG_CACHE_HOME": str(compiled)})


class Counting(CachedLayers):
    """Counts what it gives."""

    given = 0

    def get(self, blob: Blob, form: Form) -> BlobOutcome | None:
        found = super().get(blob, form)
        self.given += found is not None
        return found


def scanned(path: Path, rules: Detection, entries: Entries | None) -> tuple[str, int]:
    """The report on an archive or a directory, and how many of its blobs were not read for it."""
    opened = open_image(str(path), limits=Limits())
    try:
        kept = None
        if entries is not None:
            kept = Counting(entries, "rules", Limits(), Seal(KEY))
            kept.look(opened, blob_jobs(opened, Limits()), 2)
        result = scan(opened, rules, Options(Limits(), 1, KEY), kept=kept)
        if entries is not None:  # a whole result says the same once it was kept
            results = CachedResults(entries, ("about",))
            results.put(str(path), result)
            again = results.get(str(path), Severity.LOW)
            assert again is None or render(again) == render(result)
        return render(result), kept.given if kept else 0
    finally:
        opened.close()


# --- the same report --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["docker_archive", "oci_archive"])
def test_a_second_scan_reads_no_layer_and_reports_the_same(form: str, rules: Detection, tmp_path: Path) -> None:
    """Byte for byte, whether the file is known to be unchanged or had to be hashed."""
    raw = getattr(example(), form)()
    path, copy = write(tmp_path / "image.tar", raw), write(tmp_path / "copy.tar", raw)
    entries = Entries(tmp_path / "cache", KEY)
    settle()

    plain, _ = scanned(path, rules, None)
    first, none = scanned(path, rules, entries)
    second, unchanged = scanned(path, rules, entries)
    copied, hashed = scanned(copy, rules, entries)

    assert first == second == plain
    assert copied == plain.replace(str(path), str(copy))
    assert (none, unchanged, hashed) == (0, 3, 3)
    assert '"findings": []' not in plain


@pytest.mark.skipif(not SHARED, reason="LEAKSCAN_SHARED names no folder of samples")
def test_images_of_real_tools_are_reported_the_same(rules: Detection, tmp_path: Path) -> None:
    """Archives and layouts of several builders: zstd, encrypted layers, attestations, several images in one."""
    with tarfile.open(Path(SHARED) / "samples" / "samples.tar.xz") as tar:
        wanted = ("oci/", "engine28-containerd/", "engine28-graph/d", "engine28-graph/m", "schema1")
        inside = [each for each in tar.getmembers() if each.name.removeprefix("./").startswith(wanted)]
        tar.extractall(tmp_path, filter="data", members=inside)
    images = [path for path in tmp_path.rglob("*") if path.suffix == ".tar" or (path / "index.json").exists()]
    entries = Entries(tmp_path / "cache", KEY)
    settle()

    assert len(images) > 12
    for path in images:
        plain, _ = scanned(path, rules, entries)
        again, known = scanned(path, rules, entries)
        assert again == plain, path.name
        assert known > 0, path.name


def test_a_registry_blob_that_is_yet_to_come_is_asked_for_by_its_digest(rules: Detection, tmp_path: Path) -> None:
    """Whatever is fetched is held to its digest, so nothing is fetched for what is known."""
    raw = example().oci_archive()
    entries = Entries(tmp_path / "cache", KEY)
    scanned(write(tmp_path / "image.tar", raw), rules, entries)
    opened = open_image(str(tmp_path / "image.tar"), limits=Limits())
    blob = opened.images[0].layers[0].blob
    assert blob is not None

    class Elsewhere(type(blob.file)):  # type: ignore[misc]
        awaited = True
        promised = blob.name

    opened.files[0].__class__ = Elsewhere
    kept = CachedLayers(entries, "rules", Limits(), Seal(KEY))
    kept.look(opened, blob_jobs(opened, Limits()), 1)

    assert kept.get(blob, Form.LAYER) is not None
    opened.files[0].__class__ = Elsewhere.__base__
    opened.close()


def test_a_layer_whose_file_names_hold_values_is_kept(rules: Detection, tmp_path: Path) -> None:
    """Without them, and with what is asked of them: the report must not depend on what was kept."""
    leak = layer({f"srv/{TOKEN}/{TOKEN}.txt": f"token: {TOKEN}\n"})
    path, entries = write(tmp_path / "image.tar", image_of(leak).docker_archive()), Entries(tmp_path / "cache", KEY)
    settle()
    first, _ = scanned(path, rules, entries)

    assert scanned(path, rules, entries) == (first, 1)


@pytest.mark.parametrize("kept", ["package", "compiled"])
def test_what_is_compiled_from_a_package_of_a_kept_layer(kept: str, rules: Detection, tmp_path: Path) -> None:
    """A value of a layer that is read now is the one of a layer that was kept, whichever of both has the package."""
    source = f'settings = {{"password": "{PASSWORD}"}}\n'.encode()
    site = "opt/venv/lib/python3.11/site-packages"
    digest = base64.urlsafe_b64encode(hashlib.sha256(source).digest()).rstrip(b"=").decode()
    package = layer({
        f"{site}/demo/a.py": source,
        f"{site}/demo-1.0.dist-info/RECORD": f"demo/a.py,sha256={digest},{len(source)}\n",
        f"{site}/demo-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
    })  # fmt: skip
    compiled = layer({f"{site}/demo/__pycache__/a.cpython-311.pyc": b"\0\0" + source})
    entries = Entries(tmp_path / "cache", KEY)
    part = write(tmp_path / "part.tar", image_of(package if kept == "package" else compiled).docker_archive())
    path = write(tmp_path / "image.tar", image_of(package, compiled).docker_archive())
    settle()
    scanned(part, rules, entries)
    plain, _ = scanned(path, rules, None)

    assert scanned(path, rules, entries) == (plain, 1)
    assert not any(each["gated"] for each in json.loads(plain)["findings"])


# --- other bytes ------------------------------------------------------------------------------------------------------


def test_other_bytes_under_the_same_digests_are_read(rules: Detection, tmp_path: Path) -> None:
    """Config and names may claim what an earlier scan read: a layer is hashed before its entry is used."""
    clean = layer({"app/.env": "GITHUB_TOKEN=" + "x" * len(TOKEN) + "\n"})
    raw = image_of(clean).docker_archive()
    forged = raw.replace(b"GITHUB_TOKEN=" + b"x" * len(TOKEN), f"GITHUB_TOKEN={TOKEN}".encode())
    entries = Entries(tmp_path / "cache", KEY)
    settle()
    before, _ = scanned(write(tmp_path / "image.tar", raw), rules, entries)
    after, given = scanned(write(tmp_path / "image.tar", forged), rules, entries)

    assert json.loads(before)["findings"] == []
    assert given == 0
    assert json.loads(after)["findings"] and not json.loads(after)["coverage"]["complete"]


def test_a_file_changed_in_place_with_its_old_time_is_read(rules: Detection, tmp_path: Path) -> None:
    """A program can set the time of change of a file's bytes, and not that of the file."""
    clean = layer({"app/.env": "GITHUB_TOKEN=" + "x" * len(TOKEN) + "\n"})
    raw = image_of(clean).docker_archive()
    path, entries = write(tmp_path / "image.tar", raw), Entries(tmp_path / "cache", KEY)
    settle()
    scanned(path, rules, entries)
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(raw.index(b"x" * len(TOKEN)))
        file.write(TOKEN.encode())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    settle()

    report, given = scanned(path, rules, entries)

    assert given == 0
    assert json.loads(report)["findings"]


def test_a_file_has_an_identity_only_when_its_clock_has_moved_on(tmp_path: Path) -> None:
    """What was written within one tick cannot be told apart."""
    path = write(tmp_path / "image.tar", b"x")
    now = path.stat().st_ctime_ns

    assert identity._of(path.stat(), now + 1_000_000) is None
    assert identity._of(path.stat(), now - 1) is None
    assert identity._of(path.stat(), now + 3_000_000_000) is not None


def test_a_directory_is_all_that_is_in_it(tmp_path: Path) -> None:
    """Any file added, changed, renamed or relinked makes another one of it."""
    folder = tmp_path / "layout"
    write(folder / "blobs" / "a", b"1")
    write(folder / "index.json", b"{}")
    seen = set()
    for change in (
        lambda: None,
        lambda: write(folder / "blobs" / "b", b"2"),
        lambda: (folder / "blobs" / "a").rename(folder / "blobs" / "c"),
        lambda: write(folder / "index.json", b"[]"),
        lambda: (folder / "link").symlink_to("index.json"),
    ):
        change()
        settle()
        assert identity.of_path(folder) == identity.of_path(folder)
        seen.add(identity.of_path(folder))

    assert len(seen) == 5 and None not in seen


# --- entries ----------------------------------------------------------------------------------------------------------


def only_entry(directory: Path) -> Path:
    """The one file of a directory of entries."""
    [(name, _)] = listed(directory)
    return directory / name


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other key", "other name", "writable", "link", "folder"])
def test_a_damaged_entry_is_none(damage: str, tmp_path: Path) -> None:
    """Nor is one of another installation, or one that was put in another's place."""
    folder, entries = tmp_path / "cache", Entries(tmp_path / "cache", KEY)
    entries.put("layer", ("a",), b"content" * 100)
    path = only_entry(folder)
    raw = path.read_bytes()
    if damage == "cut":
        path.write_bytes(raw[:-3])
    elif damage == "bit":
        path.write_bytes(raw[:60] + bytes([raw[60] ^ 1]) + raw[61:])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "other key":
        other = Entries(tmp_path / "other", b"o" * 32)
        other.put("layer", ("a",), b"content" * 100)
        path.write_bytes(only_entry(tmp_path / "other").read_bytes())
    elif damage == "other name":
        entries.put("layer", ("b",), b"forged")
        [other_path] = [folder / name for name, _ in listed(folder) if folder / name != path]
        other_path.replace(path)
    elif damage == "writable":
        path.chmod(0o622)
    else:
        path.unlink()
        if damage == "link":
            write(tmp_path / "raw", raw)
            path.symlink_to(tmp_path / "raw")
        else:
            path.mkdir()

    assert entries.get("layer", ("a",)) is None


def test_parts_of_a_key_are_told_apart(tmp_path: Path) -> None:
    """No two lists of parts are one key."""
    entries = Entries(tmp_path / "cache", KEY)
    entries.put("layer", ("ab", "c"), b"1")

    assert entries.get("layer", ("a", "bc")) is None
    assert entries.get("layer", ("abc",)) is None
    assert entries.get("file", ("ab", "c")) is None
    assert entries.get("layer", ("ab", "c")) == b"1"


def test_entries_that_were_used_longest_ago_go_first(tmp_path: Path) -> None:
    """Down to nine tenths of the bound; what dead runs left goes with them, what live ones write stays."""
    folder = tmp_path / "cache"
    entries = Entries(folder, KEY, 50_000)
    for number in range(10):
        entries.put("layer", (str(number),), os.urandom(9_000))
    for at, number in enumerate(range(10)):
        name = entries._name("layer", (str(number),))
        os.utime(folder / name, (1_000_000 + at, 1_000_000 + at))
    assert entries.get("layer", ("0",)) is not None  # used: it is the newest now
    write(folder / ".writing-dead", b"x")
    os.utime(folder / ".writing-dead", (1_000_000, 1_000_000))
    write(folder / ".writing-live", b"x")

    entries.trim()

    there = [number for number in range(10) if entries.get("layer", (str(number),)) is not None]
    assert there == [0, 7, 8, 9]
    assert not (folder / ".writing-dead").exists() and (folder / ".writing-live").exists()


def test_a_full_disk_costs_nothing_but_time(tmp_path: Path) -> None:
    """No error, no half entry."""
    program = (
        "import resource, signal, sys; from pathlib import Path; from scanner.cache.entries import Entries, listed\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "import os; e = Entries(Path(sys.argv[1]), b'k'); e.put('layer', ('a',), os.urandom(5000))\n"
        "print(e.get('layer', ('a',)), list(listed(Path(sys.argv[1]))))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "c")]
    out = subprocess.run(command, capture_output=True, text=True, check=True)

    assert out.stdout == "None []\n"


def test_a_directory_that_cannot_be_made_costs_nothing_but_time(tmp_path: Path) -> None:
    """A file lies where it should be."""
    write(tmp_path / "cache", b"x")
    entries = Entries(tmp_path / "cache", KEY)
    entries.put("layer", ("a",), b"1")

    assert entries.get("layer", ("a",)) is None
    entries.trim()
    assert usage(tmp_path / "cache").bytes == 0
    assert clear(tmp_path / "cache") == 0


def test_kill_at_any_moment_leaves_whole_entries(tmp_path: Path) -> None:
    """A writer that dies leaves what it had written before, and nothing under a name that is half."""
    program = (
        "import sys; from pathlib import Path; from scanner.cache.entries import Entries\n"
        "e = Entries(Path(sys.argv[1]), b'k' * 32)\nprint('up', flush=True)\n"
        "while True:\n  for n in range(5): e.put('layer', (str(n),), str(n).encode() * 200_000)"
    )
    entries = Entries(tmp_path / "cache", KEY)
    for turn in range(6):
        with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "cache")], stdout=subprocess.PIPE) as one:
            assert one.stdout is not None and one.stdout.readline() == b"up\n"
            time.sleep(0.01 + 0.013 * turn)
            one.send_signal(signal.SIGKILL)
        for number in range(5):
            assert entries.get("layer", (str(number),)) in (None, str(number).encode() * 200_000)
        for name, _ in listed(tmp_path / "cache"):
            assert name.startswith(".writing-") or entries._opened(name, (tmp_path / "cache" / name).read_bytes())
    assert entries.get("layer", ("0",)) is not None


def test_runs_at_the_same_time_do_not_harm_each_other(tmp_path: Path) -> None:
    """Several write, trim, clear and read the same entries: what is read is whole."""
    wrong: list[bytes] = []

    def run(number: int) -> None:
        entries = Entries(tmp_path / "cache", KEY, 30_000)
        for turn in range(40):
            entries.put("layer", (str(turn % 4),), bytes([turn % 4]) * 20_000)
            found = entries.get("layer", (str((turn + number) % 4),))
            if found is not None and found != bytes([(turn + number) % 4]) * 20_000:
                wrong.append(found)
            entries.trim()
            if turn % 9 == 0:
                clear(tmp_path / "cache")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


# --- the command line -------------------------------------------------------------------------------------------------


class Cli:
    """The program with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.cache = home / "cache" / "leakscan" / "results"
        self._environment = {**os.environ, "XDG_STATE_HOME": str(home / "state"), "XDG_CACHE_HOME": str(home / "cache"),
                             "NO_COLOR": "1", "DOCKER_HOST": f"unix://{home}/none"}  # fmt: skip

    def __call__(self, *words: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "scanner", *map(str, words)], capture_output=True, text=True,
                              env={**self._environment, **(env or {})}, check=False)  # fmt: skip

    def report(self, *words: str | Path) -> dict[str, Any]:
        """The JSON report of a scan."""
        done = self(*words, "--format", "json")
        assert done.stderr == ""
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    @property
    def kinds(self) -> dict[str, int]:
        """How many entries of each kind there are."""
        return {kind: number for kind, (number, _) in usage(self.cache).kinds.items()}


@pytest.fixture
def cli(tmp_path: Path, rules: Detection, compiled: Path) -> Iterator[Cli]:
    """A home of its own that has the compiled rules and nothing else, gone afterwards."""
    assert rules.detectors
    shutil.copytree(compiled, tmp_path / "home" / "cache")
    yield Cli(tmp_path / "home")
    shutil.rmtree(tmp_path / "home", ignore_errors=True)


def test_a_second_scan_of_a_file_opens_no_image(cli: Cli, tmp_path: Path) -> None:
    """The same report in every format, though the layers cannot be read any more; other options are another report."""
    path = write(tmp_path / "image.tar", example().docker_archive())
    settle()
    first = cli.report(path)
    assert cli.kinds["result"] == 1

    assert cli.report(path) == first
    assert cli.kinds["result"] == 1
    low = cli.report(path, "--fail-on", "never")
    assert low["verdict"] == "clean" and first["verdict"] == "leaked"
    findings = [{**each, "gated": False} for each in first["findings"]]
    settings = {**first["settings"], "fail_on": "never"}
    assert low == {**first, "verdict": "clean", "findings": findings, "settings": settings}
    assert cli.kinds["result"] == 1
    cli.report(path, "--platform", "all")
    assert cli.kinds["result"] == 2


def test_no_cache_neither_reads_nor_writes(cli: Cli, tmp_path: Path) -> None:
    """Nothing is there afterwards; what is there is not looked at."""
    path = write(tmp_path / "image.tar", example().docker_archive())
    settle()
    fresh = cli.report(path, "--no-cache")
    assert cli.kinds == {}
    assert cli.report(path) == fresh
    before = sorted((name, status.st_mtime_ns) for name, status in listed(cli.cache))

    assert cli.report(path, "--no-cache") == fresh
    assert sorted((name, status.st_mtime_ns) for name, status in listed(cli.cache)) == before


def test_a_run_whose_key_nobody_else_has_keeps_nothing(cli: Cli, tmp_path: Path) -> None:
    """Where the key cannot be kept, no later run could read what this one kept."""
    path = write(tmp_path / "image.tar", example().docker_archive())
    nowhere = "/proc/none"  # where not even root can make a directory
    settle()

    assert cli(path, env={"XDG_STATE_HOME": nowhere}).returncode == 1
    assert cli.kinds == {}
    assert cli(path, env={"XDG_STATE_HOME": nowhere, "LEAKSCAN_KEY": "k"}).returncode == 1
    assert cli.kinds["layer"] == 3


def test_values_are_never_taken_from_the_cache(cli: Cli, tmp_path: Path) -> None:
    """It has none: to show them, to look for them and to tell what was judged to be none, the image is read."""
    path = write(tmp_path / "image.tar", example().docker_archive())
    settle()
    cli.report(path)
    secret = write(tmp_path / "secret", PASSWORD.encode())

    shown = cli.report(path, "--show-secrets")
    assert {each["secret"]["value"] for each in shown["findings"]} >= {TOKEN, PASSWORD}
    known = cli.report(path, "--secret", f"id=mine,src={secret}")
    assert known["known_secrets"][0]["verdict"] == "present" and known["known_secrets"][0]["bytes_searched"] > 0
    assert cli.report(path, "--show-suppressed")["ignored"] is not None
    raw = b"".join((cli.cache / name).read_bytes() for name, _ in listed(cli.cache))
    assert TOKEN.encode() not in raw and PASSWORD.encode() not in raw


def test_no_value_is_in_any_entry(cli: Cli, tmp_path: Path) -> None:
    """Entries are opened and searched."""
    path = write(tmp_path / "image.tar", example().docker_archive())
    settle()
    cli.report(path)
    entries = Entries(cli.cache, (tmp_path / "home" / "state" / "leakscan" / "key").read_bytes())

    for name, _ in listed(cli.cache):
        content = entries._opened(name, (cli.cache / name).read_bytes())
        assert content is not None
        for value in (TOKEN, PASSWORD):
            assert value.encode() not in content


def test_settings_that_change_a_report_are_not_mixed_up(cli: Cli, tmp_path: Path) -> None:
    """Limits, rules of one's own, a Dockerfile and accepted findings each make another report."""
    path = write(tmp_path / "image.tar", example().docker_archive())
    settle()
    plain = cli.report(path)
    own = write(tmp_path / "own.toml", b'[[rules]]\nid = "x"\nregex = "pass(word)"\n')
    recipe = write(tmp_path / "Dockerfile", b"FROM scratch\nADD x /\n")
    settings = write(tmp_path / "s.toml", b'[[ignore]]\nrules = ["detect-*", "[!d]*"]\nreason = "known"\n')

    assert cli.report(path, "--rules", own)["tool"] != plain["tool"]
    assert cli.report(path, "--dockerfile", recipe) == cli.report(path, "--dockerfile", recipe, "--no-cache")
    assert cli.report(path, "--config", settings)["verdict"] == "clean"
    tight = cli(path, "--format", "json", env={"LEAKSCAN_LIMIT_NESTED_DEPTH": "1", "LEAKSCAN_LIMIT_MEMBERS": "1"})
    assert json.loads(tight.stdout)["coverage"] != plain["coverage"]
    assert cli.report(path) == plain


def test_a_dockerfile_that_was_edited_is_another_one(cli: Cli, tmp_path: Path) -> None:
    """A diff, and above all the command that goes by line numbers, are for the file as it is now."""
    path = write(tmp_path / "image.tar", example().docker_archive())
    settle()

    for text in (b"FROM scratch\nCOPY . /\n", b"FROM scratch\nCOPY x /\n"):
        recipe = write(tmp_path / "Dockerfile", text)
        found, fresh = (cli.report(path, "--dockerfile", recipe, *more) for more in ((), ("--no-cache",)))

        assert found == fresh
        assert any(finding["dockerfile"] for finding in found["findings"]) is (b"." in text)


def test_cache_info_and_clear(cli: Cli, tmp_path: Path) -> None:
    """It says where and how much, and is rid of all of it."""
    assert json.loads(cli("cache", "info", "--format", "json").stdout)["bytes"] == 0
    path = write(tmp_path / "image.tar", example().docker_archive())
    settle()
    cli.report(path)

    told = json.loads(cli("cache", "info", "--format", "json").stdout)
    assert told["kinds"]["layer"]["entries"] == 3 and told["compiled_rules"]["entries"] == 1
    assert told["bytes"] <= told["largest"]
    text = cli("cache", "info").stdout
    assert str(cli.cache) in text and "layers" in text
    assert cli("cache", "clear").stdout.startswith("removed ")
    assert cli.kinds == {} and not list(cli.cache.rglob("first-pass-*"))
    assert json.loads(cli("cache", "info", "--format", "json").stdout)["compiled_rules"]["entries"] == 0
    assert cli("cache", "clear").returncode == 0


@pytest.mark.parametrize("library", the_program._LIBRARIES)
def test_results_are_of_one_version_of_each_library(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another one reads or finds differently is not answered from memory."""
    before = the_program.digest()
    the_program.digest.cache_clear()
    (tmp_path / f"{library}-9.9.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))

    assert the_program.digest() != before
    the_program.digest.cache_clear()

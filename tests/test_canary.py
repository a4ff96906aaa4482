"""A planted key appears in no byte that the program writes, unless the user asks for it."""

from __future__ import annotations

import atexit
import base64
import functools
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from scanner import detection
from scanner.report.output import FORMATS
from tests.builders import (
    OCI_LAYER,
    BuiltImage,
    BuiltLayer,
    Member,
    file,
    image_of,
    layer,
    sha256,
    symlink,
    tar_of,
    write,
)
from tests.fuzzing import END, gzip_with_fields, tar_file

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class Canary:
    """A made-up key pair, new in every test, and every spelling of it."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.name = "AK" + "IA" + "".join(chance.choice(LETTERS) for _ in range(16))
        # a slash, a plus sign, and what tells escaping apart
        middle = base64.b64encode(chance.randbytes(27)).decode()
        self.secret = f"{middle[:10]}/{middle[10:20]}+{middle[20:38]}"

    def lines(self) -> str:
        """The pair as a credentials file."""
        return f"[default]\naws_access_key_id = {self.name}\naws_secret_access_key = {self.secret}\n"

    def settings(self) -> list[str]:
        """The pair as environment settings."""
        return [f"AWS_ACCESS_KEY_ID={self.name}", f"AWS_SECRET_ACCESS_KEY={self.secret}"]

    def spellings(self) -> Iterator[bytes]:
        """The secret half as it is, cut into halves, in hex, base64 at each alignment, and escaped."""
        raw = self.secret.encode()
        yield from (raw, raw[:20], raw[20:], raw[::-1], raw.hex().encode(), raw.hex().upper().encode())
        for lead in range(3):
            coded = base64.b64encode(b"x" * lead + raw)[4:-4]
            yield from (coded, coded.replace(b"+", b"-").replace(b"/", b"_"))
        yield from (quote(self.secret, safe="").encode(), raw.replace(b"/", b"\\/"), raw.replace(b"/", b"\\u002f"))
        yield from (self.secret.encode("utf-16-le"), repr(raw).encode()[2:-1])

    def escaped(self) -> str:
        """As the inside of a JSON string, some characters escaped."""
        return "".join(f"\\u{ord(char):04x}" if number % 3 == 0 else char for number, char in enumerate(self.secret))


def everywhere(canary: Canary) -> BuiltImage:
    """An image with the key in every place that a report may speak of."""
    pair = " ".join(canary.settings())
    base = layer(
        {"root/.aws/credentials": canary.lines(), f"srv/{pair}/x": "x", f"srv/{canary.secret}": "x"},
        symlink("srv/link", f"/x/{pair}"),
        file("srv/attributes", "x", pax={"SCHILY.xattr.user.note": canary.lines()}),
        created_by=f"RUN export {pair} && make",
    )
    inner = tar_file("srv/other", canary.lines().encode()) + END
    named = gzip_with_fields(8, gzip.compress(inner, mtime=0), pair.encode())
    second = BuiltLayer(inner, named, OCI_LAYER + "+gzip", sha256(inner), f"|1 {pair} /bin/sh -c make")
    odd = tar_file(f"srv/{canary.secret}", canary.lines().encode(), kind=b"Z") + END
    unknown = layer(raw=odd, created_by=f"COPY {pair} /")
    settings = {"Env": canary.settings(), "Labels": {"note": canary.lines(), pair: "x"}, "Cmd": ["sh", "-c", pair]}
    notes = {"build": canary.lines(), pair: "x"}
    return image_of(base, second, unknown, config={"config": settings, "x": [canary.lines()]}, annotations=notes)


def archives(canary: Canary) -> dict[str, bytes]:
    """The image whole, and damaged in ways that make the program speak of errors."""
    image = everywhere(canary)
    config = image.config.replace(canary.secret.encode(), canary.escaped().encode())
    whole, pair = image.oci_archive(), " ".join(canary.settings())
    escaped = image_of(*image.layers, config=config)
    duplicate = image_of(*image.layers, config=b'{"config": {"Env": ["' + pair.encode() + b'"]}, ' + image.config[1:])
    names = [{"Config": f"{pair}.json", "RepoTags": [pair], "Layers": [pair, f"../{pair}"]}]
    return {
        "whole": whole,
        "docker": image.docker_archive(),
        "escaped": escaped.docker_archive(),
        "cut": whole[: len(whole) * 2 // 3],
        "cut_gzip": gzip.compress(whole)[:-50],
        "duplicate_key": duplicate.docker_archive(),
        "names": tar_of(*image.docker_members(manifest=names)),
        "bad_manifest": tar_of(*image.docker_members(manifest=f'["{pair}"'.encode())),
        "no_image": tar_of(file(pair, canary.lines()), Member(f"d {pair}", kind=b"5")),
        "text": canary.lines().encode(),
    }


def leaks(canary: Canary, *texts: bytes, folder: Path | None = None) -> list[str]:
    """Where any spelling of the key stands, in texts or in files below a folder."""
    spellings = list(canary.spellings())
    found = [f"text {number}" for number, text in enumerate(texts) if any(spelling in text for spelling in spellings)]
    for path in sorted(folder.rglob("*")) if folder else ():
        if any(spelling in str(path).encode() for spelling in spellings):
            found.append("the name of a file")
        if path.is_file() and any(spelling in path.read_bytes() for spelling in spellings):
            found.append(str(path.relative_to(folder or path)))
    return found


@functools.cache
def compiled() -> Path:
    """A cache directory with the compiled rules, made once: compiling takes longer than all else."""
    folder = Path(tempfile.mkdtemp(prefix="leakscan-canary-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    detection.load(os.environ | {"XDG_CACHE_HOME": str(folder)})
    return folder


def run(
    folder: Path, *arguments: str | Path, code: str = "", stdin: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the program with all its directories below *folder*; *code* runs before it in the same process."""
    for name in ("state", "cache", "tmp", "home"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copytree(compiled(), folder / "cache", dirs_exist_ok=True)
    own = {"XDG_STATE_HOME": f"{folder}/state", "XDG_CACHE_HOME": f"{folder}/cache", "TMPDIR": f"{folder}/tmp",
           "HOME": f"{folder}/home", "PYTHONFAULTHANDLER": "1"}  # fmt: skip
    program = f"{code}\nimport runpy; runpy.run_module('scanner', run_name='__main__', alter_sys=True)"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | own | environment,
        cwd=Path(__file__).parent.parent,
        input=stdin,
        capture_output=True,
        timeout=300,
    )


@pytest.mark.parametrize("name", archives(Canary(0)))
def test_a_found_key_is_written_nowhere(name: str, tmp_path: Path) -> None:
    """Neither in reports of any format, on either stream, nor in files, whatever is wrong with the image."""
    canary, folder = Canary(1), tmp_path / "written"
    path = write(tmp_path / "image.tar", archives(canary)[name])
    files = [f"--format={form}={folder / form}" for form in FORMATS]

    printed = [f"--format={form}" for form in FORMATS]
    summary = folder / "summary.md"

    done = run(folder, *printed, *files, path, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))

    assert done.returncode in (1, 3), done.stderr
    assert b"Traceback" not in done.stderr and summary.exists()
    assert leaks(canary, done.stdout, done.stderr, folder=folder) == []


def test_a_key_in_the_words_of_the_command_line_is_left_alone(tmp_path: Path) -> None:
    """An archive on standard input, in a directory, and one that is not there: the same holds."""
    canary, folder = Canary(2), tmp_path / "written"
    image = everywhere(canary)
    layout = image.oci_dir(tmp_path / "layout")

    for done in (
        run(folder, "--format", "json", "-", stdin=image.docker_archive()),
        run(folder, "--format", "json", layout),
        run(folder, "--format", "json", tmp_path / "nowhere"),
    ):
        assert done.returncode in (1, 3), done.stderr
        assert leaks(canary, done.stdout, done.stderr, folder=folder) == []


#: name → the code that makes the fault, and what tells that there was one
FAULTS = {
    "a worker that raises": (
        "import scanner.detect.firstpass as f\n"
        "def m(self, data, *more, **named): raise ValueError(bytes(data))\nf.FirstPass.matches = m",
        b'"worker.failed"',
    ),
    "a worker that dies": (
        "import os, scanner.detect.firstpass as f\n"
        "def m(self, data, *more, **named): os.abort()\nf.FirstPass.matches = m",
        b'"worker.died"',
    ),
    "a coordinator that raises": (
        "import scanner.result as r\n"
        "def f(places, *a): raise ValueError([x.match.secret.reveal() for x in places])\nr.findings = f",
        b"a fault of leakscan itself, ValueError",
    ),
    "a report that raises": (
        "import scanner.cli.scan as c\ndef p(result, *a): raise KeyError(repr(result))\nc.pieces = p",
        b"a fault of leakscan itself, KeyError",
    ),
    "a reader that raises": (
        "import scanner.work.reader as r\n"
        "def e(source, *a): raise RuntimeError(source.read())\nr.expand = e; r.Walk = e",
        b'"worker.failed"',
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_ours_shows_no_key(name: str, tmp_path: Path) -> None:
    """Even an exception that holds the key is told by its type and place only."""
    canary, folder = Canary(3), tmp_path / "written"
    path = write(tmp_path / "image.tar", everywhere(canary).oci_archive())

    code, told = FAULTS[name]
    done = run(folder, "--format", "json", path, code=code)

    assert done.returncode in (1, 3) and told in done.stdout + done.stderr, done.stderr
    assert leaks(canary, done.stdout, done.stderr, folder=folder) == []


def test_an_unwritable_place_shows_no_key(tmp_path: Path) -> None:
    """No room for spools, no state directory, no place for the report."""
    canary, folder = Canary(4), tmp_path / "written"
    path = write(tmp_path / "image.tar", gzip.compress(everywhere(canary).oci_archive()))
    (tmp_path / "file").write_bytes(b"")

    no_room = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))"
    no_place = str(tmp_path / "file")

    for done in (
        run(folder, "--format", "json", path, code=no_room),
        run(folder, "--format", "json", path, XDG_STATE_HOME=no_place, XDG_CACHE_HOME=no_place),
        run(folder, f"--format=json={tmp_path}/nowhere/report", path),
    ):
        assert done.returncode in (1, 3), done.stderr
        assert leaks(canary, done.stdout, done.stderr, folder=folder) == []


def test_a_key_that_is_asked_for_is_in_the_report_only(tmp_path: Path) -> None:
    """--show-secrets shows the value, and nothing else keeps it."""
    canary, folder = Canary(5), tmp_path / "written"
    path = write(tmp_path / "image.tar", everywhere(canary).oci_archive())

    done = run(folder, "--format", "json", "--show-secrets", path)

    assert canary.secret in [finding["secret"]["value"] for finding in json.loads(done.stdout)["findings"]]
    assert leaks(canary, done.stderr, folder=folder) == []


def test_the_key_is_found_at_all(tmp_path: Path) -> None:
    """Else this file would prove nothing: every surface of the image is reported."""
    canary = Canary(6)
    path = write(tmp_path / "image.tar", everywhere(canary).oci_archive())

    done = run(tmp_path / "written", "--format", "json", path)

    found = json.loads(done.stdout)["findings"]
    assert {"layer", "config", "history", "annotation"} <= {finding["surface"] for finding in found}
    assert done.returncode == 1


@pytest.mark.parametrize("seconds", [0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.7])
def test_kill_leaves_nothing_behind(seconds: float, tmp_path: Path) -> None:
    """Whenever all processes are killed at once, no file stays in the temporary directory and no core dump anywhere."""
    canary, folder = Canary(7), tmp_path / "written"
    for name in ("state", "tmp"):
        (folder / name).mkdir(parents=True)
    shutil.copytree(compiled(), folder / "cache")
    big = random.Random(7).randbytes(24 << 20)
    content = layer({"big": big, "root/.aws/credentials": canary.lines()}, compression="gz")
    image = image_of(content, layer({"more": big[::-1]}))
    path = write(tmp_path / "image.tar", gzip.compress(image.docker_archive(), 1))
    own = {"XDG_STATE_HOME": f"{folder}/state", "XDG_CACHE_HOME": f"{folder}/cache", "TMPDIR": f"{folder}/tmp"}

    with subprocess.Popen(
        [sys.executable, "-m", "scanner", "--no-progress", path],
        env=os.environ | own,
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        time.sleep(seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    assert list((folder / "tmp").iterdir()) == []
    assert leaks(canary, folder=folder) == []

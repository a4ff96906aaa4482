"""A scan finds what is packed or encoded, says where, proves it by the stored bytes, and names what it cannot open."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import io
import json
import random
import string
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scanner.layer.expand import PROOF_SUFFIX
from testimages.values import github_token
from tests.builders import BuiltLayer, image_of, layer, layout_members, tar_of, write
from tests.conftest import Leakscan

TOKEN = "gl" + "pat-" + "".join(random.Random(9).choices(string.ascii_letters + string.digits, k=20))
TEXT = f"# settings\nGITLAB_TOKEN={TOKEN}\n"


Scanned = Callable[..., dict[str, Any]]


@pytest.fixture
def scanned(tmp_path: Path, leakscan: Leakscan) -> Scanned:
    """Scans an image of layers: its JSON report."""

    def run(*layers: BuiltLayer) -> dict[str, Any]:
        path = write(tmp_path / "image.tar", image_of(*layers).docker_archive())
        report: dict[str, Any] = json.loads(leakscan("--format", "json", path).stdout)
        return report

    return run


def zipped(name: str, data: str, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of one entry."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr(name, data)
    return target.getvalue()


def proven(report: dict[str, Any], plain: bytes) -> dict[str, Any]:
    """The one finding about the token, after its proof was checked against the layer's plain bytes."""
    [found] = [finding for finding in report["findings"] if finding["rule_id"] == "gitlab.pat"]
    key = hashlib.sha256(plain + PROOF_SUFFIX).digest()
    proof = found["proof"]
    stored = plain[proof["offset"] : proof["offset"] + proof["length"]]
    assert hmac.new(key, stored, hashlib.sha256).hexdigest() == proof["hmac"]
    return {**found, "stored": stored}


def test_a_token_three_archives_deep(scanned: Scanned) -> None:
    """The path leads through all of them; the proof is the outermost entry's stored bytes."""
    inner = gzip.compress(tar_of({"conf/app.env": TEXT}))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("lib/inner.tgz", inner)
    built = layer({"app/outer.jar": target.getvalue()}, compression="gz")

    report = scanned(built)

    found = proven(report, built.plain)
    assert (found["path"], found["inside"]) == ("app/outer.jar", ["lib/inner.tgz", "conf/app.env"])
    assert (found["encoding"], found["line"], found["gated"]) == (["deflate", "gzip"], 2, True)
    assert found["stored"] in target.getvalue()
    assert TOKEN not in json.dumps(report)


def test_a_token_in_base64(scanned: Scanned) -> None:
    """The proof is the encoded secret."""
    built = layer({"k8s/secret.yaml": "data:\n  env: " + base64.b64encode(TEXT.encode()).decode() + "\n"})

    found = proven(scanned(built), built.plain)

    assert (found["inside"], found["encoding"]) == ([], ["base64"])
    assert TOKEN.encode() in base64.b64decode(found["stored"])


def test_a_token_in_utf_16(scanned: Scanned) -> None:
    """Windows writes such files."""
    built = layer({"app/settings.ini": TEXT.encode("utf-16")})

    found = proven(scanned(built), built.plain)

    assert found["encoding"] == ["utf-16le"]
    assert found["stored"].decode("utf-16-le") == TOKEN


def test_an_entry_that_lies_there_as_it_is_is_found_once(scanned: Scanned) -> None:
    """A plain tar in a layer: the finding names the entry, not the archive alone."""
    built = layer({"srv/backup.tar": tar_of({"etc/app.env": TEXT})})

    found = proven(scanned(built), built.plain)

    assert (found["inside"], found["encoding"]) == (["etc/app.env"], [])
    assert found["stored"].decode() == TOKEN


def test_a_value_with_percent_escapes_is_found_once(scanned: Scanned) -> None:
    """As it lies there, though the rule matches what it means as well."""
    raw = b"\xfb\xff" + random.Random(5).randbytes(28) + b"\xfb\xf0"  # its base64 has signs of all three kinds
    signature = base64.b64encode(raw).decode().replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    query = f"sv=2022-11-02&ss=b&srt=sco&sp=rl&se=2027-01-01T00:00:00Z&sig={signature}"

    report = scanned(layer({"app/env.sh": f"URL=https://shop1.blob.core.windows.net/c/f?{query}\n"}))

    [found] = report["findings"]
    assert (found["rule_id"], found["encoding"]) == ("azure.sas-signature", [])


def test_a_token_in_a_large_compressed_file(scanned: Scanned) -> None:
    """Larger than a window, packed and unpacked."""
    noise = random.Random(4).randbytes(9 << 20).hex().encode()
    built = layer({"var/dump.gz": gzip.compress(noise + b"\n" + TEXT.encode() + noise[:100], 1)})

    found = proven(scanned(built), built.plain)

    assert (found["path"], found["encoding"]) == ("var/dump.gz", ["gzip"])


def test_a_zip_behind_a_large_program(scanned: Scanned) -> None:
    """Self-extracting archives are told by their end, which lies in the last window."""
    built = layer({"opt/setup.bin": b"\x7fELF" + bytes(17 << 20) + zipped("app.env", TEXT)})

    found = proven(scanned(built), built.plain)

    assert found["inside"] == ["app.env"]


def test_base64_in_a_build_step_is_found_and_shown_nowhere(scanned: Scanned) -> None:
    """The step's text is redacted in the spelling it has."""
    encoded = base64.b64encode(TEXT.encode()).decode()
    secret_part = base64.b64encode(TOKEN.encode())[4:-4].decode()

    report = scanned(layer({"a": "b"}, created_by=f"RUN echo {encoded} | base64 -d > /app/.env"))

    [found] = [finding for finding in report["findings"] if finding["rule_id"] == "gitlab.pat"]
    assert (found["surface"], found["encoding"]) == ("history", ["base64"])
    shown = json.dumps(report)
    for lead in range(3):
        form = base64.b64encode(b"\0" * lead + TOKEN.encode())[4:-4].decode()
        assert form not in shown
    assert secret_part not in shown


@pytest.mark.parametrize("intact", [True, False])
def test_a_broken_archive_is_a_gap_unless_a_package_ships_it(scanned: Scanned, intact: bool) -> None:
    """Test data of packages is broken on purpose; anything else may hide something."""
    archive = bytearray(zipped("locked", "nothing of interest"))
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        archive[archive.find(signature) + place] |= 1
    digest = hashlib.md5(bytes(archive) if intact else b"other", usedforsecurity=False).hexdigest()
    built = layer({
        "usr/share/app/locked.zip": bytes(archive),
        "var/lib/dpkg/info/app.md5sums": f"{digest}  usr/share/app/locked.zip\n",
        "var/lib/dpkg/status": "Package: app\nStatus: install ok installed\nVersion: 1\n\n",
    })  # fmt: skip

    report = scanned(built)

    gaps = [(gap["reason"], gap["where"]) for gap in report["coverage"]["gaps"]]
    assert gaps == ([] if intact else [("nested.encrypted", "usr/share/app/locked.zip > locked")])


def test_countless_faults_are_summed_up(scanned: Scanned) -> None:
    """A hostile archive cannot flood the report."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number in range(500):
            archive.writestr(str(number), "x")
    data = bytearray(target.getvalue())
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + place] |= 1
            at = data.find(signature, at + 4)

    report = scanned(layer({"a.zip": bytes(data)}))

    assert 1 < len(report["coverage"]["gaps"]) < 20


def test_what_a_large_blob_beside_the_image_hides_is_a_gap(tmp_path: Path, leakscan: Leakscan) -> None:
    """A blob that no layer is, too large to be matched in the company of others, is no less looked into."""
    packed = (random.Random(5).randbytes(100_000).hex() + TEXT).encode()
    for _ in range(12):
        packed = gzip.compress(packed, mtime=0)
    image = image_of(layer({"etc/motd": "hello\n"}))
    path = write(tmp_path / "image.tar", tar_of(*layout_members(image, blobs=[packed])))

    ran = leakscan("--format", "json", path)

    report = json.loads(ran.stdout)
    assert (ran.returncode, report["verdict"]) == (3, "incomplete")
    assert [gap["reason"] for gap in report["coverage"]["gaps"]] == ["nested.depth"]


def test_a_line_of_what_was_decoded_is_not_shown_as_one_of_the_file(tmp_path: Path, leakscan: Leakscan) -> None:
    """The report for programs counts in the decoded content, as it says; who reads a place looks into the file."""
    token = github_token(random.Random("lines"))
    coded = base64.b64encode(f"token={token}\n".encode()).decode()
    files = {"srv/a.yaml": f"# one\n# two\ndata: {coded}\n", "srv/b.yaml": f"# one\ntoken: {token}\n"}
    path = write(tmp_path / "image.tar", image_of(layer(files)).docker_archive())

    text = leakscan(path).stdout
    report = json.loads(leakscan("--format", "json", path).stdout)
    lab = json.loads(leakscan("--format", "gitlab", path).stdout)

    assert "srv/a.yaml (layer" in text
    assert "srv/b.yaml:2 (layer" in text
    lines = {finding["path"]: finding["line"] for finding in report["findings"] if finding["gated"]}
    assert lines == {"srv/a.yaml": 1, "srv/b.yaml": 2}
    shown = {each["location"]["file"].rpartition("/")[2]: each["location"].get("start_line")
             for each in lab["vulnerabilities"] if each["severity"] == "Critical"}  # fmt: skip
    assert shown == {"a.yaml": None, "b.yaml": 2}

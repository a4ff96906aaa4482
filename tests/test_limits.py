"""Limits can be set from outside, and whatever runs into one is a gap with its own reason."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from scanner import detection
from scanner.errors import LeakscanError
from scanner.evidence import ScanResult, Verdict
from scanner.image.source import open_image
from scanner.limits import GIB, MIB, Limits
from scanner.request import Options
from scanner.scan import scan
from tests.builders import (
    OCI_MANIFEST,
    BuiltImage,
    descriptor_of,
    dumps,
    image_of,
    layer,
    layout_members,
    tar_of,
    write,
)
from tests.fuzzing import tar_header

NAMES = [field.name for field in fields(Limits)]


def scanned(path: Path, rules: detection.Detection, limits: Limits) -> ScanResult:
    """Scan an archive with one process of each kind."""
    opened = open_image(str(path), limits=limits)
    try:
        return scan(opened, rules, Options(limits, 1, b"key"))
    finally:
        opened.close()


def reasons(result: ScanResult) -> set[str]:
    """The reason codes of all gaps."""
    return {gap.reason for gap in result.coverage.gaps}


def test_nothing_set_gives_the_defaults() -> None:
    """Other variables do not matter."""
    assert Limits.from_environment({"HOME": "/", "LEAKSCAN_KEY": "k"}) == Limits()


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_can_be_set(name: str) -> None:
    """Each field has a variable, and only that field changes."""
    changed = Limits.from_environment({f"LEAKSCAN_LIMIT_{name.upper()}": "7"})

    assert getattr(changed, name) == 7
    assert type(getattr(changed, name)) is type(getattr(Limits(), name))
    assert [other for other in NAMES if getattr(changed, other) != getattr(Limits(), other)] == [name]


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("LAYER_BYTES", "32G", 32 * GIB),
        ("LAYER_BYTES", "3MiB", 3 * MIB),
        ("LAYER_BYTES", " 12kb ", 12 << 10),
        ("IMAGE_BYTES", "1t", 1 << 40),
        ("LAYER_SECONDS", "20m", 1200.0),
        ("IMAGE_SECONDS", "1.5h", 5400.0),
        ("IMAGE_SECONDS", "2.5", 2.5),
        ("MEMBERS", "5000000", 5_000_000),
    ],
)
def test_values_have_units(variable: str, text: str, value: float) -> None:
    """Sizes take powers of 1024, times take minutes and hours."""
    assert getattr(Limits.from_environment({f"LEAKSCAN_LIMIT_{variable}": text}), variable.lower()) == value


def test_other_limits_have_another_mark() -> None:
    """However large they are; 20 seconds are 20.0 seconds."""
    marks = [Limits(members=5_000_001).mark, Limits(members=5_000_002).mark, Limits(layer_bytes=8 * GIB).mark,
             Limits(layer_bytes=8 * GIB + 1).mark, Limits(layer_seconds=1_000_000.5).mark,
             Limits(layer_seconds=1_000_000.25).mark, Limits(members=10**17).mark,
             Limits(members=10**17 + 1).mark]  # fmt: skip

    assert len({*marks, ""}) == len(marks) + 1
    assert Limits(layer_seconds=20).mark == Limits(layer_seconds=20.0).mark
    assert Limits().mark == ""


@pytest.mark.parametrize(
    ("variable", "text"),
    [("LAYER_BYTES", "much"), ("LAYER_BYTES", ""), ("LAYER_BYTES", "0"), ("LAYER_BYTES", "-1"), ("MEMBERS", "5M"),
     ("LAYER_SECONDS", "nan"), ("LAYER_SECONDS", "0"), ("LAYER_BYTES", "9" * 400), ("LAYER_BYTE", "5")],
)  # fmt: skip
def test_what_is_no_limit_is_refused_by_name(variable: str, text: str) -> None:
    """A typing error must not silently leave a limit as it is."""
    with pytest.raises(LeakscanError, match=f"LEAKSCAN_LIMIT_{variable} is no"):
        Limits.from_environment({f"LEAKSCAN_LIMIT_{variable}": text})


def _padded(image: BuiltImage, size: int) -> bytes:
    """The image's manifest, made larger by white space."""
    return image.manifest()[:-1] + b" " * size + b"}"


def _many_manifests(count: int, size: int) -> bytes:
    image = image_of(layer({"a": "b"}))
    blobs = [_padded(image, size + number) for number in range(count)]
    index = dumps({"schemaVersion": 2, "manifests": [descriptor_of(blob, OCI_MANIFEST) for blob in blobs]})
    return tar_of(*layout_members(image, index=index, blobs=blobs))


def _nested_indexes(depth: int) -> bytes:
    image = image_of(layer({"a": "b"}))
    blobs = [image.manifest()]
    for _ in range(depth):
        blobs.append(dumps({"schemaVersion": 2, "manifests": [descriptor_of(blobs[-1], OCI_MANIFEST)]}))
    members = [*layout_members(image, index=blobs[-1], blobs=blobs)]
    return tar_of(*members)


def _chain() -> bytes:
    body = b"x\0".ljust(512, b"\0")
    return (tar_header("L", 2, b"L") + body) * 4 + tar_header("f") + bytes(1024)


PLAIN = layer({f"f{number}": "words " * 50 for number in range(20)}, compression="gz")
CASES = {
    "layer_bytes": (image_of(PLAIN).docker_archive(), Limits(layer_bytes=5000), "limit.expanded"),
    "image_bytes": (
        image_of(PLAIN, layer({"b": "words " * 5000}, compression="gz")).docker_archive(),
        Limits(image_bytes=35_000), "limit.expanded",
    ),
    "members": (image_of(PLAIN).docker_archive(), Limits(members=15), "limit.members"),
    "extended_header_bytes": (
        image_of(layer({"n" * 600: "x"})).docker_archive(), Limits(extended_header_bytes=400), "tar.extended-headers"),
    "extended_header_chain": (
        image_of(layer(raw=_chain())).docker_archive(), Limits(extended_header_chain=3), "tar.extended-headers"),
    "document_bytes": (
        image_of(PLAIN, config={"x": "y" * 9000}).docker_archive(), Limits(document_bytes=5000), "json.too-large"),
    "documents_bytes": (_many_manifests(3, 3000), Limits(documents_bytes=8000), "json.too-large"),
    "document_depth": (
        image_of(PLAIN, config={"x": [[[[[[[["y"]]]]]]]]}).docker_archive(),
        Limits(document_depth=6), "json.malformed"),
    "index_depth": (_nested_indexes(5), Limits(index_depth=3), "image.unavailable"),
    "index_manifests": (_many_manifests(9, 1), Limits(index_manifests=2), "image.unavailable"),
    "layer_seconds": (image_of(PLAIN).docker_archive(), Limits(layer_seconds=1e-9), "limit.time"),
    "image_seconds": (image_of(PLAIN).docker_archive(), Limits(image_seconds=1e-9), "limit.time"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_limit_that_is_hit_is_a_gap(name: str, tmp_path: Path, rules: detection.Detection) -> None:
    """Never clean: the gap names the limit, or the image is refused in words."""
    archive, limits, reason = CASES[name]
    path = write(tmp_path / "image.tar", archive)

    if reason == "image.unavailable":
        with pytest.raises(LeakscanError, match=r"more|limit"):
            scanned(path, rules, limits)
        return

    result = scanned(path, rules, limits)

    assert reason in reasons(result)
    assert result.verdict is Verdict.INCOMPLETE


def test_a_worker_without_memory_is_a_gap(tmp_path: Path) -> None:
    """Even if no worker can do anything, the scan ends and says so."""
    names = layer({f"{number:0200}": b"x" for number in range(20_000)})  # more than a worker has in stock
    path = write(tmp_path / "image.tar", image_of(names).docker_archive())

    done = subprocess.run(  # a process of its own: this one has memory in stock, which its children may use
        [sys.executable, "-m", "scanner", "--format", "json", str(path)], stdout=subprocess.PIPE, check=False,
        env=os.environ | {"LEAKSCAN_LIMIT_WORKER_BYTES": str(8 * MIB)},
    )  # fmt: skip

    coverage = json.loads(done.stdout)["coverage"]
    assert done.returncode == 3
    assert not coverage["complete"]
    assert {gap["reason"] for gap in coverage["gaps"]} <= {"limit.memory", "worker.died", "worker.failed",
                                                           "layer.unreadable"}  # fmt: skip


def test_an_ordinary_image_is_within_all_limits(tmp_path: Path, rules: detection.Detection) -> None:
    """The same archive without a limit that bites has no gap."""
    for name in ("layer_bytes", "document_bytes", "document_depth", "members"):
        path = write(tmp_path / "image.tar", CASES[name][0])

        assert scanned(path, rules, Limits()).coverage.gaps == (), name


def test_a_pipe_that_nobody_writes_to_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named pipe without a writer is said after a while."""
    monkeypatch.setattr("scanner.image.received._WRITER_SECONDS", 0.1)
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(LeakscanError, match="nobody writes to the pipe"):
        open_image(str(tmp_path / "pipe"), limits=Limits())




def test_every_limit_is_documented() -> None:
    """docs/coverage.md lists each limit with its default."""
    page = (Path(__file__).parent.parent / "docs" / "coverage.md").read_text(encoding="utf-8")

    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (\w+) \|", page, re.MULTILINE))

    assert set(rows) == {name.upper() for name in NAMES}
    assert Limits.from_environment({f"LEAKSCAN_LIMIT_{name}": shown for name, shown in rows.items()}) == Limits()

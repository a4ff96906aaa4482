"""Every mark planted in the images that real tools made reaches the detectors, with its surface, path and state."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from scanner.detect.base import Trigger
from scanner.detect.firstpass import compile_database, triggers_of
from scanner.evidence import Confidence, Finding, Match, ScanResult, Secret, Severity
from scanner.image.source import open_image
from scanner.limits import Limits
from scanner.scan import Detection, Options, scan
from tests.samples import ARGUMENT, CASES, FILE, INLINE, MARKS, SAMPLES, Mark

SHARED = os.environ.get("LEAKSCAN_SHARED", "")
pytestmark = pytest.mark.skipif(not SHARED, reason="LEAKSCAN_SHARED names no folder of samples")


class Marks:
    """Matches the marks themselves, as bytes."""

    triggers = tuple(Trigger(mark.encode()) for mark in MARKS)

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """Whichever mark ends there."""
        for end in ends:
            for mark in MARKS:
                start = end - len(mark)
                if start >= 0 and data[start:end] == mark.encode():
                    secret = Secret(mark.encode())
                    yield Match(mark, "pattern", "a mark", Severity.LOW, Confidence.HIGH, start, end, secret)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples, unpacked once."""
    folder = tmp_path_factory.mktemp("samples")
    with tarfile.open(Path(SHARED) / "samples" / "samples.tar.xz") as tar:
        tar.extractall(folder, filter="data")
    [inside] = folder.rglob("engine20")
    return inside.parent


def result_of(path: Path) -> ScanResult:
    """The scan of a sample by marks alone."""
    detectors = (Marks(),)
    opened = open_image(str(path), limits=Limits())
    try:
        detection = Detection(detectors, compile_database(triggers_of(detectors)), "marks")
        return scan(opened, detection, Options(Limits(), 2, b"key"))
    finally:
        opened.close()


def there(findings: Sequence[Finding], mark: Mark) -> bool:
    """Whether a finding is at the place of *mark*."""
    rule, surface, path, state = mark
    return any((f.rule_id, f.surface, f.state) == (rule, surface, state) and path in (f.path or "") for f in findings)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_mark_is_seen_where_it_is(samples: Path, name: str) -> None:
    """Layers, names, links, config, history and attestations of every tool's images are handed to the detectors."""
    case, extra = SAMPLES[name]
    result = result_of(samples / name)

    missing = [mark for mark in (*CASES.get(case, ()), *extra) if not there(result.findings, mark)]

    assert missing == []
    assert result.coverage.complete or "encrypted" in name
    if case in ("b", "c", "c2"):
        assert result.findings == ()


@pytest.mark.parametrize(
    ("name", "mark", "path", "step", "removed"),
    [
        ("engine20/save20-d-cl.tar", FILE, "root/.netrc", "COPY file:", "/bin/sh -c rm /root/.netrc"),
        ("engine28-graph/d.tar", FILE, "d/x", "RUN /bin/sh -c mkdir -p /d", "RUN /bin/sh -c rm -rf /d"),
        ("engine28-graph/a.tar", INLINE, "root/.cache/pip/log.txt", "RUN /bin/sh -c TOOL_URL=***", None),
        ("engine28-graph/l.tar", ARGUMENT, "fromb/left.txt", "COPY / /fromb", None),
        ("engine28-graph/j.tar", "jargsecretJJJ", "config.Env[1]", "ENV MYTOK=***", None),
        ("schema1-dir", "envsecret-EEE", "v1Compatibility", "/bin/sh -c #(nop)  ENV SECRET_KEY=***", None),
    ],
)
def test_steps_are_named(samples: Path, name: str, mark: str, path: str, step: str, removed: str | None) -> None:
    """The step that brought a mark in, and the one that buried it, are those of the Dockerfile."""
    findings = [f for f in result_of(samples / name).findings if f.rule_id == mark and path in (f.path or "")]

    assert any(f.instruction is not None and step in f.instruction.created_by for f in findings)
    told = {f.removed_by.created_by for f in findings if f.removed_by}
    assert (removed is None and told == set()) or any(removed in (by or "") for by in told if removed)


def test_a_collapsed_build_tells_a_range(samples: Path) -> None:
    """buildah squashes all steps into one layer: a finding belongs to the run of them."""
    result = result_of(samples / "buildah" / "buildah-e--squash.tar")

    [log] = [f for f in result.findings if f.path == "root/.cache/pip/log.txt"]

    assert log.instruction is not None and log.instruction.range == (0, 14)

"""Every mark planted in the images that real tools made reaches the detectors, with its surface, path and state."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from scanner import detection
from scanner.detect.base import Trigger
from scanner.detect.firstpass import FirstPass, compile_database, triggers_of
from scanner.detect.known.parts import known
from scanner.evidence import Confidence, Finding, Match, ScanResult, Secret, Severity
from scanner.image.source import open_image
from scanner.image.withcache import add_cache
from scanner.limits import Limits
from scanner.request import Detection, Options
from scanner.scan import scan
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


def result_of(path: Path) -> ScanResult:
    """The scan of a sample by marks alone."""
    detectors = (Marks(),)
    opened = open_image(str(path), limits=Limits())
    try:
        detection = Detection(FirstPass(detectors, compile_database(triggers_of(detectors))), "marks")
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


def known_in(samples: Path, name: str, cache: str = "") -> ScanResult:
    """The scan of a sample for all marks as known secrets."""
    opened = open_image(str(samples / name), limits=Limits())
    try:
        if cache:
            opened = add_cache(opened, samples / cache, Limits())
        given = [known(mark, mark.encode()) for mark in MARKS]
        return scan(opened, detection.known_only(given), Options(Limits(), 2, b"key"))
    finally:
        opened.close()


_ARGS, _REQUEST = "predicate.invocation.parameters.args", "predicate.buildDefinition.externalParameters.request.args"
_LLB = "predicate.buildConfig.llbDefinition"
_V1_LLB = "predicate.buildDefinition.internalParameters.buildConfig.llbDefinition"
_INFOS = 'predicate.metadata["https://mobyproject.org/buildkit@v1#metadata"].source.infos[0].data'
_V02_PLACES = {(ARGUMENT, f'{_ARGS}["build-arg:TOOL_URL"]'), (ARGUMENT, f"{_LLB}[2].op.Op.exec.meta.env[1]")}
_ATTESTED = {
    "oci/oci-attest.tar": _V02_PLACES,
    "oci/oci-uncomp.tar": _V02_PLACES,
    "oci/oci-v1prov": {
        (ARGUMENT, f'{_REQUEST}["build-arg:TOOL_URL"]'), (ARGUMENT, f"{_V1_LLB}[2].op.Op.exec.meta.env[1]"),
    },
    "oci/oci-prov-max-v1.tar": {
        (ARGUMENT, f'{_REQUEST}["build-arg:TOOL_URL"]'), (ARGUMENT, f"{_V1_LLB}[2].op.Op.exec.meta.env[1]"),
    },
    "oci/oci-prov-min-v1.tar": set(),
    "engine28-containerd/save28ctd-l-inline.tar": set(),
    "engine28-containerd/save28ctd-l-max.tar": _V02_PLACES,
    "engine28-containerd/save28ctd-n.tar": {
        ("nsecretNNN", f'{_ARGS}["build-arg:TOKEN"]'), ("nsecretNNN", f"{_LLB}[1].op.Op.exec.meta.env[1]"),
        ("proxysecretNNN", f'{_ARGS}["build-arg:HTTP_PROXY"]'),
        ("proxysecretNNN", f"{_LLB}[1].op.Op.exec.meta.proxy_env.http_proxy"),
    },
    "engine28-containerd/save28ctd-ip-max.tar": {
        ("heredocA-III", f"{_LLB}[3].op.Op.exec.meta.args[2]"), ("heredocB-III", f"{_LLB}[3].op.Op.exec.meta.args[2]"),
        ("heredocA-III", _INFOS), ("heredocB-III", _INFOS), ("shebangheredocIII", _INFOS),
        ("shebangheredocIII", f"{_LLB}[1].op.Op.file.actions[0].Action.mkfile.data"),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", _ATTESTED)
def test_every_mark_in_an_attestation(samples: Path, name: str) -> None:
    """Both shapes and versions of provenance: each mark with its JSON path, packed Dockerfiles included."""
    found = [finding for finding in known_in(samples, name).findings if finding.surface == "attestation"]

    assert {(finding.evidence[0].result, str(finding.path).partition(": ")[2]) for finding in found} == _ATTESTED[name]


def statements(path: Path) -> Iterator[Any]:
    """Every in-toto statement of an image, found without leakscan: its blobs that are JSON with a predicate."""
    if path.is_dir():
        blobs = [each.read_bytes() for each in path.rglob("*") if each.is_file()]
    else:
        with tarfile.open(path) as tar:
            blobs = [tar.extractfile(each).read() for each in tar if each.isfile()]  # type: ignore[union-attr]
    for blob in blobs:
        if blob[:1] == b"{" and b'"predicateType"' in blob:
            yield json.loads(blob)


def strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a JSON value with its path, and what it stands for if it is base64."""
    if isinstance(value, dict):
        for key, item in value.items():
            plain = re.fullmatch(r"[A-Za-z_]\w*", key)
            yield from strings(item, f"{path}.{key}".lstrip(".") if plain else f"{path}[{json.dumps(key)}]")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from strings(item, f"{path}[{number}]")
    elif isinstance(value, str):
        yield path, value
        with contextlib.suppress(ValueError):
            yield path, base64.b64decode(value, validate=True).decode("utf-8", "replace")


@pytest.mark.parametrize("name", SAMPLES)
def test_no_mark_of_a_statement_is_missed(samples: Path, name: str) -> None:
    """Read by hand, the statements of each sample hold the marks that the scan names, at the very JSON paths."""
    wanted = {
        (mark, path)
        for statement in statements(samples / name)
        for path, text in strings(statement)
        for mark in MARKS
        if mark in text
    }
    attested = wanted or name in _ATTESTED
    found = known_in(samples, name).findings if attested else result_of(samples / name).findings

    told = {(f.evidence[0].result if attested else f.rule_id, str(f.path).partition(": ")[2])
            for f in found if f.surface == "attestation"}  # fmt: skip
    assert told == wanted


def test_caches_of_real_builds(samples: Path) -> None:
    """mode=max keeps the builder stage that the image lacks, mode=min does not."""
    largest, least = (known_in(samples, "oci/docker-exporter.tar", name) for name in ("cache-max", "cache-min"))

    for result in (largest, least):
        assert result.coverage.complete
    told = {(f.evidence[0].result, str(f.path).partition(": ")[2]) for f in largest.findings if f.surface == "cache"}
    assert told == {(ARGUMENT, "left.txt"), (ARGUMENT, "root/.cache/pip/log.txt")}
    assert [f for f in least.findings if f.surface == "cache"] == []

"""Results of scans that never were, for the tests of reports."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from scanner.advice.case import Leak
from scanner.advice.remediation import advise
from scanner.evidence import (
    Confidence,
    Coverage,
    Evidence,
    Finding,
    Gap,
    ImageSummary,
    Instruction,
    LayerPlace,
    LayerSummary,
    Proof,
    RemovedBy,
    ScanResult,
    Secret,
    SecretSummary,
    Severity,
    State,
    Surface,
)
from scanner.secrecy.redact import Redactor

SNAPSHOTS = Path(__file__).parent / "snapshots"
FAKE = "not-a-real-one"
STEPS = (
    "/bin/sh -c #(nop) ADD file:00ff in / ",
    f"RUN |1 INDEX=ci:{FAKE}@pypi.example /bin/sh -c pip install --index-url https://$INDEX/simple shop # buildkit",
    "COPY .npmrc /root/.npmrc # buildkit",
    "RUN /bin/sh -c npm ci && rm /root/.npmrc # buildkit",
    "ENV DATABASE_URL=postgres://shop:another-fake@db.example/shop",
)
REDACTOR = Redactor([FAKE.encode(), b"another-fake", b"npm-fake-value"])


def digest(number: int) -> str:
    """A digest that is easy to tell apart."""
    return f"sha256:{number:02x}" + f"{number:x}" * 62


def finding(
    number: int = 1,
    *,
    value: str = FAKE,
    step: int | None = 1,
    surface: Surface = Surface.HISTORY,
    path: str | None = None,
    layer: int | None = None,
    state: State = State.LIVE,
    removed: int | None = None,
    **fields: object,
) -> Finding:
    """A gated finding; further *fields* replace those of Finding."""
    created_by = None if step is None else STEPS[step]
    place = None if layer is None else LayerPlace(layer, digest(layer + 1), digest(layer + 33))
    files = ("root/.cache/pip/log.txt",) if step == 1 else ()
    leak = Leak(surface, state, path, created_by, Secret(value.encode()), files=files)
    blob = place.digest if place else digest(9)
    built = Finding(
        id=f"f{number:05}",
        rule_id="url.credentials",
        detector="pattern",
        title="URL with credentials",
        gains="Signs in to the server named in the URL as that user.",
        severity=Severity.HIGH,
        confidence=Confidence.HIGH,
        gated=True,
        secret=SecretSummary("***", len(value), f"fp-{value[:3]}"),
        surface=surface,
        layer=place,
        path=path,
        inside=(),
        line=None,
        offset=100 + number,
        encoding=(),
        state=state,
        removed_by=None if removed is None else RemovedBy(removed, REDACTOR.text(STEPS[removed])),
        instruction=None if created_by is None else Instruction(step, REDACTOR.text(created_by)),
        evidence=(Evidence("url-parse", "ok", "user ci"),),
        proof=Proof(blob, path, 512, 100 + number, len(value), "ab" * 32, f"tail -c +{101 + number} blob | head -c 14"),
        remediation=advise(leak, REDACTOR),
    )
    return replace(built, **fields)


def image(**fields: object) -> ImageSummary:
    """An image of four layers."""
    layers = tuple(
        LayerSummary(
            index,
            digest(index + 1),
            digest(index + 33),
            1000 * (index + 1),
            "application/vnd.oci.image.layer.v1.tar",
            REDACTOR.text(STEPS[index]),
            index,
        )
        for index in range(4)
    )
    built = ImageSummary("shop:1.4", "docker-archive", digest(8), digest(9), "linux/amd64", layers)
    return replace(built, **fields)


def result(
    *findings: Finding, gaps: tuple[Gap, ...] = (), images: tuple[ImageSummary, ...] | None = None
) -> ScanResult:
    """A scan of the image."""
    total = 2_034_176
    coverage = Coverage(total, total - sum(gap.bytes or 0 for gap in gaps), 1234, gaps)
    images = (image(),) if images is None else images
    return ScanResult("shop:1.4", "docker-archive", images, findings, coverage, digest(7), 1.5)


def leaked() -> ScanResult:
    """A build argument in history and config, a file that was deleted, an ENV, and something uncertain."""
    npm = {
        "value": "npm-fake-value",
        "step": 2,
        "rule_id": "npm.token",
        "title": "npm access token",
        "severity": Severity.CRITICAL,
        "gains": "Publishes packages in the name of its owner.",
    }
    proof = Proof(
        digest(3),
        "root/.npmrc",
        1536,
        1571,
        14,
        "cd" * 32,
        "tar -xOf shop.tar blobs/sha256/03333333333333333333333333333333 | gzip -dc | tail -c +1572 | head -c 14",
    )
    return result(
        finding(1),
        finding(2, surface=Surface.CONFIG, path="history[1].created_by"),
        finding(3, surface=Surface.LAYER, layer=1, path="root/.cache/pip/log.txt", line=12),
        finding(
            4, surface=Surface.LAYER, layer=2, path="root/.npmrc", line=1, state=State.DELETED, removed=3,
            proof=proof, secret=SecretSummary("npm_***", 14, "fp-npm"), **npm,
        ),
        finding(5, value="another-fake", step=4, surface=Surface.CONFIG, path="config.Env[1]"),
        finding(
            6, step=3, surface=Surface.LAYER, layer=3, path="app/package-lock.json", line=7, gated=False,
            confidence=Confidence.LOW, title="High entropy base64", rule_id="detect-secrets.Base64HighEntropyString",
        ),
    )  # fmt: skip


def incomplete() -> ScanResult:
    """A scan with a blob that is not there and a layer that is cut."""
    return result(
        gaps=(
            Gap(digest(3), "", "layer.missing", 3000, "the blob is not in the archive"),
            Gap(digest(4), "opt/data.bin", "layer.truncated", None, "the compressed stream ends early"),
        )
    )


def unavailable() -> ScanResult:
    """A scan of an image that could not be opened."""
    gap = Gap("", "", "image.unavailable", None, "The engine has no image shop:1.4 and could not pull it.")
    return ScanResult("shop:1.4", "docker", (), (), Coverage(0, 0, 0, (gap,)), digest(7))


def many() -> ScanResult:
    """Ten thousand findings for information, two hundred gaps, and a step with many secrets."""
    information = [
        finding(
            number, step=0, surface=Surface.LAYER, layer=0, path=f"usr/lib/f{number:05}.py", line=3, gated=False,
            confidence=Confidence.LOW, title=f"High entropy {'hex' if number % 4 else 'base64'}",
        )
        for number in range(10_000)
    ]  # fmt: skip
    secrets = [
        finding(
            20_000 + number, value=f"{number:03}-fake-value", step=2, surface=Surface.LAYER, layer=2,
            path=f"srv/keys/{number:03}", line=1,
        )
        for number in range(30)
    ]  # fmt: skip
    gaps = [Gap(digest(2), f"opt/a{number}.zip", "nested.encrypted", 10, "") for number in range(200)]
    return result(*information, *secrets, gaps=tuple(gaps))


def matches_snapshot(text: str, name: str) -> bool:
    """Whether *text* is the snapshot *name*; with LEAKSCAN_SNAPSHOTS=write it becomes the snapshot."""
    path = SNAPSHOTS / name
    if os.environ.get("LEAKSCAN_SNAPSHOTS") == "write":
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8") == text

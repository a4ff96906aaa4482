"""Keeps what layers gave as a store does, in memory, and reports on images with it."""

from __future__ import annotations

from pathlib import Path

from scanner.image.blob import Blob
from scanner.image.source import open_image
from scanner.limits import Limits
from scanner.report.json import render
from scanner.request import Detection, Options
from scanner.scan import scan
from scanner.secrecy.seal import Seal
from scanner.work.jobs import BlobOutcome
from scanner.work.kept import keepable, sealed_outcome, unpacked
from scanner.work.messages import Form
from tests.builders import BuiltImage, write

KEY = b"k" * 32


class Memory:
    """Keeps outcomes in memory, as bytes; counts what it gives."""

    def __init__(self, key: bytes = KEY) -> None:
        self.seal = Seal(key)
        self.rows: dict[tuple[str, Form], bytes] = {}
        self.given = 0

    def get(self, blob: Blob, form: Form) -> BlobOutcome | None:
        """As `scan.Kept` has it."""
        raw = self.rows.get((blob.name, form))
        found = None if raw is None else unpacked(raw, blob, self.seal)
        self.given += found is not None
        return found

    def put(self, outcome: BlobOutcome, form: Form) -> BlobOutcome:
        """As `scan.Kept` has it."""
        if not keepable(outcome):
            return outcome
        found, self.rows[outcome.blob.name, form] = sealed_outcome(outcome, self.seal)
        return found


def reported(image: BuiltImage, rules: Detection, path: Path, kept: Memory | None = None, show: bool = False) -> str:
    """The report on an image."""
    return report_of(write(path / "image.tar", image.oci_archive()), rules, kept, show)


def report_of(path: Path, rules: Detection, kept: Memory | None = None, show: bool = False) -> str:
    """The report on an image in a file or a directory."""
    opened = open_image(str(path), limits=Limits())
    try:
        return render(scan(opened, rules, Options(Limits(), 1, KEY, show_secrets=show), kept=kept))
    finally:
        opened.close()

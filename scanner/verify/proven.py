"""Which bytes of which blobs the findings of a report are about, and whether they lie there."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from scanner.image.blob import Blob
from scanner.image.model import Image, Layer, OpenedImage
from scanner.layer.expand import PROOF_SUFFIX
from scanner.oci import is_digest
from scanner.prove import identity
from scanner.report.escape import plain
from scanner.surfaces import documents_of
from scanner.verify.claim import Check, Outcome
from scanner.verify.document import Json, entry_of
from scanner.verify.findings import PER_SOURCE
from scanner.work.jobs import BlobOutcome

_HEX = re.compile(r"(?:^|/)([0-9a-f]{64})(?:\.json)?$")
_NUMBERED = re.compile(r"-[0-9]+$")
_Span = tuple[int, int]


class Wanted:
    """Which bytes of which blobs the findings of a report are about."""

    def __init__(
        self, opened: OpenedImage, report: Json, images: Mapping[tuple[str, str], Image | None]
    ) -> None:
        self._images = [image for image in images.values() if image is not None]
        self._only = len(images) == 1
        self._same_source = report["images"][0].get("source") == opened.source
        self._configs = {str(entry.get("platform")): str(entry.get("config_digest")) for entry in report["images"]}
        self._documents: dict[str, Blob] = {}
        for document in documents_of(opened):
            for name in _names(document.blob):
                self._documents.setdefault(name, document.blob)
        self._spans: dict[tuple[int, int, int], set[_Span]] = defaultdict(set)
        for finding in report["findings"]:
            blob, span = self._blob(finding), _span(finding)
            if blob is not None and span is not None:
                self._spans[blob.place].add(span)

    def spans(self, blob: Blob) -> tuple[_Span, ...]:
        """What is asked of a blob."""
        return tuple(sorted(self._spans.get(blob.place, ())))

    def _blob(self, finding: Json) -> Blob | None:
        """The blob that a finding lies in, in this source."""
        layer = finding.get("layer")
        if isinstance(layer, dict):
            found = self._layer(finding, layer)
            return found.blob if found is not None else None
        name = str(entry_of(finding, "proof").get("blob"))
        if finding.get("surface") in ("config", "history"):
            name = self._configs.get(str(finding.get("platform")), "") if finding.get("platform") else name
            if not finding.get("platform") and self._only:
                own = next(iter(self._configs.values()))
                name = own if own in self._documents else name
        return next((self._documents[each] for each in _spellings(name) if each in self._documents), None)

    def _layer(self, finding: Json, named: Json) -> Layer | None:
        platform = finding.get("platform")
        for image in self._images:
            if platform is not None and plain(str(image.platform)) != platform:
                continue
            index = named.get("index")
            if not isinstance(index, int) or not 0 <= index < len(image.layers):
                continue
            layer = image.layers[index]
            same = layer.diff_id == named.get("diff_id") if layer.diff_id else layer.digest == named.get("digest")
            if same:
                return layer
        return None

    def check(self, finding: Json, outcomes: Mapping[tuple[int, int, int], BlobOutcome]) -> Check:
        """Whether the bytes of a finding are where it says."""
        name = plain(str(finding.get("id")))
        span, mac = _span(finding), entry_of(finding, "proof").get("hmac")
        if span is None or not isinstance(mac, str) or not mac.isascii():
            return Check("finding", name, Outcome.DIFFERS, "it has no proof")
        if _NUMBERED.sub("", name.removeprefix("lk-")) != _identity(finding).removeprefix("lk-"):
            return Check("finding", name, Outcome.DIFFERS, "its id does not fit its rule, path and build step")
        blob, layer = self._blob(finding), finding.get("layer")
        if blob is None and isinstance(layer, dict) and self._layer(finding, layer) is not None:
            return Check("finding", name, Outcome.UNREADABLE, "its layer is not here")
        if blob is None:
            if finding.get("surface") == "cache":
                return Check("finding", name, Outcome.UNREADABLE, "its build cache was not given: add --cache-from")
            if finding.get("surface") in PER_SOURCE and not self._same_source:
                return Check("finding", name, Outcome.UNREADABLE, "this source does not hold the document it is in")
            return Check("finding", name, Outcome.DIFFERS, "the image has no such layer or document")
        outcome = outcomes.get(blob.place)
        if outcome is None:
            return _document(name, blob, span, mac)
        if outcome.read is None:
            return Check("finding", name, Outcome.UNREADABLE, "its blob could not be read")
        taken = [proofs[span] for proofs in (outcome.proofs, outcome.stored_proofs) if span in proofs]
        if any(hmac.compare_digest(each, mac) for each in taken):
            return Check("finding", name, Outcome.CONFIRMED)
        if outcome.gaps or outcome.read.gaps or not taken:
            return Check("finding", name, Outcome.UNREADABLE, "its blob could not be read to the end")
        return Check("finding", name, Outcome.DIFFERS, "other bytes lie there")


def _document(name: str, blob: Blob, span: _Span, mac: str) -> Check:
    """A finding in a document that is read whole."""
    try:
        raw = blob.read()
    except OSError:
        return Check("finding", name, Outcome.UNREADABLE, "its document could not be read")
    key = hashlib.sha256(raw + PROOF_SUFFIX).digest()
    taken = hmac.new(key, raw[span[0] : span[0] + span[1]], hashlib.sha256).hexdigest()
    if hmac.compare_digest(taken, mac):
        return Check("finding", name, Outcome.CONFIRMED)
    return Check("finding", name, Outcome.DIFFERS, "other bytes lie there")


def _identity(finding: Json) -> str:
    created_by = entry_of(finding, "instruction").get("created_by")
    encoding, path = finding.get("encoding"), finding.get("path")
    return identity(
        str(finding.get("rule_id")), str(finding.get("surface")), path if isinstance(path, str) else None,
        encoding if isinstance(encoding, list) else (), created_by if isinstance(created_by, str) else None,
    )  # fmt: skip


def _span(finding: Json) -> _Span | None:
    """Offset and length that a proof names, None if they are no such numbers."""
    proof = entry_of(finding, "proof")
    offset, length = proof.get("offset"), proof.get("length")
    if type(offset) is int and type(length) is int and offset >= 0 and length > 0:
        return offset, length
    return None


def _names(blob: Blob) -> Iterator[str]:
    """What a document may be called: as it is stored, and by its digest."""
    yield blob.name
    yield from _spellings(blob.name)
    if is_digest(blob.name):  # whoever reads it compares
        return
    try:
        raw = blob.read() if blob.size <= 1 << 24 else b""
    except OSError:
        return
    finally:
        blob.file.release()
    if raw:
        yield f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _spellings(name: str) -> Iterable[str]:
    """A name, and the digest in it: archives name configs by their digests."""
    found = _HEX.search(name)
    return (name, f"sha256:{found.group(1)}") if found else (name,)

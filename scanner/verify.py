"""Checks a JSON report against an image: the same digests, the same bytes at the same places, the same absence.

The image may come from another source than the report's: layers are known by their diffIDs, documents by the digest of
their bytes, and offsets count in uncompressed bytes, so compression and packing do not matter.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from scanner import __version__
from scanner.claim import Check, Outcome
from scanner.detect.firstpass import FirstPass
from scanner.errors import LeakscanError
from scanner.evidence import ScanResult, Severity, Verdict
from scanner.image.blob import Blob
from scanner.image.model import Image, Layer, OpenedImage
from scanner.layer.expand import PROOF_SUFFIX
from scanner.limits import Limits
from scanner.oci import is_digest
from scanner.prove import identity
from scanner.repeat import compared
from scanner.repeated.findings import PER_SOURCE
from scanner.repeated.terms import Terms
from scanner.report.escape import plain
from scanner.report.json import render
from scanner.scan import blob_jobs, documents_of
from scanner.work.jobs import BlobOutcome
from scanner.work.pool import Pool

_HEX = re.compile(r"(?:^|/)([0-9a-f]{64})(?:\.json)?$")
_NUMBERED = re.compile(r"-[0-9]+$")
_TIP = "Give a file that leakscan --format json wrote."
_Span = tuple[int, int]


def read_report(document: Any) -> Mapping[str, Any]:
    """A report of one scan, its outline checked. Raises LeakscanError."""
    if not isinstance(document, dict) or document.get("schema_version") != "1":
        raise LeakscanError("this is no JSON report of leakscan", _TIP)
    images = document.get("images", [document.get("image")])
    lists = (images, document.get("findings"), document.get("known_secrets", []))
    if not all(isinstance(each, list) and all(isinstance(item, dict) for item in each) for each in lists) or not images:
        raise LeakscanError("this report is not as leakscan writes it", _TIP)
    return {**document, "images": images}


def unrepeatable(report: Mapping[str, Any], rules_digest: str, limits: Limits) -> str:
    """Why the scan that a report is of cannot be repeated here: another version, rules or limits; '' if it can."""
    tool, settings = report.get("tool"), report.get("settings")
    if not isinstance(tool, dict) or tool.get("version") != __version__:
        made = plain(str(tool.get("version"))) if isinstance(tool, dict) else "unknown"
        return f"it was made by leakscan {made}, this is {__version__}; only its proofs were checked"
    if tool.get("rules_digest") != rules_digest:
        return "it was made by other rules (--rules gives yours); only its proofs were checked"
    if not isinstance(settings, dict) or settings.get("fail_on") not in (*Severity, "never"):
        return "it does not say what was asked of the scan; only its proofs were checked"
    if settings.get("limits") != limits.changed():
        return "it was made under other limits (LEAKSCAN_LIMIT_...); only its proofs were checked"
    return ""


def fitting(opened: OpenedImage, report: Mapping[str, Any]) -> OpenedImage:
    """*opened* without images that a report of another kind of source does not tell of: an engine has one platform."""
    if report["images"][0].get("source") == opened.source:
        return opened
    matched = [image for image in (_match(entry, opened.images) for entry in report["images"]) if image is not None]
    return replace(opened, images=tuple(image for image in opened.images if image in matched)) if matched else opened


def terms_of(
    opened: OpenedImage, report: Mapping[str, Any], named: bool, given: Collection[str], dockerfile: bool, caches: int
) -> Terms:
    """Under which terms the scan of a report is repeated.

    Args:
        named: the image was read under the reference that the report has.
        given: ids of the known secrets that were given again.
        dockerfile, caches: whether a Dockerfile, and how many caches, were given.
    """
    settings, first = report["settings"], report["images"][0]
    kind = first.get("source") == opened.source
    pulled = opened.source == "registry" and bool(first.get("manifest_digest"))
    digests = {image.manifest_digest for image in opened.images}
    listed = {str(each.get("part_of", each.get("id"))) for each in report.get("known_secrets", ())}
    return Terms(
        same_source=kind and (named or (pulled and first["manifest_digest"] in digests)),
        same_name=named and kind,
        secrets=listed <= set(given),
        dockerfile=(settings.get("dockerfile") is not None) == dockerfile,
        caches=settings.get("caches") == caches,
    )


def reference_of(report: Mapping[str, Any]) -> str:
    """The image that a report is about, as the user named it then; '' if it came from standard input."""
    reference = report["images"][0].get("reference")
    return reference if isinstance(reference, str) and reference != "-" else ""


def verify(
    opened: OpenedImage,
    report: Mapping[str, Any],
    limits: Limits,
    jobs: int,
    repeated: ScanResult | None = None,
    progress: Callable[[int], None] = lambda _: None,
    terms: Terms | None = None,
) -> list[Check]:
    """Every claim of *report*, checked against *opened*. Raises OSError if no spool can be made.

    Args:
        report: as `read_report` gives it.
        repeated: what a scan said now: a whole one under *terms*, or one for the known secrets only that were given
            again; None if there was none.
        terms: under which the scan was repeated; None if it could not be.
    """
    images = {_named(entry): _match(entry, opened.images) for entry in report["images"]}
    wanted = _Wanted(opened, report, images)
    # nothing is unpacked: proofs are of stored bytes
    pool = Pool(FirstPass((), b""), replace(limits, nested_depth=0), jobs, progress)
    specs = [replace(job, spans=wanted.spans(job.blob)) for job in blob_jobs(opened, limits)]
    outcomes = {outcome.blob.place: outcome for outcome in pool.run(specs, ())}
    checks = [*consistent(report)]
    for entry in report["images"]:
        checks += _image(entry, images[_named(entry)], outcomes)
    checks += [wanted.check(finding, outcomes) for finding in report["findings"]]
    checks += _known(report, repeated)
    if terms is not None and repeated is not None:
        checks += compared(report, json.loads(render(repeated)), terms)
    return checks


def _named(entry: Mapping[str, Any]) -> tuple[str, str]:
    return str(entry.get("platform")), str(entry.get("config_digest"))


def _match(entry: Mapping[str, Any], images: Sequence[Image]) -> Image | None:
    """The image that an entry of a report is about."""
    listed = [layer for layer in entry.get("layers") or () if isinstance(layer, dict)]
    for image in images:
        if entry.get("config_digest"):
            if image.config_digest == entry["config_digest"]:
                return image
        elif [layer.digest for layer in image.layers] == [layer.get("digest") for layer in listed]:
            return image
    return None


# --- the report by itself, and the images -------------------------------------------------------------------------


def consistent(report: Mapping[str, Any]) -> Iterator[Check]:
    """What a report says twice must agree."""
    findings, coverage = report["findings"], report.get("coverage")
    coverage = coverage if isinstance(coverage, dict) else {}
    size: Mapping[str, Any] = coverage["bytes"] if isinstance(coverage.get("bytes"), dict) else {}
    ids = [finding.get("id") for finding in findings]
    complete = coverage.get("complete") is True
    if complete is not (not coverage.get("gaps") and size.get("total") == size.get("accounted")):
        yield Check("report", "coverage", Outcome.DIFFERS, "it is called complete and has gaps, or neither")
    leaked = any(finding.get("gated") is True for finding in findings)
    verdict = Verdict.LEAKED if leaked else Verdict.CLEAN if complete else Verdict.INCOMPLETE
    if report.get("verdict") != verdict:
        yield Check("report", "verdict", Outcome.DIFFERS, f"its findings and gaps make it {verdict}")
    if len(set(map(str, ids))) != len(ids):
        yield Check("report", "findings", Outcome.DIFFERS, "two findings have one id")
    for secret in report.get("known_secrets", ()):
        sightings = secret.get("sightings")
        sightings = sightings if isinstance(sightings, list) else []
        name, said = plain(str(secret.get("id"))), secret.get("verdict")
        if not set(map(str, sightings)) <= set(map(str, ids)) or bool(sightings) > (said == "present"):
            yield Check("report", name, Outcome.DIFFERS, "its sightings are not among the findings")
        if said == "absent" and not complete:
            yield Check("report", name, Outcome.DIFFERS, "it is called absent although not all was read")


def _image(
    entry: Mapping[str, Any], image: Image | None, outcomes: Mapping[tuple[int, int, int], BlobOutcome]
) -> Iterator[Check]:
    """The digests of config and layers, those of the layers taken again of the bytes."""
    listed = [layer for layer in entry.get("layers") or () if isinstance(layer, dict)]
    name = plain(str(entry.get("config_digest") or entry.get("manifest_digest") or entry.get("platform")))
    if image is None:
        if listed or entry.get("config_digest"):
            yield Check("image", name, Outcome.DIFFERS, "this is another image: none has that config and those layers")
        else:
            yield Check("image", name, Outcome.UNREADABLE, "the report is about an image that could not be opened")
        return
    if [layer.get("diff_id") for layer in listed] != [layer.diff_id for layer in image.layers]:
        yield Check("image", name, Outcome.DIFFERS, "its layers are others than those of the report")
        return
    if entry.get("platform") != plain(str(image.platform)):
        yield Check("image", name, Outcome.DIFFERS, f"its platform is {image.platform}")
    yield Check("image", name, Outcome.CONFIRMED)
    for layer in image.layers:
        yield _layer(layer, outcomes)


def _layer(layer: Layer, outcomes: Mapping[tuple[int, int, int], BlobOutcome]) -> Check:
    name = layer.diff_id or layer.digest or f"layer {layer.index}"
    outcome = outcomes.get(layer.blob.place) if layer.blob else None
    if outcome is None or outcome.read is None or layer.absent:
        return Check("layer", name, Outcome.UNREADABLE, layer.absent or "it could not be read")
    if layer.diff_id and layer.diff_id.startswith("sha256:") and outcome.read.diff_id != layer.diff_id:
        return Check("layer", name, Outcome.DIFFERS, f"its bytes have the digest {outcome.read.diff_id}")
    if layer.digest and layer.digest.startswith("sha256:") and outcome.read.digest != layer.digest:
        return Check("layer", name, Outcome.DIFFERS, f"its stored bytes have the digest {outcome.read.digest}")
    return Check("layer", name, Outcome.CONFIRMED)


# --- findings -----------------------------------------------------------------------------------------------------


class _Wanted:
    """Which bytes of which blobs the findings of a report are about."""

    def __init__(
        self, opened: OpenedImage, report: Mapping[str, Any], images: Mapping[tuple[str, str], Image | None]
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

    def _blob(self, finding: Mapping[str, Any]) -> Blob | None:
        """The blob that a finding lies in, in this source."""
        layer = finding.get("layer")
        if isinstance(layer, dict):
            found = self._layer(finding, layer)
            return found.blob if found is not None else None
        name = str(_proof(finding).get("blob"))
        if finding.get("surface") in ("config", "history"):
            name = self._configs.get(str(finding.get("platform")), "") if finding.get("platform") else name
            if not finding.get("platform") and self._only:
                own = next(iter(self._configs.values()))
                name = own if own in self._documents else name
        return next((self._documents[each] for each in _spellings(name) if each in self._documents), None)

    def _layer(self, finding: Mapping[str, Any], named: Mapping[str, Any]) -> Layer | None:
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

    def check(self, finding: Mapping[str, Any], outcomes: Mapping[tuple[int, int, int], BlobOutcome]) -> Check:
        """Whether the bytes of a finding are where it says."""
        name = plain(str(finding.get("id")))
        span, mac = _span(finding), _proof(finding).get("hmac")
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


def _identity(finding: Mapping[str, Any]) -> str:
    step, encoding, path = finding.get("instruction"), finding.get("encoding"), finding.get("path")
    created_by = step.get("created_by") if isinstance(step, dict) else None
    return identity(
        str(finding.get("rule_id")), str(finding.get("surface")), path if isinstance(path, str) else None,
        encoding if isinstance(encoding, list) else (), created_by if isinstance(created_by, str) else None,
    )  # fmt: skip


def _proof(finding: Mapping[str, Any]) -> Mapping[str, Any]:
    proof = finding.get("proof")
    return proof if isinstance(proof, dict) else {}


def _span(finding: Mapping[str, Any]) -> _Span | None:
    """Offset and length that a proof names, None if they are no such numbers."""
    offset, length = _proof(finding).get("offset"), _proof(finding).get("length")
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


# --- known secrets ------------------------------------------------------------------------------------------------


def _known(report: Mapping[str, Any], repeated: ScanResult | None) -> Iterator[Check]:
    """Each verdict on a known secret, compared with that of a scan for the same secret now."""
    now = {str(entry["id"]): entry for entry in repeated.known_secrets} if repeated else {}
    for secret in report.get("known_secrets", ()):
        name, said, own = plain(str(secret.get("id"))), secret.get("verdict"), now.pop(str(secret.get("id")), None)
        if own is None:
            detail = "its value was not given; --secret repeats the search"
            yield Check("known-secret", name, Outcome.NOT_REPEATED, detail)
        elif own["verdict"] == said:
            yield Check("known-secret", name, Outcome.CONFIRMED, f"{said} again")
        elif own["verdict"] == "unknown":
            yield Check("known-secret", name, Outcome.UNREADABLE, "not all of the image could be read this time")
        else:
            detail = f"the report says {plain(str(said))}, it is {own['verdict']}"
            yield Check("known-secret", name, Outcome.DIFFERS, detail)
    for name, own in now.items():
        detail = f"the report does not tell of it, it is {own['verdict']}"
        yield Check("known-secret", plain(name), Outcome.DIFFERS, detail)

"""What was looked at and what was seen: contents, matches, findings, gaps, coverage.

Frozen values, complete when built. Names and meanings of the report's fields are those of docs/report.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: rule and detector of sightings of a secret that the user gave; its evidence names the secret and the part of it
KNOWN_SECRET = "known-secret"  # noqa: S105


class _Ranked(StrEnum):
    """Words from the worst, or surest, to the least, which has the highest rank."""

    rank: int

    def __init__(self, _word: str) -> None:
        self.rank = len(type(self).__members__)


class Severity(_Ranked):
    """What an attacker gains; rank 0 is the worst."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Confidence(_Ranked):
    """How sure we are that it is a secret; rank 0 is the surest."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


def is_gated(severity: Severity, confidence: Confidence, fail_on: Severity | None) -> bool:
    """Whether what is not suppressed counts: as bad as *fail_on* at least, None for never, and not unsure."""
    return fail_on is not None and severity.rank <= fail_on.rank and confidence is not Confidence.LOW


class Surface(StrEnum):
    """Where in an image bytes can hide."""

    LAYER = "layer"
    CONFIG = "config"
    HISTORY = "history"
    ATTESTATION = "attestation"
    ANNOTATION = "annotation"
    CACHE = "cache"
    BUILDER = "builder"
    METADATA = "metadata"


class State(StrEnum):
    """Whether a file is in the final filesystem."""

    LIVE = "live"
    DELETED = "deleted"
    OVERWRITTEN = "overwritten"
    HIDDEN = "hidden"


class Secret:
    """The bytes of a found value. They show in no repr, log or exception; only `reveal()` gives them."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves. Whoever calls this must not let them reach an output."""
        return self._value

    @property
    def order(self) -> bytes:
        """What secrets are sorted and grouped by; for eyes within the program only."""
        return self._value

    def among(self, values: Collection[bytes]) -> bool:
        """Whether it is one of *values*."""
        return self._value in values

    def __repr__(self) -> str:
        return "Secret(***)"

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One offline check and what it said: crc32, pem-parse, jwt-exp, key-pair, also-seen-by ...

    *detail* never holds the secret; it may name the companion of a pair (key id, user, host).
    """

    check: str
    result: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """A rule matched bytes of one content.

    Attributes:
        rule_id: of the rule pack or `detect-secrets.<plugin>`.
        detector: `pattern`, `detect-secrets`, `entropy` ...
        start, end: span of the secret itself, bytes from the start of the content.
        secret: the bytes of that span, or what they stand for if the detector undid an encoding.
        fixed: how many leading bytes of the secret the rule's shape fixes (`AKIA`: 4); only these are ever shown.
        gains: what the holder can do, for people.
        encoding: what the detector itself undid between the span and *secret*, the outermost first.
        stored: the bytes of the span where they differ from *secret*, else None.
    """

    rule_id: str
    detector: str
    title: str
    severity: Severity
    confidence: Confidence
    start: int
    end: int
    secret: Secret
    evidence: tuple[Evidence, ...] = ()
    fixed: int = 0
    gains: str = ""
    encoding: tuple[str, ...] = ()
    stored: Secret | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes that were not looked at, with the reason.

    Attributes:
        blob: digest or name of the blob, empty if the gap is about the whole image.
        where: member path, JSON path or byte range; redacted like every string from an image.
        reason: a code from docs/coverage.md, such as layer.missing.
        bytes: how many, None if nobody can know.
        detail: a sentence for people.
    """

    blob: str
    where: str
    reason: str
    bytes: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AcceptedGap:
    """A gap that the user's settings accept: it does not count, and stays listed. *accepted*: {by, reason, expires}."""

    gap: Gap
    accepted: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Coverage:
    """The account of one scan; complete only if every byte is accounted for and there is no gap but accepted ones."""

    total: int
    accounted: int
    members: int
    gaps: tuple[Gap, ...] = ()
    accepted: tuple[AcceptedGap, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the scan may be called complete."""
        return not self.gaps and self.total == self.accounted


@dataclass(frozen=True, slots=True)
class Instruction:
    """A build step. *range* is (first, last) history index where only a run of steps is known (buildah)."""

    history_index: int
    created_by: str
    range: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class RemovedBy:
    """The later layer that deleted, overwrote or hid a file."""

    layer_index: int
    created_by: str | None


@dataclass(frozen=True, slots=True)
class LayerPlace:
    """Which layer a finding lies in."""

    index: int
    digest: str | None
    diff_id: str | None


@dataclass(frozen=True, slots=True)
class Proof:
    """How anybody who holds the blob can check a finding.

    Attributes:
        blob: digest or name of the blob.
        member: member path as stored (redacted), None outside tar members.
        member_offset: offset of the member's data in the uncompressed blob.
        offset: offset of the secret's stored bytes in the uncompressed blob.
        length: of the stored bytes.
        hmac: HMAC-SHA-256 of the stored bytes under SHA-256(uncompressed blob + b"leakscan proof v1"), hex.
        command: shows the bytes with standard tools.
    """

    blob: str
    member: str | None
    member_offset: int | None
    offset: int
    length: int
    hmac: str
    command: str


@dataclass(frozen=True, slots=True)
class Remediation:
    """What to do about a finding.

    Attributes:
        summary: how the secret came to be in the image.
        steps: in their order.
        dockerfile: the rewritten instruction, if one is known.
        diff: the same as a unified diff against the user's Dockerfile, if one was given and the change is known.
            Values are masked in it as everywhere.
        script: a command that makes the change where values are masked in *diff*; it holds none of them.
    """

    summary: str
    steps: tuple[str, ...] = ()
    dockerfile: str | None = None
    diff: str | None = None
    script: str | None = None


@dataclass(frozen=True, slots=True)
class DockerfilePlace:
    """The instruction of the user's Dockerfile that brought a secret in; lines count from 1, *end_line* included."""

    path: str
    line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class SecretSummary:
    """What a report may say about a value: *value* only with --show-secrets."""

    preview: str
    length: int
    fingerprint: str
    value: str | None = None


#: encodings of a part of a text: what is decoded has lines of its own
_OF_A_PART = frozenset(
    ("base64", "base32", "base85", "ascii85", "z85", "uuencode", "hex", "json-string", "url", "html")
)


def line_to_show(line: int | None, encoding: Iterable[str]) -> int | None:
    """A finding's line where a person would find it in the file; None where it counts in what was decoded of a part."""
    return None if _OF_A_PART.intersection(encoding) else line


@dataclass(frozen=True, slots=True)
class Finding:
    """A match with its meaning in this image: one for each secret, place and layer."""

    id: str
    rule_id: str
    detector: str
    title: str
    severity: Severity
    confidence: Confidence
    gated: bool
    secret: SecretSummary
    surface: Surface
    layer: LayerPlace | None
    path: str | None
    inside: tuple[str, ...]
    line: int | None
    offset: int
    encoding: tuple[str, ...]
    state: State
    removed_by: RemovedBy | None
    instruction: Instruction | None
    evidence: tuple[Evidence, ...]
    proof: Proof
    remediation: Remediation
    origin: Mapping[str, object] = field(default_factory=lambda: {"kind": "user"})
    platform: str | None = None
    suppressed: Mapping[str, object] | None = None
    #: what whoever holds the secret can do with it, from the rule; empty if the rule does not say
    gains: str = ""
    #: where the step stands in the Dockerfile that the user gave
    dockerfile: DockerfilePlace | None = None


@dataclass(frozen=True, slots=True)
class IgnoredPlace:
    """What looked like secrets in one content and was judged to be none, for people who ask why.

    Attributes:
        reason: a short code with dashes.
        line, offset: of the first one in the innermost content; None if only their number is known.
        count: how many of this rule and reason are there.
        layer: its index, None outside layers.
    """

    rule_id: str
    reason: str
    surface: Surface
    layer: int | None
    path: str | None
    inside: tuple[str, ...]
    encoding: tuple[str, ...]
    line: int | None
    offset: int | None
    count: int
    platform: str | None = None


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """A layer as a report lists it."""

    index: int
    digest: str | None
    diff_id: str | None
    size: int
    media_type: str
    created_by: str | None
    history_index: int | None


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """An image as a report describes it."""

    reference: str
    source: str
    manifest_digest: str | None
    config_digest: str | None
    platform: str
    layers: tuple[LayerSummary, ...] = ()


class Verdict(StrEnum):
    """The one word of a report."""

    LEAKED = "leaked"
    CLEAN = "clean"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class ScanResult:
    """All that a report is made of. Strings are redacted already; sinks only escape them.

    Attributes:
        images: one for each platform scanned; empty if the image could not be opened.
        rules_digest: names the rule set, so that results of different rules are not compared.
        seconds: wall time of the scan.
        notes: what the source cannot give, such as attestations from an engine, and what the user's files say.
        ignored: what was judged to be no secret; None if nobody asked.
        key_id: names the key of the fingerprints (`secrecy.keys.key_id`); empty if there is none.
        settings: what was asked of the scan and changes what it says (docs/report.md), so that it can be repeated.
    """

    reference: str
    source: str
    images: tuple[ImageSummary, ...]
    findings: tuple[Finding, ...]
    coverage: Coverage
    rules_digest: str
    seconds: float = 0.0
    known_secrets: tuple[Mapping[str, object], ...] = ()
    notes: tuple[str, ...] = ()
    ignored: tuple[IgnoredPlace, ...] | None = None
    key_id: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """Leaked if anything is gated, else incomplete if there is any gap, else clean."""
        if any(finding.gated for finding in self.findings):
            return Verdict.LEAKED
        return Verdict.CLEAN if self.coverage.complete else Verdict.INCOMPLETE

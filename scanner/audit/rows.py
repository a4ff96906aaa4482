"""The images of an audit one by one, with the verdict that the gate of a report makes of their findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from scanner.audit.run import Audit
from scanner.evidence import Confidence, Severity, Verdict, is_gated
from scanner.store.ledger import State

#: builds that are to give the same bytes each time set their clock to the beginning of 1970 or 1980
_EARLIEST = datetime(1980, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """One image of one platform, or a reference of which no image is known (*platform* is None then).

    Attributes:
        repository: with the host in front.
        digest: what the reference points to, empty if that is not known; several platforms have one.
        created: when it was built, ISO 8601 in UTC; empty if nothing tells, or only a clock that was set.
        layers: how many it has, 0 if that is not known.
        stale: the rule set that the verdict is from, if it is another one.
    """

    reference: str
    repository: str
    digest: str
    manifest_digest: str | None
    platform: str | None
    verdict: Verdict
    state: State
    reason: str
    created: str = ""
    layers: int = 0
    findings: list[dict[str, Any]] = field(default_factory=list)
    stale: str = ""

    @property
    def entry(self) -> tuple[str, str]:
        """What is counted: a reference, with its digest, since a list may name one tag with two."""
        return self.reference, self.digest

    @property
    def gated(self) -> list[dict[str, Any]]:
        """The findings that make it leak."""
        return [finding for finding in self.findings if finding["gated"]]


def rows(audits: Iterable[Audit], fail_on: Severity | None) -> Iterator[Row]:
    """Every image of every audit, those of one reference behind each other."""
    for each in audits:
        for known in each.images():
            entry = known.entry
            unsure = entry.state is not State.SCANNED
            repository = f"{each.host}/{entry.repository}" if entry.repository else each.host
            if not known.images:
                yield Row(entry.reference, repository, entry.digest, entry.digest or None, None, Verdict.INCOMPLETE,
                          entry.state, entry.reason, built(known.created))  # fmt: skip
            for image in known.images:
                findings = judged((image,), fail_on)
                leaked = any(finding["gated"] for finding in findings)
                verdict = Verdict.LEAKED if leaked else Verdict.INCOMPLETE if unsure else Verdict.CLEAN
                yield Row(entry.reference, repository, entry.digest, image["manifest_digest"], image["platform"],
                          verdict, entry.state, entry.reason, built(known.created), layers_known(image),
                          findings, known.stale)  # fmt: skip


def gated(finding: Mapping[str, Any], fail_on: Severity | None) -> bool:
    """Whether a finding as a report has it makes its image leak, with that gate."""
    severity, confidence = Severity(finding["severity"]), Confidence(finding["confidence"])
    return finding["suppressed"] is None and is_gated(severity, confidence, fail_on)


def judged(images: Iterable[Mapping[str, Any]], fail_on: Severity | None) -> list[dict[str, Any]]:
    """The findings of stored images, with that gate in place of the one that they were stored with."""
    return [{**finding, "gated": gated(finding, fail_on)} for image in images for finding in image["findings"]]


def layers_known(image: Mapping[str, Any]) -> int:
    """How many layers the ledger names for an image, or counts."""
    found = image.get("layers", 0)
    return found if isinstance(found, int) else len(found)


def built(created: str) -> str:
    """A time of the ledger, if it is one at which an image can have been built."""
    try:
        time = datetime.fromisoformat(created).astimezone(UTC)
    except (ValueError, OverflowError):
        return ""
    return created if _EARLIEST <= time <= datetime.now(UTC) + timedelta(days=1) else ""


def counts(audits: Iterable[Audit]) -> dict[str, int]:
    """References by what came of them; together they are all that the registry listed."""
    found = Counter(entry.state for each in audits for entry in each.entries)
    return {state.value: found[state] for state in State}

"""Counts what detectors saw but did not report, with the reason. Nothing is dropped without a count here."""

from __future__ import annotations

from collections import Counter


class Tally:
    """How many sightings were set aside, for each rule and reason. Passed to `detectors`, read after a scan."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, rule_id: str, reason: str, count: int = 1) -> None:
        """Count *count* sightings of *rule_id* set aside for *reason*."""
        self._counts[rule_id, reason] += count

    def take(self) -> list[tuple[tuple[str, str], int]]:
        """All counts as ((rule id, reason), count), which start again at zero."""
        taken = sorted(self._counts.items())
        self._counts.clear()
        return taken

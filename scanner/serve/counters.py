"""Numbers of the service, and how Prometheus reads them (text format 0.0.4)."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_Labels = tuple[tuple[str, str], ...]


class Counters:
    """Counts and times, by name and labels. Label values are words of ours, never of a request."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[_Labels, float]] = defaultdict(lambda: defaultdict(float))
        self._times: dict[str, dict[_Labels, list[float]]] = defaultdict(dict)
        self._lock = threading.Lock()

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Count something."""
        with self._lock:
            self._counts[name][tuple(sorted(labels.items()))] += amount

    def took(self, name: str, seconds: float, **labels: str) -> None:
        """Note how long something took."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            found = self._times[name].get(key)
            if found is None:
                found = self._times[name][key] = [0.0] * (len(_BUCKETS) + 2)
            for number, bound in enumerate(_BUCKETS):
                if seconds <= bound:
                    found[number] += 1
                    break
            found[-2] += 1
            found[-1] += seconds

    def value(self, name: str, **labels: str) -> float:
        """A count."""
        with self._lock:
            return self._counts[name][tuple(sorted(labels.items()))] if name in self._counts else 0.0

    def lines(self) -> Iterable[str]:
        """All of them, as Prometheus reads them."""
        with self._lock:
            for name in sorted(self._counts):
                yield f"# TYPE {name} counter"
                for labels, amount in sorted(self._counts[name].items()):
                    yield sample(name, dict(labels), amount)
            for name in sorted(self._times):
                yield f"# TYPE {name} histogram"
                for labels, numbers in sorted(self._times[name].items()):
                    total = 0.0
                    for bound, number in zip(_BUCKETS, numbers, strict=False):
                        total += number
                        yield sample(f"{name}_bucket", {**dict(labels), "le": f"{bound:g}"}, total)
                    yield sample(f"{name}_bucket", {**dict(labels), "le": "+Inf"}, numbers[-2])
                    yield sample(f"{name}_count", dict(labels), numbers[-2])
                    yield sample(f"{name}_sum", dict(labels), numbers[-1])


def sample(name: str, labels: dict[str, str], value: float) -> str:
    """One line. The number is exact: a rounded counter stands still for a while, and then jumps."""
    number = str(value).removesuffix(".0")
    inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in sorted(labels.items()))
    return f"{name}{{{inner}}} {number}" if inner else f"{name} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

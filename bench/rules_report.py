"""What each rule costs the first pass and how often it fires: python -m bench.rules_report [IMAGE.tar | DIRECTORY].

Without a sample Python's own library is one. A rule's time is that of a pass with its triggers alone; the sum is more
than all of them take together, as the passes share their work.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scanner.detect import patterns, plugins, rulepack
from scanner.detect.base import Detector, Group
from scanner.detect.firstpass import triggers_of
from scanner.detect.patterns import PatternDetector
from scanner.detect.published import Unpublished
from scanner.rulecost import BLOCK, blocks, measure, stock


def sample_of(path: Path, limit: int) -> list[bytes]:
    """Blocks of a file, such as an image's archive, or of the files of a directory; *limit* bytes spread over it."""
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.is_file() and not file.is_symlink()]
        return list(blocks(files, limit, share=limit // 8))
    size = path.stat().st_size
    step = max(size // max(limit // BLOCK, 1), BLOCK)
    with open(path, "rb") as file:
        found = []
        for at in range(0, size, step):
            file.seek(at)
            found.append(file.read(BLOCK))
    return found


def name_of(detector: Detector) -> str:
    """The rule id, or what kind of detector it is."""
    if isinstance(detector, Unpublished):
        return name_of(detector.detector)
    if isinstance(detector, PatternDetector):
        return detector.rule.id
    kind = getattr(detector, "kind", None)
    return f"{type(detector).__name__}{f' {kind.name}' if kind is not None else ''}"


def main() -> None:
    """Measure and print the table, the dearest first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sample", nargs="?", type=Path)
    parser.add_argument("--bytes", type=int, default=64 << 20, help="of the sample, spread over it")
    parser.add_argument("--rows", type=int, default=40)
    chosen = parser.parse_args()
    contents = sample_of(chosen.sample, chosen.bytes) if chosen.sample else stock()
    detectors = [*patterns.detectors(rulepack.load()), *plugins.detectors()]
    triggers = triggers_of(detectors)
    # the others run over what could be settings only
    whole = measure([trigger for trigger in triggers if trigger.group is not Group.SETTINGS], contents)
    print(f"{whole.sample / 1e6:.0f} MB, {len(detectors)} detectors together: {whole.speed:.0f} MB/s, "
          f"{whole.hits:.0f} triggers fire in a MB, {whole.database / 1e6:.1f} MB compiled")  # fmt: skip
    rows = sorted(((measure(each.triggers, contents), name_of(each)) for each in detectors),
                  key=lambda row: -row[0].seconds)  # fmt: skip
    print(f"{'detector':<44} {'share':>7} {'MB/s':>8} {'fires/MB':>10} {'kB':>8}")
    for cost, name in rows[: chosen.rows]:
        print(f"{name:<44} {100 * cost.seconds / whole.seconds:6.1f}% {cost.speed:8.0f} {cost.hits:10.2f} "
              f"{cost.database / 1e3:8.1f}")  # fmt: skip
    print("never fired: " + ", ".join(sorted(name for cost, name in rows if not cost.fired)))


if __name__ == "__main__":
    main()

"""Measures the detectors of detect-secrets behind the first pass, and detect-secrets itself, on a directory.

    python -m bench.plugins DIRECTORY [--plain]

Prints MB per second of CPU time for the first pass with only these triggers, for the confirms after it, and with
--plain for detect-secrets' plugins line by line (which takes minutes for every 10 MB); then both must have found the
same (plugin, line) pairs in every file that is UTF-8. Exit code 1 if they did not.
"""

from __future__ import annotations

import argparse
import mmap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanner.detect.base import Trigger
from scanner.detect.compiled import database
from scanner.detect.firstpass import FirstPass, triggers_of
from scanner.detect.plugins import detectors
from scanner.detect.plugins.entropy import EntropyDetector
from scanner.detect.plugins.keyword import KeywordDetector
from scanner.detect.plugins.tally import Tally
from scanner.detect.plugins.tokens import TokenDetector
from scanner.evidence import Match

_KEYWORD = "Secret Keyword"
_ENTROPY = ("Base64 High Entropy String", "Hex High Entropy String")
_Pairs = set[tuple[str, int]]


def files(root: Path) -> Iterator[tuple[Path, memoryview]]:
    """Every regular file under *root* that is not empty, mapped."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size:
            with path.open("rb") as file:
                yield path, memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))


def measure(root: Path) -> None:
    """Print speed, findings and what was set aside."""
    tally = Tally()
    ours = detectors(tally)
    serialized = database(triggers_of(ours), None)
    silent = FirstPass([Deaf(one.triggers) for one in ours], serialized)
    first_pass = FirstPass(ours, serialized)
    size, found, seconds = 0, Counter[str](), [0.0, 0.0]
    for path, data in files(root):
        size += len(data)
        started = time.process_time()
        silent.matches(data, str(path))
        between = time.process_time()
        matches = first_pass.matches(data, str(path))
        seconds[0] += between - started
        seconds[1] += time.process_time() - between
        found.update(f"{match.rule_id} {match.confidence}" for match in matches)
    megabytes = size / 1e6
    print(f"{megabytes:.1f} MB; first pass {seconds[0]:.2f} s, {megabytes / seconds[0]:.0f} MB/s")
    print(f"with confirms {seconds[1]:.2f} s, {megabytes / seconds[1]:.0f} MB/s")
    for name, count in sorted(found.items()):
        print(f"  found {count:7} {name}")
    for (rule, reason), count in tally.take():
        print(f"  aside {count:7} {rule} {reason}")


@dataclass(frozen=True, slots=True)
class Deaf:
    """A detector's triggers without its confirm."""

    triggers: Sequence[Trigger]

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """Nothing."""
        del data, ends, path
        return iter(())


@dataclass(frozen=True, slots=True)
class Watched:
    """A detector whose sightings are kept, before any judgement, instead of matches: offset and plugin."""

    detector: TokenDetector | EntropyDetector | KeywordDetector
    kept: list[tuple[int, str]]

    @property
    def triggers(self) -> Sequence[Trigger]:
        """Those of the detector."""
        return self.detector.triggers

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """Nothing; what is seen in the lines as they stand goes to *kept*."""
        for sighting in self.detector.sightings(data, ends, path):
            if isinstance(self.detector, TokenDetector):
                name = self.detector.kind.secret_type
            else:
                name = _ENTROPY[sighting.expression] if isinstance(self.detector, EntropyDetector) else _KEYWORD
            if not sighting.rewritten:
                self.kept.append((sighting.start, name))
        return iter(())


def numbered(data: bytes, offsets: list[tuple[int, str]]) -> Iterator[tuple[str, int]]:
    """Line numbers of ascending offsets; CR, LF and CR LF end lines."""
    number, at = 1, 0
    for offset, name in offsets:
        number += data[at:offset].replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n")
        at = offset
        yield name, number


def compare(root: Path) -> bool:
    """Run detect-secrets plainly over every UTF-8 file; print its speed and whether both found the same."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    classes: dict[str, Any] = dict(get_mapping_from_secret_type_to_class())
    plugins = {name: plugin() for name, plugin in classes.items()}
    kept: list[tuple[int, str]] = []
    kinds = (TokenDetector, EntropyDetector, KeywordDetector)
    ours = [Watched(one, kept) for one in detectors() if isinstance(one, kinds)]
    first_pass = FirstPass(ours, database(triggers_of(ours), None))
    size = lines = count = 0
    seconds, different, pairs = 0.0, 0, Counter[str]()
    for path, data in files(root):
        try:
            text = bytes(data).decode("utf-8")
        except UnicodeDecodeError:
            continue
        started = time.process_time()
        theirs: _Pairs = set()
        for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
            stripped = line.rstrip()
            for name, plugin in plugins.items():
                if plugin.analyze_line(filename=str(path), line=stripped, line_number=number):
                    theirs.add((name, number))
            lines += 1
        seconds += time.process_time() - started
        size, count = size + len(data), count + 1
        pairs.update(name for name, _ in theirs)
        first_pass.matches(data, str(path))
        mine = set(numbered(bytes(data), sorted(kept)))
        kept.clear()
        if mine != theirs:
            different += 1
            print(f"  DIFFERENT {path}: missing {sorted(theirs - mine)[:3]}, more {sorted(mine - theirs)[:3]}")
    print(f"detect-secrets plainly: {size / 1e6:.1f} MB in {seconds:.1f} s, {size / 1e6 / seconds:.2f} MB/s")
    print(f"compared {count} files, {lines} lines, {sum(pairs.values())} pairs; {different} files differ")
    print("  " + ", ".join(f"{name} {number}" for name, number in sorted(pairs.items())))
    return not different


def main() -> int:
    """Run what the command line asks for; 1 if the comparison failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--plain", action="store_true", help="run detect-secrets, too, and compare")
    arguments = parser.parse_args()
    measure(arguments.directory)
    return 0 if not arguments.plain or compare(arguments.directory) else 1


if __name__ == "__main__":
    raise SystemExit(main())

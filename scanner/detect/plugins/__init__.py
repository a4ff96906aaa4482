"""The detectors of detect-secrets as ours: its expressions behind the shared first pass, with spans of our own.

detect-secrets looks at one line at a time, each plugin by itself. Here a trigger of the first pass says which lines
can matter, and the plugin's own expression, translated for a linear engine, says what is there. What every plugin
finds is what it finds when it is run plainly, with three differences: binary files are not skipped, a value is the
secret itself (not the prefix that a plugin's group happens to hold), and a line may give several assigned values.
"""

from __future__ import annotations

from scanner.detect.base import Detector
from scanner.detect.plugins.catalogue import KINDS
from scanner.detect.plugins.entropy import EntropyDetector
from scanner.detect.plugins.judge import Judge
from scanner.detect.plugins.keyword import KeywordDetector
from scanner.detect.plugins.library import Library
from scanner.detect.plugins.settings import DEFAULTS, KEYWORD, Excluding, PluginSettings
from scanner.detect.plugins.tally import Tally
from scanner.detect.plugins.tokens import TokenDetector


def detectors(tally: Tally | None = None, settings: PluginSettings = DEFAULTS) -> tuple[Detector, ...]:
    """All detectors that *settings* let run, always in the same order. What they set aside is counted in *tally*."""
    library, counts = Library(settings.limit), tally if tally is not None else Tally()
    judge = Judge(library)
    chosen: list[Detector] = [
        TokenDetector(kind, library, judge, counts) for kind in KINDS if settings.runs(kind.name)
    ]
    chosen.append(EntropyDetector(library, judge, counts))
    if settings.runs(KEYWORD):
        chosen.append(KeywordDetector(library, judge, counts))
    return tuple(Excluding(each, settings, counts) if settings.excludes else each for each in chosen)

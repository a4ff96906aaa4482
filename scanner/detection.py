"""Puts the detectors together: the rule pack, detect-secrets' plugins, what encoded text is told by, and the compiled
first pass of them all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from scanner.content.signals import known_signals, signals
from scanner.detect import patterns, plugins, rulepack
from scanner.detect.base import Detector
from scanner.detect.firstpass import DatabaseCache, compile_database, database, triggers_of
from scanner.detect.known.parts import Known, detectors_of
from scanner.detect.known.search import segments
from scanner.keys import cache_directory
from scanner.scan import Detection


def load(environment: Mapping[str, str], known: Sequence[Known] = ()) -> Detection:
    """All detectors, ready to scan. What finds *known* secrets is compiled here and now, and kept nowhere.

    Raises RulePackError.
    """
    pack = rulepack.load()
    detectors: tuple[Detector, ...] = (*patterns.detectors(pack), *plugins.detectors(), *signals(pack))
    triggers = triggers_of(detectors)
    digest = hashlib.sha256(pack.digest.encode())
    for trigger in triggers:
        digest.update(trigger.expression + b"\0")
    compiled = database(triggers, DatabaseCache(cache_directory(environment)))
    return with_known(Detection(detectors, compiled, f"sha256:{digest.hexdigest()}"), known)


def known_only(known: Sequence[Known]) -> Detection:
    """A detection that finds nothing but *known* secrets, wherever `load` would. Raises RulePackError."""
    detectors: tuple[Detector, ...] = signals(rulepack.load())
    return with_known(Detection(detectors, compile_database(triggers_of(detectors)), ""), known)


def with_known(detection: Detection, known: Sequence[Known]) -> Detection:
    """A detection that finds *known* secrets as well. Raises RulePackError."""
    own = detectors_of(known)
    if not own:
        return Detection(detection.detectors, detection.database, detection.rules_digest, tuple(known))
    further: tuple[Detector, ...] = (*own, *known_signals(*segments(own)))
    compiled = compile_database(triggers_of(further), len(triggers_of(detection.detectors)))
    return Detection(
        (*detection.detectors, *further), detection.database + compiled, detection.rules_digest, tuple(known)
    )

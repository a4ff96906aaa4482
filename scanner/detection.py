"""Puts the detectors together: the rule pack, detect-secrets' plugins, what encoded text is told by, and the compiled
first pass of them all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from scanner.content.signals import signals
from scanner.detect import patterns, plugins, rulepack
from scanner.detect.base import Detector
from scanner.detect.firstpass import DatabaseCache, database, triggers_of
from scanner.detect.published import Unpublished
from scanner.keys import cache_directory
from scanner.scan import Detection


def load(environment: Mapping[str, str]) -> Detection:
    """All detectors, ready to scan. Raises RulePackError."""
    pack = rulepack.load()
    known = dict(pack.known)
    borrowed = (Unpublished(plugin, known) for plugin in plugins.detectors())
    detectors: tuple[Detector, ...] = (*patterns.detectors(pack), *borrowed, *signals(pack))
    triggers = triggers_of(detectors)
    digest = hashlib.sha256(pack.digest.encode())
    for trigger in triggers:
        digest.update(trigger.expression + b"\0")
    compiled = database(triggers, DatabaseCache(cache_directory(environment)))
    return Detection(detectors, compiled, f"sha256:{digest.hexdigest()}")

"""Puts the detectors together: the rule pack, detect-secrets' plugins, what encoded text is told by, and the compiled
first pass of them all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from scanner.content.signals import signals
from scanner.detect import patterns, plugins, rulepack, userrules
from scanner.detect.base import Detector
from scanner.detect.firstpass import DatabaseCache, database, triggers_of
from scanner.detect.foreign import ForeignDetector
from scanner.detect.published import Unpublished
from scanner.detect.userrules import UserRules
from scanner.keys import cache_directory
from scanner.scan import Detection


def load(environment: Mapping[str, str], own: UserRules = userrules.NONE) -> Detection:
    """All detectors, ready to scan, with those of the user's *own*. Raises RulePackError."""
    pack = rulepack.load(own.packs)
    known = dict(pack.known)
    borrowed = (Unpublished(plugin, known) for plugin in plugins.detectors(settings=own.plugins))
    detectors: tuple[Detector, ...] = (
        *patterns.detectors(pack), *borrowed, *map(ForeignDetector, own.foreign),
        *signals(pack, [rule.pattern for rule in own.foreign]),
    )  # fmt: skip
    triggers = triggers_of(detectors)
    digest = hashlib.sha256(f"{pack.digest}{own.digest}".encode())
    for trigger in triggers:
        digest.update(trigger.expression + b"\0")
    compiled = database(triggers, DatabaseCache(cache_directory(environment)))
    return Detection(detectors, compiled, f"sha256:{digest.hexdigest()}")

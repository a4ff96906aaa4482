"""Puts the detectors together: the rule pack, detect-secrets' plugins, what encoded text is told by, and the compiled
first pass of them all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from scanner.content.signals import known_signals, signals
from scanner.detect import patterns, plugins, rulepack, userrules
from scanner.detect.base import Detector
from scanner.detect.firstpass import DatabaseCache, FirstPass, compile_database, database, triggers_of
from scanner.detect.foreign import ForeignDetector
from scanner.detect.known.parts import Known, detectors_of
from scanner.detect.known.search import segments
from scanner.detect.published import Unpublished
from scanner.detect.userrules import UserRules
from scanner.directories import cache_directory
from scanner.request import Detection


def load(
    environment: Mapping[str, str], own: UserRules = userrules.NONE, secrets: Sequence[Known] = ()
) -> Detection:
    """All detectors, ready to scan, with those of the user's *own*.

    What finds *secrets* that the user gave is compiled here and now, and kept nowhere. Raises RulePackError.
    """
    pack = rulepack.load(own.packs)
    known = dict(pack.known)
    borrowed = (Unpublished(plugin, known) for plugin in plugins.detectors(settings=own.plugins))
    detectors: tuple[Detector, ...] = (
        *patterns.detectors(pack), *borrowed, *map(ForeignDetector, own.foreign),
        *signals(pack, [rule.pattern for rule in own.foreign]),
    )  # fmt: skip
    triggers = triggers_of(detectors)
    digest = hashlib.sha256(f"{pack.digest}{own.digest}".encode())
    digest.update(b"\0".join(trigger.expression for trigger in triggers))
    first_pass = FirstPass(detectors, database(triggers, DatabaseCache(cache_directory(environment))))
    return with_known(Detection(first_pass, f"sha256:{digest.hexdigest()}"), secrets)


def known_only(known: Sequence[Known]) -> Detection:
    """A detection that finds nothing but *known* secrets, wherever `load` would. Raises RulePackError."""
    detectors: tuple[Detector, ...] = signals(rulepack.load())
    return with_known(Detection(FirstPass(detectors, compile_database(triggers_of(detectors))), ""), known)


def with_known(detection: Detection, known: Sequence[Known]) -> Detection:
    """A detection that finds *known* secrets as well. Raises RulePackError."""
    own = detectors_of(known)
    first_pass = detection.first_pass
    if own:
        further: tuple[Detector, ...] = (*own, *known_signals(*segments(own)))
        compiled = compile_database(triggers_of(further), len(triggers_of(first_pass.detectors)))
        first_pass = FirstPass(further, compiled, base=first_pass)
    return Detection(first_pass, detection.rules_digest, tuple(known))

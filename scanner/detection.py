"""Puts the detectors together: the rule pack, detect-secrets' plugins, what encoded text is told by, and the compiled
first pass of them all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from scanner.cache import program
from scanner.content.signals import known_signals, signals
from scanner.detect import patterns, plugins, rulepack, userrules
from scanner.detect.base import Detector
from scanner.detect.compiled import CompiledRules, Prepared, database
from scanner.detect.firstpass import FirstPass, compile_database, triggers_of
from scanner.detect.foreign import ForeignDetector
from scanner.detect.known.parts import Known, detectors_of
from scanner.detect.known.search import segments
from scanner.detect.published import Unpublished
from scanner.detect.rulepack import Documents, RulePack
from scanner.detect.userrules import UserRules
from scanner.directories import cache_directory
from scanner.request import Detection


def load(
    environment: Mapping[str, str], own: UserRules = userrules.NONE, secrets: Sequence[Known] = ()
) -> Detection:
    """All detectors, ready to scan, with those of the user's *own*.

    What finds *secrets* that the user gave is compiled here and now, and kept nowhere. Raises RulePackError.
    """
    kept, made_by = CompiledRules(cache_directory(environment)), _program()
    return with_known(_prepared(kept, made_by, own) or _made(kept, made_by, own), secrets)


def _prepared(kept: CompiledRules, made_by: str, own: UserRules) -> Detection | None:
    """What an earlier run worked out, if it is there and sound."""
    prepared = kept.prepared(made_by, own.digest) if made_by else None
    if prepared is None:
        return None
    _, detectors = _detectors(own, prepared.documents)
    try:
        return Detection(FirstPass(detectors, prepared.databases, owned=prepared.owned), prepared.digest)
    except ValueError:  # damaged databases
        return None


def _made(kept: CompiledRules, made_by: str, own: UserRules) -> Detection:
    pack, detectors = _detectors(own)
    triggers = triggers_of(detectors)
    digest = hashlib.sha256(f"{pack.digest}{own.digest}".encode())
    digest.update(b"\0".join(trigger.expression for trigger in triggers))
    databases, name = database(triggers, kept), f"sha256:{digest.hexdigest()}"
    first_pass = FirstPass(detectors, databases)
    if made_by:
        built_in = pack.documents[: len(pack.documents) - len(own.packs)]
        kept.prepare(made_by, own.digest, triggers, Prepared(built_in, name, first_pass.owned, databases))
    return Detection(first_pass, name)


def _detectors(own: UserRules, parsed: Documents | None = None) -> tuple[RulePack, tuple[Detector, ...]]:
    pack = rulepack.load(own.packs, parsed)
    known = dict(pack.known)
    borrowed = (Unpublished(plugin, known) for plugin in plugins.detectors(settings=own.plugins))
    return pack, (
        *patterns.detectors(pack), *borrowed, *map(ForeignDetector, own.foreign),
        *signals(pack, [rule.pattern for rule in own.foreign]),
    )  # fmt: skip


def _program() -> str:
    """Names what makes detectors of rules; empty if that cannot be told."""
    try:
        return program.digest()
    except OSError:  # its own files cannot be read
        return ""


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
        compiled = compile_database(triggers_of(further), sum(each.triggers for each in first_pass.owned))
        first_pass = FirstPass(further, compiled, base=first_pass)
    return Detection(first_pass, detection.rules_digest, tuple(known))

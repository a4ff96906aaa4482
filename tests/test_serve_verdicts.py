"""One function answers for an image: from the store, by the rules of now, and never better than what is known."""

from __future__ import annotations

import asyncio
import json
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from scanner.evidence import Severity
from scanner.serve.settings import ServeSettings
from scanner.serve.verdicts import Verdicts
from scanner.serve.words import Effect, Policy, Standing, Verdict
from scanner.store.database import Store, open_store
from scanner.store.ledger import State
from tests.serving import RULES, digest_of, finding, image, recorded, service_on


@pytest.fixture
def verdicts(store: Store) -> Verdicts:
    """Answers that remember nothing."""
    return Verdicts(store, RULES, ServeSettings(cache_seconds=-1.0))


def test_an_image_that_nobody_scanned(verdicts: Verdicts) -> None:
    """It is unknown, and due."""
    found = verdicts.of(digest_of("a"))

    assert found.standing is Standing.UNKNOWN and found.due and not found.findings


def test_a_clean_image(store: Store, verdicts: Verdicts) -> None:
    """It was read whole, and nothing gated was found; what is no more than a hint is told."""
    digest = recorded(store, "a", image("a", finding(confidence="low", gated=False)), tags=["1", "latest"])

    found = verdicts.of(digest)

    assert found.standing is Standing.CLEAN and not found.due and not found.stale
    assert len(found.findings) == 1 and found.leaks == ()
    assert found.tags == ("registry.example/team/app:1", "registry.example/team/app:latest")


def test_a_leaking_image(store: Store, verdicts: Verdicts) -> None:
    """It leaks, with or without gaps."""
    whole = recorded(store, "a", image("a", finding()))
    part = recorded(store, "b", image("b", finding()), state=State.INCOMPLETE, reason="limit.time (2), blob.missing")

    assert verdicts.of(whole).standing is verdicts.of(part).standing is Standing.LEAKED
    assert verdicts.of(part).gaps == ("limit.time (2)", "blob.missing") and len(verdicts.of(part).leaks) == 1


@pytest.mark.parametrize("state", [State.INCOMPLETE, State.FAILED])
def test_an_image_that_was_not_read_whole(store: Store, verdicts: Verdicts, state: State) -> None:
    """It is incomplete, with the reason, whether something was read or nothing."""
    digest = recorded(store, "a", image("a"), state=state, reason="nested.damaged")

    found = verdicts.of(digest)

    assert found.standing is Standing.INCOMPLETE and found.gaps == ("nested.damaged",) and not found.due


def test_an_incomplete_image_is_due_again(store: Store, verdicts: Verdicts) -> None:
    """If another try may better it, after a while and not at once."""
    digest = recorded(store, "a", image("a"), state=State.INCOMPLETE, final=False, reason="registry.timeout")
    at_once = verdicts.of(digest).due
    before = (datetime.now(UTC) - timedelta(seconds=601)).isoformat(timespec="seconds")
    with store.begin() as connection:
        connection.execute(text("update results set scanned = :before"), {"before": before})

    assert not at_once and verdicts.of(digest).due


def test_the_gate_is_the_service_s(store: Store) -> None:
    """What a finding must reach is asked of the service, not of the scan."""
    digest = recorded(store, "a", image("a", finding(severity="medium")))

    def standing(fail_on: Severity | None) -> Standing:
        return Verdicts(store, RULES, ServeSettings(fail_on=fail_on)).of(digest).standing

    assert standing(Severity.MEDIUM) is Standing.LEAKED
    assert standing(Severity.HIGH) is standing(None) is Standing.CLEAN


def test_an_image_that_other_rules_judged(store: Store, verdicts: Verdicts) -> None:
    """Their verdict stands until the rules of now have one; it is stale, and due."""
    digest = recorded(store, "a", image("a", finding()), rules="old")
    stale = verdicts.of(digest)
    recorded(store, "a", state=State.FAILED, final=False, reason="it is gone")
    failed = verdicts.of(digest)
    recorded(store, "a", image("a"))
    fresh = verdicts.of(digest)

    assert stale.standing is failed.standing is Standing.LEAKED
    assert stale.stale and stale.due and stale.rule_set == "old" and failed.stale
    assert fresh.standing is Standing.CLEAN and not fresh.stale and fresh.rule_set == RULES


def test_a_manifest_of_an_index(store: Store, verdicts: Verdicts) -> None:
    """It was read with its index: its own findings count, and what belongs to no platform."""
    own = finding(1, platform="linux/arm64")
    index = recorded(store, "index", image("amd"), image("arm", own, platform="linux/arm64"), tags=["1"])

    assert verdicts.of(index).standing is Standing.LEAKED
    assert verdicts.of(digest_of("arm")).standing is Standing.LEAKED
    clean = verdicts.of(digest_of("amd"))
    assert clean.standing is Standing.CLEAN and clean.tags == ("registry.example/team/app:1",)
    assert verdicts.of(digest_of("another")).standing is Standing.UNKNOWN

    recorded(store, "index", image("amd", finding(2, platform=None)), image("arm", platform="linux/arm64"))
    assert verdicts.of(digest_of("arm")).standing is Standing.LEAKED


def test_a_manifest_that_was_read_by_itself_too(store: Store, verdicts: Verdicts) -> None:
    """What is known of itself counts before what is known of its index; the rules of now before others."""
    recorded(store, "index", image("amd", finding()), rules="old")
    recorded(store, "amd", image("amd"))

    assert verdicts.of(digest_of("amd")).standing is Standing.CLEAN
    assert verdicts.of(digest_of("index")).standing is Standing.LEAKED


def test_an_index_of_an_index_that_failed(store: Store, verdicts: Verdicts) -> None:
    """A failure is no verdict on what another index that has the manifest was read with."""
    recorded(store, "one", image("amd"))
    recorded(store, "two", image("amd"), state=State.INCOMPLETE, reason="limit.time")

    assert verdicts.of(digest_of("amd")).standing is Standing.CLEAN


def test_answers_are_remembered_for_a_moment(store: Store) -> None:
    """Until that is over, or something was written by this service; few at a time."""
    now = 0.0
    verdicts = Verdicts(store, RULES, ServeSettings(cache_seconds=2.0, cache_weight=3), lambda: now)
    digest = recorded(store, "a", image("a"))
    first = verdicts.of(digest)
    recorded(store, "a", image("a", finding()))
    remembered = verdicts.of(digest)
    now = 2.1
    later = verdicts.of(digest)

    assert first is remembered and later.standing is Standing.LEAKED
    verdicts.forget()
    assert verdicts.cached(digest) is None
    for word in "bcdefgh":
        verdicts.of(digest_of(word))
    assert sum(verdicts.cached(digest_of(word)) is not None for word in "abcdefgh") == 3


@pytest.mark.parametrize("standing", Standing)
def test_policies(standing: Standing) -> None:
    """By default only what is known to be clean passes; an audit denies nothing."""
    strict, audit = Policy(), Policy(audit=True)
    lenient = Policy(Effect.WARN, Effect.ALLOW, Effect.ALLOW)

    clean = standing is Standing.CLEAN
    assert strict.effect(standing) is (Effect.ALLOW if clean else Effect.DENY)
    assert audit.effect(standing) is (Effect.ALLOW if clean else Effect.WARN)
    assert lenient.effect(standing) is (Effect.WARN if standing is Standing.LEAKED else Effect.ALLOW)


@pytest.mark.parametrize("rules", ["rules 0", f"{RULES}+linux/amd64"])
def test_a_clean_verdict_of_other_rules_admits_nothing(store: Store, verdicts: Verdicts, rules: str) -> None:
    """Rules of before, or that looked at one platform only, did not look for all: it is as one not scanned yet."""
    digest = recorded(store, "a", image("a"), rules=rules)
    stale = verdicts.of(digest)
    recorded(store, "a", image("a"))

    assert stale.standing is Standing.CLEAN and stale.stale and stale.due
    assert Policy().of(stale) is Policy().of(None) is Effect.DENY
    assert Policy(audit=True).of(stale) is Policy(unknown=Effect.WARN).of(stale) is Effect.WARN
    assert Policy(unknown=Effect.ALLOW).of(stale) is Policy().of(verdicts.of(digest)) is Effect.ALLOW


def test_a_leak_that_other_rules_found_counts(store: Store, verdicts: Verdicts) -> None:
    """Whatever becomes of images that were not scanned yet."""
    stale = verdicts.of(recorded(store, "a", image("a", finding()), rules="rules 0"))

    assert Policy(unknown=Effect.ALLOW).of(stale) is Effect.DENY


def test_a_store_of_before_the_service(tmp_path: Path) -> None:
    """What audits wrote then answers for the manifests of indexes, too."""
    path = tmp_path / "old.sqlite3"
    url = f"sqlite:///{path}"
    open_store(url).dispose()
    images = [image("amd"), image("arm", finding(), platform="linux/arm64")]
    row = {"digest": digest_of("index"), "document": zlib.compress(json.dumps(images).encode())}
    raw = create_engine(url)
    with raw.begin() as connection:  # as that version left it
        for table in ("tickets", "children", "logins"):
            connection.execute(text(f"drop table {table}"))
        connection.execute(text("update alembic_version set version_num = '0001'"))
        connection.execute(text(
            "insert into results values (:digest, 'rules 1', 'scanned', 1, 'registry.example/team/app', '', "
            "'2026-01-01T00:00:00+00:00', '', 0, 'run', :document)"), row)  # fmt: skip
    raw.dispose()

    store = open_store(url)

    verdicts = Verdicts(store, RULES, ServeSettings())
    assert verdicts.of(digest_of("arm")).standing is Standing.LEAKED
    assert verdicts.of(digest_of("amd")).standing is Standing.CLEAN
    store.dispose()


def test_the_service_counts_its_answers(store: Store) -> None:
    """By what they were."""
    service = service_on(store)
    digest = recorded(store, "a", image("a"))

    found = asyncio.run(service.verdict(digest))

    assert found.standing is Standing.CLEAN
    assert service.counters.value("leakscan_verdicts_total", standing="clean") == 1


def test_one_look_up_for_many_askers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask for an image at once, the store is asked once; one who gives up takes nobody along."""
    service = service_on(store, cache_seconds=60.0)
    digest = recorded(store, "a", image("a", finding()))
    looked: list[str] = []
    original = Verdicts.looked_up

    def counted(self: Verdicts, digest: str) -> Verdict:
        looked.append(digest)
        return original(self, digest)

    monkeypatch.setattr(Verdicts, "looked_up", counted)

    async def many() -> list[Verdict]:
        impatient = asyncio.ensure_future(service.verdict(digest))
        others = [asyncio.ensure_future(service.verdict(digest)) for _ in range(50)]
        await asyncio.sleep(0)
        impatient.cancel()
        return await asyncio.gather(*others)

    found = asyncio.run(many())

    assert {each.standing for each in found} == {Standing.LEAKED} and looked == [digest]


def test_an_answer_is_renewed_before_it_is_too_old(store: Store) -> None:
    """Whoever asks then still gets it at once; the next one gets the new one. After a write nobody gets an old one."""
    service = service_on(store, cache_seconds=0.2)
    digest = recorded(store, "a", image("a"))

    async def over_time() -> list[Standing]:
        found = [(await service.verdict(digest)).standing]
        recorded(store, "a", image("a", finding()))
        while not service.verdicts.ages(digest):
            await asyncio.sleep(0.001)
        found.append((await service.verdict(digest)).standing)
        while service.pending:
            await asyncio.sleep(0.001)
        found.append((await service.verdict(digest)).standing)
        recorded(store, "a", image("a"))
        service.verdicts.forget()
        return [*found, (await service.verdict(digest)).standing]

    assert asyncio.run(over_time())[2:] == [Standing.LEAKED, Standing.CLEAN]

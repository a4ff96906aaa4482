"""What pages read of the store is the same from SQLite and PostgreSQL, and holds to what tags point to now."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scanner.audit.overview import overview
from scanner.evidence import Severity
from scanner.serve.overviews import images
from scanner.store.database import Store, open_store
from scanner.store.ledger import Ledger, Result, State, appearances, spans
from scanner.store.views import current, repository, secret
from tests.postgres import own_postgres
from tests.serving import HOST, RULES, digest_of, finding
from tests.starting import or_skip

OTHER_RULES = "sha256:older+0"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of either kind. Skips where there is no PostgreSQL."""
    if request.param == "sqlite":
        engine = open_store(f"sqlite:///{tmp_path}/store.sqlite3")
        yield engine
        engine.dispose()
        return
    with or_skip(own_postgres()) as server:
        engine = open_store(server.url)
        yield engine
        engine.dispose()


def document(word: str, stack: str, *leaks: tuple[int, str]) -> dict[str, Any]:
    """A stored image whose layers are letters; each leak is (index of its layer, fingerprint)."""
    layers = [{"index": at, "digest": digest_of(letter), "diff_id": digest_of(letter), "size": 1, "media_type": "tar",
               "created_by": None, "history_index": at} for at, letter in enumerate(stack)]  # fmt: skip
    found = []
    for at, fingerprint in leaks:
        one = copy.deepcopy(finding(at))
        one["layer"] = {"index": at, "digest": digest_of(stack[at]), "diff_id": digest_of(stack[at])}
        one["secret"]["fingerprint"] = fingerprint
        found.append({**one, "gated": True, "instruction": None})
    return {"manifest_digest": digest_of(word), "platform": "linux/amd64", "config_digest": None, "created": "",
            "layers": layers, "findings": found}  # fmt: skip


def record(store: Store, rules: str, word: str, *documents: dict[str, Any], state: State = State.SCANNED) -> None:
    """Write a result."""
    result = Result(digest_of(word), state, True, f"{HOST}/x", created="2026-01-02T03:04:05Z", images=documents)
    Ledger(store, HOST, rules, "run").record(result)


def test_what_pages_show(store: Store) -> None:
    """A base that leaks, an image on it, one by older rules only, one that waits, and a signature, which is none."""
    ledger = Ledger(store, HOST, RULES, "run")
    record(store, RULES, "base", document("base", "ab", (1, "secret")))
    record(store, RULES, "app", document("app", "abc", (1, "secret")))
    record(store, OTHER_RULES, "old", document("old", "z", (0, "other")))
    record(store, OTHER_RULES, "app", document("app", "abc"))
    ledger.point("base/node", [("1", digest_of("base")), (f"sha256-{'a' * 64}.sig", digest_of("signature"))])
    ledger.point("shop/web", [("1", digest_of("app")), ("2", digest_of("old")), ("3", digest_of("waits"))])
    ledger.point("shop/web", [("1", digest_of("waits"))])  # the tag moves on

    found = overview(images(current(store, RULES), RULES, Severity.LOW))
    tags, total = repository(store, RULES, HOST, "shop/web", 0, 10)
    held = secret(store, "secret", 0, 10)

    assert (found.images, found.leaking, found.waiting, found.stale) == (4, 2, 2, 1)
    assert [(each.name, each.images, each.leaking) for each in found.repositories] == [
        (f"{HOST}/base/node", 1, 1), (f"{HOST}/shop/web", 3, 1)
    ]  # fmt: skip
    assert total == 4 and [each.tag for each in tags[-1:]] == ["1"] and not tags[-1].current
    assert tags[-1].rules == RULES and tags[-1].images  # the rules of now, not those that were last
    assert held is not None and (held.now, held.before) == (1, 1)
    assert [each.current for each in held.places] == [True, False]
    assert {each.reference for each in held.places} == {each.reference for each in appearances(store, "secret")}
    assert {digest for digest, _ in held.findings} == {digest_of("base"), digest_of("app")}
    assert secret(store, "nowhere", 0, 10) is None
    assert sorted((span.current, span.leaking, span.images) for span in spans(store, RULES)) == [
        (False, True, 1), (True, True, 1)
    ]  # fmt: skip


def test_pages_of_a_long_list(store: Store) -> None:
    """Each tag stands on one page, whatever their number."""
    ledger = Ledger(store, HOST, RULES, "run")
    ledger.point("many", [(f"v{number}", digest_of(str(number))) for number in range(25)])

    pages = [repository(store, RULES, HOST, "many", first, 10) for first in (0, 10, 20, 30)]

    assert [total for _, total in pages] == [25, 25, 25, 25]
    assert sorted(each.tag for found, _ in pages for each in found) == sorted(f"v{number}" for number in range(25))

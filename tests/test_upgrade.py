"""An upgrade in the middle of everything loses no scan that was asked for: the new rules take over what waits."""

from __future__ import annotations

from scanner.serve.queue import Queue
from scanner.serve.settings import ServeSettings
from scanner.serve.words import Priority, TicketState
from scanner.store.database import Store

IMAGE, DIGEST = "registry.example/a@sha256:1", "sha256:1"


def queue(store: Store, rules: str) -> Queue:
    """A queue of one rule set."""
    return Queue(store, rules, ServeSettings())


def test_what_waits_for_old_rules_is_judged_by_the_new_ones(store: Store) -> None:
    """The id that Harbor polls goes on to count, and so does the login that it handed over."""
    ticket = queue(store, "old").ask(IMAGE, DIGEST, Priority.INTERACTIVE, "harbor", b"sealed")
    upgraded = queue(store, "new")
    assert upgraded.claim("worker") is None

    assert upgraded.adopt(0.0) == 1

    claimed = upgraded.claim("worker")
    assert claimed is not None and (claimed.id, claimed.rules) == (ticket.id, "new")
    assert upgraded.login(claimed) == b"sealed"


def test_one_scan_remains_of_an_image(store: Store) -> None:
    """Who asked under the old rules is told to ask again, and is not kept waiting."""
    old = queue(store, "old").ask(IMAGE, DIGEST, Priority.WEBHOOK, "hook")
    upgraded = queue(store, "new")
    new = upgraded.ask(IMAGE, DIGEST, Priority.ADMISSION, "kubernetes")

    assert upgraded.adopt(0.0) == 0

    ended = upgraded.ticket(old.id)
    assert ended is not None and (ended.state, ended.reason) == (TicketState.FAILED, "it was asked for anew")
    claimed = upgraded.claim("worker")
    assert claimed is not None and claimed.id == new.id


def test_another_version_that_is_at_work_keeps_its_own(store: Store) -> None:
    """In a rolling update both are there: only what nobody has taken for a while is taken over."""
    old = queue(store, "old")
    old.ask(IMAGE, DIGEST, Priority.WEBHOOK, "hook")

    assert queue(store, "new").adopt(600.0) == 0
    assert old.claim("worker") is not None
    assert queue(store, "new").adopt(0.0) == 0

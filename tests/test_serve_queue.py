"""The queue loses no ticket, has no image twice, and lets the urgent go first; on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.serve.queue import Queue, QueueFull
from scanner.serve.settings import ServeSettings
from scanner.serve.words import Priority, Ticket, TicketState
from scanner.store.database import Store, open_store
from tests.postgres import own_postgres
from tests.serving import HOST, REPOSITORY, RULES, digest_of
from tests.starting import or_skip


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A server of the tests' own. Skips where there is none."""
    with or_skip(own_postgres()) as server:
        yield server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of either kind."""
    sqlite = request.param == "sqlite"
    engine = open_store(f"sqlite:///{tmp_path}/store.sqlite3" if sqlite else request.getfixturevalue("postgres"))
    if not sqlite:
        from sqlalchemy import text

        with engine.begin() as connection:
            connection.execute(text("delete from tickets"))
    yield engine
    engine.dispose()


class Clock:
    """Seconds since the epoch, as a test sets them."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


def queue_of(store: Store, clock: Clock, rules: str = RULES, **settings: int) -> Queue:
    """A queue with a lease of a minute."""
    return Queue(store, rules, ServeSettings(lease_seconds=60.0, **settings), clock)


def ask(queue: Queue, word: str, priority: Priority = Priority.WEBHOOK) -> Ticket:
    """Ask for the scan of an image."""
    return queue.ask(f"{REPOSITORY}@{digest_of(word)}", digest_of(word), priority, "test")


def test_the_urgent_go_first(store: Store, clock: Clock) -> None:
    """By priority, and among equals whoever asked first."""
    queue = queue_of(store, clock)
    asked = [ask(queue, f"{priority} {number}", priority)
             for number in range(2)
             for priority in (Priority.AUDIT, Priority.WEBHOOK, Priority.INTERACTIVE, Priority.ADMISSION)]  # fmt: skip

    claimed = [queue.claim("w") for _ in asked]

    assert [each.id for each in claimed if each] == [each.id for each in sorted(asked, key=lambda one: one.priority)]
    assert queue.claim("w") is None


def test_an_image_waits_once(store: Store, clock: Clock) -> None:
    """Whoever asks again gets the same ticket, which becomes as urgent as the most urgent asker, never less."""
    queue = queue_of(store, clock)
    first, other = ask(queue, "a", Priority.AUDIT), ask(queue, "b", Priority.WEBHOOK)

    urgent, calm = ask(queue, "a", Priority.ADMISSION), ask(queue, "a", Priority.AUDIT)

    assert first.id == urgent.id == calm.id != other.id
    assert urgent.priority == calm.priority == Priority.ADMISSION
    claimed = queue.claim("w")
    assert claimed is not None and claimed.id == first.id and claimed.state is TicketState.RUNNING
    assert ask(queue, "a").id == first.id  # while it is scanned, too


def test_an_image_may_be_asked_for_again(store: Store, clock: Clock) -> None:
    """When its scan is over, the next asker gets a new ticket; the old one is still known."""
    queue = queue_of(store, clock)
    first = ask(queue, "a")
    assert queue.claim("w") is not None and queue.done(first, "w")

    second = ask(queue, "a")

    assert second.id != first.id
    found = queue.ticket(first.id)
    assert found is not None and found.state is TicketState.DONE and found.ended


def test_other_rules_have_other_tickets(store: Store, clock: Clock) -> None:
    """A service only scans what is asked for by its own rules."""
    old, new = queue_of(store, clock, "old"), queue_of(store, clock, "new")
    first, second = ask(old, "a"), ask(new, "a")

    claimed = new.claim("w")

    assert first.id != second.id
    assert claimed is not None and claimed.id == second.id and new.claim("w") is None


def test_a_full_queue(store: Store, clock: Clock) -> None:
    """No more are taken, those that are there still count, and a flood of what can wait keeps nobody urgent out."""
    queue = queue_of(store, clock, queue_limit=3)
    asked = [ask(queue, f"{number}", Priority.WEBHOOK) for number in range(3)]

    with pytest.raises(QueueFull):
        ask(queue, "one more", Priority.WEBHOOK)
    with pytest.raises(QueueFull):
        ask(queue, "one more", Priority.AUDIT)

    assert ask(queue, "0").id == asked[0].id
    assert ask(queue, "urgent", Priority.ADMISSION).state is TicketState.QUEUED
    assert queue.depth()[Priority.WEBHOOK, "queued"][0] == 3


def test_a_lease_that_ends(store: Store, clock: Clock) -> None:
    """The image goes to somebody else; whoever had it cannot end it any more."""
    queue = queue_of(store, clock)
    asked = ask(queue, "a")
    first = queue.claim("dead")
    clock.now += 59.0
    early = queue.sweep(), queue.claim("w")
    clock.now += 2.0
    queue.sweep()

    second = queue.claim("w")

    assert early == ([], None)
    assert first is not None and second is not None and first.id == second.id == asked.id
    assert not queue.hold(first, "dead") and not queue.done(first, "dead") and not queue.failed(first, "dead", "late")
    assert queue.hold(second, "w") and queue.done(second, "w")


def test_a_lease_that_is_held(store: Store, clock: Clock) -> None:
    """A scan may take as long as it gives signs of life."""
    queue = queue_of(store, clock)
    ask(queue, "a")
    held = queue.claim("w")
    assert held is not None
    for _ in range(5):
        clock.now += 40.0
        assert queue.hold(held, "w")
        queue.sweep()

    assert queue.claim("other") is None and queue.done(held, "w")


def test_a_clock_that_is_set_back(store: Store, clock: Clock) -> None:
    """A lease that would last longer than any can is over."""
    queue = queue_of(store, clock)
    ask(queue, "a")
    assert queue.claim("dead") is not None
    clock.now -= 100_000.0
    queue.sweep()

    assert queue.claim("w") is not None


def test_what_kills_its_process_is_given_up(store: Store, clock: Clock) -> None:
    """After three deaths, and not before; whoever only stopped costs none."""
    queue = queue_of(store, clock)
    asked = ask(queue, "poison")
    for _ in range(4):
        stopped = queue.claim("w")
        assert stopped is not None
        queue.back(stopped, "w", died=False)
    for death in range(3):
        assert queue.sweep() == []
        claimed = queue.claim("w")
        assert claimed is not None and claimed.deaths == death
        queue.back(claimed, "w", died=True)

    given_up = queue.sweep()

    assert [each.id for each in given_up] == [asked.id]
    found = queue.ticket(asked.id)
    assert found is not None and found.state is TicketState.FAILED and "died 3 times" in found.reason
    assert queue.claim("w") is None and queue.sweep() == []


def test_what_a_service_held_that_is_gone(store: Store, clock: Clock) -> None:
    """The next one on a store of its own waits for no lease."""
    queue = queue_of(store, clock)
    ask(queue, "a")
    assert queue.claim("dead") is not None

    assert queue.free() == 1

    found = queue.claim("w")
    assert found is not None and found.deaths == 0


def test_old_tickets_are_dropped(store: Store, clock: Clock) -> None:
    """Those that ended long ago; none that waits."""
    queue = queue_of(store, clock, keep_days=0)
    ended, waiting = ask(queue, "a"), ask(queue, "b")
    assert queue.claim("w") is not None and queue.done(ended, "w")
    recent = queue.tidy(), queue.ticket(ended.id)
    tidied = queue_of(store, clock, keep_days=-1).tidy()

    assert recent[0] == 0 and recent[1] is not None
    assert tidied == 1 and queue.ticket(ended.id) is None and queue.ticket(waiting.id) is not None


def test_many_ask_and_many_claim_at_once(store: Store) -> None:
    """No image is asked for twice or handed out twice, and none is left."""
    queue = Queue(store, RULES, ServeSettings())
    names = itertools.cycle(f"image {number}" for number in range(20))
    words = [next(names) for _ in range(80)]
    asked: list[str] = []
    claimed: list[str] = []

    def asker(mine: list[str]) -> None:
        asked.extend(ask(queue, word).id for word in mine)

    def claimer(name: str) -> None:
        while (found := queue.claim(name)) is not None:
            claimed.append(found.id)

    for work, arguments in ((asker, [words[each::4] for each in range(4)]), (claimer, ["a", "b", "c"])):
        threads = [threading.Thread(target=work, args=(each,)) for each in arguments]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(asked) == 80 and len(set(asked)) == 20
    assert Counter(claimed) == Counter(set(asked))


def test_the_queue_as_people_see_it(store: Store, clock: Clock) -> None:
    """What waits, in the order in which it is scanned; what ended, the latest first."""
    queue = queue_of(store, clock)
    ended = ask(queue, "a")
    assert queue.claim("w") is not None and queue.failed(ended, "w", "it is gone")
    late, early = ask(queue, "b", Priority.AUDIT), ask(queue, "c", Priority.ADMISSION)

    assert [each.id for each in queue.listed((TicketState.QUEUED, TicketState.RUNNING))] == [early.id, late.id]
    [found] = queue.listed((TicketState.DONE, TicketState.FAILED))
    assert found.id == ended.id and found.reason == "it is gone" and found.reference.startswith(HOST)

"""A login that is handed over for one scan lives as long as that scan, and in no form that the store could tell."""

from __future__ import annotations

import base64

import pytest
from sqlalchemy import text as sql

from scanner.image.registry.credentials import Login
from scanner.serve.logins import NotOpened, Safe, basic_login
from scanner.serve.queue import Queue
from scanner.serve.settings import ServeSettings
from scanner.serve.words import Priority
from scanner.store.database import Store

IMAGE = f"harbor.example/shop/app@sha256:{'1' * 64}"
LOGIN = Login("robot$shop", "a:password:with:colons")


def queue(store: Store) -> Queue:
    """A queue on it."""
    return Queue(store, "rules", ServeSettings())


def logins(store: Store) -> int:
    """How many logins the store has."""
    with store.connect() as connection:
        return int(connection.execute(sql("select count(*) from logins")).scalar_one())


def test_a_login_comes_back_for_its_image_alone() -> None:
    """Neither another image nor another installation's key opens it, nor a change of one byte."""
    safe = Safe(b"k" * 32)
    sealed = safe.seal(LOGIN, IMAGE)

    assert safe.open(sealed, IMAGE) == LOGIN
    for other, image, raw in (
        (safe, IMAGE.replace("shop", "shed"), sealed),
        (Safe(b"l" * 32), IMAGE, sealed),
        (safe, IMAGE, sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (safe, IMAGE, b""),
    ):
        with pytest.raises(NotOpened):
            other.open(raw, image)


def test_nothing_shows_a_login() -> None:
    """Neither a repr nor what is sealed."""
    safe = Safe(b"k" * 32)

    assert "password" not in repr(LOGIN) + repr(safe) and "robot" not in repr(LOGIN)
    assert b"password" not in safe.seal(LOGIN, IMAGE) and b"robot" not in safe.seal(LOGIN, IMAGE)
    assert safe.seal(LOGIN, IMAGE) != safe.seal(LOGIN, IMAGE)


@pytest.mark.parametrize(
    ("header", "login"),
    [
        ("robot$shop:a:password:with:colons", LOGIN),
        ("robot:", Login("robot", "")),
        (":password", None),
        ("no colon", None),
    ],
)
def test_a_password_is_all_behind_the_first_colon(header: str, login: Login | None) -> None:
    """RFC 7617: a user has no colon, a password may."""
    encoded = base64.b64encode(header.encode()).decode()

    assert basic_login(f"Basic {encoded}") == login
    assert basic_login(f"Bearer {encoded}") is None


def test_a_login_is_gone_when_its_scan_ends(store: Store) -> None:
    """It is there while the ticket waits, across a restart, and while it is tried again; then no more."""
    ticket = queue(store).ask(IMAGE, "sha256:1", Priority.INTERACTIVE, "harbor", b"sealed")
    restarted = queue(store)
    claimed = restarted.claim("worker")

    assert claimed is not None and restarted.login(ticket) == b"sealed"
    restarted.back(claimed, "worker", died=True)
    assert restarted.login(ticket) == b"sealed"
    claimed = restarted.claim("other")
    assert claimed is not None and restarted.done(claimed, "other")
    assert restarted.login(ticket) is None and logins(store) == 0


def test_who_loses_a_ticket_takes_no_login_along(store: Store) -> None:
    """A worker whose lease is over ends nothing: another one needs the login."""
    ticket = queue(store).ask(IMAGE, "sha256:1", Priority.INTERACTIVE, "harbor", b"sealed")
    claimed = queue(store).claim("worker")

    assert claimed is not None and not queue(store).failed(claimed, "somebody else", "why")
    assert queue(store).login(ticket) == b"sealed"


def test_what_is_given_up_leaves_no_login(store: Store) -> None:
    """An image that kills its process ends as a failed ticket."""
    queue(store).ask(IMAGE, "sha256:1", Priority.INTERACTIVE, "harbor", b"sealed")
    for number in range(3):
        claimed = queue(store).claim(f"worker {number}")
        assert claimed is not None
        queue(store).back(claimed, f"worker {number}", died=True)

    assert len(queue(store).sweep()) == 1 and logins(store) == 0


def test_who_brings_a_login_is_read_where_he_says(store: Store) -> None:
    """A webhook asked for the same image elsewhere, where this login is worth nothing."""
    first = queue(store).ask("other.example/app@sha256:1", "sha256:1", Priority.WEBHOOK, "hook")
    second = queue(store).ask(IMAGE, "sha256:1", Priority.INTERACTIVE, "harbor", b"sealed")
    third = queue(store).ask("third.example/app@sha256:1", "sha256:1", Priority.WEBHOOK, "hook")

    assert first.id == second.id == third.id
    claimed = queue(store).claim("worker")
    assert claimed is not None and claimed.reference == IMAGE

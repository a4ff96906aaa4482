"""Fake credentials, made when a case is built, so that no file of the source holds secret-shaped text.

A value depends only on the case and on its own name: an image built again holds the same ones.
"""

from __future__ import annotations

import random
import string
import zlib
from collections.abc import Callable, Mapping

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def password(source: random.Random) -> str:
    """Twenty letters and digits of every kind, none of which a URL or a shell would have to escape."""
    must = [source.choice(kind) for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits)]
    characters = must + source.choices(BASE62, k=17)
    source.shuffle(characters)
    return "".join(characters)


def github_token(source: random.Random) -> str:
    """A token in the shape of GitHub's classic one: 30 characters and their CRC-32 in base 62."""
    body = "".join(source.choices(BASE62, k=30))
    number = zlib.crc32(body.encode())
    check = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        check = BASE62[digit] + check
    return "_".join(("ghp", body + check))


def aws_key_id(source: random.Random) -> str:
    """A long-term access key id."""
    return "".join(("AK", "IA", *source.choices(string.ascii_uppercase + "234567", k=16)))


def aws_secret_key(source: random.Random) -> str:
    """A secret access key."""
    return "".join(source.choices(BASE62 + "+/", k=40))


KINDS: Mapping[str, Callable[[random.Random], str]] = {
    "password": password,
    "github-token": github_token,
    "aws-key-id": aws_key_id,
    "aws-secret-key": aws_secret_key,
}
#: kinds that open nothing by themselves: reports name them beside the secret they belong to
PUBLIC_KINDS = frozenset(("aws-key-id",))


def value_of(case: str, name: str, kind: str) -> str:
    """The value called *name* of a case. Raises KeyError for a kind that does not exist."""
    return KINDS[kind](random.Random(f"leakscan test image {case} {name}"))

"""Which files hold credentials: by the end of their path, how they are read and which of their fields are secret.

The kinds are data, in scanner/rulepack/files. To teach leakscan a new one, add a `[[kind]]` there and a case to
tests/credential_files.py; what the fields of a `[[kind.file]]` mean is told at `FileKind`, and:

    read    a format of `_READERS`, or else
    rows    a pattern in pieces, as `formats.rows` takes it; its group `secret` is the secret
    section the only section that is looked at by `rows`; left out where all of the file is
    keys    patterns, or names of `_KEYS`, of which one must fit; left out where `rows` tells
"""

from __future__ import annotations

import importlib.resources
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from scanner.detect.dialect import compile_set
from scanner.detect.formats import Reader, read_ini, read_json, read_table, read_xml, read_yaml, rows
from scanner.evidence import Severity


class Holds(Enum):
    """What stands in a secret field.

    Attributes:
        PASSWORD: a password; it may be weak, it is meant.
        TOKEN: a key or token that somebody issued.
        SETTING: whatever a program is configured with; words may be anything.
        BASIC: base64 of `user:password`.
        PAIR: `user:password`.
        BASE64: base64 of a secret.
        MAYBE_BASE64: a password as it is, or its base64.
        HASH: a password hash: tells nothing until it is guessed.
        ENCRYPTED: what only a key elsewhere opens.
    """

    PASSWORD = "password"  # noqa: S105
    TOKEN = "token"  # noqa: S105
    SETTING = "setting"
    BASIC = "basic"
    PAIR = "pair"
    BASE64 = "base64"
    MAYBE_BASE64 = "maybe-base64"
    HASH = "hash"
    ENCRYPTED = "encrypted"


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind of file.

    Attributes:
        rule: its id.
        paths: expressions for the end of the path, which begins a name; case does not matter.
        reader: of its format.
        keys: a pattern of the names that lead to a secret, joined by `/`; searched, case does not matter.
        holds: what those fields hold.
        least: secrets are no shorter.
    """

    rule: str
    title: str
    gains: str
    severity: Severity
    paths: tuple[str, ...]
    reader: Reader
    keys: bytes
    holds: Holds
    least: int = 3

    def names_secret(self, keys: bytes) -> bool:
        """Whether a field is secret that *keys* lead to, the outermost first, joined by `/`."""
        return _compiled(self.keys).search(keys) is not None


@cache  # a scan meets few of them
def _compiled(keys: bytes) -> re.Pattern[bytes]:
    return re.compile(keys, re.IGNORECASE)


#: files of scanner/rulepack/files, in the order in which their kinds are asked: the first that knows a field has it
_FAMILIES = ("logins", "packages", "containers", "clouds", "programs", "hashes")
#: the key of what `rows` calls the secret
SECRET = rb"\Asecret\Z"
_KEYS = {
    "passwords": rb"(?:passw(?:or)?d|passwd|passphrase|(?:^|[/_.-])(?:pass|pwd|psk)|(?<=[a-z])(?-i:Pass|Pwd))[0-9]?\Z",
    # what ends like this is secret unless the value says otherwise
    "settings": (
        rb"(?:passw(?:or)?d|passwd|passphrase|(?:^|[/_.-])(?:pass|pwd)|(?<=[a-z])(?-i:Pass|Pwd)"
        rb"|(?<![a-z])secret(?:[-_.]?key(?:[-_]base)?)?|(?<=[a-z])(?-i:Secret(?:Key)?)"
        rb"|(?:access|auth|refresh|api|bearer|deploy|bot|private|personal|oauth|session)[-_.]?token"
        rb"|(?:api|access|secret|private|auth|signing|encryption|master|account)[-_.]?key)[0-9]?\Z"
    ),
}
_READERS: Mapping[str, Reader] = {
    "ini": read_ini,
    "json": read_json,
    "table": read_table,
    "xml": read_xml,
    "yaml": read_yaml,
    # a token may stand in the user's place, with nothing or a fixed word for the password
    "urls": rows(
        rb"[A-Za-z][A-Za-z0-9+.-]{1,24}://(?:(?P<secret2>[^\s/:@\"'<>`\\#?]{16,400}):(?:x-oauth-basic|x)?(?=@)"
        rb"|(?:(?P<user>[^\s/:@\"'<>`\\#?]{0,200}):)?(?P<secret>[^\s/@\"'<>`\\#?]{3,400}))"
        rb"@(?P<host>[^\s/@\"'<>`\\,;?#]{1,200})"
    ),
}


@cache
def table() -> tuple[FileKind, ...]:
    """Every kind of file, in the order of the rule pack."""
    folder = importlib.resources.files("scanner") / "rulepack" / "files"
    texts = ((folder / f"{name}.toml").read_text("utf-8") for name in _FAMILIES)
    return tuple(kind for text in texts for kind in _kinds(tomllib.loads(text)))


def _kinds(document: Mapping[str, Any]) -> Iterator[FileKind]:
    for kind in document["kind"]:
        of_all = kind["rule"], kind["title"], kind["gains"], Severity(kind["severity"])
        for file in kind["file"]:
            reader = _rows(file) if "rows" in file else _READERS[file["read"]]
            keys = b"|".join(_KEYS.get(each, each.encode()) for each in file["keys"]) if "keys" in file else SECRET
            yield FileKind(*of_all, tuple(file["paths"]), reader, keys, Holds(file["holds"]), file.get("least", 3))


def _rows(file: Mapping[str, Any]) -> Reader:
    section = file.get("section")
    return rows("".join(file["rows"]).encode(), None if section is None else section.encode())


class FileKinds:
    """The table, looked up by path. Compiled at first use."""

    def __init__(self) -> None:
        self._table = table()
        self._numbers: Callable[[bytes], list[int]] | None = None

    def claims(self, path: str) -> bool:
        """Whether any row is about *path*: one search in linear time, as it is asked for every file of an image."""
        return bool(self.of(path))

    def of(self, path: str) -> list[FileKind]:
        """The rows about *path*, in order."""
        if self._numbers is None:
            self._numbers = compile_set(f"(?i)(?:^|/)(?:{'|'.join(kind.paths)})$" for kind in self._table)
        return [self._table[number] for number in self._numbers(path.encode("utf-8", "surrogateescape"))]

"""Secrets given on the command line: reads them where `docker build --secret` would.

Source: buildx util/buildflags/secrets.go and BuildKit session/secrets/secretsprovider (csv fields; src and source;
type=env; an id alone names a variable, else a file).
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scanner.detect.known.parts import Known, known
from scanner.errors import LeakscanError

_LARGEST = 1 << 20  # BuildKit mounts secrets of at most 500 KiB
_TIP = "Write --secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE."
_VARIABLE = re.compile(
    rb"""^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*"""
    rb"""(?:'([^']*)'|"((?:\\.|[^"\\])*)"|([^\r\n]*?))[ \t]*(?:[ \t]\#[^\r\n]*)?\r?$""",
    re.MULTILINE | re.DOTALL,
)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class UnusableSecret(LeakscanError):
    """A secret that was given cannot be read, or its value can prove nothing."""


def given_secrets(words: Sequence[str], files: Sequence[str], environment: Mapping[str, str]) -> tuple[Known, ...]:
    """The secrets that the user gave.

    Args:
        words: of --secret, such as `id=pip,src=pip.conf`.
        files: of --secrets-from, in the form of dotenv files.

    Raises:
        UnusableSecret: the words are wrong, a file or variable cannot be read, a value can prove nothing. Of a dotenv
            file such values are left out, and said to be, as long as any is left.
    """
    found: dict[str, Known] = {}
    for text in words:
        id, value = _secret(text, environment)
        secret = known(id, value)
        if not secret.parts:
            tip = "Leave it out, or give a longer one."
            raise UnusableSecret(f"the secret {id} proves nothing: {secret.refused}", tip)
        _add(found, secret)
    for name in files:
        lines = _read(Path(name), name).removeprefix(b"\xef\xbb\xbf")
        variables = _variables(lines)
        if not variables:
            raise UnusableSecret(f"{name} sets no variable", "Write NAME=value, one a line.")
        secrets = [known(id, value) for id, value in variables.items()]
        if not any(secret.parts for secret in secrets):
            raise UnusableSecret(f"no value in {name} can prove anything", secrets[0].refused)
        for secret in secrets:
            _add(found, secret)
        for number in _left_over(lines):
            id = f"in line {number} of {Path(name).name}"
            found[id] = Known(id, (), "the line is not of the form NAME=value")
    return tuple(found.values())


def _add(found: dict[str, Known], secret: Known) -> None:
    if secret.id in found:
        raise UnusableSecret(f"the secret {secret.id} is given twice", "Give each one an id of its own.")
    found[secret.id] = secret


def refusals(secrets: Sequence[Known]) -> list[str]:
    """A sentence for each value that is not searched for."""
    found = []
    for secret in secrets:
        if secret.refused:
            rest = "only its parts are searched for" if secret.parts else "it is not searched for"
            found.append(f"secret {secret.id}: {secret.refused}; {rest}")
        found += [f"secret {secret.id}, {part}: {why}; not searched for by itself" for part, why in secret.skipped]
    return found


def _secret(text: str, environment: Mapping[str, str]) -> tuple[str, bytes]:
    """The id and value that the words of one --secret give. Messages do not repeat them: one may be the secret."""
    fields: dict[str, str] = {}
    try:
        words = next(csv.reader([text], strict=True), [])
    except csv.Error:
        raise UnusableSecret("--secret has a quote that does not end, or ends amid a field", _TIP) from None
    for field in words:
        key, equals, value = field.partition("=")
        key = {"source": "src"}.get(key.strip().lower(), key.strip().lower())
        if not equals or key not in ("id", "src", "env", "type"):
            raise UnusableSecret("--secret has a field that is none of id, src, env and type", _TIP)
        fields[key] = value
    id, source, variable = fields.get("id", ""), fields.get("src", ""), fields.get("env", "")
    if fields.get("type", "") not in ("", "file", "env"):
        raise UnusableSecret("--secret knows the types file and env only", _TIP)
    if not id:
        raise UnusableSecret("--secret names no id", _TIP)
    if fields.get("type") == "env" and not variable:
        variable, source = source or id, ""
    if not source and not variable:
        variable, source = (id, "") if id in environment else ("", id)
    if variable:
        if variable not in environment:
            raise UnusableSecret(f"the secret {id} has no value: {variable} is not set", "Export it first.")
        return id, os.fsencode(environment[variable])
    return id, _read(Path(source).expanduser(), f"the file of the secret {id}")


def _read(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            value = file.read(_LARGEST + 1)
    except OSError as error:
        raise UnusableSecret(f"{name} cannot be read: {error.strerror}", f"Looked for {path}.") from None
    if len(value) > _LARGEST:
        raise UnusableSecret(f"{name} has more than {_LARGEST} bytes", "No builder mounts so large a secret.")
    return value


def _left_over(text: bytes) -> Iterator[int]:
    """The numbers of the lines that set no variable and are neither empty nor a comment."""
    end = 0
    for match in (*_VARIABLE.finditer(text), None):
        start = len(text) if match is None else match.start()
        first = 1 + text.count(b"\n", 0, end)
        for number, line in enumerate(text[end:start].split(b"\n"), first):
            if line.strip() and not line.lstrip().startswith(b"#"):
                yield number
        end = start if match is None else match.end()


def _variables(text: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for each in _VARIABLE.finditer(text):
        name, single, double, bare = each.groups()
        if double is not None:
            value = re.sub(rb"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), double, flags=re.DOTALL)
        else:
            value = single if single is not None else bare
        found[name.decode()] = value
    return found

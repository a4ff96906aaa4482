"""Reads the files that a user hands over, bounded, and says in one error what is wrong with them."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from scanner.errors import UnusableFile

#: settings and rules are small; a baseline of a hundred thousand findings is not
LARGEST = 64 << 20
_SHOWN = 120


def read(path: Path, largest: int = LARGEST) -> bytes:
    """The bytes of *path*, a file or a pipe. Raises UnusableFile."""
    try:
        with open(path, "rb") as file:
            return bounded(file, shown(path), largest)
    except OSError as error:
        what = f"{shown(path)} cannot be read: {error.strerror or 'input/output error'}"
        raise UnusableFile(what, "Check the path, and that the file may be read.") from None
    except ValueError:  # a path with a null character
        raise UnusableFile(f"{shown(path)} is no path of a file") from None


def bounded(file: BinaryIO, name: str, largest: int) -> bytes:
    """The bytes of an open file. Raises UnusableFile naming *name* if it is too large, and OSError."""
    content = file.read(largest + 1)
    if len(content) > largest:
        raise UnusableFile(f"{name} is larger than {largest >> 20} MiB, which no such file is")
    return content


def toml(content: bytes, name: str) -> dict[str, Any]:
    """A TOML document. Raises UnusableFile naming *name* and the line."""
    try:
        return tomllib.loads(content.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        raise UnusableFile(f"{name} is not TOML: byte {error.start} is no UTF-8") from None
    except (tomllib.TOMLDecodeError, ValueError) as error:  # a number of thousands of digits is a ValueError
        raise UnusableFile(f"{name} is not TOML: {_brief(error)}") from None
    except RecursionError:
        raise UnusableFile(f"{name} is nested deeper than any such file") from None


def parsed(content: bytes, name: str) -> Any:
    """A JSON document. Raises UnusableFile naming *name* and the line."""
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UnusableFile(f"{name} is not JSON: byte {error.start} is no UTF-8") from None
    except json.JSONDecodeError as error:
        raise UnusableFile(f"{name} is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except (ValueError, RecursionError):
        raise UnusableFile(f"{name} is not JSON that can be read") from None


def shown(path: str | os.PathLike[str]) -> str:
    """A path for a message: printable and short."""
    text = "".join(char if char.isprintable() else "?" for char in os.fspath(path))
    return text if len(text) <= _SHOWN else f"…{text[-_SHOWN:]}"


def known_keys(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Hold the keys of *table* to *known*. Raises UnusableFile naming the stray key, with a suggestion."""
    names = sorted(known)
    for key in table:
        if key not in names:
            raise UnusableFile(f"{where}: {shown(key)} is not known here", suggestion(key, names))


def suggestion(word: str, names: Iterable[str]) -> str:
    """`Did you mean ...?`, or all that there is to choose from."""
    listed = sorted(names)
    close = difflib.get_close_matches(word.replace("_", "-"), listed, 1, 0.6)
    return f"Did you mean {close[0]}?" if close else f"Known are {', '.join(listed)}."


def texts(value: Any, where: str) -> tuple[str, ...]:
    """A text or a list of texts, none of them empty. Raises UnusableFile."""
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(item, str) and item.strip() for item in listed):
        raise UnusableFile(f"{where} must be a text or a list of texts, none of them empty")
    return tuple(listed)


def _brief(error: Exception) -> str:
    """The reason without the file's own text, which parsers quote at any length."""
    text = "".join(char if char.isprintable() else "?" for char in str(error))
    return text if len(text) <= 2 * _SHOWN else f"{text[: 2 * _SHOWN]}…"

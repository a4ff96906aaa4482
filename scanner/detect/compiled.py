"""What rules come to, kept from one run to the next in files that only the user can write.

The compiled databases of the first pass, which take seconds to make, are kept under a name that digests the triggers,
the engine's version and the machine's kind. The parsed rules, and whose triggers are in which databases, lie in another
file: to work that out takes longer than to scan a small image. What is damaged or another's is as good as none.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import pickle
import struct
import subprocess
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanner import keptfile
from scanner.detect.base import Trigger
from scanner.detect.firstpass import ENGINE, Owned, compile_database, heads, loads

_FORMAT = b"leakscan first pass 9\n"
_CHECKSUM = 32
_COMPILE = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from scanner.detect.firstpass import compile_database
sys.stdout.buffer.write(compile_database(pickle.load(sys.stdin.buffer)))
"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a run needs of the rules, worked out by an earlier one.

    Attributes:
        documents: the files of the built-in pack, parsed, each with its name.
        digest: names the rule set.
        owned: whose triggers are in *databases*, in order.
        databases: what `firstpass.compile_database` made of them; the engine may still refuse them.
    """

    documents: Sequence[tuple[str, dict[str, Any]]]
    digest: str
    owned: Sequence[Owned]
    databases: bytes


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """Compiled databases and prepared rules on disk."""

    directory: Path

    def load(self, triggers: Sequence[Trigger]) -> bytes | None:
        """The kept databases of *triggers*, None if there are none, or what stands between them is damaged; of the
        rest `firstpass.loads` tells."""
        return self._databases(_name(triggers))

    def save(self, triggers: Sequence[Trigger], databases: bytes) -> None:
        """Keep *databases*, whole or not at all. A directory that cannot be written costs time, not the scan."""
        self._write(_name(triggers), hashlib.sha256(_FORMAT + heads(databases)).digest(), databases)

    def prepared(self, program: str, own: str) -> Prepared | None:
        """What an earlier run of the same program with the same rules kept.

        Args:
            program: names the program that made them.
            own: names the user's own rules.
        """
        kept = self._read(_prepared_name(own))
        if not kept or not hmac.compare_digest(hashlib.sha256(kept[_CHECKSUM:]).digest(), kept[:_CHECKSUM]):
            return None
        try:
            document = json.loads(kept[_CHECKSUM:])
            databases = self._databases(document["databases"]) if document["for"] == [program, *_engine()] else None
            owned = [Owned(*row) for row in document["owned"]]
            documents = [(name, file) for name, file in document["documents"]]
            return None if databases is None else Prepared(documents, document["digest"], owned, databases)
        except (ValueError, LookupError, TypeError):  # of another shape
            return None

    def prepare(self, program: str, own: str, triggers: Sequence[Trigger], prepared: Prepared) -> None:
        """Keep what is *prepared* for the next run; its databases are those that were saved of *triggers*. Takes the
        place of what another program kept for the same rules."""
        document = {"for": [program, *_engine()], "databases": _name(triggers), "digest": prepared.digest,
                    "owned": prepared.owned, "documents": prepared.documents}  # fmt: skip
        told = json.dumps(document, separators=(",", ":")).encode()
        self._write(_prepared_name(own), hashlib.sha256(told).digest(), told)

    def _databases(self, name: str) -> bytes | None:
        kept = self._read(name)
        if not kept:
            return None
        checksum, databases = kept[:_CHECKSUM], kept[_CHECKSUM:]
        try:
            told = heads(databases)
        except (struct.error, ValueError):
            return None
        return databases if hmac.compare_digest(hashlib.sha256(_FORMAT + told).digest(), checksum) else None

    def _read(self, name: str) -> bytes | None:
        """A file, None if there is none that can be read, or somebody else could have written it."""
        try:
            with keptfile.opened(self.directory / name) as file:
                return file.read()
        except OSError:
            return None

    def _write(self, name: str, *parts: bytes) -> None:
        with contextlib.suppress(OSError):
            keptfile.replace(self.directory / name, *parts)


def database(triggers: Sequence[Trigger], kept: CompiledRules | None) -> bytes:
    """The compiled databases, those that are *kept* if they are sound, else compiled and kept. Raises RulePackError."""
    found = kept.load(triggers) if kept else None
    if found is not None and loads(found):
        return found
    compiled = _compiled_apart(triggers) or compile_database(triggers)
    if kept:
        kept.save(triggers, compiled)
    return compiled


def _compiled_apart(triggers: Sequence[Trigger]) -> bytes:
    """What `compile_database` makes, made by another process; empty if that fails.

    Compiling takes twenty times the memory of what comes out, and leaves it to a process and all that are forked of it.
    """
    if not sys.executable:
        return b""
    told = pickle.dumps(sys.path) + pickle.dumps(list(triggers))
    try:
        done = subprocess.run([sys.executable, "-I", "-c", _COMPILE], input=told,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)  # fmt: skip
    except (OSError, subprocess.CalledProcessError):  # this process tells why, if it is not for want of another
        return b""
    return done.stdout if loads(done.stdout) else b""  # a site's own start-up may print something


def _name(triggers: Sequence[Trigger]) -> str:
    """Where the databases of *triggers* are kept."""
    digest = hashlib.sha256(_FORMAT)
    for part in _engine():
        digest.update(part.encode() + b"\0")
    columns = list(zip(*triggers, strict=True)) or [()]  # there are twenty thousand rows
    digest.update(array("Q", map(len, columns[0])).tobytes() + b"".join(columns[0]))
    for kinds in columns[1:]:
        digest.update(bytes(kinds))
    return f"first-pass-{digest.hexdigest()[:32]}.hsdb"


def _prepared_name(own: str) -> str:
    """Where what is prepared is kept: one file for each set of the user's own rules, whatever the program."""
    return f"first-pass-{hashlib.sha256(_FORMAT + own.encode()).hexdigest()[:32]}.json"


def _engine() -> tuple[str, str, str]:
    """What compiled databases depend on besides the triggers: the engine, and instruction sets as Linux names them."""
    return ENGINE, os.uname().machine, _cpu_kind()


def _cpu_kind() -> str:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        return ""
    return " ".join(word for word in flags.split() if word.startswith(("ssse3", "sse4", "avx", "asimd", "sve", "bmi")))

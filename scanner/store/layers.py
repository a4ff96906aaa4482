"""Results of layers in the store: each blob is read once for a rule set, whatever the number of images."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import func, select

from scanner.image.blob import Blob
from scanner.oci import is_digest
from scanner.secrecy.seal import Seal
from scanner.store.database import DatabaseError, Store, patient, put
from scanner.store.schema import LAYERS
from scanner.work.jobs import BlobOutcome
from scanner.work.kept import keepable, sealed_outcome, unpacked
from scanner.work.messages import Form


class KeptLayers:
    """What `scan.Kept` asks for, in a store.

    Attributes:
        read: how many blobs were read because the store did not know them.
        size: their bytes as they are unpacked.
    """

    def __init__(self, engine: Store, rules: str, seal: Seal) -> None:
        self._engine, self._rules, self._seal = engine, rules, seal
        self.read = self.size = 0
        self._claimed = frozenset[str]()  # what nobody can have read but who has this

    @patient
    def get(self, blob: Blob, form: Form) -> BlobOutcome | None:
        """What is kept of *blob*, None if it is not known. What was read as a layer answers for a blob that only looks
        like one."""
        if not is_digest(blob.name) or blob.name in self._claimed:
            return None
        forms = [form.value, *([Form.LAYER.value] if form is Form.GUESS else ())]
        wanted = select(LAYERS.c.outcome).where(
            LAYERS.c.digest == blob.name,
            LAYERS.c.rules == self._rules,
            LAYERS.c.form.in_(forms),
            LAYERS.c.key == self._seal.identity,
        )
        with self._engine.connect() as connection:
            raw = connection.execute(wanted.limit(1)).scalar_one_or_none()
        return None if raw is None else unpacked(raw, blob, self._seal)

    @contextlib.contextmanager
    def claimed(self, blobs: Iterable[Blob]) -> Iterator[None]:
        """While this lasts nobody else reads those of *blobs* that are not known yet; waits for whoever does so now.

        On PostgreSQL, by advisory locks: those of a process that dies are free at once. They are taken in one order, so
        that no two processes wait for each other. Elsewhere there is one process only.
        """
        names = sorted({blob.name for blob in blobs if is_digest(blob.name)})
        if self._engine.dialect.name != "postgresql":
            yield
            return
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            try:
                known = self._known(names)
                unknown = [name for name in names if name not in known]
                for name in unknown:
                    digest = hashlib.sha256(f"{self._rules} {name}".encode()).digest()
                    connection.execute(select(func.pg_advisory_lock(int.from_bytes(digest[:8], "big", signed=True))))
                self._claimed = frozenset(unknown) - self._known(unknown)  # others may have read some meanwhile
                yield
            finally:
                self._claimed = frozenset()
                with contextlib.suppress(DatabaseError):  # a connection that is gone has let go of them
                    connection.execute(select(func.pg_advisory_unlock_all()))

    @patient
    def _known(self, names: Sequence[str]) -> frozenset[str]:
        """Those of *names* that the store knows."""
        if not names:
            return frozenset()
        wanted = select(LAYERS.c.digest).where(
            LAYERS.c.digest.in_(names), LAYERS.c.rules == self._rules, LAYERS.c.key == self._seal.identity
        )
        with self._engine.connect() as connection:
            return frozenset(connection.execute(wanted).scalars())

    def put(self, outcome: BlobOutcome, form: Form) -> BlobOutcome:
        """Keep an outcome if it can be kept; returns it as `get` will give it, or as it is."""
        self.read += 1
        self.size += outcome.read.size if outcome.read is not None else 0
        if not keepable(outcome):
            return outcome
        found, raw = sealed_outcome(outcome, self._seal)
        self._keep(outcome.blob.name, form, raw)
        return found

    @patient
    def _keep(self, name: str, form: Form, raw: bytes) -> None:
        row = {"digest": name, "rules": self._rules, "form": form.value, "key": self._seal.identity, "outcome": raw}
        with self._engine.begin() as connection:
            put(connection, LAYERS, [row], update=("outcome",))


def other_keys(engine: Store, identity: str) -> bool:
    """Whether the store has layers that were read under another key than that of *identity*. Raises DatabaseError."""
    with engine.connect() as connection:
        found = connection.execute(select(LAYERS.c.key).where(LAYERS.c.key != identity).limit(1))
        return found.scalar_one_or_none() is not None

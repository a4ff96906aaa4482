"""Results of layers in the store: each blob is read once for a rule set, whatever the number of images."""

from __future__ import annotations

from sqlalchemy import select

from scanner.image.blob import Blob
from scanner.oci import is_digest
from scanner.seal import Seal
from scanner.store.database import Store, put
from scanner.store.schema import LAYERS
from scanner.work.kept import keepable, sealed_outcome, unpacked
from scanner.work.messages import Form
from scanner.work.pool import BlobOutcome


class KeptLayers:
    """What `scan.Kept` asks for, in a store.

    Attributes:
        read: how many blobs were read because the store did not know them.
    """

    def __init__(self, engine: Store, rules: str, seal: Seal) -> None:
        self._engine, self._rules, self._seal = engine, rules, seal
        self.read = 0

    def get(self, blob: Blob, form: Form) -> BlobOutcome | None:
        """What is kept of *blob*, None if it is not known."""
        if not is_digest(blob.name):
            return None
        wanted = select(LAYERS.c.outcome).where(
            LAYERS.c.digest == blob.name,
            LAYERS.c.rules == self._rules,
            LAYERS.c.form == form.value,
            LAYERS.c.key == self._seal.identity,
        )
        with self._engine.connect() as connection:
            raw = connection.execute(wanted).scalar_one_or_none()
        return None if raw is None else unpacked(raw, blob, self._seal)

    def put(self, outcome: BlobOutcome, form: Form) -> BlobOutcome:
        """Keep an outcome if it can be kept; returns it as `get` will give it, or as it is."""
        self.read += 1
        if not keepable(outcome):
            return outcome
        found, raw = sealed_outcome(outcome, self._seal)
        row = {"digest": outcome.blob.name, "rules": self._rules, "form": form.value, "key": self._seal.identity}
        with self._engine.begin() as connection:
            put(connection, LAYERS, [{**row, "outcome": raw}], update=("outcome",))
        return found

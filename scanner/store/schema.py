"""The tables of the store, in SQLAlchemy Core. `migrations` makes them; a test compares the two.

No column holds a value that was found: fingerprints are keyed, previews redacted, layers' results sealed (`work.kept`).
Times are ISO 8601 in UTC.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

METADATA = MetaData()

REGISTRIES = Table(
    "registries",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("host", String(255), nullable=False, unique=True),
)

#: what tags pointed to, and when: a tag that moved has a row for each manifest, *current* in the last one
TAGS = Table(
    "tags",
    METADATA,
    Column("registry", Integer, ForeignKey("registries.id"), primary_key=True),
    Column("repository", String(255), primary_key=True),
    Column("tag", String(128), primary_key=True),
    Column("digest", String(140), primary_key=True),
    Column("seen_first", String(32), nullable=False),
    Column("seen_last", String(32), nullable=False),
    Column("current", Boolean, nullable=False),
    Index("tags_by_digest", "digest"),
)

#: the verdict on a manifest or index by one rule set; *document* are its images as in a report, zlib-packed JSON
RESULTS = Table(
    "results",
    METADATA,
    Column("digest", String(140), primary_key=True),
    Column("rules", String(140), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("final", Boolean, nullable=False),
    Column("repository", String(511), nullable=False),
    Column("created", String(32), nullable=False),
    Column("scanned", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("run", String(32), nullable=False),
    Column("document", LargeBinary, nullable=False),
    Index("results_by_run", "run"),
)

#: which secret was seen in which manifest
SIGHTINGS = Table(
    "sightings",
    METADATA,
    Column("digest", String(140), primary_key=True),
    Column("rules", String(140), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("rule_id", String(128), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("gated", Boolean, nullable=False),
    Column("layer", String(140)),
    Index("sightings_by_fingerprint", "fingerprint"),
)

#: what `work.kept` makes of a blob, by one rule set, under one key
LAYERS = Table(
    "layers",
    METADATA,
    Column("digest", String(140), primary_key=True),
    Column("rules", String(140), primary_key=True),
    Column("form", String(16), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("outcome", LargeBinary, nullable=False),
)

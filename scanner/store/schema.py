"""The tables of the store, in SQLAlchemy Core. `migrations` makes them; a test compares the two.

No column holds a value that was found: fingerprints are keyed, previews redacted, layers' results sealed (`work.kept`).
Times are ISO 8601 in UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

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

#: which manifests an index that was read has: its verdict answers for them
CHILDREN = Table(
    "children",
    METADATA,
    Column("digest", String(140), primary_key=True),
    Column("parent", String(140), primary_key=True),
)

#: what a registry is read with for one ticket, sealed under the installation's key, until the ticket ends
LOGINS = Table(
    "logins",
    METADATA,
    Column("ticket", String(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

#: the condition of the index that keeps scans single
LIVE = text("state IN ('queued', 'running')")
_QUEUED, _RUNNING = text("state = 'queued'"), text("state = 'running'")

#: scans that were asked for; *lease* is the second (epoch) until which *worker* has it, 0 for nobody
TICKETS = Table(
    "tickets",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("reference", String(1024), nullable=False),
    Column("digest", String(140), nullable=False),
    Column("rules", String(140), nullable=False),
    Column("origin", String(64), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("asked", String(32), nullable=False),
    Column("started", String(32), nullable=False),
    Column("ended", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("lease", Float, nullable=False),
    Column("worker", String(64), nullable=False),
    # one scan of a manifest by one rule set at a time
    Index("tickets_live", "digest", "rules", unique=True, sqlite_where=LIVE, postgresql_where=LIVE),
    # a condition with OR over both states would read the whole table: two small indexes, two statements
    Index("tickets_queued", "priority", "asked", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
    Index("tickets_running", "lease", sqlite_where=_RUNNING, postgresql_where=_RUNNING),
    Index("tickets_by_end", "ended"),
)

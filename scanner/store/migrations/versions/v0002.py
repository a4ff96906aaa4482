"""What the service needs: scans that were asked for, and which manifests an index has."""

from __future__ import annotations

import json
import zlib

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables; fill the manifests of indexes from the results that are there."""
    op.create_table(
        "children",
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("parent", sa.String(140), primary_key=True),
    )
    op.create_table(
        "tickets",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("reference", sa.String(1024), nullable=False),
        sa.Column("digest", sa.String(140), nullable=False),
        sa.Column("rules", sa.String(140), nullable=False),
        sa.Column("origin", sa.String(64), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("asked", sa.String(32), nullable=False),
        sa.Column("started", sa.String(32), nullable=False),
        sa.Column("ended", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("deaths", sa.Integer, nullable=False),
        sa.Column("lease", sa.Float, nullable=False),
        sa.Column("worker", sa.String(64), nullable=False),
    )
    live, queued, running = "state IN ('queued', 'running')", "state = 'queued'", "state = 'running'"
    for name, columns, unique, where in (
        ("tickets_live", ["digest", "rules"], True, sa.text(live)),
        ("tickets_queued", ["priority", "asked"], False, sa.text(queued)),
        ("tickets_running", ["lease"], False, sa.text(running)),
    ):
        op.create_index(name, "tickets", columns, unique=unique, sqlite_where=where, postgresql_where=where)
    op.create_index("tickets_by_end", "tickets", ["ended"])
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    children = sa.table("children", sa.column("digest"), sa.column("parent"))
    documents = sa.text("SELECT document FROM results WHERE digest = :digest")
    digests = connection.execute(sa.text("SELECT DISTINCT digest FROM results")).scalars().all()
    for parent in digests:  # one document at a time: a store may be larger than memory
        found = set()
        for raw in connection.execute(documents, {"digest": parent}).scalars():
            found |= {image["manifest_digest"] for image in json.loads(zlib.decompress(raw))} - {parent, None}
        if found:
            connection.execute(sa.insert(children), [{"digest": each, "parent": parent} for each in sorted(found)])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("tickets")
    op.drop_table("children")

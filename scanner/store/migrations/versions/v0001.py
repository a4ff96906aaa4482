"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "registries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("host", sa.String(255), nullable=False, unique=True),
    )
    op.create_table(
        "tags",
        sa.Column("registry", sa.Integer, sa.ForeignKey("registries.id"), primary_key=True),
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("tag", sa.String(128), primary_key=True),
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("seen_first", sa.String(32), nullable=False),
        sa.Column("seen_last", sa.String(32), nullable=False),
        sa.Column("current", sa.Boolean, nullable=False),
    )
    op.create_index("tags_by_digest", "tags", ["digest"])
    op.create_table(
        "results",
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("rules", sa.String(140), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("final", sa.Boolean, nullable=False),
        sa.Column("repository", sa.String(511), nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
        sa.Column("scanned", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("run", sa.String(32), nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    op.create_index("results_by_run", "results", ["run"])
    op.create_table(
        "sightings",
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("rules", sa.String(140), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("rule_id", sa.String(128), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("gated", sa.Boolean, nullable=False),
        sa.Column("layer", sa.String(140)),
    )
    op.create_index("sightings_by_fingerprint", "sightings", ["fingerprint"])
    op.create_table(
        "layers",
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("rules", sa.String(140), primary_key=True),
        sa.Column("form", sa.String(16), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("outcome", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Drop all tables."""
    for table in ("layers", "sightings", "results", "tags", "registries"):
        op.drop_table(table)

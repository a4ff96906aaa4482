"""What was kept of layers in an older form goes: nothing reads it, and parts of it were not keyed."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Forget it; verdicts and findings stay."""
    op.execute("DELETE FROM layers")


def downgrade() -> None:
    """Forget what an older program cannot read."""
    op.execute("DELETE FROM layers")

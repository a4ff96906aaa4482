"""Runs Alembic on the connection that it is handed; it has no settings file of its own."""

from __future__ import annotations

from alembic import context

from scanner.store.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()

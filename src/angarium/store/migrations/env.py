"""Alembic's own entry, for those who write migrations: `alembic -c migrations history`, `upgrade --sql`.

The service itself does not come through here; see `store/migrate.py`.
"""

from __future__ import annotations

from alembic import context

context.configure(dialect_name="postgresql", literal_binds=True)
with context.begin_transaction():
    context.run_migrations()

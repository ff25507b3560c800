"""Versions that are tried beside the current one."""

from alembic import op

from equirouter.serve.money.store.schema import canaries

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    """Make the table."""
    canaries.create(op.get_bind())

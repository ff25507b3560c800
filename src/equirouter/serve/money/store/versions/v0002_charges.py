"""How each call was charged, and which tokens were written to a cache for long."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    """Add the columns; of what was logged before, how it was charged is not known."""
    for name, kind in (
        ("long_cache_write_tokens", sa.BigInteger()),
        ("charged_by", sa.String(16)),
        ("reported_nusd", sa.BigInteger()),
        ("service_tier", sa.String(32)),
        ("over_budget_nusd", sa.BigInteger()),
    ):
        op.add_column("log", sa.Column(name, kind, nullable=True))
    op.execute("UPDATE log SET long_cache_write_tokens = 0 WHERE input_tokens IS NOT NULL")

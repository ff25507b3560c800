"""How a request went of which two models were asked at once."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    """Add the column; none was before."""
    op.add_column("log", sa.Column("cascade", sa.Text(), nullable=True))

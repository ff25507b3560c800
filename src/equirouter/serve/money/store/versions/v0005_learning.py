"""Grades of answers, what a day's learning has cost, and what kind of feedback a score is."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0005", "0004"


def upgrade() -> None:
    """Add two tables and a column; none of it was before."""
    op.add_column("feedback", sa.Column("source", sa.String(16), nullable=True))
    op.create_table(
        "grades",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("claimed_at_us", sa.BigInteger(), nullable=False),
        sa.Column("score", sa.Float(53), nullable=True),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", name="pk_grades"),
    )
    op.create_index("ix_grades_at_us", "grades", ["at_us"])
    op.create_table(
        "day_spending",
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("spent_nusd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("purpose", "day", name="pk_day_spending"),
        sqlite_with_rowid=False,
    )

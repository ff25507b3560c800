"""The first version: its tables are made from schema.py, as those of every new database are."""

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Nothing: no tables are older."""

"""The first version: its tables were made from tables.py, as those of every new database are."""

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Nothing: no tables are older."""

"""Static embeddings: the mean of token vectors read from a table, without a model to run.

static.py      StaticEncoder
token_table.py TokenTable: one vector per word piece
distil.py      makes the table from all-MiniLM-L6-v2
"""

from equirouter.encoders.static.static import StaticEncoder

__all__ = ["StaticEncoder"]

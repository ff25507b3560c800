"""Where keys, money and the decision log are kept: SQLite in WAL mode, or PostgreSQL by URL.

engine.py       the database: connections, transactions, what "the store is gone" means
tables.py       the tables
migrate.py      brings a database to this version, one worker at a time
versions/       the steps of that, by Alembic
books.py        reservations of money, a group per transaction
statements.py   the statements of that
batches.py      what is written behind the requests: settlements, log, sums per hour
bulk.py         many rows in one statement
rows.py         a finished request as rows of the tables
workers.py      who is alive; what becomes of a dead worker's reservations
store.py        Store: all of it behind one object
"""

__all__: list[str] = []

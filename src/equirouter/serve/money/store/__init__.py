"""Where keys, money and the decision log are kept: SQLite in WAL mode, or PostgreSQL by URL.

engine.py        the database: connections, transactions, files, what "it is gone" means
log_columns.py   the columns of the log: its table, rows and records come from them
schema.py        the tables
migrate.py       brings a database to this version, one worker at a time
versions/        the steps of that, by Alembic
books.py         short transactions on a connection of their own
statements.py    their statements, made once; adding to counters
reserving.py     reservations of money, a group per transaction
write_batches.py settlements, log and sums, written behind the requests
workers.py       which workers are alive; the reservations of dead ones
reports.py       queries of the dashboard: sums, latencies, single decisions
learned.py       what exploration and shadow answers cost, and taught
canaries.py      versions that are tried, and what the log says of them
tail.py          what a pipeline decided, read bit by bit
store.py         Store: all of it behind one object; what is too old deleted
"""

"""Alembic's steps from one version of the tables to the next.

v0001_initial.py   all tables
v0002_charges.py   columns of the log: how a call was charged
"""

__all__: list[str] = []

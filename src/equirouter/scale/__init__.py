"""Queries by the million: streams and files, on the cores of a machine or on a cluster.

asking.py  from a row to what it asks of a pipeline
lines.py   JSON lines of queries in, each line with its decision out
"""

__all__: list[str] = []

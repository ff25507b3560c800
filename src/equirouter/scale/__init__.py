"""Queries by the million: streams and files, on the cores of a machine or on a cluster.

asked_rows.py   from a row to what it asks of a pipeline
lines.py        JSON lines of queries in, each line with its decision out
pieces.py       the input cut into pieces
output_parts.py a piece decided, and written as a part of the output
journal.py      which parts are written: a run goes on where it was stopped
run.py          run_batch: a run as a whole
here.py         the engine of this machine: processes for pieces, and for the fits of `bench`
on_ray.py       the engine of a cluster
fits_on_ray.py  the fits of `bench` on a cluster
"""

from equirouter.scale.asked_rows import Asking
from equirouter.scale.run import Summary, run_batch

__all__ = ["Asking", "Summary", "run_batch"]

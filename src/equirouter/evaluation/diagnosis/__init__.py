"""Why routing on a table collapses, or pays.

measuring.py     diagnose: everything below on one table
contents.py      the fields of a Diagnosis
per_router.py    a router's collapse over the budgets, a pipeline's own decisions
checking.py      whether comparing the answers of two cheap models would pay
per_task.py      on which tasks, and from which budget on, a router collapses
ties.py          margins (Eq. 4) and ties of a table
noise.py         the oracle with noise on its labels; the maximum-mean-winner claim (Eq. 11)
"""

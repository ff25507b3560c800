"""Commands of the gateway: each parses, calls `equirouter.serve` and prints.

serve.py    the gateway itself, and its check
keys.py     keys and their budgets
log.py      the decision log, and feedback
status.py   how the loop stands: version, canary, alarms, money
retrain.py  the log and the table make a challenger; a gate decides
"""

from equirouter.cli.gateway import keys, log, retrain, serve, status

__all__ = ["keys", "log", "retrain", "serve", "status"]

"""Processes: the parts put together, started, watched and drained.

packages.py    what the settings need beside the core, said before anything is opened
assembly.py    the parts put together from the settings, or tried without serving
canary.py      a version that is tried: begun, watched, and ended by itself
drift_watch.py the watch for drift, fed from the log
status.py      how the loop stands, without a gateway
retraining.py  the clock for `equirouter retrain`, in a process of its own
server.py      one process that serves; drains on SIGTERM
supervisor.py  several of them on one port, and the one that looks after them
"""

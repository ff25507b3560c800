"""Watching: metrics, logs, traces, events and the alarms for collapse and for drift.

collapse_alarm.py  the alarms for routing collapse, and for agreement that drifts
drift.py           the list of all alarms; what is not as it was
events.py          new log entries for those who look at the dashboard
logs.py            lines on stderr, as JSON or text, without texts and secrets
prometheus.py      Prometheus metrics, those of several workers added up
side_by_side.py    is a new version worse, or surely not? a sequential test
tracing.py         OpenTelemetry spans of a request that is over
"""

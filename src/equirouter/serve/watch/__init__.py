"""Watching: metrics, logs, traces, events and the alarms for collapse and for drift.

agreement_alarm.py  the alarm for agreement that is not as it was when plans were learned
collapse_alarm.py   the alarm for routing collapse
drift.py            the list of all alarms; what is not as it was
events.py           new log entries for those who look at the dashboard
logs.py             lines on stderr, as JSON or text, without texts and secrets
prometheus.py       Prometheus metrics, those of several workers added up
side_by_side.py     is a new version worse, or surely not? a sequential test
tracing.py          OpenTelemetry spans of a request that is over
"""

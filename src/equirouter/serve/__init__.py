"""The gateway: an OpenAI-compatible endpoint that routes, over aiohttp.

settings.py     gateway.toml, checked; secrets by the name of a variable or file only
records.py      what the parts hand to each other: keys, plans, attempts, a request's record
errors.py       what is answered when a request cannot be served, in OpenAI's form
parts.py        what the gateway expects of planner, admission, log, metrics and events
chat.py         what is read of a body: messages, limits, what a model must be able to do
controls.py     what a request asks of the router: by model name, in its body, by headers
usage.py        usage -> tokens -> nano-USD; the upper bound of a call
reporting.py    what the dashboard asks of the store
metrics.py      Prometheus metrics; sharing.py adds those of several workers up
logs.py         lines on stderr, as JSON or text, without texts and secrets
tracing.py      OpenTelemetry spans of a request that is over
events.py       new log entries for those who look at the dashboard
"""

from equirouter.serve.errors import GatewayError
from equirouter.serve.settings import GatewaySettings, read_settings

__all__ = ["GatewayError", "GatewaySettings", "read_settings"]

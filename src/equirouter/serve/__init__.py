"""The gateway: an OpenAI-compatible endpoint that routes, over aiohttp.

settings.py     gateway.toml, checked; secrets by the name of a variable or file only
complaints.py   what is wrong with it, in words
records.py      what the parts hand to each other: keys, plans, attempts, a request's record
errors.py       what is answered when a request cannot be served, in OpenAI's form
parts.py        what the gateway expects of planner, admission, log, metrics and events
chat.py         what is read of a body: messages, limits, what a model must be able to do
responses.py    a request of the Responses API, read as a chat
translation/    the Responses API for upstreams that have chat completions only
embeddings.py   a request for embeddings
admin.py        state of the gateway, a new pipeline; adminkeys.py: keys over HTTP
access.py       who may look at the gateway itself
local.py        what is answered without keys: programs of this machine only
controls.py     what a request asks of the router: by model name, in its body, by headers
scope.py        which part of a conversation is routed on
tokens.py       how many tokens a prompt will have, rather too many
loading.py      a pipeline read, tried out and measured
decider.py      decisions beside the event loop, in batches that never wait; a new pipeline
pacing.py       the lambda that a mean spend comes to, on what requests have cost
sessions.py     which model a conversation stays with, and what a switch costs
feasible.py     who may answer at all, and what a call can cost at most
planner.py      who may answer a request, best first; ranking.py: from a decision to candidates
explain.py      a plan as the document of /v1/route
collapse.py     the alarm for routing collapse
usage.py        usage -> tokens -> nano-USD; the upper bound of a call
admission.py    who may call: keys, rates and budgets as answers of the gateway
keys.py         keys made, listed and revoked; what each spent
limits.py       budgets and rates decided on what the store knows: pure functions
ledger.py       money reserved before a call and settled after it
writer.py       settlements and the log written behind the requests
feedback.py     what users say of answers
export.py       the log as an outcomes table again
store/          the database of all that
reporting.py    what the dashboard asks of the store
metrics.py      Prometheus metrics; sharing.py adds those of several workers up
logs.py         lines on stderr, as JSON or text, without texts and secrets
tracing.py      OpenTelemetry spans of a request that is over
events.py       new log entries for those who look at the dashboard
body.py         a body read under limits, and written again where something in it changes
upstream.py     one call of a provider over aiohttp
litellm_sdk.py  the same through LiteLLM's SDK, for providers with an API of their own
breaker.py      circuit breaker, calls at once and calls per minute of an upstream
pool.py         the models of the pool: upstream, price, whether it can be called now
attempts.py     one candidate after the other until the first byte of an answer is there
sse.py          server-sent events on their way through: usage, errors, the model's name
relay.py        a stream from an upstream to a client
exchange.py     one request on its way: planned, paid for, answered, logged
endpoints.py    what is behind each path
openapi.py      what is behind each path, as an OpenAPI document
app.py          the gateway and the web application around it
assembly.py     its parts put together from the settings
checking.py     the settings tried without serving
server.py       one process that serves; drains on SIGTERM
workers.py      several of them on one port, and the one that looks after them
dashboard/      the page that shows all this, and the data behind it
"""

from equirouter.serve.errors import GatewayError
from equirouter.serve.settings import GatewaySettings, read_settings

__all__ = ["GatewayError", "GatewaySettings", "read_settings"]

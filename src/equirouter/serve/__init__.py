"""The gateway: an OpenAI-compatible endpoint that routes, over aiohttp.

charging.py          usage -> tokens -> nano-USD; the upper bound of a call
chat.py              what is read of a body: messages, limits, abilities, what is routed on
contracts.py         what the gateway expects of planner and admission
learning_settings.py what other models answer to teach, how a challenger is made and tried
records.py           what the parts hand to each other: keys, plans, attempts, a request's record
refusals.py          the answer to a request that cannot be served, and its HTTP status
setting_types.py     what the sections of the settings are made of
settings.py          every setting, checked; secrets by the name of a variable or file only
settings_file.py     gateway.toml read, its errors in words
settling.py          what a call is charged: by its usage, or where nobody saw one
watch_settings.py   what is watched, and who may see it
stopping.py          how long a stop takes, in parts and in all
money/               keys, limits, the ledger, the store and its log
call/                providers: upstreams, attempts, streams, translation
watch/               metrics, logs, traces, events and the collapse alarm
plan/                who may answer a request, best first
dashboard/           the page that shows all this, and the data behind it
http/                endpoints, bodies, access, and one request on its way
run/                 the parts put together, started, watched and drained
"""

from equirouter.errors import GatewayError
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.settings_file import read_settings

__all__ = ["GatewayError", "GatewaySettings", "read_settings"]

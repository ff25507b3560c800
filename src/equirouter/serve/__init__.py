"""The gateway: an OpenAI-compatible endpoint that routes, over aiohttp.

settings.py     gateway.toml, checked; secrets by the name of a variable or file only
records.py      what the parts hand to each other: keys, plans, attempts, a request's record
errors.py       what is answered when a request cannot be served, in OpenAI's form
"""

from equirouter.serve.errors import GatewayError
from equirouter.serve.settings import GatewaySettings, read_settings

__all__ = ["GatewayError", "GatewaySettings", "read_settings"]

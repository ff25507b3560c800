"""The Responses API for upstreams that have chat completions only: there and back.

reading.py      parts of a request taken as they are expected, or refused
tools.py        tools as functions, and calls of functions as those of the tools
request.py      a request of the Responses API as a chat completion, or what it has no place for
items.py        the items of a response as they grow
building.py     an answer as it grows, or a whole one: a chat completion in, a response out
translating.py  an upstream that is asked for a response and is called for a chat completion
"""

from equirouter.serve.call.translation.request import as_chat, left_out
from equirouter.serve.call.translation.translating import TranslatingUpstream

__all__ = ["TranslatingUpstream", "as_chat", "left_out"]

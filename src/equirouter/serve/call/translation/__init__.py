"""The Responses API for upstreams that have chat completions only: there and back.

request.py      a request of the Responses API as a chat completion, or what it has no place for
building.py     an answer as it grows, or a whole one: a chat completion in, a response out
translating.py  an upstream that is asked for a response and is called for a chat completion
"""

from equirouter.serve.call.translation.request import as_chat
from equirouter.serve.call.translation.translating import TranslatingUpstream

__all__ = ["TranslatingUpstream", "as_chat"]

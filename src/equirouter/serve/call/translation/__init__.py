"""Three dialects and one form: requests and answers of chat completions, which every upstream has.

An adapter per dialect and direction: a request becomes a chat completion, and what a model says in
one becomes an answer in the client's dialect.

chat_form.py     what was said, in the form of a chat; parts of a request read or refused
telling.py       an answer as it grows, in any dialect
responses/       the Responses API
messages/        Anthropic's Messages API
translating.py   the dialects; an upstream asked in one and called for a chat completion
"""

from equirouter.serve.call.translation.messages.building import without_own_thoughts
from equirouter.serve.call.translation.translating import (
    DIALECTS,
    Dialect,
    TranslatingUpstream,
    translated,
)

__all__ = ["DIALECTS", "Dialect", "TranslatingUpstream", "translated", "without_own_thoughts"]

"""Three dialects and one form: requests and answers of chat completions, which every upstream has.

An adapter per dialect and direction: a request becomes a chat completion, and what a model says in
one becomes an answer in the client's dialect.

chat_form.py     what was said, in the form of a chat
reading.py       parts of a request taken as they are expected, or refused; names
telling.py       an answer as it grows, in any dialect
responses/       the Responses API
messages/        Anthropic's Messages API
dialects.py      what is known of each dialect
translating.py   an upstream that is asked in a dialect and is called for a chat completion
"""

from equirouter.serve.call.translation.dialects import DIALECTS, Dialect, translated
from equirouter.serve.call.translation.messages.building import without_own_thoughts
from equirouter.serve.call.translation.translating import TranslatingUpstream

__all__ = ["DIALECTS", "Dialect", "TranslatingUpstream", "translated", "without_own_thoughts"]

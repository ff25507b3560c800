"""Chat completions that OpenAI stored."""

from collections.abc import Iterator, Mapping
from typing import Any

from equirouter.data.logs.base import LeftOut, LoggedRequest, LogReader, without_text
from equirouter.data.logs.bodies import as_messages, parameters_of
from equirouter.data.logs.fields import first, inner, named, parsed, unix_seconds
from equirouter.data.logs.provider_answers import reply_of

_OF_REQUEST = (
    *("tools", "tool_choice", "response_format", "temperature", "top_p", "seed", "metadata"),
    *("presence_penalty", "frequency_penalty"),
)


class StoredCompletions(LogReader):
    """Objects `chat.completion` as the API lists them, each with its `messages`.

    The list has none: they come from /chat/completions/ID/messages, and are put beside it as a
    list, or as that answer itself. metadata.task, where it was sent, is the task.
    """

    title = "OpenAI stored completions (GET /v1/chat/completions, 2026-11)"
    keeps_texts = (
        "the list of stored completions has none of them: fetch /v1/chat/completions/ID/messages "
        'for each and put it under "messages"'
    )

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """By its object."""
        return record.get("object") == "chat.completion"

    def read(self, record: Mapping[str, Any]) -> Iterator[LoggedRequest | LeftOut]:
        """The one request of an object."""
        content = parsed(first(record, "messages", "input"))
        if isinstance(content, Mapping):
            content = content.get("data")
        if not content:
            yield without_text
            return
        messages = [
            {name: value for name, value in message.items() if name not in ("id", "content_parts")}
            | ({"content": message["content_parts"]} if message.get("content_parts") else {})
            for message in as_messages(content)
        ]
        yield LoggedRequest(
            messages=messages,
            parameters=parameters_of({name: record.get(name) for name in _OF_REQUEST}),
            task=named(inner(record, "metadata"), "task"),
            asked_at=unix_seconds(record.get("created")),
            **reply_of(record),
        )

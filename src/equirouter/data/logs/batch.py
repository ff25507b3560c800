"""OpenAI's batches: what was put in, and what came out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from equirouter.data.logs.base import (
    DAMAGE,
    Fields,
    Found,
    LeftOut,
    LoggedRequest,
    LogReader,
    Record,
    without_text,
    wrong_record,
)
from equirouter.data.logs.bodies import (
    ReplyFields,
    as_messages,
    parameters_of,
    reply_of,
    request_of,
)
from equirouter.errors import FieldError


class OpenAIBatch(LogReader):
    """Requests of input files, each with its answer where the output file is given as well.

    They belong together by custom_id. What has no partner yet is held in memory. Azure's and
    other providers' batches of this form are read too.
    """

    title = "OpenAI batch input and output files (Batch API, 2026-11)"
    keeps_texts = "the input file of the batch has them: give both files"

    def recognises(self, record: Fields) -> bool:
        """By custom_id, and what was sent or came back."""
        return "custom_id" in record and ("body" in record or "response" in record)

    def read(self, record: Fields) -> LoggedRequest | LeftOut:
        """The request of a line of an input file."""
        url, body = str(record.get("url") or ""), record.inner("body")
        if not url.endswith(("/chat/completions", "/responses", "/completions", "/messages")):
            return LeftOut(f"calls of {url or 'no endpoint'}")
        messages, parameters = request_of(body)
        if not messages:
            return without_text
        return LoggedRequest(messages=messages, parameters=parameters, model=body.named("model"))

    def found(self, records: Iterable[Record]) -> Iterator[Found]:
        """The requests with their answers, each when both are known."""
        asked: dict[str, LoggedRequest | LeftOut] = {}
        replied: dict[str, ReplyFields] = {}
        for record in records:
            name = str(record.content.get("custom_id"))
            try:
                if "body" in record.content:
                    of_line = self.read(record.content)
                    if name in asked:
                        raise FieldError(f"custom_id {name!r} is there twice")
                    asked[name] = of_line
                else:
                    replied[name] = reply_of(record.content.inner("response").get("body"))
            except DAMAGE as error:
                yield wrong_record(record.place, error)
                continue
            if name in asked and name in replied:
                yield _answered(asked.pop(name), replied.pop(name))
        yield from asked.values()
        yield from (without_text for _ in replied)


def _answered(request: LoggedRequest | LeftOut, reply: ReplyFields) -> LoggedRequest | LeftOut:
    if isinstance(request, LeftOut):
        return request
    known: dict[str, Any] = {name: value for name, value in reply.items() if value is not None}
    known["model"] = request.model or reply.get("model")
    return replace(request, **known)


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

    def recognises(self, record: Fields) -> bool:
        """By its object."""
        return record.get("object") == "chat.completion"

    def read(self, record: Fields) -> LoggedRequest | LeftOut:
        """The one request of an object."""
        content = record.parsed("messages", "input")
        if isinstance(content, Mapping):
            content = content.get("data")
        if not content:
            return without_text
        messages = [
            {name: value for name, value in message.items() if name not in ("id", "content_parts")}
            | ({"content": message["content_parts"]} if message.get("content_parts") else {})
            for message in as_messages(content)
        ]
        return LoggedRequest(
            messages=messages,
            parameters=parameters_of({name: record.get(name) for name in _OF_REQUEST}),
            task=record.inner("metadata").named("task"),
            asked_at=record.time("created"),
            **reply_of(record),
        )

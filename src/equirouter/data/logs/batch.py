"""OpenAI's batches: what was put in, and what came out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from equirouter.data.logs.base import (
    Found,
    LeftOut,
    LoggedRequest,
    LogReader,
    Record,
    Wrong,
    without_text,
)
from equirouter.data.logs.bodies import request_of
from equirouter.data.logs.fields import inner, named
from equirouter.data.logs.provider_answers import ReplyFields, reply_of
from equirouter.errors import FieldError


class OpenAIBatch(LogReader):
    """Requests of input files, each with its answer where the output file is given as well.

    They belong together by custom_id. What has no partner yet is held in memory. Azure's and
    other providers' batches of this form are read too.
    """

    title = "OpenAI batch input and output files (Batch API, 2026-11)"
    keeps_texts = "the input file of the batch has them: give both files"

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """By custom_id, and what was sent or came back."""
        return "custom_id" in record and ("body" in record or "response" in record)

    def read(self, record: Mapping[str, Any]) -> Iterator[LoggedRequest | LeftOut]:
        """The request of a line of an input file."""
        url, body = str(record.get("url") or ""), inner(record, "body")
        if not url.endswith(("/chat/completions", "/responses", "/completions", "/messages")):
            yield LeftOut(f"calls of {url or 'no endpoint'}")
            return
        messages, parameters = request_of(body)
        if not messages:
            yield without_text
            return
        yield LoggedRequest(messages=messages, parameters=parameters, model=named(body, "model"))

    def found(self, records: Iterable[Record]) -> Iterator[Found]:
        """The requests with their answers, each when both are known."""
        asked: dict[str, LoggedRequest | LeftOut] = {}
        replied: dict[str, ReplyFields] = {}
        for record in records:
            name = str(record.content.get("custom_id"))
            try:
                if "body" in record.content:
                    of_line = next(iter(self.read(record.content)))
                    if name in asked:
                        raise FieldError(f"custom_id {name!r} is there twice")
                    asked[name] = of_line
                else:
                    replied[name] = reply_of(inner(record.content, "response").get("body"))
            except FieldError as error:
                yield Wrong(f"{record.place}: {error}")
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

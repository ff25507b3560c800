"""An answer as it grows: what a model says in a chat completion in, events of a response out.

A whole answer and a stream come to the same response, since both are built here. Texts and
reasoning end where something else begins; calls of tools end with the answer, as a provider may
send parts of several in turn.
"""

import time
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from equirouter.serve.call.translation.items import EMPTY_CALLS, PARTS, Item, Part
from equirouter.serve.call.translation.tools import Tool, known_tools
from equirouter.serve.charging import reported

__all__ = ["Building", "as_response", "response_usage"]

_Object = dict[str, Any]
Status: TypeAlias = Literal["in_progress", "completed", "incomplete", "failed"]

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_STATED = ("cost", "cost_details", "is_byok")  # by the provider, of what an answer cost
_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc"}
_PREFIXES |= {"custom_tool_call": "ctc", "local_shell_call": "lsh"}
_SAID_AGAIN: Mapping[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "user": None,
    "metadata": {},
}


class Building:
    """One answer. Events come without their number in the stream, which the stream knows.

    request: of the Responses API; much of it is said again in the answer. first: the completion, or
    its first chunk. model: its name where that says none. number: what the ids of the response and
    its items are made of, "" draws one. size: characters that were said.
    """

    def __init__(
        self, request: Mapping[str, Any], first: Mapping[str, Any], *, model: str, number: str = ""
    ) -> None:
        named, created = first.get("model"), first.get("created")
        self.size = 0
        self._request = request
        self._service_tier = first.get("service_tier")
        self._number = number or uuid4().hex
        self._model = named if isinstance(named, str) and named else model
        self._created_at = created if type(created) is int and created > 0 else int(time.time())
        self._tools = {tool.chat_name: tool for tool in known_tools(request)}
        self._items: list[Item] = []
        self._open: Item | None = None  # the message or reasoning that goes on
        self._calls: list[tuple[object, Item]] = []  # with the index that the provider gave each
        self._events: list[_Object] = []
        self._reason: str | None = None

    def take(self) -> list[_Object]:
        """The events since the last time."""
        events, self._events = self._events, []
        return events

    def add(self, delta: Mapping[str, Any]) -> None:
        """Go on with a delta, or a whole message. Raises ValueError for what cannot be read."""
        for name in ("reasoning_content", "reasoning"):
            if isinstance(delta.get(name), str) and delta[name]:
                self._say("reasoning_text", delta[name])
                break
        for kind, text in _texts(delta.get("content")):
            self._say(kind, text)
        for citation in _citations(delta.get("annotations")):
            self._cite(citation)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._say("refusal", refusal)
        calls = delta.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise ValueError("tool_calls that are not a list")
        for call in calls or []:
            self._call(call)

    def close(self, reason: object) -> None:
        """The model has finished, for that reason; an answer that says nothing is an empty text.

        Raises ValueError for a call that cannot be read.
        """
        self._reason = _INCOMPLETE.get(str(reason))
        if all(item.kind == "reasoning" for item in self._items):
            self._say("output_text", "")
        last = self._items[-1]
        self._end_open("incomplete" if self._reason and last is self._open else "completed")
        for _, item in self._calls:
            self._end_call(item, "incomplete" if self._reason and item is last else "completed")
        self._calls.clear()

    @property
    def status(self) -> Status:
        """How an answer stands that was closed."""
        return "completed" if self._reason is None else "incomplete"

    def response(
        self, status: Status, *, usage: _Object | None = None, error: _Object | None = None
    ) -> _Object:
        """The response as it is now."""
        if status == "failed":
            for item in self._items:
                item.status = "incomplete" if item.status == "in_progress" else item.status
        request = self._request
        again = {
            name: request[name] if request.get(name) is not None else default
            for name, default in _SAID_AGAIN.items()
        }
        if isinstance(self._service_tier, str):
            again["service_tier"] = self._service_tier
        return {
            "id": f"resp_{self._number}",
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "model": self._model,  # before what may hold a "model" of its own
            "error": error,
            "incomplete_details": {"reason": self._reason} if status == "incomplete" else None,
            "output": [item.document() for item in self._items],
            "usage": usage,
            "store": False,
            "background": False,
            "previous_response_id": None,
            "truncation": "disabled",
            **again,
        }

    def _say(self, kind: str, text: str) -> None:
        stem, item_kind = PARTS[kind][1:]
        self.size += len(text)
        item = self._open
        if item is None or item.kind != item_kind:
            self._end_open("completed")
            item = self._open = self._begin(item_kind)
        if not item.parts or item.parts[-1].kind != kind:
            self._end_part(item)
            part = Part(kind)
            item.parts.append(part)
            self._tell("response.content_part.added", item, in_part=True, part=part.document())
        if text:
            item.parts[-1].pieces.append(text)
            self._tell(f"{stem}.delta", item, in_part=True, delta=text, **_logprobs(kind))

    def _cite(self, citation: _Object) -> None:
        """Add a citation to the text that was said last; there must be one."""
        item = self._open
        if item is None or not item.parts or item.parts[-1].kind != "output_text":
            self._say("output_text", "")
            item = self._open
        assert item is not None  # noqa: S101  # a text was begun
        known = item.parts[-1].annotations
        kind = "response.output_text.annotation.added"
        more = {"annotation_index": len(known), "annotation": citation}
        known.append(citation)
        self._tell(kind, item, in_part=True, **more)

    def _call(self, given: object) -> None:
        function = given.get("function") if isinstance(given, dict) else None
        if not isinstance(given, dict) or not isinstance(function, dict):
            raise ValueError("a tool call without a function")
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        if not isinstance(name, str) or not isinstance(arguments, str):
            raise ValueError("a tool call whose name or arguments are not text")
        item = self._call_of(given, name)
        item.name = item.name or name
        if arguments:
            self.size += len(arguments)
            item.arguments.append(arguments)
            if item.kind == "function_call":
                self._tell("response.function_call_arguments.delta", item, delta=arguments)

    def _call_of(self, given: _Object, name: str) -> Item:
        """The call that this is a part of: by its index, or its id where providers give no index.

        A new id and a name under a known index are another call: some always give the index 0.
        """
        index, id_ = given.get("index"), given.get("id") or ""
        if not isinstance(id_, str):
            raise ValueError("a tool call whose id is not text")
        for known, item in reversed(self._calls):
            if index is None:
                if (id_ and id_ == item.call_id) or not (id_ or name):
                    return item
            elif known == index:
                if id_ and id_ != item.call_id and name:
                    break
                return item
        self._end_open("completed")
        tool = self._tools.get(name)
        kind = "function_call" if tool is None else tool.kind
        item = self._begin(kind, call_id=id_, name=name, tool=tool)
        self._calls.append((index, item))
        return item

    def _begin(
        self, kind: str, *, call_id: str = "", name: str = "", tool: Tool | None = None
    ) -> Item:
        place = len(self._items)
        number = f"{self._number}{place:04x}"
        if kind in EMPTY_CALLS and not call_id:
            call_id = f"call_{number}"
        identity = f"{_PREFIXES[kind]}_{number}"
        item = Item(kind, identity, place, call_id=call_id, name=name, tool=tool)
        self._items.append(item)
        self._tell_item("added", item)
        return item

    def _end_part(self, item: Item) -> None:
        if not item.parts:
            return
        part = item.parts[-1].document()
        field_, stem = PARTS[part["type"]][:2]
        content = {field_: part[field_], **_logprobs(part["type"])}
        self._tell(f"{stem}.done", item, in_part=True, **content)
        self._tell("response.content_part.done", item, in_part=True, part=part)

    def _end_open(self, status: str) -> None:
        item, self._open = self._open, None
        if item is not None:
            self._end_part(item)
            self._end(item, status)

    def _end_call(self, item: Item, status: str) -> None:
        item.read(status)  # refuses what cannot be told before anything is
        item.status = status
        if item.kind == "function_call":
            document = item.document()
            said = {name: document[name] for name in ("name", "arguments")}
            self._tell("response.function_call_arguments.done", item, **said)
        elif item.kind == "custom_tool_call":
            text = item.written()["input"]
            self._tell("response.custom_tool_call_input.delta", item, delta=text)
            self._tell("response.custom_tool_call_input.done", item, input=text)
        self._end(item, status)

    def _end(self, item: Item, status: str) -> None:
        item.status = status
        self._tell_item("done", item)

    def _tell_item(self, change: str, item: Item) -> None:
        kind = f"response.output_item.{change}"
        self._events.append({"type": kind, "output_index": item.place, "item": item.document()})

    def _tell(self, kind: str, item: Item, *, in_part: bool = False, **more: object) -> None:
        event: _Object = {"type": kind, "item_id": item.id, "output_index": item.place}
        if in_part:
            event["content_index"] = len(item.parts) - 1
        self._events.append(event | more)


def _logprobs(kind: str) -> _Object:
    return {"logprobs": []} if kind == "output_text" else {}


def _citations(annotations: object) -> list[_Object]:
    """Citations of pages, in which a chat completion has one level more."""
    citations = []
    for annotation in annotations if isinstance(annotations, list) else []:
        cited = annotation.get("url_citation") if isinstance(annotation, dict) else None
        if isinstance(cited, dict):
            citations.append({"type": "url_citation", **cited})
    return citations


def _texts(content: object) -> list[tuple[str, str]]:
    """The texts of a message's content, each text with the kind of part it is in a response."""
    if content is None or isinstance(content, str):
        return [("output_text", content)] if content else []
    if not isinstance(content, list):
        raise ValueError("content that is neither a text nor parts")
    pairs: list[tuple[str, str]] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            pairs.append(("output_text", part["text"]))
        elif kind == "thinking":  # as some providers mark reasoning
            inner = part.get("thinking")
            texts = _texts(inner)
            pairs += [("reasoning_text", text) for _, text in texts]
        else:
            raise ValueError(f"content of type {str(kind)[:60]}")
    return [(kind, text) for kind, text in pairs if text]


def as_response(
    request: Mapping[str, Any], completion: Mapping[str, Any], *, model: str, number: str = ""
) -> dict[str, Any]:
    """The response that a chat completion comes to.

    request: of the Responses API. model: its name where the completion says none. number: of the
    response, a new one where none is given. Raises ValueError for a completion without an answer.
    """
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise ValueError("no choice with a message")
    answer = Building(request, completion, model=model, number=number)
    answer.add(message)
    answer.close(choice.get("finish_reason"))
    return answer.response(answer.status, usage=response_usage(completion.get("usage")))


def response_usage(report: object) -> dict[str, Any] | None:
    """The usage of a chat completion as a response has it, None where it cannot be counted with.

    What it costs is the same by either.
    """
    tokens = reported(report)
    if tokens is None:
        return None
    written = tokens.cache_write + tokens.long_cache_write
    of_input: _Object = {"cached_tokens": tokens.cached_input, "cache_write_tokens": written}
    if tokens.long_cache_write:
        of_input["cache_write_tokens_details"] = {"ttl_12h_tokens": tokens.long_cache_write}
    of_output = {"reasoning_tokens": tokens.reasoning}
    if tokens.audio_input:
        of_input["audio_tokens"] = tokens.audio_input
    if tokens.audio_output:
        of_output["audio_tokens"] = tokens.audio_output
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": of_input,
        "output_tokens": tokens.output,
        "output_tokens_details": of_output,
        "total_tokens": tokens.input + tokens.output,
        **{name: report[name] for name in _STATED if isinstance(report, dict) and name in report},
    }

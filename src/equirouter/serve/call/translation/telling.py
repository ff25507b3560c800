"""An answer as it grows: what a model says in a chat completion in, the client's dialect out.

A whole answer and a stream come to the same, since both are told here.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar
from uuid import uuid4

_Object = dict[str, Any]


class ToolCall(Protocol):
    """A call of a tool that goes on. name: of the function, "" as long as it is not known."""

    call_id: str
    name: str


C = TypeVar("C", bound=ToolCall)


class Telling(ABC):
    """One answer in one dialect; a subclass knows the dialect's events and its whole answers.

    request: of the client, in its dialect. first: the completion, or its first chunk. model: its
    name where that says none. number: what the ids of the answer are made of. size: characters that
    were said. service_tier: which the provider named first. is_numbered: whether
    the dialect's events have their number in the stream.
    """

    is_numbered = False

    def __init__(self, request: Mapping[str, Any], first: Mapping[str, Any], *, model: str) -> None:
        named = first.get("model")
        self.size = 0
        self.service_tier = first.get("service_tier")
        self.number = uuid4().hex
        self.model = named if isinstance(named, str) and named else model
        self.request = request
        self.events: list[_Object] = []
        self.calls: list[tuple[object, Any]] = []  # with the index that the provider gave each

    def take(self) -> list[_Object]:
        """The events since the last time."""
        events, self.events = self.events, []
        return events

    def add(self, delta: Mapping[str, Any]) -> None:
        """Go on with a delta, or a whole message. Raises ValueError for what cannot be read."""
        for name in ("reasoning_content", "reasoning"):
            if isinstance(delta.get(name), str) and delta[name]:
                self._said("reasoning", delta[name])
                break
        for kind, text in _texts(delta.get("content")):
            self._said(kind, text)
        for citation in _citations(delta.get("annotations")):
            self.cite(citation)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._said("refusal", refusal)
        calls = delta.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise ValueError("tool_calls that are not a list")
        for call in calls or []:
            self._called(call)

    @abstractmethod
    def begun(self) -> list[_Object]:
        """The events with which a stream begins."""

    @abstractmethod
    def say(self, kind: str, text: str) -> None:
        """Go on with a text of kind "text", "reasoning" or "refusal"."""

    @abstractmethod
    def cite(self, citation: _Object) -> None:
        """Name a page, which the text that was said last is from."""

    @abstractmethod
    def call(self, call_id: str, name: str) -> ToolCall:
        """Begin a call of a tool."""

    @abstractmethod
    def argue(self, call: Any, arguments: str) -> None:  # noqa: ANN401  # what call() gave
        """Go on with the arguments of a call."""

    @abstractmethod
    def close(self, reason: object) -> None:
        """The model has finished, for that reason. Raises ValueError for an unreadable call."""

    @abstractmethod
    def ended(self, usage: object) -> list[_Object]:
        """The events with which a stream ends well. usage: of the chat completion."""

    @abstractmethod
    def failed(self, why: str, *, usage: object, is_limit: bool) -> list[_Object]:
        """The events with which a stream ends that broke. is_limit: by a limit of the provider."""

    @abstractmethod
    def document(self, usage: object) -> _Object:
        """The whole answer, once it is closed."""

    def _said(self, kind: str, text: str) -> None:
        self.size += len(text)
        self.say(kind, text)

    def _called(self, given: object) -> None:
        function = given.get("function") if isinstance(given, dict) else None
        if not isinstance(given, dict) or not isinstance(function, dict):
            raise ValueError("a tool call without a function")
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        if not isinstance(name, str) or not isinstance(arguments, str):
            raise ValueError("a tool call whose name or arguments are not text")
        call = self._call_of(given, name)
        call.name = call.name or name
        if arguments:
            self.size += len(arguments)
            self.argue(call, arguments)

    def _call_of(self, given: _Object, name: str) -> ToolCall:
        """The call that this is a part of: by its index, or its id where providers give no index.

        A new id and a name under a known index are another call: some always give the index 0.
        """
        index, id_ = given.get("index"), given.get("id") or ""
        if not isinstance(id_, str):
            raise ValueError("a tool call whose id is not text")
        for known, call in reversed(self.calls):
            if index is None:
                if (id_ and id_ == call.call_id) or not (id_ or name):
                    return call  # type: ignore[no-any-return]
            elif known == index:
                if id_ and id_ != call.call_id and name:
                    break
                return call  # type: ignore[no-any-return]
        begun = self.call(id_, name)
        self.calls.append((index, begun))
        return begun


def whole(
    telling: type[Telling], request: Mapping[str, Any], completion: Mapping[str, Any], *, model: str
) -> _Object:
    """The answer that a chat completion comes to. Raises ValueError for one without an answer."""
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise ValueError("no choice with a message")
    answer = telling(request, completion, model=model)
    answer.add(message)
    answer.close(choice.get("finish_reason"))
    return answer.document(completion.get("usage"))


def _citations(annotations: object) -> list[_Object]:
    """Citations of pages, in which a chat completion has one level more."""
    citations = []
    for annotation in annotations if isinstance(annotations, list) else []:
        cited = annotation.get("url_citation") if isinstance(annotation, dict) else None
        if isinstance(cited, dict):
            citations.append({"type": "url_citation", **cited})
    return citations


def _texts(content: object) -> list[tuple[str, str]]:
    """The texts of a message's content, each with its kind."""
    if content is None or isinstance(content, str):
        return [("text", content)] if content else []
    if not isinstance(content, list):
        raise ValueError("content that is neither a text nor parts")
    pairs: list[tuple[str, str]] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            pairs.append(("text", part["text"]))
        elif kind == "thinking":  # as some providers mark reasoning
            pairs += [("reasoning", text) for _, text in _texts(part.get("thinking"))]
        else:
            raise ValueError(f"content of type {str(kind)[:60]}")
    return [(kind, text) for kind, text in pairs if text]

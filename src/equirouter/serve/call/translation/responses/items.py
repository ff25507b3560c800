"""The items of a response as they grow: messages, reasoning, calls of tools."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from equirouter.serve.call.translation.responses.tools import Tool, call_fields

_Object = dict[str, Any]

# kind of a part -> the field that has its text, the stem of its events, the kind of its item
PARTS = {
    "output_text": ("text", "response.output_text", "message"),
    "refusal": ("refusal", "response.refusal", "message"),
    "reasoning_text": ("text", "response.reasoning_text", "reasoning"),
}
EMPTY_CALLS: Mapping[str, _Object] = {
    "function_call": {"arguments": ""},
    "custom_tool_call": {"input": ""},
    "local_shell_call": {"action": {"type": "exec", "command": [], "env": {}}},
}


@dataclass(slots=True)
class ItemPart:
    """A part of a message or of reasoning, of one of the kinds in PARTS."""

    kind: str
    pieces: list[str] = field(default_factory=list)
    annotations: list[_Object] = field(default_factory=list)

    def document(self) -> _Object:
        """The part as it is now."""
        fields: _Object = {"type": self.kind, PARTS[self.kind][0]: "".join(self.pieces)}
        if self.kind == "output_text":
            fields |= {"annotations": list(self.annotations), "logprobs": []}
        return fields


@dataclass(slots=True)
class Item:
    """A message or reasoning, which has parts; or a call, which has a name and arguments.

    tool: that is called, None for one that the client does not know.
    """

    kind: str
    id: str
    place: int
    parts: list[ItemPart] = field(default_factory=list)
    call_id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    status: str = "in_progress"
    tool: Tool | None = None

    def document(self) -> _Object:
        """The item as it is now."""
        fields: _Object = {"id": self.id, "type": self.kind, "status": self.status}
        if self.kind in EMPTY_CALLS:
            return fields | {"call_id": self.call_id, **self._named(), **self.written()}
        content = [part.document() for part in self.parts]
        if self.kind == "message":
            return fields | {"role": "assistant", "content": content}
        return fields | {"summary": [], "content": content}

    def written(self) -> _Object:
        """Fields of a call that the model wrote; but for functions, none before it is complete."""
        is_open = self.status == "in_progress" and self.kind != "function_call"
        return EMPTY_CALLS[self.kind] if is_open else self.read(self.status)

    def read(self, status: str) -> _Object:
        """Fields at the end. Raises ValueError for a complete call that cannot be read."""
        try:
            return call_fields(self.kind, "".join(self.arguments))
        except ValueError:
            if status == "completed":
                raise
            return EMPTY_CALLS[self.kind]

    def _named(self) -> _Object:
        if self.kind == "local_shell_call":
            return {}
        if self.tool is None or self.tool.namespace is None:
            return {"name": self.name if self.tool is None else self.tool.name}
        return {"name": self.tool.name, "namespace": self.tool.namespace}

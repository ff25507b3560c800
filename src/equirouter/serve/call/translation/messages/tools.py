"""Tools of the Messages API in a chat completion, which knows functions only.

Tools that the client runs are functions, also those whose form only Claude knows; of those that the
provider would run, the ones that agents offer as a matter of course are left out.
"""

import re
from collections.abc import Mapping
from typing import Any

from equirouter.errors import NoChatError
from equirouter.serve.call.translation.chat_form import function_name, is_of_type, of_type

_Object = dict[str, Any]

_LEFT_OUT = re.compile(r"(?:web_search|web_fetch|tool_search_tool|code_execution|advisor)(?:_\w+)?")
_BY_THE_CLIENT = re.compile(r"custom|(?:bash|text_editor|memory|computer|browser)_\w+")


def _schema(required: str, **fields: object) -> _Object:
    kinds = {
        name: {"type": kind} if isinstance(kind, str) else kind for name, kind in fields.items()
    }
    return {"type": "object", "properties": kinds, "required": required.split()}


_LINES = {"type": "array", "items": {"type": "integer"}}
_FILES: _Object = {
    "path": "string",
    "old_str": "string",
    "new_str": "string",
    "file_text": "string",
}
_FILES |= {"insert_line": "integer", "insert_text": "string", "view_range": _LINES}
# What Claude knows by the type alone, said to others; the fields are those of Anthropic's pages on
# its tools for bash, text editing and memory.
_KNOWN = {
    "bash_": (
        "Run a command in a shell that keeps its state between calls, or restart that shell.",
        _schema("", command="string", restart="boolean"),
    ),
    "text_editor_": (
        "View and edit text files: view (a file, lines of it by view_range, or a folder), create "
        "(with file_text), str_replace (old_str, which must be there exactly once, by new_str), "
        "insert (insert_text after line insert_line).",
        _schema(
            "command path",
            command={"enum": ["view", "create", "str_replace", "insert"]},
            **_FILES,
        ),
    ),
    "memory_": (
        "Keep notes between conversations as files under /memories: view, create (file_text), "
        "str_replace (old_str, new_str), insert (insert_line, insert_text), delete, and rename "
        "(old_path, new_path).",
        _schema(
            "command",
            command={"enum": ["view", "create", "str_replace", "insert", "delete", "rename"]},
            old_path="string",
            new_path="string",
            **_FILES,
        ),
    ),
}


def is_left_out(tool: object) -> bool:
    """Whether a tool is one of the provider's that are left out."""
    return is_of_type(tool, _LEFT_OUT)


def is_run_by_the_client(tool: object) -> bool:
    """Whether the provider runs nothing, and charges for nothing but tokens."""
    is_typed = isinstance(tool, dict) and tool.get("type") is not None
    return not is_typed or is_of_type(tool, _BY_THE_CLIENT)


def function_of(tool: object, place: str) -> _Object:
    """The function that a tool is. Raises NoChatError for one that has no place there."""
    if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str):
        raise NoChatError(f"{place} of this form")
    kind = tool.get("type") or "custom"
    function: _Object = {"name": function_name(tool["name"])}
    if kind == "custom":
        if tool.get("description"):
            function["description"] = tool["description"]
        function["parameters"] = tool.get("input_schema") or {"type": "object", "properties": {}}
        if tool.get("strict") is not None:
            function["strict"] = tool["strict"]
        return function
    for stem, (description, parameters) in _KNOWN.items():
        if isinstance(kind, str) and kind.startswith(stem):
            return {**function, "description": description, "parameters": parameters}
    raise of_type(place, kind)

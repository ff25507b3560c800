"""Tools of the Responses API in a chat completion, which knows functions only.

A tool that the client runs is passed on as a function, and its calls come back as what they are:
functions, custom tools, the local shell, and the functions of a namespace. Of those that the
provider would run, the ones that coding agents always offer are left out, and the answer says so;
others are refused.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from equirouter.errors import NoChatError
from equirouter.serve.call.translation.chat_form import (
    function_name,
    is_of_type,
    of_type,
    only,
    taken_object,
    taken_text,
)

_Object = dict[str, Any]

_LEFT_OUT = re.compile(r"(?:web_search(?:_\w+)?|image_generation|tool_search)")
LEFT_OUT_ITEMS = frozenset(
    {"web_search_call", "image_generation_call", "tool_search_call", "tool_search_output"}
)
"""Items of a conversation that those tools have left."""

_SHELL = "local_shell"
_OF_FUNCTIONS = frozenset({"type", "name", "description", "parameters", "strict", "defer_loading"})
_OF_CUSTOM = frozenset({"type", "name", "description", "format", "defer_loading"})
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "async": (False,),
    "allowed_callers": ([], ["direct"]),
}
_INPUT: _Object = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The input of the tool, as it is."}},
    "required": ["input"],
    "additionalProperties": False,
}
_COMMAND: _Object = {
    "type": "object",
    "properties": {
        "command": {"type": "array", "items": {"type": "string"}},
        "working_directory": {"type": "string"},
        "timeout_ms": {"type": "integer"},
        "env": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["command"],
}
_KINDS = {"function": "function_call", "custom": "custom_tool_call", _SHELL: "local_shell_call"}


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool of the client as a chat completion has it.

    kind: of the items that its calls are. name, namespace: as the client knows it.
    """

    kind: str
    name: str
    namespace: str | None
    function: _Object

    @property
    def chat_name(self) -> str:
        """The name of the function."""
        return str(self.function["name"])


def chat_tools(request: Mapping[str, Any]) -> _Object:
    """tools, tool_choice and parallel_tool_calls; the last two mean nothing without tools.

    Raises NoChatError for a tool that has no place there.
    """
    tools = known_tools(request)
    choice = request.get("tool_choice")
    if isinstance(choice, dict):
        choice, tools = _chosen(choice, tools)
    elif choice is not None and not isinstance(choice, str):
        raise NoChatError("tool_choice of this form")
    if not tools:
        if choice in (None, "auto", "none"):
            return {}
        raise NoChatError("tool_choice without tools")
    chat: _Object = {"tools": [{"type": "function", "function": tool.function} for tool in tools]}
    if choice is not None:
        chat["tool_choice"] = choice
    if request.get("parallel_tool_calls") is not None:
        chat["parallel_tool_calls"] = request["parallel_tool_calls"]
    return chat


def known_tools(request: Mapping[str, Any]) -> list[Tool]:
    """The tools that a model is offered. Raises NoChatError."""
    given = request.get("tools") or []
    if not isinstance(given, list):
        raise NoChatError("tools of this form")
    tools: list[Tool] = []
    for number, tool in enumerate(given):
        place = f"tools[{number}]"
        document = taken_object(tool, place)
        if document.get("type") == "namespace":
            tools += _of_namespace(document, place)
        elif not is_left_out(document):
            tools.append(_tool(document, place))
    names: set[str] = set()
    for known in tools:
        if known.chat_name in names:
            raise NoChatError(f"two tools named {known.chat_name[:60]}")
        names.add(known.chat_name)
    return tools


def is_left_out(tool: object) -> bool:
    """Whether a tool is one of the provider's that are left out."""
    return is_of_type(tool, _LEFT_OUT)


def chat_name(name: str, namespace: str | None) -> str:
    """The name of a function that stands for a tool of a namespace, which functions do not have."""
    if namespace is None:
        return name
    return function_name(f"{namespace}__{name}", key=f"{namespace} {name}")


def _of_namespace(given: _Object, place: str) -> Iterator[Tool]:
    only(given, {"type", "name", "description", "tools"}, place=f"{place}.")
    namespace = taken_text(given.get("name"), f"{place}.name")
    tools = given.get("tools")
    if not isinstance(tools, list):
        raise NoChatError(f"{place}.tools of this form")
    for number, tool in enumerate(tools):
        inner = f"{place}.tools[{number}]"
        yield _tool(taken_object(tool, inner), inner, namespace)


def _tool(given: _Object, place: str, namespace: str | None = None) -> Tool:
    kind = given.get("type")
    if kind == _SHELL and namespace is None:
        only(given, {"type"}, place=f"{place}.")
        description = "Run a command on the user's machine."
        shell = {"name": _SHELL, "description": description, "parameters": _COMMAND}
        return Tool(_KINDS[_SHELL], _SHELL, None, shell)
    if kind not in ("function", "custom"):
        raise of_type(place, kind)
    only(given, _OF_FUNCTIONS if kind == "function" else _OF_CUSTOM, _NEUTRAL, f"{place}.")
    name = taken_text(given.get("name"), f"{place}.name")
    function: _Object = {"name": chat_name(name, namespace)}
    fields = ("description", "parameters", "strict") if kind == "function" else ("description",)
    function |= {field: given[field] for field in fields if given.get(field) is not None}
    if kind == "custom":
        form = _form(given.get("format"), f"{place}.format")
        about = taken_text(function.get("description") or "", f"{place}.description")
        function["description"] = f"{about}\n\n{form}".strip()
        function["parameters"] = _INPUT
    return Tool(_KINDS[kind], name, namespace, function)


def _form(given: object, place: str) -> str:
    """The form of a custom tool's input in words: nothing else holds a model to it."""
    form = taken_object(given, place)
    if form.get("type", "text") == "text":
        return ""
    if form["type"] != "grammar":
        raise of_type(place, form["type"])
    syntax = taken_text(form.get("syntax"), f"{place}.syntax")
    definition = taken_text(form.get("definition"), f"{place}.definition")
    return f"The input must follow this {syntax} grammar:\n{definition}"


def _chosen(choice: _Object, tools: list[Tool]) -> tuple[object, list[Tool]]:
    """The choice as chat says it, and the tools that are left to choose from.

    Where only some tools are allowed, only those are sent: few providers know the other way.
    """
    kind = choice.get("type")
    if kind in _KINDS:
        tool = _named(choice, tools, "tool_choice")
        return {"type": "function", "function": {"name": tool.chat_name}}, tools
    if kind != "allowed_tools":
        raise of_type("tool_choice", kind)
    only(choice, {"type", "mode", "tools"}, place="tool_choice.")
    given, mode = choice.get("tools"), choice.get("mode")
    if not isinstance(given, list) or mode not in ("auto", "required"):
        raise NoChatError("tool_choice of this form")
    allowed = [
        _named(taken_object(chosen, place), tools, place)
        for place, chosen in ((f"tool_choice.tools[{n}]", chosen) for n, chosen in enumerate(given))
        if not is_left_out(chosen)
    ]
    return mode, [tool for tool in tools if tool in allowed]


def _named(given: _Object, tools: list[Tool], place: str) -> Tool:
    """The tool that is named; it must be among the tools."""
    kind = given.get("type")
    if kind not in _KINDS:
        raise of_type(place, kind)
    only(given, {"type", "name", "namespace"}, place=f"{place}.")
    name = _SHELL if kind == _SHELL else taken_text(given.get("name"), f"{place}.name")
    for tool in tools:
        is_named = (tool.kind, tool.name) == (_KINDS[kind], name)
        if is_named and given.get("namespace") in (None, tool.namespace):
            return tool
    raise NoChatError(f"{place} that is not among tools")


def past_arguments(item: Mapping[str, Any], place: str) -> tuple[str, str]:
    """The name and the arguments of an earlier call, as those of a function."""
    if item["type"] == "local_shell_call":
        action = taken_object(item.get("action"), f"{place}.action")
        return _SHELL, json.dumps({name: value for name, value in action.items() if name != "type"})
    name = taken_text(item.get("name"), f"{place}.name")
    namespace = item.get("namespace")
    if namespace is not None:
        name = chat_name(name, taken_text(namespace, f"{place}.namespace"))
    if item["type"] == "function_call":
        return name, taken_text(item.get("arguments"), f"{place}.arguments")
    return name, json.dumps({"input": taken_text(item.get("input"), f"{place}.input")})


def call_fields(kind: str, arguments: str) -> _Object:
    """The fields of a finished call that hold what a model wrote, as the client knows them.

    A custom tool takes any text: where the model wrote no object, it is that text. Raises
    ValueError for a call of the shell without a command.
    """
    if kind == "function_call":
        return {"arguments": arguments}
    try:
        given = json.loads(arguments)
    except ValueError:
        given = None
    fields = given if isinstance(given, dict) else {}
    if kind == "custom_tool_call":
        text = fields.get("input")
        return {"input": text if isinstance(text, str) else arguments}
    command = fields.get("command")
    if isinstance(command, str):
        command = ["bash", "-lc", command]
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise ValueError("a call of local_shell without a command")
    more = {
        name: value
        for name, kinds in (("working_directory", str), ("timeout_ms", int), ("env", dict))
        if isinstance(value := fields.get(name), kinds)
    }
    return {"action": {"type": "exec", "command": command, "env": {}, **more}}

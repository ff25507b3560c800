"""The parts of two pages that are made from the code when the site is built.

python -m equirouter.cli.reference           every command, on docs/cli.md
python -m equirouter.cli.reference settings  every gateway setting, on docs/gateway-settings.md
"""

import io
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from equirouter.cli.app import app
from equirouter.serve.settings import GatewaySettings

WIDTH = 88  # of the help texts, whatever the terminal is

SHARED = """\
## Options that mean the same everywhere
"""

_EVERYWHERE = re.compile(
    r"^  (?:--json  +One JSON document on stdout, progress on stderr\."
    r"|--quiet  +No progress and no remarks, only the result\."
    r"|-h, --help  +Show this message and exit\.)\n",
    re.MULTILINE,
)
"""Options that the introduction names for every command."""
_OPTION = re.compile(
    r"^  (?P<name>-\S.*?)(?: {2,}|\n +)(?P<text>\S.*\n(?: {3,}\S.*\n)*)"
    r"|^  (?P<argument>[A-Z]+) <\w+> +(?P<long>\S.*\n(?: {3,}\S.*\n){2,})",
    re.MULTILINE,
)
"""An option, or an argument of three lines or more, in a help text."""
_EMPTY = re.compile(r"^[A-Z][\w ]+:\n(?=\n|\Z)\n?", re.MULTILINE)
_MEMBERS = re.compile(r"^Commands:\n(?:  .*\n)+", re.MULTILINE)


def reference() -> str:
    """The options that several commands share, then the help of every command."""
    helps = {command: f"{_help(command)}\n" for command in _commands(app)}
    meanings: dict[str, list[str]] = defaultdict(list)
    for text in helps.values():
        for found in _OPTION.finditer(text):
            name, meaning, _ = _option(found)
            meanings[name].append(meaning)
    shared = {name: said[0] for name, said in meanings.items() if len(said) > len(set(said)) == 1}
    parts = [SHARED]
    parts += [f"- `{name}`: {meaning}" for name, meaning in shared.items()]
    for command, text in helps.items():
        own = _OPTION.sub(lambda found: "" if _option(found)[0] in shared else found[0], text)
        title = " ".join(["equirouter", *command])
        parts.append(f"\n## `{title}`\n\n```text\n{_EMPTY.sub('', own).strip()}\n```")
        options = map(_option, _OPTION.finditer(text))
        named = [f"`{_plain(name)}`{end}" for name, _, end in options if name in shared]
        if named:
            parts.append(f"\n[Also](#options-that-mean-the-same-everywhere) {', '.join(named)}.")
    return "\n".join(parts) + "\n"


def _option(found: re.Match[str]) -> tuple[str, str, str]:
    """Its name, what is said of it, and for an argument, apart from that, its default."""
    text = re.sub(r"(?<=\w)-\n\s+", "-", found["text"] or found["long"])  # help breaks after -
    text = " ".join(text.split())
    if found["name"]:
        return found["name"], text, ""
    said, _, end = text.partition(" [")
    return found["argument"], said, f" (default: `{end[9:-1]}`)" if end[:9] == "default: " else ""


def _plain(name: str) -> str:
    """An option without its value."""
    return re.sub(r"(?<!,) .*", "", name)


def _commands(group: typer.Typer, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command as its words, in the order of the help text; a group comes before its own."""
    yield prefix
    for command in group.registered_commands:
        name = command.name or (command.callback.__name__ if command.callback else "")
        yield (*prefix, name)
    for member in group.registered_groups:
        if member.typer_instance is not None:
            yield from _commands(member.typer_instance, (*prefix, str(member.name)))


def _help(command: tuple[str, ...]) -> str:
    shown = io.StringIO()
    with redirect_stdout(shown):
        app(
            args=[*command, "--help"],
            prog_name="equirouter",
            standalone_mode=False,
            terminal_width=WIDTH,
        )
    own = shown.getvalue()
    if command:  # what a group has follows it on the page
        own = _MEMBERS.sub("", _EVERYWHERE.sub("", f"{own.strip()}\n"))
    return _EMPTY.sub("", own).strip()


MORE = {
    "server.shutdown_seconds": "gateway-operations.md#start-and-stop",
    "pipeline.encoder_options": "encoders-other.md#options-that-a-pipeline-does-not-carry",
    "pipeline.on_router_failure": "gateway-decisions.md#when-the-router-fails",
    "pipeline.spend_usd": "mean-spend.md",
    "upstreams.responses": "gateway-providers.md#the-responses-api",
    "upstreams.messages": "gateway-providers.md#the-messages-api",
    "upstreams.pass_through": "gateway-providers.md#other-endpoints",
    "upstreams.charge_reported_cost": "gateway-money.md#what-a-call-is-charged",
    "models.drop": "gateway-providers.md#parameters-of-each-model",
    "models.max_output_tokens": "gateway-providers.md#reaching-them",
    "keys.required": "security.md#without-keys",
    "money.charge_unknown": "gateway-money.md#what-a-call-is-charged",
    "money.unbounded": "gateway-money.md#what-has-no-bound",
    "retrain.every": "loop.md",
    "cascade.enabled": "check-and-escalate.md",
    "cascade.checks": "check-and-escalate.md#checks-of-a-reply",
    "explore.share": "loop.md#exploration",
    "shadow.share": "loop.md#exploration",
}
"""Setting -> the place that says more of it."""

TITLES = {"upstreams": "[upstreams.NAME]", "models": '[models."NAME"]', "price": "price"}
_CODE = re.compile(
    r"""`[^`]+`|"[^" ]+"|\w+://[\w./]+\w|\bequirouter/auto|(?<![\w])/[\w/]+|\b[a-zA-Z]+_[\w.]*\w|OTEL_"""
)
"""Names and values in a text: paths, addresses, settings, what is quoted."""


def settings_reference() -> str:
    """Every section of gateway.toml, from its class."""
    fields = GatewaySettings.model_fields.items()
    return "\n".join(_section(name, _class_in(of.annotation), level=2) for name, of in fields)


def _section(name: str, section: type[BaseModel], level: int) -> str:
    lines = [f"{'#' * level} `{TITLES.get(name, f'[{name}]')}`", "", section.__doc__ or "", ""]
    lines += ["| setting | default | what it is |", "|---|---|---|"]
    below = ""
    own = [name for name in section.model_fields if name in section.__annotations__]
    for setting in dict.fromkeys([*own, *section.model_fields]):  # inherited ones come last
        field = section.model_fields[setting]
        more = MORE.get(f"{name}.{setting}")
        words = " ".join((field.description or "").split())
        text = _CODE.sub(lambda code: f"`{code[0].strip('`')}`", words)
        text += _values(field.annotation, text) + (f" [More]({more})." if more else "")
        lines.append(f"| `{setting}` | {_default(field)} | {text} |")
        if setting == "price":
            below = "\n" + _section(setting, _class_in(field.annotation), level=3)
    return "\n".join([*lines, below])


def _class_in(annotation: Any) -> type[BaseModel]:  # noqa: ANN401
    """The settings that an annotation speaks of, such as dict[str, S], S | None or S itself."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(
        _class_in(argument) for argument in get_args(annotation)[::-1] if argument is not type(None)
    )


def _values(annotation: Any, text: str) -> str:  # noqa: ANN401
    """The values of a choice, where the text does not name all."""
    if get_origin(annotation) is not Literal:
        parts = (_values(part, text) for part in get_args(annotation))
        return next(filter(None, parts), "")
    values = [f"`{json.dumps(value)}`" for value in get_args(annotation)]
    return "" if all(value in text for value in values) else f" Values: {', '.join(values)}."


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = sorted(field.default) if isinstance(field.default, frozenset) else field.default
    return "none" if value is None else f"`{json.dumps(value)}`"


if __name__ == "__main__":
    sys.stdout.write(settings_reference() if sys.argv[1:] == ["settings"] else reference())

"""`equirouter routers list | show`: the routers, their presets and their settings."""

import inspect
import json
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equirouter.cli.common import JsonOption, QuietOption, print_json
from equirouter.words import in_columns

if TYPE_CHECKING:
    from equirouter.routers import Router
    from equirouter.routers.settings import Setting

WIDTH = 80

app = typer.Typer(
    help="List the routers, and show the presets and settings of one.", no_args_is_help=True
)


@app.command("list")
def list_(as_json: JsonOption = False, quiet: QuietOption = False) -> None:  # noqa: ARG001
    """List the routers that have a name, each with its presets."""
    from equirouter.registry import ROUTERS

    kinds = ROUTERS.load_all()
    if as_json:
        print_json([_document(name, kind) for name, kind in kinds.items()])
        return
    width = max(map(len, kinds))
    for name, kind in kinds.items():
        typer.echo(in_columns(name, _summary(kind), width))
        presets = [preset for preset in kind.presets if preset != "default"]
        if presets:
            typer.echo(in_columns("", f"presets: {', '.join(presets)}", width))
    typer.echo("\nSettings of one of them: equirouter routers show NAME")


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A name from `equirouter routers list`, or FILE.py:CLASS."
        ),
    ],
    as_json: JsonOption = False,
    quiet: QuietOption = False,  # noqa: ARG001
) -> None:
    """Show one router: how it works, its presets, and type, default and meaning of each setting."""
    from equirouter.routers.make import router_class
    from equirouter.routers.settings import settings_of

    kind = router_class(name)
    if as_json:
        print_json(_document(name, kind))
        return
    blocks = [f"{name}\n\n{inspect.getdoc(kind) or ''}".rstrip()]
    presets = [_preset(preset, values) for preset, values in kind.presets.items() if values]
    if presets:
        blocks.append("Presets, written NAME:PRESET\n" + "\n".join(presets))
    settings = [_setting(setting) for setting in settings_of(kind)]
    if settings:
        blocks.append("Settings, written NAME:key=value\n" + "\n".join(settings))
    typer.echo("\n\n".join(blocks))


def _document(name: str, kind: type["Router"]) -> dict[str, Any]:
    """All about a router, for JSON; a setting that must be given has no default."""
    from equirouter.routers.settings import settings_of

    return {
        "name": name,
        "description": inspect.getdoc(kind) or "",
        "is_anchor": kind.is_anchor,
        "presets": {preset: dict(values) for preset, values in kind.presets.items()},
        "settings": [
            {"name": setting.name, "type": setting.type}
            | ({} if setting.required else {"default": setting.default})
            | {"meaning": setting.meaning}
            for setting in settings_of(kind)
        ],
    }


def _summary(kind: type) -> str:
    """The first paragraph of the docstring, on one line."""
    return " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())


def _preset(name: str, values: Mapping[str, Any]) -> str:
    changes = ", ".join(f"{key}={_as_typed(value)}" for key, value in values.items())
    return textwrap.fill(f"{name}: {changes}", WIDTH, initial_indent="  ", subsequent_indent="    ")


def _setting(setting: "Setting") -> str:
    default = "must be given" if setting.required else f"default {_as_typed(setting.default)}"
    lines = [f"  {setting.name}: {setting.type}; {default}"]
    if setting.meaning:
        lines.append(textwrap.indent(textwrap.fill(setting.meaning, WIDTH - 4), "    "))
    return "\n".join(lines)


def _as_typed(value: Any) -> str:  # noqa: ANN401
    """A value as it is written after the `=` of a setting."""
    return value if isinstance(value, str) else json.dumps(value)

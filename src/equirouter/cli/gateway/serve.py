"""`equirouter serve`: the gateway."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equirouter.cli.common import JsonOption, QuietOption, print_json, say
from equirouter.words import number_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from equirouter.serve.run.assembly import CheckedSettings
    from equirouter.serve.settings import GatewaySettings


def serve(
    config: Annotated[
        Path | None, typer.Argument(metavar="[gateway.toml]", help="The gateway's settings.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check the settings, and serve nothing.")
    ] = False,
    example: Annotated[
        bool, typer.Option("--example", help="Print a gateway.toml to begin with.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Serve an OpenAI-compatible endpoint that routes every request to a model of the pool."""
    if example:
        typer.echo(_example(), nl=False)
        return
    if config is None:
        raise typer.BadParameter("missing; `equirouter serve --example` prints one to begin with")
    from equirouter.serve.run.packages import check_what_serves
    from equirouter.serve.settings_file import read_settings

    settings = read_settings(config)
    check_what_serves(settings)
    if settings.shadow.score:
        from equirouter.labelling.log_scoring import log_graders

        log_graders(config, settings)
    if check:
        from equirouter.serve.run.assembly import check_settings

        checked = check_settings(settings)
        if as_json:
            print_json(asdict(checked))
        elif not quiet:
            _say(config, checked)
        return

    def ready(address: str) -> None:
        if as_json:
            print_json({"address": address, "workers": settings.server.workers})
        elif not quiet:
            say(f"serving on {address} with {number_of(settings.server.workers, 'worker')}")

    _run(settings, ready)


def _say(config: Path, checked: "CheckedSettings") -> None:
    count = number_of(len(checked.models), "model is ready", "models are ready")
    typer.echo(f"{config}: {count} to be served")
    if checked.pipeline is None:
        typer.echo(
            "no pipeline is set (pipeline.path): only requests that name a model are served; "
            "equirouter train or start makes one"
        )
    if checked.cascade is not None:
        typer.echo(checked.cascade)


def _run(settings: "GatewaySettings", ready: "Callable[[str], None]") -> None:
    """Serve; what several workers count is added up in a folder that ends with them."""
    if settings.server.workers == 1:
        from equirouter.serve.run.supervisor import run_workers

        run_workers(settings, ready)
        return
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="equirouter-") as folder:
        # prometheus_client reads it when it is imported
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        from equirouter.serve.run.supervisor import run_workers

        run_workers(settings, ready)


def _example() -> str:
    from importlib.resources import files

    return files("equirouter.serve").joinpath("example.toml").read_text("utf-8")

"""`equirouter export`: the decision's numbers as an ONNX file for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from equirouter.cli import common
from equirouter.words import number_of


def export(
    pipeline: Annotated[Path, typer.Argument(metavar="DIR", help="A folder from `train`.")],
    out: Annotated[Path, typer.Option(metavar="FILE.onnx", help="Where the graph is written.")],
    encoder_option: common.EncoderSettingOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Write a pipeline's router and cost model as ONNX: an embedding in, scores and costs out."""
    from equirouter.errors import ConfigError
    from equirouter.output import atomic_write
    from equirouter.pipeline.scorer import export_decision

    loaded = common.load_pipeline(pipeline, encoder_option)
    stage = loaded.stage
    if stage.collapse is not None:
        raise ConfigError(
            f"{pipeline}: policy {loaded.policy} is priced by predicted collapse scores, which the "
            "file would lack; export a pipeline of --policy utility or budget"
        )
    content = export_decision(
        stage.router,
        stage.cost_model,
        models=loaded.models,
        encoder_fingerprint=stage.encoder.fingerprint,
        scale=stage.scale,
    )
    with atomic_write(out, "wb") as stream:
        stream.write(content)
    if as_json:
        common.print_json({"file": str(out), "bytes": len(content), "models": list(loaded.models)})
    elif not quiet:
        typer.echo(f"{out}: {len(content)} bytes, {number_of(len(loaded.models), 'model')}")

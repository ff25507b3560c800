"""Packages that a gateway's settings need beside the core: found out before anything is opened."""

import json

from equirouter.encoders import make_encoder
from equirouter.errors import UserError
from equirouter.extras import Need, check_needs
from equirouter.pipeline.versions import current_folder
from equirouter.serve.settings import GatewaySettings


def check_what_serves(settings: GatewaySettings) -> None:
    """Raise MissingExtraError that names all that is not installed, with the one command."""
    needs: list[Need] = []
    if settings.store.url.startswith("postgres"):
        needs.append(Need("asyncpg", "serve", "keep the store in PostgreSQL"))
    if settings.telemetry.otel:
        needs.append(Need("opentelemetry", "serve", "send traces"))
    if any(upstream.kind == "litellm" for upstream in settings.upstreams.values()):
        needs.append(Need("litellm", "litellm", 'call upstreams of kind "litellm"'))
    check_needs([*needs, *_needs_of_pipeline(settings)])


def _needs_of_pipeline(settings: GatewaySettings) -> tuple[Need, ...]:
    """Those of the encoder; none where the pipeline cannot be read, which loading it explains."""
    if settings.pipeline.path is None:
        return ()
    try:
        folder = current_folder(settings.pipeline.path)
        document = json.loads((folder / "pipeline.json").read_bytes())
        stored = document["encoder"]
        options = {**stored["settings"], **settings.pipeline.encoder_options}
        if settings.pipeline.weights is not None:
            options["weights"] = settings.pipeline.weights
        encoder = make_encoder(stored["name"], **options)
        return () if encoder.is_saved_whole else encoder.needs()
    except (OSError, ValueError, LookupError, TypeError, UserError):
        return ()

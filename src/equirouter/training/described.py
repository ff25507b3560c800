"""Descriptions of the models for the routers that read them, by the encoder of the queries."""

from collections.abc import Sequence

from equirouter.arrays import Float32Array
from equirouter.data.outcomes import Outcomes
from equirouter.data.sources.descriptions import model_texts
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache, encode_cached
from equirouter.routers import make_router
from equirouter.routers.base import DescriptionRouter

__all__ = ["description_notes", "embedded_descriptions"]


def description_notes(outcomes: Outcomes, routers: Sequence[str]) -> tuple[str, ...]:
    """Caveats about the model descriptions that these routers (specs) will read.

    Empty when none of them reads any, or every model is described.
    """
    return model_texts(outcomes)[1] if _read(routers) else ()


def embedded_descriptions(
    encoder: Encoder,
    outcomes: Outcomes,
    routers: Sequence[str] | None,
    *,
    cache: EmbeddingCache | None = None,
) -> Float32Array | None:
    """Embeddings (K, d) of the models' descriptions; None when none of these routers reads them.

    encoder: that of the queries; one that learns has learned from the training part before.
    routers: specs; None for any router.
    """
    if routers is not None and not _read(routers):
        return None
    return encode_cached(encoder, model_texts(outcomes)[0], cache=cache)


def _read(routers: Sequence[str]) -> bool:
    return any(isinstance(make_router(spec), DescriptionRouter) for spec in routers)

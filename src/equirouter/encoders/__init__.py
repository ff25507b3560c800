"""From queries to embeddings: encoders, what they see of a query, and a cache on disk.

Encoder is the contract, make_encoder makes one by its registered name, encode_cached encodes what
is not in an EmbeddingCache yet, and duplicate_share says how many queries look alike afterwards.
Importing this loads no model and no onnxruntime.
"""

import inspect

from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache, encode_cached
from equirouter.encoders.visibility import Visibility, duplicate_share
from equirouter.encoders.windows import DEFAULT_WINDOW, WINDOWS, Window
from equirouter.errors import ConfigError
from equirouter.registry import ENCODERS

__all__ = [
    "DEFAULT_WINDOW",
    "WINDOWS",
    "EmbeddingCache",
    "Encoder",
    "Visibility",
    "Window",
    "duplicate_share",
    "encode_cached",
    "make_encoder",
]


def make_encoder(name: str, **options: object) -> Encoder:
    """The encoder registered under a name, with its own options, for example window="tail".

    Raises UnknownNameError for the name, ConfigError for an option that the encoder does not have.
    """
    kind = ENCODERS.load(name)
    allowed = list(inspect.signature(kind).parameters)
    unknown = [option for option in options if option not in allowed]
    if unknown:
        raise ConfigError(
            f"encoder {name!r} has no option {unknown[0]!r}: it has {', '.join(allowed) or 'none'}"
        )
    encoder: Encoder = kind(**options)
    return encoder

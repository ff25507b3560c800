"""From queries to embeddings: encoders, what they see of a query, and a cache on disk.

    base.py        Encoder, the contract
    minilm.py      MiniLMEncoder; weights.py finds its weights, graph.py makes its ONNX graph
    windows.py     which tokens of a long query are read
    cache.py       EmbeddingCache, encode_cached: a second run on the same texts encodes nothing
    visibility.py  duplicate_share: how many queries look alike afterwards
    kept.py        files in the user's cache folder

make_encoder makes an encoder by its registered name.
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

"""From queries to embeddings: encoders, the windows they read, and a cache on disk.

    base.py        Encoder, the contract; checks of options and vectors that encoders share
    lexical.py     LexicalEncoder: counts of the pieces of a text, hashed; no weights
    minilm/        MiniLMEncoder: all-MiniLM-L6-v2 on ONNX Runtime
    static.py      StaticEncoder: the mean of token vectors from a table (token_table.py), which
                   distil.py makes
    joined.py      LexicalMiniLMEncoder: lexical and minilm side by side
    sentence_transformer.py  SentenceTransformerEncoder: any model of that library
    vision.py      VisionEncoder: CLIP on the text and the image
    openai.py      OpenAIEncoder: any embeddings endpoint that speaks OpenAI's protocol
    wordpieces.py  the tokenizer of minilm and static; WordPieces: a fast one for plain ASCII
    windows.py     which tokens of a long query are read
    cache.py       EmbeddingCache, encode_cached: a second run on the same texts encodes nothing;
                   encode_table: the same of a table, or the numbers that it has in place of texts
    embedding_file.py  open_embeddings: embeddings made elsewhere, mapped into memory
    visibility.py  duplicate_share: how many queries look alike afterwards; and which texts are in
                   a language that the encoder cannot read
    kept.py        files in the user's cache folder, and digests of files

make_encoder makes an encoder by its registered name.
Importing this loads no model and no onnxruntime.
"""

import inspect

from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache, encode_cached, encode_table
from equirouter.encoders.embedding_file import open_embeddings
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
    "encode_table",
    "encoder_options",
    "make_encoder",
    "open_embeddings",
]


def make_encoder(name: str, **options: object) -> Encoder:
    """The encoder registered under a name, with its own options, for example window="tail".

    Raises UnknownNameError for the name, ConfigError for an option that the encoder does not have.

    >>> make_encoder("minilm", window="tail").window
    'tail'
    """
    kind = ENCODERS.load(name)
    allowed = encoder_options(name)
    unknown = [option for option in options if option not in allowed]
    if unknown:
        raise ConfigError(
            f"encoder {name!r} has no option {unknown[0]!r}: it has {', '.join(allowed) or 'none'}"
        )
    encoder: Encoder = kind(**options)
    return encoder


def encoder_options(name: str) -> list[str]:
    """The options that make_encoder takes for an encoder. Raises UnknownNameError for the name."""
    return list(inspect.signature(ENCODERS.load(name)).parameters)

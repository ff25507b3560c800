"""Static embeddings: a text's vector is the mean of its tokens' vectors, read from a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import Float32Array
from equirouter.encoders.base import Encoder, check_at_least
from equirouter.encoders.token_table import TokenTable
from equirouter.encoders.wordpieces import WordPieces
from equirouter.errors import ConfigError, DataError, PipelineError
from equirouter.extras import Need
from equirouter.progress import Progress, silent

LARGEST_DIMENSION = 384
_TEXTS_PER_REPORT = 1024


class StaticEncoder(Encoder):
    """The weighted mean over all tokens of a text, at length 1; no length limit, no model to run.

    The vector of a token is all-MiniLM-L6-v2's embedding of it alone, reduced to `dimension`
    numbers, 1 to 384 (see distil.py). The table of them is made once from the weights, which takes
    a run of the model over its vocabulary, and kept in the cache folder. It is part of `state`: an
    encoder that was restored from a pipeline needs neither the weights nor onnxruntime.

    weights: a folder with the model, see find_weights; None takes the installed package, else the
    hub. threads: that make the table, 1 or more; None takes one per physical core.
    Raises ConfigError for a dimension or a number of threads outside these limits.
    Source: model2vec (Tulkens and van Dongen 2024).
    """

    name = "static"
    saved_options = ("dimension",)
    is_saved_whole = True

    def __init__(
        self, *, dimension: int = 256, weights: Path | None = None, threads: int | None = None
    ) -> None:
        if type(dimension) is not int or not 1 <= dimension <= LARGEST_DIMENSION:
            raise ConfigError(
                f"dimension={dimension!r}: a whole number from 1 to {LARGEST_DIMENSION} is expected"
            )
        check_at_least("threads", threads, 1)
        self._dimension = dimension
        self.weights = weights
        self.threads = threads
        self._read: tuple[TokenTable, WordPieces, Float32Array] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The dimension; where the weights lie and how many threads run is no part of it."""
        return {"dimension": self._dimension}

    def needs(self) -> tuple[Need, ...]:
        """The weights that the table is made of, where there is none yet and they cannot be had."""
        if self._read is not None:
            return ()
        from equirouter.encoders.minilm.weights import needed_weights

        return needed_weights(self.weights, "make the table of static embeddings")

    @property
    def dimension(self) -> int:
        """As given."""
        return self._dimension

    @property
    def fingerprint(self) -> str:
        """Of the table and the tokenizer in it, by content.

        Tables made on two machines may differ in the last bits of its vectors, and then
        their fingerprints differ too. A pipeline carries the table that it was trained with.
        """
        table, _, _ = self._loaded()
        return f"{self.name}-{self._dimension}-{table.digest[:16]}"

    def unknown_share(self, text: str) -> float:
        """Share of the word pieces that are [UNK]."""
        _, reader, _ = self._loaded()
        pieces = np.concatenate([*reader.parts(text)])
        return float(np.mean(pieces == reader.unknown)) if pieces.size else 1.0

    def prepare(self, progress: Progress = silent) -> Self:
        """Make the table now, or read it, unless it is there already; returns self.

        progress: ("distil", done, total) while it is made, in tokens. Raises as find_weights, and
        DataError for the weights or the tokenizer of another model.
        """
        self._loaded(progress)
        return self

    def state(self) -> dict[str, NDArray[Any]]:
        """The table, 8 MB at 256 numbers per token: see TokenTable.state."""
        return self._loaded()[0].state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take back a table. Raises PipelineError for what is not one of this dimension."""
        table = TokenTable.of_state(state, self._dimension)
        try:
            self._read = _reader(table)
        except DataError as error:
            raise PipelineError(f"static embeddings: {error}; train again") from error
        return self

    def embed(
        self,
        texts: tuple[str, ...],
        images: tuple[str | None, ...],  # noqa: ARG002  # all None: this encoder reads text only
        progress: Progress,
    ) -> Float32Array:
        """Embeddings of checked texts; progress counts texts.

        A text without any token, or whose mean has no direction, has the vector of [UNK].
        """
        table, pieces, unknown = self._loaded()
        embeddings = np.empty((len(texts), self._dimension), dtype=np.float32)
        for i, text in enumerate(texts):
            mean = table.mean(pieces.parts(text))
            embeddings[i] = unknown if mean is None else mean
            if (i + 1) % _TEXTS_PER_REPORT == 0:
                progress("encode", i + 1, len(texts))
        progress("encode", len(texts), len(texts))
        return embeddings

    def _loaded(self, progress: Progress = silent) -> tuple[TokenTable, WordPieces, Float32Array]:
        if self._read is None:
            from equirouter.encoders.distil import kept_table
            from equirouter.encoders.minilm.weights import find_weights

            weights = find_weights(self.weights)
            self._read = _reader(
                kept_table(weights, self._dimension, threads=self.threads, progress=progress)
            )
        return self._read


def _reader(table: TokenTable) -> tuple[TokenTable, WordPieces, Float32Array]:
    """A table, its tokenizer, and the vector of a text of which nothing is known."""
    pieces = WordPieces(table.tokenizer.tobytes(), "the tokenizer of static embeddings")
    if pieces.n_pieces != len(table.weights):
        raise DataError(f"{pieces.n_pieces} tokens, but {len(table.weights)} vectors")
    unknown = table.mean([np.array([pieces.unknown])])
    if unknown is None:
        raise DataError("the token [UNK] has a vector of zeros")
    return table, pieces, unknown.astype(np.float32)

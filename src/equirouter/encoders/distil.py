"""Static embeddings made from all-MiniLM-L6-v2: its embedding of each word piece alone.

Made once per copy of the weights, with one run of the model over its vocabulary, and kept in the
cache folder. Source: model2vec (Tulkens and van Dongen 2024); the weights after Arora et al. 2017.
"""

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.encoders.kept import digest_of, kept_file
from equirouter.encoders.minilm.graph import HIDDEN, graph_file
from equirouter.encoders.minilm.onnx_sessions import open_session
from equirouter.encoders.minilm.weights import Weights
from equirouter.encoders.token_table import TokenTable
from equirouter.encoders.wordpieces import read_vocabulary
from equirouter.errors import DataError
from equirouter.progress import Progress, silent

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

DISTIL_VERSION = 1
"""Raised by every change that may change a table."""

SIF_COEFFICIENT = 1e-4
LEAST_WEIGHT = 0.1
_UNUSED = re.compile(r"\[unused\d+\]")
_BATCH = 256


def kept_table(
    weights: Weights, dimension: int, *, threads: int | None = None, progress: Progress = silent
) -> TokenTable:
    """The table made from these weights: from the cache folder, or made and kept there now.

    dimension: 1 to 384. threads: that run the model; None takes one per physical core. progress:
    ("distil", done, total) in word pieces. A kept file whose SHA-256 is not the one noted beside it
    is made again. Raises DataError for weights or a tokenizer of another model, OutputError when
    the cache folder cannot be written, MissingExtraError without the onnx package.
    """
    from safetensors.numpy import load, save

    name = f"{weights.digest[:32]}-{digest_of(weights.tokenizer)[:16]}-{dimension}"
    path = kept_file(
        "static",
        f"{name}-v{DISTIL_VERSION}.safetensors",
        lambda: save(distil(weights, dimension, threads=threads, progress=progress).state()),
    )
    return TokenTable.of_state(load(path.read_bytes()), dimension)


def distil(
    weights: Weights, dimension: int, *, threads: int | None = None, progress: Progress = silent
) -> TokenTable:
    """The model's embedding of every word piece alone, reduced to `dimension` numbers, as a table.

    The embeddings are centred and projected on their principal axes, without whitening. Pieces that
    no text can have ("[unused5]") are left out: their rows are 0. Parameters as for kept_table.
    """
    content = weights.tokenizer.read_bytes()
    vocabulary = read_vocabulary(content, str(weights.tokenizer))
    used = np.array(sorted(i for piece, i in vocabulary.items() if not _UNUSED.fullmatch(piece)))
    ends = vocabulary["[CLS]"], vocabulary["[SEP]"]
    graph = weights.model if weights.is_onnx else graph_file(weights)
    embeddings = _embed_pieces(open_session(graph, threads), used, ends, progress)
    n_pieces = max(vocabulary.values()) + 1
    rows = np.zeros((n_pieces, dimension))
    rows[used] = _principal(embeddings, dimension)
    counts = np.zeros(n_pieces, dtype=np.uint8)
    counts[used] = np.round(255 * piece_weights(len(used)))
    whole, scale = quantised(rows)
    return TokenTable(whole, counts, scale, np.frombuffer(content, dtype=np.uint8))


def piece_weights(n: int) -> FloatArray:
    """How much each of n word pieces counts in a mean, in [LEAST_WEIGHT, 1], (n,).

    Smooth inverse frequency a / (a + p), where p follows Zipf's law over the pieces' order: words
    stand in the vocabulary by frequency. Digits, letters and signs stand before them whatever their
    frequency, and would count next to nothing; the lower bound keeps them.
    """
    frequency = 1.0 / np.arange(2, n + 2)
    frequency /= frequency.sum()
    return np.maximum(SIF_COEFFICIENT / (SIF_COEFFICIENT + frequency), LEAST_WEIGHT)


def quantised(rows: FloatArray) -> tuple[NDArray[np.int8], Float32Array]:
    """(V, d) numbers as int8 and a scale per column (d,): rows are about int8 * scale."""
    largest = np.abs(rows).max(axis=0)
    scale = np.where(largest > 0, largest, 1.0) / 127
    return np.round(rows / scale).astype(np.int8), scale.astype(np.float32)


def _principal(embeddings: Float32Array, dimension: int) -> FloatArray:
    """(n, 384) embeddings, centred, on their first principal axes, (n, dimension)."""
    centred = embeddings.astype(np.float64)
    centred -= centred.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :dimension]  # the largest variance first
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, range(axes.shape[1])])  # an axis has no sign of its own
    return np.asarray(centred @ axes)


def _embed_pieces(
    session: "InferenceSession", pieces: IntArray, ends: tuple[int, int], progress: Progress
) -> Float32Array:
    """(n, 384) at length 1: each piece between [CLS] and [SEP], as a text of one piece."""
    names = [node.name for node in session.get_inputs()]
    embeddings = np.empty((len(pieces), HIDDEN), dtype=np.float32)
    for start in range(0, len(pieces), _BATCH):
        some = pieces[start : start + _BATCH]
        ids = np.stack([np.full_like(some, ends[0]), some, np.full_like(some, ends[1])], axis=1)
        feed = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        output = np.asarray(session.run(None, {name: feed[name] for name in names})[0])
        if output.ndim == 3:  # token vectors: this model does not take their mean itself
            output = output.mean(axis=1)
        if output.shape != (len(some), HIDDEN):
            raise DataError(
                f"a model of all-MiniLM-L6-v2 gives {HIDDEN} numbers per text, and this one "
                f"{output.shape[1:]}; give the folder of that model"
            )
        embeddings[start : start + len(some)] = output
        progress("distil", start + len(some), len(pieces))
    length: Float32Array = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / length

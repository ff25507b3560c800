"""all-MiniLM-L6-v2 on ONNX Runtime: 22 million weights, 384 numbers per window, no torch."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import Float32Array
from equirouter.encoders.base import Encoder, check_texts, one_of
from equirouter.encoders.kept import digest_of, short_digest
from equirouter.encoders.minilm.graph import GRAPH_VERSION, HIDDEN, graph_file
from equirouter.encoders.minilm.onnx_sessions import DEVICES, Device, WindowSession
from equirouter.encoders.minilm.quantise import (
    QUANTISE_VERSION,
    ActivationRanges,
    calibrate,
    quantised_graph_file,
)
from equirouter.encoders.minilm.weights import (
    SAFETENSORS_SHA256,
    TOKENIZER_SHA256,
    Weights,
    find_weights,
    needed_weights,
)
from equirouter.encoders.windows import (
    DEFAULT_WINDOW,
    MAX_TOKENS,
    WINDOWS,
    Pieces,
    Window,
    window_pieces,
)
from equirouter.encoders.wordpieces import load_tokenizer
from equirouter.errors import ConfigError, DataError
from equirouter.extras import Need
from equirouter.progress import Progress

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Precision: TypeAlias = Literal["fp32", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

MOST_CALIBRATION_TEXTS = 128
"""Training texts, spread evenly over all distinct ones, on which int8 measures its ranges."""


class MiniLMEncoder(Encoder):
    """all-MiniLM-L6-v2: mean over the tokens of the last layer, at length 1, of 256 tokens or more.

    window: "head" reads the first 256 tokens of a query, as the paper's set-up does (Section 5.1),
    "tail" the last 256. "head+tail" reads both and gives d = 768, the others d = 384. A query
    that fits into one window is read once.
    precision: "fp32", or "int8", which is up to twice as fast and less exact; fit measures on
    training texts what its numbers must reach (quantise.py).
    weights: a folder with the model, see find_weights; None takes the installed package, else the
    hub. threads: of a long text alone, 1 or more; None takes one per physical core.
    device: "cpu"; "cuda", a GPU, for fp32; "auto", a GPU where fp32 can use one. Nothing is loaded
    before the first encode or fingerprint. Raises ConfigError for an unknown window, precision or
    device, for int8 on a GPU, and for fewer threads than 1; encode does for want of a GPU.
    Source: Reimers and Gurevych 2019; Wang et al. 2020 (MiniLM).
    """

    name = "minilm"
    saved_options = ("window", "precision")

    def __init__(
        self,
        *,
        window: str = DEFAULT_WINDOW,
        weights: Path | None = None,
        threads: int | None = None,
        precision: str = "fp32",
        device: str = "cpu",
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigError(f"threads={threads}: at least 1 is needed, None takes every core")
        self.window: Window = one_of("window named", window, WINDOWS)
        self.precision: Precision = one_of("precision", precision, PRECISIONS)
        self.weights = weights
        self.threads = threads
        self.device: Device = one_of("device", device, DEVICES)
        if (device, precision) == ("cuda", "int8"):
            raise ConfigError(
                "device='cuda' computes in fp32 only, int8 is for processors: choose "
                "precision='fp32' (train again with --precision fp32), or device='auto'"
            )

    @property
    def settings(self) -> dict[str, Any]:
        """Window and precision; where the weights lie and what computes is no part of it."""
        return {"window": self.window, "precision": self.precision}

    def needs(self) -> tuple[Need, ...]:
        """The weights, where they are neither here nor to be had."""
        return needed_weights(self.weights, "encode queries")

    @property
    def learns(self) -> bool:
        """Whether there is something to learn: the ranges for "int8"."""
        return self.precision == "int8"

    def fit(self, texts: Sequence[str]) -> Self:
        """For int8, measure the ranges of the activations on the texts; returns self.

        MOST_CALIBRATION_TEXTS of them are read at most. Raises DataError for an empty or invalid
        text and for no text at all, and ConfigError for weights that are an ONNX file.
        """
        if self.learns:
            typical = self._typical_windows(check_texts(texts))
            self.ranges_ = calibrate(self._files, typical, self.threads)
            vars(self).pop("_session", None)
        return self

    def _typical_windows(self, texts: Sequence[str]) -> list[Pieces]:
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            raise DataError(f"encoder {self.name}: precision='int8' cannot be fitted on no texts")
        n = min(len(distinct), MOST_CALIBRATION_TEXTS)
        chosen = [distinct[i * len(distinct) // n] for i in range(n)]
        windows = dict.fromkeys(window for text in chosen for window in self._windows(text))
        return [self._with_ends(pieces) for pieces in windows]

    def state(self) -> dict[str, NDArray[Any]]:
        """Learned arrays: those of ActivationRanges.state, for int8."""
        return self._ranges.state() if self.learns else {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `state` gave. Raises PipelineError for what is not its state."""
        rest = dict(state)
        ranges = rest.pop(ActivationRanges.STATE, None) if self.learns else None
        super().restore(rest)
        if self.learns:
            self.ranges_ = ActivationRanges.restore(ranges)
            vars(self).pop("_session", None)
        return self

    def unknown_share(self, text: str) -> float:
        """Share of the word pieces that are [UNK]."""
        pieces = self._pieces(text)
        return pieces.count(self._id("[UNK]")) / len(pieces) if pieces else 1.0

    @property
    def dimension(self) -> int:
        """384 for one window, 768 for two."""
        return HIDDEN * (2 if self.window == "head+tail" else 1)

    @property
    def fingerprint(self) -> str:
        """Of weights, tokenizer, graph, window, precision and what was learned.

        The same wherever the same weights come from; the published ones, which are checked when
        they are read, need not be there for it. Raises ConfigError before fit or restore if
        there is something to learn.
        """
        parts = {
            "weights": SAFETENSORS_SHA256 if self.weights is None else self._files.digest,
            "tokenizer": TOKENIZER_SHA256 if self.weights is None else self._tokenizer_digest,
            "graph": GRAPH_VERSION,
            "max_tokens": MAX_TOKENS,
            **self.settings,
        }
        if self.precision == "int8":
            parts |= {"ranges": self._ranges.digest, "quantise": QUANTISE_VERSION}
        exact = "" if self.precision == "fp32" else f"-{self.precision}"
        return f"{self.name}-{self.window}{exact}-{short_digest(parts)}"

    def embed(
        self,
        texts: tuple[str, ...],
        images: tuple[str | None, ...],  # noqa: ARG002  # all None: this encoder reads text only
        progress: Progress,
    ) -> Float32Array:
        """Embeddings of checked texts; progress counts windows, those with the same tokens once."""
        rows_of_text: dict[str, list[int]] = {}
        row_of_window: dict[Pieces, int] = {}
        for text in texts:
            if text not in rows_of_text:
                rows_of_text[text] = [
                    row_of_window.setdefault(window, len(row_of_window))
                    for window in self._windows(text)
                ]
        windows = [self._with_ends(pieces) for pieces in row_of_window]

        def done(n: int) -> None:
            progress("encode", n, len(windows))

        vectors = self._session.run(windows, done)  # (M, 384)
        rows = np.array([rows_of_text[text] for text in texts])  # (N, windows per text)
        joined: Float32Array = vectors[rows].reshape(len(texts), self.dimension)
        joined /= np.sqrt(np.float32(rows.shape[1]))  # each part has length 1
        return joined

    def _windows(self, text: str) -> list[Pieces]:
        return window_pieces(text, self.window, self._pieces)

    def _with_ends(self, pieces: Pieces) -> Pieces:
        return (self._id("[CLS]"), *pieces, self._id("[SEP]"))

    def _pieces(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    @property
    def _ranges(self) -> ActivationRanges:
        if not hasattr(self, "ranges_"):
            raise ConfigError(
                f"encoder {self.name} with precision='int8' knows no ranges of activations yet: "
                "call fit with the training texts first, or choose precision='fp32'"
            )
        return self.ranges_

    @cached_property
    def _tokenizer_digest(self) -> str:
        return digest_of(self._files.tokenizer)

    @cached_property
    def _files(self) -> Weights:
        return find_weights(self.weights)

    @cached_property
    def _session(self) -> WindowSession:
        device = self.device if self.precision == "fp32" else "cpu"
        own = not self._files.is_onnx
        return WindowSession(self._graph(), own=own, threads=self.threads, device=device)

    def _graph(self) -> Path:
        if self.precision == "int8":
            return quantised_graph_file(self._files, self._ranges)
        return self._files.model if self._files.is_onnx else graph_file(self._files)

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        path = self._files.tokenizer
        return load_tokenizer(path.read_bytes(), str(path))

    def _id(self, token: str) -> int:
        """Of a special token, which load_tokenizer has seen to be there."""
        return cast(int, self._tokenizer.token_to_id(token))

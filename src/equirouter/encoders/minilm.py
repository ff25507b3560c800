"""all-MiniLM-L6-v2 on ONNX Runtime: 22 million weights, 384 numbers per window, no torch."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equirouter.arrays import Float32Array, IntArray
from equirouter.encoders.base import Encoder
from equirouter.encoders.graph import GRAPH_VERSION, HIDDEN, graph_file
from equirouter.encoders.weights import Weights, digest_of, find_weights
from equirouter.encoders.windows import (
    DEFAULT_WINDOW,
    MAX_TOKENS,
    Pieces,
    Window,
    check_window,
    window_pieces,
)
from equirouter.errors import ConfigError, DataError
from equirouter.progress import Progress

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

__all__ = ["MiniLMEncoder", "plan_batches"]

MAX_BATCH_TOKENS = 512
MAX_BATCH_WINDOWS = 8
"""Small batches of like lengths: little padding, and the numbers stay in the processor's cache."""

_EXPECTED_TOKENIZER = {
    "normalizer": {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
}
_SPECIAL = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}


class MiniLMEncoder(Encoder):
    """all-MiniLM-L6-v2: mean over the tokens of the last layer, at length 1, of one or two windows.

    window: "head" reads the first 256 tokens of a query, as the paper's set-up does (Section 5.1),
    "tail" the last 256; both give d = 384. "head+tail" reads both and gives d = 768; a query that
    fits into one window is read once. weights: a folder with the model, see find_weights; None
    takes the installed package, else the hub. threads: of one run, 1 or more; None takes one per
    physical core. Nothing is loaded before the first encode or fingerprint.
    Raises ConfigError for an unknown window or fewer threads than 1.
    Source: Reimers and Gurevych 2019; Wang et al. 2020 (MiniLM).
    """

    name = "minilm"

    def __init__(
        self,
        *,
        window: str = DEFAULT_WINDOW,
        weights: Path | None = None,
        threads: int | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigError(f"threads={threads}: at least 1 is needed, None takes every core")
        self.window: Window = check_window(window)
        self.weights = weights
        self.threads = threads

    @property
    def settings(self) -> dict[str, Any]:
        """The window; where the weights lie and how many threads run is no part of an embedding."""
        return {"window": self.window}

    @property
    def dimension(self) -> int:
        """384 for one window, 768 for two."""
        return HIDDEN * (2 if self.window == "head+tail" else 1)

    @cached_property
    def fingerprint(self) -> str:
        """Of weights, tokenizer, graph and window; the same wherever the same weights come from."""
        parts = {
            "weights": self._files.digest,
            "tokenizer": digest_of(self._files.tokenizer),
            "graph": GRAPH_VERSION,
            "max_tokens": MAX_TOKENS,
            "window": self.window,
        }
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return f"{self.name}-{self.window}-{digest[:16]}"

    def embed(
        self,
        texts: tuple[str, ...],
        images: tuple[str | None, ...],  # noqa: ARG002  # all None: this encoder reads text only
        progress: Progress,
    ) -> Float32Array:
        """See Encoder.encode; progress counts windows, those with the same tokens once."""
        rows_of_text: dict[str, list[int]] = {}
        row_of_window: dict[Pieces, int] = {}
        for text in texts:
            if text not in rows_of_text:
                windows = window_pieces(text, self.window, self._pieces)
                rows_of_text[text] = [
                    row_of_window.setdefault(window, len(row_of_window)) for window in windows
                ]
        vectors = self._embed_windows(list(row_of_window), progress)  # (M, 384)
        rows = np.array([rows_of_text[text] for text in texts])  # (N, windows per text)
        joined: Float32Array = vectors[rows].reshape(len(texts), self.dimension)
        joined /= np.sqrt(np.float32(rows.shape[1]))  # each part has length 1
        return joined

    def _embed_windows(self, windows: list[Pieces], progress: Progress) -> Float32Array:
        vectors = np.empty((len(windows), HIDDEN), dtype=np.float32)
        done = 0
        for batch in plan_batches([len(pieces) + 2 for pieces in windows]):
            vectors[batch] = self._run([windows[i] for i in batch])
            done += len(batch)
            progress("encode", done, len(windows))
        return vectors

    def _run(self, windows: list[Pieces]) -> Float32Array:
        """(B, 384): one batch through the model."""
        lengths = np.array([len(pieces) + 2 for pieces in windows])
        ids = np.zeros((len(windows), lengths.max()), dtype=np.int64)
        for row, pieces in zip(ids, windows, strict=True):
            row[: len(pieces) + 2] = (self._cls, *pieces, self._sep)
        mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        session = self._session
        inputs = {node.name: feed[node.name] for node in session.get_inputs()}
        output = np.asarray(session.run(None, inputs)[0], dtype=np.float32)
        return output if output.ndim == 2 else _pool(output, mask)

    def _pieces(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    @cached_property
    def _files(self) -> Weights:
        return find_weights(self.weights)

    @cached_property
    def _session(self) -> "InferenceSession":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads or 0  # 0: one per physical core
        options.inter_op_num_threads = 1  # the graph is a chain: nothing runs beside anything
        # spinning saves 15 % on idle cores, but beside other work it takes twice the processor
        # time and two to three times as long (docs/encoders.md)
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = self._files.model if self._files.is_onnx else graph_file(self._files)
        session = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )
        _check_session(session, graph)
        return session

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        return _load_tokenizer(self._files.tokenizer)

    @cached_property
    def _cls(self) -> int:
        return _token_id(self._tokenizer, "[CLS]")

    @cached_property
    def _sep(self) -> int:
        return _token_id(self._tokenizer, "[SEP]")


def plan_batches(lengths: Sequence[int]) -> list[IntArray]:
    """Indices by batch, longest windows first; lengths in tokens, one per window.

    A batch has at most MAX_BATCH_WINDOWS windows and MAX_BATCH_TOKENS tokens with its padding, or
    one window. Longest first, so that the time shown as remaining is not too short.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    batches = []
    start = 0
    while start < len(order):
        longest = max(lengths[order[start]], 1)
        size = max(1, min(MAX_BATCH_WINDOWS, MAX_BATCH_TOKENS // longest))
        batches.append(order[start : start + size])
        start += size
    return batches


def _pool(hidden: Float32Array, mask: IntArray) -> Float32Array:
    """(B, S, 384) token vectors and (B, S) mask to (B, 384) means of length 1."""
    total = np.einsum("bsd,bs->bd", hidden, mask.astype(np.float32))
    return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True), dtype=np.float32)


def _check_session(session: "InferenceSession", graph: Path) -> None:
    inputs = {node.name for node in session.get_inputs()}
    output = session.get_outputs()[0]
    width = output.shape[-1] if output.shape else None
    known = {"input_ids", "attention_mask", "token_type_ids"}
    if not {"input_ids", "attention_mask"} <= inputs <= known or width not in (HIDDEN, None):
        raise DataError(
            f"{graph}: inputs {sorted(inputs)} and an output {output.name!r} of shape "
            f"{output.shape}; all-MiniLM-L6-v2 has {sorted(known)} and {HIDDEN} numbers per token"
        )


def _load_tokenizer(path: Path) -> "Tokenizer":
    """The tokenizer without its own limits: tokenizer.json cuts and pads to 128 tokens.

    Where a long text may be cut (windows.py) rests on BERT's rules, so others are refused.
    """
    import tokenizers

    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: not a tokenizer: {error}") from error
    content = content if isinstance(content, dict) else {}
    found = {key: content.get(key) for key in _EXPECTED_TOKENIZER}
    special = {token["content"] for token in content.get("added_tokens", [])}
    if found != _EXPECTED_TOKENIZER or special != _SPECIAL:
        raise DataError(
            f"{path}: not the tokenizer of all-MiniLM-L6-v2 (BERT, uncased): found {found} "
            f"and special tokens {sorted(special)}"
        )
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _token_id(tokenizer: "Tokenizer", token: str) -> int:
    found: int | None = tokenizer.token_to_id(token)
    if found is None:
        raise DataError(f"the tokenizer of all-MiniLM-L6-v2 has no token {token}")
    return found

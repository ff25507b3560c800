"""int8 for all-MiniLM-L6-v2: matrix products on whole numbers, with ranges from training texts.

Activations become 8 bits by one scale and one zero point per product, which are constants of the
graph: they come from the ranges that the activations had on training texts, so a text's vector
depends on nothing but the text. A few channels of a transformer are ten times as large as the rest;
every channel is therefore divided by a factor of its own, and the weights are multiplied by it
(SmoothQuant, Xiao et al. 2023). Weights have one scale per output.

Weights reach from -64 to 64 only: processors without VNNI or AMX add two products in 16 bits, and
2 * 255 * 64 still fits. So every processor computes the same whole numbers. All that leads to them
is arithmetic that IEEE 754 fixes to the last bit: the same ranges give the same graph everywhere.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import Float32Array
from equirouter.encoders.kept import forget_oldest, kept_file
from equirouter.encoders.minilm.graph import (
    GRAPH_REVISION,
    GRAPH_VERSION,
    HIDDEN,
    N_LAYERS,
    MiniLMGraph,
    read_tensors,
)
from equirouter.encoders.minilm.onnx_sessions import open_session
from equirouter.encoders.minilm.weights import Weights
from equirouter.errors import ConfigError, PipelineError

QUANTISE_VERSION = 1
"""Raised by every change here that may change an int8 embedding."""

MOST_KEPT = 8
"""int8 graphs in the cache folder, 23 MB each; a graph belongs to the ranges of one training."""

_ATTENTION, _MIXED, _WIDE, _NARROW = (
    "attention.self",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
_WIDTHS = {_ATTENTION: HIDDEN, _MIXED: HIDDEN, _WIDE: HIDDEN, _NARROW: 4 * HIDDEN}
_PRODUCTS = {
    f"encoder.layer.{layer}.{part}": width
    for layer in range(N_LAYERS)
    for part, width in _WIDTHS.items()
}  # what is multiplied -> its number of channels, in the order of the graph
_N_CHANNELS = sum(_PRODUCTS.values())

_LARGEST_ACTIVATION, _LARGEST_WEIGHT = 255, 64
_ORT = "com.microsoft"  # ONNX Runtime's own operators


@dataclass(frozen=True, eq=False)
class ActivationRanges:
    """The least and the largest value of every channel that is multiplied, on training texts."""

    values: Float32Array
    """(2, 16128): least and largest, the channels in the order of the graph."""

    STATE: ClassVar[str] = "activation_ranges"

    def of(self, product: str) -> tuple[Float32Array, Float32Array]:
        """Least and largest of the channels of one product, (width,) each."""
        names = list(_PRODUCTS)
        start = sum(_PRODUCTS[name] for name in names[: names.index(product)])
        least, largest = self.values[:, start : start + _PRODUCTS[product]]
        return least, largest

    @property
    def digest(self) -> str:
        """SHA-256 of the numbers, 64 hex digits."""
        return hashlib.sha256(self.values.astype("<f4").tobytes()).hexdigest()

    def state(self) -> dict[str, NDArray[Any]]:
        """The numbers, as they are kept with a pipeline."""
        return {self.STATE: self.values}

    @classmethod
    def restore(cls, values: NDArray[Any] | None) -> "ActivationRanges":
        """From the array that `state` gave. Raises PipelineError for anything else."""
        expected = f"float32 {(2, _N_CHANNELS)} expected; train the pipeline again"
        if values is None:
            raise PipelineError(f"{cls.STATE}: nothing found, {expected}")
        if values.dtype != np.float32 or values.shape != (2, _N_CHANNELS):
            raise PipelineError(f"{cls.STATE}: {values.dtype} {values.shape} found, {expected}")
        if not np.isfinite(values).all() or (values[0] > values[1]).any():
            raise PipelineError(f"{cls.STATE}: not ranges of numbers; train the pipeline again")
        return cls(values)

    @classmethod
    def union(cls, outputs: Sequence[Sequence[Float32Array]]) -> "ActivationRanges":
        """Of several windows, each with the outputs of a CalibrationGraph behind the embedding."""
        least = np.min([np.concatenate(arrays[0::2]) for arrays in outputs], axis=0)
        largest = np.max([np.concatenate(arrays[1::2]) for arrays in outputs], axis=0)
        return cls(np.stack([least, largest]).astype(np.float32))


class CalibrationGraph(MiniLMGraph):
    """The graph in float32 that also gives the ranges of what is multiplied.

    Outputs behind the embedding: the least and the largest of each channel, product by product.
    """

    def linear(self, name: str, x: str, weight: Float32Array, bias: Float32Array) -> str:
        """As it is, and the ranges of x."""
        axis = self.const("axis_0", np.array([0]))
        for kind in ("ReduceMin", "ReduceMax"):
            self.op(kind, x, axis, keepdims=0, name=f"{name}.{kind}")
        return super().linear(name, x, weight, bias)

    def calibration(self) -> bytes:
        """The model with these outputs."""
        names = [f"{name}.{kind}" for name in _PRODUCTS for kind in ("ReduceMin", "ReduceMax")]
        return self.model(*names)


class Int8Graph(MiniLMGraph):
    """The graph with its 24 products on whole numbers and its words kept as such, else float32."""

    def __init__(self, tensors: Mapping[str, Float32Array], ranges: ActivationRanges) -> None:
        super().__init__(tensors)
        self.ranges = ranges

    def words(self, table: Float32Array) -> str:
        """As float32, from a table in 8 bits: nothing is lost that the products would keep."""
        whole, scale = whole_rows(table, 127)
        rows = self.op("Gather", self.const("words", whole), "input_ids")
        scales = self.op("Gather", self.const("word_scales", scale[:, None]), "input_ids")
        return self.op("Mul", self.op("Cast", rows, to=self.onnx.TensorProto.FLOAT), scales)

    def factors(self, name: str, weight: Float32Array) -> Float32Array:
        """(in,): what every channel is divided by before it becomes 8 bits."""
        largest = np.abs(self.ranges.of(name)).max(axis=0)
        # a channel that was quiet on the training texts may not be on others
        lowest = max(np.float32(0.8) * np.median(largest), np.float32(1e-6))
        largest = np.maximum(largest, lowest)
        effect = np.abs(weight).max(axis=0)
        effect = np.maximum(effect, np.float32(1e-3) * effect.max())
        # largest^0.75 / effect^0.25; only roots and products, which are exact everywhere
        return np.asarray(largest / np.sqrt(np.sqrt(largest * effect)), dtype=np.float32)

    def projections(self, prefix: str) -> tuple[Float32Array, Float32Array]:
        """The value divided by the factors of the product that follows, which costs nothing."""
        weight, bias = super().projections(prefix)
        after = prefix.replace(_ATTENTION, _MIXED)
        factors = self.factors(after, self.dense(after, HIDDEN, HIDDEN)[0])
        weight[-HIDDEN:] /= factors[:, None]
        bias[-HIDDEN:] /= factors
        return weight, bias

    def linear(self, name: str, x: str, weight: Float32Array, bias: Float32Array) -> str:
        """A product of whole numbers; the bias is added in float32."""
        factors = self.factors(name, weight)
        if not name.endswith(_MIXED):  # those are in the weights of the value
            x = self.op("Mul", x, self.const(f"{name}.factors", 1 / factors))
        whole, weight_scale = whole_rows(weight * factors, _LARGEST_WEIGHT)
        scale, zero = scale_and_zero(*(side / factors for side in self.ranges.of(name)))
        scale_name = self.const(f"{name}.scale", scale)
        zero_name = self.const(f"{name}.zero", zero)
        return self.op(
            "MatMulIntegerToFloat",
            self.op("QuantizeLinear", x, scale_name, zero_name),
            self.const(f"{name}.weight", whole.T),
            scale_name,
            self.const(f"{name}.weight_scale", weight_scale),
            zero_name,
            "",
            self.const(f"{name}.bias", bias),
            domain=_ORT,
        )


def whole_rows(rows: Float32Array, largest: int) -> tuple[NDArray[np.int8], Float32Array]:
    """(n, width) numbers as int8 of -largest to largest, and a scale per row, (n,).

    A row is about its whole numbers times its scale.
    """
    scale = np.abs(rows).max(axis=1) / np.float32(largest)
    scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)
    return np.rint(rows / scale[:, None]).astype(np.int8), scale


def scale_and_zero(least: Float32Array, largest: Float32Array) -> tuple[np.float32, np.uint8]:
    """Scale and zero point that bring the range of all channels, with 0 in it, to 0 ... 255."""
    low, high = min(least.min(), np.float32(0)), max(largest.max(), np.float32(0))
    scale = np.float32((high - low) / np.float32(_LARGEST_ACTIVATION))
    scale = scale if scale > 0 else np.float32(1)
    return scale, np.uint8(np.rint(-low / scale))


def quantised_graph_file(weights: Weights, ranges: ActivationRanges) -> Path:
    """The int8 graph for these ranges: from the cache folder, or made and kept there now.

    Only the MOST_KEPT newest are kept. Raises as graph_file does, and ConfigError for weights that
    are an ONNX file: int8 is made from the numbers themselves.
    """
    version = f"v{GRAPH_VERSION}.{GRAPH_REVISION}.{QUANTISE_VERSION}"
    name = f"minilm-{weights.digest[:32]}-int8-{ranges.digest[:32]}-{version}.onnx"

    def make() -> bytes:
        tensors = _read_tensors(weights)
        for suffix in ("onnx", "sha256"):
            forget_oldest("graphs", f"minilm-*-int8-*.{suffix}", MOST_KEPT - 1)
        return Int8Graph(tensors, ranges).model()

    return kept_file("graphs", name, make)


def calibrate(
    weights: Weights, windows: Sequence[Sequence[int]], threads: int | None = None
) -> ActivationRanges:
    """The ranges that the activations have on these windows of token ids, one or more.

    Raises ConfigError for weights that are an ONNX file.
    """
    graph = CalibrationGraph(_read_tensors(weights)).calibration()
    session = open_session(graph, threads)
    runs = [session.run(None, {"input_ids": np.array([ids], dtype=np.int64)}) for ids in windows]
    return ActivationRanges.union([outputs[1:] for outputs in runs])


def _read_tensors(weights: Weights) -> dict[str, Float32Array]:
    if weights.is_onnx:
        raise ConfigError(
            f"{weights.model}: precision='int8' is made from model.safetensors; give a folder that "
            "has it and no model.onnx, or choose precision='fp32'"
        )
    return read_tensors(weights)

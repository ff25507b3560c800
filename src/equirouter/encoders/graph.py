"""The ONNX graph of all-MiniLM-L6-v2, made once from its weights and kept in the cache folder.

Standard operators only (opset 20): measured on two x86 cores they are as fast as ONNX Runtime's
fused BERT operators or faster (docs/encoders.md), and every execution provider knows them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from equirouter.arrays import Float32Array
from equirouter.encoders.kept import kept_path, write_kept
from equirouter.encoders.weights import Weights, digest_of
from equirouter.encoders.windows import MAX_TOKENS
from equirouter.errors import DataError
from equirouter.extras import require

__all__ = ["GRAPH_VERSION", "build_graph", "graph_file"]

GRAPH_VERSION = 1
"""Raised by every change of the graph that may change an embedding, be it in the last bit."""

N_LAYERS, N_HEADS, HEAD_WIDTH = 6, 12, 32
HIDDEN = N_HEADS * HEAD_WIDTH
_EPSILON = 1e-12  # of all layer norms, as the model was trained


def graph_file(weights: Weights) -> Path:
    """The graph made from these safetensors weights: from the cache, or made and kept there now.

    A graph whose SHA-256 is not the one noted beside it is made again. Two processes may do this at
    once: each writes a whole file and then moves it into place, and what they write is the same.
    Raises MissingExtraError without the onnx package, DataError for weights of another model,
    OutputError when the cache folder cannot be written.
    """
    graph = kept_path("graphs", f"minilm-{weights.digest[:32]}-v{GRAPH_VERSION}.onnx")
    note = graph.with_suffix(".sha256")
    if graph.is_file() and note.is_file():
        noted = note.read_text("ascii", errors="replace").strip()
        if digest_of(graph) == noted:
            return graph
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(weights.model)
    except SafetensorError as error:
        raise DataError(f"{weights.model}: not a safetensors file: {error}") from error
    write_kept(graph, build_graph(tensors))
    write_kept(note, digest_of(graph).encode("ascii"))
    return graph


def build_graph(tensors: Mapping[str, Float32Array]) -> bytes:
    """The model as ONNX bytes: token ids to unit-norm sentence embeddings.

    tensors: the weights by their names in model.safetensors. Inputs of the graph: input_ids and
    attention_mask, (B, S) int64, S at most MAX_TOKENS. Output: sentence_embedding, (B, 384) float32
    of length 1: the mean over the tokens whose mask is 1. Raises DataError for a weight that is
    missing or has another shape.
    """
    return _Graph(tensors).bytes()


class _Graph:
    """Nodes and weights as they are added; a method adds one part and returns its output's name."""

    def __init__(self, tensors: Mapping[str, Float32Array]) -> None:
        self.onnx = require("onnx", extra="minilm", purpose="make the graph of all-MiniLM-L6-v2")
        self.tensors = tensors
        self.nodes: list[Any] = []
        self.weights: dict[str, Any] = {}

    def bytes(self) -> bytes:
        onnx, make = self.onnx, self.onnx.helper
        x = self.embeddings()
        bias = self.mask_bias()
        for layer in range(N_LAYERS):
            x = self.layer(f"encoder.layer.{layer}.", x, bias)
        self.pool(x)
        ids = [
            make.make_tensor_value_info(name, onnx.TensorProto.INT64, ["batch", "tokens"])
            for name in ("input_ids", "attention_mask")
        ]
        out = [
            make.make_tensor_value_info(
                "sentence_embedding", onnx.TensorProto.FLOAT, ["batch", HIDDEN]
            )
        ]
        graph = make.make_graph(self.nodes, "all-MiniLM-L6-v2", ids, out, [*self.weights.values()])
        model = make.make_model(graph, opset_imports=[make.make_opsetid("", 20)], ir_version=9)
        serialized: bytes = model.SerializeToString(deterministic=True)
        return serialized

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: object) -> str:
        output = name or f"{kind}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, [*inputs], [output], **attributes))
        return output

    def const(self, name: str, array: npt.ArrayLike) -> str:
        if name not in self.weights:
            whole = np.array(array, order="C")  # a transposed view is laid out as it will be read
            self.weights[name] = self.onnx.numpy_helper.from_array(whole, name)
        return name

    def tensor(self, name: str, *shape: int) -> Float32Array:
        found = self.tensors.get(name)
        if found is None or found.shape != shape or found.dtype != np.float32:
            what = "nothing" if found is None else f"{found.dtype} {found.shape}"
            raise DataError(
                f"weights of all-MiniLM-L6-v2: {what} under {name!r}, float32 {shape} expected; "
                "give the folder of that model, or install 'equirouter[minilm]'"
            )
        return found

    def norm(self, x: str, prefix: str) -> str:
        parts = [
            self.const(prefix + part, self.tensor(prefix + part, HIDDEN))
            for part in ("weight", "bias")
        ]
        return self.op("LayerNormalization", x, *parts, axis=-1, epsilon=_EPSILON)

    def linear(self, x: str, prefix: str, n_in: int, n_out: int, scale: float = 1.0) -> str:
        weight = self.tensor(f"{prefix}.weight", n_out, n_in).T * np.float32(scale)
        bias = self.tensor(f"{prefix}.bias", n_out) * np.float32(scale)
        product = self.op("MatMul", x, self.const(f"{prefix}.weight", weight))
        return self.op("Add", product, self.const(f"{prefix}.bias", bias))

    def embeddings(self) -> str:
        words = self.tensors.get("embeddings.word_embeddings.weight")
        n_words = 30522 if words is None else len(words)
        prefix = "embeddings."
        word = self.tensor(f"{prefix}word_embeddings.weight", n_words, HIDDEN)
        place = self.tensor(f"{prefix}position_embeddings.weight", 512, HIDDEN)[:MAX_TOKENS]
        kind = self.tensor(f"{prefix}token_type_embeddings.weight", 2, HIDDEN)[0]
        n_tokens = self.op("Gather", self.op("Shape", "input_ids"), self.const("one", np.array(1)))
        zero = self.const("zero", np.array(0))
        place_ids = self.op("Range", zero, n_tokens, "one")
        x = self.op(
            "Add",
            self.op("Gather", self.const("words", word), "input_ids"),
            self.op("Gather", self.const("places", place + kind), place_ids),
        )  # (B, S, H) + (S, H): there is one segment only, so its vector is part of the places
        return self.norm(x, f"{prefix}LayerNorm.")

    def mask_bias(self) -> str:
        """(B, 1, 1, S): 0 for a token, -1e9 for padding, which then gets a weight of exactly 0."""
        self.op("Cast", "attention_mask", name="mask", to=self.onnx.TensorProto.FLOAT)
        padding = self.op("Sub", self.const("one_float", np.float32(1)), "mask")
        bias = self.op("Mul", padding, self.const("minus", np.float32(-1e9)))
        return self.op("Unsqueeze", bias, self.const("axes_1_2", np.array([1, 2])))

    def layer(self, prefix: str, x: str, bias: str) -> str:
        attended = self.linear(
            self.attention(f"{prefix}attention.self.", x, bias),
            f"{prefix}attention.output.dense",
            HIDDEN,
            HIDDEN,
        )
        x = self.norm(self.op("Add", attended, x), f"{prefix}attention.output.LayerNorm.")
        wide = self.linear(x, f"{prefix}intermediate.dense", HIDDEN, 4 * HIDDEN)
        wide = self.op("Gelu", wide)  # the exact one, with erf, as in BERT
        narrow = self.linear(wide, f"{prefix}output.dense", 4 * HIDDEN, HIDDEN)
        return self.norm(self.op("Add", narrow, x), f"{prefix}output.LayerNorm.")

    def attention(self, prefix: str, x: str, bias: str) -> str:
        scales = {"query": HEAD_WIDTH**-0.5, "key": 1.0, "value": 1.0}
        orders = {"query": [0, 2, 1, 3], "key": [0, 2, 3, 1], "value": [0, 2, 1, 3]}
        split = self.const("split", np.array([0, 0, N_HEADS, HEAD_WIDTH]))
        heads = {}
        for part, scale in scales.items():
            flat = self.linear(x, prefix + part, HIDDEN, HIDDEN, scale)
            heads[part] = self.op(
                "Transpose", self.op("Reshape", flat, split), perm=orders[part]
            )  # (B, heads, S, width), the key with its last two axes exchanged
        logits = self.op("Add", self.op("MatMul", heads["query"], heads["key"]), bias)
        mixed = self.op("MatMul", self.op("Softmax", logits, axis=-1), heads["value"])
        back = self.op("Transpose", mixed, perm=[0, 2, 1, 3])
        return self.op("Reshape", back, self.const("join", np.array([0, 0, HIDDEN])))

    def pool(self, x: str) -> str:
        axis = self.const("axis_1", np.array([1]))
        row = self.op("Unsqueeze", "mask", axis)  # (B, 1, S)
        total = self.op("Squeeze", self.op("MatMul", row, x), axis)  # the mean but for a factor
        length = self.op("ReduceL2", total, axis, keepdims=1)
        return self.op("Div", total, length, name="sentence_embedding")

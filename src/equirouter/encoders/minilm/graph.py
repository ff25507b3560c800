"""The ONNX graph of all-MiniLM-L6-v2, made once from its weights and kept in the cache folder.

It reads windows of one length without padding: there is nothing to mask. Standard operators only
(opset 20): measured on two x86 cores they are as fast as ONNX Runtime's fused BERT operators
(docs/encoders.md), and every execution provider knows them.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.encoders.kept import kept_file
from equirouter.encoders.minilm.weights import Weights
from equirouter.encoders.windows import MAX_TOKENS
from equirouter.errors import DataError
from equirouter.onnxgraph import OnnxGraph

GRAPH_VERSION = 2
"""Raised by every change of the graph that may change an embedding, be it in the last bit."""
GRAPH_REVISION = 1
"""Raised by every other change of the graph, so that no older file of the cache is taken."""

N_LAYERS, N_HEADS, HEAD_WIDTH = 6, 12, 32
HIDDEN = N_HEADS * HEAD_WIDTH
_EPSILON = 1e-12  # of all layer norms, as the model was trained


def graph_file(weights: Weights) -> Path:
    """The graph made from these safetensors weights: from the cache, or made and kept there now.

    Raises MissingExtraError without the onnx package, DataError for weights of another model,
    OutputError when the cache folder cannot be written.
    """
    name = f"minilm-{weights.digest[:32]}-v{GRAPH_VERSION}.{GRAPH_REVISION}.onnx"
    return kept_file("graphs", name, lambda: MiniLMGraph(read_tensors(weights)).model())


def read_tensors(weights: Weights) -> dict[str, Float32Array]:
    """The weights by their names. Raises DataError for a file that is not safetensors."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(weights.model)
    except SafetensorError as error:
        raise DataError(f"{weights.model}: not a safetensors file: {error}") from error


class MiniLMGraph(OnnxGraph):
    """The model: token ids to unit-norm sentence embeddings.

    tensors: the weights by their names in model.safetensors. Input of the graph: input_ids, (B, S)
    int64, S at most MAX_TOKENS, B windows of S tokens each. Output: sentence_embedding, (B, 384)
    float32 of length 1: the mean over the tokens. On the processor a window's embedding has the
    same bits whatever B is. A method adds one part and returns its output's name; `model` adds all
    of them. Raises DataError for a weight that is missing or has another shape.

    Between the parts all tokens are rows of one matrix, (B * S, width). A subclass may compute the
    matrix products in another way (`linear`); weights are (out, in) as in torch.
    """

    def __init__(self, tensors: Mapping[str, Float32Array]) -> None:
        super().__init__()
        self.tensors = tensors

    def model(self, *more: str) -> bytes:
        """The whole graph as ONNX bytes; more: float32 outputs beside the embedding."""
        x = self.embeddings()
        for layer in range(N_LAYERS):
            x = self.layer(f"encoder.layer.{layer}.", x)
        self.pool(x)
        make, kinds = self.onnx.helper, self.onnx.TensorProto
        ids = make.make_tensor_value_info("input_ids", kinds.INT64, ["batch", "tokens"])
        out = make.make_tensor_value_info("sentence_embedding", kinds.FLOAT, ["batch", HIDDEN])
        others = [make.make_tensor_value_info(name, kinds.FLOAT, None) for name in more]
        graph = make.make_graph(
            self.nodes, "all-MiniLM-L6-v2", [ids], [out, *others], [*self.weights.values()]
        )
        used = sorted({node.domain for node in self.nodes} | {""})
        versions = [make.make_opsetid(domain, 1 if domain else 20) for domain in used]
        model = make.make_model(graph, opset_imports=versions, ir_version=9)
        serialized: bytes = model.SerializeToString(deterministic=True)
        return serialized

    def tensor(self, name: str, *shape: int) -> Float32Array:
        """One of the weights. Raises DataError if it is missing or has another shape."""
        tensor = self.tensors.get(name)
        if tensor is None or tensor.shape != shape or tensor.dtype != np.float32:
            there = "nothing" if tensor is None else f"{tensor.dtype} {tensor.shape}"
            raise DataError(
                f"weights of all-MiniLM-L6-v2: {there} under {name!r}, float32 {shape} expected; "
                "give the folder of that model, or install 'equirouter[weights]'"
            )
        return tensor

    def dense(self, prefix: str, n_in: int, n_out: int) -> tuple[Float32Array, Float32Array]:
        """Weight (out, in) and bias (out,) of one layer."""
        return self.tensor(f"{prefix}.weight", n_out, n_in), self.tensor(f"{prefix}.bias", n_out)

    def linear(self, name: str, x: str, weight: Float32Array, bias: Float32Array) -> str:
        """Rows times weight.T plus bias, (n, in) -> (n, out)."""
        return self.affine(name, x, weight, bias)

    def norm(self, x: str, prefix: str) -> str:
        """One layer norm."""
        weight, bias = (self.tensor(prefix + part, HIDDEN) for part in ("weight", "bias"))
        return self.layer_norm(prefix.removesuffix("."), x, weight, bias, _EPSILON)

    def embeddings(self) -> str:
        """(B * S, H): word plus place, normalised."""
        words = self.tensors.get("embeddings.word_embeddings.weight")
        n_words = 30522 if words is None else len(words)
        prefix = "embeddings."
        word = self.tensor(f"{prefix}word_embeddings.weight", n_words, HIDDEN)
        place = self.tensor(f"{prefix}position_embeddings.weight", 512, HIDDEN)[:MAX_TOKENS]
        kind = self.tensor(f"{prefix}token_type_embeddings.weight", 2, HIDDEN)[0]
        self.op("Shape", "input_ids", name="shape")  # (2,): B, S
        n_tokens = self.op("Shape", "input_ids", start=1)
        start = self.const("axis_0", np.array([0]))
        # there is one segment only, so its vector is part of the places
        places = self.op("Slice", self.const("places", place + kind), start, n_tokens, start)
        x = self.op("Add", self.words(word), places)
        return self.norm(self.rows(x, HIDDEN), f"{prefix}LayerNorm.")

    def words(self, table: Float32Array) -> str:
        """(B, S, H): the rows of the tokens."""
        return self.op("Gather", self.const("words", table), "input_ids")

    def layer(self, prefix: str, x: str) -> str:
        """One of the six: attention and two dense layers, each added to what went in."""
        mixed = self.attention(f"{prefix}attention.self", x)
        name = f"{prefix}attention.output.dense"
        attended = self.linear(name, mixed, *self.dense(name, HIDDEN, HIDDEN))
        x = self.norm(self.op("Add", attended, x), f"{prefix}attention.output.LayerNorm.")
        name = f"{prefix}intermediate.dense"
        wide = self.linear(name, x, *self.dense(name, HIDDEN, 4 * HIDDEN))
        wide = self.op("Gelu", wide)  # the exact one, with erf, as in BERT
        name = f"{prefix}output.dense"
        narrow = self.linear(name, wide, *self.dense(name, 4 * HIDDEN, HIDDEN))
        return self.norm(self.op("Add", narrow, x), f"{prefix}output.LayerNorm.")

    def projections(self, prefix: str) -> tuple[Float32Array, Float32Array]:
        """Query, key and value of one layer as one product; the query already scaled."""
        parts = [self.dense(f"{prefix}.{part}", HIDDEN, HIDDEN) for part in ("query", "key")]
        value = self.dense(f"{prefix}.value", HIDDEN, HIDDEN)
        scale = np.float32(HEAD_WIDTH**-0.5)
        query = (parts[0][0] * scale, parts[0][1] * scale)
        weights, biases = zip(query, parts[1], value, strict=True)
        return np.concatenate(weights), np.concatenate(biases)

    def attention(self, prefix: str, x: str) -> str:
        """(B * S, H): every token's mix of the values of its window's tokens."""
        flat = self.linear(prefix, x, *self.projections(prefix))  # (B * S, 3 * H)
        heads = self.const("heads", np.array([3 * N_HEADS, HEAD_WIDTH]))
        shape = self.op("Concat", "shape", heads, axis=0, name=f"{prefix}.shape")
        split = self.op("Transpose", self.op("Reshape", flat, shape), perm=[0, 2, 1, 3])
        query, key, value = self.parts(split)  # (B, heads, S, width)
        # four axes, not five: ONNX Runtime then multiplies by the key as it lies, without a copy
        logits = self.op("MatMul", query, self.op("Transpose", key, perm=[0, 1, 3, 2]))
        mixed = self.op("MatMul", self.op("Softmax", logits, axis=-1), value)
        return self.rows(self.op("Transpose", mixed, perm=[0, 2, 1, 3]), HIDDEN)

    def parts(self, x: str) -> list[str]:
        """The three parts of the second axis."""
        outputs = [f"{x}_{part}" for part in ("query", "key", "value")]
        make = self.onnx.helper.make_node
        self.nodes.append(make("Split", [x], outputs, axis=1, num_outputs=3))
        return outputs

    def pool(self, x: str) -> str:
        """The embedding of each window, (B, H)."""
        axis = self.const("axis_1", np.array([1]))
        width = self.const("width", np.array([HIDDEN]))
        shape = self.op("Concat", "shape", width, axis=0)
        by_place = self.op("Transpose", self.op("Reshape", x, shape), perm=[1, 0, 2])
        # ONNX Runtime adds along the first axis row by row; along a middle one the order of its
        # sums depends on B. Without the matrix (S, B * H) it would undo the Transpose
        wide = self.op("Reshape", by_place, self.const("wide", np.array([0, -1])))
        total = self.op("ReduceSum", wide, self.const("axis_0", np.array([0])), keepdims=0)
        total = self.rows(total, HIDDEN)
        length = self.op("ReduceL2", total, axis, keepdims=1)  # the mean but for a factor
        return self.op("Div", total, length, name="sentence_embedding")

"""The ONNX graph of a vision transformer (ViT, or CLIP's vision tower), made once and kept.

One image at a time: a vector never depends on what is encoded beside it. Source: Dosovitskiy et al.
2021 (ViT); Radford et al. 2021 (CLIP).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.encoders.graph import kept_graph
from equirouter.encoders.kept import forget_oldest
from equirouter.encoders.vision_weights import VisionConfig, VisionWeights
from equirouter.errors import DataError
from equirouter.onnxgraph import OnnxGraph

__all__ = ["VISION_GRAPH_VERSION", "vision_graph", "vision_graph_file"]

VISION_GRAPH_VERSION = 1
"""Raised by every change of the graph that may change an embedding, be it in the last bit."""

_GRAPHS_KEPT = 2  # of some 340 MB each


@dataclass(frozen=True)
class _Names:
    """How a family of models calls its weights; "{}" stands for the number of a layer."""

    cls: str
    places: str
    patches: str
    layer: str
    before: str
    query: str
    key: str
    value: str
    mixed: str
    after: str
    wide: str
    narrow: str
    last: str
    first: str | None = None
    projection: str | None = None


_NAMES = {
    "vit": _Names(
        cls="embeddings.cls_token",
        places="embeddings.position_embeddings",
        patches="embeddings.patch_embeddings.projection",
        layer="encoder.layer.{}.",
        before="layernorm_before",
        query="attention.attention.query",
        key="attention.attention.key",
        value="attention.attention.value",
        mixed="attention.output.dense",
        after="layernorm_after",
        wide="intermediate.dense",
        narrow="output.dense",
        last="layernorm",
    ),
    "clip": _Names(
        cls="embeddings.class_embedding",
        places="embeddings.position_embedding.weight",
        patches="embeddings.patch_embedding",
        layer="encoder.layers.{}.",
        before="layer_norm1",
        query="self_attn.q_proj",
        key="self_attn.k_proj",
        value="self_attn.v_proj",
        mixed="self_attn.out_proj",
        after="layer_norm2",
        wide="mlp.fc1",
        narrow="mlp.fc2",
        last="post_layernorm",
        first="pre_layrnorm",  # as it is spelt in the files
        projection="visual_projection.weight",
    ),
}


def vision_graph_file(weights: VisionWeights) -> Path:
    """The graph of these weights: from the cache folder, or made and kept there now.

    Raises MissingExtraError without the onnx package, DataError for weights of another model,
    OutputError when the cache folder cannot be written.
    """
    name = f"vision-{weights.digest[:32]}-v{VISION_GRAPH_VERSION}.onnx"
    path = kept_graph(name, lambda: vision_graph(weights.tensors(), weights.config))
    forget_oldest("graphs", "vision-*.onnx", _GRAPHS_KEPT)
    return path


def vision_graph(tensors: Mapping[str, Float32Array], config: VisionConfig) -> bytes:
    """The model as ONNX bytes: pixel_values (1, 3, S, S) float32 to image_embedding (1, d).

    tensors: the weights by their names in model.safetensors. The embedding is what the model says
    of the whole image, the first token after the last layer norm, and for CLIP, where the weights
    have it, its projection; at length 1. Raises DataError for a weight that is missing or has
    another shape.
    """
    return _VisionGraph(tensors, config).model()


class _VisionGraph(OnnxGraph):
    """A method adds one part and returns its output's name; tokens are rows, (T, width)."""

    def __init__(self, tensors: Mapping[str, Float32Array], config: VisionConfig) -> None:
        super().__init__(extra="vision", purpose="make the graph of the vision model")
        self.tensors = tensors
        self.config = config
        self.names = _NAMES[config.kind]
        self.prefix = self._prefix()
        patches = self.tensor(f"{self.names.patches}.weight")
        self.width, _, self.patch, _ = patches.shape
        self.places = self.tensor(self.names.places).reshape(-1, self.width)
        self.side = round((len(self.places) - 1) ** 0.5)
        if self.side**2 + 1 != len(self.places) or self.width % config.n_heads:
            raise DataError(
                f"weights of a vision model: {len(self.places)} places, {self.width} numbers per "
                f"token and {config.n_heads} heads; expected one place more than a square, and "
                "numbers that the heads can share: is config.json of these weights?"
            )

    def _prefix(self) -> str:
        """What stands before every name, such as "vit." in a model with a classifier."""
        end = f"{self.names.patches}.weight"
        found = [name.removesuffix(end) for name in self.tensors if name.endswith(end)]
        if len(found) != 1:
            raise DataError(
                f"weights of a vision model: {len(found)} weights called {end!r}, 1 expected: "
                f"config.json says it is a model of the kind {self.config.kind!r}"
            )
        return found[0]

    def tensor(self, name: str, *shape: int) -> Float32Array:
        """One of the weights as float32. Raises DataError if it is missing or of another shape."""
        found = self.tensors.get(self.prefix + name)
        if found is None or (shape and found.shape != shape):
            what = "nothing" if found is None else f"the shape {found.shape}"
            wanted = f"{shape} is" if shape else "a weight is"
            raise DataError(
                f"weights of a vision model: {what} under {self.prefix + name!r}, {wanted} "
                "expected; give a folder whose files belong together"
            )
        return np.asarray(found, dtype=np.float32)

    def model(self) -> bytes:
        """The whole graph."""
        pixels = self.side * self.patch
        x = self.embeddings()
        n_layers = 0
        while self.prefix + self.names.layer.format(n_layers) + f"{self.names.before}.weight" in (
            self.tensors
        ):
            x = self.layer(self.names.layer.format(n_layers), x)
            n_layers += 1
        output, width = self.pool(x)
        self.rename(output, "image_embedding")
        return self.serialized(
            "vision",
            {"pixel_values": (1, 3, pixels, pixels)},
            {"image_embedding": (1, width)},
        )

    def embeddings(self) -> str:
        """(T, width): the token of the whole image, then one per patch, each with its place."""
        name = self.names.patches
        kernel = self.tensor(f"{name}.weight", self.width, 3, self.patch, self.patch)
        inputs = ["pixel_values", self.const("patches.weight", kernel)]
        if self.prefix + f"{name}.bias" in self.tensors:
            inputs.append(self.const("patches.bias", self.tensor(f"{name}.bias", self.width)))
        grid = self.op("Conv", *inputs, strides=[self.patch, self.patch])  # (1, width, side, side)
        flat = self.op("Reshape", grid, self.const("flat", np.array([self.width, -1])))
        patches = self.op("Transpose", flat, perm=[1, 0])
        cls = self.tensor(self.names.cls).reshape(1, self.width)
        tokens = self.op("Concat", self.const("cls", cls), patches, axis=0)
        x = self.op("Add", tokens, self.const("places", self.places))
        return self.norm(self.names.first, x) if self.names.first else x

    def layer(self, prefix: str, x: str) -> str:
        """Attention and two dense layers, each on what a layer norm gives, added to what was."""
        mixed = self.attention(prefix, self.norm(prefix + self.names.before, x))
        x = self.op("Add", x, self.dense(prefix + self.names.mixed, mixed))
        wide = self.dense(prefix + self.names.wide, self.norm(prefix + self.names.after, x))
        return self.op("Add", x, self.dense(prefix + self.names.narrow, self.activation(wide)))

    def attention(self, prefix: str, x: str) -> str:
        """(T, width): every token's mix of the values of all tokens."""
        head = self.width // self.config.n_heads
        heads = self.const("heads", np.array([-1, self.config.n_heads, head]))
        query, key, value = (
            self.op("Reshape", self.dense(prefix + name, x), heads)
            for name in (self.names.query, self.names.key, self.names.value)
        )  # (T, heads, head)
        query, value = (self.op("Transpose", part, perm=[1, 0, 2]) for part in (query, value))
        logits = self.op("MatMul", query, self.op("Transpose", key, perm=[1, 2, 0]))
        scale = self.const("scale", np.float32(head**-0.5))
        weights = self.op("Softmax", self.op("Mul", logits, scale), axis=-1)  # (heads, T, T)
        mixed = self.op("Transpose", self.op("MatMul", weights, value), perm=[1, 0, 2])
        return self.rows(mixed, self.width)

    def activation(self, x: str) -> str:
        """The exact GELU, or CLIP's approximation of it, x * sigmoid(1.702 x)."""
        if self.config.activation == "gelu":
            return self.op("Gelu", x)
        steep = self.op("Mul", x, self.const("steepness", np.float32(1.702)))
        return self.op("Mul", x, self.op("Sigmoid", steep))

    def pool(self, x: str) -> tuple[str, int]:
        """(1, d) of length 1, and d."""
        first = self.op("Gather", x, self.const("first", np.array([0])), axis=0)
        pooled, width = self.norm(self.names.last, first), self.width
        projection = self.tensors.get(self.names.projection or "")
        if projection is not None:
            width = len(projection)
            matrix = np.asarray(projection, dtype=np.float32).T
            pooled = self.op("MatMul", pooled, self.const("projection", matrix))
        length = self.op("ReduceL2", pooled, self.const("axis_1", np.array([1])), keepdims=1)
        return self.op("Div", pooled, length), width

    def dense(self, name: str, x: str) -> str:
        """One layer with its bias."""
        weight = self.tensor(f"{name}.weight")
        return self.affine(name, x, weight, self.tensor(f"{name}.bias", len(weight)))

    def norm(self, name: str, x: str) -> str:
        """One layer norm."""
        weight, bias = (self.tensor(f"{name}.{part}", self.width) for part in ("weight", "bias"))
        return self.layer_norm(name, x, weight, bias, self.config.epsilon)

"""ONNX graphs, node by node. Making one imports onnx, running one does not."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

OPSET, IR_VERSION = 20, 9


class OnnxGraph:
    """Nodes and constants as they are added; a method adds some and returns its output's name.

    Only standard operators, so that every runtime can run it.
    """

    def __init__(self) -> None:
        import onnx

        self.onnx: Any = onnx
        self.nodes: list[Any] = []
        self.weights: dict[str, Any] = {}

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: object) -> str:
        """One node. name: of its output; without one it is numbered."""
        output = name or f"{kind}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, [*inputs], [output], **attributes))
        return output

    def const(self, name: str, array: npt.ArrayLike) -> str:
        """A constant; what is there under that name already stays."""
        if name not in self.weights:
            whole = np.array(array, order="C")  # a transposed view is laid out as it will be read
            self.weights[name] = self.onnx.numpy_helper.from_array(whole, name)
        return name

    def affine(self, name: str, x: str, weight: npt.ArrayLike, bias: npt.ArrayLike) -> str:
        """A layer, x @ weight.T + bias: (N, in) -> (N, out); weight is (out, in) as in torch."""
        matrix = self.const(f"{name}.weight", np.asarray(weight, dtype=np.float32).T)
        offset = self.const(f"{name}.bias", np.asarray(bias, dtype=np.float32))
        return self.op("Gemm", x, matrix, offset)

    def layer_norm(
        self, name: str, x: str, weight: npt.ArrayLike, bias: npt.ArrayLike, epsilon: float
    ) -> str:
        """Layer normalisation over the last axis."""
        scale = self.const(f"{name}.weight", np.asarray(weight, dtype=np.float32))
        shift = self.const(f"{name}.bias", np.asarray(bias, dtype=np.float32))
        return self.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)

    def rows(self, x: str, width: int) -> str:
        """Reshape an array into rows of that width."""
        return self.op("Reshape", x, self.const(f"rows_{width}", np.array([-1, width])))

    def rename(self, output: str, name: str) -> None:
        """Give an output of a node another name, wherever it is used."""
        for node in self.nodes:
            for side in (node.input, node.output):
                side[:] = [name if each == output else each for each in side]

    def serialized(
        self,
        name: str,
        inputs: Mapping[str, Sequence[str | int]],
        outputs: Mapping[str, Sequence[str | int]],
        metadata: Mapping[str, str] | None = None,
    ) -> bytes:
        """The whole model; the same nodes and constants give the same bytes.

        inputs, outputs: shapes of the float32 arrays, a text where any length will do.
        """
        make, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        ends = [
            [make.make_tensor_value_info(key, kind, [*shape]) for key, shape in side.items()]
            for side in (inputs, outputs)
        ]
        graph = make.make_graph(self.nodes, name, *ends, [*self.weights.values()])
        model = make.make_model(
            graph, opset_imports=[make.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        make.set_model_props(model, dict(metadata or {}))
        serialized: bytes = model.SerializeToString(deterministic=True)
        return serialized

"""all-MiniLM-L6-v2 on ONNX Runtime, without torch.

minilm.py      MiniLMEncoder
weights.py     finds the weights: a folder, the installed package or the hub
graph.py       writes the ONNX graph
quantise.py    makes the graph compute in int8
onnx_sessions.py    runs a graph
"""

from equirouter.encoders.minilm.minilm import MiniLMEncoder

__all__ = ["MiniLMEncoder"]

"""The forward pass of trained networks in NumPy, float32: deciding needs no torch."""

from collections.abc import Mapping

import numpy as np

from equirouter.arrays import Float32Array

__all__ = ["gelu", "layer_norm", "linear", "mlp"]

Weights = Mapping[str, Float32Array]
LAYER_NORM_EPSILON = np.float32(1e-5)  # torch's default
_GELU_SCALE = np.float32(np.sqrt(2.0 / np.pi))


def linear(weights: Weights, name: str, x: Float32Array) -> Float32Array:
    """The affine layer `name`, x @ W.T + b: (N, in) -> (N, out)."""
    return np.asarray(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])


def gelu(x: Float32Array) -> Float32Array:
    """Gaussian error linear unit in its tanh form (Hendrycks & Gimpel 2016, section 2)."""
    inner = _GELU_SCALE * (x + np.float32(0.044715) * x * x * x)
    return np.asarray(np.float32(0.5) * x * (np.float32(1.0) + np.tanh(inner)))


def layer_norm(weights: Weights, name: str, x: Float32Array) -> Float32Array:
    """Layer normalisation over the last axis, with the learned scale and shift of `name`."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    scaled = centred / np.sqrt(variance + LAYER_NORM_EPSILON)
    return np.asarray(scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"])


def mlp(weights: Weights, x: Float32Array) -> Float32Array:
    """The two-layer ReLU network of networks.MLP: (N, d) -> (N, K)."""
    hidden = np.maximum(linear(weights, "hidden", x.astype(np.float32, copy=False)), 0.0)
    return linear(weights, "out", hidden)

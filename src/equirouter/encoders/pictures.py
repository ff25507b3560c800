"""From an image file to the pixels that a vision model reads, as its configuration says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.errors import DataError, UnreadableError
from equirouter.extras import require

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PREPROCESSING_VERSION", "Preprocessing", "read_pixels"]

PREPROCESSING_VERSION = 1
"""Raised by every change here that may change a pixel."""

_MOST_PIXELS = 89_478_485  # beyond it Pillow calls an image a decompression bomb
# Clients of the gateway send images, too: none is of a format for which Pillow runs a program.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_BILINEAR, _BICUBIC = 2, 3  # Pillow's numbers, as the configuration files have them
_FILTERS = (_BILINEAR, _BICUBIC)


@dataclass(frozen=True)
class Preprocessing:
    """What is done to an RGB image of any size.

    shortest_edge: resize so that the shorter side has that many pixels, keeping the shape; None
    resizes to (size, size), whatever the shape. size: of the square that is cut from the middle.
    resample: Pillow's filter, 2 (bilinear) or 3 (bicubic). Then each channel's numbers 0 to 255 are
    multiplied by scale, less mean, divided by std.
    """

    size: int
    shortest_edge: int | None = None
    resample: int = _BILINEAR
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    @classmethod
    def read(cls, config: Mapping[str, Any], path: Path) -> "Preprocessing":
        """From the content of a preprocessor_config.json (path: for messages).

        Raises DataError for a configuration that asks for something else than this class does.
        """
        size, crop = _edges(config.get("size")), _edges(config.get("crop_size"))
        shortest, whole = size.get("shortest_edge"), size.get("height")
        if config.get("do_center_crop", bool(crop) and shortest is not None):
            whole = crop.get("height")
        resample = config.get("resample", _BILINEAR)
        found = (size, crop, resample)
        square = size.get("height") == size.get("width") and crop.get("height") == crop.get("width")
        if not (config.get("do_resize", True) and whole and square and resample in _FILTERS):
            raise DataError(
                f"{path}: found size, crop_size and resample {found}; expected an image that is "
                "resized, by filter 2 or 3, to a square, or to a shortest_edge of which a square "
                "is cut"
            )
        rescaled, normalised = config.get("do_rescale", True), config.get("do_normalize", True)
        return cls(
            size=whole,
            shortest_edge=shortest,
            resample=resample,
            scale=float(config.get("rescale_factor", 1 / 255)) if rescaled else 1.0,
            mean=_channels(config, "image_mean", path) if normalised else (0.0, 0.0, 0.0),
            std=_channels(config, "image_std", path) if normalised else (1.0, 1.0, 1.0),
        )

    def pixels(self, image: "Image") -> Float32Array:
        """(1, 3, size, size) of an RGB image.

        Raises ValueError for one that is so long and narrow that it would fill the memory.
        """
        width, height = image.size
        target = (self.size, self.size)
        if self.shortest_edge is not None:
            edge, short = self.shortest_edge, min(width, height)
            target = (int(edge * width / short), int(edge * height / short))
            if target[0] * target[1] > _MOST_PIXELS:
                raise ValueError(f"{width} x {height} pixels, too long and narrow to be resized")
        resized = image if image.size == target else image.resize(target, self.resample)
        left, top = ((side - self.size) // 2 for side in resized.size)
        cut = resized.crop((left, top, left + self.size, top + self.size))  # black where it ends
        numbers = np.asarray(cut, dtype=np.float32) * np.float32(self.scale)
        mean, std = (np.array(each, dtype=np.float32) for each in (self.mean, self.std))
        found = np.ascontiguousarray(((numbers - mean) / std).transpose(2, 0, 1)[None])
        return np.asarray(found, dtype=np.float32)


def read_pixels(path: str, preprocessing: Preprocessing) -> Float32Array:
    """(1, 3, size, size): one image file as the model reads it.

    It is turned upright as its EXIF data say, and what is transparent in it is white. Raises
    DataError, with the path, for a file that is missing, UnreadableError for one that is no whole
    image, and MissingExtraError without Pillow.
    """
    pillow = require("PIL.Image", extra="vision", purpose="read images")
    ops = require("PIL.ImageOps", extra="vision", purpose="read images")
    try:
        with pillow.open(path, formats=_FORMATS) as file:
            upright = ops.exif_transpose(file)
            return preprocessing.pixels(_rgb(upright, pillow))
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


def _edges(size: object) -> dict[str, int]:
    """The sizes by name; a number alone is a square."""
    if isinstance(size, int):
        return {"height": size, "width": size}
    named = size.items() if isinstance(size, Mapping) else ()
    return {key: value for key, value in named if isinstance(value, int) and value > 0}


def _channels(config: Mapping[str, Any], key: str, path: Path) -> tuple[float, float, float]:
    found = config.get(key)
    if not isinstance(found, list) or len(found) != 3:
        raise DataError(f"{path}: {key} is {found!r}; expected three numbers, one per channel")
    red, green, blue = (float(value) for value in found)
    return red, green, blue

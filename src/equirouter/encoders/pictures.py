"""Image files, checked and made ready for a vision model."""

from typing import TYPE_CHECKING, Any

from equirouter.errors import DataError, UnreadableError
from equirouter.extras import require

if TYPE_CHECKING:
    from PIL.Image import Image

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
            _check_shape(*file.size)
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


def _check_shape(width: int, height: int) -> None:
    if max(width, height) > _MAX_ASPECT_RATIO * min(width, height):
        raise ValueError(f"{width} x {height} pixels, too long and narrow to be resized")


def _rgb(image: Any, pillow: Any) -> "Image":  # noqa: ANN401  # an optional package
    """Three channels, on white."""
    if not image.has_transparency_data:
        converted: Image = image.convert("RGB")
        return converted
    with_alpha = image.convert("RGBA")
    paper: Image = pillow.new("RGB", image.size, (255, 255, 255))
    paper.paste(with_alpha, mask=with_alpha.getchannel("A"))
    return paper

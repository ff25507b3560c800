"""From a file to an RGB image, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from equirouter.encoders.vision import read_picture
from equirouter.errors import DataError, UnreadableError
from tests.encoders.tiny_models import write_picture


def test_an_image_is_read_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 2), (0, 0, 0))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 3  # the camera was upside down
    image.save(tmp_path / "turned.png", exif=exif)
    pixels = np.asarray(read_picture(str(tmp_path / "turned.png")))
    assert pixels.shape == (2, 2, 3)
    np.testing.assert_array_equal(pixels[:, :, 0], [[0, 0], [0, 255]])


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [("RGBA", (0, 0, 0, 0), 255), ("LA", (0, 0), 255), ("L", 51, 51)],
)
def test_every_mode_becomes_rgb_on_white(
    tmp_path: Path, mode: str, colour: int | tuple[int, ...], expected: int
) -> None:
    Image.new(mode, (2, 2), colour).save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        read_picture(str(tmp_path / "a.png")), np.full((2, 2, 3), expected)
    )


@pytest.mark.parametrize("content", [b"", b"no picture", "cut"])
def test_a_file_that_is_no_whole_image_is_named(content: bytes | str, tmp_path: Path) -> None:
    path = Path(write_picture(tmp_path / "a.png", 0))
    path.write_bytes(path.read_bytes()[:-200] if isinstance(content, str) else content)
    with pytest.raises(UnreadableError, match=r"image .*a\.png: cannot be read as an image"):
        read_picture(str(path))
    with pytest.raises(DataError, match=r"image .*b\.png: no such file"):
        read_picture(str(tmp_path / "b.png"))


def test_images_that_would_fill_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # some bytes on disk; with the short side at 224 pixels, the long one has 13 million
    Image.new("L", (1, 60_000)).save(tmp_path / "line.png")
    with pytest.raises(UnreadableError, match="1 x 60000 pixels, too long and narrow"):
        read_picture(str(tmp_path / "line.png"))
    Image.new("L", (1, 200)).save(tmp_path / "short.png")
    assert read_picture(str(tmp_path / "short.png")).size == (1, 200)
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 99)  # refused above twice as many
    with pytest.raises(UnreadableError, match=r"short\.png: .*decompression bomb"):
        read_picture(str(tmp_path / "short.png"))


def test_no_picture_makes_pillow_run_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []

    def ghostscript(*arguments: object, **_: object) -> object:
        calls.append(arguments)
        return Image.new("RGB", (8, 8)).im

    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", ghostscript)
    Image.new("RGB", (8, 8)).save(tmp_path / "odd.png", format="EPS")
    with pytest.raises(UnreadableError, match="cannot be read as an image"):
        read_picture(str(tmp_path / "odd.png"))
    assert calls == []


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_the_formats_that_are_read(tmp_path: Path, form: str) -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "picture", format=form)
    image = read_picture(str(tmp_path / "picture"))
    assert (image.mode, image.size) == ("RGB", (40, 30))

"""From a file to pixels: the arithmetic by hand, and as transformers does it."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from equirouter.encoders.pictures import Preprocessing, read_pixels
from equirouter.errors import DataError
from tests.encoders.vision_models import PREPROCESSOR, write_picture

CLIP = {
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "size": {"shortest_edge": 32},
    "crop_size": {"height": 32, "width": 32},
    "resample": 3,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def read(config: dict[str, Any]) -> Preprocessing:
    return Preprocessing.read(config, Path("preprocessor_config.json"))


def test_one_colour_by_hand() -> None:
    pixels = Preprocessing(size=4, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 2.0)).pixels(
        Image.new("RGB", (9, 5), (255, 0, 51))
    )
    assert pixels.shape == (1, 3, 4, 4)
    assert pixels.dtype == np.float32
    # (255/255 - 0) / 1, (0/255 - 0.5) / 0.5, (51/255 - 1) / 2
    for channel, expected in enumerate((1.0, -1.0, -0.4)):
        np.testing.assert_allclose(pixels[0, channel], expected, atol=1e-6)


def test_a_square_is_cut_from_the_middle() -> None:
    # 12 wide and 4 high, in thirds: the shortest edge is 4, and the middle 4 x 4 are green
    image = Image.new("RGB", (12, 4), (255, 0, 0))
    image.paste((0, 255, 0), (4, 0, 8, 4))
    cut = Preprocessing(size=4, shortest_edge=4, mean=(0, 0, 0), std=(1, 1, 1)).pixels(image)
    np.testing.assert_array_equal(cut[0, :, 0, 0], [0, 1, 0])
    assert (cut == cut[:, :, :1, :1]).all()


@pytest.mark.parametrize("name", ["vit", "clip"])
@pytest.mark.filterwarnings("ignore")
def test_the_pixels_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    if find_spec("transformers") is None:
        pytest.skip("transformers is not installed (extra sentence-transformers)")
    module = import_module(f"transformers.models.{name}.image_processing_pil_{name}")
    kind = {"vit": "ViTImageProcessorPil", "clip": "CLIPImageProcessorPil"}[name]
    config = {"vit": PREPROCESSOR, "clip": CLIP}[name]
    processor = getattr(module, kind)(**config)
    for seed, size in enumerate([(50, 40), (24, 90), (32, 32)]):
        path = write_picture(tmp_path / f"{seed}.png", seed, size)
        theirs = processor(Image.open(path), return_tensors="np")["pixel_values"]
        np.testing.assert_allclose(read_pixels(path, read(config)), theirs, atol=1e-5)


def test_an_image_is_read_as_it_is_looked_at(tmp_path: Path) -> None:
    plain = Preprocessing(size=2, mean=(0, 0, 0), std=(1, 1, 1))
    upright = Image.new("RGB", (2, 2), (0, 0, 0))
    upright.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 3  # the camera was upside down
    upright.save(tmp_path / "turned.png", exif=exif)
    turned = read_pixels(str(tmp_path / "turned.png"), plain)
    np.testing.assert_array_equal(turned[0, 0], [[0, 0], [0, 1]])
    for mode, clear in (("RGBA", (0, 0, 0, 0)), ("LA", (0, 0))):
        Image.new(mode, (2, 2), clear).save(tmp_path / "clear.png")
        assert (read_pixels(str(tmp_path / "clear.png"), plain) == 1).all()  # white paper
    Image.new("L", (2, 2), 51).save(tmp_path / "grey.png")
    np.testing.assert_allclose(read_pixels(str(tmp_path / "grey.png"), plain), 0.2)


@pytest.mark.parametrize("content", [b"", b"no picture", "cut"])
def test_what_is_no_whole_image_is_named(content: bytes | str, tmp_path: Path) -> None:
    path = Path(write_picture(tmp_path / "a.png", 0))
    path.write_bytes(path.read_bytes()[:-200] if isinstance(content, str) else content)
    with pytest.raises(DataError, match=r"image .*a\.png: cannot be read as an image"):
        read_pixels(str(path), Preprocessing(size=4))
    with pytest.raises(DataError, match=r"image .*b\.png: no such file"):
        read_pixels(str(tmp_path / "b.png"), Preprocessing(size=4))


@pytest.mark.parametrize(
    "changes",
    [
        {"resample": 5},
        {"do_resize": False},
        {"size": {"height": 24, "width": 32}},
        {"size": {"longest_edge": 24}},
        {"image_mean": 0.5},
    ],
)
def test_another_preprocessing_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"preprocessor_config\.json: .*expected"):
        read(PREPROCESSOR | changes)


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    Image.new("L", (1, 60_000)).save(
        tmp_path / "line.png"
    )  # some bytes; resized, 246 million pixels
    wide = read(CLIP | {"size": {"shortest_edge": 64}})
    with pytest.raises(DataError, match="1 x 60000 pixels, too long and narrow"):
        read_pixels(str(tmp_path / "line.png"), wide)


def test_no_picture_makes_pillow_run_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[object] = []

    def ghostscript(*given: object, **_: object) -> object:
        ran.append(given)
        return Image.new("RGB", (8, 8)).im

    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", ghostscript)
    Image.new("RGB", (8, 8)).save(tmp_path / "odd.png", format="EPS")
    with pytest.raises(DataError, match="cannot be read as an image"):
        read_pixels(str(tmp_path / "odd.png"), read(CLIP))
    assert ran == []


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_the_formats_that_are_read(tmp_path: Path, form: str) -> None:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "picture", format=form)
    assert read_pixels(str(tmp_path / "picture"), read(CLIP)).shape == (1, 3, 32, 32)

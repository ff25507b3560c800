"""Text and image side by side: the vectors of CLIP's two towers, and bad input."""

import json
import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.encoders import EmbeddingCache, encode_cached, make_encoder
from equirouter.encoders.vision import DEFAULT_MODEL, VisionEncoder
from equirouter.errors import ConfigError, DataError, UnreadableError
from tests.encoders.tiny_models import CLIP_WIDTH, tiny_bert, tiny_clip, write_picture

pytestmark = [
    pytest.mark.skipif(
        find_spec("sentence_transformers") is None,
        reason="sentence-transformers is not installed (extra vision)",
    ),
    pytest.mark.filterwarnings("ignore"),  # of torch and transformers, not of ours
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture(scope="module")
def encoder(clip: Path) -> VisionEncoder:
    return VisionEncoder(model=clip, device="cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pictures")
    return [write_picture(folder / f"{seed}.png", seed, (30 + seed, 40)) for seed in range(4)]


def clip_features(clip: Path, texts: list[str], paths: list[str]) -> tuple[Any, Any]:
    """Unit vectors of texts and images by transformers alone."""
    transformers, torch = import_module("transformers"), import_module("torch")
    from PIL import Image

    model = transformers.CLIPModel.from_pretrained(clip).eval()
    processor = transformers.CLIPProcessor.from_pretrained(clip)
    with torch.no_grad():
        words = processor(text=texts, return_tensors="pt", padding=True)
        text = model.get_text_features(**words).pooler_output
        pixels = processor(images=[Image.open(path) for path in paths], return_tensors="pt")
        image = model.get_image_features(**pixels).pooler_output
    return tuple((part / part.norm(dim=1, keepdim=True)).numpy() for part in (text, image))


def test_a_vector_is_the_text_and_the_image(
    encoder: VisionEncoder, clip: Path, pictures: list[str]
) -> None:
    texts, images = ["the cat", "the cat", "", "the dog"], [pictures[0], None, pictures[1], None]
    vectors = encoder.encode(texts, images)
    assert vectors.shape == (4, encoder.dimension) == (4, 2 * CLIP_WIDTH)
    text, image = clip_features(clip, ["the cat", "the dog"], pictures[:2])
    nothing = np.zeros(CLIP_WIDTH)
    half = np.sqrt(0.5)  # both have length 1, so together they would have sqrt(2)
    expected = [
        [*(text[0] * half), *(image[0] * half)],
        [*text[0], *nothing],
        [*nothing, *image[1]],
        [*text[1], *nothing],
    ]
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert np.abs(text[0] - text[1]).max() > 1e-3
    assert np.abs(image[0] - image[1]).max() > 1e-3


def test_a_query_has_the_same_vector_alone_and_among_others(
    encoder: VisionEncoder, pictures: list[str]
) -> None:
    texts = ["the cat", "sat", "the ice is cold", "dog"]
    together = encoder.encode(texts, pictures)
    for row in range(4):
        alone = encoder.encode([texts[row]], [pictures[row]])[0]
        np.testing.assert_allclose(alone, together[row], atol=1e-6)
        np.testing.assert_array_equal(alone[CLIP_WIDTH:], together[row, CLIP_WIDTH:])


def test_the_first_77_tokens_of_a_text_are_read(encoder: VisionEncoder) -> None:
    # a letter is a token, and two mark the ends
    letters = ["a " * 75, "a " * 75 + "b", "a " * 74 + "b"]
    whole, longer, other = encoder.encode([text.strip() for text in letters])
    np.testing.assert_allclose(whole, longer, atol=1e-6)
    assert np.abs(whole - other).max() > 1e-3


def test_the_image_alone(clip: Path, pictures: list[str]) -> None:
    alone = VisionEncoder(model=clip, parts="image", device="cpu")
    assert alone.dimension == CLIP_WIDTH
    cat, dog = alone.encode(["the cat", "the dog"], [pictures[0], pictures[0]])
    np.testing.assert_array_equal(cat, dog)  # whatever the text says
    expected = r"query 1 \('the dog'\) has no image, and parts=image reads nothing else"
    with pytest.raises(UnreadableError, match=expected):
        alone.encode(["the cat", "the dog"], [pictures[0], None])
    with pytest.raises(ConfigError, match=r"parts='text': .*the encoder minilm reads"):
        VisionEncoder(parts="text")


def test_progress_counts_texts_and_images(encoder: VisionEncoder, pictures: list[str]) -> None:
    calls: list[tuple[str, int, int]] = []
    images = [pictures[0], pictures[1], None]
    encoder.encode(["a", "b", "c"], images, progress=lambda *call: calls.append(call))
    # a batch of three texts, then two images one by one
    assert calls == [("encode", 3, 5), ("encode", 4, 5), ("encode", 5, 5)]


def test_neither_text_nor_image_is_refused(encoder: VisionEncoder, pictures: list[str]) -> None:
    with pytest.raises(DataError, match="text 1 is empty"):
        encoder.encode(["", " "], [pictures[0], None])


def test_an_unreadable_image_is_named(encoder: VisionEncoder, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name in ("bad.png", "gone.png"):
        with pytest.raises(DataError, match=f"image {tmp_path / name}: "):
            encoder.encode(["a", "b"], [None, str(tmp_path / name)])


def test_an_image_that_changed_is_encoded_again(encoder: VisionEncoder, tmp_path: Path) -> None:
    path, cache = tmp_path / "a.png", EmbeddingCache(tmp_path / "cache")
    vectors = []
    for seed in (0, 1, 0):
        image = write_picture(path, seed)
        vectors.append(encode_cached(encoder, ["cat", ""], [image, image], cache=cache))
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert len(list((tmp_path / "cache").rglob("*.shard"))) == 2  # the third time nothing was new


def test_the_fingerprint_is_of_all_that_matters(clip: Path, tmp_path: Path) -> None:
    first = VisionEncoder(model=clip).fingerprint
    copy = shutil.copytree(clip, tmp_path / "copy")
    assert VisionEncoder(weights=copy, batch_size=7).fingerprint == first
    others = [
        VisionEncoder(model=clip, parts="image").fingerprint,
        VisionEncoder(model=tiny_clip(tmp_path / "seed", seed=1)).fingerprint,
        VisionEncoder(model=tiny_clip(tmp_path / "mean", image_mean=[0.4, 0.5, 0.5])).fingerprint,
    ]
    assert len({first, *others}) == 4


def test_settings_make_an_equal_encoder(clip: Path, pictures: list[str]) -> None:
    first = VisionEncoder(model=clip, parts="image", device="cpu")
    again = make_encoder("vision", device="cpu", **json.loads(json.dumps(first.settings)))
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(
        again.encode([""], pictures[:1]), first.encode([""], pictures[:1])
    )


def test_the_older_layout_of_the_hub_is_read(encoder: VisionEncoder, tmp_path: Path) -> None:
    # the default model is stored as a module of its own kind in a folder below
    folder = tmp_path / "clip"
    shutil.copytree(encoder.model, folder / "0_CLIPModel")
    kind = "sentence_transformers.models.CLIPModel"
    modules = [{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": kind}]
    (folder / "modules.json").write_text(json.dumps(modules))
    older = VisionEncoder(model=folder, device="cpu")
    np.testing.assert_array_equal(older.encode(["the cat"]), encoder.encode(["the cat"]))


def test_a_model_of_text_is_refused(tmp_path: Path) -> None:
    text_model = tiny_bert(tmp_path / "bert")
    for _ in range(2):  # not only the first time
        with pytest.raises(ConfigError, match=r"needs a model of texts and images .* reads text"):
            VisionEncoder(model=text_model, device="cpu").encode(["a"])


def test_the_default_is_fetched_from_the_hub(
    clip: Path, encoder: VisionEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    def fetch(name: str, **_: object) -> str:
        names.append(name)
        return str(clip)

    monkeypatch.setattr(import_module("huggingface_hub"), "snapshot_download", fetch)
    assert VisionEncoder().fingerprint == encoder.fingerprint
    assert names == [DEFAULT_MODEL]

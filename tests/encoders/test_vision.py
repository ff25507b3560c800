"""Text and image side by side: what a vector is made of, the model's own numbers, and bad input."""

import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from equirouter.data.sources.hub import HubFile
from equirouter.encoders import EmbeddingCache, Encoder, encode_cached, make_encoder
from equirouter.encoders.pictures import Preprocessing
from equirouter.encoders.sessions import open_session
from equirouter.encoders.vision import ImageEncoder, VisionEncoder
from equirouter.encoders.vision_graph import vision_graph, vision_graph_file
from equirouter.encoders.vision_weights import VisionConfig, VisionWeights, find_vision_weights
from equirouter.errors import ConfigError, DataError, DownloadError
from tests.encoders.toymodel import write_toy_model
from tests.encoders.vision_models import WIDTH, tiny_tensors, write_picture, write_tiny_vit

TEXT_WIDTH = 768


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {
        "weights": write_toy_model(tmp_path_factory.mktemp("text")),
        "image_weights": write_tiny_vit(tmp_path_factory.mktemp("vit")),
    }


@pytest.fixture(scope="module")
def encoder(options: dict[str, Any]) -> VisionEncoder:
    return VisionEncoder(**options)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pictures")
    return [write_picture(folder / f"{seed}.png", seed, (30 + seed, 40)) for seed in range(4)]


def test_a_vector_is_the_text_and_the_image(encoder: VisionEncoder, pictures: list[str]) -> None:
    texts, images = ["the cat", "the cat", "", "the dog"], [pictures[0], None, pictures[1], None]
    found = encoder.encode(texts, images)
    assert found.shape == (4, encoder.dimension) == (4, TEXT_WIDTH + WIDTH)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    text = encoder.parts["text"].encode(["the cat", "the dog"])
    image = encoder.parts["image"].encode(["", ""], pictures[:2])
    half = np.sqrt(0.5)  # both have length 1, so together they would have sqrt(2)
    np.testing.assert_allclose(found[0], np.concatenate([text[0], image[0]]) * half, atol=1e-6)
    np.testing.assert_array_equal(found[1], [*text[0], *np.zeros(WIDTH)])
    np.testing.assert_array_equal(found[2], [*np.zeros(TEXT_WIDTH), *image[1]])
    np.testing.assert_array_equal(found[3], [*text[1], *np.zeros(WIDTH)])


def test_a_query_has_the_same_bits_alone_and_among_others(
    encoder: VisionEncoder, options: dict[str, Any], pictures: list[str]
) -> None:
    texts = ["the cat", "sat", "the ice", "dog"]
    together = encoder.encode(texts, pictures)
    assert len(np.unique(together[:, TEXT_WIDTH:], axis=0)) == 4
    for row in range(4):
        alone = encoder.encode([texts[row]], [pictures[row]])
        np.testing.assert_array_equal(alone[0], together[row])
    np.testing.assert_array_equal(encoder.encode(texts[::-1], pictures[::-1])[::-1], together)
    other = VisionEncoder(**options, threads=2)
    np.testing.assert_array_equal(other.encode(texts, pictures), together)
    assert other.fingerprint == encoder.fingerprint


def test_the_image_alone(options: dict[str, Any], pictures: list[str]) -> None:
    alone = VisionEncoder(**options, parts="image")
    assert alone.dimension == WIDTH
    one, other = alone.encode(["the cat", "the dog"], [pictures[0], pictures[0]])
    np.testing.assert_array_equal(one, other)  # whatever the text says
    expected = r"query 1 \('the dog'\) has no image, and with parts=image there is nothing else"
    with pytest.raises(DataError, match=expected):
        alone.encode(["the cat", "the dog"], [pictures[0], None])
    with pytest.raises(ConfigError, match=r"parts='text': .*the encoder minilm reads"):
        VisionEncoder(parts="text")


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


def test_the_fingerprint_is_of_all_that_matters(options: dict[str, Any], tmp_path: Path) -> None:
    def fingerprint(**changes: Any) -> str:
        return VisionEncoder(**(options | changes)).fingerprint

    first = fingerprint()
    assert fingerprint(image_weights=write_tiny_vit(tmp_path / "copy")) == first
    others = [
        fingerprint(image_weights=write_tiny_vit(tmp_path / "other", 1)),
        fingerprint(image_weights=write_tiny_vit(tmp_path / "mean", image_mean=[0.4, 0.5, 0.5])),
        fingerprint(window="head"),
        fingerprint(parts="image"),
        fingerprint(image_weights="random"),
        fingerprint(image_weights="random", image_seed=1),
    ]
    assert len({first, *others}) == 7


def test_a_classifier_around_it_changes_nothing(encoder: VisionEncoder, tmp_path: Path) -> None:
    folder = write_tiny_vit(tmp_path / "vit", prefix="vit.")
    image = write_picture(tmp_path / "a.png", 0)
    np.testing.assert_array_equal(
        ImageEncoder(image_weights=folder).encode([""], [image]),
        encoder.parts["image"].encode([""], [image]),
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["vit", "clip"])
def test_the_numbers_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    if find_spec("transformers") is None:
        pytest.skip("transformers is not installed (extra sentence-transformers)")
    transformers, torch = import_module("transformers"), import_module("torch")
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "image_size": 32,
        "patch_size": 8,
    }
    if kind == "vit":
        model = transformers.ViTModel(transformers.ViTConfig(**sizes, initializer_range=0.2))
    else:
        model = transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(**sizes, projection_dim=20, initializer_factor=4.0)
        )
    model.eval().save_pretrained(tmp_path)
    write_preprocessor(tmp_path, 32)
    pixels = np.random.default_rng(0).normal(size=(6, 3, 32, 32)).astype(np.float32)
    with torch.no_grad():
        output = model(pixel_values=torch.from_numpy(pixels))
    theirs = output.last_hidden_state[:, 0] if kind == "vit" else output.image_embeds
    theirs = (theirs / theirs.norm(dim=1, keepdim=True)).numpy()
    session = open_session(vision_graph_file(find_vision_weights(tmp_path)))
    ours = np.concatenate(
        [session.run(None, {"pixel_values": pixels[row : row + 1]})[0] for row in range(6)]
    )
    assert ((ours * theirs).sum(axis=1) > 0.9999).all()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert (ours @ ours.T - np.eye(6)).max() < 0.999  # the six are told apart


def write_preprocessor(folder: Path, size: int) -> None:
    config = {"size": size, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))


@pytest.fixture(scope="module")
def random_one() -> Encoder:
    """ViT-B/16 with random weights: it takes seconds to start."""
    return make_encoder("vision", parts="image", image_weights="random", image_seed=3)


def test_random_weights_are_vit_b_16_and_say_so(random_one: Encoder, pictures: list[str]) -> None:
    encoder = random_one
    assert encoder.dimension == 768
    assert "random weights (seed 3)" in encoder.notes[0]
    assert encoder.settings == {"parts": "image", "image_weights": "random", "image_seed": 3}
    found = encoder.encode(["", ""], pictures[:2])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(encoder.encode([""], [pictures[1]])[0], found[1])


def test_random_weights_do_not_say_the_same_of_all_pages(
    random_one: Encoder, tmp_path: Path
) -> None:
    # dark lines on light paper of different colours: an untrained model sees the paper above all
    pages = []
    for place, paper in enumerate([(250, 250, 247), (214, 226, 236), (242, 224, 218)]):
        for n_lines in (2, 30):
            page = np.full((224, 224, 3), paper, dtype=np.uint8)
            page[np.linspace(20, 200, n_lines).astype(int), 30:190] = 40
            pages.append(str(tmp_path / f"{place}-{n_lines}.png"))
            Image.fromarray(page).save(pages[-1])
    even = str(tmp_path / "even.png")
    Image.new("RGB", (224, 224), (255, 255, 255)).save(even)
    found = random_one.encode([""] * 7, [*pages, even])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    alike = found[:6] @ found[:6].T
    few, many = alike[::2, ::2], alike[1::2, 1::2]
    assert min(few.min(), many.min()) > alike[::2, 1::2].max()  # the lines, not the paper
    assert np.linalg.norm(found[:6].mean(axis=0)) < 0.9


def test_weights_are_never_random_unless_asked_for(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert VisionEncoder(**options).notes == ()

    def unreachable(file: HubFile) -> Path:
        assert (file.kind, len(file.commit)) == ("model", 40)
        raise DownloadError("no network")

    monkeypatch.setattr("equirouter.encoders.vision_weights.fetch", unreachable)
    with pytest.raises(DownloadError, match=r"image_weights=FOLDER.*or image_weights=random"):
        _ = VisionEncoder(weights=options["weights"]).fingerprint
    with pytest.raises(ConfigError, match="only image_weights=random is drawn"):
        VisionEncoder(image_seed=1)
    with pytest.raises(ConfigError, match="image_seed=-1"):
        VisionEncoder(image_weights="random", image_seed=-1)


def test_a_folder_that_is_not_whole_is_named(tmp_path: Path) -> None:
    folder = write_tiny_vit(tmp_path / "vit")
    (folder / "config.json").write_text('{"model_type": "resnet"}')
    with pytest.raises(DataError, match=r"config\.json: model_type is 'resnet'; expected vit"):
        find_vision_weights(folder)
    (folder / "config.json").write_text('{"model_type": "vit", "hidden_act": "tanh"}')
    with pytest.raises(DataError, match="hidden_act is 'tanh'"):
        find_vision_weights(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config\.json: not JSON"):
        find_vision_weights(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"vit: no file config\.json; give .*image_weights="):
        find_vision_weights(folder)
    other = write_tiny_vit(tmp_path / "size", size={"height": 48, "width": 48})
    with pytest.raises(DataError, match="makes images of 48 pixels, but the weights read 24"):
        _ = ImageEncoder(image_weights=other).dimension
    (other / "model.safetensors").write_bytes(b"nothing")
    weights = VisionWeights(
        other / "model.safetensors", 0, VisionConfig(), Preprocessing(size=24), ""
    )
    with pytest.raises(DataError, match=r"model\.safetensors: not a safetensors file"):
        weights.tensors()


def test_weights_that_do_not_fit_are_named() -> None:
    tensors = tiny_tensors()
    config = VisionConfig(n_heads=4)
    without = {name: array for name, array in tensors.items() if "0.intermediate" not in name}
    with pytest.raises(DataError, match=r"nothing under 'encoder\.layer\.0\.intermediate\.dense"):
        vision_graph(without, config)
    with pytest.raises(DataError, match="32 numbers per token and 5 heads"):
        vision_graph(tensors, VisionConfig(n_heads=5))
    with pytest.raises(DataError, match=r"config\.json says it is a model of the kind 'clip'"):
        vision_graph(tensors, VisionConfig(kind="clip"))
    odd = tensors | {"layernorm.weight": np.ones(31, np.float32)}
    with pytest.raises(DataError, match=r"the shape \(31,\) under 'layernorm\.weight', \(32,\) is"):
        vision_graph(odd, config)

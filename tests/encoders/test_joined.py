from pathlib import Path

import numpy as np
import pytest

from equirouter.encoders.joined import LexicalMiniLMEncoder
from equirouter.encoders.lexical import LexicalEncoder
from equirouter.encoders.minilm import MiniLMEncoder
from equirouter.errors import ConfigError, PipelineError
from tests.encoders.toymodel import write_toy_model

TEXTS = ["the cat sat", "iced dogs", "the " * 400 + "cat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_model(tmp_path_factory.mktemp("toy"))


def test_both_halves_at_equal_weight(folder: Path) -> None:
    joined = LexicalMiniLMEncoder(dimension=64, window="tail", weights=folder)
    lexical = LexicalEncoder(dimension=64).encode(TEXTS)
    minilm = MiniLMEncoder(window="tail", weights=folder).encode(TEXTS)
    embeddings = joined.encode(TEXTS)
    assert joined.dimension == 64 + 384 == embeddings.shape[1]
    np.testing.assert_allclose(embeddings * np.sqrt(2), np.hstack([lexical, minilm]), atol=1e-6)


def test_options_go_to_their_part() -> None:
    joined = LexicalMiniLMEncoder(dimension=64, window="tail", threads=3)
    expected = {"dimension": 64, "window": "tail", "precision": "fp32"}
    assert joined.settings == expected
    minilm = joined.parts["minilm"]
    assert isinstance(minilm, MiniLMEncoder)
    assert minilm.threads == 3
    with pytest.raises(ConfigError, match="no window named 'front'"):
        LexicalMiniLMEncoder(window="front")
    with pytest.raises(ConfigError, match="dimension is 65"):
        LexicalMiniLMEncoder(dimension=65)


def test_the_fingerprint_changes_with_either_part(folder: Path) -> None:
    made = [
        LexicalMiniLMEncoder(dimension=dimension, window=window, weights=folder).fingerprint
        for dimension, window in ((64, "head"), (128, "head"), (64, "tail"))
    ]
    assert len(set(made)) == 3


def test_every_part_learns_from_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not LexicalMiniLMEncoder().learns
    joined = LexicalMiniLMEncoder(precision="int8")
    assert joined.learns
    fitted: list[list[str]] = []
    for part in joined.parts.values():
        monkeypatch.setattr(part, "fit", fitted.append)
    assert joined.fit(TEXTS) is joined
    assert fitted == [TEXTS, TEXTS]


def test_arrays_of_no_part_are_refused(folder: Path) -> None:
    joined = LexicalMiniLMEncoder(dimension=64, window="head", weights=folder)
    for name in ("rows", "other.rows"):
        with pytest.raises(PipelineError, match=f"no learned array '{name}'"):
            joined.restore({**joined.state(), name: np.zeros(1)})


def test_progress_is_that_of_both(folder: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    joined = LexicalMiniLMEncoder(dimension=64, window="head", weights=folder)
    joined.encode(TEXTS, progress=lambda *call: calls.append(call))
    assert calls[0] == ("encode", 3, 6)
    assert calls[-1] == ("encode", 6, 6)
    assert [call[1] for call in calls] == sorted(call[1] for call in calls)

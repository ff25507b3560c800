from pathlib import Path

import numpy as np
import pytest

from equirouter.encoders.minilm import MiniLMEncoder, onnx_sessions
from equirouter.encoders.minilm.onnx_sessions import WindowSession, open_session
from tests.encoders.toymodel import id_of, toy_vectors, write_toy_model


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_model(tmp_path_factory.mktemp("toy")) / "model.onnx"


@pytest.mark.parametrize("threads", [1, 2])
def test_token_vectors_become_their_mean_at_length_1(toy: Path, threads: int) -> None:
    windows = [[id_of("cat")], [id_of("the"), id_of("ice"), id_of("dog")], [id_of("sat")]]
    vectors = WindowSession(toy, threads=threads).run(windows)
    rows = toy_vectors()
    expected = np.stack([rows[window].sum(axis=0) for window in windows])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_every_window_is_reported_and_none_is_no_run(toy: Path) -> None:
    session = WindowSession(toy, threads=2)
    calls: list[int] = []
    assert session.run([[id_of("cat")] * (1 + i % 5) for i in range(150)], calls.append).shape == (
        150,
        384,
    )
    assert calls == list(range(1, 151))
    assert session.run([]).shape == (0, 384)


def test_only_a_long_window_alone_is_shared_out(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int | None] = []

    def counted(graph: Path, threads: int | None) -> object:
        opened.append(threads)
        return open_session(graph, threads)

    monkeypatch.setattr(onnx_sessions, "open_session", counted)
    short, long = [id_of("cat")] * 64, [id_of("cat")] * 65
    session = WindowSession(toy, threads=2)
    session.run([short])
    session.run([long, long])
    assert opened == [1]
    session.run([long])
    session.run([long])
    assert opened == [1, 2]


def test_an_error_in_a_thread_is_raised(toy: Path) -> None:
    with pytest.raises(Exception, match="indices element out of data bounds"):
        WindowSession(toy, threads=2).run([[id_of("cat")], [9999]])


def test_the_number_of_threads_does_not_change_a_bit(
    model_folder: Path, mixed_texts: list[str]
) -> None:
    texts = [*mixed_texts[:12], mixed_texts[90], "cats and dogs " * 90]
    on_one, on_two = (
        MiniLMEncoder(window="head+tail", weights=model_folder, threads=threads).encode(texts)
        for threads in (1, 2)
    )
    np.testing.assert_array_equal(on_one, on_two)
    single = MiniLMEncoder(window="head+tail", weights=model_folder, threads=2)
    np.testing.assert_array_equal(single.encode(texts[-1:]), on_one[-1:])

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from equirouter.encoders.minilm import MiniLMEncoder, onnx_sessions
from equirouter.encoders.minilm.graph import graph_file
from equirouter.encoders.minilm.onnx_sessions import Device, WindowSession, open_session
from equirouter.encoders.minilm.weights import find_weights
from equirouter.errors import ConfigError
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

    def counted(graph: Path, threads: int | None, device: Device = "cpu") -> object:
        opened.append(threads)
        return open_session(graph, threads, device)

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


class Recorded:
    """A session that notes the shapes of what it is given."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.shapes: list[tuple[int, int]] = []

    def run(self, outputs: None, feed: dict[str, Any]) -> Any:
        self.shapes.append(feed["input_ids"].shape)
        return self.session.run(outputs, feed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


@pytest.mark.parametrize("threads", [1, 2])
def test_windows_of_one_length_run_together_and_keep_their_bits(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    drawn = np.random.default_rng(3)
    # at 64 tokens two fit together, at 65 none; the order of a sum shows from 6 tokens on
    lengths = [*range(2, 32)] * 3 + [22] * 13 + [64, 64, 64, 65, 65]
    windows = [drawn.integers(1000, 20_000, length).tolist() for length in lengths]
    session = WindowSession(graph_file(find_weights(model_folder)), own=True, threads=threads)
    alone = np.concatenate([session.run([window]) for window in windows])
    recorded = Recorded(session._session)
    monkeypatch.setattr(session, "_session", recorded)
    np.testing.assert_array_equal(session.run(windows), alone)
    # those of 22: 13 and 3, five at a time
    assert sorted(n for n, length in recorded.shapes if length == 22) == [1, 5, 5, 5]
    assert sorted(n for n, length in recorded.shapes if length > 63) == [1, 1, 1, 2]


def test_no_thread_is_left_without_work(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = WindowSession(graph_file(find_weights(model_folder)), own=True, threads=2)
    recorded = Recorded(session._session)
    monkeypatch.setattr(session, "_session", recorded)
    session.run([[101, 2000 + i, 102] for i in range(6)])
    assert recorded.shapes == [(3, 3), (3, 3)]


def test_a_model_from_elsewhere_runs_each_window_alone(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = WindowSession(toy, threads=1)
    recorded = Recorded(session._session)
    monkeypatch.setattr(session, "_session", recorded)
    session.run([[id_of("cat")]] * 3)
    assert recorded.shapes == [(1, 1)] * 3


CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.fixture
def built_with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime says that it has CUDA, as onnxruntime-gpu does on a machine without a GPU."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])


def test_a_gpu_that_onnxruntime_cannot_use_is_refused(toy: Path) -> None:
    with pytest.raises(ConfigError, match=r"pip install 'onnxruntime-gpu\[cuda,cudnn\]'"):
        WindowSession(toy, device="cuda")
    assert open_session(toy, device="auto").get_providers() == [CPU]


@pytest.mark.usefixtures("built_with_cuda")
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_is_not_there_is_refused(toy: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot use a GPU here \(CUDA and cuDNN were not found"):
        open_session(toy, device="cuda")
    assert open_session(toy, device="auto").get_providers() == [CPU]


class OnGpu(Recorded):
    """A session of the processor that says it is on a GPU."""

    asked: tuple[Any, ...] = ()
    failure = ""

    def __init__(self, graph: str, options: Any, *, providers: list[Any], **more: Any) -> None:
        type(self).asked = tuple(providers)
        if self.failure and providers != [CPU]:
            raise RuntimeError(self.failure)
        super().__init__(open_on_processor(graph, options, providers=[CPU], **more))
        self.providers = [CPU] if providers == [CPU] else [CUDA, CPU]

    def get_providers(self) -> list[str]:
        return self.providers


open_on_processor = onnxruntime.InferenceSession


@pytest.fixture
def gpu(built_with_cuda: None, monkeypatch: pytest.MonkeyPatch) -> type[OnGpu]:  # noqa: ARG001
    monkeypatch.setattr(onnxruntime, "InferenceSession", OnGpu)
    return OnGpu


def test_cuda_and_auto_take_a_gpu_in_full_precision(toy: Path, gpu: type[OnGpu]) -> None:
    for device in ("cuda", "auto"):
        assert CUDA in open_session(toy, device=device).get_providers()
        assert gpu.asked == ((CUDA, {"use_tf32": "0"}), CPU)
    assert open_session(toy).get_providers() == [CPU]


def test_what_the_driver_says_is_told(
    toy: Path, gpu: type[OnGpu], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "failure", "in provider\nCUDA failure 100: no CUDA-capable device")
    with pytest.raises(ConfigError, match=r"\(CUDA failure 100: no CUDA-capable device\)"):
        open_session(toy, device="cuda")
    assert open_session(toy, device="auto").get_providers() == [CPU]
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("gpu")
def test_a_gpu_takes_windows_of_one_length_together(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_sessions, "TOKENS_ON_GPU", 7)
    words = [id_of(word) for word in ("the", "cat", "sat", "dog", "ice")]
    windows = [words[:3], words[2:], [words[4]], words[1:4], words[::-1], words[:2] * 4]
    session, done = WindowSession(toy, device="cuda"), list[int]()
    vectors = session.run(windows, done.append)
    # 7 tokens hold two windows of three; a longer one than that is alone
    assert session._session.shapes == [(1, 8), (1, 5), (2, 3), (1, 3), (1, 1)]
    assert done == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(vectors, WindowSession(toy).run(windows), atol=1e-6)


@pytest.mark.usefixtures("gpu")
def test_the_model_gives_windows_together_what_it_gives_them_alone(
    model_folder: Path, mixed_texts: list[str]
) -> None:
    texts = [*mixed_texts[:40], "cats and dogs " * 90, "dogs and cats " * 90]
    together, alone = (
        MiniLMEncoder(weights=model_folder, threads=1, device=device) for device in ("cuda", "cpu")
    )
    np.testing.assert_allclose(together.encode(texts), alone.encode(texts), atol=1e-6)
    assert together.fingerprint == alone.fingerprint
    assert max(size for size, _ in together._session._session.shapes) > 1

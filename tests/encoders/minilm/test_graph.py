import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from equirouter.encoders.minilm import MiniLMEncoder
from equirouter.encoders.minilm.graph import MiniLMGraph, graph_file
from equirouter.encoders.minilm.weights import find_weights
from equirouter.errors import DataError, OutputError


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EQUIROUTER_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_is_made_once_and_again_only_when_damaged(own_cache: Path, model_folder: Path) -> None:
    weights = find_weights(model_folder)
    graph = graph_file(weights)
    assert graph.is_relative_to(own_cache)
    made, content = graph.stat().st_mtime_ns, graph.read_bytes()
    assert graph_file(weights).stat().st_mtime_ns == made
    for damaged in (content[:-1], content[:4000] + b"\x00\x01" + content[4002:]):
        graph.write_bytes(damaged)
        assert graph_file(weights).read_bytes() == content
    graph.with_suffix(".sha256").write_bytes(b"\xff")
    assert graph_file(weights).read_bytes() == content
    assert graph.with_suffix(".sha256").read_text() != "\xff"
    assert not list(own_cache.rglob(".*"))


def encode_one(cache: str, barrier: "multiprocessing.synchronize.Barrier", folder: Path) -> None:
    import os

    os.environ["EQUIROUTER_CACHE_DIR"] = cache
    encoder = MiniLMEncoder(window="head", weights=folder, threads=1)
    barrier.wait(60)
    vector = encoder.encode(["two at once"])
    np.save(Path(cache) / f"{os.getpid()}.npy", vector)


def test_two_processes_may_make_it_at_once(own_cache: Path, model_folder: Path) -> None:
    own_cache.mkdir()
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [
        context.Process(target=encode_one, args=(str(own_cache), barrier, model_folder))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    first, second = (np.load(path) for path in own_cache.glob("*.npy"))
    np.testing.assert_array_equal(first, second)
    assert len(list(own_cache.rglob("*.onnx"))) == 1
    assert not list(own_cache.rglob(".*"))


def test_weights_of_another_model_are_named() -> None:
    with pytest.raises(DataError, match=r"nothing under 'embeddings\.word_embeddings\.weight'"):
        MiniLMGraph({}).model()
    words = np.zeros((10, 12), dtype=np.float32)
    with pytest.raises(DataError, match=r"float32 \(10, 12\) under .* \(10, 384\) expected"):
        MiniLMGraph({"embeddings.word_embeddings.weight": words}).model()


def test_a_file_that_is_not_safetensors_is_named(own_cache: Path, tmp_path: Path) -> None:
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"12345678")
    with pytest.raises(DataError, match=r"model\.safetensors: not a safetensors file"):
        graph_file(find_weights(tmp_path))
    assert not list(own_cache.rglob("*.onnx"))


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_folder: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EQUIROUTER_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="set EQUIROUTER_CACHE_DIR"):
        graph_file(find_weights(model_folder))

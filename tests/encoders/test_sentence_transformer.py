import json
import logging
import re
import shutil
import socket
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.encoders import make_encoder
from equirouter.encoders.sentence_transformer import SentenceTransformerEncoder
from equirouter.errors import (
    ConfigError,
    DataError,
    DownloadError,
    MissingExtraError,
    PipelineError,
)
from equirouter.evaluation.train import train
from equirouter.pipeline.pipeline import RoutingPipeline
from tests.encoders.tiny_models import MAX_TOKENS, WIDTH, tiny_bert, tiny_qwen
from tests.toys import make_table

pytestmark = [
    pytest.mark.skipif(
        find_spec("sentence_transformers") is None,
        reason="sentence-transformers is not installed (extra sentence-transformers)",
    ),
    pytest.mark.filterwarnings("ignore"),  # of torch and transformers, not of ours
]

TEXTS = [f"{word} {'ice floats on water ' * n}".strip() for n in range(8) for word in ("a", "why")]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen(tmp_path_factory.mktemp("models") / "qwen")


@pytest.fixture
def copy(bert: Path, tmp_path: Path) -> Path:
    """The model in a folder of its own, to be changed."""
    return Path(shutil.copytree(bert, tmp_path / "copy"))


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was tried to be reached; nothing is."""
    tried: list[object] = []

    def refuse(*arguments: object, **_: object) -> None:
        tried.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


def encoder(folder: Path, **options: Any) -> SentenceTransformerEncoder:
    return SentenceTransformerEncoder(model=folder, device="cpu", **options)


def library_vectors(folder: Path, texts: list[str], **options: Any) -> Any:
    library = import_module("sentence_transformers")
    model = library.SentenceTransformer(str(folder), device="cpu")
    return model.encode(texts, normalize_embeddings=True, show_progress_bar=False, **options)


def test_vectors_are_those_of_the_library_at_length_1(bert: Path) -> None:
    embeddings = encoder(bert, batch_size=3).encode(TEXTS)
    assert embeddings.shape == (len(TEXTS), WIDTH)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, library_vectors(bert, TEXTS), atol=1e-6)


@pytest.mark.parametrize("kind", ["bert", "qwen"])
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_a_vector_does_not_depend_on_its_batch(
    request: pytest.FixtureRequest, kind: str, batch_size: int
) -> None:
    # bert is padded behind the text; qwen before it, and its file is in 16 bits
    folder = request.getfixturevalue(kind)
    together = encoder(folder, batch_size=batch_size).encode(TEXTS)
    alone = encoder(folder)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(alone.encode([text])[0], vector, atol=1e-6)


def test_batches_hold_as_many_texts_as_asked_for_and_each_once(bert: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    texts = ["a", "b", "c", "d", "e", "a"]
    encoder(bert, batch_size=2).encode(texts, progress=lambda *call: calls.append(call))
    assert calls == [("encode", 2, 5), ("encode", 4, 5), ("encode", 5, 5)]


def test_a_prompt_is_put_before_every_text(bert: Path) -> None:
    plain = encoder(bert)
    by_name = encoder(bert, prompt_name="query").encode(TEXTS)
    expected = plain.encode([f"find: {text}" for text in TEXTS])
    np.testing.assert_allclose(by_name, expected, atol=1e-6)
    by_text = encoder(bert, prompt="find: ").encode(TEXTS)
    np.testing.assert_allclose(by_text, expected, atol=1e-6)
    assert np.abs(plain.encode(TEXTS) - expected).max() > 1e-3


def test_the_default_prompt_of_a_model_counts_unless_another_is_given(copy: Path) -> None:
    plain = encoder(copy).encode(["b"])
    path = copy / "config_sentence_transformers.json"
    config = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(config | {"default_prompt_name": "query"}), "utf-8")
    assert np.abs(encoder(copy).encode(["b"]) - plain).max() > 1e-3
    np.testing.assert_array_equal(encoder(copy, prompt="").encode(["b"]), plain)


def test_max_tokens_is_how_much_is_read(bert: Path) -> None:
    # one letter is a token, and two mark the ends: six letters are read
    short = encoder(bert, max_tokens=8)
    first, same_start, nearer = short.encode(
        ["a b c d e f g h", "a b c d e f x y", "a b c d e x g h"]
    )
    np.testing.assert_allclose(first, same_start, atol=1e-7)
    assert np.abs(first - nearer).max() > 1e-3
    whole = encoder(bert).encode(["a b c d e f g h", "a b c d e f x y"])
    assert np.abs(whole[0] - whole[1]).max() > 1e-3


def test_truncation_keeps_the_first_numbers_at_length_1(bert: Path) -> None:
    model = encoder(bert, truncate_dim=8)
    embeddings = model.encode(TEXTS)
    assert model.dimension == 8
    first = encoder(bert).encode(TEXTS)[:, :8]
    expected = first / np.linalg.norm(first, axis=1, keepdims=True)
    np.testing.assert_allclose(embeddings, expected, atol=1e-6)


def test_the_fingerprint_is_of_what_shapes_an_embedding(copy: Path, tmp_path: Path) -> None:
    plain = encoder(copy).fingerprint
    moved = Path(shutil.copytree(copy, tmp_path / "elsewhere" / "model"))
    (moved / "README.md").write_text("about the model", "utf-8")
    (moved / "onnx").mkdir()
    (moved / "onnx" / "config.json").write_text("{}", "utf-8")
    (moved / ".cache").mkdir()
    (moved / ".cache" / "note.json").write_text("{}", "utf-8")
    assert encoder(moved, batch_size=7).fingerprint == plain
    assert encoder(copy, weights=moved).fingerprint == plain
    others = [
        encoder(copy, prompt="find: ").fingerprint,
        encoder(copy, prompt="").fingerprint,
        encoder(copy, prompt_name="query").fingerprint,
        encoder(copy, max_tokens=8).fingerprint,
        encoder(copy, truncate_dim=8).fingerprint,
    ]
    for name in ("model.safetensors", "1_Pooling/config.json", "tokenizer.json"):
        content = (moved / name).read_bytes()
        (moved / name).write_bytes(content + b" ")
        others.append(encoder(moved).fingerprint)
        (moved / name).write_bytes(content)
    assert len({plain, *others}) == 9


def test_other_weights_have_another_fingerprint(bert: Path, tmp_path: Path) -> None:
    other = tiny_bert(tmp_path / "bert", seed=1)
    assert encoder(other).fingerprint != encoder(bert).fingerprint
    assert np.abs(encoder(other).encode(["b"]) - encoder(bert).encode(["b"])).max() > 1e-3


def test_settings_make_an_equal_encoder(bert: Path) -> None:
    first = encoder(bert, prompt_name="query", max_tokens=16, truncate_dim=8)
    again = make_encoder("sentence-transformers", **json.loads(json.dumps(first.settings)))
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(again.encode(TEXTS), first.encode(TEXTS))


def test_a_saved_pipeline_needs_the_folder_from_whoever_loads_it(
    bert: Path, tmp_path: Path
) -> None:
    made = train(make_table(), encoder(bert), router="knn:k=5", quality=0.2, resamples=0)
    folder = made.save(tmp_path)
    assert str(bert) not in (folder / "pipeline.json").read_text("utf-8")
    with pytest.raises(PipelineError, match="it runs model, a name on the Hugging Face hub or a"):
        RoutingPipeline.load(folder)
    query = "easy task1 query"
    by_model = RoutingPipeline.load(folder, encoder_options={"model": bert, "device": "cpu"})
    assert by_model.decide(query) == made.decide(query)
    by_weights = RoutingPipeline.load(folder, weights=bert, encoder_options={"device": "cpu"})
    assert by_weights.decide(query) == made.decide(query)


def test_a_folder_that_moved_is_given_as_weights(bert: Path) -> None:
    moved = make_encoder("sentence-transformers", model="/no/such/folder", weights=bert)
    np.testing.assert_array_equal(moved.encode(["b"]), encoder(bert).encode(["b"]))
    with pytest.raises(ConfigError, match=r"no such folder, and not the name .* give the folder"):
        make_encoder("sentence-transformers", model="/no/such/folder").encode(["b"])


def test_a_folder_is_loaded_without_network_and_in_silence(
    bert: Path, connections: list[object], capfd: pytest.CaptureFixture[str]
) -> None:
    messages = import_module("transformers.utils.logging")
    messages.enable_progress_bar()
    level = logging.getLogger("transformers").level
    encoder(bert).encode(TEXTS)
    assert connections == []
    assert capfd.readouterr() == ("", "")
    assert messages.is_progress_bar_enabled()  # as it was
    assert logging.getLogger("transformers").level == level


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("sentence_bert_config.json", "tokenizer_name_or_path"),
        ("adapter_config.json", "base_model_name_or_path"),
    ],
)
def test_a_folder_that_points_elsewhere_is_refused(
    copy: Path, connections: list[object], name: str, key: str
) -> None:
    (copy / name).write_text(json.dumps({key: "an-owner/a-model"}), "utf-8")
    with pytest.raises(ConfigError, match=rf"{name}: {key} points to 'an-owner/a-model'; save"):
        _ = encoder(copy).fingerprint
    assert connections == []


def test_a_hub_model_is_fetched_once_and_only_what_is_used(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = import_module("huggingface_hub")
    kept = import_module("huggingface_hub.utils").filter_repo_objects
    asked: list[tuple[str, str | None]] = []

    def fetch(name: str, *, revision: str | None, **patterns: Any) -> str:
        asked.append((name, revision))
        there = ["model.safetensors", "1_Pooling/config.json", "vocab.txt", "spiece.model"]
        not_used = ["pytorch_model.bin", "onnx/config.json", "README.md", "openvino/config.json"]
        assert list(kept(there + not_used, **patterns)) == there
        return str(bert)

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    model = SentenceTransformerEncoder(model="an-owner/a-model", revision="v1", device="cpu")
    assert asked == []
    assert model.fingerprint == encoder(bert).fingerprint
    model.encode(["b"])
    assert asked == [("an-owner/a-model", "v1")]
    SentenceTransformerEncoder(model="a-model", device="cpu").encode(["b"])
    assert asked[1:] == [("sentence-transformers/a-model", None)]


def test_a_hub_model_that_cannot_be_fetched_is_said_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, connections: list[object]
) -> None:
    constants = import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        DownloadError,
        match=r"an-owner/a-model could not be fetched .* the folder of a copy as weights",
    ):
        _ = SentenceTransformerEncoder(model="an-owner/a-model").fingerprint
    assert connections == []


def test_code_of_a_model_is_not_run(copy: Path) -> None:
    modules = json.loads((copy / "modules.json").read_text("utf-8"))
    modules[1]["type"] = "own_code.Pooling"
    (copy / "modules.json").write_text(json.dumps(modules), "utf-8")
    (copy / "own_code.py").write_text("raise SystemExit('run')", "utf-8")
    with pytest.raises(ConfigError, match=r"cannot load it .* with a model is never run"):
        encoder(copy).encode(["b"])


def _no_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def _no_config(folder: Path) -> None:
    (folder / "modules.json").unlink()
    (folder / "config.json").unlink()


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _pickled_part(folder: Path) -> None:
    (folder / "1_Pooling" / "pytorch_model.bin").write_bytes(b"")


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _no_pooling(folder: Path) -> None:
    (folder / "1_Pooling" / "config.json").unlink()


def _bad_modules(folder: Path) -> None:
    (folder / "modules.json").write_text("[", "utf-8")


def _bad_config(folder: Path) -> None:
    (folder / "config.json").write_text("[", "utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_no_folder, "copy: no such folder; one that holds a sentence-transformers model"),
        (_no_config, r"modules\.json or config\.json is expected, found 1_Pooling, config_sent"),
        (_pickled, r"pytorch_model\.bin: weights in safetensors files are expected; a pickle"),
        (_pickled_part, r"1_Pooling/pytorch_model\.bin: weights in safetensors files"),
        (_no_weights, "copy: weights in safetensors files are expected"),
        (_no_pooling, "sentence-transformers cannot load it"),
        (_bad_modules, r"cannot load it \(JSONDecodeError"),
        (_bad_config, r"copy/config\.json: not JSON"),
    ],
)
def test_a_folder_that_is_no_model_is_named(copy: Path, damage: Any, message: str) -> None:
    damage(copy)
    with pytest.raises(ConfigError, match=message):
        SentenceTransformerEncoder(model="a", weights=copy, device="cpu").encode(["b"])


def test_damaged_weights_are_named(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DataError, match="copy: the weights cannot be loaded: they are damaged"):
        encoder(copy).encode(["b"])


def test_a_text_without_any_direction_is_named(copy: Path) -> None:
    from safetensors.numpy import load_file, save_file

    arrays = load_file(copy / "model.safetensors")
    last = "encoder.layer.1.output.LayerNorm"
    zeroed = {f"{last}.weight", f"{last}.bias"}
    arrays = {key: array * (key not in zeroed) for key, array in arrays.items()}
    save_file(arrays, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="the embedding of text 0 is all zeros"):
        encoder(copy).encode(["b", "c"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": None}, "needs a model: model='Qwen/Qwen3-Embedding-0.6B'"),
        ({"prompt": "a", "prompt_name": "b"}, "prompt and prompt_name='b' are both given"),
        ({"max_tokens": 2}, "max_tokens=2: a whole number of 3 or more"),
        ({"truncate_dim": "many"}, "truncate_dim='many': a whole number of 1 or more"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        make_encoder("sentence-transformers", **{"model": "m"} | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_name": "poem"}, "no prompt named 'poem': it has query"),
        ({"max_tokens": MAX_TOKENS + 1}, f"max_tokens=65: .* has the limit {MAX_TOKENS}"),
        ({"truncate_dim": WIDTH + 1}, f"truncate_dim=33: .* gives {WIDTH} numbers per text"),
        ({"device": "abacus"}, "device='abacus' cannot be used here"),
    ],
)
def test_an_option_that_the_model_cannot_follow_is_refused(
    bert: Path, options: dict[str, Any], message: str
) -> None:
    model = SentenceTransformerEncoder(model=bert, **options)
    for _ in range(2):  # not only the first time
        with pytest.raises(ConfigError, match=message):
            model.encode(["b"])


def test_without_the_library_the_command_is_named(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"equirouter\[encoders\]"):
        encoder(bert).encode(["b"])


def test_unknown_tokens_are_those_that_the_tokenizer_says(bert: Path) -> None:
    encoder = SentenceTransformerEncoder(model=bert)
    assert encoder.unknown_share("ice floats on water") == 0.0
    assert encoder.unknown_share("ก ข") == 1.0

"""A saved pipeline is data: nothing in it names a host, a file, a variable or code."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from equirouter.encoders import encoder_options, make_encoder
from equirouter.encoders.base import Encoder
from equirouter.errors import ConfigError, PipelineError
from equirouter.evaluation.train import train
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.registry import ENCODERS, ROUTERS
from equirouter.routers.make import check_registered, registered_router
from equirouter.routers.settings import check_plain, settings_of
from tests.encoders.endpoint import Endpoint, running_endpoint
from tests.pipeline.sealed import change_arrays, change_description
from tests.toys import HashingEncoder, make_table

CASE = Path(__file__).parents[3] / "shared" / "cases" / "pipeline_that_must_not_load.json"
QUERY = "easy task1 query"

# options of the encoders that only whoever loads a pipeline can give; all others are saved
GIVEN = {
    "lexical": set(),
    "minilm": {"weights", "threads", "device"},
    "static": {"weights", "threads"},
    "lexical+minilm": {"weights", "threads", "device"},
    "vision": {"model", "revision", "weights", "device", "batch_size"},
    "sentence-transformers": {"model", "revision", "weights", "device", "batch_size"},
    "openai": {
        *("base_url", "api_key_env", "batch_size", "batch_characters", "timeout", "max_retries")
    },
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with running_endpoint() as running:
        yield running


@pytest.fixture(scope="module")
def by_endpoint(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that was trained with `--encoder openai --encoder-option base_url=...`."""
    encoder = make_encoder("openai", model="m", base_url=endpoint.url, api_key_env=None)
    made = train(make_table(), encoder, router="knn:k=5", quality=0.2, resamples=0)
    return made.save(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture
def folder(by_endpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to be changed, where no environment variable names an endpoint."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    for path in by_endpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def _change(folder: Path, part: str, **fields: object) -> None:
    """Put fields into a part of pipeline.json, with digests that are right."""
    change_description(folder, lambda document: document[part].update(fields))


@pytest.mark.parametrize("name", ENCODERS.builtin)
def test_every_option_of_an_encoder_is_saved_or_given(name: str) -> None:
    kind: type[Encoder] = ENCODERS.load(name)
    assert set(encoder_options(name)) - set(kind.saved_options) == GIVEN[name]
    assert set(kind.saved_options) <= set(encoder_options(name))


@pytest.mark.parametrize("name", ENCODERS.builtin)
@pytest.mark.parametrize("value", ["http://127.0.0.1:9/v1", "/etc/passwd", "HOME"])
def test_an_option_that_only_the_loader_gives_is_refused_in_the_file(
    name: str, value: str, folder: Path, endpoint: Endpoint
) -> None:
    for option in sorted(GIVEN[name]):
        settings = {option: value}
        _change(folder, "encoder", name=name, settings=settings)
        endpoint.requests.clear()
        with pytest.raises(PipelineError, match=rf"encoder\.settings\.{option}: a pipeline is dat"):
            RoutingPipeline.load(folder, encoder_options={"base_url": endpoint.url})
        assert endpoint.requests == []


def test_the_case_that_must_not_load(folder: Path, endpoint: Endpoint) -> None:
    if not CASE.exists():
        pytest.skip(f"{CASE} is not there")
    case = json.loads(CASE.read_text("utf-8"))
    document = json.loads((folder / "pipeline.json").read_text("utf-8"))
    document["encoder"] |= case["encoder"]
    (folder / "pipeline.json").write_text(json.dumps(document, indent=2), "utf-8")
    options = {"base_url": endpoint.url, "api_key_env": None}
    with pytest.raises(PipelineError, match="its last field must be the SHA-256"):
        RoutingPipeline.load(folder, encoder_options=options)
    change_description(folder, lambda _: None)  # the digest of what was put in
    with pytest.raises(PipelineError, match="base_url: a pipeline is data and cannot say this"):
        RoutingPipeline.load(folder, encoder_options=options)


def test_nothing_is_asked_for_until_the_loader_says_where(folder: Path, endpoint: Endpoint) -> None:
    endpoint.requests.clear()
    words = "sends every query to base_url, such as https://api.openai.com/v1, which is not given"
    with pytest.raises(PipelineError, match=words):
        RoutingPipeline.load(folder)
    with pytest.raises(PipelineError, match="--encoder-option NAME=VALUE, "):
        RoutingPipeline.load(folder, encoder_options={"api_key_env": None})
    assert endpoint.requests == []
    options = {"base_url": endpoint.url, "api_key_env": ""}
    loaded = RoutingPipeline.load(folder, encoder_options=options)
    assert loaded.decide(QUERY).model is not None
    assert [path for path, _, _ in endpoint.requests] == ["/v1/embeddings"] * 2  # probe, query


def test_an_encoder_has_its_options_already(folder: Path) -> None:
    for options in ({"weights": folder}, {"encoder_options": {"base_url": "http://127.0.0.1:9"}}):
        with pytest.raises(ConfigError, match="an encoder is given, and options of it too"):
            RoutingPipeline.load(folder, encoder=HashingEncoder(), **options)


def test_the_loader_may_name_the_endpoint_by_the_environment(
    folder: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    assert RoutingPipeline.load(folder).decide(QUERY).model is not None


def test_the_command_line_and_a_repeated_option_of_training(
    folder: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.cli.invoke import invoke

    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    assert invoke("route", folder, QUERY).code == 2
    options = ["--encoder-option", f"base_url={endpoint.url}", "--encoder-option", "model=m"]
    for command in (
        ["route", folder, QUERY],
        ["models", "list", folder],
        ["models", "remove", folder, "--name", "small", "--out", folder / "out"],
    ):
        ran = invoke(*command, *options)
        assert (ran.code, ran.err) == (0, ""), ran.err
    other = invoke("route", folder, QUERY, *options, "--encoder-option", "model=another")
    assert other.code == 2
    assert "trained with encoder openai" in other.err


def test_the_gateway_takes_them_from_its_settings(folder: Path, endpoint: Endpoint) -> None:
    from equirouter.serve.plan.loading import load_pipeline
    from equirouter.serve.settings import PipelineSettings

    models = make_table().models
    with pytest.raises(PipelineError, match=r"\[pipeline\.encoder_options\] of the gateway"):
        load_pipeline(PipelineSettings(), folder, models)
    toml = f'encoder_options = {{base_url = "{endpoint.url}", api_key_env = ""}}'
    settings = PipelineSettings.model_validate(tomllib.loads(toml))
    assert load_pipeline(settings, folder, models).pipeline.decide(QUERY).model is not None


def test_a_hub_model_or_a_folder_is_for_the_loader_to_name(folder: Path) -> None:
    _change(folder, "encoder", name="sentence-transformers", settings={"max_tokens": 8})
    with pytest.raises(PipelineError, match="it runs model, a name on the Hugging Face hub or a"):
        RoutingPipeline.load(folder)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(ENCODERS._paths, "toy", "tests.toys:HashingEncoder")
    made = train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.2, resamples=0)
    return made.save(tmp_path / "toy")


def test_no_file_named_in_a_pipeline_is_run(toy: Path, tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    for part in ("router", "encoder", "policy"):
        for name in (f"{code}:Mine", f"{code}", "mine:Mine", "os:system"):
            before = (toy / "pipeline.json").read_bytes()
            _change(toy, part, name=name)
            with pytest.raises(PipelineError, match=f"{toy}.*no {part} named"):
                RoutingPipeline.load(toy)
            (toy / "pipeline.json").write_bytes(before)
    assert not (tmp_path / "ran").exists()


def test_texts_that_a_class_does_not_list_are_no_settings(toy: Path) -> None:
    for part, words in (
        ("router", "k is '/etc/passwd'"),
        ("cost_model", "hidden is '/etc/passwd'"),
    ):
        before = (toy / "pipeline.json").read_bytes()
        setting = words.split()[0]
        _change(toy, part, settings={setting: "/etc/passwd"})
        with pytest.raises(PipelineError, match=f"{words}: a saved pipeline carries numbers"):
            RoutingPipeline.load(toy)
        (toy / "pipeline.json").write_bytes(before)
    _change(toy, "cost_model", settings={"device": "x"})
    with pytest.raises(PipelineError, match="device is 'x': a saved pipeline carries numbers"):
        RoutingPipeline.load(toy)


class WithFile:
    """As a router of another package may be: a setting that is any text."""

    def __init__(self, *, table: str = "table.csv", sizes: tuple[object, ...] = (1, 2)) -> None:
        self.table = table
        self.sizes = sizes


def test_a_router_of_another_package_with_a_free_text_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ROUTERS._paths, "filed", "tests.pipeline.test_data_only:WithFile")
    with pytest.raises(ConfigError, match=r"filed: table is 'x\.csv': a saved pipeline carries"):
        registered_router("filed", {"table": "x.csv"})
    with pytest.raises(ConfigError, match="sizes is"):
        registered_router("filed", {"sizes": [1, ["/etc/passwd"]]})
    with pytest.raises(ConfigError, match="sizes is"):
        registered_router("filed", {"sizes": {"a": 1}})
    assert registered_router("filed", {"sizes": [1, 2.5, None, True]}) is not None


@pytest.mark.parametrize("name", ROUTERS.builtin)
def test_every_built_in_router_can_be_saved(name: str) -> None:
    check_registered(name)
    kind = ROUTERS.load(name)
    defaults = {setting.name: setting.default for setting in settings_of(kind)}
    assert check_plain(kind, defaults) == defaults


def test_a_graph_that_names_a_file_is_not_run(toy: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    import numpy as np

    secret = tmp_path / "secret.bin"
    np.zeros(1, np.float32).tofile(secret)

    def change(arrays: dict[str, Any]) -> None:
        graph = onnx.load_model_from_string(arrays["scorer.graph"].tobytes())
        weight = graph.graph.initializer[0]
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        entry = weight.external_data.add()
        entry.key, entry.value = "location", str(secret)
        arrays["scorer.graph"] = np.frombuffer(graph.SerializeToString(), dtype=np.uint8)

    change_arrays(toy, change)
    with pytest.raises(PipelineError, match="the graph that decides cannot be run"):
        RoutingPipeline.load(toy)

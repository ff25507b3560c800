"""The plug-in for LiteLLM: what it leaves of the candidates, also in the real Router and proxy."""

import asyncio
import json
import os
import socket
import sys
import urllib.request
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from equirouter.errors import ConfigError, DownloadError
from equirouter.evaluation.train import train
from equirouter.integrations.litellm import EquiRouterPlugin
from equirouter.pipeline import RoutingPipeline
from equirouter.policy.base import Control
from tests.toys import make_table

MODELS = ("small", "middle", "large")
CANDIDATES = [f"openai/{name}" for name in MODELS]
CHEAP, EXPENSIVE = Control(lambda_=1e9), Control(lambda_=0.0)


@dataclass
class Context:
    """As LiteLLM's."""

    candidate_models: list[str]
    text: str = "hard task3 query"
    metadata: dict[str, Any] = field(default_factory=dict)
    signals: dict[str, Any] = field(default_factory=dict)

    @property
    def structured_messages(self) -> list[dict[str, Any]]:
        return [{"role": "system", "content": "x"}, {"role": "user", "content": self.text}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pipeline")
    train(make_table(), "lexical", router="factors", quality=0.9).save(path)
    return path


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> RoutingPipeline:
    return RoutingPipeline.load(folder)


def left(plugin: EquiRouterPlugin, candidates: list[str], **context: Any) -> list[str]:
    given = Context(list(candidates), **context)
    return asyncio.run(plugin.run(given)).candidate_models


def test_what_an_encoder_lacks_is_said_when_the_plug_in_is_loaded(
    pipeline: RoutingPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.save(tmp_path)
    EquiRouterPlugin.load(tmp_path, keep=1)

    def lacks(*_: object, **__: object) -> None:
        raise DownloadError("no weights on this machine")

    monkeypatch.setattr(type(pipeline.stage.encoder), "encode", lacks)
    with pytest.raises(DownloadError, match="no weights"):
        EquiRouterPlugin.load(tmp_path)


def test_the_decision_of_the_pipeline_is_left(pipeline: RoutingPipeline) -> None:
    decision = pipeline.decide("hard task3 query", lambda_=0.0)
    context = Context(list(CANDIDATES))
    asyncio.run(EquiRouterPlugin(pipeline, control=EXPENSIVE).run(context))
    assert context.candidate_models == [f"openai/{decision.model}"]
    signal = context.signals["equirouter"]
    assert signal["ranking"] == [decision.model, *decision.fallbacks]
    assert signal["predicted_cost_usd"] == decision.predicted_cost_usd
    cheapest = left(EquiRouterPlugin(pipeline, control=CHEAP), CANDIDATES)
    costs = decision.predicted_costs_usd
    assert cheapest == [f"openai/{min(costs, key=lambda name: costs[name])}"]


def test_keep_leaves_the_next_best_too_in_litellms_order(pipeline: RoutingPipeline) -> None:
    ranking = pipeline.decide("hard task3 query", lambda_=0.0)
    best = {f"openai/{name}" for name in (ranking.model, ranking.fallbacks[0])}
    plugin = EquiRouterPlugin(pipeline, control=EXPENSIVE, keep=2)
    assert left(plugin, CANDIDATES) == [one for one in CANDIDATES if one in best]


def test_only_candidates_are_chosen_from(pipeline: RoutingPipeline) -> None:
    for name in MODELS:
        assert left(EquiRouterPlugin(pipeline), [f"x/{name}", "x/unknown"]) == [f"x/{name}"]


def test_a_group_of_other_models_and_a_request_without_text_are_left_alone(
    pipeline: RoutingPipeline,
) -> None:
    plugin = EquiRouterPlugin(pipeline)
    assert left(plugin, ["a", "b"]) == ["a", "b"]
    assert left(plugin, CANDIDATES, text="") == CANDIDATES


def test_the_control_of_a_request_comes_before_that_of_the_plug_in(
    pipeline: RoutingPipeline,
) -> None:
    plugin = EquiRouterPlugin(pipeline, control=CHEAP)
    asked = {"equirouter": {"lambda": 0}}
    expensive = left(EquiRouterPlugin(pipeline, control=EXPENSIVE), CANDIDATES)
    assert left(plugin, CANDIDATES, metadata=asked) == expensive != left(plugin, CANDIDATES)
    with pytest.raises(ConfigError, match=r"metadata.equirouter"):
        left(plugin, CANDIDATES, metadata={"equirouter": {"lamda": 0}})


def test_a_model_whose_own_name_has_a_slash_is_known_behind_its_provider() -> None:
    models = ("maker/small", "maker/middle", "large")
    table = replace(make_table(), models=models)
    plugin = EquiRouterPlugin(train(table, "lexical", router="factors", quality=0.9))
    for name in models:
        assert left(plugin, [f"openai/{name}", "openai/maker/large2"]) == [f"openai/{name}"]


@pytest.mark.parametrize("asked", [{"quality": 3}, {"lamda": 0}, "cheap"])
def test_a_request_that_asks_wrongly_is_a_400_of_the_proxy(
    pipeline: RoutingPipeline, asked: Any
) -> None:
    with pytest.raises(ConfigError) as caught:
        left(EquiRouterPlugin(pipeline), CANDIDATES, metadata={"equirouter": asked})
    assert getattr(caught.value, "status_code", None) == 400


def test_a_control_that_makes_no_sense_is_told_when_the_plug_in_is_loaded(folder: Path) -> None:
    with pytest.raises(ConfigError, match="quality is 3"):
        EquiRouterPlugin.load(folder, control=Control(quality=3))


def test_names_map_and_are_checked(pipeline: RoutingPipeline) -> None:
    names = {"azure/deployment-7": "small"}
    plugin = EquiRouterPlugin(pipeline, names=names)
    assert left(plugin, ["azure/deployment-7", "a"]) == ["azure/deployment-7"]
    with pytest.raises(ConfigError, match="pipeline has no tiny"):
        EquiRouterPlugin(pipeline, names={"a": "tiny"})
    with pytest.raises(ConfigError, match="keep is 0"):
        EquiRouterPlugin(pipeline, keep=0)


needs_litellm = pytest.mark.skipif(find_spec("litellm") is None, reason="litellm is not installed")


@needs_litellm
@pytest.mark.filterwarnings("ignore")
def test_litellms_router_calls_the_model_that_was_decided_for(pipeline: RoutingPipeline) -> None:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    deployments = [
        {
            "model_name": "any",
            "litellm_params": {
                "model": f"openai/{name}",
                "api_key": "k",
                "mock_response": f"from {name}",
            },
        }
        for name in MODELS
    ]
    plugin = EquiRouterPlugin(pipeline, control=EXPENSIVE)
    router = litellm.Router(model_list=deployments, plugins=[plugin])
    best = pipeline.decide("hard task3 query", lambda_=0.0).model
    cheap = pipeline.decide("hard task3 query", lambda_=1e9).model
    assert cheap != best

    async def said(**more: Any) -> str:
        messages = [{"role": "user", "content": "hard task3 query"}]
        answer = await router.acompletion(model="any", messages=messages, **more)
        return str(answer.choices[0].message.content)

    async def run() -> None:
        for _ in range(5):  # by chance it would be another one some time
            assert await said() == f"from {best}"
        assert await said(metadata={"equirouter": {"lambda": 1e9}}) == f"from {cheap}"

    asyncio.run(run())


PROXY = """
model_list:
{deployments}
router_settings:
  plugins: ["routing.plugin"]
"""
KEY = "sk-a-key-of-the-proxy-that-is-long-enough"
PLUGIN = """
from equirouter.integrations.litellm import EquiRouterPlugin
from equirouter.policy.base import Control

plugin = EquiRouterPlugin.load({folder!r}, control=Control(lambda_=0.0))
"""


@pytest.mark.skipif(
    find_spec("litellm") is None or find_spec("fastapi") is None,
    reason="litellm's proxy is not installed",
)
@pytest.mark.filterwarnings("ignore")
def test_litellms_proxy_calls_the_model_that_was_decided_for(
    folder: Path, pipeline: RoutingPipeline, tmp_path: Path
) -> None:
    lines = [
        f"  - model_name: any\n    litellm_params: {{model: openai/{name}, api_key: k, "
        f"mock_response: from {name}}}"
        for name in MODELS
    ]
    (tmp_path / "config.yaml").write_text(PROXY.format(deployments="\n".join(lines)))
    (tmp_path / "routing.py").write_text(PLUGIN.format(folder=str(folder)))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    best = pipeline.decide("hard task3 query", lambda_=0.0).model

    def asked() -> str:
        messages = [{"role": "user", "content": "hard task3 query"}]
        request = urllib.request.Request(  # this machine
            f"http://127.0.0.1:{port}/chat/completions",
            json.dumps({"model": "any", "messages": messages}).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return str(json.load(response)["choices"][0]["message"]["content"])

    async def run() -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from litellm import run_server; run_server()"),
            *("--config", "config.yaml", "--port", str(port), "--host", "127.0.0.1"),
            cwd=tmp_path,
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(180):
                async for line in process.stdout:
                    if b"running on" in line:
                        break
            for _ in range(5):
                assert await asyncio.to_thread(asked) == f"from {best}"
        finally:
            process.terminate()
            await process.communicate()

    asyncio.run(run())

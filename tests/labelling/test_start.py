"""A pipeline without any label."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from equirouter.errors import ConfigError
from equirouter.labelling.starting import family_of, level_of, start
from equirouter.pipeline import PipelineVersions
from equirouter.pipeline.decision import Ask
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.policy.base import Control
from equirouter.policy.replies import Reply
from equirouter.serve.run.assembly import open_gateway
from equirouter.serve.run.server import make_runner
from equirouter.serve.settings_file import read_settings
from tests.cli.invoke import invoke
from tests.labelling.pretend import provider, write_gateway

POOL = {
    "gpt-4o-mini": "price = { input = 0.15, output = 0.6 }",
    "my-haiku": 'upstream_model = "claude-3-5-haiku"\nprice = { input = 0.8, output = 4.0 }',
    "gpt-4.1-nano": "price = { input = 0.1, output = 0.4 }",
    "gpt-5": "price = { input = 1.25, output = 10.0 }",
}


def gateway(folder: Path, pool: Any = POOL) -> Path:
    return write_gateway(folder, "http://127.0.0.1:9/v1", pool)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    return start(gateway(folder), answers_by="number").pipeline.save(folder / "first")


def test_the_pair_is_cheap_and_of_two_families_and_the_strongest_by_public_level(
    tmp_path: Path,
) -> None:
    started = start(gateway(tmp_path), answers_by="number")
    assert started.pair == ("my-haiku", "gpt-4.1-nano")  # in the order of the pool
    assert started.families == ("anthropic", "openai")
    assert (started.strongest, started.level) == ("gpt-5", 86.0)
    # 300 tokens each way: (0.8 + 4.0 + 0.1 + 0.4) / (1.25 + 10.0)
    assert started.break_even == pytest.approx(5.3 / 11.25)
    assert started.notes == ()


def test_a_loaded_pipeline_asks_the_pair_and_then_the_strongest(saved: Path) -> None:
    pipeline = RoutingPipeline.load(saved)
    queries = ["What is 2 + 2?", "Schreibe ein Gedicht.", "x" * 5000]
    for decision in pipeline.decide_each([Ask(query, may_check=True) for query in queries]):
        assert decision.model == "gpt-5"  # where two may not be asked
        assert not decision.far
        assert decision.plan is not None
        assert decision.plan.first == ("my-haiku", "gpt-4.1-nano")
        assert not decision.plan.learned
        agree = decision.plan.then(
            ("my-haiku", "gpt-4.1-nano"),
            {"my-haiku": Reply("4", 9.0), "gpt-4.1-nano": Reply("4", 9.0)},
        )
        differ = decision.plan.then(
            ("my-haiku", "gpt-4.1-nano"),
            {"my-haiku": Reply("4", 9.0), "gpt-4.1-nano": Reply("5", 9.0)},
        )
        assert "gpt-4.1-nano" in str(agree)
        assert "gpt-5" in str(differ)
    assert pipeline.plans is not None
    assert pipeline.plans.extractor == "number@1"


def test_it_claims_nothing(saved: Path) -> None:
    document = json.loads((saved / "pipeline.json").read_text("utf-8"))
    assert document["test_metrics"] == {}
    assert document["data"]["n_queries"] == 0
    assert "learned nothing" in document["data"]["notes"][0]
    (decision,) = RoutingPipeline.load(saved).decide_each([Ask("2 + 2?")])
    assert decision.confidence == 0.5


def test_a_budget_that_the_strongest_exceeds_takes_another_model(saved: Path) -> None:
    pipeline = RoutingPipeline.load(saved)
    # a call of 300 tokens each way costs 0.003375 USD with gpt-5, 0.00144 with my-haiku
    (decision,) = pipeline.decide_each([Ask("2 + 2?", control=Control(budget_usd=0.002))])
    assert decision.model == "my-haiku"


def test_the_user_has_the_last_word(tmp_path: Path) -> None:
    started = start(
        gateway(tmp_path),
        answers_by="choice",
        strongest="my-haiku",
        pair=["gpt-4.1-nano", "gpt-4o-mini"],
    )
    assert (started.strongest, started.level) == ("my-haiku", None)
    assert started.pair == ("gpt-4o-mini", "gpt-4.1-nano")
    assert "of one family" in started.notes[0]


@pytest.mark.parametrize(
    ("pool", "options", "said"),
    [
        ({"a": "", "b": ""}, {}, "three are needed"),
        ({"a": "", "b": "", "c": ""}, {}, "no public level is known of a, b, c"),
        (POOL, {"answers_by": "prose"}, "not an answer extractor"),
        (POOL, {"strongest": "huge"}, "huge: not in the pool"),
        (POOL, {"pair": ["gpt-5", "my-haiku"]}, "neither of them the strongest"),
        (POOL, {"strongest": "gpt-4o-mini"}, "cannot save money"),
        (
            {**POOL, "unheard-of": "price = { input = 50.0, output = 50.0 }"},
            {},
            "no public level is known of unheard-of",
        ),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, pool: Any, options: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        start(gateway(tmp_path, pool), **{"answers_by": "number", **options})


def test_the_gateway_serves_it_at_once(tmp_path: Path) -> None:
    def said(body: Any) -> str:
        if body["model"] == "gpt-5":
            return "It is 7"
        is_easy = "easy" in body["messages"][-1]["content"]
        if body["model"] == "gpt-4.1-nano":
            return "4, surely." if is_easy else "It is 1"
        return "It is 4"

    async def ask() -> list[tuple[str, str]]:
        found = []
        settings = read_settings(tmp_path / "gateway.toml")
        async with open_gateway(settings) as gateway:
            runner = make_runner(gateway)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            base = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with aiohttp.ClientSession(base) as http:
                for text in ("an easy one", "a hard one"):
                    body = {
                        "model": "equirouter/auto",
                        "messages": [{"role": "user", "content": text}],
                    }
                    async with http.post("/v1/chat/completions", json=body) as response:
                        document = await response.json()
                        content = document["choices"][0]["message"]["content"]
                        found.append((response.headers["x-equirouter-model"], content))
            await runner.cleanup()
        return found

    with provider(said) as made:
        config = write_gateway(tmp_path, made.url, POOL)
        start(config, answers_by="number").pipeline.save(tmp_path / "first")
        text = config.read_text("utf-8")
        text += '\n[pipeline]\npath = "first"\n[cascade]\nenabled = true\n'
        config.write_text(text, "utf-8")
        easy, hard = asyncio.run(ask())
    assert easy == ("gpt-4.1-nano", "4, surely.")  # both say 4: the cheaper one's words
    assert hard == ("gpt-5", "It is 7")
    assert sorted(made.models[:2]) == ["claude-3-5-haiku", "gpt-4.1-nano"]


def test_families_and_levels() -> None:
    assert family_of("meta-llama/Llama-3.1-8B-Instruct") == "meta"
    assert family_of("o3-mini") == family_of("gpt-4o") == "openai"
    assert family_of("mine") == "mine"
    assert level_of("openai/gpt-5") == 86.0
    assert level_of("gpt-5-mini") is None
    assert level_of("anthropic/claude-opus-4.7") == level_of("claude-opus-4-7-20260416") == 94.2
    # a later version is another model, and no level is taken for it
    assert level_of("grok-4-fast") is None
    assert level_of("deepseek-v3.1") is None
    assert level_of("claude-opus-4-1-20250805") is None


def test_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "equirouter", "start", str(gateway(tmp_path))]
    command += ["--out", str(tmp_path / "first")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Free text cannot be compared" in done.stderr
    command += ["--answers-by", "number"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = " ".join(done.stdout.split())
    assert "money is saved where they agree on more than 47% of the queries" in said
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "not known" in done.stdout
    command[command.index("--out") + 1] = str(tmp_path / "second")
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["strongest"] == "gpt-5"


def test_the_command_saves_a_first_version_and_takes_no_pipelines_place(tmp_path: Path) -> None:
    options = ("start", gateway(tmp_path), "--answers-by", "number", "--out", tmp_path / "p")
    ran = invoke(*options, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["pipeline"] == str(tmp_path / "p")
    assert PipelineVersions(tmp_path / "p").current == "0001"
    again = invoke(*options)
    assert again.code == 2
    assert "a pipeline is there already" in again.err

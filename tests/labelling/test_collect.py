"""Answers of every model: asked once, paid once, kept whatever happens."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from equirouter.errors import ConfigError, DataError, PipelineError
from equirouter.labelling.collecting import Collected, collect
from equirouter.labelling.collection_store import Collection, KeptAnswer
from tests.labelling.pretend import (
    Body,
    Provider,
    failure,
    provider,
    until,
    write_gateway,
    write_queries,
)

# 20 tokens in and 10 out, at 1 and 2 USD per million: 20,000 + 20,000 nano-USD
COST_NUSD = 40_000
TWO = {"small": "", "large": ""}


def said(body: Body) -> str:
    return f"{body['model']} on {body['messages'][-1]['content']}"


def kept(folder: Path) -> dict[tuple[str, str], KeptAnswer]:
    with Collection.open(folder) as collection:
        return {(one.query_id, one.model): one for one in collection.answers()}


def spent(folder: Path) -> int:
    with Collection.open(folder) as collection:
        return collection.spent_nusd()


def run(
    folder: Path, made: Provider, texts: list[str], models: Any = TWO, **options: Any
) -> Collected:
    more = options.pop("more", "")
    columns = options.pop("columns", {})
    gateway = write_gateway(folder, made.url, models, more)
    return collect(gateway, write_queries(folder, texts, **columns), folder / "answers", **options)


def test_every_model_answers_every_query_once(tmp_path: Path) -> None:
    with provider(said) as made:
        first = run(tmp_path, made, ["a", "b"])
        again = run(tmp_path, made, ["a", "b", "c"])
    assert (first.answered, first.missing, again.answered) == (4, 0, 2)
    assert again.estimate.there == 4
    assert len(made.seen) == 6
    row = kept(tmp_path / "answers")["q2", "large"]
    assert (row.state, row.answer, row.finish_reason) == ("answered", "large on c", "stop")
    assert (row.input_tokens, row.output_tokens, row.cost_nusd) == (20, 10, COST_NUSD)
    assert row.charged_by == "usage"
    assert again.spent_usd == pytest.approx(6 * COST_NUSD / 1e9)


def test_the_pipeline_of_the_settings_need_not_be_trained_yet(tmp_path: Path) -> None:
    with provider(said) as made:
        later = '[pipeline]\npath = "pipelines/mine"\n'
        assert run(tmp_path, made, ["a"], more=later).answered == 2
        (tmp_path / "pipelines" / "mine").mkdir(parents=True)
        with pytest.raises(PipelineError, match=r"no pipeline there"):
            run(tmp_path, made, ["a", "b"], more=later)


def test_a_dry_run_asks_nobody_and_says_what_it_would_cost(tmp_path: Path) -> None:
    with provider(said) as made:
        done = run(tmp_path, made, ["a", "b"], dry_run=True, columns={"output_tokens": [100, 300]})
    assert made.seen == []
    small = done.estimate.models[0]
    assert (small.calls, small.output_tokens, small.by) == (2, 400, "log")
    # 400 tokens of output at 2 USD per million are 0.0008 USD, half and twice of it at the ends
    prompt_usd = small.input_tokens / 1e6
    assert small.usd == pytest.approx(0.0008 + prompt_usd, rel=1e-6)
    assert small.low_usd < 0.0005 < small.usd < 0.0016 < small.high_usd < small.most_usd


def test_a_dry_run_needs_no_key(tmp_path: Path) -> None:
    with provider(said) as made:
        more = 'api_key_env = "A_KEY_THAT_IS_NOT_SET"'
        done = run(tmp_path, made, ["a"], {"small": ""}, more=more, dry_run=True)
        with pytest.raises(ConfigError, match="A_KEY_THAT_IS_NOT_SET is not set"):
            run(tmp_path, made, ["a"], {"small": ""}, more=more)
    assert done.estimate.calls == 1


def test_an_estimate_goes_by_the_models_own_answers_when_there_are_some(tmp_path: Path) -> None:
    texts = [f"question {n}" for n in range(8)]
    with provider(said) as made:
        run(tmp_path, made, texts[:5], {"small": ""})
        done = run(tmp_path, made, texts, {"small": ""}, dry_run=True)
    assert done.estimate.models[0].by == "measured"
    assert done.estimate.models[0].output_tokens == 3 * 10


def test_no_call_starts_whose_bound_does_not_fit(tmp_path: Path) -> None:
    models = {"small": "max_output_tokens = 100"}
    with provider(said) as made:
        # a bound is some 25 tokens in and 100 out: 0.000225 USD; a call comes to 0.00004
        done = run(tmp_path, made, list("abcdef"), models, limit_usd=0.0003, concurrency=4)
        assert done.stopped is not None
        # so much is left: 0.0003 without the calls that were answered
        left = 0.0003 - done.answered * COST_NUSD / 1e9
        assert f"and {left:.6f} of the limit are left" in done.stopped
        assert 1 <= done.answered < 6
        assert done.missing == 6 - done.answered
        assert spent(tmp_path / "answers") == done.answered * COST_NUSD
        assert made.most_at_once == 1  # the bound of a second one would not have fitted
        rest = run(tmp_path, made, list("abcdef"), models, limit_usd=1.0)
    assert rest.missing == 0
    assert len(made.seen) == 6


def test_the_limit_counts_what_earlier_runs_spent(tmp_path: Path) -> None:
    models = {"small": "max_output_tokens = 100"}
    with provider(said) as made:
        run(tmp_path, made, ["a"], models, limit_usd=0.0003)
        done = run(tmp_path, made, ["a", "b", "c", "d"], models, limit_usd=0.00026)
    assert done.answered == 0
    assert len(made.seen) == 1


def test_where_cheap_models_disagreed_is_asked_first(tmp_path: Path) -> None:
    columns = {"disagreed": [0, 1, None, 1]}
    with provider(said) as made:
        run(tmp_path, made, list("abcd"), {"small": ""}, columns=columns, concurrency=1)
    assert [body["messages"][0]["content"] for body in made.seen] == ["b", "d", "a", "c"]


def test_a_provider_that_dies_half_way_leaves_what_it_answered(tmp_path: Path) -> None:
    texts = [f"question {n}" for n in range(30)]
    with provider(lambda b: said(b) if len(made.seen) <= 12 else failure(503)) as made:
        done = run(
            tmp_path, made, texts, {"small": ""}, concurrency=1, more="breaker_seconds = 0.001"
        )
        assert (done.answered, done.missing) == (12, 18)
        assert "10 calls in a row failed" in done.given_up["small"]
        assert spent(tmp_path / "answers") == 12 * COST_NUSD
        made.answer = said
        rest = run(tmp_path, made, texts, {"small": ""})
    assert (rest.answered, rest.missing) == (18, 0)
    assert spent(tmp_path / "answers") == 30 * COST_NUSD


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_is_an_amount(tmp_path: Path, limit: float) -> None:
    with provider(said) as made, pytest.raises(ConfigError, match="limit_usd"):
        run(tmp_path, made, ["a"], limit_usd=limit)


def test_a_failed_call_is_a_row_and_is_asked_again(tmp_path: Path) -> None:
    broken = True

    def answer(body: Body) -> Any:
        if broken and body["model"] == "large":
            return failure(400, "bad_thing")
        return said(body)

    with provider(answer) as made:
        first = run(tmp_path, made, ["a"])
        row = kept(tmp_path / "answers")["q0", "large"]
        assert (first.answered, first.failed, first.missing) == (1, 1, 1)
        assert (row.state, row.status, row.answer) == ("failed", 400, None)
        assert row.error is not None
        assert "no: bad_thing" in row.error
        broken = False
        second = run(tmp_path, made, ["a"])
    assert (second.answered, second.missing) == (1, 0)
    assert kept(tmp_path / "answers")["q0", "large"].state == "answered"
    assert made.models.count("small") == 1


def test_a_model_that_always_fails_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    texts = [f"question {n}" for n in range(30)]
    with provider(lambda b: failure(401, "key") if b["model"] == "large" else said(b)) as made:
        done = run(tmp_path, made, texts, concurrency=2)
    assert "10 calls in a row failed" in done.given_up["large"]
    assert made.models.count("small") == 30
    assert 10 <= made.models.count("large") <= 12
    assert done.spent_usd == pytest.approx(30 * COST_NUSD / 1e9)


def test_a_provider_that_is_gone_ends_the_run(tmp_path: Path) -> None:
    with provider(said) as made:
        pass
    done = run(tmp_path, made, ["a"] * 12, {"small": ""}, more="breaker_seconds = 0.001")
    assert done.answered == 0
    assert done.missing == 12
    assert "small" in done.given_up
    assert done.spent_usd == 0.0


def test_a_limit_of_the_provider_is_waited_for(tmp_path: Path) -> None:
    answers = iter([failure(429, "slow", Retry_After="0"), "now"])
    with provider(lambda _: next(answers)) as made:
        done = run(tmp_path, made, ["a"], {"small": ""})
    row = kept(tmp_path / "answers")["q0", "small"]
    assert (done.failed, row.answer, row.attempts) == (0, "now", 2)


def test_concurrency_is_per_provider(tmp_path: Path) -> None:
    with provider(said) as made:
        made.seconds = 0.02
        run(tmp_path, made, [f"q {n}" for n in range(10)], {"small": ""}, concurrency=3)
    assert made.most_at_once == 3


def test_refusals_and_filters_are_answers_that_say_so(tmp_path: Path) -> None:
    def answer(body: Body) -> Any:
        if body["model"] == "large":
            return failure(400, "content_filter")
        return {"content": None, "refusal": "I cannot help with that."}

    with provider(answer) as made:
        done = run(tmp_path, made, ["a"])
    rows = kept(tmp_path / "answers")
    assert done.missing == 0
    small, large = rows["q0", "small"], rows["q0", "large"]
    assert (small.finish_reason, small.answer) == ("refusal", "I cannot help with that.")
    assert (large.finish_reason, large.answer, large.cost_nusd) == ("content_filter", "", 0)


def test_a_request_is_sent_as_it_was_with_its_tools_and_pictures(tmp_path: Path) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "what is it?"}, picture]},
    ]
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    parameters = {"tools": [tool], "temperature": 0.2, "max_tokens": 64, "n": 3}
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    columns = {"messages": [json.dumps(messages)], "parameters": [json.dumps(parameters)]}
    answer = {"content": None, "tool_calls": [call], "finish_reason": "tool_calls"}
    models = {"small": "", "blind": 'abilities = ["tools"]'}
    with provider(lambda _: answer) as made:
        done = run(tmp_path, made, ["what is it?"], models, columns=columns)
    sent = {**parameters, "messages": messages, "model": "small"}
    sent.pop("n")  # one answer is what is scored
    assert made.seen == [sent]
    rows = kept(tmp_path / "answers")
    assert json.loads(rows["q0", "small"].answer or "") == [call["function"]]
    assert rows["q0", "blind"].state == "impossible"
    assert "vision" in (rows["q0", "blind"].error or "")
    assert done.missing == 0


def test_one_model_under_two_names_with_other_parameters(tmp_path: Path) -> None:
    models = {
        "thinker low": 'upstream_model = "thinker"\nset = { reasoning_effort = "low" }',
        "thinker high": 'upstream_model = "thinker"\nset = { reasoning_effort = "high" }',
    }
    with provider(lambda body: body["reasoning_effort"]) as made:
        run(tmp_path, made, ["a"], models)
    rows = kept(tmp_path / "answers")
    assert made.models == ["thinker", "thinker"]
    assert {model: row.answer for (_, model), row in rows.items()} == {
        "thinker low": "low",
        "thinker high": "high",
    }


def test_one_model_under_two_names_with_another_system_prompt(tmp_path: Path) -> None:
    instructions = "Answer in one word. " * 50
    models = {
        "plain": 'upstream_model = "one"',
        "brief": f'upstream_model = "one"\nsystem_prompt = "{instructions}"',
    }
    with provider(lambda body: body["messages"][0]["role"]) as made:
        done = run(tmp_path, made, ["a"], models)
    assert {model: row.answer for (_, model), row in kept(tmp_path / "answers").items()} == {
        "plain": "user",
        "brief": "system",
    }
    sent = next(body for body in made.seen if len(body["messages"]) == 2)
    assert sent["messages"][0] == {"role": "system", "content": instructions}
    plain, brief = done.estimate.models
    assert brief.input_tokens > plain.input_tokens + 100  # it is counted, and so is its bound
    assert brief.most_usd > plain.most_usd


def test_an_answer_in_the_log_is_not_paid_again(tmp_path: Path) -> None:
    columns = {"model": ["large"], "answer": ["logged"], "cost_usd": [0.5], "output_tokens": [7]}
    with provider(said) as made:
        done = run(tmp_path, made, ["a"], columns=columns)
    row = kept(tmp_path / "answers")["q0", "large"]
    assert made.models == ["small"]
    assert (row.state, row.answer, row.cost_nusd) == ("logged", "logged", 500_000_000)
    assert done.spent_usd == pytest.approx(COST_NUSD / 1e9)  # that was paid before


def test_an_answer_in_the_log_with_its_tokens_costs_their_price(tmp_path: Path) -> None:
    columns = {"model": ["large", "large"], "answer": ["logged", "logged"]}
    columns |= {"input_tokens": [30, None], "output_tokens": [7, 7]}  # type: ignore[list-item]
    with provider(said) as made:
        run(tmp_path, made, ["a", "b"], {"large": ""}, columns=columns)
    rows = kept(tmp_path / "answers")
    assert (rows["q0", "large"].state, rows["q1", "large"].state) == ("logged", "answered")
    assert rows["q0", "large"].cost_nusd == 30 * 1000 + 7 * 2000


def test_a_model_of_the_log_under_another_name_counts_only_if_that_is_said(tmp_path: Path) -> None:
    columns = {"answer": ["x", "y", "z"], "cost_usd": [0.5] * 3, "feedback": [1.0] * 3}
    columns["model"] = ["gpt-4o-mini-2024-07-18", "anthropic.claude-3-5-haiku-20241022-v1:0", "b"]
    models = {"openai/gpt-4o-mini": "", "haiku": 'upstream_model = "claude-3.5-haiku"', "c": ""}
    with provider(said) as made:
        dry = run(tmp_path, made, ["a", "b", "c"], models, columns=columns, dry_run=True)
        assert kept(tmp_path / "answers") == {}
        same = {"gpt-4o-mini-2024-07-18": "openai/gpt-4o-mini"}
        done = run(tmp_path, made, ["a", "b", "c"], models, columns=columns, same=same)
        for bad, message in (
            ({"gpt-4o-mini-2024-07-18": "d"}, "d is not in the pool"),
            ({"e": "c"}, "in these queries answered anthropic"),
        ):
            with pytest.raises(ConfigError, match=message):
                run(tmp_path, made, ["a", "b", "c"], models, columns=columns, same=bad)
    assert [(one.answers, one.likely) for one in dry.other_names] == [
        (1, ("openai/gpt-4o-mini",)),
        (1, ("haiku",)),
        (1, ()),
    ]
    assert (dry.estimate.calls, done.answered) == (9, 8)
    assert kept(tmp_path / "answers")["q0", "openai/gpt-4o-mini"].state == "logged"
    with Collection.open(tmp_path / "answers") as collection:  # feedback was there without a model
        assert collection.queries()[0].feedback_model == "openai/gpt-4o-mini"


def test_another_query_under_the_same_id_is_refused(tmp_path: Path) -> None:
    with provider(said) as made:
        run(tmp_path, made, ["a"])
        with pytest.raises(DataError, match="with another text"):
            run(tmp_path, made, ["b"])


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    gateway = write_gateway(tmp_path, "http://127.0.0.1:9/v1", TWO)
    queries = write_queries(tmp_path, ["a"])
    with pytest.raises(ConfigError, match="huge: not in the pool"):
        collect(gateway, queries, tmp_path / "answers", models=["huge"])


def test_a_table_with_nothing_but_queries_will_do(tmp_path: Path) -> None:
    with provider(said) as made:
        gateway = write_gateway(tmp_path, made.url, {"small": ""})
        queries = tmp_path / "mine.csv"
        for lines in (["a", "b", "a"], ["c", "a", "b", "a"]):  # a row was put before the others
            queries.write_text("\n".join(["query", *lines]) + "\n", "utf-8")
            collect(gateway, queries, tmp_path / "answers")
    assert sorted(body["messages"][0]["content"] for body in made.seen) == ["a", "a", "b", "c"]


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no answers in it"):
        Collection.open(tmp_path)
    (tmp_path / "answers.sqlite").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(DataError, match="not a collection"):
        Collection.open(tmp_path)


# the whole command, in a process that can be killed


def started(folder: Path, made: Provider, texts: list[str], *more: str) -> "subprocess.Popen[str]":
    gateway, queries = write_gateway(folder, made.url, TWO), write_queries(folder, texts)
    command = ["collect", str(gateway), str(queries), "--out", str(folder / "answers"), *more]
    return subprocess.Popen(
        [sys.executable, "-m", "equirouter", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def test_killed_in_the_middle_no_answer_is_paid_twice_and_the_money_is_exact(
    tmp_path: Path,
) -> None:
    texts = [f"question {n}" for n in range(20)]
    gate = threading.Event()
    answered: list[str] = []

    async def slow(body: Body) -> str:
        while len(answered) >= 12 and not gate.is_set():
            await asyncio.sleep(0.01)
        answered.append(said(body))
        return said(body)

    with provider(slow) as made:
        with started(tmp_path, made, texts, "--concurrency", "4") as process:
            until(lambda: len(made.seen) == 16)  # 12 answered, 4 on their way
            until(lambda: len(kept(tmp_path / "answers")) == 12)
            process.kill()
        before = kept(tmp_path / "answers")
        on_the_way = 4
        asked_before = len(made.seen)
        gate.set()
        done = run(tmp_path, made, texts)
    bound = done.lost_usd
    assert done.lost == on_the_way
    assert done.missing == 0
    assert len(made.seen) - asked_before == 40 - 12
    rows = kept(tmp_path / "answers")
    assert all(rows[key] == row for key, row in before.items())
    assert done.spent_usd == pytest.approx(40 * COST_NUSD / 1e9 + bound)
    assert bound > on_the_way * COST_NUSD / 1e9


def test_ctrl_c_lets_calls_under_way_end_and_keeps_them(tmp_path: Path) -> None:
    texts = [f"question {n}" for n in range(50)]
    gate = threading.Event()

    async def slow(body: Body) -> str:
        while not gate.is_set():
            await asyncio.sleep(0.01)
        return said(body)

    with provider(slow) as made:
        with started(tmp_path, made, texts, "--concurrency", "3") as process:
            until(lambda: len(made.seen) == 3)
            process.send_signal(signal.SIGINT)
            threading.Timer(0.2, gate.set).start()
            out, err = process.communicate(timeout=20)
        assert process.returncode == 130, err
    assert len(made.seen) == 3
    assert {row.state for row in kept(tmp_path / "answers").values()} == {"answered"}
    assert spent(tmp_path / "answers") == 3 * COST_NUSD
    assert "3 new answers" in out
    assert "stopped: interrupted; the same command goes on" in err


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with provider(said) as made:
        run(tmp_path, made, ["a"])
        with (
            Collection.open(tmp_path / "answers", writes=True),
            pytest.raises(DataError, match="another process is writing here"),
        ):
            run(tmp_path, made, ["a", "b"])
        assert len(made.seen) == 2


def test_the_command_says_the_cost_first_and_json_is_one_document(tmp_path: Path) -> None:
    with provider(said) as made:
        with started(tmp_path, made, ["a"], "--dry-run") as process:
            out, _ = process.communicate(timeout=60)
        assert "at the very most" in out
        assert max(map(len, out.splitlines())) <= 80
        assert made.seen == []
        with started(tmp_path, made, ["a"], "--json", "--same", "large") as process:
            assert "expected LOGGED=POOL" in process.communicate(timeout=60)[1]
        with started(tmp_path, made, ["a"], "--json") as process:
            out, _ = process.communicate(timeout=60)
    document = json.loads(out)
    assert (document["answered"], document["missing"]) == (2, 0)
    assert document["estimate"]["models"][0]["calls"] == 1

"""`route`: one query or a stream of them."""

import json
from pathlib import Path

import pytest

from tests.cli.invoke import invoke, invoke_process

MODELS = {"small", "middle", "large"}
DECISION = {
    *("model", "predicted_cost_usd", "setting", "value", "fits", "fallbacks", "scores"),
    *("predicted_costs_usd", "left_early"),
}


def test_a_query_is_decided_in_words(pipeline: Path) -> None:
    ran = invoke("route", pipeline, "easy task1 query")
    assert (ran.code, ran.err) == (0, "")
    first, second = ran.out.splitlines()
    assert first in MODELS
    assert second.startswith("predicted cost: 0.0")


def test_a_query_is_decided_in_json(pipeline: Path) -> None:
    ran = invoke("route", pipeline, "hard task1 query", "--budget", "1", "--json")
    document = json.loads(ran.out)
    assert document.keys() == DECISION
    assert (document["setting"], document["value"], document["fits"]) == ("budget_usd", 1.0, True)
    best = max(document["scores"].values())
    among_best = [model for model, score in document["scores"].items() if score == best]
    assert document["model"] == min(among_best, key=document["predicted_costs_usd"].__getitem__)
    assert {document["model"], *document["fallbacks"]} == MODELS


def test_a_budget_bounds_the_predicted_cost(pipeline: Path) -> None:
    # the models cost about 0.0001, 0.001 and 0.01 USD: half a cent rules out the dearest
    ran = invoke("route", pipeline, "hard task1 query", "--budget", "0.005", "--json")
    document = json.loads(ran.out)
    assert document["predicted_costs_usd"]["large"] > 0.005
    assert document["model"] != "large"
    assert "large" not in document["fallbacks"]


def test_what_fits_no_budget_goes_to_the_cheapest_and_is_said(pipeline: Path) -> None:
    ran = invoke("route", pipeline, "hard task1 query", "--budget", "1e-9")
    assert ran.code == 0
    assert ran.out.startswith("small  (over budget_usd 1e-09: cheapest)")


def test_what_fits_no_budget_can_be_refused(table: Path, tmp_path: Path) -> None:
    options = ["--encoder", "toy", "--router", "knn", "--quality", "0.3"]
    options += ["--when-nothing-fits", "refuse", "--out", str(tmp_path)]
    assert invoke("train", table, *options).code == 0
    ran = invoke("route", tmp_path, "hard task1 query", "--budget", "1e-9")
    assert ran.out == "no model: nothing fits budget_usd 1e-09\n"
    ran = invoke("route", tmp_path, "hard task1 query", "--budget", "1e-9", "--json")
    assert (json.loads(ran.out)["model"], json.loads(ran.out)["fits"]) == (None, False)


def test_no_limit_is_no_number_in_json(pipeline: Path) -> None:
    ran = invoke("route", pipeline, "query", "--budget", "inf", "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["value"] is None


def test_lambda_and_quality_are_controls(pipeline: Path) -> None:
    cheap = json.loads(invoke("route", pipeline, "hard x", "--lambda", "1e9", "--json").out)
    assert (cheap["model"], cheap["setting"]) == ("small", "lambda")
    default = json.loads(invoke("route", pipeline, "hard x", "--json").out)
    named = json.loads(invoke("route", pipeline, "hard x", "--quality", "0.3", "--json").out)
    assert default == named  # 0.3 is the quality that the pipeline was trained with


def test_a_stream_keeps_order_and_other_fields(pipeline: Path) -> None:
    lines = [{"query": f"easy task1 query {row}", "id": row, "note": None} for row in range(300)]
    stdin = "\ufeff" + "\n\n".join(json.dumps(line) for line in lines) + "\n   \n"
    ran = invoke("route", pipeline, "-", "--budget", "0.005", stdin=stdin.encode("utf-8"))
    assert (ran.code, ran.err) == (0, "")
    answers = [json.loads(line) for line in ran.out.splitlines()]
    assert [answer["id"] for answer in answers] == list(range(300))
    assert all(answer.keys() == {"query", "id", "note", *DECISION} for answer in answers)
    alone = json.loads(
        invoke("route", pipeline, lines[7]["query"], "--budget", "0.005", "--json").out
    )
    assert answers[7]["model"] == alone["model"]
    assert answers[7]["scores"] == pytest.approx(alone["scores"], abs=1e-6)


def test_an_empty_stream_gives_no_decisions(pipeline: Path) -> None:
    assert invoke("route", pipeline, "-", stdin=b"\n")[:2] == (0, "")


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (b'{"query": "a"}\n\n{"query": ""}', "stdin, line 3: the query is empty"),
        (b'{"query": "a"}\n{"query": "\xe9"}', "stdin, line 2: byte 11 is not valid UTF-8"),
        (b"query", "stdin, line 1: not JSON"),
        (b'{"query": "a", "x": NaN}', "stdin, line 1: not JSON: NaN is no JSON; write null"),
        (b"[" * 100_000, "stdin, line 1: not JSON"),
        (b'["a"]', 'stdin, line 1: expected {"query": "..."}'),
        (b'{"query": 3}', 'stdin, line 1: expected {"query": "..."}'),
        (b'{"query": "a", "model": "b"}', "has a field 'model', which the decision would"),
        (b'{"query": "\\ud800"}', "not valid Unicode"),
    ],
)
def test_a_damaged_line_is_named(stdin: bytes, words: str, pipeline: Path) -> None:
    ran = invoke("route", pipeline, "-", stdin=stdin)
    assert ran.code == 2
    assert words in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--budget", "1", "--quality", "0.9"], "budget_usd and quality exclude each other"),
        (["--quality", "0.9", "--lambda", "1"], "quality and lambda exclude each other"),
        (["--quality", "2"], "quality is 2.0: expected a share"),
        (["--lambda", "-1"], "lambda is -1.0: expected a finite number of 0 or more"),
        (["--budget", "much"], "--budget"),
    ],
)
def test_controls_that_make_no_sense_are_refused(
    options: list[str], words: str, pipeline: Path
) -> None:
    ran = invoke("route", pipeline, "query", *options)
    assert ran.code == 2
    assert words in ran.err


def test_lambda_works_with_scores_that_only_rank(ranking_pipeline: Path) -> None:
    dear, cheap = (
        json.loads(invoke("route", ranking_pipeline, "query", "--lambda", value, "--json").out)
        for value in ("0", "1e9")
    )
    assert cheap["model"] == "small"
    best = max(dear["scores"].values())
    assert dear["scores"][dear["model"]] == best
    assert all(0 <= score <= 1 for score in dear["scores"].values())  # performance, not an order


def test_a_process_reads_stdin_and_writes_decisions(pipeline: Path) -> None:
    ran = invoke_process("route", str(pipeline), "-", stdin='{"query": "é", "id": 1}\n'.encode())
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["id"] == 1


def test_a_very_long_query_is_decided(pipeline: Path) -> None:
    ran = invoke("route", pipeline, "word " * 40_000)  # 200,000 characters
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[0] in MODELS

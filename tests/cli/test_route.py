"""`route`: one query or a stream of them."""

import json
from pathlib import Path

import pytest

from tests.cli.invoke import invoke, invoke_process

LEVELS = ("easy", "medium", "hard")
MODELS = {"small", "middle", "large"}
DECISION = {
    *("model", "predicted_cost_usd", "setting", "value", "fits", "fallbacks", "scores"),
    *("predicted_costs_usd", "removed", "confidence", "far"),
}


def test_a_query_is_decided_in_words(pipeline: Path) -> None:
    ran = invoke("route", pipeline, "easy task1 query")
    assert (ran.code, ran.err) == (0, "")
    first, second = ran.out.splitlines()
    assert first in MODELS
    assert second.startswith("predicted cost: 0.0")


def test_a_query_is_decided_in_json(pipeline: Path) -> None:
    ran = invoke("route", pipeline, "hard task1 query", "--predicted-cost", "1", "--json")
    document = json.loads(ran.out)
    assert document.keys() == DECISION
    assert (document["setting"], document["value"], document["fits"]) == ("budget_usd", 1.0, True)
    best = max(document["scores"].values())
    among_best = [model for model, score in document["scores"].items() if score == best]
    assert document["model"] == min(among_best, key=document["predicted_costs_usd"].__getitem__)
    assert {document["model"], *document["fallbacks"]} == MODELS


def test_a_budget_bounds_the_predicted_cost(pipeline: Path) -> None:
    # the models cost about 0.0001, 0.001 and 0.01 USD: half a cent rules out the most expensive
    ran = invoke("route", pipeline, "hard task1 query", "--predicted-cost", "0.005", "--json")
    document = json.loads(ran.out)
    assert document["predicted_costs_usd"]["large"] > 0.005
    assert document["model"] != "large"
    assert "large" not in document["fallbacks"]


def test_the_limit_of_the_predicted_cost_has_another_name_than_the_gateways_budget(
    pipeline: Path,
) -> None:
    helped = " ".join(invoke("route", "--help").out.split())
    assert "--predicted-cost" in helped
    assert "by prediction" in helped
    asked = ["route", pipeline, "hard task1 query", "--json"]
    old, new = (invoke(*asked, name, "0.005").out for name in ("--budget", "--predicted-cost"))
    assert json.loads(old)["model"] == json.loads(new)["model"]


def test_what_fits_no_budget_goes_to_the_cheapest_and_is_said(pipeline: Path) -> None:
    ran = invoke("route", pipeline, "hard task1 query", "--predicted-cost", "1e-9")
    assert ran.code == 0
    assert ran.out.startswith("small  (over budget_usd 1e-09: cheapest)")


def test_what_fits_no_budget_can_be_refused(table: Path, tmp_path: Path) -> None:
    options = ["--encoder", "toy", "--router", "knn", "--quality", "0.3"]
    options += ["--when-nothing-fits", "refuse", "--out", str(tmp_path)]
    assert invoke("train", table, *options).code == 0
    ran = invoke("route", tmp_path, "hard task1 query", "--predicted-cost", "1e-9")
    assert ran.out == "no model: nothing fits budget_usd 1e-09\n"
    ran = invoke("route", tmp_path, "hard task1 query", "--predicted-cost", "1e-9", "--json")
    assert (json.loads(ran.out)["model"], json.loads(ran.out)["fits"]) == (None, False)


def test_no_limit_is_no_number_in_json(pipeline: Path) -> None:
    ran = invoke("route", pipeline, "query", "--predicted-cost", "inf", "--json")
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
    ran = invoke("route", pipeline, "-", "--predicted-cost", "0.005", stdin=stdin.encode("utf-8"))
    assert (ran.code, ran.err) == (0, "")
    answers = [json.loads(line) for line in ran.out.splitlines()]
    assert [answer["id"] for answer in answers] == list(range(300))
    assert all(answer.keys() == {"query", "id", "note", *DECISION} for answer in answers)
    alone = json.loads(
        invoke("route", pipeline, lines[7]["query"], "--predicted-cost", "0.005", "--json").out
    )
    assert answers[7]["model"] == alone["model"]
    assert answers[7]["scores"] == pytest.approx(alone["scores"], abs=1e-6)


def test_constraints_remove_models_and_say_why(known_models: Path, tmp_path: Path) -> None:
    query = "hard task1 query"
    free = json.loads(invoke("route", known_models, query, "--lambda", "0", "--json").out)
    assert free["removed"] == {}
    stated = tmp_path / "more.json"
    stated.write_text(
        '{"middle": {"context_tokens": 9000, "abilities": ["tools"], "regions": ["eu"]}}'
    )
    options = ["--model-facts", stated]
    options += ["--exclude", "small", "--needs", "tools", "--region", "eu,ch", "--lambda", "0"]
    ran = invoke("route", known_models, query, *options, "--context-tokens", "5000", "--json")
    document = json.loads(ran.out)
    assert document["removed"] == {
        "small": "excluded by name; abilities: no tools",
        "large": "context_tokens: 5000 needed, 4096 at most; regions: us, allowed ch, eu",
    }
    assert (document["model"], document["fallbacks"]) == ("middle", [])
    words = invoke("route", known_models, query, *options).out.splitlines()
    assert words[0] == "middle"
    assert words[2:] == [
        "removed: small (excluded by name; abilities: no tools)",
        "removed: large (regions: us, allowed ch, eu)",
    ]


def test_a_constraint_that_cannot_be_checked_removes_and_says_where_to_state_the_fact(
    pipeline: Path,
) -> None:
    for option, fact in (
        (["--region", "eu"], "regions"),
        (["--needs", "tools"], "abilities"),
        (["--context-tokens", "10"], "context_tokens"),
    ):
        reason = f"{fact}: not known, state it in model_facts (--model-facts FILE)"
        ran = invoke("route", pipeline, "a query", *option)
        first, *others = ran.out.splitlines()
        assert first == "no model: constraints removed all of them"
        assert others[-3:] == [
            *(f"removed: {model} ({reason})" for model in ("small", "middle", "large")),
        ]
        stdin = b'{"query": "a query"}\n'
        line = json.loads(invoke("route", pipeline, "-", *option, stdin=stdin).out)
        assert (line["model"], line["removed"]) == (None, dict.fromkeys(MODELS, reason))


def test_facts_are_those_of_models_of_the_pipeline(pipeline: Path, tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text("[largest]\ncontext_tokens = 5\n")
    ran = invoke("route", pipeline, "a query", "--model-facts", tmp_path / "more.toml")
    assert (ran.code, ran.out) == (2, "")
    assert "no model named 'largest'; did you mean 'large'" in ran.err


def test_when_constraints_remove_all_there_is_no_model(known_models: Path) -> None:
    ran = invoke("route", known_models, "x", "--exclude", "small,middle", "--exclude", "large")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "no model: constraints removed all of them")


def test_a_line_has_constraints_of_its_own(known_models: Path) -> None:
    lines: list[dict[str, object]] = [
        {"query": "easy x", "exclude": ["large"]},
        {"query": "easy x", "needs": ["tools"], "region": None},
        {"query": "easy x", "context_tokens": 4097, "exclude": None},
        {"query": "easy x", "region": ["EU"]},
    ]
    stdin = "\n".join(map(json.dumps, lines)).encode()
    ran = invoke("route", known_models, "-", "--exclude", "middle", stdin=stdin)
    answers = [json.loads(line) for line in ran.out.splitlines()]
    assert [answer["removed"].keys() for answer in answers] == [
        {"middle", "large"},
        {"middle", "small"},
        {"middle", "large"},
        {"middle", "large"},
    ]
    assert [answer["model"] for answer in answers] == ["small", "large", "small", "small"]


def test_a_line_has_a_control_of_its_own(pipeline: Path) -> None:
    lines: list[dict[str, object]] = [
        {"query": "hard x"},
        {"query": "hard x", "budget_usd": 0.0005},
        {"query": "hard x", "lambda": 0},
        {"query": "hard x", "quality": 0.3, "budget_usd": None},
    ]
    stdin = "\n".join(map(json.dumps, lines)).encode()
    ran = invoke("route", pipeline, "-", "--budget", "1", stdin=stdin)
    answers = [json.loads(line) for line in ran.out.splitlines()]
    alone = [
        json.loads(invoke("route", pipeline, "hard x", option, value, "--json").out)
        for option, value in (
            ("--budget", "1"),
            ("--budget", "0.0005"),
            ("--lambda", "0"),
            ("--quality", "0.3"),
        )
    ]
    assert [(a["setting"], a["value"], a["model"]) for a in answers] == [
        (a["setting"], a["value"], a["model"]) for a in alone
    ]
    assert answers[0]["model"] != answers[1]["model"]


def test_a_line_of_a_paced_stream_has_no_control_of_its_own(pipeline: Path) -> None:
    stdin = b'{"query": "a"}\n{"query": "a", "quality": 0.3}'
    ran = invoke("route", pipeline, "-", "--spend", "0.003", stdin=stdin)
    assert ran.code == 2
    assert "stdin, line 2: the pacer decides by its spend" in ran.err


def test_a_performance_and_a_confidence_are_controls(pipeline: Path) -> None:
    sure = ["--performance", "0.3", "--confidence", "0.9"]
    low, high, quality = (
        json.loads(invoke("route", pipeline, "hard x", *options, "--json").out)
        for options in (["--performance", "0.3"], sure, ["--quality", "0.3"])
    )
    assert low["setting"] == high["setting"] == "lambda"
    assert high["value"] < low["value"]  # less lambda is more expensive
    assert quality["value"] >= low["value"]  # 0.3 of the strongest's performance is less than 0.3


def test_a_stream_is_paced_to_a_mean_spend_and_a_cap(pipeline: Path) -> None:
    lines = [{"query": f"{level} task1 query {row}"} for row in range(400) for level in LEVELS]
    stdin = "\n".join(map(json.dumps, lines)).encode()
    ran = invoke("route", pipeline, "-", "--spend", "0.003", stdin=stdin)
    answers = [json.loads(line) for line in ran.out.splitlines()]
    assert {answer["setting"] for answer in answers} == {"spend_usd"}
    costs = [answer["predicted_cost_usd"] for answer in answers]
    assert sum(costs) / len(costs) == pytest.approx(0.003, rel=0.05)
    assert "for 1200 answered queries" in ran.err
    capped = invoke("route", pipeline, "-", "--spend", "0.003", "--cap", "1", stdin=stdin)
    costs = [json.loads(line)["predicted_cost_usd"] for line in capped.out.splitlines()]
    assert 0.9 < sum(cost or 0.0 for cost in costs) <= 1.0
    assert costs[-1] is None
    capped = invoke("route", pipeline, "-", "--spend", "0.003", "--cap", "0.2", stdin=stdin)
    costs = [json.loads(line)["predicted_cost_usd"] for line in capped.out.splitlines()]
    # calls cost what is predicted: nothing is held back for them, and nobody is refused before
    assert sum(costs[: costs.index(None)]) > 0.19
    assert invoke("route", pipeline, "-", "--spend", "1", "--quiet", stdin=stdin).err == ""


def test_the_fields_of_a_line_stay_byte_for_byte(pipeline: Path) -> None:
    line = b'{"id": 123456789012345678901234567890, "x": 1.50, "note": "\\ud800", "query":"a"}'
    ran = invoke("route", pipeline, "-", stdin=line)
    assert ran.code == 0, ran.err
    assert ran.out.encode().startswith(line[:-1] + b',"model":')
    answer = json.loads(ran.out)
    alone = json.loads(invoke("route", pipeline, "a", "--json").out)
    assert {name: answer[name] for name in alone} == alone


def test_an_empty_stream_gives_no_decisions(pipeline: Path) -> None:
    assert invoke("route", pipeline, "-", stdin=b"\n")[:2] == (0, "")


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (b'{"query": "a"}\n\n{"query": ""}', "stdin, line 3: the query is empty"),
        (b'{"query": "a"}\n{"query": "\xe9"}', "stdin, line 2: byte 11 is not valid UTF-8"),
        (b"query", "stdin, line 1: not JSON"),
        (b'{"query": "a", "x": NaN}', "stdin, line 1: not JSON: NaN is not JSON; write null"),
        (b"[" * 100_000, "stdin, line 1: not JSON"),
        (b'["a"]', 'stdin, line 1: the line is a list; expected {"query": "..."}'),
        (b"null", "stdin, line 1: the line is null; expected"),
        (b"{}", "stdin, line 1: the object is empty; expected"),
        (b'{"text": "a", "id": 1}', "no query among the fields 'text', 'id'; expected"),
        (b'{"query": "a", "exclude": ["smal"]}', "line 1: exclude: no model named 'smal'; did you"),
        (b'{"query": "a", "exclude": "small"}', "line 1: exclude is 'small'; expected a list"),
        (b'{"query": "a", "needs": ["legs"]}', "line 1: abilities: 'legs' is none; expected"),
        (b'{"query": "a", "context_tokens": 0}', "line 1: context_tokens is 0: expected"),
        (b'{"query": "a", "quality": "high"}', "line 1: quality is 'high'; expected a number, or"),
        (b'{"query": "a", "quality": 2}', "line 1: quality is 2.0: expected a share"),
        (b'{"query": "a", "quality": 1, "lambda": 1}', "line 1: quality and lambda exclude each"),
        (b'{"query": "a", "removed": {}}', "has a field 'removed', which the decision would"),
        (b'{"query": 3}', 'stdin, line 1: query is 3; expected {"query": "..."}'),
        (b'{"query": "a", "model": "b"}', "has a field 'model', which the decision would"),
        (b'{"query": "a"}\n{"query": "\\ud800"}', "stdin, line 2: text 0 is not valid Unicode"),
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
        (
            ["--predicted-cost", "1", "--quality", "0.9"],
            "budget_usd and quality exclude each other",
        ),
        (["--quality", "0.9", "--lambda", "1"], "quality and lambda exclude each other"),
        (["--quality", "2"], "quality is 2.0: expected a share"),
        (["--lambda", "-1"], "lambda is -1.0: expected a finite number of 0 or more"),
        (["--predicted-cost", "much"], "--predicted-cost"),
        (["--budget", "much"], "--budget"),
        (["--spend", "0.01"], "a mean needs a stream"),
        (["--cap", "0.01"], "it goes with --spend"),
        (["--performance", "0"], "performance is 0.0: expected a mean performance above 0"),
        (["--predicted-cost", "1", "--confidence", "0.9"], "budget_usd promises neither"),
        (["--quality", "0.3", "--confidence", "1"], "confidence is 1.0: expected 0.5 to below 1"),
        (["--exclude", "smal"], "exclude: no model named 'smal'; did you mean 'small' or"),
        (["--needs", "legs"], "abilities: 'legs' is none; expected vision, tools, json"),
    ],
)
def test_controls_that_make_no_sense_are_refused(
    options: list[str], words: str, pipeline: Path
) -> None:
    ran = invoke("route", pipeline, "query", *options)
    assert ran.code == 2
    assert words in ran.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--spend", "0"], "spend_usd is 0.0: expected a number above 0"),
        (["--spend", "1", "--cap", "0"], "0.0 USD: expected a number above 0"),
        (["--spend", "1", "--predicted-cost", "1"], "the pacer decides by its spend"),
    ],
)
def test_a_spend_that_makes_no_sense_is_refused(
    options: list[str], words: str, pipeline: Path
) -> None:
    ran = invoke("route", pipeline, "-", *options, stdin=b'{"query": "a"}')
    assert ran.code == 2
    assert words in ran.err


def test_lambda_works_with_scores_that_only_rank(ranking_pipeline: Path) -> None:
    expensive, cheap = (
        json.loads(invoke("route", ranking_pipeline, "query", "--lambda", value, "--json").out)
        for value in ("0", "1e9")
    )
    assert cheap["model"] == "small"
    best = max(expensive["scores"].values())
    assert expensive["scores"][expensive["model"]] == best
    # performance, not an order
    assert all(0 <= score <= 1 for score in expensive["scores"].values())


def test_a_process_reads_stdin_and_writes_decisions(pipeline: Path) -> None:
    ran = invoke_process("route", str(pipeline), "-", stdin='{"query": "é", "id": 1}\n'.encode())
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["id"] == 1


def test_a_very_long_query_is_decided(pipeline: Path) -> None:
    ran = invoke("route", pipeline, "word " * 40_000)  # 200,000 characters
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[0] in MODELS

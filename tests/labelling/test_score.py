"""From answers to an outcomes table."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.data.tables import read_table
from equirouter.errors import ConfigError, DataError
from equirouter.labelling.collecting import collect
from equirouter.labelling.collection_store import Collection
from equirouter.labelling.estimate import CostEstimate
from equirouter.labelling.scoring import estimate_score, score
from tests.labelling.pretend import Body, failure, provider, write_gateway, write_queries

MODELS = {"small": "", "middle": "", "large": "price = { input = 10.0, output = 20.0 }"}
NAN = float("nan")
TEXTS = ["1 + 1", "2 + 2", "3 + 3"]
RIGHT = {"1 + 1": "2", "2 + 2": "4", "3 + 3": "6"}


def answer(body: Body) -> Any:
    text = body["messages"][-1]["content"]
    if "<question>" in text:
        return "9" if "1 + 1" in text else "1"
    if text.startswith("You grade"):
        return "Score: 8" if "It is" in text.partition("<answer>")[2] else "Score: 2"
    if body["model"] == "large":
        return f"It is {RIGHT[text]}"
    if body["model"] == "small" and text == "3 + 3":
        return {"content": "", "finish_reason": "stop"}
    if body["model"] == "middle" and text == "2 + 2":
        return failure(400)
    return "It is 2"


@pytest.fixture
def collected(tmp_path: Path) -> Any:
    with provider(answer) as made:
        collect(
            write_gateway(tmp_path, made.url, MODELS),
            write_queries(tmp_path, TEXTS, task=["a", "a", "b"]),
            tmp_path / "answers",
        )
        made.seen.clear()
        yield tmp_path / "answers", made


def references(folder: Path) -> Path:
    path = folder / "references.csv"
    rows = [f"{text},{right}" for text, right in RIGHT.items()]
    path.write_text("\n".join(["query,reference", *rows]) + "\n", "utf-8")
    return path


def test_a_table_says_what_was_right_what_it_cost_and_who_scored(
    collected: Any, tmp_path: Path
) -> None:
    folder, _ = collected
    out = tmp_path / "mine.parquet"
    scored = score(folder, ["number"], out, references=references(tmp_path))
    table = read_table(out)
    assert table.models == ("large", "middle", "small")
    nan = float("nan")
    np.testing.assert_array_equal(table.performance, [[1, 1, 1], [1, nan, 0], [1, 0, 0]])
    np.testing.assert_allclose(table.cost_usd[0], [4e-4, 4e-5, 4e-5])
    assert table.tasks == ("a", "a", "b")
    assert table.answers is not None
    assert table.answers.to_lists()[2] == ["6", "2", ""]
    assert table.finish_reasons is not None
    assert table.finish_reasons.to_lists()[2] == ["stop", "stop", "empty"]
    assert table.scored_by is not None
    assert table.scored_by.to_lists()[1:] == [
        ["number", None, "number"],
        ["number", "number", "empty"],
    ]
    assert (scored.marks["middle"].failed, scored.marks["small"].empty) == (1, 1)
    assert scored.by == {"number": 7, "empty": 1}


def test_the_first_grader_that_knows_counts(collected: Any) -> None:
    folder, made = collected
    scored = score(folder, ["number", "judge"], references={"q0": "2"}, judge="large")
    table = scored.table
    assert table.performance[0].tolist() == [1, 1, 1]
    assert table.performance[1, 2] == 0.8
    assert np.isnan(table.performance[1, 0])  # large judges no answer of its own
    assert scored.by == {"number": 3, "empty": 1, "judge:large": 2}
    assert scored.unknown == {"judge:large: its own answer": 2}
    assert len(made.seen) == 2  # nobody pays to judge what number has scored
    before = scored.spent_usd
    again = score(folder, ["number", "judge"], references={"q0": "2"}, judge="large")
    assert len(made.seen) == 2  # its grades were kept
    assert again.spent_usd == before


def test_what_a_judge_will_cost_is_said_before_and_asks_nobody(collected: Any) -> None:
    folder, made = collected
    # small judges the two others' five answers, of which two are equal to others
    estimate = estimate_score(folder, ["judge"], judge="small")
    (row,) = estimate.models
    assert made.seen == []
    assert (row.model, row.calls, row.by) == ("small", 4, "prompt")
    # 80 tokens of a verdict at 2 USD per million are 0.00016 USD; at least 32, at most 320
    prompt_usd = row.input_tokens / 1e6
    assert row.usd == pytest.approx(4 * 0.00016 + prompt_usd, rel=1e-6)
    assert row.low_usd < 4 * 0.000064 + prompt_usd
    assert 4 * 0.00064 + prompt_usd < row.high_usd < row.most_usd
    # of free graders before it what they leave is counted
    some = estimate_score(folder, ["number", "judge"], judge="small", references={"q0": "2"})
    assert some.calls == 3
    none = estimate_score(folder, ["number"], references=RIGHT)
    assert (none.calls, none.models) == (0, ())


def test_a_judge_that_has_judged_is_estimated_by_what_that_came_to(tmp_path: Path) -> None:
    texts = [f"{n} + 1" for n in range(30)]
    some = {f"q{n}": "1" for n in range(10, 30)}

    def said(body: Body) -> Any:
        text = body["messages"][-1]["content"]
        return "Score: 8" if text.startswith("You grade") else text

    told: list[CostEstimate] = []
    with provider(said) as made:
        gateway = write_gateway(tmp_path, made.url, {"small": "", "large": ""})
        collect(gateway, write_queries(tmp_path, texts), tmp_path / "answers")
        answers = tmp_path / "answers"
        graders = ["number", "judge"]
        first = score(answers, graders, references=some, judge="large", told=told.append)
        assert first.by["judge:large"] == 10
        score(answers, ["judge"], judge="large", told=told.append)
    assert [(one.calls, one.models[0].by) for one in told] == [(10, "prompt"), (20, "grades")]
    # each of the ten cost 40,000 nano-USD, so each of the twenty will
    assert told[1].models[0].usd == pytest.approx(20 * 40_000 / 1e9)
    assert told[1].models[0].low_usd == told[1].models[0].high_usd == told[1].models[0].usd


def test_a_dry_run_of_the_command_needs_no_key_and_writes_nothing(
    collected: Any, tmp_path: Path
) -> None:
    folder, made = collected
    gateway = write_gateway(tmp_path, made.url, MODELS, 'api_key_env = "NOT_SET_AT_ALL"')
    command = [sys.executable, "-m", "equirouter", "score", str(folder), "--with", "compare"]
    command += ["--judge", "small", "--dry-run", "--config", str(gateway)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert made.seen == []
    # one answer of the middle model against that of the large one, in both orders
    assert done.stdout.splitlines()[1].split()[:2] == ["small", "2"]
    assert "at the very most" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    done = subprocess.run(command[:-3], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--out TABLE" in done.stderr


def test_a_model_that_always_refuses_is_marked_and_scored(tmp_path: Path) -> None:
    def said(body: Body) -> Any:
        refusal = {"content": None, "refusal": "I cannot help with that."}
        return refusal if body["model"] == "shy" else "It is 4"

    with provider(said) as made:
        gateway = write_gateway(tmp_path, made.url, {"small": "", "shy": ""})
        collect(gateway, write_queries(tmp_path, ["2 + 2", "1 + 3"]), tmp_path / "answers")
    scored = score(tmp_path / "answers", ["number"], references={"q0": "4", "q1": "4"})
    assert (scored.marks["shy"].refused, scored.marks["shy"].failed) == (2, 0)
    assert scored.table.models == ("shy", "small")
    assert scored.table.performance.tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_right_answers_in_the_table_of_queries_are_references(tmp_path: Path) -> None:
    with provider(lambda _: "It is 4") as made:
        gateway = write_gateway(tmp_path, made.url, {"small": ""})
        queries = write_queries(tmp_path, ["2 + 2", "1 + 1"], reference=["4", None])
        collect(gateway, queries, tmp_path / "answers")
    scored = score(tmp_path / "answers", ["number"])
    assert scored.table.performance[0, 0] == 1.0
    assert np.isnan(scored.table.performance[1, 0])
    given = score(tmp_path / "answers", ["number"], references={"q0": "5", "q1": "4"})
    assert given.table.performance[:, 0].tolist() == [0.0, 1.0]  # what is given counts before


def test_judging_is_paid_from_the_same_purse(collected: Any) -> None:
    folder, made = collected
    with Collection.open(folder) as collection:
        before = collection.spent_nusd()
    scored = score(folder, ["judge"], judge="small", limit_usd=(before + 1) / 1e9)
    assert made.seen == []
    assert scored.stopped is not None
    assert scored.table.models == ("small",)  # whose empty answer needs no judge
    rest = score(folder, ["judge"], judge="small")
    # five answers of the two others, of which two are equal; 20 tokens in and 10 out at 1 and 2 USD
    # per million are 40,000 nano-USD
    assert len(made.seen) == 4
    assert rest.spent_usd == pytest.approx((before + 4 * 40_000) / 1e9)


def test_a_judge_whose_calls_fail_is_given_up_and_said(tmp_path: Path) -> None:
    texts = [f"{n} + 1" for n in range(30)]

    def said(body: Body) -> Any:
        text = body["messages"][-1]["content"]
        return failure(401, "key") if text.startswith("You grade") else f"{body['model']}: {text}"

    with provider(said) as made:
        gateway = write_gateway(tmp_path, made.url, {"small": "", "large": ""})
        collect(gateway, write_queries(tmp_path, texts), tmp_path / "answers")
        made.seen.clear()
        with pytest.raises(DataError, match="large was given up: 10 calls in a row failed"):
            score(tmp_path / "answers", ["judge"], judge="large", concurrency=1)
        assert len(made.seen) == 10
        rest = score(
            tmp_path / "answers", ["number", "judge"], judge="large", references={"q0": "1"}
        )
    assert "no: key" in rest.given_up["large"]
    assert rest.constant == {"number": 1.0}  # both say 1, the last number of the question


def test_a_judge_that_is_interrupted_keeps_what_it_said(collected: Any) -> None:
    folder, made = collected

    def interrupt(_stage: str, done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(folder, ["judge"], judge="small", concurrency=1, progress=interrupt)
    score(folder, ["judge"], judge="small", concurrency=1)
    prompts = [body["messages"][0]["content"] for body in made.seen]
    assert len(prompts) == len(set(prompts)) == 4  # none was asked twice


def test_a_model_that_nobody_scored_is_said(collected: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "equirouter", "score", str(collected[0]), "--with", "judge"]
    command += ["--judge", "large", "--out", str(tmp_path / "t.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "3 queries, 2 complete, of which the means are; scored by" in done.stdout
    assert "warning: large is not in the table, as none of its answers has a score" in done.stderr
    assert f"next: equirouter diagnose {tmp_path / 't.csv'}" in done.stderr


def test_without_labels_answers_are_compared(collected: Any) -> None:
    folder, _ = collected
    scored = score(folder, ["agreement"], answers_by="number")
    assert scored.table.performance[0].min() > 0.5
    assert set(scored.by) == {"agreement", "empty"}


@pytest.mark.parametrize(
    ("graders", "options", "error", "said"),
    [
        (["exact"], {}, DataError, "no query has a right answer"),
        (["feedback"], {}, DataError, "no answer has feedback"),
        ([], {}, ConfigError, "no grader is named"),
        (["judge"], {"judge": "huge"}, ConfigError, "huge: not in the pool"),
        (["exact"], {"references": {"other": "1"}}, DataError, "no reference, of 1, belongs"),
        (["agreement"], {}, ConfigError, "--answers-by NAME"),
        (["number", "judge"], {}, ConfigError, "--judge MODEL"),
    ],
)
def test_what_cannot_be_scored_is_said(
    collected: Any, graders: list[str], options: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        score(collected[0], graders, **options)


def test_the_command(collected: Any, tmp_path: Path) -> None:
    folder, _ = collected
    command = [sys.executable, "-m", "equirouter", "score", str(folder), "--out"]
    command += [str(tmp_path / "t.csv"), "--with", "number,judge", "--judge", "large"]
    command += ["--references", str(references(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (
        "3 queries, 2 complete, of which the means are; scored by empty (1), number (7)"
        in done.stdout
    )
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert document["models"]["small"]["empty"] == 1
    assert document["n_complete"] == 2


def test_what_checks_see_is_a_signal_of_the_table(collected: Any, tmp_path: Path) -> None:
    pytest.importorskip("sqlglot")
    folder, _ = collected
    right = tmp_path / "ends_in_2.py"
    right.write_text("import json, sys; sys.exit(not json.load(sys.stdin)['text'].endswith('2'))")
    command = f"command:run='{sys.executable}' '{right}'"
    out = tmp_path / "mine.parquet"
    given = str(references(tmp_path))
    score(folder, ["number"], out, references=given, checks=["json", command, "sql"])
    table = read_table(out)
    assert sorted(table.signals) == ["command", "json", "sql"]
    by_model = dict(zip(table.models, table.signals["command"].T.tolist(), strict=True))
    assert by_model["large"] == [1.0, 0.0, 0.0]  # It is 2, 4, 6
    assert np.isnan(by_model["middle"][1])  # that call failed
    assert np.nanmax(table.signals["json"]) == np.nanmax(table.signals["sql"]) == 0.0
    for checks, message in ((["judge:model=x"], "x: not in the pool"), (["json", "json"], "twice")):
        with pytest.raises(ConfigError, match=message):
            score(folder, ["number"], references=given, checks=checks)


def test_a_judge_as_a_check_is_asked_once_for_equal_answers_and_never_of_its_own(
    collected: Any, tmp_path: Path
) -> None:
    folder, provider = collected
    given = str(references(tmp_path))
    check = "judge:model=large"
    provider.usage = lambda body: (20 if "1 + 1" in body["messages"][0]["content"] else 40, 10)

    def table_of(checks: list[str], signal: str = "judge") -> dict[str, list[float]]:
        table = score(folder, ["number"], references=given, checks=checks).table
        return dict(zip(table.models, table.signals[signal].T.tolist(), strict=True))

    by_model = table_of([check])
    np.testing.assert_array_equal(by_model["large"], [NAN, NAN, NAN])
    # right are 2, of 1 + 1; the small one's last answer is empty, the middle one's second failed
    np.testing.assert_array_equal(by_model["small"], [0.9, 0.1, NAN])
    np.testing.assert_array_equal(by_model["middle"], [0.9, NAN, 0.1])
    assert len(provider.seen) == 3  # both say 2 to the first
    assert table_of([check])["small"][:2] == [0.9, 0.1]
    # 20 or 40 tokens in and 10 out at 10 and 20 USD a million, each as if it were asked alone
    costs = table_of([check], "judge.cost_usd")
    np.testing.assert_allclose(costs["small"], [4e-4, 6e-4, NAN])
    np.testing.assert_allclose(costs["middle"], [4e-4, NAN, 6e-4])
    assert len(provider.seen) == 3  # which are kept

"""Questions in batches: cheaper, durable before they are awaited, and paid once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from equirouter.errors import ConfigError
from equirouter.labelling.collecting import Collected, collect
from equirouter.labelling.collection_store import Collection
from tests.labelling.pretend import Provider, failure, provider, until, write_gateway, write_queries
from tests.labelling.pretend_batches import PretendBatches
from tests.labelling.test_collect import COST_NUSD, TWO, kept, said, spent

HALF = "batch_price_factor = 0.5\n"
HALF_NUSD = COST_NUSD // 2
SMALL = {"small": "max_output_tokens = 100"}


@contextmanager
def offering(batches: PretendBatches) -> Iterator[Provider]:
    with provider(said, batches.routes()) as made:
        yield made


def run(
    folder: Path, made: Provider, texts: list[str], models: Any = TWO, **options: Any
) -> Collected:
    gateway = write_gateway(folder, made.url, models, HALF)
    queries = write_queries(folder, texts)
    return collect(gateway, queries, folder / "answers", **{"batch": True, **options})


def test_a_batch_per_model_answers_at_the_stated_share_of_the_price(tmp_path: Path) -> None:
    batches = PretendBatches(said)
    with offering(batches) as made:
        dry = run(tmp_path, made, ["a", "b"], dry_run=True)
        whole = run(tmp_path, made, ["a", "b"], dry_run=True, batch=False)
        assert batches.files == {}
        done = run(tmp_path, made, ["a", "b"])
        again = run(tmp_path, made, ["a", "b"])
    assert made.seen == []  # no call but in batches
    assert len(batches.made) == 2
    first = batches.sent()[0]
    assert (first["method"], first["url"]) == ("POST", "/v1/chat/completions")
    assert first["body"]["messages"] == [{"role": "user", "content": "a"}]
    assert (done.answered, done.missing, done.waiting, again.answered) == (4, 0, 0, 0)
    row = kept(tmp_path / "answers")["q1", "large"]
    assert (row.answer, row.cost_nusd, row.input_tokens) == ("large on b", HALF_NUSD, 20)
    assert row.latency_seconds is None  # of a batch it says nothing
    assert spent(tmp_path / "answers") == 4 * HALF_NUSD
    for name in ("usd", "low_usd", "high_usd", "most_usd"):
        assert dry.estimate.total(name) == pytest.approx(whole.estimate.total(name) / 2, rel=1e-3)


def test_failed_calls_of_a_batch_are_rows_and_are_asked_again(tmp_path: Path) -> None:
    broken = True

    def answer(body: Any) -> Any:
        text = body["messages"][0]["content"]
        if text == "filtered":
            return failure(400, "content_filter")
        return failure(500, "bad_day") if text == "b" and broken else said(body)

    batches = PretendBatches(answer)
    with offering(batches) as made:
        first = run(tmp_path, made, ["a", "b", "filtered"], SMALL)
        row = kept(tmp_path / "answers")["q1", "small"]
        broken = False
        second = run(tmp_path, made, ["a", "b", "filtered"], SMALL)
    assert (first.answered, first.failed, first.missing) == (2, 1, 1)
    assert (row.state, row.status, row.cost_nusd) == ("failed", 500, 0)
    assert "no: bad_day" in (row.error or "")
    assert (second.answered, second.missing) == (1, 0)
    assert [line["body"]["messages"][0]["content"] for line in batches.sent(1)] == ["b"]
    rows = kept(tmp_path / "answers")
    assert rows["q2", "small"].finish_reason == "content_filter"
    assert spent(tmp_path / "answers") == 2 * HALF_NUSD


def test_a_batch_that_expires_is_asked_again_only_where_no_answer_came(tmp_path: Path) -> None:
    cut = {"c", "d"}
    batches = PretendBatches(
        lambda body: None if body["messages"][0]["content"] in cut else said(body), "expired"
    )
    with offering(batches) as made:
        first = run(tmp_path, made, list("abcd"), SMALL)
        cut.clear()
        batches.status = "completed"
        second = run(tmp_path, made, list("abcd"), SMALL)
    assert (first.answered, first.failed, first.missing) == (2, 2, 2)
    assert (second.answered, second.missing) == (2, 0)
    assert [line["body"]["messages"][0]["content"] for line in batches.sent(1)] == ["c", "d"]
    assert spent(tmp_path / "answers") == 4 * HALF_NUSD


def test_a_batch_that_fails_as_a_whole_costs_nothing_and_says_why(tmp_path: Path) -> None:
    batches = PretendBatches(said, "failed", errors=[{"message": "too many tokens are queued"}])
    with offering(batches) as made:
        done = run(tmp_path, made, ["a", "b"], SMALL)
    assert (done.answered, done.failed, done.missing, done.spent_usd) == (0, 2, 2, 0.0)
    assert kept(tmp_path / "answers")["q0", "small"].error == "too many tokens are queued"


def test_batches_are_as_large_as_the_money_that_is_left_allows(tmp_path: Path) -> None:
    batches = PretendBatches(said)
    with offering(batches) as made:
        # at half a call is bounded by some 25 tokens in and 100 out, 0.000113 USD; it is 0.00002
        done = run(tmp_path, made, list("abcdef"), SMALL, limit_usd=0.0004)
        assert done.missing == 0
        sizes = [len(batches.sent(place)) for place in range(len(batches.made))]
        assert sizes == [3, 3]  # after the first three 0.00034 are left
        stopped = run(tmp_path, made, list("abcdefg"), SMALL, limit_usd=0.00013)
    assert "of the limit are left" in (stopped.stopped or "")
    assert stopped.missing == 1
    assert len(batches.made) == 2
    assert spent(tmp_path / "answers") == 6 * HALF_NUSD


def test_models_of_a_limit_get_the_same_queries(tmp_path: Path) -> None:
    batches = PretendBatches(said)
    models = dict.fromkeys(("small", "large"), "max_output_tokens = 100")
    with offering(batches) as made:
        run(tmp_path, made, list("abcd"), models, limit_usd=0.0005)
    assert [len(batches.sent(place)) for place in range(2)] == [2, 2]


def test_models_without_batches_are_asked_one_call_at_a_time(tmp_path: Path) -> None:
    batches = PretendBatches(said)
    with offering(batches) as made:
        other = f'{HALF}[upstreams.other]\nbase_url = "{made.url}"\n'
        gateway = write_gateway(tmp_path, made.url, TWO, other)
        gateway.write_text(
            gateway.read_text("utf-8") + '[models.third]\nupstream = "other"\n'
            "price = { input = 1.0, output = 2.0 }\n",
            "utf-8",
        )
        done = collect(gateway, write_queries(tmp_path, ["a"]), tmp_path / "answers", batch=True)
    assert done.missing == 0
    assert made.models == ["third"]
    assert spent(tmp_path / "answers") == 2 * HALF_NUSD + COST_NUSD


def test_no_provider_with_batches_is_said(tmp_path: Path) -> None:
    gateway = write_gateway(tmp_path, "http://127.0.0.1:9/v1", TWO)
    with pytest.raises(ConfigError, match=r"batch_price_factor = 0\.5"):
        collect(gateway, write_queries(tmp_path, ["a"]), tmp_path / "answers", batch=True)


@pytest.mark.parametrize("path", ["/files", "/batches"])
def test_a_provider_that_refuses_batches_is_given_up_and_nothing_is_paid(
    tmp_path: Path, path: str
) -> None:
    batches = PretendBatches(said, refused={path: 404})
    with offering(batches) as made:
        done = run(tmp_path, made, ["a", "b"], SMALL)
    assert f"{path}: status 404" in done.given_up["small"]
    assert (done.failed, done.waiting, done.spent_usd) == (2, 0, 0.0)
    assert kept(tmp_path / "answers")["q0", "small"].status == 404


def test_a_batch_whose_beginning_was_not_heard_is_found_and_not_begun_twice(
    tmp_path: Path,
) -> None:
    batches = PretendBatches(said, lose_reply=True)
    with offering(batches) as made:
        done = run(tmp_path, made, ["a", "b"], SMALL)
    assert (done.answered, len(batches.made)) == (2, 1)
    assert spent(tmp_path / "answers") == 2 * HALF_NUSD


def test_a_provider_that_dies_leaves_the_batch_to_a_later_run(tmp_path: Path) -> None:
    batches = PretendBatches(said, refused={"/batches/batch_0": 401})
    with offering(batches) as made:
        first = run(tmp_path, made, ["a", "b"], SMALL)
        bound = spent(tmp_path / "answers")
        assert (first.waiting, first.missing) == (2, 0)
        assert "left as it is" in first.given_up["small"]
        assert bound > 4 * HALF_NUSD  # it counts as all that it may cost
        batches.refused.clear()
        second = run(tmp_path, made, ["a", "b"], SMALL)
    assert (second.answered, second.waiting, len(batches.made)) == (2, 0, 1)
    assert spent(tmp_path / "answers") == 2 * HALF_NUSD


def test_without_the_option_what_is_over_is_taken_in_and_the_rest_is_not_asked(
    tmp_path: Path,
) -> None:
    batches = PretendBatches(said, refused={"/batches/batch_0": 401})
    with offering(batches) as made:
        run(tmp_path, made, ["a"], SMALL)
        batches.refused.clear()
        batches.status = "in_progress"
        waits = run(tmp_path, made, ["a", "b"], SMALL, batch=False)
        assert (waits.waiting, waits.answered, made.models) == (1, 1, ["small"])
        batches.status = "completed"
        done = run(tmp_path, made, ["a", "b"], SMALL, batch=False)
    assert (done.waiting, done.answered, done.missing) == (0, 1, 0)
    assert len(made.seen) == 1
    assert spent(tmp_path / "answers") == HALF_NUSD + COST_NUSD


def test_an_answer_that_cannot_be_read_counts_as_the_most_that_it_may_have_cost(
    tmp_path: Path,
) -> None:
    batches = PretendBatches(lambda _: (200, {"choices": []}, {}))
    with offering(batches) as made:
        done = run(tmp_path, made, ["a"], SMALL)
    assert (done.failed, done.missing) == (1, 1)
    # at half: 100 tokens of output at 2 USD per million, and the prompt
    assert spent(tmp_path / "answers") > 100_000


def test_answers_that_are_gone_are_waited_for_a_week_and_then_asked_again(tmp_path: Path) -> None:
    batches = PretendBatches(said, refused={"/files/file-1/content": 404})
    with offering(batches) as made:
        first = run(tmp_path, made, ["a"], SMALL)
        with Collection.open(tmp_path / "answers", writes=True) as collection:
            collection.base.execute("UPDATE batches SET began = began - 8 * 86400")
        second = run(tmp_path, made, ["a"], SMALL)
        row = kept(tmp_path / "answers")["q0", "small"]
        bound = spent(tmp_path / "answers")
        third = run(tmp_path, made, ["a"], SMALL)
    assert [one.waiting for one in (first, second, third)] == [1, 0, 0]
    assert second.missing == 1
    assert "the batch is gone" in (row.error or "")
    assert bound > 100_000
    assert third.answered == 1
    assert spent(tmp_path / "answers") == bound + HALF_NUSD


# the whole command, in a process that can be killed


def started(folder: Path, made: Provider, texts: list[str]) -> "subprocess.Popen[str]":
    gateway = write_gateway(folder, made.url, SMALL, HALF)
    command = ["collect", str(gateway), str(write_queries(folder, texts)), "--batch"]
    return subprocess.Popen(
        [sys.executable, "-m", "equirouter", *command, "--out", str(folder / "answers")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def test_killed_while_it_waits_the_next_run_takes_the_same_batch(tmp_path: Path) -> None:
    batches = PretendBatches(said, "in_progress")
    with offering(batches) as made:
        with started(tmp_path, made, ["a", "b"]) as process:
            until(lambda: batches.polls > 2)
            process.kill()
        batches.status = "completed"
        done = run(tmp_path, made, ["a", "b", "c"], SMALL)
    assert (done.lost, done.answered, done.missing) == (0, 3, 0)
    assert [len(batches.sent(place)) for place in range(2)] == [2, 1]
    assert spent(tmp_path / "answers") == 3 * HALF_NUSD


def test_killed_before_it_heard_of_its_batch_the_next_run_finds_it(tmp_path: Path) -> None:
    batches = PretendBatches(said, hold_reply=True)
    batches.made = [{"id": f"batch_old{n}", "input_file_id": "-"} for n in range(3)]
    with offering(batches) as made:
        with started(tmp_path, made, ["a", "b"]) as process:
            until(lambda: len(batches.made) == 4)
            process.kill()
        batches.hold_reply = False
        batches.made += [{"id": f"batch_new{n}", "input_file_id": "-"} for n in range(3)]
        done = run(tmp_path, made, ["a", "b"], SMALL)
    assert (done.answered, done.missing, len(batches.made)) == (2, 0, 7)
    assert spent(tmp_path / "answers") == 2 * HALF_NUSD


def test_killed_before_its_batch_was_begun_the_next_run_begins_it(tmp_path: Path) -> None:
    batches = PretendBatches(said, refused={"/batches": 503})
    with offering(batches) as made:
        with started(tmp_path, made, ["a", "b"]) as process:
            until(lambda: len(batches.files) == 1)
            process.kill()
        batches.refused.clear()
        done = run(tmp_path, made, ["a", "b"], SMALL)
    assert (done.answered, done.missing, len(batches.made)) == (2, 0, 1)
    assert spent(tmp_path / "answers") == 2 * HALF_NUSD


def test_ctrl_c_leaves_the_batch_with_the_provider_and_says_so(tmp_path: Path) -> None:
    batches = PretendBatches(said, "in_progress")
    with offering(batches) as made, started(tmp_path, made, ["a", "b"]) as process:
        until(lambda: batches.polls > 0)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "batches  at 0.5 of the price, within a day: small" in out
    assert "2 answers to come in batches" in err

"""What a fitted pipeline says of its operating point, against its own decisions."""

import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equirouter.arrays import Float32Array
from equirouter.cost.fit import fit_costs
from equirouter.data.split import split_outcomes
from equirouter.evaluation.pipeline_metrics import KeptQuality
from equirouter.evaluation.train import share_of_strongest, train
from equirouter.pipeline import Ask, AskModel, Serve
from equirouter.policy.replies import Reply
from equirouter.training import protocol
from equirouter.training.protocol import Part
from tests.toys import HashingEncoder, make_answered_table, make_table


def part(performance: list[list[float]], cost_usd: list[list[float]]) -> Part:
    known = np.array(performance)
    nothing = np.zeros((len(known), 1), dtype=np.float32)
    return Part(
        np.arange(len(known)),
        nothing,
        nothing,
        nothing,
        known,
        np.array(cost_usd),
        known * 0,
        known * 0,
    )


def test_choices_are_held_against_the_strongest_by_hand() -> None:
    seen = part([[0, 1], [1, 1], [1, 1], [1, 0]], [[1, 10], [1, 10], [1, 10], [1, 10]])
    # answered 1, 1, 1, 0 where the strongest has 1, 1, 1, 0; then the first model for the last
    same = share_of_strongest(np.array([1, 1, 1, 1]), seen, 1)
    assert same == KeptQuality(n_queries=4, performance=1.0, interval=(1.0, 1.0), cost=1.0)
    assert "n_effective" not in same.model_dump()  # of a log only
    found = share_of_strongest(np.array([0, 1, 0, 1]), seen, 1)
    # 0, 1, 1, 0 of 1, 1, 1, 0: two thirds; differences from 2/3 of it -2/3, 1/3, 1/3, 0
    assert found.performance == pytest.approx(2 / 3)
    assert found.cost == pytest.approx(22 / 40)
    half = 1.96 * np.std([-2 / 3, 1 / 3, 1 / 3, 0], ddof=1) / 2 / 0.75
    assert found.interval is not None
    np.testing.assert_allclose(found.interval, (2 / 3 - half, 2 / 3 + half))


def test_what_cannot_be_compared_is_none() -> None:
    found = share_of_strongest(np.array([0, 0]), part([[1, 0], [1, 0]], [[0, 0], [0, 0]]), 1)
    assert found == KeptQuality(n_queries=2, performance=None, interval=None, cost=None)
    assert share_of_strongest(np.array([0]), part([[1, 1]], [[1, 2]]), 1).interval is None


class Watched(HashingEncoder):
    """Knows whether anybody still has the first embeddings that it made."""

    first: weakref.ref[Float32Array] | None = None

    def embed(self, *given: Any) -> Float32Array:
        made = super().embed(*given)
        self.first = self.first or weakref.ref(made)
        return made


def test_the_last_fit_has_one_copy_of_the_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, are_whole = Watched(), []

    def spy(*arrays: Any, **rest: Any) -> Any:
        are_whole.append(encoder.first is not None and encoder.first() is not None)
        return fit_costs(*arrays, **rest)

    monkeypatch.setattr(protocol, "fit_costs", spy)
    train(make_table(), encoder, router="knn:k=5", quality=0.3)
    assert are_whole == [True, False]


@pytest.mark.parametrize(
    "options", [{"router": "knn:k=5"}, {"router": "knn:k=5", "policy": "budget"}]
)
def test_it_is_what_the_pipeline_decides_on_the_test_part(options: dict[str, Any]) -> None:
    table = make_table(300)
    made = train(table, HashingEncoder(), quality=0.6, refit=False, **options)
    rows = split_outcomes(table).test
    rows = rows[table.is_complete[rows]]
    decisions = made.decide_many([table.texts[row] for row in rows])
    columns = [table.models.index(decision.model or "") for decision in decisions]
    strongest = table.models.index("large")
    answered = table.performance[rows, columns].mean() / table.performance[rows, strongest].mean()
    paid = table.cost_usd[rows, columns].mean() / table.cost_usd[rows, strongest].mean()
    kept = made.provenance.test_metrics["at_quality"]
    assert kept["n_queries"] == len(rows)
    assert kept["performance"] == pytest.approx(answered)
    assert kept["cost"] == pytest.approx(paid)
    assert kept["interval"][0] < answered < kept["interval"][1]


def test_what_is_returned_has_learned_from_every_row_and_was_measured_before() -> None:
    table = make_table(300)
    whole = train(table, HashingEncoder(), quality=0.6, resamples=0)
    kept_out = train(table, HashingEncoder(), quality=0.6, resamples=0, refit=False)
    assert whole.provenance.split["refit"]
    assert not kept_out.provenance.split["refit"]
    assert whole.provenance.test_metrics == kept_out.provenance.test_metrics
    n_complete = int(table.is_complete.sum())
    split = split_outcomes(table)
    learned = np.concatenate([split.train, split.validation])
    assert whole.calibration.n_queries == n_complete
    assert kept_out.calibration.n_queries == int(table.is_complete[learned].sum())
    # a router that needs a validation part keeps it, and learns from the test part
    knn = train(table, HashingEncoder(), router="knn:k=5", quality=0.6, resamples=0)
    assert knn.calibration.n_queries == int(table.is_complete[split.validation].sum())
    assert len(knn.stage.router.state()["performance_"]) == len(split.train) + len(split.test)


def test_models_as_strong_as_the_strongest_are_named_from_what_is_not_tested() -> None:
    table = make_table(n=200)
    performance = table.performance.copy()
    rows = split_outcomes(table).learnable
    performance[rows, 1] = performance[rows, 2]  # equal where it is learned, and the cheaper
    performance[rows[0], 1] = 1.0 - performance[rows[0], 1]
    equal = replace(table, performance=performance)
    pipeline = train(equal, HashingEncoder(), router="knn:k=5", quality=0.5, resamples=0)
    found = pipeline.provenance.test_metrics["as_strong"]
    assert set(found) == {"middle", "large"}
    assert found[0] == pipeline.baseline.strongest
    notes = " ".join(pipeline.provenance.data["notes"])
    assert f"{found[0]} is the strongest model" in notes
    assert f"within noise equal to {found[1]}" in notes


def test_where_answers_agree_plans_are_kept_and_measured() -> None:
    table = make_answered_table()
    made = train(table, HashingEncoder(), refit=False, resamples=0)
    assert made.plans is not None
    assert made.plans.extractor is None
    assert any("--answers-by" in note for note in made.provenance.data["notes"])
    found = made.provenance.test_metrics["plans"]
    rows = {row["quality"]: row for row in found["out_of_fold"]}
    assert rows[0.98]["taken"] != "routing"
    cheaper = [rows[0.98][name] for name in ("rule", "learned") if rows[0.98][name] is not None]
    assert min(cheaper) < 0.65 < 0.8 < (rows[0.98]["routing"] or 1.0)
    kept = found["at_quality"]
    assert kept["performance"] > 0.96
    assert kept["cost"] < 0.7
    assert 1.5 < kept["calls"] <= 3
    assert kept["rounds"] == pytest.approx(1 + kept["escalated"])
    # what it is, by asking the pipeline about every test query
    test = split_outcomes(table).test
    asks = [Ask(table.texts[row], may_check=True) for row in test]
    assert table.answers is not None
    answers = table.answers[test].to_lists()
    served, cost = [], 0.0
    for place, (row, decision) in enumerate(
        zip(test.tolist(), made.decide_each(asks), strict=True)
    ):
        model = str(decision.model)
        asked: tuple[str, ...] = (model,)
        if decision.plan is not None:
            asked = decision.plan.first
            step: Serve | AskModel | None = None
            while not isinstance(step, Serve):
                asked = asked if step is None else (*asked, step.model)
                of = {name: Reply(answers[place][table.models.index(name)]) for name in asked}
                step = decision.plan.then(asked, of)
            model = step.model
        served.append(table.performance[row, table.models.index(model)])
        cost += sum(table.cost_usd[row, table.models.index(name)] for name in asked)
    assert np.mean(served) / table.performance[test, 2].mean() == pytest.approx(kept["performance"])
    assert cost / table.cost_usd[test, 2].sum() == pytest.approx(kept["cost"])


def test_without_answers_there_are_no_plans() -> None:
    made = train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.2, resamples=0)
    assert made.plans is None
    assert made.provenance.test_metrics["plans"] is None

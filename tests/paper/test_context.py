"""What experiments share is computed once, and is what a run of its own would give."""

from dataclasses import replace

import numpy as np
import pytest

from equirouter.errors import DataError
from equirouter.paper.context import Context
from equirouter.training.fitted import fit_router
from equirouter.training.protocol import scores_of
from tests.paper.conftest import ROUTERS
from tests.toys import HashingEncoder, LearningEncoder, make_table


def test_the_benchmark_is_run_once(context: Context) -> None:
    results = context.bench()
    assert list(results.routers) == list(ROUTERS)
    assert context.bench() is results


def test_scores_are_the_same_from_the_benchmark_and_without_it(context: Context) -> None:
    context.bench()
    alone = replace(context)  # nothing computed yet
    for spec in ("knn:k=5", "mlp:epochs=2", "oracle"):
        np.testing.assert_array_equal(context.scores(spec, 43), alone.scores(spec, 43))


def test_the_parts_are_those_of_the_seed(context: Context) -> None:
    for seed in context.seeds:
        prepared = context.prepared(seed)
        assert set(prepared.test.rows) <= set(context.split(seed).test)
        router = fit_router("knn:k=5", prepared, seed=seed).router
        expected = scores_of(router, prepared.test, None)
        np.testing.assert_array_equal(context.scores("knn:k=5", seed), expected)


def test_an_encoder_that_learns_learns_again_on_each_split() -> None:
    encoder = LearningEncoder()
    context = Context(make_table(), encoder, ("knn:k=5",), n_seeds=2, resamples=0)
    for seed in context.seeds:
        split = context.split(seed)
        context.embeddings(split)
        assert encoder.seen == tuple(context.outcomes.texts[row] for row in split.train)
    context.bench()
    alone = replace(context)
    np.testing.assert_array_equal(context.scores("knn:k=5", 43), alone.scores("knn:k=5", 43))


def test_given_results_are_taken(context: Context) -> None:
    results = context.bench()
    again = replace(context, results={"in-domain": results})
    assert again.bench() is results


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcomes": make_table(seed=1)}, "dataset.fingerprint"),
        ({"policy": "utility"}, "protocol.policy"),
        ({"n_seeds": 1}, "protocol.seeds"),
        ({"encoder": HashingEncoder(salt="x")}, "protocol.encoder_settings"),
        ({"routers": ("linear",)}, "no router 'linear'"),
    ],
)
def test_results_of_another_run_are_refused(
    context: Context, change: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        replace(context, results={"in-domain": context.bench()}, **change)  # type: ignore[arg-type]

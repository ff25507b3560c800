"""A fitted router or a saved pipeline on a table: choices at many operating points, measured."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split, split_outcomes
from equirouter.encoders.cache import EmbeddingCache, encode_table
from equirouter.errors import PipelineError
from equirouter.evaluation.curve import Measurement, measure
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.pipeline.stage import Seen
from equirouter.policy import DecisionPath, Policy
from equirouter.progress import Progress, silent
from equirouter.training.fitted import FittedRouter
from equirouter.training.protocol import Part, Prepared, stream

N_POINTS = 100


@dataclass(frozen=True, eq=False)
class RouterSweep:
    """The choices of a router on n queries at T operating points, and their measurement.

    points (T,): budgets in USD, or lambdas, from the least to the largest spending. chosen (n, T):
    columns. measurement: its metrics and curve.
    """

    points: FloatArray
    chosen: IntArray
    measurement: Measurement

    def share_of(self, model: int) -> FloatArray:
        """The share of the calls that go to a model (a column) at every operating point, (T,)."""
        return np.asarray(self.measurement.curve.call_share[:, model])

    def metric(self, name: str) -> float:
        """A metric that always has a value: nauc, peak_score, peak_cost_usd, rci, rci_mean."""
        value = self.measurement.value(name)
        assert value is not None  # noqa: S101  # as above
        return value


def measure_part(
    part: Part,
    chosen: IntArray,
    *,
    strongest: int,
    seed: int,
    resamples: int,
    path: DecisionPath | None = None,
    spent_usd: FloatArray | None = None,
) -> Measurement:
    """Measure choices (n, T) on a part of a table; strongest, path, spent_usd: as measure has them.

    One seed gives everything that is measured on a part the same resamples: draws are paired.
    """
    if part.log is not None:  # of a log no query has a best model: no collapse, and no path of it
        spent_usd, path = np.take_along_axis(part.cost_usd, chosen, axis=1), None
    return measure(
        chosen,
        part.performance,
        part.cost_usd,
        strongest=strongest,
        spent_usd=spent_usd,
        path=path,
        resamples=resamples,
        rng=stream(seed, "bootstrap"),
    )


def sweep_router(
    fitted: FittedRouter,
    prepared: Prepared,
    rule: Policy,
    *,
    seed: int,
    cost_usd: FloatArray | None = None,
    n_points: int = N_POINTS,
    along_path: bool = False,
    resamples: int = 0,
) -> RouterSweep:
    """Measure a fitted router on the test part at n_points operating points of a policy.

    cost_usd (n, K): decide by these costs and not by the predicted ones. along_path: metrics of the
    curve are read from every change of a decision, where the policy knows them.
    """
    part = prepared.test
    scores = fitted.scores(part, rule)
    costs = part.prices(fitted.router, rule) if cost_usd is None else cost_usd
    points = rule.points(scores, costs, n_points)
    chosen = rule.replay(scores, costs, points, part.cost_usd)
    measured = measure_part(
        part,
        chosen,
        strongest=prepared.strongest,
        seed=seed,
        resamples=resamples,
        path=rule.path(scores, costs) if along_path else None,
    )
    return RouterSweep(points, chosen, measured)


def for_pipeline(outcomes: Outcomes, pipeline: RoutingPipeline) -> Outcomes:
    """The table with its models in the pipeline's order.

    Raises PipelineError, naming models, when the two do not have the same ones.
    """
    missing = [model for model in pipeline.models if model not in outcomes.models]
    extra = [model for model in outcomes.models if model not in pipeline.models]
    if missing or extra:
        notes = [
            f"{what} {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
            for what, names in (
                ("the pipeline also has", missing),
                ("the data set also has", extra),
            )
            if names
        ]
        raise PipelineError(
            f"the pipeline was trained on other models than those of {outcomes.name}: "
            f"{' and '.join(notes)}; give the data set that it was trained on, or choose the same "
            "models of this one (--models, --exclude-models)"
        )
    return outcomes.with_models(pipeline.models)


def own_split(outcomes: Outcomes, pipeline: RoutingPipeline) -> Split | None:
    """The split that the pipeline was trained on, if this is the table it was trained on.

    None for another table, so that nothing can be said about which queries it has seen.
    """
    made = pipeline.provenance.split
    if pipeline.provenance.data.get("fingerprint") != outcomes.fingerprint:
        return None
    first, second, third = made["ratios"]
    again = split_outcomes(
        outcomes, kind=made["kind"], seed=made["seed"], ratios=(first, second, third)
    )
    return again if again.hash == made["hash"] else None


@dataclass(frozen=True, eq=False)
class ServedQueries:
    """Queries as the encoder of a pipeline reads them, ready to be decided under any policy.

    embeddings (n, d): by that encoder.
    """

    pipeline: RoutingPipeline
    embeddings: Float32Array

    @classmethod
    def read(
        cls,
        pipeline: RoutingPipeline,
        outcomes: Outcomes,
        *,
        embeddings: Float32Array | None = None,
        cache: EmbeddingCache | None = None,
        progress: Progress = silent,
    ) -> "ServedQueries":
        """All queries of a table, encoded with the pipeline's encoder, through a cache.

        embeddings: (N, d) by that encoder, when they were made before.
        """
        if embeddings is None:
            embeddings = encode_table(
                pipeline.stage.encoder, outcomes, cache=cache, progress=progress
            )
        return cls(pipeline, embeddings)

    @cached_property
    def _seen(self) -> Seen:
        return self.pipeline.stage.look_at(self.embeddings)

    @property
    def predicted_cost_usd(self) -> FloatArray:
        """(n, K): what the pipeline takes each call to cost."""
        return self._seen.costs.astype(np.float64)

    @property
    def strongest(self) -> int:
        """The column of the model that the pipeline's quality is a share of."""
        return self.pipeline.models.index(self.pipeline.baseline.strongest)

    def choose(self, rule: Policy) -> IntArray:
        """The pipeline's choice (n,) under a policy; of far queries as it has it (OutOfDomain)."""
        return self.pipeline.walk.columns(self._seen, rule, first_only=True)[:, 0]

    def sweep(self, rule: Policy, part: Part, *, seed: int, resamples: int = 0) -> RouterSweep:
        """Measure the pipeline on the outcomes of a part at every operating point of a policy."""
        seen = self._seen
        points = rule.points(seen.scores_for(rule.needs), seen.prices_for(rule.priced_by), N_POINTS)
        chosen = np.stack([self.choose(rule.at(point)) for point in points.tolist()], axis=1)
        measured = measure_part(
            part, chosen, strongest=self.strongest, seed=seed, resamples=resamples
        )
        return RouterSweep(points, chosen, measured)

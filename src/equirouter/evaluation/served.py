"""A saved pipeline on a data set: its own decisions, beside which routers can be measured."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split, split_outcomes
from equirouter.encoders.cache import EmbeddingCache, encode_cached
from equirouter.errors import PipelineError
from equirouter.evaluation.curve import measure
from equirouter.evaluation.sweeps import N_POINTS, RouterSweep
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.pipeline.stage import Seen, Stage
from equirouter.policy import Policy
from equirouter.progress import Progress, silent
from equirouter.training.protocol import stream

__all__ = ["ServedQueries", "for_pipeline", "own_split"]


def for_pipeline(outcomes: Outcomes, pipeline: RoutingPipeline) -> Outcomes:
    """The table with its models in the pipeline's order.

    Raises PipelineError, naming models, when the two do not have the same ones.
    """
    missing = [model for model in pipeline.models if model not in outcomes.models]
    extra = [model for model in outcomes.models if model not in pipeline.models]
    if missing or extra:
        said = [
            f"{what} {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
            for what, names in (
                ("the pipeline also has", missing),
                ("the data set also has", extra),
            )
            if names
        ]
        raise PipelineError(
            f"the pipeline was trained on other models than those of {outcomes.name}: "
            f"{' and '.join(said)}; give the data set that it was trained on, or one of the same "
            "models"
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
            embeddings = _encoded(pipeline.stage, outcomes, cache, progress)
        return cls(pipeline, embeddings)

    def take(self, rows: IntArray) -> "ServedQueries":
        """These queries only."""
        return ServedQueries(self.pipeline, self.embeddings[rows])

    @cached_property
    def _seen(self) -> Seen:
        return self.pipeline.stage.look_at(self.embeddings)

    @property
    def predicted_cost_usd(self) -> FloatArray:
        """(n, K): what the pipeline takes each call to cost."""
        return self._seen.costs.astype(np.float64)

    def choose(self, rule: Policy) -> IntArray:
        """The pipeline's choice (n,) under a policy; of far queries as it has it (OutOfDomain)."""
        return self.pipeline.walk.columns(self._seen, rule, first_only=True)[:, 0]

    def sweep(
        self,
        rule: Policy,
        performance: FloatArray,
        cost_usd: FloatArray,
        *,
        seed: int,
        resamples: int = 0,
    ) -> RouterSweep:
        """Measure the pipeline on true outcomes (n, K) at every operating point of a policy."""
        points = rule.points(self._seen.scores_for(rule.needs), self._seen.costs, N_POINTS)
        chosen = np.stack([self.choose(rule.at(point)) for point in points.tolist()], axis=1)
        rng = stream(seed, "bootstrap")
        measured = measure(chosen, performance, cost_usd, resamples=resamples, rng=rng)
        return RouterSweep(points, chosen, measured)


def _encoded(
    stage: Stage, outcomes: Outcomes, cache: EmbeddingCache | None, progress: Progress
) -> Float32Array:
    """All queries as the stage's encoder reads them: an encoder of text reads the texts alone."""
    images = outcomes.images if stage.encoder.accepts_images else None
    return encode_cached(stage.encoder, outcomes.texts, images, cache=cache, progress=progress)

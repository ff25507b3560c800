"""A saved pipeline on a data set: its own decisions, beside which routers can be measured."""

from dataclasses import dataclass

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split, split_outcomes
from equirouter.encoders.cache import EmbeddingCache, encode_cached
from equirouter.errors import PipelineError
from equirouter.evaluation.curve import measure
from equirouter.evaluation.sweeps import N_POINTS, RouterSweep
from equirouter.pipeline.deciding import strongest_first
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.pipeline.stage import Stage
from equirouter.policy import BudgetPolicy, InZone, Policy
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
    """Queries as the stages of a pipeline read them, ready to be decided under any policy.

    embeddings (n, d): of the full stage's encoder. early (n, d'): of the cheap stage's encoder,
    None where the pipeline has none.
    """

    pipeline: RoutingPipeline
    embeddings: Float32Array
    early: Float32Array | None

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
        """All queries of a table, encoded with the pipeline's encoders, through a cache.

        embeddings: (N, d) by the full stage's encoder, when they were made before.
        """
        if embeddings is None:
            embeddings = _encoded(pipeline.stage, outcomes, cache, progress)
        early = None
        if pipeline.early_exit is not None:
            early = _encoded(pipeline.early_exit.stage, outcomes, cache, progress)
        return cls(pipeline, embeddings, early)

    def take(self, rows: IntArray) -> "ServedQueries":
        """The same with these queries only."""
        early = None if self.early is None else self.early[rows]
        return ServedQueries(self.pipeline, self.embeddings[rows], early)

    @property
    def predicted_cost_usd(self) -> FloatArray:
        """(n, K): what the full stage takes each call to cost."""
        _, costs = self.pipeline.stage.numbers(self.embeddings, BudgetPolicy())
        return costs.astype(np.float64)

    def choose(self, rule: Policy) -> IntArray:
        """The pipeline's choice (n,) under a policy; the cheap stage decides where it is sure."""
        chosen = self._chosen(self.pipeline.stage, self.embeddings, rule)
        exit_ = self.pipeline.early_exit
        threshold = None if exit_ is None else exit_.thresholds.get(rule.setting)
        if exit_ is None or threshold is None or self.early is None:
            return chosen
        is_sure = rule.margin(*exit_.stage.numbers(self.early, rule)) >= threshold
        return np.where(is_sure, self._chosen(exit_.stage, self.early, rule), chosen)

    def _chosen(self, stage: Stage, embeddings: Float32Array, rule: Policy) -> IntArray:
        """The choices of one stage; of far queries as the pipeline has it (OutOfDomain)."""
        scores, costs = stage.numbers(embeddings, rule)
        chosen = rule.choose(scores, costs)
        if self.pipeline.by_strength is not None and stage.familiar is not None:
            far = stage.familiar.far(embeddings)
            ranked = rule.rank(scores[far], costs[far])
            chosen[far] = strongest_first(ranked, self.pipeline.by_strength)[:, 0]
        return chosen

    def sweep(
        self,
        rule: Policy,
        performance: FloatArray,
        cost_usd: FloatArray,
        *,
        seed: int,
        resamples: int = 0,
    ) -> RouterSweep:
        """Measure the pipeline on true outcomes (n, K) at every operating point of a policy.

        Where the pipeline has an indifference zone for the policy, the policy has it here too.
        """
        if self.pipeline.zones is not None:
            rule = InZone(rule, self.pipeline.zones[rule.setting])
        scores, costs = self.pipeline.stage.numbers(self.embeddings, rule)
        points = rule.points(scores, costs, N_POINTS)
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

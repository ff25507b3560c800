"""A router, and a stage of a pipeline, fitted on one split; its choices on the parts held out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.cost.fit import FittedCosts
from equirouter.cost.predictor import Tokens
from equirouter.encoders.base import Encoder
from equirouter.errors import DataError, EquiRouterError, FitError
from equirouter.pipeline.parts import ValidationRecord, kept_rows
from equirouter.pipeline.scorer import Scorer
from equirouter.pipeline.stage import FAR_SHARE, Familiarity, Stage
from equirouter.policy import (
    PROBES,
    Baseline,
    Calibration,
    Certainty,
    Policy,
    Probe,
    ShareCurve,
    UtilityPolicy,
    calibrate,
    fit_certainty,
    share_curve,
)
from equirouter.policy.base import POLICIES_ASKED_FOR
from equirouter.registry import POLICIES
from equirouter.routers import make_router
from equirouter.routers.base import DescriptionRouter, LeaveOneOutRouter, Router, Validation
from equirouter.routers.neighbours import lloyd
from equirouter.routers.scale import LogisticScale, fit_scale
from equirouter.training.protocol import Part, Prepared, scores_of, stream

N_POINTS = 100

CENTRES = 64
MOST_QUERIES = 20_000
"""Training queries that the centres are found from: an even sample of more."""


@dataclass(frozen=True, eq=False)
class FittedStage:
    """A stage, its router, and the validation queries as if they were new.

    costs: the cost model and what it says of prices. held_out (V, K): estimates of performance on
    the queries that the router is calibrated on, see cross_fitted.
    """

    stage: Stage
    router: "FittedRouter"
    costs: FittedCosts
    held_out: FloatArray

    @property
    def validation(self) -> Part:
        """The queries that the router is calibrated on."""
        return self.router.validation

    def choices(
        self, rule: Policy, points: FloatArray | None = None
    ) -> tuple[IntArray, FloatArray]:
        """The choices (V, T) on validation queries at operating points (T,), and these.

        points: None for those of a sweep.
        """
        scores = self.router.raw_scores if rule.needs == "ranking" else self.held_out
        prices = self.validation.prices(self.router.router, rule)
        if points is None:
            points = rule.points(scores, prices, N_POINTS)
        return rule.sweep(scores, prices, points), points


def fit_stage(
    prepared: Prepared, encoder: Encoder, router: str, *, seed: int, device: str
) -> FittedStage:
    """Fit a router, given as make_router takes it, and what goes with it, on a prepared split.

    encoder: it made the embeddings. seed: of the split.
    """
    fitted = fit_router(router, prepared, seed=seed, device=device)
    held_out = cross_fitted(fitted, seed)
    train, seen = prepared.train.embeddings, prepared.validation.embeddings
    stage = Stage(
        encoder=encoder,
        router=fitted.router,
        router_name=router.partition(":")[0],
        cost_model=prepared.cost_model,
        scale=fitted.scale,
        scorer=Scorer.of(fitted.router, prepared.cost_model),
        certainty=certainty_of(held_out, fitted.validation),
        familiar=fit_familiarity(train, seen, stream(seed, "familiar")),
        collapse=prepared.collapse,
    )
    return FittedStage(stage, fitted, prepared.costs, held_out)


def certainty_of(held_out: FloatArray, validation: Part) -> Certainty | None:
    """How sure a stage's choices are, learned along lambda; None from a log.

    held_out (V, K): estimates of performance on the validation part, see cross_fitted. Whether
    another model was better than the chosen one is only known where all have answered.
    """
    if validation.log is not None:
        return None
    rule, costs = UtilityPolicy(), validation.predicted_cost_usd
    chosen = rule.sweep(held_out, costs, rule.points(held_out, costs, N_POINTS))
    return fit_certainty(held_out, chosen, validation.performance)


def fit_familiarity(
    training: Float32Array, validation: Float32Array, rng: np.random.Generator
) -> Familiarity:
    """From embeddings of the training part (n, d), and of the validation part for the threshold."""
    step = -(-len(training) // MOST_QUERIES)
    familiarity = Familiarity(lloyd(training[::step], CENTRES, rng), np.inf)
    return Familiarity(
        familiarity.centres, float(np.quantile(familiarity.distance(validation), 1 - FAR_SHARE))
    )


FOLDS = 5


@dataclass(frozen=True, eq=False)
class FittedRouter:
    """A router that has learned, and the queries that its scores are calibrated on.

    validation: the validation part; or, of a router that tells its scores of a training query
    without that query, training and validation part. raw_scores (V, K): of these, as the router
    gives them for new queries.
    """

    router: Router
    validation: Part
    raw_scores: FloatArray
    fit_seconds: float

    @cached_property
    def scale(self) -> LogisticScale | None:
        """The curves that make scores calibrated estimates of performance.

        None for an anchor, whose scores are taken as they are, an order to follow.
        """
        if self.router.is_anchor:
            return None
        return fit_scale(self.raw_scores, self.validation.outcomes[0], centred=self.only_rank)

    @property
    def only_rank(self) -> bool:
        """Whether the scores say nothing about the level of performance."""
        return self.router.scores_are == "ranking"

    def scores(self, part: Part, rule: Policy) -> FloatArray:
        """Scores (n, K) of a part, calibrated where the policy needs estimates of performance."""
        return scores_of(self.router, part, None if rule.needs == "ranking" else self.scale)


def fit_router(router: str, prepared: Prepared, *, seed: int, device: str = "auto") -> FittedRouter:
    """Fit a router on a split; `bench` and `train` both fit with this.

    router: a spec as make_router takes it. A LeaveOneOutRouter learns from training and validation
    part, and so does an anchor, whose scores are not calibrated; any other from the training part.
    The same seed and spec give the same router, bit for bit.
    """
    made = make_router(router)
    if hasattr(made, "device"):
        made.device = device
    rng = stream(seed, router)
    start = perf_counter()
    if isinstance(made, LeaveOneOutRouter):
        return _fit_on_both(made, prepared, rng, start)
    train, held_out = prepared.train, prepared.validation
    if made.is_anchor:  # it learns nothing but means
        train = prepared.learnable
        outcomes = (train.inputs(made), train.performance, train.cost_usd)
    else:
        outcomes = (train.inputs(made), *train.outcomes)
    validation = Validation(held_out.inputs(made), *held_out.outcomes)
    if isinstance(made, DescriptionRouter):
        texts = prepared.descriptions
        made.fit(*outcomes, descriptions=texts, validation=validation, rng=rng)
    else:
        made.fit(*outcomes, validation=validation, rng=rng)
    seconds = perf_counter() - start
    return FittedRouter(made, held_out, scores_of(made, held_out, None), seconds)


def _fit_on_both(
    router: LeaveOneOutRouter, prepared: Prepared, rng: np.random.Generator, start: float
) -> FittedRouter:
    part = prepared.learnable
    router.fit(part.embeddings, *part.outcomes, tasks=part.tasks, rng=rng)
    seconds = perf_counter() - start
    if router.held_out is None:
        raise FitError(f"{type(router).__name__} has no held_out scores after fit")
    measured = np.flatnonzero(np.isfinite(part.performance + part.cost_usd).all(axis=1))
    scores = router.held_out[measured]
    return FittedRouter(router, part.take(measured), scores, seconds)


def cross_fitted(fitted: FittedRouter, seed: int) -> FloatArray:
    """Calibrated estimates (V, K) of the queries, none from a query's own outcome.

    Each fifth of the queries is calibrated on the other four, so that operating points chosen on
    these estimates do not profit from what the calibration learned by heart. Fewer than ten queries
    are calibrated as a whole.
    """
    scores, performance = fitted.raw_scores, fitted.validation.outcomes[0]
    if len(scores) < 2 * FOLDS:
        return fit_scale(scores, performance, centred=fitted.only_rank).apply(scores)
    fold = stream(seed, "calibration").permutation(len(scores)) % FOLDS
    estimates = np.empty_like(scores)
    for number in range(FOLDS):
        out = fold == number
        scale = fit_scale(scores[~out], performance[~out], centred=fitted.only_rank)
        estimates[out] = scale.apply(scores[out])
    return estimates


def calibrated(
    fitted: FittedStage, policy: str, models: Sequence[str], strongest: int
) -> tuple[Calibration, Baseline, tuple[str, ...]]:
    """The operating points of a policy, what the pipeline does now, and notes on it.

    policy: the registered name of the one that a quality moves along. strongest: a column.
    Raises DataError where no share of the strongest model can be promised.
    """
    calibration = _calibration(fitted, POLICIES.load(policy)(), strongest)
    baseline, notes = _baseline(fitted, policy, models, strongest)
    return calibration, baseline, (*fitted.costs.notes, *notes)


def record_of(fitted: FittedStage, tokens: Tokens | None) -> ValidationRecord:
    """The validation queries that the pipeline keeps for later calibrations.

    tokens: of all queries of the table, (N, K) each, where they are known.
    """
    part = fitted.validation
    kept = kept_rows(*part.performance.shape)
    rows = part.rows[kept]
    return ValidationRecord(
        vectors=part.embeddings[kept].astype(np.float16),
        scores=fitted.router.raw_scores[kept].astype(np.float32),
        amounts=part.predicted_amounts[kept],
        performance=part.performance[kept],
        cost_usd=part.cost_usd[kept],
        tokens=None
        if tokens is None or part.log is not None  # estimated costs are not of these tokens
        else (tokens[0][rows], tokens[1][rows]),
        estimated=np.zeros(part.performance.shape[1], dtype=bool),
        log=None if part.log is None else part.log[kept],
    )


def _calibration(fitted: FittedStage, rule: Policy, strongest: int) -> Calibration:
    """Every operating point on the validation part, as shares of the strongest model."""
    part = fitted.validation
    performance, cost_usd = (
        float(table[:, strongest].mean()) for table in (part.performance, part.cost_usd)
    )
    if performance <= 0:
        raise DataError(
            f"the strongest model has a mean performance of {performance:g} on the "
            f"{len(part.rows)} validation queries, so no share of it can be promised; more rows "
            "are needed, or a scale on which higher is better and 0 is the least"
        )
    if cost_usd <= 0:
        raise DataError(
            f"the calls of the strongest model cost nothing on the {len(part.rows)} validation "
            "queries, so no other model can save money at a share of its performance; give what "
            "its calls cost in cost_usd, or leave it out"
        )
    chosen, points = fitted.choices(rule)
    return calibrate(
        chosen,
        points,
        part.performance,
        part.cost_usd,
        strongest=strongest,
        setting=rule.setting,
        log=part.log,
    )


def _baseline(
    fitted: FittedStage, policy: str, models: Sequence[str], strongest: int
) -> tuple[Baseline, tuple[str, ...]]:
    """Call shares of the new pipeline at every setting that a call may name, and notes."""
    shares: dict[str, ShareCurve] = {}
    for name in dict.fromkeys((*POLICIES_ASKED_FOR, policy)):
        rule: Policy = POLICIES.load(name)()
        chosen, points = fitted.choices(rule)
        shares[rule.setting] = share_curve(chosen, points, strongest)
    probes, notes = _probes(fitted.stage)
    n_queries = len(fitted.validation.rows)
    return Baseline(models[strongest], n_queries, shares, probes), notes


def _probes(stage: Stage) -> tuple[tuple[Probe, ...], tuple[str, ...]]:
    """Scores and costs of PROBES; none, and a note, where the encoder cannot be asked now."""
    try:
        seen = stage.look(PROBES)
    except EquiRouterError as error:
        return (), (f"kept without probes, as the encoder could not be asked: {error}",)
    rows = zip(PROBES, seen.scores.tolist(), seen.costs.tolist(), strict=True)
    return tuple(Probe(query, tuple(scores), tuple(cost)) for query, scores, cost in rows), ()

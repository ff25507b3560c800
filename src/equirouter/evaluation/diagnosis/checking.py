"""Would comparing the answers of two cheap models pay on a table: pairs, costs, gains."""

import re

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.data.outcomes import Outcomes
from equirouter.evaluation.bootstrap import interval, resample_counts, weighted_means
from equirouter.evaluation.diagnosis.contents import CheckFinding, CostsSaved, PairFinding
from equirouter.evaluation.plan_figures import QUALITIES, auc, auc_beyond, compared
from equirouter.policy.plan import Replayed
from equirouter.policy.plans import Columns
from equirouter.training.fitted import fit_router
from equirouter.training.plan_choice import Candidates, made_plans
from equirouter.training.plan_fit import LabelledQueries, cheap_pairs, labelled_by
from equirouter.training.protocol import Prepared, stream

ROUTER = "factors"
"""Whose scores are there to be added to: `train` takes it, and it is fitted in a second."""

_NO_FAMILY = frozenset({"meta", "the", "chat", "open", "openai", "google", "anthropic"})


def check_finding(
    outcomes: Outcomes, prepared: Prepared, *, seed: int, resamples: int
) -> CheckFinding | None:
    """Finding on checks, from the training and validation part, each query as if it were new.

    resamples: of the queries, for intervals. None where the table has no answers.
    """
    if outcomes.answers is None:
        return None
    labelled = labelled_by(fit_router(ROUTER, prepared, seed=seed), outcomes, seed)
    strongest = prepared.strongest
    plans, candidates, notes = made_plans(labelled, outcomes.answers_by, strongest, seed)
    usual = candidates.calibration(candidates.routed, strongest)
    draws = _saved_draws(candidates, strongest, resamples, seed)
    return CheckFinding(
        n_queries=len(labelled.scores),
        pairs=tuple(
            _pair(labelled, pair, strongest, outcomes.models) for pair in cheap_pairs(labelled)[1]
        ),
        costs=tuple(
            CostsSaved(**dict(row), saved=None if draw is None else interval(draw))
            for row, draw in zip(compared(candidates, plans, usual, strongest), draws, strict=True)
        ),
        notes=notes,
    )


def family_of(model: str) -> str:
    """The first word of a model's name that is no maker's: gpt, claude, llama, gemini, qwen."""
    words = re.findall(r"[a-z]+", model.rpartition("/")[2].lower())
    return next((word for word in words if word not in _NO_FAMILY), model)


def _pair(
    labelled: LabelledQueries, pair: Columns, strongest: int, models: tuple[str, ...]
) -> PairFinding:
    """Knowledge in the agreement of two models, of the one that is right more often."""
    performance, cost = labelled.performance, labelled.cost_usd.mean(axis=0)
    better = max(pair, key=lambda column: float(performance[:, column].mean()))
    right = performance[:, better] > (performance.min() + performance.max()) / 2
    score = labelled.scores[:, better]
    agree = labelled.replies.equal(*pair)
    agreement = np.nan_to_num(agree, nan=0.5)  # not known: between the two
    agreed = agree == 1.0
    families = {family_of(models[column]) for column in pair}
    return PairFinding(
        models=(models[pair[0]], models[pair[1]]),
        family=families.pop() if len(families) == 1 else None,
        relative_cost=float(cost[list(pair)].sum() / cost[strongest])
        if cost[strongest] > 0
        else None,
        agreed=float(agreed.mean()),
        performance_agreed=_mean(performance[agreed, better]),
        strongest_agreed=_mean(performance[agreed, strongest]),
        router_auc=auc(score, right),
        agreement_auc=auc(agreement, right),
        beyond_router_auc=auc_beyond(agreement, right, score),
    )


def _mean(values: FloatArray) -> float | None:
    return float(values.mean()) if len(values) else None


def _saved_draws(
    candidates: Candidates, strongest: int, resamples: int, seed: int
) -> list[FloatArray | None]:
    """Of each quality the cost of routing minus that of plans (R,), shares of the strongest's."""
    if not resamples:
        return [None] * len(QUALITIES)
    labelled = candidates.labelled
    best = labelled.performance[:, [strongest]], labelled.cost_usd[:, [strongest]]
    rng = stream(seed, "bootstrap")
    counts = np.concatenate(list(resample_counts(len(best[0]), resamples, rng)))
    top, most = (weighted_means(counts, column) for column in best)

    def costs(made: Replayed, quality: float) -> FloatArray:
        got, paid = (weighted_means(counts, a) for a in (candidates.got(made), made.cost_usd))
        share = np.where(got >= quality * top, paid / np.where(most > 0, most, 1.0), 1.0)
        return np.asarray(np.minimum(share.min(axis=1), 1.0))

    mixed = candidates.mixed[0]
    return [costs(candidates.routed, q) - costs(mixed, q) for q in QUALITIES]

"""What do two cheap answers, compared, save? The figures in docs/benchmarks/plans.md.

    python benchmarks/study_plans.py OUTCOMES ANSWERS [--seeds 8] [--pools five,all,...]

OUTCOMES: a table; ANSWERS: a parquet file of query_id, model and answer, null where a response has
none. Per seed a split 3:1:6, the router `factors` on minilm, and plans fitted on training and
validation part. A cost is that of the cheapest of 100 prices whose mean performance on the test
part is the quality times that of always calling the strongest model of training and validation
part, all calls of a plan added up, as a share of what that model costs; always calling it is one
more point. So prices are read from the test curve, for routing and for plans alike. Plans are those
that `train` keeps: half of their points are those of routing, half the prices at which the rule or
learned plans gained out of fold. `asked` instead finds price and way on queries of the training and
validation part that nothing had learned from: what it then gets on the test part.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pages import record

from equirouter.answers import NO_ANSWER
from equirouter.arrays import Float32Array, FloatArray
from equirouter.data import read_table
from equirouter.data.cells import TextCells
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import split_outcomes
from equirouter.encoders import EmbeddingCache, make_encoder
from equirouter.encoders.cache import encode_cached
from equirouter.evaluation.plan_runs import with_routing
from equirouter.policy import UtilityPolicy
from equirouter.policy.plan import Replayed
from equirouter.policy.pool_plans import PoolPlans
from equirouter.policy.replies import Replies
from equirouter.training.fitted import fit_router
from equirouter.training.plan_choice import Candidates, made_plans
from equirouter.training.plan_fit import LabelledQueries, best_rule, labelled_by
from equirouter.training.protocol import Part, prepare

N_POINTS = 100
LEVELS = (1.0, 0.99, 0.98, 0.95, 0.9)
FIRST_SEED = 42
SONNET = "claude-3-5-sonnet-20241022"
MINI, FLASH, HAIKU = "gpt-4o-mini-2024-07-18", "gemini-1.5-flash", "claude-3-5-haiku-20241022"
POOLS: Mapping[str, tuple[str, ...]] = {
    "five": (MINI, FLASH, HAIKU, "Meta-Llama-3.1-70B-Instruct", SONNET),
    "similar prices": (HAIKU, "Mistral-Large-2", "gemini-1.5-pro", SONNET, "gpt-4o-2024-08-06"),
    "two models": (MINI, SONNET),
    "one family": ("gpt-3.5-turbo-0125", MINI, "gpt-4o-2024-05-13"),
    "weak": ("Meta-Llama-3.1-8B-Instruct", "gemma-2-9b-it", "claude-3-haiku-20240307", SONNET),
    "all": (),
}


def with_answers(outcomes: Outcomes, path: Path) -> Outcomes:
    """The table of the models without a gap, with the answers of the file."""
    columns = pq.read_table(path, columns=["query_id", "model", "answer"]).to_pydict()
    rows = {name: row for row, name in enumerate(outcomes.query_ids)}
    models = {name: column for column, name in enumerate(outcomes.models)}
    cells: list[list[str | None]] = [[None] * len(models) for _ in rows]
    for query, model, answer in zip(*columns.values(), strict=True):
        if query in rows and model in models:
            cells[rows[query]][models[model]] = NO_ANSWER if answer is None else answer
    gaps = np.isnan(outcomes.performance).sum(axis=0).tolist()
    complete = [model for model, n in zip(outcomes.models, gaps, strict=True) if not n]
    return replace(outcomes, answers=TextCells.of(cells)).with_models(complete)


def curve(made: Replayed, part: Part, strongest: int) -> tuple[FloatArray, FloatArray]:
    """Performance and cost (T,) as shares of the strongest model's."""
    performance = part.performance[np.arange(len(part.rows))[:, None], made.served].mean(axis=0)
    best, most = part.performance[:, strongest].mean(), part.cost_usd[:, strongest].mean()
    return performance / best, made.cost_usd.mean(axis=0) / most


def cheapest(performance: FloatArray, cost: FloatArray) -> tuple[list[float], list[int]]:
    """The least cost at each level, 1 where none is below it, and its point (-1 for none)."""
    costs, points = [], []
    for level in LEVELS:
        allowed = np.where((performance >= level - 1e-12) & (cost < 1.0), cost, np.inf)
        point = int(allowed.argmin())
        reached = np.isfinite(allowed[point])
        costs.append(float(allowed[point]) if reached else 1.0)
        points.append(point if reached else -1)
    return costs, points


@dataclass(frozen=True, eq=False)
class Split:
    """One split: its test part, what the router says of it, and what train would keep."""

    test: Part
    scores: FloatArray
    replies: Replies
    strongest: int
    labelled: LabelledQueries
    plans: PoolPlans | None
    candidates: Candidates
    notes: tuple[str, ...]

    @classmethod
    def of(cls, outcomes: Outcomes, embeddings: Float32Array, seed: int) -> "Split":
        prepared = prepare(outcomes, embeddings, split_outcomes(outcomes, seed=seed))
        fitted = fit_router("factors", prepared, seed=seed)
        test = prepared.test
        labelled = labelled_by(fitted, outcomes, seed)
        made = made_plans(labelled, None, prepared.strongest, seed)
        scores = fitted.scores(test, UtilityPolicy())
        replies = Replies.of_table(outcomes, test.rows)
        return cls(test, scores, replies, prepared.strongest, labelled, *made)

    def read(self, plans: PoolPlans | None) -> tuple[list[float], list[int], Replayed]:
        """Costs at each level, their points, and the replay."""
        _, made = with_routing(plans, self.scores, self.test, self.replies, N_POINTS)
        return *cheapest(*curve(made, self.test, self.strongest)), made

    def asked(self, plans: PoolPlans | None) -> list[tuple[float, float]]:
        """Quality and cost on the test part of what out-of-fold figures promise for each level."""
        usual, got = self.candidates.calibration(self.candidates.routed, self.strongest), []
        for level in LEVELS:
            point, way = usual.operating_point(level), None
            if plans is not None and plans.calibration is not None:
                found = plans.calibration.operating_point(level)
                point, way = (found, plans) if found.is_better(point) else (point, None)
            if point.setting == "strongest":
                got.append((1.0, 1.0))
                continue
            at = np.array([point.value])
            if way is None:
                chosen = UtilityPolicy().sweep(self.scores, self.test.predicted_cost_usd, at)
                made = Replayed.of_one(chosen, self.test.cost_usd)
            else:
                costs = (self.test.predicted_cost_usd, at, self.replies, self.test.cost_usd)
                made = way.replay(self.scores, *costs)
            quality, cost = curve(made, self.test, self.strongest)
            got.append((float(quality[0]), float(cost[0])))
        return got

    def by_rule(self) -> tuple[float, float] | None:
        """Quality and cost on the test part of the agreement rule that is best on training."""
        rule = best_rule(self.labelled)
        if rule is None:
            return None
        made = rule.replay(self.replies, self.test.cost_usd)
        quality, cost = curve(made, self.test, rule.otherwise)
        return float(quality[0]), float(cost[0])


def measure_pool(name: str, outcomes: Outcomes, embeddings: Float32Array, n_seeds: int) -> str:
    """Record the rows of a pool; returns a remark on it."""
    figures: dict[str, list[list[float]]] = {"routing": [], "plans": []}
    asked: dict[str, list[list[tuple[float, float]]]] = {"routing, asked": [], "plans, asked": []}
    shape, agreed, kept = [], [], 0
    for seed in range(FIRST_SEED, FIRST_SEED + n_seeds):
        split = Split.of(outcomes, embeddings, seed)
        figures["routing"].append(split.read(None)[0])
        costs, points, made = split.read(split.plans)
        figures["plans"].append(costs)
        asked["routing, asked"].append(split.asked(None))
        asked["plans, asked"].append(split.asked(split.plans))
        at = points[LEVELS.index(0.98)]
        shape.append((made.calls[:, at].mean(), made.rounds[:, at].mean()))
        agreed.append(split.by_rule())
        kept += split.plans is not None
    table = []
    for kind, rows in figures.items():
        mean, error = np.mean(rows, axis=0), np.std(rows, axis=0) / np.sqrt(max(1, n_seeds - 1))
        cells = [f"{m:.3f} ± {e:.3f}" for m, e in zip(mean, error, strict=True)]
        table.append([name, kind, *cells])
    for kind, got in asked.items():
        table.append([name, kind, *(f"{q:.3f} at {c:.3f}" for q, c in np.mean(got, axis=0))])
    if None not in agreed:
        quality, cost = np.mean([rule for rule in agreed if rule], axis=0)
        table.append([name, "agreement rule", f"{quality:.3f} at {cost:.3f}", "", "", "", ""])
    record("plans", table, keys=(0, 1))
    below = sum(row[0] <= 0.57 for row in figures["plans"])
    calls, rounds = np.mean(shape, axis=0)
    return (
        f"{name}: plans kept in {kept} of {n_seeds} seeds; {below} of {n_seeds} have 100 % for at "
        f"most .57 of the cost; at 98 % {calls:.2f} calls, {rounds:.2f} rounds; "
        f"{'; '.join(split.notes)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--pools", default=",".join(POOLS))
    chosen = parser.parse_args()
    whole = with_answers(read_table(chosen.outcomes), chosen.answers)
    encoder = make_encoder("minilm", window="head+tail")
    embeddings = encode_cached(encoder, whole.texts, None, cache=EmbeddingCache())
    remarks = []
    for name in chosen.pools.split(","):
        models = POOLS[name] or whole.models
        remarks.append(measure_pool(name, whole.with_models(models), embeddings, chosen.seeds))
    print("\n" + "\n".join(f"- {remark}" for remark in remarks))


if __name__ == "__main__":
    main()

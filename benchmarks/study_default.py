"""Which settings of EquiRouter are best on validation data: the study behind its `default` preset.

    python benchmarks/study_default.py DATASET [DATASET ...] [--seeds 5] [--set NAME ...]

For each seed the training part fits and the VALIDATION part measures; the test part is not looked
at. Early stopping would use the same validation part, so here it stops on a fifth of the training
part. Prints a Markdown table: nAUC, peak score, and cost at 98 % and 95 % of the strongest model's
quality under the budget policy, means over seeds with the standard error of the mean in brackets.
"""

import argparse
import itertools
import warnings
from collections.abc import Iterator
from typing import cast

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.data import load_dataset
from equirouter.data.split import split_outcomes
from equirouter.encoders import make_encoder
from equirouter.encoders.cache import EmbeddingCache, encode_cached
from equirouter.evaluation.curve import measure
from equirouter.policy import BudgetPolicy, UtilityPolicy
from equirouter.routers import Validation, make_router
from equirouter.training.protocol import Part, Prepared, prepare, stream

WINDOWS = {"head": slice(0, 384), "tail": slice(384, 768), "head+tail": slice(0, 768)}


def candidates() -> Iterator[tuple[str, str]]:
    """(set, router spec): what is compared with what."""
    yield "anchors", "task"
    yield "anchors", "strongest"
    yield "anchors", "knn"
    yield "anchors", "mlp"
    yield "anchors", "equirouter:paper"
    yield "default", "equirouter"
    for tie in (0.0, 0.02, 0.05, 0.2, 1.0):
        yield "loss", f"equirouter:tie_weight={tie}"
    yield "loss", "equirouter:loss=mse"
    for trunk, head in (("[32]", 16), ("[128,64]", 64), ("[256,128]", 128)):
        yield "width", f"equirouter:trunk={trunk}:head_width={head}"
    yield "regularisation", "equirouter:dropout=0.0"
    yield "regularisation", "equirouter:dropout=0.3"
    yield "regularisation", "equirouter:dropout=0.5"
    yield "regularisation", "equirouter:dropout=0.3:batch_size=64"
    yield "regularisation", "equirouter:weight_decay=0.001"
    yield "schedule", "equirouter:batch_size=64"
    yield "schedule", "equirouter:batch_size=256:learning_rate=0.003"
    yield "schedule", "equirouter:batch_size=2048"
    yield "joint feature", "equirouter:joint_feature=false"


def fit_and_measure(spec: str, prepared: Prepared, seed: int, policy: str) -> list[float]:
    """The metrics on the validation part; NaN where a quality is never reached."""
    return measured(scores_of(spec, prepared, seed), prepared.validation, policy)


def scores_of(spec: str, prepared: Prepared, seed: int) -> FloatArray:
    """Scores (V, K) of the validation part by a router fitted on the training part."""
    router = make_router(spec)
    train = prepared.train
    x = train.inputs(router)
    stop = stream(seed, "stop").random(len(x)) < 0.2
    inner = Validation(x[stop], train.performance[stop], train.cost_usd[stop])
    keep = ~stop if getattr(router, "patience", None) is not None else np.ones(len(x), bool)
    router.fit(
        x[keep],
        train.performance[keep],
        train.cost_usd[keep],
        validation=inner,
        rng=stream(seed, spec),
    )
    return router.predict(prepared.validation.inputs(router)).astype(np.float64)


def measured(scores: FloatArray, held_out: Part, policy: str) -> list[float]:
    """nAUC, P_s and the costs at 98 % and 95 % of one policy's sweep over these scores."""
    rule = BudgetPolicy() if policy == "budget" else UtilityPolicy()
    costs = held_out.predicted_cost_usd
    points = rule.points(scores, costs, 100)
    chosen = rule.sweep(scores, costs, points)
    point = measure(chosen, held_out.performance, held_out.cost_usd, resamples=0).point
    at_quality = cast(dict[str, float | None], point["cost_at_quality"])
    curve = cast(list[float], [point["nauc"], point["peak_score"]])
    reached = (at_quality[level] for level in ("0.98", "0.95"))
    return [*curve, *(np.nan if value is None else value for value in reached)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--windows", nargs="*", default=["head+tail"])
    parser.add_argument("--set", nargs="*", dest="sets")
    parser.add_argument("--spec", nargs="*", default=[])
    parser.add_argument("--policy", default="budget")
    args = parser.parse_args()
    specs = [(name, spec) for name, spec in candidates() if not args.sets or name in args.sets]
    specs = [("given", spec) for spec in args.spec] or specs
    for dataset, window in itertools.product(args.datasets, args.windows):
        outcomes = load_dataset(dataset)
        both = encode_cached(
            make_encoder("minilm", window="head+tail"),
            outcomes.texts,
            outcomes.images,
            cache=EmbeddingCache(),
        )
        embeddings = np.ascontiguousarray(both[:, WINDOWS[window]])
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        parts = {
            seed: prepare(outcomes, embeddings, split_outcomes(outcomes, seed=seed))
            for seed in range(42, 42 + args.seeds)
        }
        print(f"\n### {outcomes.name}, {window}, {args.policy}, validation, {args.seeds} seeds\n")
        print("| set | router | nAUC | P_s | cost at 98 % | cost at 95 % |")
        print("|---|---|---|---|---|---|")
        for name, spec in specs:
            rows = np.array(
                [fit_and_measure(spec, part, seed, args.policy) for seed, part in parts.items()]
            )
            print(f"| {name} | `{spec}` | {' | '.join(map(_cell, rows.T))} |", flush=True)


def _cell(values: np.ndarray) -> str:
    reached = values[~np.isnan(values)]
    if not reached.size:
        return "/"
    error = reached.std(ddof=1) / np.sqrt(reached.size) if reached.size > 1 else 0.0
    missed = f", {len(values) - reached.size} never" if reached.size < len(values) else ""
    return f"{reached.mean():.4f} ({error:.4f}{missed})"


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()

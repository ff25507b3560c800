"""What narrower networks lose on validation data: the cost model's hidden layer, the router's.

    python benchmarks/study_width.py DATASET... [--seeds 8] [--only cost|router]

DATASET is a name from `equirouter data list` or a path. For every seed a split is made and every
variant is fitted on the training part and measured on the validation part; nothing is measured on
the test part. Each row is a variant less the reference of its table on the same seeds: the mean of
the paired differences and, in brackets, half the width of its 95 % interval (t over the seeds).
Costs at a quality are shares of the strongest model's cost, over the seeds on which both reached
it. `cost error` is the mean absolute error of the predicted cost as a share of the model's mean
cost, averaged over the models; `multiply-adds` is the count for one query at the data set's K.
"""

import argparse
import itertools
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from study_default import WINDOWS, measured, scores_of

from equirouter.arrays import Float32Array
from equirouter.cost import CostModel, CostPredictor
from equirouter.data import load_dataset
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import split_outcomes
from equirouter.encoders import make_encoder
from equirouter.encoders.cache import EmbeddingCache, encode_cached
from equirouter.evaluation.protocol import Part, Prepared, prepare

COSTS: tuple[dict[str, Any], ...] = (
    {"hidden": 256, "batch_size": 256},
    {"hidden": 64, "batch_size": 256},
    {"hidden": 64, "batch_size": 64},
    {"hidden": 32, "batch_size": 256},
    {"hidden": 32, "batch_size": 64},
)
ROUTERS: tuple[tuple[tuple[int, ...], int], ...] = (
    ((128, 64), 64),
    ((128, 64), 32),
    ((128, 32), 32),
    ((64, 64), 32),
    ((64, 32), 32),
    ((64, 64), 64),
)
COLUMNS = ("nAUC", "P_s", "cost at 98 %", "cost at 95 %")
# two-sided 95 % quantiles of Student's t for 1 to 15 degrees of freedom
T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)


def cost_error(model: CostPredictor, part: Part) -> float:
    """Mean over the models that cost something of the error relative to the mean cost."""
    return float(np.nanmean(model.error(part.embeddings, part.cost_usd).relative))


def interval(values: np.ndarray) -> str:
    """Mean of the paired differences, half the interval, and how many of them there are."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return "/"
    half = T95[min(len(known) - 2, len(T95) - 1)] * known.std(ddof=1) / np.sqrt(len(known))
    seeds = "" if len(known) == len(values) else f", {len(known)} seeds"
    return f"{known.mean():+.4f} (± {half:.4f}{seeds})"


def table(head: Sequence[str], rows: dict[str, np.ndarray], names: Sequence[str]) -> None:
    """Print the reference as it is and every other row as its difference from it."""
    print(f"| {' | '.join((*head, *names))} |\n|{'---|' * (len(head) + len(names))}")
    (first, reference), *others = rows.items()
    cells = [f"{np.nanmean(column):.4f}" for column in reference.T]
    print(f"| {first} | {' | '.join(cells)} |")
    for name, values in others:
        cells = [interval(column) for column in (values - reference).T]
        print(f"| {name} | {' | '.join(cells)} |")
    print(flush=True)


def study_cost(
    parts: dict[int, Prepared], make: Callable[[dict[str, Any]], dict[int, Prepared]]
) -> None:
    """Cost models of several widths under one router per seed."""
    scores = {seed: scores_of("equirouter", part, seed) for seed, part in parts.items()}
    rows: dict[str, np.ndarray] = {}
    for settings in COSTS:
        made = make(settings)
        some = next(iter(made.values())).validation
        count = settings["hidden"] * (some.embeddings.shape[1] + some.performance.shape[1])
        rows[f"{settings['hidden']} | {settings['batch_size']} | {count:,}"] = np.array(
            [
                [
                    cost_error(part.cost_model, part.validation),
                    *measured(scores[seed], part.validation, "budget"),
                ]
                for seed, part in made.items()
            ]
        )
    table(("hidden", "batch", "multiply-adds"), rows, ("cost error", *COLUMNS))


def study_router(parts: dict[int, Prepared], loss: str) -> None:
    """Routers of several widths with one cost model per seed."""
    rows: dict[str, np.ndarray] = {}
    for trunk, head in ROUTERS:
        spec = f"equirouter:trunk={list(trunk)}:head_width={head}".replace(" ", "")
        if loss != "ranking":
            spec += f":loss={loss}"
        policy = "budget" if loss == "ranking" else "utility"
        some = next(iter(parts.values())).validation
        widths = [some.embeddings.shape[1], *trunk]
        count = sum(a * b for a, b in itertools.pairwise(widths))
        count += some.performance.shape[1] * head * (2 * trunk[-1] + 1)
        rows[f"{trunk}, {head} | {count:,}"] = np.array(
            [
                measured(scores_of(spec, part, seed), part.validation, policy)
                for seed, part in parts.items()
            ]
        )
    table(("trunk, head", "multiply-adds"), rows, COLUMNS)


def prepared(
    outcomes: Outcomes, embeddings: Float32Array, n_seeds: int, settings: dict[str, Any]
) -> dict[int, Prepared]:
    """One split per seed, with cost models of these settings."""
    return {
        seed: prepare(
            outcomes,
            embeddings,
            split_outcomes(outcomes, seed=seed),
            cost_model=CostModel(**settings),
        )
        for seed in range(42, 42 + n_seeds)
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--window", default="head+tail")
    parser.add_argument("--only", nargs="*", default=["cost", "router"])
    args = parser.parse_args()
    for dataset in args.datasets:
        outcomes = load_dataset(dataset)
        encoder = make_encoder("minilm", window="head+tail")
        both = encode_cached(encoder, outcomes.texts, outcomes.images, cache=EmbeddingCache())
        embeddings = np.ascontiguousarray(both[:, WINDOWS[args.window]])
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)

        make = partial(prepared, outcomes, embeddings, args.seeds)
        parts = make(COSTS[0])
        print(f"\n### {outcomes.name}, {args.window}, {args.seeds} seeds\n")
        if "cost" in args.only:
            print("Cost model; the router is the default one\n")
            study_cost(parts, make)
        if "router" in args.only:
            print("Router, ranking loss, policy `budget`\n")
            study_router(parts, "ranking")
            print("Router, loss `ranking+mse`, policy `utility`\n")
            study_router(parts, "ranking+mse")


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()

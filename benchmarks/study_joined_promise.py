"""Is a promised quality kept when a model joins from 100 labels?

    nice -n 15 python benchmarks/study_joined_promise.py ZEROEVAL.parquet ROUTERBENCH.parquet

Twelve splits of each table. A pipeline of three models learns from 600 queries; four others join
it, one at a time, from 100 labels of these queries or of new ones. All other queries tell which
quality is kept, and whether the gate that saw the labels was right.
"""

import sys
from itertools import product
from pathlib import Path

import numpy as np
from pages import record

from equirouter import train
from equirouter.data.outcomes import Outcomes
from equirouter.data.tables import read_table
from equirouter.encoders import make_encoder
from equirouter.evaluation.promotion.comparison import chosen_columns
from equirouter.evaluation.promotion.retrain import judged_join
from equirouter.pipeline import RoutingPipeline
from equirouter.training.joining import with_model

POOLS = (
    (
        ("gpt-4o-2024-08-06", "Mistral-Large-2", "Meta-Llama-3.1-70B-Instruct"),
        (
            "gpt-4o-mini-2024-07-18",
            "Meta-Llama-3-8B-Instruct",
            "claude-3-5-sonnet-20241022",
            "Llama-3.1-405B-Inst@hyperbolic",
        ),
    ),
    (
        ("gpt-4-1106-preview", "zero-one-ai/Yi-34B-Chat", "mistralai/mixtral-8x7b-chat"),
        ("gpt-3.5-turbo-1106", "WizardLM/WizardLM-13B-V1.2", "claude-v2", "claude-instant-v1"),
    ),
)
SPLITS, LEARNED, LABELS, QUALITY = 12, 600, 100, 0.95


def kept(pipeline: RoutingPipeline, world: Outcomes) -> tuple[float, float]:
    """Quality and cost as shares of the strongest model's."""
    row, chosen = np.arange(world.n_queries), chosen_columns(pipeline, world, None)
    best = world.models.index(pipeline.baseline.strongest)
    quality, cost = (
        float(values[row, chosen].mean() / values[:, best].mean())
        for values in (world.performance, world.cost_usd)
    )
    return quality, cost


def main() -> None:
    """A row of the table per outcomes table and kind of labels."""
    encoder = make_encoder("lexical", dimension=256)
    for path, (pool, others) in zip(sys.argv[1:], POOLS, strict=True):
        table = read_table(Path(path)).choose_models([*pool, *others])
        table = table.take(table.is_complete)
        found: dict[str, list[tuple[float, ...]]] = {"that it learned from": [], "new": []}
        for seed, (start, labels) in product(range(SPLITS), zip((0, LEARNED), found, strict=True)):
            order = np.random.default_rng(seed).permutation(table.n_queries)
            learned = table.take(np.sort(order[:LEARNED])).choose_models(pool)
            world = table.take(np.sort(order[LEARNED + LABELS :]))
            before = train(learned, encoder, router="factors", quality=QUALITY, resamples=0)
            labelled = table.take(np.sort(order[start : start + LABELS]))
            for model in others:
                joined = with_model(before, labelled, model).pipeline
                passes = judged_join(before, joined).verdict.passes
                found[labels].append((*kept(before, world), *kept(joined, world), passes))
        for labels, rows in found.items():
            of_before, cost_before, quality, cost, passes = np.array(rows).T
            cells = [
                len(rows),
                f"{of_before.mean():.3f}",
                f"{cost_before.mean():.2f}",
                f"{quality.mean():.3f}",
                f"{cost.mean():.2f}",
                f"{100 * (quality >= QUALITY).mean():.0f} %",
                int(passes.sum()),
                int((passes * (quality < QUALITY - 0.02)).sum()),
            ]
            record("joined-promise", [[Path(path).stem, labels, *cells]], keys=(0, 1))


if __name__ == "__main__":
    main()

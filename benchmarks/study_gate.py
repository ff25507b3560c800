"""How often the gate promotes a pipeline that is worse, on real outcomes.

    nice -n 15 python benchmarks/study_gate.py                       # about 10 minutes on one core
    nice -n 15 python benchmarks/study_gate.py --log ZEROEVAL.parquet # logs alone, 5 minutes
    nice -n 15 python benchmarks/study_gate.py --points others       # as retrain does, 15 minutes

A third of the queries is to learn from; the others are the world, on which the quality of every
pipeline is known exactly. Champions and challengers learn from random parts of the third;
challengers also with some of their outcomes turned over, as malicious or noisy feedback would, or
calibrated for less quality. In each simulated promotion the gate sees some queries of the world, or
the log of a gateway that served the champion and explored, and decides; the world tells whether it
was right.

--points: the challenger's operating points are found anew, on the `same` queries that the gate
sees, or on as many `others`, as retrain does.
"""

import argparse
import json
from dataclasses import replace
from typing import NamedTuple, Self

import numpy as np
from pages import record

from equirouter import train
from equirouter.data import load_dataset
from equirouter.data.outcomes import Outcomes
from equirouter.encoders import make_encoder
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.evaluation.promotion.comparison import Comparison, chosen_columns, compare
from equirouter.evaluation.promotion.gate import Gate
from equirouter.evaluation.promotion.retrain import promised_on
from equirouter.pipeline import RoutingPipeline

POOLS = {
    "five strong models": (
        "gpt-4o-2024-08-06",
        "gpt-4o-mini-2024-07-18",
        "Llama-3.1-405B-Inst@hyperbolic",
        "claude-3-5-sonnet-20241022",
        "Mistral-Large-2",
    ),
    "two, far apart in price": ("gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"),
}
SEEN: tuple[int | str, ...] = (200, 400, 800)
A_LOG, POOL_OF_LOG = "a log of 5,000", "two, far apart in price"
REQUESTS, EXPLORED = 5_000, 0.05
PROMOTIONS = 200
QUALITY = 0.98
FOUND = {None: "their own", "same": "found on the same", "others": "found on others"}


class Truth(NamedTuple):
    """What a challenger is on the whole world, beside a champion that promises QUALITY.

    lower: than the champion by more than the margin. harmful: than the promise, too. better: no
    lower than the lesser of the two, and no more expensive.
    """

    lower: bool
    harmful: bool
    better: bool

    @classmethod
    def of(cls, comparison: Comparison) -> Self:
        quality, cost = comparison.quality, comparison.cost
        above = quality.challenger - min(quality.champion, QUALITY)
        margin = Gate().margin
        return cls(
            quality.difference < -margin,
            above < -margin,
            above >= 0 and cost.difference <= 0,
        )


def turned_over(table: Outcomes, share: float, rng: np.random.Generator) -> Outcomes:
    """The table with a share of its outcomes of performance replaced by 1 - performance."""
    lies = rng.random(table.performance.shape) < share
    return replace(table, performance=np.where(lies, 1 - table.performance, table.performance))


def logged(world: Outcomes, champion: RoutingPipeline, rng: np.random.Generator) -> Outcomes:
    """The world as a log of REQUESTS knows it, of which EXPLORED went to another model."""
    n, k = world.performance.shape
    first = chosen_columns(champion, world, None)
    chances = np.full((n, k), EXPLORED / (k - 1))
    chances[np.arange(n), first] = 1 - EXPLORED
    asked = np.bincount(rng.integers(n, size=REQUESTS), minlength=n)
    known = rng.multinomial(asked, chances) > 0
    return replace(
        world,
        performance=np.where(known, world.performance, np.nan),
        cost_usd=np.where(known, world.cost_usd, np.nan),
        propensity=np.asarray(1 - (1 - chances) ** asked[:, None], dtype=np.float64),
        input_tokens=None,
        output_tokens=None,
    )


def pipelines(
    table: Outcomes, encoder: Encoder, rng: np.random.Generator
) -> dict[str, list[RoutingPipeline]]:
    """Champions, and challengers by what is wrong with them."""

    def made(n: int, lies: float = 0.0, quality: float = QUALITY) -> RoutingPipeline:
        part = table.take(np.sort(rng.permutation(table.n_queries)[:n]))
        part = turned_over(part, lies, rng)
        pipeline = train(part, encoder, router="factors", quality=quality, resamples=0)
        pipeline.quality = quality
        return pipeline

    return {
        "champion": [made(600) for _ in range(5)],
        "as good": [made(600) for _ in range(4)],
        "more rows": [made(900) for _ in range(3)],
        "few rows": [made(120) for _ in range(4)],
        "5 % lies": [made(600, 0.05) for _ in range(4)],
        "20 % lies": [made(600, 0.2) for _ in range(4)],
        "aims at 0.96": [made(600, quality=0.96) for _ in range(4)],
        "aims at 0.94": [made(600, quality=0.94) for _ in range(4)],
    }


def found_anew(
    champion: RoutingPipeline, challenger: RoutingPipeline, table: Outcomes, cache: EmbeddingCache
) -> RoutingPipeline:
    """The challenger with operating points found on these queries."""
    return promised_on(challenger, table, strongest=champion.baseline.strongest, cache=cache)


def main() -> None:
    """A row of the table per pool and number of queries, and what happened by challenger."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", metavar="TABLE", help="of texts, which are encoded in few numbers")
    parser.add_argument("--points", choices=("same", "others"), help="found on the queries seen")
    asked = parser.parse_args()
    log, points = asked.log, asked.points
    if log is not None and points is not None:
        parser.error("--points is of complete queries, without --log")
    encoder = make_encoder("lexical") if log is None else make_encoder("lexical", dimension=256)
    cache = EmbeddingCache()
    for name, models in POOLS.items():
        if log is not None and name != POOL_OF_LOG:
            continue
        table = load_dataset(log or "real").choose_models(list(models))
        table = table.take(table.is_complete)
        rng = np.random.default_rng(20)
        order = rng.permutation(table.n_queries)
        to_learn = table.take(np.sort(order[:950]))
        world = table.take(np.sort(order[950:]))
        made = pipelines(to_learn, encoder, rng)
        champions = made.pop("champion")
        challengers = [(kind, one) for kind, several in made.items() for one in several]
        known: dict[tuple[int, int], Truth] = {}
        for n in SEEN if log is None else (A_LOG,):
            true, passed = np.zeros(3, dtype=int), np.zeros(3, dtype=int)
            promoted = 0
            by_kind: dict[str, list[int]] = {}
            for _ in range(PROMOTIONS):
                i, j = int(rng.integers(len(champions))), int(rng.integers(len(challengers)))
                kind, one = challengers[j]
                if isinstance(n, int):
                    order = rng.permutation(world.n_queries)
                    seen = world.take(np.sort(order[:n]))
                    others = world.take(np.sort(order[n : 2 * n]))
                else:
                    seen = others = logged(world, champions[i], rng)
                if points is not None:
                    known.pop((i, j), None)
                    part = seen if points == "same" else others
                    one = found_anew(champions[i], one, part, cache)
                if (i, j) not in known:
                    known[i, j] = Truth.of(compare(champions[i], one, world, cache=cache))
                passes = Gate().judge(compare(champions[i], one, seen, cache=cache)).passes
                promoted += passes
                true += known[i, j]
                passed += passes * np.array(known[i, j])
                counts = by_kind.setdefault(kind, [0, 0])
                counts[0] += 1
                counts[1] += passes
            counted = np.column_stack([true, passed]).ravel().tolist()
            record("gate", [[name, FOUND[points], n, promoted, *counted]], keys=(0, 1, 2))
            of_kind = {kind: f"{c[1]} of {c[0]}" for kind, c in sorted(by_kind.items())}
            print(
                f"{name}, points {FOUND[points]}, {n} queries, promoted: {json.dumps(of_kind)}",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""What the same quality costs without the loop: from the years that study_loop.py saved.

    python benchmarks/study_loop.py ZEROEVAL.parquet ROUTERBENCH.parquet --seed 20 --save FOLDER
    nice -n 15 python benchmarks/study_loop_cost.py ZEROEVAL.parquet ROUTERBENCH.parquet FOLDER

What an arm served is moved along its whole operating range, 1,000 prices of quality and always the
strongest model, on the same requests with the outcomes and prices of their month. The cheapest
point that keeps what the loop kept is read off afterwards, as no operator could, so these arms look
better than they are: `never`, which is told the new price, and `ungated`. One price of quality
holds for all months of a quarter. Intervals: 1,000 bootstrap draws of the distinct queries, in each
of which all is read off anew.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from pages import record
from study_loop import CHEAPER, PRICES, Got, Traffic, World

from equirouter.data.tables import read_table
from equirouter.pipeline import RoutingPipeline
from equirouter.policy import UtilityPolicy
from equirouter.training.pool_changes import repriced

POINTS = 1000
DRAWS = 1000
QUARTERS = {
    "1 to 3": range(3),
    "4 to 6": range(3, 6),
    "7 to 10": range(6, 10),
    "11 to 13": range(10, 13),
    "all": range(13),
}
ARMS = ("never", "ungated")


@dataclass(frozen=True, eq=False)
class Month:
    """The requests of a month and what every model makes of them, in the order of PRICES.

    rows (n,): of the world. right, usd (n, K).
    """

    traffic: Traffic
    number: int
    rows: np.ndarray
    right: np.ndarray
    usd: np.ndarray

    @classmethod
    def of(cls, world: World, per_month: int, seed: int, number: int) -> Self:
        traffic = Traffic.of(world, per_month, seed)
        traffic.month = number
        numbers = range(number * per_month, (number + 1) * per_month)
        got = [Got.of(traffic, numbers, [model] * per_month) for model in PRICES]
        return cls(
            traffic,
            number,
            np.array(traffic.rows)[numbers],
            np.column_stack([one.right for one in got]),
            np.column_stack([one.usd for one in got]),
        )

    def choices(self, pipeline: RoutingPipeline, lambdas: np.ndarray) -> np.ndarray:
        """What a pipeline chooses (n, T) at prices of quality."""
        scores, costs = self.expected(pipeline)
        columns = np.array([[*PRICES].index(model) for model in pipeline.models])
        return columns[UtilityPolicy().sweep(scores, costs, lambdas)]

    def expected(self, pipeline: RoutingPipeline) -> tuple[np.ndarray, np.ndarray]:
        """Performance and cost (n, K) that a pipeline expects of its models."""
        n = len(self.rows)
        texts = [self.traffic.text(self.number * n + place) for place in range(n)]
        seen = pipeline.stage.look(texts)
        return seen.estimates, seen.costs


@dataclass(frozen=True, eq=False)
class Sums:
    """Of every distinct query of a quarter, over its requests: what is got and paid.

    requests (m,). strong (m, 2): of always the strongest model, performance and USD. loop (m, 2):
    of the loop. beside: what its shadows cost in USD. arms: of every arm (m, T, 2).
    """

    requests: np.ndarray
    strong: np.ndarray
    loop: np.ndarray
    beside: float
    arms: dict[str, np.ndarray]


def served(saved: Path, arm: str, number: int) -> tuple[RoutingPipeline, Got, float]:
    """What an arm had in a month: its version, what clients got, the cost of its shadows."""
    folder = saved / arm / f"{number + 1:02}"
    with np.load(folder / "got.npz") as kept:
        got = Got(kept["right"], kept["usd"], kept["model"])
        return RoutingPipeline.load(folder / "p"), got, float(kept["beside"])


def as_now(pipeline: RoutingPipeline, arm: str, month: Month) -> RoutingPipeline:
    """A pipeline that is told the price that changed; arms that retrain were told it then."""
    if arm != "never" or month.number < CHEAPER:
        return pipeline
    return repriced(pipeline, {"middle": month.traffic.world.price("middle", month.number)})


def spread(expected: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Prices of quality, falling to 0, evenly spaced among those at which decisions change."""
    rule = UtilityPolicy()
    lambdas = np.concatenate([rule.points(*one, POINTS) for one in expected])
    places = np.linspace(0, len(lambdas) - 1, POINTS).round().astype(int)
    return np.asarray(np.sort(lambdas)[::-1][places])


def summed(saved: Path, months: list[Month]) -> Sums:
    """Add up a quarter; saved: the folder of a seed."""
    row, place = np.unique(np.concatenate([month.rows for month in months]), return_inverse=True)

    def by_query(values: list[np.ndarray]) -> np.ndarray:
        whole = np.concatenate(values)
        sums = np.zeros((len(row), *whole.shape[1:]))
        np.add.at(sums, place, whole)
        return sums

    loop = [served(saved, "loop", month.number) for month in months]
    arms = {}
    for arm in ARMS:
        if not all((saved / arm / f"{month.number + 1:02}").exists() for month in months):
            continue
        made = [as_now(served(saved, arm, month.number)[0], arm, month) for month in months]
        lambdas = spread([m.expected(p) for m, p in zip(months, made, strict=True)])
        parts = []
        for month, pipeline in zip(months, made, strict=True):
            chosen = np.column_stack(
                [month.choices(pipeline, lambdas), np.zeros(len(month.rows), dtype=int)]
            )
            at = np.arange(len(chosen))[:, None]
            parts.append(np.stack([month.right[at, chosen], month.usd[at, chosen]], axis=2))
        arms[arm] = by_query(parts)
    return Sums(
        np.bincount(place).astype(float),
        by_query([np.column_stack([m.right[:, 0], m.usd[:, 0]]) for m in months]),
        by_query([np.column_stack([got.right, got.usd]) for _, got, _ in loop]),
        sum(beside for *_, beside in loop),
        arms,
    )


def read_off(sums: Sums, times: np.ndarray) -> np.ndarray:
    """Quality and cost of the loop, and the cheapest cost of every arm at that quality.

    times (m,): how often each query counts. Shares of always the strongest model.
    """
    right, usd = times @ sums.strong
    n = times @ sums.requests / sums.requests.sum()
    quality, cost = times @ sums.loop / (right, usd) + (0.0, sums.beside * n / usd)
    found = [quality, cost]
    for of_arm in sums.arms.values():
        kept, paid = np.tensordot(times, of_arm, axes=1).T
        found.append((paid / usd)[kept / right >= quality].min(initial=1.0))
    return np.array(found)


def row_of(quarter: str, seed: int, sums: Sums) -> list[str]:
    """Cells of the table: what the loop kept and cost, then each arm's cost and the difference."""
    m = len(sums.requests)
    draws = np.random.default_rng([seed, 2]).multinomial(m, np.full(m, 1 / m), DRAWS)
    found = read_off(sums, np.ones(m))
    drawn = np.array([read_off(sums, times.astype(float)) for times in draws])
    cells = [quarter, str(seed), f"{found[0]:.3f}", f"{found[1]:.2f}"]
    for arm in ARMS:
        if arm not in sums.arms:
            cells += ["", ""]
            continue
        column = 2 + list(sums.arms).index(arm)
        low, high = np.quantile(drawn[:, 1] - drawn[:, column], [0.025, 0.975])
        less = found[1] - found[column]
        cells += [f"{found[column]:.2f}", f"{less:+.2f} [{low:+.2f}, {high:+.2f}]"]
    return cells


def main() -> None:
    """A row of the table per seed and quarter."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tables", nargs=2, type=Path)
    parser.add_argument("saved", type=Path)
    parser.add_argument("--per-month", type=int, default=1500)
    parser.add_argument("--record", action="store_true", help="into the page")
    asked = parser.parse_args()
    world = World.of(*(read_table(path) for path in asked.tables))
    seeds = sorted(int(path.name) for path in asked.saved.iterdir() if path.is_dir())
    rows = []
    for quarter, numbers in QUARTERS.items():
        for seed in seeds:
            months = [Month.of(world, asked.per_month, seed, number) for number in numbers]
            rows.append(row_of(quarter, seed, summed(asked.saved / str(seed), months)))
            sys.stdout.write(f"{rows[-1]}\n")
            sys.stdout.flush()
    if asked.record:
        record("loop-cost", rows, keys=(0, 1))


if __name__ == "__main__":
    main()

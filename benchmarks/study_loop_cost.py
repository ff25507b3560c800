"""What the same quality costs with and without the loop: from the years that study_loop.py saved.

    python benchmarks/study_loop.py ZEROEVAL.parquet ROUTERBENCH.parquet --seed 20 --save FOLDER
    nice -n 15 python benchmarks/study_loop_cost.py ZEROEVAL.parquet ROUTERBENCH.parquet FOLDER

Three readings of `loop` against `never`, and of `ungated` where it was saved. Moved is `neither`:
as they ran. Both are moved `to` a quality: each at the cheapest point that keeps it, found
afterwards on the requests it is read on, as no operator could: what an arm served is moved along
its whole operating range, 1,000 prices of quality and always the strongest model. `one`: the other
arm alone is moved, to what the loop kept as it ran; that is unequal, to the loop's disadvantage.
The loop pays for its shadows in all three; `never` is told the new price. One price of quality
holds for all months of a quarter, whichever version served.

Intervals: 1,000 bootstrap draws of the distinct queries of both tables, the same for all arms and
seeds, in each of which all is read off anew; of all seeds together, of the seeds as well. An arm
that was saved for some seeds is compared on those.
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
OTHERS = ("never", "ungated")
KEPT = (0.9, 0.95, 0.97)
"""Qualities at which arms are compared that are moved."""


@dataclass(frozen=True, eq=False)
class Month:
    """The requests of a month and what every model makes of them, in the order of PRICES.

    rows (n,): of the world. requests (n,): their numbers. right, usd (n, K).
    """

    traffic: Traffic
    number: int
    requests: np.ndarray
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
            np.array(numbers),
            np.array(traffic.rows)[numbers],
            np.column_stack([one.right for one in got]),
            np.column_stack([one.usd for one in got]),
        )

    def split(self, n: int) -> list[Self]:
        """Parts of equal length, such as weeks, each with its own version."""
        columns = (self.requests, self.rows, self.right, self.usd)
        parts = zip(*(np.array_split(column, n) for column in columns), strict=True)
        return [type(self)(self.traffic, self.number, *part) for part in parts]

    def choices(self, pipeline: RoutingPipeline, lambdas: np.ndarray) -> np.ndarray:
        """What a pipeline chooses (n, T) at prices of quality."""
        scores, costs = self.expected(pipeline)
        columns = np.array([[*PRICES].index(model) for model in pipeline.models])
        return columns[UtilityPolicy().sweep(scores, costs, lambdas)]

    def expected(self, pipeline: RoutingPipeline) -> tuple[np.ndarray, np.ndarray]:
        """Performance and cost (n, K) that a pipeline expects of its models."""
        seen = pipeline.stage.look([self.traffic.text(number) for number in self.requests])
        return seen.estimates, seen.costs


@dataclass(frozen=True, eq=False)
class Sums:
    """Of the queries of a world (m,) in a quarter of a seed, over their requests: performance, USD.

    requests (m,). strong (m, 2): of always the strongest model. Of every arm: as it was served
    (m, 2), with the cost of its shadows spread over all requests, and at all points (m, T, 2).
    """

    requests: np.ndarray
    strong: np.ndarray
    as_served: dict[str, np.ndarray]
    moved: dict[str, np.ndarray]


def served(folder: Path) -> tuple[RoutingPipeline, Got, float]:
    """What an arm had in a month or week: version, what clients got, the cost of its shadows."""
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


def summed(saved: Path, months: list[Month], m: int) -> Sums:
    """Add up a quarter; saved: the folder of a seed; m: queries of the world."""
    rows = np.concatenate([month.rows for month in months])

    def by_query(values: list[np.ndarray]) -> np.ndarray:
        whole = np.concatenate(values)
        sums = np.zeros((m, *whole.shape[1:]))
        np.add.at(sums, rows, whole)
        return sums

    as_served, moved = {}, {}
    for arm in ("loop", *OTHERS):
        kept = [sorted((saved / arm).glob(f"{month.number + 1:02}*")) for month in months]
        if not all(kept):
            continue
        found = [served(folder) for folders in kept for folder in folders]
        counts = zip(months, map(len, kept), strict=True)
        parts = [part for month, n in counts for part in month.split(n)]
        beside = sum(usd for *_, usd in found) / len(rows)
        got = [np.column_stack([one.right, one.usd + beside]) for _, one, _ in found]
        as_served[arm] = by_query(got)
        made = [as_now(one[0], arm, part) for one, part in zip(found, parts, strict=True)]
        lambdas = spread([of.expected(p) for of, p in zip(parts, made, strict=True)])
        points = []
        for part, pipeline in zip(parts, made, strict=True):
            chosen = np.column_stack(
                [part.choices(pipeline, lambdas), np.zeros(len(part.rows), dtype=int)]
            )
            at = np.arange(len(chosen))[:, None]
            usd = part.usd[at, chosen] + beside
            points.append(np.stack([part.right[at, chosen], usd], axis=2))
        moved[arm] = by_query(points)
    strong = by_query([np.column_stack([of.right[:, 0], of.usd[:, 0]]) for of in months])
    return Sums(np.bincount(rows, minlength=m).astype(float), strong, as_served, moved)


def read_off(sums: Sums, times: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """Quality and cost (D, 2) by reading and arm, in draws of how often each query counts (D, m).

    Shares of always the strongest model. An arm that keeps a quality with no point but always the
    strongest model costs 1, and its shadows.
    """
    unit = times @ sums.strong
    found = {("neither", arm): times @ of / unit for arm, of in sums.as_served.items()}
    own = found["neither", "loop"][:, 0]
    for arm, of in sums.moved.items():
        m, n_points, _ = of.shape
        points = (times @ of.reshape(m, -1)).reshape(-1, n_points, 2) / unit[:, None]
        for name, asked in [(f"to {kept:.2f}", kept) for kept in KEPT] + [("to the loop's", own)]:
            enough = points[:, :, 0] >= np.minimum(np.reshape(asked, (-1, 1)), points[:, -1:, 0])
            place = np.where(enough, points[:, :, 1], np.inf).argmin(axis=1)
            found[name, arm] = points[np.arange(len(points)), place]
    return found


def rows_of(quarter: str, seeds: dict[int, Sums], m: int) -> list[list[str]]:
    """Rows of the table: of every seed and of all together."""
    rng = np.random.default_rng(2)
    draws = rng.multinomial(m, np.full(m, 1 / m), DRAWS).astype(float)
    once = {seed: read_off(sums, np.ones((1, m))) for seed, sums in seeds.items()}
    drawn = {seed: read_off(sums, draws) for seed, sums in seeds.items()}
    rows = []
    names = ("neither", *(f"to {kept:.2f}" for kept in KEPT), "to the loop's", "one")
    for arm in OTHERS:
        saved = [seed for seed, sums in seeds.items() if arm in sums.moved]
        if not saved:
            continue
        which = rng.integers(len(saved), size=(DRAWS, len(saved)))
        for name in names:
            ours = "neither" if name == "one" else name
            theirs = "to the loop's" if name == "one" else name

            def both(found: dict[tuple[str, str], np.ndarray]) -> np.ndarray:
                return np.hstack([found[ours, "loop"], found[theirs, arm]])  # noqa: B023

            value = np.stack([both(once[seed])[0] for seed in saved])  # (S, 4)
            sample = np.stack([both(drawn[seed]) for seed in saved])  # (S, D, 4)
            for place, seed in enumerate(saved):
                rows.append(cells(quarter, seed, arm, name, value[place], sample[place]))
            if len(saved) > 1:
                pooled = sample[which.T, np.arange(DRAWS)].mean(axis=0)
                rows.append(cells(quarter, "all", arm, name, value.mean(axis=0), pooled))
    return rows


def cells(
    quarter: str, seed: int | str, arm: str, name: str, value: np.ndarray, sample: np.ndarray
) -> list[str]:
    """A row: qualities, costs, and the difference of each with its interval."""
    row = [quarter, arm, name, str(seed)]
    for column, digits in ((0, 3), (1, 2)):
        ours, theirs = value[column], value[column + 2]
        low, high = np.quantile(sample[:, column] - sample[:, column + 2], [0.025, 0.975])
        row += [f"{ours:.{digits}f}", f"{theirs:.{digits}f}"]
        row.append(f"{ours - theirs:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]")
    return row


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
    m, rows = world.table.n_queries, []
    for quarter, numbers in QUARTERS.items():
        sums = {}
        for seed in seeds:
            months = [Month.of(world, asked.per_month, seed, number) for number in numbers]
            sums[seed] = summed(asked.saved / str(seed), months, m)
        new = rows_of(quarter, sums, m)
        sys.stdout.write("".join(f"{row}\n" for row in new))
        sys.stdout.flush()
        rows += new
    if asked.record:
        record("loop-cost", rows, keys=(0, 1, 2, 3))


if __name__ == "__main__":
    main()

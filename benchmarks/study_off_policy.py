"""How often off-policy intervals hold the truth, on real outcomes that are hidden as by a log.

    nice -n 15 python benchmarks/study_off_policy.py TABLE MODEL,MODEL,...  # 10 minutes

A third of the complete queries is to learn from; the others are the world, on which the mean of
every policy is known exactly. A log of 20,000 requests draws its queries from the world. It knows
the outcome of one model for each: of the choice of a pipeline that serves, or with a probability of
`share` of one of the others. What other policies would score and cost is estimated from it.

The page's models: claude-3-5-sonnet-20241022, claude-3-5-haiku-20241022 and gpt-4o-mini-2024-07-18
of ZeroEval, gpt-4-1106-preview, mixtral-8x7b-chat and Yi-34B-Chat of the RouterBench slice.
"""

import json
import sys

import numpy as np
from pages import record

from equirouter.arrays import Float32Array, IntArray
from equirouter.data import load_dataset
from equirouter.data.outcomes import Outcomes
from equirouter.encoders import make_encoder
from equirouter.encoders.cache import encode_table
from equirouter.errors import DataError
from equirouter.evaluation.off_policy.estimates import METHODS, WHAT, Estimate, LoggedOutcomes
from equirouter.policy import UtilityPolicy
from equirouter.routers import make_router
from equirouter.routers.linear import cross_fitted

REQUESTS = 20_000
DRAWS = 1000
DRAWS_WITHOUT = 20
SHARES = (0.02, 0.05, 0.10)
PRICES = {"stronger": 0.0, "serves": 0.5, "cheaper": 1.0}
"""Of the strongest model's lead over the weakest, how much its cost is worth."""


def world_of(table: Outcomes) -> tuple[Outcomes, Float32Array, dict[str, IntArray]]:
    """The world, its embeddings, and what each policy chooses on it."""
    rng = np.random.default_rng(20)
    x = encode_table(make_encoder("lexical", dimension=128), table, cache=None)
    order = rng.permutation(table.n_queries)
    to_learn, rest = np.split(order, [table.n_queries // 3])
    known, world = table.take(to_learn), table.take(rest)
    router = make_router("factors")
    router.fit(x[to_learn], known.performance, known.cost_usd, rng=rng)
    scores = router.predict(x[rest])
    performance, cost_usd = known.means()
    unit = float(np.ptp(performance) / cost_usd.max())
    costs = np.tile(cost_usd, (len(rest), 1))
    chosen = {n: UtilityPolicy(price * unit).choose(scores, costs) for n, price in PRICES.items()}
    return world, x[rest], chosen


def hidden(
    world: Outcomes, x: Float32Array, serves: IntArray, share: float, rng: np.random.Generator
) -> tuple[LoggedOutcomes, IntArray]:
    """A log, and the row of the world of each of its requests."""
    row = rng.integers(world.n_queries, size=REQUESTS)
    others = rng.integers(1, world.n_models, size=REQUESTS)
    explored = rng.random(REQUESTS) < share
    called = np.where(explored, (serves[row] + others) % world.n_models, serves[row])
    is_called = np.arange(world.n_models) == called[:, None]
    is_first = np.arange(world.n_models) == serves[row][:, None]
    log = LoggedOutcomes(
        x[row],
        np.where(is_called, world.performance[row], np.nan),
        np.where(is_called, world.cost_usd[row], np.nan),
        np.where(is_first, 1 - share, share / (world.n_models - 1)),
        row,
    )
    return log, row


def coverage(world: Outcomes, x: Float32Array, chosen: dict[str, IntArray], share: float) -> None:
    """A row of the table per policy: how often each interval held the truth, in per cent."""
    rng = np.random.default_rng([20, round(1000 * share)])
    held: dict[str, dict[str, list[bool]]] = {name: {} for name in chosen}
    widths: dict[str, list[float]] = {name: [] for name in chosen}
    effective: dict[str, list[float]] = {name: [] for name in chosen}
    refused = dict.fromkeys(chosen, 0)
    rows = np.arange(world.n_queries)

    def note(name: str, figure: str, found: Estimate, truth: float) -> None:
        held[name].setdefault(figure, []).append(found.low <= truth <= found.high)

    for _ in range(DRAWS):
        log, row = hidden(world, x, chosen["serves"], share, rng)
        for name, policy in chosen.items():
            try:
                value = log.value(policy[row])
            except DataError:  # too little overlap
                refused[name] += 1
                continue
            for what in WHAT:
                outcomes = getattr(world, what)
                truth = float(outcomes[rows, policy].mean())
                for method in METHODS:
                    note(name, f"{what} {method}", getattr(value, what)[method], truth)
                if name != "serves":
                    found = log.difference(chosen["serves"][row], policy[row], what)
                    served = float(outcomes[rows, chosen["serves"]].mean())
                    note(name, f"{what} difference", found, truth - served)
            dr = value.performance["dr"]
            widths[name].append(dr.high - dr.low)
            effective[name].append(value.n_effective)
    for name in chosen:
        percent = {k: f"{100 * float(np.mean(v)):.1f}" for k, v in held[name].items()}
        print(f"{share:.0%}, {name}: {refused[name]} refused; held, %: {percent}", flush=True)
        if name == "serves":
            continue
        cells = [
            world.name,
            f"{100 * share:.0f} %",
            name,
            f"{(chosen[name] != chosen['serves']).mean():.2f}",
            round(float(np.mean(effective[name]))),
            f"{np.mean(widths[name]) / 2:.3f}",
            f"{percent['performance dr']}, {percent['cost_usd dr']}",
            f"{percent['performance difference']}, {percent['cost_usd difference']}",
        ]
        record("off-policy", [cells], keys=(0, 1, 2))


def without_exploration(world: Outcomes, x: Float32Array, chosen: dict[str, IntArray]) -> None:
    """A line of JSON per policy: the error of two estimates from a log that never explores."""
    rng, rows = np.random.default_rng(0), np.arange(world.n_queries)
    errors: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    serves = chosen["serves"]
    for _ in range(DRAWS_WITHOUT):
        row = rng.integers(world.n_queries, size=REQUESTS)
        is_called = np.arange(world.n_models) == serves[row][:, None]
        seen = np.where(is_called, world.performance[row], np.nan)
        predicted = cross_fitted(x[row], seen, row % 2)
        for name, policy in chosen.items():
            truth = float(world.performance[rows, policy].mean())
            same = policy[row] == serves[row]
            matched = float(world.performance[row, policy[row]][same].mean())
            learned = float(np.nanmean(predicted[np.arange(REQUESTS), policy[row]]))
            errors[name].append((matched - truth, learned - truth))
    for name, pairs in errors.items():
        matched, learned = np.mean(pairs, axis=0)
        line = {"share": 0, "policy": name, "matched": round(matched, 4), "predicted": learned}
        sys.stdout.write(json.dumps(line) + "\n")


def main() -> None:
    """All lines for one table."""
    table = load_dataset(sys.argv[1]).choose_models(sys.argv[2].split(","))
    world, x, chosen = world_of(table.take(table.is_complete))
    rows = np.arange(world.n_queries)
    for name, policy in chosen.items():
        means = [float(getattr(world, what)[rows, policy].mean()) for what in WHAT]
        sys.stdout.write(json.dumps({"policy": name, "truth": means}) + "\n")
    without_exploration(world, x, chosen)
    for share in SHARES:
        coverage(world, x, chosen, share)


if __name__ == "__main__":
    main()

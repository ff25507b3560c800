"""The embedded data set: 6,200 made-up queries, 11 simulated models, nothing to download."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.cost.prices import PRICES, costs_usd
from equirouter.data.outcomes import Outcomes
from equirouter.data.simulated_outcomes import drawn, expected
from equirouter.data.simulated_profile import ACCURACY, PROFILES, VERBOSITY, Profile
from equirouter.data.simulated_texts import FAMILIES, make_texts
from equirouter.errors import ConfigError
from equirouter.progress import Progress, silent

__all__ = ["Simulated"]

MODELS = tuple(ACCURACY)
VISIBLE = 0.65
"""Share of the variance of difficulty that the text shows; the rest is hidden."""
LENGTH_SLOPE = 0.35
"""How much longer answers get with difficulty: factor exp(slope * difficulty)."""
LENGTH_NOISE = 0.35
"""Standard deviation of the logarithm of an answer's length, given the difficulty."""
MIN_QUERIES = 80


class Simulated:
    """Queries made from templates in eight families, outcomes from an item-response model.

    n_queries: 80 or more. seed: a whole number, not negative; the same one gives the same table,
    bit for bit. The names, prices and per-family accuracies of the models are RouterBench's; the
    texts and the outcomes are made up: see docs/simulated-data.md for what that is good for.
    Raises ConfigError for other values.
    """

    name = "simulated"
    description = "made-up queries of 8 task families, 11 models simulated after RouterBench"
    files = ()

    def __init__(self, n_queries: int = 6200, seed: int = 0) -> None:
        if n_queries < MIN_QUERIES:
            raise ConfigError(
                f"n_queries is {n_queries}; the simulated data set needs {MIN_QUERIES} or more, "
                "so that every task family has queries"
            )
        if seed < 0:
            raise ConfigError(f"seed is {seed}; expected 0 or a positive whole number")
        self.n_queries = n_queries
        self.seed = seed

    def load(self, path: Path | None = None, *, progress: Progress = silent) -> Outcomes:
        """The table; complete, with the families mixed. path: None, as there are no files.

        Raises ConfigError if a path is given.
        """
        if path is not None:
            raise ConfigError(
                f"the data set {self.name!r} is made in memory and reads no file, but the path "
                f"{path} was given; leave the path out, or give it in place of the name"
            )
        rng = np.random.default_rng(self.seed)
        sizes = _sizes(self.n_queries)
        parts = []
        for done, task in enumerate(FAMILIES):
            progress("simulate", done, len(FAMILIES))
            parts.append(_family(task, sizes[task], rng))
        progress("simulate", len(FAMILIES), len(FAMILIES))
        texts = [text for part in parts for text in part[0]]
        tasks = [task for task in FAMILIES for _ in range(sizes[task])]
        ids = [f"simulated.{task}.{i}" for task in FAMILIES for i in range(sizes[task])]
        table = Outcomes(
            query_ids=tuple(ids),
            texts=tuple(texts),
            tasks=tuple(tasks),
            models=MODELS,
            performance=np.concatenate([part[1] for part in parts]),
            cost_usd=np.concatenate([part[2] for part in parts]),
            name=self.name,
            notes=("simulated: texts and outcomes are made up, only per-task means are published",),
        )
        return table.take(rng.permutation(self.n_queries))


def _sizes(n_queries: int) -> dict[str, int]:
    """Queries per family: its share, rounded so that all add up to n_queries."""
    ends = np.rint(np.cumsum([PROFILES[task].share for task in FAMILIES]) * n_queries)
    return dict(zip(FAMILIES, np.diff(ends, prepend=0).astype(int).tolist(), strict=True))


def _family(
    task: str, size: int, rng: np.random.Generator
) -> tuple[list[str], FloatArray, FloatArray]:
    """Texts, performance (size, K) and cost_usd (size, K) of one family."""
    texts, visible = make_texts(task, size, rng)
    hidden = rng.standard_normal(size)
    difficulty = np.sqrt(VISIBLE) * visible + np.sqrt(1 - VISIBLE) * hidden  # shared by all models
    performance = np.empty((size, len(MODELS)))
    for column, model in enumerate(MODELS):
        levels = PROFILES[task].levels
        chance = expected(ACCURACY[model][task], difficulty, rng, levels=levels)
        performance[:, column] = drawn(chance, rng, levels=levels)
    return texts, performance, _costs(texts, difficulty, PROFILES[task], rng)


def _costs(
    texts: Sequence[str], difficulty: FloatArray, profile: Profile, rng: np.random.Generator
) -> FloatArray:
    """USD (N, K): four characters a token for the text, and answers longer where it is harder."""
    tokens_in = profile.overhead_tokens + _tokens(texts)
    costs = np.empty((len(texts), len(MODELS)))
    for column, model in enumerate(MODELS):
        noise = LENGTH_NOISE * rng.standard_normal(len(texts))
        median = profile.output_tokens * VERBOSITY[model]
        tokens_out = np.ceil(median * np.exp(LENGTH_SLOPE * difficulty + noise))
        costs[:, column] = costs_usd(PRICES[model], tokens_in, tokens_out)
    return costs


def _tokens(texts: Sequence[str]) -> IntArray:
    return np.array([-(-len(text) // 4) for text in texts], dtype=np.int64)

"""The simulated data set: 6,200 made-up queries, 11 simulated models, nothing to download."""

from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.cost.prices import Price, costs_usd
from equirouter.cost.published_prices import PRICES
from equirouter.data.outcomes import Outcomes
from equirouter.data.sources.simulated_texts import make_texts
from equirouter.errors import ConfigError
from equirouter.progress import Progress, silent

DISCRIMINATION = 2.2  # how steeply the chance of a right answer falls with difficulty
JUDGE_NOISE = 0.8  # standard deviation, in logits, of a judge's opinion of one answer
VISIBLE = 0.65  # share of the variance of difficulty that the text shows; the rest is hidden
LENGTH_SLOPE = 0.35  # answers are longer by the factor exp(slope * difficulty)
LENGTH_NOISE = 0.35  # standard deviation of the logarithm of a length, given the difficulty


class Profile(NamedTuple):
    """One task family; its figures are made up."""

    share: float  # of the queries
    overhead_tokens: int  # instructions that are charged with every query but are not in its text
    output_tokens: float  # median of an answer to a query of mean difficulty
    levels: int = 1  # outcomes are multiples of 1 / levels: right or wrong, or a judge's tenths


PROFILES = {
    "knowledge": Profile(0.24, 320, 12),
    "chat": Profile(0.06, 30, 300, levels=10),
    "code": Profile(0.08, 280, 90),
    "continuation": Profile(0.16, 380, 10),
    "pronouns": Profile(0.12, 180, 8),
    "arithmetic": Profile(0.15, 420, 110),
    "science": Profile(0.11, 260, 12),
    "reading": Profile(0.08, 120, 30),
}
# RouterBench's 5-shot accuracies (arXiv:2403.12031) on MMLU, MT-Bench, MBPP, HellaSwag, WinoGrande,
# GSM8K and ARC-Challenge, in the order of PROFILES; last a made-up factor on the length of answers
_MODELS = {
    "WizardLM/WizardLM-13B-V1.2": (0.568, 0.796, 0.364, 0.636, 0.512, 0.510, 0.660, 1.25),
    "claude-instant-v1": (0.384, 0.863, 0.550, 0.801, 0.512, 0.626, 0.821, 1.1),
    "claude-v1": (0.475, 0.938, 0.527, 0.841, 0.570, 0.653, 0.889, 1.15),
    "claude-v2": (0.619, 0.854, 0.605, 0.421, 0.446, 0.664, 0.546, 1.3),
    "gpt-3.5-turbo-1106": (0.720, 0.908, 0.651, 0.816, 0.630, 0.601, 0.855, 0.9),
    "gpt-4-1106-preview": (0.828, 0.971, 0.682, 0.923, 0.858, 0.654, 0.921, 1.05),
    "meta/code-llama-instruct-34b-chat": (0.569, 0.796, 0.465, 0.525, 0.617, 0.462, 0.644, 1.1),
    "meta/llama-2-70b-chat": (0.647, 0.854, 0.302, 0.736, 0.504, 0.529, 0.794, 1.4),
    "mistralai/mistral-7b-chat": (0.562, 0.779, 0.349, 0.541, 0.562, 0.409, 0.642, 1.15),
    "mistralai/mixtral-8x7b-chat": (0.733, 0.921, 0.573, 0.707, 0.677, 0.515, 0.844, 1.0),
    "zero-one-ai/Yi-34B-Chat": (0.743, 0.938, 0.333, 0.931, 0.748, 0.552, 0.882, 1.0),
}
ACCURACY = {
    model: dict(zip(PROFILES, (*published, round(sum(published) / 7, 3)), strict=True))
    for model, (*published, _) in _MODELS.items()
}
"""Model -> family -> expected mean performance; `reading` is made up, the mean of the others."""


class Simulated:
    """Queries made from templates in eight families, outcomes from an item-response model.

    n_queries: 80 or more. seed: 0 or more; the same one gives the same table, bit for bit. Names,
    prices and per-family accuracies of the models are RouterBench's; texts and outcomes are made
    up, which is good for the uses in docs/simulated-data.md. Raises ConfigError for other values.
    """

    name = "simulated"
    description = "made-up queries of 8 task families, 11 models simulated after RouterBench"
    fewest = 80
    shares: ClassVar = {task: profile.share for task, profile in PROFILES.items()}

    def __init__(self, n_queries: int = 6200, seed: int = 0) -> None:
        if n_queries < self.fewest:
            raise ConfigError(
                f"n_queries is {n_queries}; the data set {self.name!r} needs {self.fewest} or "
                "more, so that every task has queries"
            )
        if seed < 0:
            raise ConfigError(f"seed is {seed}; expected 0 or a positive whole number")
        self.n_queries = n_queries
        self.seed = seed

    def load(self, path: Path | None = None, *, progress: Progress = silent) -> Outcomes:
        """The table; complete, with the tasks mixed. path: None, as there are no files.

        Raises ConfigError if a path is given.
        """
        if path is not None:
            raise ConfigError(
                f"the data set {self.name!r} is made here and reads no file, but the path {path} "
                "was given; leave the path out, or give it in place of the name"
            )
        return self._made(progress)

    def _made(self, progress: Progress) -> Outcomes:
        rng = np.random.default_rng(self.seed)
        ends = np.rint(np.cumsum(list(self.shares.values())) * self.n_queries)
        texts: list[str] = []
        rows: list[tuple[str, int]] = []
        parts = []
        sizes = np.diff(ends, prepend=0)
        for done, (task, size) in enumerate(zip(self.shares, sizes, strict=True)):
            progress("simulate", done, len(sizes))
            of_task, visible = make_texts(task, int(size), rng)
            texts += of_task
            rows += [(task, row) for row in range(len(of_task))]
            parts.append(_family(task, of_task, visible, rng))
        progress("simulate", len(sizes), len(sizes))
        table = Outcomes(
            query_ids=tuple(f"{self.name}.{task}.{row}" for task, row in rows),
            texts=tuple(texts),
            tasks=tuple(task for task, _ in rows),
            models=tuple(_MODELS),
            performance=np.concatenate([performance for performance, _ in parts]),
            cost_usd=np.concatenate([cost_usd for _, cost_usd in parts]),
            name=self.name,
            notes=("simulated: texts and outcomes are made up, only per-task means are published",),
        )
        return table.take(rng.permutation(self.n_queries))


ROUTERBENCH_QUERIES = {
    "knowledge": 14_042,
    "chat": 80,
    "code": 427,
    "continuation": 10_042,
    "pronouns": 1_267,
    "arithmetic": 7_450,
    "science": 1_470,
}
"""Family -> queries of the benchmark that it is after, in RouterBench (arXiv:2403.12031)."""


class SimulatedRouterBench(Simulated):
    """Seven of the families of `simulated`, in the proportions of RouterBench.

    Half of the queries are of families where another model is better than the strongest one, so a
    router that tells families apart can match it for less; where the strongest is the best of each
    family, QNC cannot tell routers apart. n_queries: 500 or more; seed, errors: as of Simulated.
    """

    name = "simulated-routerbench"
    description = "the same with the task proportions of RouterBench: others beat the strongest"
    fewest = 500
    shares: ClassVar = {
        task: queries / sum(ROUTERBENCH_QUERIES.values())
        for task, queries in ROUTERBENCH_QUERIES.items()
    }


def _family(
    task: str, texts: list[str], visible: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Performance and cost_usd (n, K) of one family. visible (n,): the difficulty of the texts."""
    profile = PROFILES[task]
    hidden = rng.standard_normal(len(texts))
    difficulty = np.sqrt(VISIBLE) * visible + np.sqrt(1 - VISIBLE) * hidden  # shared by all models
    tokens = profile.overhead_tokens + np.array([-(-len(text) // 4) for text in texts])
    performance = np.empty((len(texts), len(_MODELS)))
    cost_usd = np.empty_like(performance)
    for column, (model, (*_, verbosity)) in enumerate(_MODELS.items()):
        accuracy = ACCURACY[model][task]
        performance[:, column] = drawn_outcomes(accuracy, difficulty, rng, levels=profile.levels)
        median = profile.output_tokens * verbosity
        cost_usd[:, column] = answer_costs(PRICES[model], tokens, median, difficulty, rng)
    return performance, cost_usd


def drawn_outcomes(
    accuracy: float, difficulty: FloatArray, rng: np.random.Generator, *, levels: int = 1
) -> FloatArray:
    """Outcomes (n,) in multiples of 1 / levels of a model whose mean performance is `accuracy`.

    The expected ones are sigmoid(a * (ability - difficulty)), the two-parameter item-response model
    (Birnbaum, 1968); the ability is found by bisection, as the mean rises with it. With levels
    above 1 a judge's opinion of each answer is added. Outcomes are drawn from them by systematic
    sampling in random order: each alone is as random as an independent draw, but the total is off
    by less than one level, so that the realised mean does not stray.
    """
    noise = JUDGE_NOISE * rng.standard_normal(len(difficulty)) if levels > 1 else 0.0
    low, high = -20.0, 20.0
    for _ in range(60):
        ability = (low + high) / 2
        chance = 1 / (1 + np.exp(-DISCRIMINATION * (ability - difficulty) - noise))
        low, high = (ability, high) if chance.mean() < accuracy else (low, ability)
    order = rng.permutation(len(chance))
    passed = np.floor(np.cumsum(chance[order] * levels) + rng.random())
    drawn = np.empty(len(chance))
    drawn[order] = np.diff(passed, prepend=0.0) / levels
    return drawn


def answer_costs(
    price: Price, tokens_in: IntArray, median: float, hard: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """USD (n,) of a model's answers to queries of difficulty `hard` (n,), longer where harder."""
    noise = LENGTH_NOISE * rng.standard_normal(len(hard))
    tokens_out = np.ceil(median * np.exp(LENGTH_SLOPE * hard + noise))
    return costs_usd(price, tokens_in, tokens_out)

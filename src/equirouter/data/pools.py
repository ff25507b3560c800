"""Pools of models that have queries in common, and the choice of models of a table."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equirouter.arrays import BoolArray, IntArray
from equirouter.data.cells import OutcomeCells
from equirouter.errors import ConfigError
from equirouter.words import did_you_mean, first_of, number_of

MINIMUM_COMPLETE = 20
"""Complete queries that training and measuring need at least."""

_MOST_PATTERNS = 32
_MOST_NAMED = 5


@dataclass(frozen=True)
class CompletePool:
    """Models, and the number of queries on which the outcome of each of them is known."""

    models: tuple[str, ...]
    n_queries: int


def chosen_models(
    table: OutcomeCells, models: Sequence[str] | None, exclude: Sequence[str]
) -> tuple[str, ...]:
    """The names in models, or all of the table, without those in exclude.

    In the order of models, else of the table. Raises ConfigError for a name that the table does not
    have, one that is given twice, and where fewer than two are left.
    """
    for name in (*(models or ()), *exclude):
        if name not in table.models:
            raise ConfigError(
                f"{table.name}: there is no model {name!r}; {did_you_mean(name, table.models)}it "
                f"has {first_of(table.models, 20)}"
            )
    left = tuple(name for name in models or table.models if name not in exclude)
    if len(set(left)) < len(left):
        twice = next(name for name in left if left.count(name) > 1)
        raise ConfigError(f"model {twice!r} is named twice; name each once")
    if len(left) < 2:
        raise ConfigError(
            f"{table.name}: {number_of(len(left), 'model')} of {table.n_models} would be left; "
            "routing needs at least two"
        )
    return left


def working_pools(table: OutcomeCells) -> list[CompletePool]:
    """Up to three pools of two models and more with at least MINIMUM_COMPLETE complete queries.

    The one with the most models, the one with the most cells (models times queries), and the one
    with the most queries, in this order, but none that has hardly more queries (a tenth) than the
    one before. Looked for among the sets of models that
    queries have outcomes of, what two of the most frequent ones have in common, and the sets that
    are left when the model that is missing most often is taken away, again and again. So these are
    large pools; a larger one may exist where outcomes are missing without a pattern.
    """
    known = np.isfinite(table.performance) & np.isfinite(table.cost_usd)
    patterns, sizes = np.unique(known, axis=0, return_counts=True)
    counts = sizes.astype(np.int64)
    candidates = np.unique(_candidates(patterns, counts), axis=0)
    candidates = candidates[candidates.sum(axis=1) >= 2]
    if len(candidates) == 0:
        return []
    n_models = candidates.sum(axis=1)
    shared = patterns.astype(np.float32) @ candidates.T.astype(np.float32)
    n_queries = counts @ (shared == n_models)
    enough = np.flatnonzero(n_queries >= MINIMUM_COMPLETE)
    best = [
        max(enough.tolist(), key=lambda i: (rank[i], n_queries[i], n_models[i]))
        for rank in (n_models, n_models * n_queries, n_queries)
        if len(enough)
    ]
    pools: list[CompletePool] = []
    for i in best:
        models = tuple(table.models[column] for column in np.flatnonzero(candidates[i]))
        if not pools or n_queries[i] > 1.1 * pools[-1].n_queries:
            pools.append(CompletePool(models, int(n_queries[i])))
    return pools


def _candidates(patterns: BoolArray, counts: IntArray) -> BoolArray:
    """Sets of models, (C, K), from the sets that queries have outcomes of."""
    frequent = patterns[np.argsort(-counts, kind="stable")[:_MOST_PATTERNS]]
    common = (frequent[:, None] & frequent[None]).reshape(-1, patterns.shape[1])
    left = np.ones(patterns.shape[1], dtype=bool)
    chain = []
    order = np.argsort(counts @ patterns, kind="stable")  # the model known least often first
    for column in order:
        chain.append(left.copy())
        left[column] = False
    return np.concatenate([common, np.array(chain)])


def pool_advice(table: OutcomeCells) -> str:
    """Advice on a table whose models have too few queries in common, as sentences."""
    known = (np.isfinite(table.performance) & np.isfinite(table.cost_usd)).sum(axis=0)
    order = np.argsort(known, kind="stable")
    sparse = [
        f"{table.models[column]} ({known[column]})"
        for column in order[:_MOST_NAMED]
        if known[column] < table.n_queries
    ]
    pools = working_pools(table)
    least = f"Known on the fewest queries: {', '.join(sparse)}. "
    if not pools:
        return (
            f"{least}No two models have {MINIMUM_COMPLETE} queries in common: run the models on "
            "the same queries (equirouter collect does)"
        )
    smaller = [pool for pool in pools if len(pool.models) < len(table.models)]
    if not smaller:  # all models have the most queries in common already
        return least.rstrip()
    offers = "".join(
        f"\n  {len(pool.models)} models with {pool.n_queries} queries: {_option(table, pool)}"
        for pool in smaller
    )
    return f"{least}Pools that would work (Outcomes.choose_models in Python):{offers}"


def _option(table: OutcomeCells, pool: CompletePool) -> str:
    """The shorter of the two options that choose a pool."""
    others = [model for model in table.models if model not in pool.models]
    if len(others) < len(pool.models):
        return f"--exclude-models {shlex.quote(','.join(others))}"
    return f"--models {shlex.quote(','.join(pool.models))}"

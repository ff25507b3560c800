"""Warnings about a table of outcomes: what looks wrong though it can be read.

Each check gives sentences that say what was found, where, why it matters and what to do.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.data.cells import OutcomeCells
from equirouter.data.repeats import count_repeated, equal_queries
from equirouter.words import first_of

FEW_ROWS = 20
"""Known cells below which a constant column is no surprise."""

MANY_ZEROS = 0.05
MANY_EQUAL = 0.05
SPARSE = 0.1
"""Share of the queries below which a model is known on few of them."""

SMALL = 0.02
"""Share of the scale: a model that never scores above it is measured on another scale."""


def table_warnings(table: OutcomeCells) -> tuple[str, ...]:
    """All that looks wrong in a table, a sentence or two each; () where nothing does."""
    return tuple(warning for check in _CHECKS for warning in check(table))


def _same_cost(table: OutcomeCells) -> Iterator[str]:
    known = table.cost_usd[np.isfinite(table.cost_usd)]
    if len(known) >= FEW_ROWS and known.min() == known.max() and known[0] != 0:
        yield (
            f"cost_usd is {known[0]:g} in every cell, so no choice saves anything: give what each "
            "call cost, tokens times price."
        )


def _free_models(table: OutcomeCells) -> Iterator[str]:
    free = _models_where(table, table.cost_usd, partial(_is_always, 0.0))
    if free:
        yield (
            f"cost_usd is 0 on all rows of {free}, so every budget allows these calls: if the "
            "cost is not known, leave the cells empty; if a call is free, all is well."
        )


def _zero_costs(table: OutcomeCells) -> Iterator[str]:
    some = _models_where(
        table, table.cost_usd, lambda known: MANY_ZEROS < float((known == 0).mean()) < 1
    )
    if some:
        yield (
            f"cost_usd is 0 on more than {MANY_ZEROS:.0%} of the rows of {some}, though not on "
            "all: calls that failed or were cached look cheap and teach a router to expect that; "
            "leave these cells empty."
        )


def _constant_tokens(table: OutcomeCells) -> Iterator[str]:
    for column, tokens in zip(("input_tokens", "output_tokens"), table.tokens or (), strict=False):
        same = _models_where(table, tokens, lambda known: bool(known.min() == known.max()))
        if same:
            yield (
                f"{column} is the same number on all rows of {same}: an average or a limit cannot "
                "teach what a query costs; give what each call used, or leave both token columns "
                "out."
            )


def _constant_scores(table: OutcomeCells) -> Iterator[str]:
    for value in table.performance_range:
        same = _models_where(table, table.performance, partial(_is_always, value))
        if same:
            yield (
                f"performance is {value:g} on all rows of {same}: a grader that failed looks like "
                "this; check some answers, or leave the model out (--exclude-models)."
            )


def _another_scale(table: OutcomeCells) -> Iterator[str]:
    low, high = table.performance_range
    limit = low + SMALL * (high - low)
    small = _models_where(
        table, table.performance, lambda known: bool(known.max() > low and known.max() <= limit)
    )
    if small:
        yield (
            f"performance of {small} is never above {limit:g} on a scale from {low:g} to "
            f"{high:g}: it looks like a share where per cent is stated, or was divided by 100 "
            "twice; bring all models to one scale and state it (--performance-range)."
        )


def _names_alike(table: OutcomeCells) -> Iterator[str]:
    for what, names in (("models", table.models), ("tasks", sorted(set(table.tasks)))):
        spelt: dict[str, list[str]] = {}
        for name in names:
            spelt.setdefault(re.sub(r"[\s_-]+", "-", name.strip()).casefold(), []).append(name)
        pairs = [" and ".join(map(repr, same)) for same in spelt.values() if len(same) > 1]
        if pairs:
            yield (
                f"{what} that differ only by case, spaces or hyphens: {first_of(pairs)}. If they "
                "are the same, each has but a part of the outcomes; write the name in one way."
            )


def _sparse_models(table: OutcomeCells) -> Iterator[str]:
    known = (np.isfinite(table.performance) & np.isfinite(table.cost_usd)).sum(axis=0)
    few = np.flatnonzero(known < SPARSE * table.n_queries)
    if len(few):
        named = first_of([f"{table.models[k]!r} ({known[k]})" for k in few])
        yield (
            f"known on less than {SPARSE:.0%} of the {table.n_queries} queries: {named}. Only "
            "queries with the outcome of every model are measured; run these models on more "
            "queries, or leave them out (--exclude-models)."
        )


def _equal_queries(table: OutcomeCells) -> Iterator[str]:
    group = equal_queries(table)
    n_equal = count_repeated(group)
    if n_equal > MANY_EQUAL * table.n_queries:
        yield (
            f"{n_equal} of {table.n_queries} queries have the text of another one "
            f"({group.max() + 1} are different): splits keep them together, and figures are as "
            "certain as the different ones make them; a query asked several times can be one row "
            "with its mean."
        )


def _is_always(value: float, known: FloatArray) -> bool:
    return bool((known == value).all())


def _models_where(
    table: OutcomeCells, cells: FloatArray, holds: Callable[[FloatArray], bool]
) -> str:
    """The models for whose known cells a condition holds, if there are FEW_ROWS of them."""
    columns = (column[np.isfinite(column)] for column in cells.T)
    models = [
        repr(model)
        for model, known in zip(table.models, columns, strict=True)
        if len(known) >= FEW_ROWS and holds(known)
    ]
    kind = "model" if len(models) == 1 else "models"
    return f"{kind} {first_of(models)}" if models else ""


_CHECKS: tuple[Callable[[OutcomeCells], Iterator[str]], ...] = (
    _same_cost,
    _free_models,
    _zero_costs,
    _constant_tokens,
    _constant_scores,
    _another_scale,
    _names_alike,
    _sparse_models,
    _equal_queries,
)

"""An outcomes table as Arrow columns, long and wide."""

import numpy as np
import pyarrow as pa

from equirouter.arrays import FloatArray
from equirouter.data.cells import OutcomeCells
from equirouter.data.reading.columns import (
    ANSWER,
    ANSWERS_BY,
    COST_SUFFIX,
    DESCRIPTION,
    DESCRIPTION_SUFFIX,
    FINISH_REASON,
    INPUT_SUFFIX,
    INPUT_TOKENS,
    OUTPUT_SUFFIX,
    OUTPUT_TOKENS,
    PROPENSITY,
    RESERVED,
    SCORED_BY,
    SIGNAL,
    is_ignored,
)
from equirouter.errors import DataError


def to_long(outcomes: OutcomeCells) -> pa.Table:
    """One row per query and model, query by query; an unknown outcome is null."""
    n, k = outcomes.n_queries, outcomes.n_models
    of_query = pa.array(np.repeat(np.arange(n), k))
    columns = {column: cells.take(of_query) for column, cells in _query_columns(outcomes).items()}
    image = columns.pop("image_path", None)
    columns["model"] = _texts(outcomes.models).take(pa.array(np.tile(np.arange(k), n)))
    columns["performance"] = pa.array(outcomes.performance.ravel(), from_pandas=True)
    columns["cost_usd"] = pa.array(outcomes.cost_usd.ravel(), from_pandas=True)
    for column, tokens in _tokens(outcomes, INPUT_TOKENS[0], OUTPUT_TOKENS[0]):
        columns[column] = pa.array(tokens.ravel(), from_pandas=True)
    columns.update(_responses(outcomes))
    columns.update(_read_by(outcomes, n * k))
    if image is not None:
        columns["image_path"] = image
    if outcomes.model_descriptions is not None:
        described = _texts(outcomes.model_descriptions)
        columns[DESCRIPTION[0]] = described.take(pa.array(np.tile(np.arange(k), n)))
    return pa.table(columns)


def to_wide(outcomes: OutcomeCells) -> pa.Table:
    """One row per query, with MODEL and MODEL|total_cost; an unknown outcome is null.

    A model that is described has a column MODEL|description too, and where tokens are known there
    are MODEL|input_tokens and MODEL|output_tokens; so with MODEL|answer, MODEL|finish_reason,
    MODEL|scored_by, MODEL|propensity and MODEL|signal.NAME.
    Raises DataError for a model whose name another column of the table has.
    """
    suffixes = (COST_SUFFIX, DESCRIPTION_SUFFIX, INPUT_SUFFIX, OUTPUT_SUFFIX)
    of_responses = (f"|{ANSWER}", f"|{FINISH_REASON}", f"|{SCORED_BY}", f"|{PROPENSITY}")
    for model in outcomes.models:
        ends = model.endswith(suffixes + of_responses) or f"|{SIGNAL}" in model
        if model in RESERVED or ends or is_ignored(model):
            raise DataError(
                f"{outcomes.name}: model {model!r} cannot be a column of a wide table, the name "
                "has another meaning there; write layout='long'"
            )
    columns = _query_columns(outcomes)
    arrays = [("", outcomes.performance), (COST_SUFFIX, outcomes.cost_usd)]
    arrays += _tokens(outcomes, INPUT_SUFFIX, OUTPUT_SUFFIX)
    for suffix, array in arrays:
        for j, model in enumerate(outcomes.models):
            columns[model + suffix] = pa.array(array[:, j], from_pandas=True)
    for kind, cells in _responses(outcomes):
        for j, model in enumerate(outcomes.models):
            columns[f"{model}|{kind}"] = cells[j :: outcomes.n_models]
    columns.update(_read_by(outcomes, outcomes.n_queries))
    described = outcomes.model_descriptions or ()
    for model, text in zip(outcomes.models, described, strict=False):
        if text is not None:
            columns[model + DESCRIPTION_SUFFIX] = _texts((text,) * outcomes.n_queries)
    return pa.table(columns)


def _query_columns(outcomes: OutcomeCells) -> dict[str, pa.Array]:
    columns = {
        "query_id": _texts(outcomes.query_ids),
        "query": _texts(outcomes.texts),
        "task": _texts(outcomes.tasks),
    }
    if outcomes.image_paths is not None:
        columns["image_path"] = _texts(outcomes.image_paths)
    return columns


def _tokens(outcomes: OutcomeCells, of_input: str, of_output: str) -> list[tuple[str, FloatArray]]:
    """The tokens that are known, each array beside the name that it has in the file."""
    named = ((of_input, outcomes.input_tokens), (of_output, outcomes.output_tokens))
    return [(name, tokens) for name, tokens in named if tokens is not None]


def _responses(outcomes: OutcomeCells) -> list[tuple[str, pa.Array]]:
    """All that is known of the responses: the name of each column, and its cells query by query."""
    known: list[tuple[str, pa.Array]] = []
    for name, cells in (
        (ANSWER, outcomes.answers),
        (FINISH_REASON, outcomes.finish_reasons),
        (SCORED_BY, outcomes.scored_by),
    ):
        if cells is not None:
            codes = pa.array(cells.codes.ravel(), mask=~cells.is_known.ravel())
            known.append((name, _texts(cells.values).take(codes)))
    if outcomes.propensity is not None:
        known.append((PROPENSITY, pa.array(outcomes.propensity.ravel(), from_pandas=True)))
    for name, signal in outcomes.signals.items():
        known.append((SIGNAL + name, pa.array(signal.ravel(), from_pandas=True)))
    return known


def _read_by(outcomes: OutcomeCells, n_rows: int) -> dict[str, pa.Array]:
    """The extractor of the answers on every row, where it is known."""
    if outcomes.answers is None or outcomes.answers_by is None:
        return {}
    return {ANSWERS_BY: pa.repeat(pa.scalar(outcomes.answers_by, pa.large_string()), n_rows)}


def _texts(values: tuple[str | None, ...]) -> pa.Array:
    return pa.array(values, pa.large_string())

"""An outcomes table as Arrow columns, long and wide."""

import numpy as np
import pyarrow as pa

from equirouter.arrays import FloatArray
from equirouter.data.cells import OutcomeCells, TextCells
from equirouter.data.reading.columns import (
    ANSWERS_BY,
    COST_SUFFIX,
    DESCRIPTION,
    DESCRIPTION_SUFFIX,
    FIELDS,
    RESERVED,
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
    suffixes = (COST_SUFFIX, DESCRIPTION_SUFFIX, *(f"|{kind}" for kind in FIELDS))
    for model in outcomes.models:
        ends = model.endswith(suffixes) or f"|{SIGNAL}" in model
        if model in RESERVED or ends or is_ignored(model):
            raise DataError(
                f"{outcomes.name}: model {model!r} cannot be a column of a wide table, the name "
                "has another meaning there; write layout='long'"
            )
    columns = _query_columns(outcomes)
    for suffix, array in (("", outcomes.performance), (COST_SUFFIX, outcomes.cost_usd)):
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


def _responses(outcomes: OutcomeCells) -> list[tuple[str, pa.Array]]:
    """All that is known of the responses: the name of each column, and its cells query by query."""
    cells = {kind: getattr(outcomes, field) for kind, field in FIELDS.items()}
    cells |= {SIGNAL + name: array for name, array in outcomes.signals.items()}
    return [(kind, _flat(known)) for kind, known in cells.items() if known is not None]


def _flat(cells: TextCells | FloatArray) -> pa.Array:
    if isinstance(cells, TextCells):
        codes = pa.array(cells.codes.ravel(), mask=~cells.is_known.ravel())
        return _texts(cells.values).take(codes)
    return pa.array(cells.ravel(), from_pandas=True)


def _read_by(outcomes: OutcomeCells, n_rows: int) -> dict[str, pa.Array]:
    """The extractor of the answers on every row, where it is known."""
    if outcomes.answers is None or outcomes.answers_by is None:
        return {}
    return {ANSWERS_BY: pa.repeat(pa.scalar(outcomes.answers_by, pa.large_string()), n_rows)}


def _texts(values: tuple[str | None, ...]) -> pa.Array:
    return pa.array(values, pa.large_string())

"""Benchmarks that publish answers in a repository: the files of a local clone, and one table."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from equirouter.cost.prices import costs_usd
from equirouter.cost.published_prices import published_price
from equirouter.data.outcomes import Outcomes
from equirouter.data.sources.by_name import with_note_on_missing
from equirouter.errors import DataError
from equirouter.progress import Progress
from equirouter.words import number_of


class CloneQuery(NamedTuple):
    """A query of a table."""

    text: str
    task: str
    image: str | None = None


class CloneAnswer(NamedTuple):
    """A model's answer: its performance, NaN where it is not known, and its tokens."""

    performance: float
    input_tokens: float
    output_tokens: float


def clone_at(path: Path | None, name: str, repository: str, folder: str) -> Path:
    """The folder of a local clone that holds `folder`.

    Raises DataError without a path, or where `folder` is not there, with the way out.
    """
    if path is None:
        raise DataError(
            f"{name} is read from a local clone: git clone --depth 1 {repository}, then give its "
            f"folder, {name}:path=FOLDER"
        )
    if not (path / folder).is_dir():
        raise DataError(f"{path}: there is no {folder} in it; expected a clone of {repository}")
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON list, or of JSON lines. Raises DataError that names file and line."""
    rows: Any
    try:
        text = path.read_text("utf-8")
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        else:
            rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: this is not JSON: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: expected a list of objects")
    return rows


def read_each(
    files: Mapping[str, Path],
    read: Callable[[Path, dict[str, CloneQuery]], dict[str, CloneAnswer]],
    questions: dict[str, CloneQuery],
    progress: Progress,
) -> dict[str, dict[str, CloneAnswer]]:
    """Model -> the answers in its file. read: gives them, and may add to the questions."""
    answers = {}
    for done, (model, file) in enumerate(files.items()):
        progress("read answers", done, len(files))
        answers[model] = read(file, questions)
    progress("read answers", len(files), len(files))
    return answers


def field(path: Path, number: int, row: Mapping[str, Any], name: str, kind: Any) -> Any:  # noqa: ANN401
    """A field of a row. Raises DataError that names file, row (from 1) and field if it is amiss."""
    value = row.get(name)
    if not isinstance(value, kind):
        expected = getattr(kind, "__name__", kind)
        raise DataError(f"{path}: row {number}: {name} is {value!r}, expected {expected}")
    return value


def priced_outcomes(
    name: str,
    questions: Mapping[str, CloneQuery],
    answers: Mapping[str, Mapping[str, CloneAnswer]],
    *,
    price_names: Mapping[str, str] = MappingProxyType({}),
    notes: Sequence[str] = (),
    image_root: Path | None = None,
) -> Outcomes:
    """The table of answers (model -> query id -> CloneAnswer), each at its model's published price.

    price_names: model -> the name that published_price knows it by, where that is another. Models
    without a price are left out, with a note that names them. Raises DataError if fewer than two
    are left.
    """
    prices = {model: published_price(price_names.get(model, model)) for model in sorted(answers)}
    models = [model for model, price in prices.items() if price is not None]
    if len(models) < 2:
        raise DataError(
            f"{name}: {number_of(len(models), 'model')} with a price among {', '.join(prices)}; "
            "at least two are needed"
        )
    cells = np.full((3, len(questions), len(models)), np.nan)
    row_of = {query: row for row, query in enumerate(questions)}
    for column, model in enumerate(models):
        for query, answer in answers[model].items():
            cells[:, row_of[query], column] = answer
    cost = np.column_stack(
        [
            costs_usd(price.price, cells[1, :, column], cells[2, :, column])
            for column, price in enumerate(each for each in prices.values() if each is not None)
        ]
    )
    left = [model for model in prices if model not in models]
    images = tuple(question.image for question in questions.values())
    table = Outcomes(
        query_ids=tuple(questions),
        texts=tuple(question.text for question in questions.values()),
        tasks=tuple(question.task for question in questions.values()),
        models=tuple(models),
        performance=cells[0],
        cost_usd=cost,
        input_tokens=cells[1],
        output_tokens=cells[2],
        image_paths=images if any(images) else None,
        image_root=image_root,
        name=name,
        notes=(
            *notes,
            "tokens are estimated from bytes, and costs from them and published_prices.toml",
            *([f"left out, no price is known: {', '.join(left)}"] if left else []),
        ),
    )
    return with_note_on_missing(table)

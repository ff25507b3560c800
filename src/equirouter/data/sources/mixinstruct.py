"""MixInstruct: instructions, the answers of eleven open models, and automatic scores of each.

Source: Jiang, Ren and Lin, "LLM-Blender: Ensembling Large Language Models with Pairwise Ranking and
Generative Fusion", ACL 2023, arXiv:2306.02561; data and format:
https://huggingface.co/datasets/llm-blender/mix-instruct (MIT; the instructions keep the licences of
the collections that they are from).
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.cost.prices import Price, cost_usd, estimated_tokens
from equirouter.cost.published_prices import price_of_size, size_of
from equirouter.cost.usage import Usage
from equirouter.data.outcomes import Outcomes
from equirouter.data.reading.queries import with_suffixes
from equirouter.data.sources.by_name import check_choice, decoded
from equirouter.data.sources.hub import HubFile, fetch
from equirouter.errors import ConfigError, DataError
from equirouter.progress import Progress, silent
from equirouter.words import number_of

METRICS = (
    "bartscore",
    "bertscore",
    "bleurt",
    "bleu",
    "rouge1",
    "rouge2",
    "rougeL",
    "rougeLsum",
)
UNBOUNDED = ("bartscore", "bleurt")
PARTS = ("train", "val", "test")

_REPO = "llm-blender/mix-instruct"
_COMMIT = "c7f77a4ef0515a99d1752c6387c22366d6922da6"
# No digests are published: those of the first download are recorded, and checked from then on.
_FILES = {part: HubFile(_REPO, f"{part}_data_prepared.jsonl", _COMMIT) for part in PARTS}
# The parts call one model by two names.
_SAME_MODEL = {"mpt-7b": "mpt-7b-instruct"}


class MixInstruct:
    """MixInstruct, from the hub or from a copy of it.

    metric: which score is the performance, one of METRICS: bartscore is the log-likelihood of the
    reference given the answer, the others compare answer and reference; higher is better in all.
    Each is scaled per query, the worst answer to 0 and the best to 1, as their ranges differ and
    bartscore has none; raw leaves the scores as they are, which margins between models need (Figure
    A3 of the paper; its authors' toolbox takes the raw bertscore). part: train, val or test,
    several joined by "+": the authors' parts, which are files; how queries are split for training
    and testing here is another matter.
    Raises ConfigError for another metric or part, or for raw scores that are not from 0 to 1.
    """

    description = "MixInstruct, instructions: 110,000 rows (test part: 5,000, 86 MB), 11 models"

    def __init__(self, *, metric: str = "bartscore", part: str = "test", raw: bool = False) -> None:
        self.metric = check_choice("metric", metric, METRICS)
        self.raw = raw
        if raw and metric in UNBOUNDED:
            raise ConfigError(
                f"raw scores are to be the performance, and {metric} is not a number from 0 to 1: "
                "choose another metric, such as bertscore, or leave raw out"
            )
        self.part = part
        self._parts = [check_choice("part", name, PARTS) for name in str(part).split("+")]

    @property
    def name(self) -> str:
        """The name, and the settings that are not the default's."""
        metric = "" if self.metric == "bartscore" else f"-{self.metric}"
        part = "" if self.part == "test" else f"-{self.part}"
        return f"mixinstruct{metric}{part}" + ("-raw" if self.raw else "")

    @property
    def files(self) -> tuple[HubFile, ...]:
        """One file for each part."""
        return tuple(_FILES[part] for part in dict.fromkeys(self._parts))

    def load(self, path: Path | None = None, *, progress: Progress = silent) -> Outcomes:
        """The outcomes table, from the hub or from a copy: the folder of the files, or one of them.

        One file is read whatever `part` says. Where scores are scaled, a query on which all answers
        score the same has 1 for each: any of them is the best; and with fewer than two scores
        nothing can be scaled, and the outcome is not known. The data has no costs: they are tokens
        (prices.estimated_tokens) times the price of the model's size (price_of_size). Tasks
        are the collections that the instructions are from.
        Raises DataError for a file that is not as it should be, DownloadError.
        """
        if path is None:
            paths = [fetch(file, progress=progress) for file in self.files]
        elif path.is_dir():
            paths = [path / file.filename for file in self.files]
        else:
            paths = [path]
        collected = _Collected()
        for file in paths:
            for place, row in _rows(file, progress):
                _add(collected, place, row, self.metric)
        if not collected.ids:
            raise DataError(f"{paths[0]}: there are no rows; at least one is needed")
        return _outcomes(self.name, self.metric, paths, collected, raw=self.raw)


@dataclass
class _Collected:
    """The contents of the rows, in order; scores and costs by model, where they are known."""

    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    costs: list[dict[str, float]] = field(default_factory=list)
    prices: dict[str, Price] = field(default_factory=dict)
    metrics: set[str] = field(default_factory=set)


def _rows(path: Path, progress: Progress) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSON lines file, each with its place."""
    try:
        with path.open("rb") as stream:
            total = path.stat().st_size
            done = 0
            for number, line in enumerate(stream, start=1):
                done += len(line)
                if not line.isspace():
                    place = f"{path}: line {number}"
                    yield place, _row(place, line)
                if number % 200 == 0 or done == total:
                    progress(f"read {path.name}", done, total)
    except OSError as error:
        raise DataError(f"{path}: could not be read: {error.strerror or error}") from error


def _row(place: str, line: bytes) -> dict[str, Any]:
    row = decoded(place, line)
    if not isinstance(row, dict) or not isinstance(row.get("candidates"), list):
        raise DataError(
            f"{place}: expected an object with id, instruction, input and a list of candidates"
        )
    return row


def _add(collected: _Collected, place: str, row: dict[str, Any], metric: str) -> None:
    texts = [_text(place, row, key) for key in ("instruction", "input")]
    query = "\n".join(text for text in texts if text.strip())
    if not query:
        raise DataError(f"{place}: instruction and input are both empty; remove the row")
    name = _text(place, row, "id")
    if not name:
        raise DataError(f"{place}: the id is empty; expected COLLECTION/NUMBER")
    scores: dict[str, float] = {}
    costs: dict[str, float] = {}
    tokens = estimated_tokens(query)
    for candidate in row["candidates"]:
        if not isinstance(candidate, dict):
            raise DataError(f"{place}: a candidate is {candidate!r}, expected an object")
        model = _text(place, candidate, "model")
        model = _SAME_MODEL.get(model, model)
        if not model or model in costs:
            raise DataError(
                f"{place}: model {model!r} has no name or two candidates; one per model is expected"
            )
        price = collected.prices.get(model) or _price(place, model)
        collected.prices[model] = price
        tokens_out = estimated_tokens(_text(place, candidate, "text"))
        costs[model] = cost_usd(price, Usage(tokens, tokens_out))
        score = _score(collected, place, candidate, metric)
        if score is not None:
            scores[model] = score
    collected.ids.append(name)
    collected.texts.append(query)
    collected.scores.append(scores)
    collected.costs.append(costs)


def _text(place: str, row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise DataError(f"{place}: {key} is {value!r}, a text is expected")
    return value


def _price(place: str, model: str) -> Price:
    size = size_of(model)
    if size is None:
        raise DataError(
            f"{place}: model {model!r} is not one of MixInstruct, and its name states no size "
            "(as in NAME-7b), so that its calls cannot be priced"
        )
    return price_of_size(size)


def _score(
    collected: _Collected, place: str, candidate: dict[str, Any], metric: str
) -> float | None:
    scores = candidate.get("scores")
    if not isinstance(scores, dict):
        raise DataError(
            f"{place}: scores is {scores!r}, expected an object such as {{{metric}: 0}}"
        )
    collected.metrics.update(scores)
    value = scores.get(metric)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) <= sys.float_info.max:  # an integer can be larger
        raise DataError(
            f"{place}: {metric} of model {candidate['model']!r} is {value!r}, a number is expected"
        )
    return float(value)


def _outcomes(
    name: str, metric: str, paths: list[Path], collected: _Collected, *, raw: bool
) -> Outcomes:
    if not any(collected.scores):
        raise DataError(
            f"{paths[0]}: no candidate has the score {metric!r}; found "
            f"{', '.join(sorted(collected.metrics)) or 'no scores'}: choose one with metric=..."
        )
    models = sorted(collected.prices)
    scored = np.array(
        [[scores.get(model, np.nan) for model in models] for scores in collected.scores]
    )
    costs = np.array([[cost.get(model, np.nan) for model in models] for cost in collected.costs])
    performance, scale = (scored, [f"performance is {metric}"]) if raw else _scaled(scored, metric)
    ids, same_id = with_suffixes(collected.ids, "id")
    notes = [
        *scale,
        "costs are estimates: bytes / 4 as tokens, times RouterBench's price of an open model of "
        "that size",
        same_id or "",
    ]
    return Outcomes(
        query_ids=tuple(ids),
        texts=tuple(collected.texts),
        tasks=tuple(query_id.partition("/")[0] for query_id in collected.ids),
        models=tuple(models),
        performance=performance,
        cost_usd=costs,
        name=name,
        notes=tuple(note for note in notes if note),
    )


def _scaled(scored: FloatArray, metric: str) -> tuple[FloatArray, list[str]]:
    """Min-max scaled rows (N, K), and notes on what was done."""
    known = np.isfinite(scored)
    alone = known.sum(axis=1) < 2
    low = np.where(known, scored, np.inf).min(axis=1, keepdims=True)
    high = np.where(known, scored, -np.inf).max(axis=1, keepdims=True)
    equal = (low == high)[:, 0] & ~alone
    span = np.where(high > low, high - low, 1.0)
    scaled = np.where(alone[:, None], np.nan, (scored - low) / span)
    scaled[equal] = np.where(known[equal], 1.0, np.nan)
    same = number_of(int(equal.sum()), "query", "queries")
    few = number_of(int(alone.sum()), "query has", "queries have")
    return scaled, [
        f"performance is {metric}, scaled per query: the worst answer is 0, the best 1",
        f"on {same} all answers score the same: each has performance 1" * bool(equal.any()),
        f"{few} fewer than two scores and no performance" * bool(alone.any()),
    ]

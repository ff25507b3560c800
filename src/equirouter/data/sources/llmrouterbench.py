"""LLMRouterBench: what 33 models scored on more than 20 benchmarks, with tokens and costs.

Source: Li et al., "LLMRouterBench: A Massive Benchmark and Unified Framework for LLM Routing",
2026, arXiv:2601.07206; data: https://huggingface.co/datasets/NPULH/LLMRouterBench, for which no
licence is stated; the tree of files and their fields: the README and baselines/data_loader.py of
https://github.com/ynulihao/LLMRouterBench (MIT according to its README).
"""

import json
import math
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from equirouter.cost.prices import Price, cost_usd
from equirouter.cost.published_prices import FLAGSHIP_PRICES, price_of, price_of_size, size_of
from equirouter.cost.usage import Usage
from equirouter.data.outcomes import Outcomes
from equirouter.data.reading.queries import with_suffixes
from equirouter.data.sources.archives import Member, Parts, members
from equirouter.data.sources.by_name import check_choice, decoded
from equirouter.data.sources.hub import HubFile, fetch
from equirouter.errors import DataError
from equirouter.progress import Progress, silent

POOLS = ("flagship", "open", "all")

_FILE = HubFile(
    "NPULH/LLMRouterBench",
    "bench-release.tar.gz",
    "0e5af1b84bf73437a01a1849c0f1d2468baa93fc",
    "b79f8cde1a6f029c2efa663a3a3b6f7748defb22341fe59f328cebef6648c8f1",
)
_N_FILES = 700  # in the archive, for the progress bar
Key: TypeAlias = tuple[str, str, str]  # benchmark, split, model
_TIMESTAMP = re.compile(r"(\d{8})_(\d{6})\.json$")


class LLMRouterBench:
    """LLMRouterBench, from the hub or from a copy of it.

    pool: the models. "flagship" (default): the 13 that were paid for by the token, on ten
    benchmarks; "open": the others, some 20 open models of 7 to 9 billion parameters, for which the
    data has no cost; "all": both, which have few queries in common. Raises ConfigError for another.
    """

    description = "LLMRouterBench: 12,446 queries of 10 benchmarks for 13 models, or 20 open models"
    files = (_FILE,)

    def __init__(self, *, pool: str = "flagship") -> None:
        self.pool = check_choice("pool", pool, POOLS)

    @property
    def name(self) -> str:
        """The name, and the pool if it is not the default."""
        return "llmrouterbench" if self.pool == "flagship" else f"llmrouterbench-{self.pool}"

    def load(self, path: Path | None = None, *, progress: Progress = silent) -> Outcomes:
        """The outcomes table, from the hub or from a copy: the archive, or the folder it makes.

        Files lie in BENCHMARK/SPLIT/MODEL/NAME_YYYYMMDD_HHMMSS.json; of several for the same three
        the latest counts, and demonstration runs do not. A query is a benchmark, a split, an index
        and the text that origin_query has (prompt where that is empty); a model that lacks it is
        NaN there. A cost of 0 for a call with tokens is not believed: it is tokens times price
        where prices.py knows one, by name or (outside the flagship pool) by the size in the name,
        else NaN. A score of null is NaN. Tasks are the benchmarks.
        Raises DataError for files that are not as they should be, for a pool without models, and if
        no query has every model; DownloadError.
        """
        if path is None:
            path = fetch(self.files[0], progress=progress)
        results = _Results(self.pool)
        for number, member in enumerate(members(path, ".json", results.may_hold), start=1):
            results.add(member)
            progress(f"read {path.name}", min(number, _N_FILES - 1), _N_FILES)
        progress(f"read {path.name}", _N_FILES, _N_FILES)
        return _outcomes(self.name, path, results)


class _Record(NamedTuple):
    """One model's outcome on one query; NaN where it is not known."""

    query: tuple[str, str, int, str]  # benchmark, split, index, text
    score: float
    cost: float


@dataclass
class _Run:
    """One file: when it was made, its records, and what was done about their costs."""

    stamp: str
    records: list[_Record]
    n_repaired: int = 0
    n_unpriced: int = 0


@dataclass
class _Results:
    """The latest run of each benchmark, split and model."""

    pool: str
    runs: dict[Key, _Run] = field(default_factory=dict)
    models_seen: set[str] = field(default_factory=set)
    n_older: int = 0
    n_demos: int = 0

    def add(self, member: Member) -> None:
        """Take the records of a file, if its model is of the pool and no later one was seen."""
        document = _decoded(member)
        key = _key(member, document)
        self.models_seen.add(key[2])
        if not self.is_wanted(key[2]):
            return
        if document.get("demo"):
            self.n_demos += 1
            return
        stamp = "".join(match.groups()) if (match := _TIMESTAMP.search(member.parts[-1])) else ""
        before = self.runs.get(key)
        self.n_older += before is not None
        if before is None or stamp > before.stamp:
            self.runs[key] = _read_run(member.place, document["records"], key, stamp)

    def may_hold(self, parts: Parts) -> bool:
        """Whether a file can be of the pool, as far as its folders say: decoding it is slow."""
        if len(parts) < 4:
            return True
        self.models_seen.add(parts[-2])
        return self.is_wanted(parts[-2])

    def is_wanted(self, model: str) -> bool:
        """Whether a model is of the pool."""
        return self.pool == "all" or (model in FLAGSHIP_PRICES) == (self.pool == "flagship")


def _decoded(member: Member) -> dict[str, Any]:
    document = decoded(member.place, member.content)
    if not isinstance(document, dict) or not isinstance(document.get("records"), list):
        raise DataError(f"{member.place}: expected an object with a list of records")
    return document


def _key(member: Member, document: dict[str, Any]) -> Key:
    """Benchmark, split and model, as the file says, else the folders that it is in."""
    folders = member.parts[-4:-1]
    parts = []
    for i, name in enumerate(("dataset_name", "split", "model_name")):
        value = document.get(name, folders[i] if len(folders) == 3 else None)
        if not isinstance(value, str) or not value:
            raise DataError(
                f"{member.place}: {name} is {value!r}; expected it in the file, or the file in "
                "BENCHMARK/SPLIT/MODEL/"
            )
        parts.append(value)
    return parts[0], parts[1], parts[2]


def _read_run(place: str, records: list[Any], key: Key, stamp: str) -> _Run:
    dataset, split, model = key
    price = _price(model)
    run = _Run(stamp, [])
    for number, record in enumerate(records, start=1):
        where = f"{place}: record {number}"
        if not isinstance(record, dict):
            raise DataError(f"{where}: found {record!r}, an object is expected")
        text = _text(record.get("origin_query")) or _text(record.get("prompt"))
        if not text.strip():
            raise DataError(f"{where}: origin_query and prompt are both empty")
        index = record.get("index", number)
        if not isinstance(index, int):
            raise DataError(f"{where}: index is {index!r}, a whole number is expected")
        cost = _cost(where, record, price, run)
        score = _number(where, record, "score")
        run.records.append(_Record((dataset, split, index, text), score, cost))
    return run


def _price(model: str) -> Price | None:
    size = size_of(model)
    return price_of(model) or (price_of_size(size) if size is not None else None)


def _cost(where: str, record: dict[str, Any], price: Price | None, run: _Run) -> float:
    cost = _number(where, record, "cost")
    if cost > 0:
        return cost
    if cost < 0:
        raise DataError(f"{where}: cost is {cost}, USD of one call is expected, not negative")
    tokens = [_number(where, record, name) for name in ("prompt_tokens", "completion_tokens")]
    if any(number < 0 for number in tokens):
        raise DataError(f"{where}: tokens are {tokens}, numbers that are not negative are expected")
    if price is None or not sum(tokens) > 0:  # NaN too
        run.n_unpriced += 1
        return math.nan
    run.n_repaired += 1
    return cost_usd(price, Usage(*tokens))


def _number(where: str, record: dict[str, Any], name: str) -> float:
    """NaN where there is none."""
    value = record.get(name)
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise DataError(f"{where}: {name} is {value!r}, a number is expected, or null")
    return float(value)


def _text(value: Any) -> str:  # noqa: ANN401  # some benchmarks have lists of messages
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _outcomes(name: str, path: Path, results: _Results) -> Outcomes:
    models = sorted({model for _, _, model in results.runs})
    if not models:
        known = ", ".join(sorted(results.models_seen)) or "no .json files"
        raise DataError(
            f"{path}: no results of the pool {results.pool!r}; found {known}; another pool is "
            f"named with pool=..., one of {', '.join(POOLS)}"
        )
    rows: dict[tuple[str, str, int, str], int] = {}
    for run in results.runs.values():
        for record in run.records:
            rows.setdefault(record.query, len(rows))
    if not rows:
        raise DataError(f"{path}: the files have no records; at least one is needed")
    performance = np.full((len(rows), len(models)), np.nan)
    cost = performance.copy()
    for (dataset, split, model), run in results.runs.items():
        column = models.index(model)
        for record in run.records:
            row = rows[record.query]
            if not np.isnan(performance[row, column]):
                raise DataError(
                    f"{path}: {dataset}/{split}/{model}: index {record.query[2]} occurs twice with "
                    "the same query; one record per query is expected"
                )
            performance[row, column], cost[row, column] = record.score, record.cost
    if not (np.isfinite(performance).all(axis=1)).any():
        raise DataError(
            f"{path}: no query has the score of every model ({', '.join(models)}), so they cannot "
            "be compared; choose another pool, or leave models out of the folder"
        )
    # where models disagree about the text of an index, #2, #3 behind it
    ids, _ = with_suffixes(
        [f"{dataset}/{split}/{index}" for dataset, split, index, _ in rows], "id"
    )
    return Outcomes(
        query_ids=tuple(ids),
        texts=tuple(query[3] for query in rows),
        tasks=tuple(query[0] for query in rows),
        models=tuple(models),
        performance=performance,
        cost_usd=cost,
        name=name,
        notes=_notes(results, performance),
    )


def _notes(results: _Results, performance: np.ndarray[Any, Any]) -> tuple[str, ...]:
    runs = results.runs.values()
    repaired, unpriced = sum(r.n_repaired for r in runs), sum(r.n_unpriced for r in runs)
    partial = int(np.isnan(performance).any(axis=1).sum())
    counted = (
        (repaired, "calls with a cost of 0 or none are priced by their tokens (prices.py)"),
        (unpriced, "calls have no cost, no price or no tokens: their cost is not known"),
        (partial, "queries lack the score of some models; measures leave them out"),
        (results.n_older, "files are older than another of the same benchmark, split and model"),
        (results.n_demos, "files of demonstration runs are not used"),
    )
    return tuple(f"{number} {what}" for number, what in counted if number)

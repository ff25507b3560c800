"""RouterEval: what up to 8,500 open models scored on twelve leaderboard benchmarks.

Source: Huang et al., "RouterEval: A Comprehensive Benchmark for Routing LLMs to Explore Model-level
Scaling Up in LLMs", EMNLP 2025; data: https://huggingface.co/datasets/linggm/RouterEval
(MIT; the questions keep the licences of their benchmarks); files and their parts: README and
utils.py of https://github.com/MilkThink-Lab/RouterEval.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.cost.prices import Price, cost_usd, estimated_tokens
from equirouter.cost.published_prices import price_of_size, size_of
from equirouter.cost.usage import Usage
from equirouter.data.outcomes import Outcomes
from equirouter.data.reading.unpickle import read_pickle_values
from equirouter.data.sources.archives import Member, Parts, members
from equirouter.data.sources.by_name import check_choice
from equirouter.data.sources.hub import HubFile, fetch
from equirouter.errors import ConfigError, DataError
from equirouter.progress import Progress, silent
from equirouter.words import number_of

SIZES = {3: "easy", 5: "easy", 10: "hard", 100: "hard", 1000: "hard"}
GROUPS = ("all_strong", "all_weak", "strong_to_weak")
COSTS = ("size", "equal")
PARTS = ("train", "val", "test")
# Which benchmarks stand on which version of the Open LLM Leaderboard, by a word in the file's name.
# Hardly a model stands on both.
LEADERBOARDS = {
    "old": ("arc", "gsm8k", "hellaswag", "mmlu", "truthfulqa", "winogrande"),
    "new": ("bbh", "gpqa", "ifeval", "math", "mmlu_pro", "musr"),
}

_FILE = HubFile(
    "linggm/RouterEval", "router_dataset.zip", "0ee4de2661854b588474c211bebe97dc1e434237"
)
_NO_OUTCOMES = ("embedding", "split_index")
_SCORES, _PROMPTS = "leaderboard_score", "leaderboard_prompt"


class RouterEval:
    """RouterEval, from the hub or from a copy of it.

    size: candidate models per benchmark, 3, 5, 10, 100 or 1000, or "all" with a local copy that has
    leaderboard_score/ and leaderboard_prompt/ (these are not fetched). group: "all_strong",
    "all_weak" or "strong_to_weak", how the candidates were picked. data: "old" or "new", the
    benchmarks of one version of the leaderboard, or benchmarks by name, joined by "+"; every
    benchmark has candidates of its own, and the table has the models that all of them share. cost:
    the data has none. "size" takes the tokens of the prompt (prices.estimated_tokens) times the
    price of the size in the model's name (price_of_size), and leaves out models whose name
    states none; "equal" takes 1 USD per million tokens for every model.
    Raises ConfigError for a setting that is none of these.
    """

    description = "RouterEval: 12 leaderboard benchmarks, 3 to 1,000 models (8,500 in a local copy)"
    files = (_FILE,)

    def __init__(
        self,
        *,
        size: int | str = 1000,
        group: str = "strong_to_weak",
        data: str = "old",
        cost: str = "size",
    ) -> None:
        if size not in (*SIZES, "all"):
            raise ConfigError(f"size is {size!r}: known: {', '.join(map(str, SIZES))}, all")
        self.size = size
        self.group = check_choice("group", group, GROUPS)
        self.cost = check_choice("cost", cost, COSTS)
        self.data = str(data)

    @property
    def name(self) -> str:
        """The name, and the settings that are not the default's."""
        defaults = {"size": 1000, "group": "strong_to_weak", "data": "old", "cost": "size"}
        changed = [str(getattr(self, k)) for k, v in defaults.items() if getattr(self, k) != v]
        return "-".join(["routereval", *changed])

    def load(self, path: Path | None = None, *, progress: Progress = silent) -> Outcomes:
        """The outcomes table, from the hub or from a copy: the zip, its folder, or one .pkl of it.

        The three parts of the authors (train, val, test) are one table here, split anew. Tasks are
        the benchmarks; with size=all they are the benchmarks' own subjects. The pickles are read
        without being run. Memory: about 40 bytes per query and model while reading, 16 after.
        Raises DataError for files that are not as they should be and for benchmarks that share no
        model, DownloadError.
        """
        if path is None:
            if self.size == "all":
                raise ConfigError(
                    "size=all needs a local copy: download leaderboard_score and "
                    "leaderboard_prompt from the hub and give their folder, "
                    "routereval:size=all:path=FOLDER"
                )
            path = fetch(self.files[0], progress=progress)
        read = self._leaderboard if self.size == "all" else self._groups
        return self._outcomes(path, list(read(path, progress)))

    def _groups(self, path: Path, progress: Progress) -> Iterator["_Benchmark"]:
        """The candidate group of every benchmark that is asked for."""
        benchmarks: list[str] = []

        def wanted(parts: Parts) -> bool:
            if _SCORES in parts or _PROMPTS in parts or "leaderboard_embed" in parts:
                return False
            benchmarks.append(_benchmark(parts))
            return _is_asked(benchmarks[-1], self.data)

        for member in members(path, ".pkl", wanted):
            progress(f"read {path.name}", min(len(benchmarks), 11), 12)
            yield self._group(member)
        progress(f"read {path.name}", 12, 12)
        if not path.is_file() or path.suffix != ".pkl":
            _check_all_there(path, self.data, benchmarks)

    def _group(self, member: Member) -> "_Benchmark":
        content = read_pickle_values(io.BytesIO(member.content), member.place, without=_NO_OUTCOMES)
        level = SIZES[int(self.size)]
        pool = content
        asked = f"; asked for with size={self.size}, group={self.group}"
        for key in (level, self.size, self.group):
            pool = _item(member.place, pool, key, asked)
        models = _names(member.place, _item(member.place, pool, "model"))
        prompts = _item(member.place, content, "prompt")
        scores = _item(member.place, pool, "data")
        texts: list[str] = []
        parts = []
        for part in PARTS:
            prompts_of_part = _texts(member.place, _item(member.place, prompts, f"{part}_prompt"))
            score = _item(member.place, scores, f"{part}_score")
            parts.append(
                _matrix(f"{member.place}: {part}_score", score, len(prompts_of_part), len(models))
            )
            texts += prompts_of_part
        return _Benchmark(_benchmark(member.parts), models, texts, np.concatenate(parts))

    def _leaderboard(self, path: Path, progress: Progress) -> Iterator["_Benchmark"]:
        """Every subject of one leaderboard, with all its models."""
        prompts: dict[str, Any] = {}
        for member in members(path, ".pkl", lambda parts: _PROMPTS in parts):
            content = read_pickle_values(io.BytesIO(member.content), member.place)
            prompts |= content if isinstance(content, dict) else {}
        files: list[str] = []

        def wanted(parts: Parts) -> bool:
            if _SCORES in parts:
                files.append(Path(parts[-1]).stem)
            return _SCORES in parts and self.data in files[-1]

        progress(f"read {path.name}", 0, 1)
        chosen = list(members(path, ".pkl", wanted))
        if len(chosen) != 1:
            raise DataError(
                f"{path}: {len(chosen)} files of {_SCORES}/ have {self.data!r} in their name; one "
                f"is expected: data=..., a part of {', '.join(files) or 'a name (there is none)'}"
            )
        place = chosen[0].place
        content = read_pickle_values(io.BytesIO(chosen.pop().content), place)
        models = _names(place, _item(place, content, "models"))
        subjects = _item(place, content, "data")
        for subject in sorted(subjects):
            scores = _item(place, subjects.pop(subject), "correctness")
            texts = _texts(place, _item(f"{path}: {_PROMPTS}", prompts, subject))
            matrix = _matrix(f"{place}: {subject}", scores, len(texts), len(models))
            yield _Benchmark(subject, models, texts, matrix)
        progress(f"read {path.name}", 1, 1)

    def _outcomes(self, path: Path, benchmarks: list["_Benchmark"]) -> Outcomes:
        shared, note = _shared(path, benchmarks)
        models, prices, left_out = self._priced(shared)
        if not models:
            raise DataError(
                f"{path}: none of the {len(shared)} models has a size in its name, such as "
                f"{shared[0]!r}; choose cost=equal"
            )
        texts = [text for benchmark in benchmarks for text in benchmark.texts]
        names = [(b.name, n) for b in benchmarks for n in range(1, len(b.texts) + 1)]
        tokens = np.array([estimated_tokens(text) for text in texts], dtype=np.float64)
        per_token = np.array([cost_usd(price, Usage(1, 0)) for price in prices])
        return Outcomes(
            query_ids=tuple(f"{name}/{number}" for name, number in names),
            texts=tuple(texts),
            tasks=tuple(name for name, _ in names),
            models=tuple(models),
            performance=_stacked(benchmarks, models),
            cost_usd=tokens[:, None] * per_token,
            name=self.name,
            notes=tuple(note for note in (_COST_NOTES[self.cost], note, left_out) if note),
        )

    def _priced(self, models: list[str]) -> tuple[list[str], list[Price], str]:
        """The models that have a price, their prices, and a note about the others."""
        if self.cost == "equal":
            return models, [Price(1.0, 1.0)] * len(models), ""
        sizes = {model: size for model in models if (size := size_of(model)) is not None}
        others = [model for model in models if model not in sizes]
        left_out = number_of(len(others), "model is", "models are")
        note = (
            f"{left_out} left out, as no size to price by is in the name: "
            f"{', '.join(others[:5])}{', ...' if len(others) > 5 else ''}; cost=equal has all"
        )
        prices = [price_of_size(size) for size in sizes.values()]
        return list(sizes), prices, note if others else ""


@dataclass(frozen=True)
class _Benchmark:
    """One benchmark: its candidates, queries, and the scores (n, K)."""

    name: str
    models: list[str]
    texts: list[str]
    performance: FloatArray


def _benchmark(parts: Parts) -> str:
    return Path(parts[-1]).stem.removesuffix("_router_dataset")


def _leaderboard_of(benchmark: str) -> str:
    """The leaderboard, by the longest known word in the name: mmlu_pro is not mmlu."""
    words = [
        (len(w), board) for board, known in LEADERBOARDS.items() for w in known if w in benchmark
    ]
    return max(words)[1] if words else ""


def _is_asked(benchmark: str, data: str) -> bool:
    if data in LEADERBOARDS:
        return _leaderboard_of(benchmark) == data
    return benchmark in data.split("+")


def _check_all_there(path: Path, data: str, benchmarks: Sequence[str]) -> None:
    listing = ", ".join(sorted(benchmarks)) or "no .pkl files"
    missing = [] if data in LEADERBOARDS else [n for n in data.split("+") if n not in benchmarks]
    if missing or not any(_is_asked(name, data) for name in benchmarks):
        raise DataError(
            f"{path}: no benchmark {' or '.join(missing) or data!r}; found {listing}; "
            f"data is {', '.join(LEADERBOARDS)}, or names joined by '+'"
        )


def _shared(path: Path, benchmarks: Sequence[_Benchmark]) -> tuple[list[str], str]:
    """The models that every benchmark has, in the order of the first, and a note if not all are."""
    shared = set.intersection(*(set(benchmark.models) for benchmark in benchmarks))
    counts = ", ".join(f"{benchmark.name} {len(benchmark.models)}" for benchmark in benchmarks)
    if not shared:
        raise DataError(
            f"{path}: no model is a candidate of all benchmarks ({counts}); name fewer, for "
            f"example data={benchmarks[0].name}, or take a larger size"
        )
    n_models = len(set.union(*(set(benchmark.models) for benchmark in benchmarks)))
    note = f"{len(shared)} of {n_models} models are candidates of all benchmarks ({counts})"
    kept = [model for model in benchmarks[0].models if model in shared]
    return kept, note if len(shared) < n_models else ""


def _stacked(benchmarks: list[_Benchmark], models: Sequence[str]) -> FloatArray:
    """(N, K) scores; the benchmarks are used up, so that their memory can be given back."""
    n = sum(len(benchmark.texts) for benchmark in benchmarks)
    performance = np.empty((n, len(models)))
    row = 0
    while benchmarks:
        benchmark = benchmarks.pop(0)
        column = {model: j for j, model in enumerate(benchmark.models)}
        rows = slice(row, row + len(benchmark.texts))
        performance[rows] = benchmark.performance[:, [column[model] for model in models]]
        row = rows.stop
    return performance


def _item(place: str, content: Any, key: object, why: str = "") -> Any:  # noqa: ANN401  # of a pickle
    if not isinstance(content, Mapping) or key not in content:
        known = list(content)[:12] if isinstance(content, Mapping) else type(content).__name__
        raise DataError(f"{place}: no entry {key!r}; found {known}{why}")
    return content[key]


def _names(place: str, value: Any) -> list[str]:  # noqa: ANN401
    names = _texts(f"{place}: models", value)
    if not names or len(set(names)) < len(names):
        raise DataError(f"{place}: the list of models is empty or names one twice")
    return names


def _texts(place: str, value: Any) -> list[str]:  # noqa: ANN401
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DataError(f"{place}: found {type(value).__name__}, a list of texts is expected")
    return value


def _matrix(place: str, value: Any, n: int, k: int) -> FloatArray:  # noqa: ANN401
    """Scores (n, k). They are not converted here: one byte a score may be all that they take."""
    if isinstance(value, list):
        try:
            value = np.array(value, dtype=np.float64).reshape(n, k) if n == 0 else np.array(value)
        except ValueError as error:
            raise DataError(f"{place}: the rows have different lengths") from error
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise DataError(f"{place}: a score is not a number")
    if value.shape != (n, k):
        raise DataError(
            f"{place}: the scores have shape {value.shape}, expected ({n}, {k}): one row per "
            "prompt and one column per model"
        )
    return value


_COST_NOTES = {
    "size": "costs are estimates: bytes of the prompt / 4 as tokens, times RouterBench's price of "
    "an open model of the size in the name; answers are not counted",
    "equal": "costs are made up: every model charges 1 USD per million tokens of the prompt, "
    "counted as bytes / 4",
}

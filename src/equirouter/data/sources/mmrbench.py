"""MMR-Bench: questions about images, what ten multimodal models answered, and what it cost.

Source: Ma et al., "MMR-Bench: A Comprehensive Benchmark for Multimodal LLM Routing", 2026,
arXiv:2601.17814. Data:
https://huggingface.co/datasets/gh0stHunter/MMR-Bench; how its columns and folders are to be read:
https://github.com/Hunter-Wrynn/MMR-Bench (src/mmrbench/data/mllm_data.py, data/README.md), code
under MIT. The images are those of seven public benchmarks, each under its own licence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equirouter.arrays import FloatArray
from equirouter.data.outcomes import Outcomes
from equirouter.data.reading.columns import RawTable
from equirouter.data.reading.files import read_file
from equirouter.data.sources.archives import unpack_tar
from equirouter.data.sources.by_name import with_note_on_missing
from equirouter.data.sources.hub import HubFile, fetch
from equirouter.errors import ConfigError, DataError
from equirouter.progress import Progress, silent
from equirouter.words import first_of

_REPO = "gh0stHunter/MMR-Bench"
_COMMIT = "b2619d8389935171022f0a7e8bee45f80ca249dd"
# No digests are published: those of the first download are recorded, and checked from then on.
_TABLE = HubFile(_REPO, "MMR-Bench.csv", _COMMIT)
_IMAGES = HubFile(_REPO, "images.tar.gz", _COMMIT)
_TABLE_NAMES = ("MMR-Bench.csv", "MMR_Bench.csv")  # on the hub, and in the authors' instructions

# What dataset_idx begins with -> the folder of the images. The beginning is the task.
_FOLDERS = {
    "MathVerse": "MathVerse",
    "MathVision": "MathVision",
    "MathVista": "MathVista",
    "OCRBench": "OCRBench",
    "RealWorldQA": "RealWorldQA",
    "MMStar": "MMStar",
    "SEEDBench2_Plus": "SEEDBenchv2Plus",
}
_SUFFIXES = (".jpg", ".png", ".jpeg", ".webp")  # the first that is there is taken
_CORRECT, _COST = "_correct", "_cost"


@dataclass(frozen=True)
class _Query:
    """The parts of a dataset_idx: the task, and the name of the image without its suffix."""

    task: str
    image: str


class MMRBench:
    """MMR-Bench, from the hub or from a copy of it.

    images: whether each query comes with the path of its image, which must be there; False is for
    routers that read the question alone. Raises ConfigError if it is neither true nor false.
    """

    name = "mmr-bench"
    description = "MMR-Bench, questions about images: 7 tasks, 10 models, with the images"
    files = (_TABLE, _IMAGES)

    def __init__(self, *, images: bool = True) -> None:
        if not isinstance(images, bool):
            raise ConfigError(f"images is {images!r}: expected true or false")
        self.images = images

    def load(self, path: Path | None = None, *, progress: Progress = silent) -> Outcomes:
        """The outcomes table, from the hub or from a copy: the folder, or the CSV file in it.

        The folder holds MMR-Bench.csv (or MMR_Bench.csv) and the folders of images beside it; an
        images.tar.gz there is to be unpacked first. Missing outcomes stay NaN: the authors' own
        code puts column means in their place. The beginning of dataset_idx is the task, the rest
        the name of the image in the task's folder. Costs are taken as USD per call; the benchmark
        calls them normalised, so only their ratios mean something.
        Raises DataError for columns, rows or images that are not as they should be, DownloadError.
        """
        if path is None:
            table = fetch(self.files[0], progress=progress)
            folder = table.parent
            if self.images:
                archive = fetch(self.files[1], progress=progress)
                folder = unpack_tar(archive, archive.with_name("images"))
        else:
            table = _find_table(path)
            folder = table.parent
        progress(f"read {table.name}", 0, 1)
        outcomes = self._read(table, folder)
        progress(f"read {table.name}", 1, 1)
        return outcomes

    def _read(self, table: Path, folder: Path) -> Outcomes:
        raw = read_file(table)
        models = _models(raw)
        ids = _texts(raw, raw.need(("dataset_idx",), "the name of the query"))
        texts = raw.optional_texts(raw.need(("question",), "what is asked about the image"))
        queries = [_parse(raw, row, name) for row, name in enumerate(ids)]
        images = _image_paths(folder, queries) if self.images else None
        outcomes = Outcomes(
            query_ids=tuple(ids),
            texts=tuple(text or "" for text in texts),
            tasks=tuple(query.task for query in queries),
            models=tuple(models),
            performance=np.column_stack([_correct(raw, model) for model in models]),
            cost_usd=np.column_stack([_cost(raw, model) for model in models]),
            image_paths=images,
            image_root=folder.absolute() if self.images else None,
            name=self.name,
            notes=("costs are taken as USD per call: the benchmark says that they are normalised",),
        )
        return with_note_on_missing(outcomes)


def _find_table(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in _TABLE_NAMES:
        if (path / name).is_file():
            return path / name
    raise DataError(f"{path}: there is no {' or '.join(_TABLE_NAMES)} in this folder")


def _models(raw: RawTable) -> list[str]:
    """The models of the columns M_correct and M_cost, in the order of the former."""
    names = {
        suffix: [name.removesuffix(suffix) for name in raw.columns if name.endswith(suffix)]
        for suffix in (_CORRECT, _COST)
    }
    models = names[_CORRECT]
    if not models:
        raise DataError(
            f"{raw.path}: no columns MODEL{_CORRECT} and MODEL{_COST}; found {raw.listing()}"
        )
    for model in [*models, *names[_COST]]:
        for suffix in (_CORRECT, _COST):
            if model not in names[suffix]:
                raise DataError(
                    f"{raw.path}: model {model!r} has no column {model + suffix!r}; every model "
                    f"needs MODEL{_CORRECT} and MODEL{_COST}"
                )
    return models


def _texts(raw: RawTable, column: str) -> list[str]:
    codes, values = raw.codes(column)
    return [values[code] for code in codes]


def _parse(raw: RawTable, row: int, name: str) -> _Query:
    for task in sorted(_FOLDERS, key=len, reverse=True):
        if name.startswith(f"{task}_") and len(name) > len(task) + 1:
            return _Query(task, name[len(task) + 1 :])
    raise DataError(
        f"{raw.place(row, 'dataset_idx')}: found {name!r}; expected one of "
        f"{', '.join(_FOLDERS)}, then _ and the name of the image"
    )


def _correct(raw: RawTable, model: str) -> FloatArray:
    """1 or 0; the table may also say True or False."""
    column = raw.columns[model + _CORRECT]
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        words = pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.large_string())))
        for word, number in (("true", "1"), ("false", "0")):
            column = pc.if_else(
                pc.fill_null(pc.equal(words, word), False),
                pa.scalar(number, pa.large_string()),
                column.cast(pa.large_string()),
            )
        raw = replace(raw, columns={**raw.columns, model + _CORRECT: column})
    expected = "expected a number from 0 to 1, True or False, or nothing where it is not known"
    return raw.numbers(model + _CORRECT, low=0.0, high=1.0, expected=expected)


def _cost(raw: RawTable, model: str) -> FloatArray:
    expected = "expected the cost of one call, not negative, or nothing where it is not known"
    return raw.numbers(model + _COST, low=0.0, high=np.inf, expected=expected)


def _image_paths(folder: Path, queries: Sequence[_Query]) -> tuple[str, ...]:
    """One per query, within the folder."""
    there = {task: _listing(folder / name) for task, name in _FOLDERS.items()}
    paths, missing = [], []
    for query in queries:
        file_name = next(
            (query.image + s for s in _SUFFIXES if query.image + s in there[query.task]), None
        )
        image = f"{_FOLDERS[query.task]}/{file_name or query.image + _SUFFIXES[0]}"
        paths.append(image)
        if file_name is None:
            missing.append(str(folder / image))
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of {len(queries)} images are missing: "
            f"{first_of(missing)} (also looked for {', '.join(_SUFFIXES[1:])}); "
            "unpack images.tar.gz there, or read the questions alone: mmr-bench:images=false"
        )
    return tuple(paths)


def _listing(folder: Path) -> frozenset[str]:
    return frozenset(file.name for file in folder.iterdir()) if folder.is_dir() else frozenset()

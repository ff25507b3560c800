"""The embedded data set with pictures: 3,000 made-up questions about pictures drawn here."""

import io
import shutil
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.cachedir import cache_dir
from equirouter.data.outcomes import Outcomes
from equirouter.data.simulated_draft import Pick
from equirouter.data.simulated_outcomes import drawn, expected
from equirouter.data.simulated_pictures import Scene, draw, hardness
from equirouter.data.simulated_questions import QUESTIONS
from equirouter.errors import ConfigError, OutputError
from equirouter.output import make_folder
from equirouter.prices import Price, costs_usd
from equirouter.progress import Progress, silent

__all__ = ["SimulatedMultimodal"]

VERSION = 1
"""Raised by every change that may change a picture."""

IN_TEXT, IN_PICTURE = 0.3, 0.4
"""Shares of the variance of difficulty that the text and the picture show; the rest is hidden."""
IMAGE_TOKENS = 260
"""What a picture is charged as, beside the text."""
LENGTH_SLOPE = 0.35
"""How much longer answers get with difficulty: factor exp(slope * difficulty)."""
LENGTH_NOISE = 0.35
"""Standard deviation of the logarithm of an answer's length, given the difficulty."""
MIN_QUERIES = 50

TASKS = tuple(QUESTIONS)
_OUTPUT_TOKENS = dict(zip(TASKS, (60, 40, 110, 220, 90), strict=True))
# made-up models in the manner of a pool of 2025: accuracy per task in the order of TASKS, USD per
# million tokens in and out, and how long their answers are
_POOL: Mapping[str, tuple[tuple[float, ...], Price, float]] = MappingProxyType(
    {
        "wren-nano": ((0.42, 0.54, 0.40, 0.26, 0.46), Price(0.05, 0.4), 0.9),
        "finch-7b": ((0.46, 0.58, 0.42, 0.28, 0.50), Price(0.1, 0.1), 1.2),
        "wren-mini": ((0.56, 0.70, 0.56, 0.40, 0.60), Price(0.25, 2.0), 1.0),
        "finch-72b": ((0.62, 0.76, 0.65, 0.50, 0.67), Price(0.6, 0.6), 1.3),
        "heron-flash": ((0.66, 0.80, 0.68, 0.56, 0.70), Price(0.3, 2.5), 1.1),
        "crane-medium": ((0.71, 0.84, 0.75, 0.66, 0.76), Price(3.0, 15.0), 1.0),
        "heron-pro": ((0.77, 0.88, 0.80, 0.73, 0.80), Price(1.25, 10.0), 1.8),
        "wren-large": ((0.80, 0.88, 0.83, 0.77, 0.82), Price(1.25, 10.0), 2.4),
    }
)
MODELS = tuple(_POOL)


class SimulatedMultimodal:
    """Questions about pictures in five tasks, outcomes from an item-response model.

    n_queries: 50 or more. seed: a whole number, not negative; the same one gives the same table and
    the same pictures. Three tenths of the variance of difficulty are in the question's words, four
    in the picture and in nothing else, the rest is hidden. Models, prices, texts, pictures and
    outcomes are made up: docs/simulated-data.md. Raises ConfigError for other values.
    """

    name = "simulated-multimodal"
    description = "made-up questions of 5 tasks about drawn pictures, 8 made-up models"
    files = ()

    def __init__(self, n_queries: int = 3000, seed: int = 0) -> None:
        if n_queries < MIN_QUERIES:
            raise ConfigError(
                f"n_queries is {n_queries}; the simulated data set needs {MIN_QUERIES} or more, "
                "so that every task has queries"
            )
        if seed < 0:
            raise ConfigError(f"seed is {seed}; expected 0 or a positive whole number")
        self.n_queries = n_queries
        self.seed = seed

    def load(self, path: Path | None = None, *, progress: Progress = silent) -> Outcomes:
        """The table; complete, with the tasks mixed. The pictures are drawn into the cache folder.

        path: None, as nothing is read. Raises ConfigError if one is given, MissingExtraError
        without Pillow, OutputError when the cache folder cannot be written.
        """
        if path is not None:
            raise ConfigError(
                f"the data set {self.name!r} is made here and reads no file, but the path {path} "
                "was given; leave the path out, or give it in place of the name"
            )
        rng = np.random.default_rng(self.seed)
        tasks = [TASKS[i % len(TASKS)] for i in range(self.n_queries)]
        names = [f"{task}/{i // len(TASKS)}.png" for i, task in enumerate(tasks)]
        texts, asked = _questions(tasks, rng)
        scenes = rng.uniform(0, 1, (self.n_queries, 3))
        shown = hardness(scenes)
        performance, costs = _outcomes(tasks, texts, asked, shown, rng)
        table = Outcomes(
            query_ids=tuple(f"{self.name}.{name.removesuffix('.png')}" for name in names),
            texts=tuple(texts),
            tasks=tuple(tasks),
            models=MODELS,
            performance=performance,
            cost_usd=costs,
            image_paths=tuple(names),
            image_root=self._pictures(tasks, names, scenes, progress),
            name=self.name,
            notes=("simulated: models, texts, pictures and outcomes are made up",),
        )
        return table.take(rng.permutation(self.n_queries))

    def _pictures(
        self, tasks: Sequence[str], names: Sequence[str], scenes: FloatArray, progress: Progress
    ) -> Path:
        """The folder of the pictures; it appears whole or not at all, and is drawn once."""
        folder = cache_dir() / self.name / f"v{VERSION}-{self.n_queries}-{self.seed}"
        if folder.is_dir():
            return folder
        parent = make_folder(folder.parent)
        try:
            drawing = Path(tempfile.mkdtemp(prefix="drawing-", dir=parent))
            try:
                for task in TASKS:
                    (drawing / task).mkdir()
                for row, (task, name) in enumerate(zip(tasks, names, strict=True)):
                    key = [self.seed, zlib.crc32(name.encode("ascii"))]
                    picture = draw(task, Scene(*scenes[row].tolist()), np.random.default_rng(key))
                    (drawing / name).write_bytes(_png(picture))
                    progress("draw", row + 1, len(names))
                drawing.replace(folder)
            except OSError:
                if not folder.is_dir():  # else another process was quicker, with the same pictures
                    raise
            finally:
                shutil.rmtree(drawing, ignore_errors=True)
        except OSError as error:
            raise OutputError(
                f"{folder}: the pictures could not be written ({error.strerror}); set "
                "EQUIROUTER_CACHE_DIR to a folder with space where you may write"
            ) from error
        return folder


def _questions(tasks: Sequence[str], rng: np.random.Generator) -> tuple[list[str], FloatArray]:
    """(N,) questions, which may repeat, and how hard their words make them."""
    pick = Pick(rng)
    drafts = [QUESTIONS[task](pick) for task in tasks]
    return [draft.text for draft in drafts], np.array([draft.difficulty for draft in drafts])


def _outcomes(
    tasks: Sequence[str],
    texts: Sequence[str],
    asked: FloatArray,
    shown: FloatArray,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Performance and cost_usd (N, K), task by task."""
    performance = np.empty((len(tasks), len(MODELS)))
    costs = np.empty_like(performance)
    for number, task in enumerate(TASKS):
        rows = np.array([row for row, own in enumerate(tasks) if own == task])
        hidden = rng.standard_normal(len(rows))
        difficulty = (
            np.sqrt(IN_TEXT) * _standardised(asked[rows])
            + np.sqrt(IN_PICTURE) * _standardised(shown[rows])
            + np.sqrt(1 - IN_TEXT - IN_PICTURE) * hidden
        )
        tokens_in = IMAGE_TOKENS + np.array([-(-len(texts[row]) // 4) for row in rows])
        for column, (accuracy, price, verbosity) in enumerate(_POOL.values()):
            performance[rows, column] = drawn(expected(accuracy[number], difficulty, rng), rng)
            noise = LENGTH_NOISE * rng.standard_normal(len(rows))
            median = _OUTPUT_TOKENS[task] * verbosity
            tokens_out = np.ceil(median * np.exp(LENGTH_SLOPE * difficulty + noise))
            costs[rows, column] = costs_usd(price, tokens_in, tokens_out)
    return performance, costs


def _standardised(values: FloatArray) -> FloatArray:
    spread = values.std()
    return np.asarray((values - values.mean()) / (spread if spread > 0 else 1.0))


def _png(picture: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")  # type: ignore[attr-defined]  # Pillow is optional
    return stream.getvalue()

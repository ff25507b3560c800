"""The embedded data set with pictures: 3,000 made-up questions about pictures drawn here."""

import io
import shutil
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.cachedir import cache_dir
from equirouter.cost.prices import Price, costs_usd
from equirouter.data.outcomes import Outcomes
from equirouter.data.simulated_draft import Pick
from equirouter.data.simulated_outcomes import drawn, expected
from equirouter.data.simulated_pictures import Scene, draw
from equirouter.data.simulated_questions import QUESTIONS
from equirouter.errors import ConfigError, OutputError
from equirouter.output import make_folder
from equirouter.progress import Progress, silent

__all__ = ["SimulatedMultimodal"]

VERSION = 2
"""Raised by every change of pictures or outcomes."""

HIDDEN = 0.3
"""Share of the variance of a model's difficulty that neither the text nor the picture shows."""
IMAGE_TOKENS = 260
"""What a picture is charged as, beside the text."""
LENGTH_SLOPE = 0.35
"""How much longer answers get with difficulty: factor exp(slope * difficulty)."""
LENGTH_NOISE = 0.35
"""Standard deviation of the logarithm of an answer's length, given the difficulty."""
MIN_QUERIES = 50

TASKS = tuple(QUESTIONS)
_OUTPUT_TOKENS = dict(zip(TASKS, (60, 40, 110, 220, 90), strict=True))


class Profile(NamedTuple):
    """What makes a query hard for the models of one maker.

    in_text, in_picture: shares of the variance of difficulty, which with HIDDEN sum to 1: the
    first is of how much thought the question asks for, the second of how hard the picture is to
    see. amount, faintness, clutter: weights of what makes it so for these models.
    """

    in_text: float
    in_picture: float
    amount: float
    faintness: float
    clutter: float


# Models that see well and think less well, and the other way round
_PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "wren": Profile(0.05, 0.65, 0.3, 1.0, 0.1),
        "finch": Profile(0.65, 0.05, 1.0, 0.3, 0.3),
        "heron": Profile(0.65, 0.05, 0.0, 1.0, 1.0),
        "crane": Profile(0.35, 0.35, 1.0, 0.8, 0.6),
    }
)
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


class _Made(NamedTuple):
    """N of each: asked (N,), scenes (N, 3), outcomes (N, K), order (N,) of the table's rows."""

    tasks: list[str]
    names: list[str]
    texts: list[str]
    asked: FloatArray
    scenes: FloatArray
    performance: FloatArray
    cost_usd: FloatArray
    order: IntArray


class SimulatedMultimodal:
    """Questions about pictures in five tasks, outcomes from an item-response model.

    n_queries: 50 or more. seed: a whole number, not negative; the same one gives the same table and
    the same pictures. The text says nothing of how hard the picture is to see, and that decides
    which models are right: some see badly and think well, others the other way round. Models,
    prices, texts, pictures and outcomes are made up: docs/simulated-data.md. Raises ConfigError for
    other values.
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
        made = self._made()
        table = Outcomes(
            query_ids=tuple(f"{self.name}.{name.removesuffix('.png')}" for name in made.names),
            texts=tuple(made.texts),
            tasks=tuple(made.tasks),
            models=MODELS,
            performance=made.performance,
            cost_usd=made.cost_usd,
            image_paths=tuple(made.names),
            image_root=self._pictures(made.tasks, made.names, made.scenes, progress),
            name=self.name,
            notes=("simulated: models, texts, pictures and outcomes are made up",),
        )
        return table.take(made.order)

    def factors(self) -> FloatArray:
        """What makes the queries hard, (N, 4), in the order of the table of `load`.

        Columns: how much thought the question asks for, from 0, and of the picture amount,
        faintness and clutter, from 0 to 1. It is the truth behind the outcomes: no router may read
        it, but what one would gain by it is the most that an encoder can bring.
        """
        made = self._made()
        return np.column_stack([made.asked, made.scenes])[made.order]

    def _made(self) -> "_Made":
        """All but the pictures, before the tasks are mixed."""
        rng = np.random.default_rng(self.seed)
        tasks = [TASKS[i % len(TASKS)] for i in range(self.n_queries)]
        names = [f"{task}/{i // len(TASKS)}.png" for i, task in enumerate(tasks)]
        texts, asked = _questions(tasks, rng)
        scenes = rng.uniform(0, 1, (self.n_queries, 3))
        performance, costs = _outcomes(tasks, texts, asked, scenes, rng)
        order = rng.permutation(self.n_queries)
        return _Made(tasks, names, texts, asked, scenes, performance, costs, order)

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
    scenes: FloatArray,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Performance and cost_usd (N, K), task by task. asked (N,), scenes (N, 3)."""
    performance = np.empty((len(tasks), len(MODELS)))
    costs = np.empty_like(performance)
    for number, task in enumerate(TASKS):
        rows = np.array([row for row, own in enumerate(tasks) if own == task])
        hidden = rng.standard_normal(len(rows))
        tokens_in = IMAGE_TOKENS + np.array([-(-len(texts[row]) // 4) for row in rows])
        for column, (model, (accuracy, price, verbosity)) in enumerate(_POOL.items()):
            difficulty = _difficulty(
                _PROFILES[model.partition("-")[0]], asked[rows], scenes[rows], hidden
            )
            performance[rows, column] = drawn(expected(accuracy[number], difficulty, rng), rng)
            noise = LENGTH_NOISE * rng.standard_normal(len(rows))
            median = _OUTPUT_TOKENS[task] * verbosity
            tokens_out = np.ceil(median * np.exp(LENGTH_SLOPE * difficulty + noise))
            costs[rows, column] = costs_usd(price, tokens_in, tokens_out)
    return performance, costs


def _difficulty(
    profile: Profile, asked: FloatArray, scenes: FloatArray, hidden: FloatArray
) -> FloatArray:
    """(n,) of variance 1, for the queries of one task: asked (n,), scenes (n, 3), hidden (n,)."""
    seen = scenes @ np.array([profile.amount, profile.faintness, profile.clutter])
    return np.asarray(
        np.sqrt(profile.in_text) * _standardised(asked)
        + np.sqrt(profile.in_picture) * _standardised(seen)
        + np.sqrt(HIDDEN) * hidden
    )


def _standardised(values: FloatArray) -> FloatArray:
    spread = values.std()
    return np.asarray((values - values.mean()) / (spread if spread > 0 else 1.0))


def _png(picture: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")  # type: ignore[attr-defined]  # Pillow is optional
    return stream.getvalue()

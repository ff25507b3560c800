"""A small made-up table and encoders that several tests use; more is in equirouter.testing."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import Float32Array
from equirouter.data.cells import TextCells
from equirouter.data.outcomes import Outcomes
from equirouter.encoders.base import Encoder
from equirouter.progress import Progress


def make_table(n: int = 120, seed: int = 0, incomplete: int = 4) -> Outcomes:
    """A table whose texts tell which of three models is enough: easy, medium or hard.

    The more expensive a model, the more it can do. The first queries lack one cost.
    """
    rng = np.random.default_rng(seed)
    level = rng.integers(0, 3, n)
    tasks = tuple(f"task{number}" for number in rng.integers(0, 4, n))
    can_do = np.arange(3) >= level[:, None]  # (n, 3)
    slips = rng.random((n, 3)) < 0.1
    cost_usd = np.array([1e-4, 1e-3, 1e-2]) * rng.uniform(0.8, 1.2, (n, 3))
    cost_usd[np.arange(incomplete), np.arange(incomplete) % 3] = np.nan
    words = ("easy", "medium", "hard")
    return Outcomes(
        query_ids=tuple(f"q{row}" for row in range(n)),
        texts=tuple(f"{words[level[row]]} {tasks[row]} query {row}" for row in range(n)),
        tasks=tasks,
        models=("small", "middle", "large"),
        performance=(can_do ^ slips).astype(np.float64),
        cost_usd=cost_usd,
        name="toy",
    )


def make_log(world: Outcomes, share: float, seed: int = 0) -> Outcomes:
    """The log of a gateway that always calls the largest, and with share one of the others."""
    rng = np.random.default_rng(seed)
    n, k = world.performance.shape
    called = np.where(rng.random(n) < share, rng.integers(k - 1, size=n), k - 1)
    is_called = np.arange(k) == called[:, None]
    return replace(
        world,
        performance=np.where(is_called, world.performance, np.nan),
        cost_usd=np.where(is_called, world.cost_usd, np.nan),
        propensity=np.tile([share / 2, share / 2, 1 - share], (n, 1)),
    )


def make_answered_table(n: int = 1100) -> Outcomes:
    """Two cheap models are right on 0.7, the strongest on 0.95; wrong answers hardly ever agree.

    Of 1,100 queries 440 train and validate; learned plans need 400.
    """
    rng = np.random.default_rng(0)
    right = rng.random((n, 3)) < [0.7, 0.7, 0.95]
    answers = np.where(right, "10", rng.integers(11, 61, (n, 3)).astype(str))
    return Outcomes(
        query_ids=tuple(str(row) for row in range(n)),
        texts=tuple(f"question {row}" for row in range(n)),
        tasks=("all",) * n,
        models=("one", "two", "strong"),
        performance=right.astype(np.float64),
        cost_usd=np.tile([0.01, 0.02, 1.0], (n, 1)),
        answers=TextCells.of(answers.tolist()),
    )


class HashingEncoder(Encoder):
    """A bag of hashed words: fast, and it needs no weights. salt: another one, another encoder."""

    name = "toy"
    saved_options: ClassVar[tuple[str, ...]] = ("salt",)

    def __init__(self, *, salt: str = "") -> None:
        self.salt = salt

    @property
    def settings(self) -> dict[str, Any]:
        return {"salt": self.salt}

    @property
    def dimension(self) -> int:
        return 32

    @property
    def fingerprint(self) -> str:
        return f"toy-{self.salt}-{self.dimension}"

    def embed(
        self,
        texts: tuple[str, ...],
        images: tuple[str | None, ...],  # noqa: ARG002  # all None: it reads text only
        progress: Progress,
    ) -> Float32Array:
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                row[zlib.crc32((self.salt + word).encode()) % self.dimension] += 1.0
        progress("encode", len(texts), len(texts))
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


class LearningEncoder(HashingEncoder):
    """A hashing encoder that must see training texts first; what it learns is their number."""

    name = "learning"
    saved_options = ()

    def __init__(self) -> None:
        super().__init__()
        self.seen: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        return {}

    @property
    def learns(self) -> bool:
        return True

    @property
    def fingerprint(self) -> str:
        return f"learning-{self.salt}"

    def fit(self, texts: Sequence[str]) -> Self:
        self.seen = tuple(texts)
        self.salt = str(len(texts))
        return self

    def state(self) -> dict[str, NDArray[Any]]:
        return {"salt": np.array(int(self.salt))}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> Self:
        self.salt = str(state["salt"])
        return self

"""Small made-up problems that several tests use."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import Float32Array, FloatArray
from equirouter.data.outcomes import Outcomes
from equirouter.encoders.base import Encoder
from equirouter.progress import Progress
from equirouter.routers import DescriptionRouter, Router, Validation

__all__ = [
    "HashingEncoder",
    "LearningEncoder",
    "Toy",
    "fit_described",
    "make_descriptions",
    "make_table",
    "make_toy",
]


class Toy(NamedTuple):
    """Embeddings (N, d) of unit norm, performance and cost (N, K)."""

    embeddings: Float32Array
    performance: FloatArray
    cost_usd: FloatArray

    def first(self, n: int) -> "Toy":
        """The same problem with its first n queries only."""
        return Toy(self.embeddings[:n], self.performance[:n], self.cost_usd[:n])


def make_toy(n: int = 240, d: int = 6, k: int = 3, seed: int = 0, missing: float = 0.1) -> Toy:
    """A problem that can be learned: model j is right where the query leans its way.

    Model k - 1 is dearest. A share of the cells is missing, but no column is empty.
    """
    rng = np.random.default_rng(seed)
    embeddings = rng.standard_normal((n, d)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    directions = rng.standard_normal((d, k))
    performance = (embeddings @ directions + rng.normal(0, 0.2, (n, k)) > 0).astype(np.float64)
    cost_usd = np.arange(1, k + 1) * 1e-3 * (1 + 0.3 * embeddings[:, :1])
    hidden = rng.random((n, k)) < missing
    hidden[0] = False
    performance[hidden] = np.nan
    return Toy(embeddings, performance, np.where(hidden, np.nan, cost_usd))


def fit_described(
    router: Router,
    toy: Toy,
    descriptions: Float32Array | None = None,
    *,
    validation: Validation | None = None,
    rng: np.random.Generator | None = None,
) -> Router:
    """Fit a router, with descriptions (K, d) if it reads them; made-up ones if none are given."""
    rng = np.random.default_rng(0) if rng is None else rng
    if not isinstance(router, DescriptionRouter):
        return router.fit(*toy, validation=validation, rng=rng)
    if descriptions is None:
        descriptions = make_descriptions(toy.performance.shape[1], toy.embeddings.shape[1])
    return router.fit(*toy, descriptions=descriptions, validation=validation, rng=rng)


def make_descriptions(k: int = 3, d: int = 6) -> Float32Array:
    """(K, d) unit rows."""
    rows = np.random.default_rng(9).standard_normal((k, d)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def make_table(n: int = 120, seed: int = 0, incomplete: int = 4) -> Outcomes:
    """A table whose texts tell which of three models is enough: easy, medium or hard.

    The dearer a model, the more it can do. The first queries lack one cost.
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


class HashingEncoder(Encoder):
    """A bag of hashed words: fast, and it needs no weights. salt: another one, another encoder."""

    name = "toy"

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

"""Real outcomes in the package: those of ZeroEval, with numbers in place of the texts.

Facts of https://github.com/WildEval/ZeroEval (Apache-2.0), as zeroeval.py reads them. The file is
made from a clone by benchmarks/make_real.py.
"""

import hashlib
import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equirouter.cost.prices import costs_usd
from equirouter.cost.published_prices import published_price
from equirouter.data.cells import NO_TEXT
from equirouter.data.outcomes import Outcomes
from equirouter.data.repeats import count_repeated, equal_queries
from equirouter.errors import ConfigError, DataError
from equirouter.output import atomic_write
from equirouter.progress import Progress, silent

FILE = Path(__file__).with_name("real.npz")
_SHA256 = "1cfef2ccff82da5ad2a603ac9b6c64606443659084ca4a933bef6b0349d9ada5"
_UNKNOWN = -1  # a performance that is not known
_PACKED = "packed/"


class Real:
    """ZeroEval without its texts: nothing to download, and nothing to encode."""

    name = "real"
    description = "ZeroEval as numbers: 2,840 queries of 3 kinds, 29 models; nothing to download"
    is_encoded = True

    def load(self, path: Path | None = None, *, progress: Progress = silent) -> Outcomes:  # noqa: ARG002  # quick
        """The outcomes table of the package.

        Each text is NO_TEXT and the id of its query; `packed` has the numbers of the encoders
        lexical and minilm. Raises ConfigError for a path, DataError for a damaged file.
        """
        if path is not None:
            raise ConfigError(f"{self.name} is part of the package: it cannot be read from {path}")
        content = FILE.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest != _SHA256:
            raise DataError(
                f"{FILE}: the SHA-256 is {digest}, expected {_SHA256}: the file was damaged or "
                "changed; install the package again"
            )
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            return _table(self.name, dict(arrays))


def _table(name: str, arrays: Mapping[str, NDArray[Any]]) -> Outcomes:
    names = json.loads(arrays["names"].tobytes())
    known = arrays["performance"] != _UNKNOWN
    tokens = [
        np.where(known, arrays[side].reshape(len(known), -1), np.nan)
        for side in ("input_tokens", "output_tokens")
    ]
    costs = []
    for column, model in enumerate(names["models"]):
        price = published_price(model)
        if price is None:
            raise DataError(f"{name}: there is no price of {model!r} in published_prices.toml")
        costs.append(costs_usd(price.price, tokens[0][:, column], tokens[1][:, column]))
    return Outcomes(
        query_ids=names["query_ids"],
        texts=tuple(NO_TEXT + query for query in names["query_ids"]),
        tasks=tuple(names["tasks"][code] for code in arrays["tasks"]),
        models=names["models"],
        performance=np.where(known, arrays["performance"], np.nan),
        cost_usd=np.column_stack(costs),
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        packed={
            key.removeprefix(_PACKED): array
            for key, array in arrays.items()
            if key.startswith(_PACKED)
        },
        name=name,
        notes=(
            "real outcomes (ZeroEval); the texts are not in the package, the numbers that encoders "
            "made of them are",
        ),
    )


def write_real(outcomes: Outcomes, packed: Mapping[str, NDArray[Any]], path: Path = FILE) -> str:
    """Write a table with tokens and right or wrong answers as numbers; returns the SHA-256.

    packed: by the fingerprint of an encoder, what its `pack` made of the texts. Raises DataError
    for a table of another form, or with queries that are equal: without texts nobody could tell.
    """
    tokens, tasks = outcomes.tokens, sorted(set(outcomes.tasks))
    if tokens is None or count_repeated(equal_queries(outcomes)):
        raise DataError(f"{outcomes.name}: expected tokens, and no two queries that are equal")
    known = np.isfinite(outcomes.performance)
    inputs = np.nanmax(tokens[0], axis=1, keepdims=True)
    if not (
        np.isin(outcomes.performance[known], (0, 1)).all() and (tokens[0] == inputs)[known].all()
    ):
        raise DataError(
            f"{outcomes.name}: expected 0 or 1, and prompts that are equal for all models"
        )
    names = {"query_ids": outcomes.query_ids, "models": outcomes.models, "tasks": tasks}
    arrays: dict[str, NDArray[Any]] = {
        "names": np.frombuffer(json.dumps(names).encode(), dtype=np.uint8),
        "tasks": np.array([tasks.index(task) for task in outcomes.tasks], dtype=np.uint8),
        "performance": np.where(known, outcomes.performance, _UNKNOWN).astype(np.int8),
        "input_tokens": inputs.astype(np.uint16),
        "output_tokens": np.where(known, tokens[1], 0).astype(np.uint16),
    }
    arrays |= {_PACKED + fingerprint: array for fingerprint, array in packed.items()}
    with atomic_write(path, "wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
    return hashlib.sha256(path.read_bytes()).hexdigest()

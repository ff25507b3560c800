"""The schedule that all network routers share: enough steps, and when they stop."""

from typing import Any

import numpy as np
import pytest

from equirouter.errors import FitError
from equirouter.routers import make_router
from equirouter.routers.base import Validation
from equirouter.testing.problems import fit_described, make_toy

loop = pytest.importorskip("equirouter.routers.fitting.loop", reason="the extra train is missing")

OF_THE_PAPER = ("equirouter:paper", "mlp", "embedllm", "graphrouter", "mirt", "nirt", "causal")


@pytest.mark.parametrize("spec", OF_THE_PAPER)
def test_the_papers_routers_share_one_schedule(spec: str) -> None:
    settings = make_router(spec).settings
    shared = [settings[name] for name in ("epochs", "batch_size", "learning_rate", "patience")]
    assert shared == [30, 2048, 1e-3, 10]


@pytest.mark.parametrize("spec", [*OF_THE_PAPER, "routerdc", "equirouter:original", "equirouter"])
def test_a_small_table_gets_six_steps_per_epoch_and_validation_stops_all(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def train(*task: Any, **parts: Any) -> None:
        _, _, rows, seen["schedule"] = task
        seen.update(parts, n=len(rows[0]))

    monkeypatch.setattr(loop, "train", train)
    toy = make_toy(n=70, missing=0.0)
    fit_described(make_router(spec), toy, validation=Validation(*toy))
    assert seen["schedule"].batch_size == 12  # 70 / 6, rounded up
    assert seen["schedule"].patience == (None if spec == "equirouter:original" else 10)
    assert len(seen["validation"][0]) == seen["n"] == 70
    assert seen["validation_rows"] >= 12


@pytest.mark.parametrize("name", ["equirouter", "embedllm", "mirt", "nirt", "routerdc", "causal"])
def test_presets_of_other_sources_do_not_stop_early(name: str) -> None:
    assert make_router(f"{name}:original").settings["patience"] is None


def test_a_network_that_is_larger_than_any_memory_is_refused_with_its_settings() -> None:
    router = make_router("mlp:hidden=2000000000")
    toy = make_toy(n=20, missing=0.0)
    toy = toy._replace(embeddings=np.zeros((20, 100_000), dtype=np.float32))
    with pytest.raises(
        FitError, match=r"mlp: a network of epochs=30, .*hidden=2000000000 does not"
    ):
        router.fit(*toy, rng=np.random.default_rng(0))

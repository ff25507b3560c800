"""Each check of the contract fires: a router that breaks one rule fails the check of that rule."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

import numpy as np
import pytest
from pydantic import PositiveFloat

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.onnxgraph import OnnxGraph
from equirouter.routers.base import Router, Validation, check_training
from equirouter.testing import ROUTER_CHECKS, check_router
from equirouter.testing.routers import RouterCheck


@dataclass(kw_only=True, eq=False)
class Good(Router):
    """Least squares per model, with the penalty as its only setting."""

    model_axes: ClassVar[dict[str, int]] = {"weights_": 1, "mean_": 0}
    scores_are = "expected_performance"

    penalty: PositiveFloat = 1.0
    """Of the squared weights."""

    def fit(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        cost_usd: FloatArray,
        *,
        validation: Validation | None = None,  # noqa: ARG002  # nothing to stop early
        rng: np.random.Generator,
    ) -> Self:
        check_training(embeddings, performance, cost_usd)
        self.mean_ = np.nanmean(performance, axis=0).astype(np.float32)
        target = np.nan_to_num(performance - self.mean_)
        gram = embeddings.T @ embeddings + self.penalty * np.eye(embeddings.shape[1])
        noise = 1e-3 * rng.standard_normal(target.shape)
        found = np.linalg.solve(gram, embeddings.T @ (target + noise))
        self.weights_ = found.astype(np.float32)
        return self

    def predict(self, embeddings: Float32Array) -> Float32Array:
        return np.asarray(embeddings @ self.weights_ + self.mean_, dtype=np.float32)

    def add_to_graph(self, graph: OnnxGraph, embeddings: str) -> str | None:
        return graph.affine("router", embeddings, self.weights_.T, self.mean_)


class WithItsOwnInit(Good):
    """A router need not be a dataclass."""

    def __init__(self, *, penalty: float = 1.0) -> None:
        self.penalty = penalty


class ComputesInInit(Good):
    def __init__(self, *, penalty: float = 1.0) -> None:
        self.penalty = float(penalty)


class StoresMoreInInit(Good):
    def __init__(self, *, penalty: float = 1.0) -> None:
        super().__init__(penalty=penalty)
        self.double = [penalty, penalty]


class StoresAnother(Good):
    def __init__(self, *, penalty: float = 1.0) -> None:
        self.penalty = 1.0 if penalty else 0.0


@dataclass(kw_only=True, eq=False)
class StoresAnotherAfterInit(Good):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.penalty = self.penalty / 2


@dataclass(kw_only=True, eq=False)
class ChecksNothing(Good):
    def __post_init__(self) -> None:
        """The settings are taken as they come."""


class RefusedPreset(Good):
    presets: ClassVar[dict[str, dict[str, Any]]] = {"default": {}, "strong": {"penalty": -1.0}}


class MisspeltPreset(Good):
    presets: ClassVar[dict[str, dict[str, Any]]] = {"default": {}, "strong": {"penality": 9.0}}


class NoDefaultPreset(Good):
    presets: ClassVar[dict[str, dict[str, Any]]] = {"strong": {"penalty": 9.0}}


class ReturnsNothing(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        super().fit(*args, **kwargs)
        return cast(Self, None)


class WrongDtype(Good):
    def predict(self, embeddings: Float32Array) -> Float32Array:
        return super().predict(embeddings).astype(np.float64)


class WrongShape(Good):
    def predict(self, embeddings: Float32Array) -> Float32Array:
        return super().predict(embeddings).T.copy()


class SpreadsUnknown(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        super().fit(*args, **kwargs)
        self.mean_ = args[1].mean(axis=0).astype(np.float32)  # NaN where one cell is NaN
        return self


class UnknownScale(Good):
    scores_are = "logits"  # type: ignore[assignment]


class FillsItsArguments(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        super().fit(*args, **kwargs)
        args[1][np.isnan(args[1])] = 0.0
        return self


class GoesOn(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        before = vars(self).get("weights_", 0.0)
        super().fit(*args, **kwargs)
        self.weights_ = self.weights_ + np.float32(1e-3) * before
        return self


class IgnoresRng(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        return super().fit(*args, **{**kwargs, "rng": np.random.default_rng()})


class IgnoresRngWhenValidated(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        if kwargs["validation"] is not None:
            kwargs["rng"] = np.random.default_rng()
        return super().fit(*args, **kwargs)


class SeedsNumpy(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        np.random.seed(0)  # noqa: NPY002
        return super().fit(*args, **kwargs)


class DrawsInPredict(Good):
    def predict(self, embeddings: Float32Array) -> Float32Array:
        random.random()
        return super().predict(embeddings)


class CountsPredictions(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        super().fit(*args, **kwargs)
        self.count_ = np.zeros(1)
        return self

    def predict(self, embeddings: Float32Array) -> Float32Array:
        self.count_ += 1
        return super().predict(embeddings)


class ChangesTheQueries(Good):
    def predict(self, embeddings: Float32Array) -> Float32Array:
        scores = super().predict(embeddings)
        embeddings *= np.float32(-1.0)
        return scores


class ForgetsItsMean(Good):
    def state(self) -> dict[str, Any]:
        return {name: array for name, array in super().state().items() if name != "mean_"} | {
            "zero_": np.zeros(3, dtype=np.float32)
        }

    def restore(self, state: Any) -> Self:
        super().restore(state)
        self.mean_ = self.zero_  # type: ignore[attr-defined]
        return self


class LearnsAnObject(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        super().fit(*args, **kwargs)
        self.names_ = np.array(["a", None], dtype=object)
        return self


class LearnsAFloat(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        super().fit(*args, **kwargs)
        self.level_ = 0.5
        return self


class SettingIsAnObject(Good):
    def __init__(self, *, penalty: Any = 1.0, unit: Any = np.float32) -> None:
        self.penalty, self.unit = penalty, unit


class SettingIsAnyText(Good):
    def __init__(self, *, penalty: Any = 1.0, table: str = "table.csv") -> None:
        self.penalty, self.table = penalty, table


class IsNeverUnfitted(Good):
    def state(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name.endswith("_")}


class PredictsWithTorch(Good):
    def predict(self, embeddings: Float32Array) -> Float32Array:
        import torch

        return torch.from_numpy(super().predict(embeddings)).numpy()


class SeesTheBatch(Good):
    def predict(self, embeddings: Float32Array) -> Float32Array:
        scores = super().predict(embeddings)
        return scores - scores.mean(axis=0) if len(scores) > 20 else scores


class SeesTheOrder(Good):
    def predict(self, embeddings: Float32Array) -> Float32Array:
        scores = super().predict(embeddings)
        late = np.arange(len(scores))[:, None] >= 100
        return scores + np.float32(0.01) * late.astype(np.float32)


class NeedsQueries(Good):
    def predict(self, embeddings: Float32Array) -> Float32Array:
        scores = [super(NeedsQueries, self).predict(row[None]) for row in embeddings]
        return np.concatenate(scores or [np.empty((0, 1), np.float32)])


class TakesAnyShape(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        n = min(map(len, args))
        return super().fit(*(array[:n] for array in args), **kwargs)


class TakesHollowModels(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        x, performance, cost_usd = args
        hollow = np.isnan(performance).all(axis=0)
        return super().fit(x, np.where(hollow, 0.0, performance), cost_usd, **kwargs)


class FailsOtherwise(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        if len(args[0]) != len(args[1]):
            raise RuntimeError("shapes")
        return super().fit(*args, **kwargs)


class AnotherGraph(Good):
    def add_to_graph(self, graph: OnnxGraph, embeddings: str) -> str | None:
        return graph.affine("router", embeddings, self.weights_.T, self.mean_ + 0.01)


class LearnsNothing(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        super().fit(*args, **kwargs)
        self.weights_ = np.float32(0) * self.weights_
        return self


class ScoresAreFarOff(Good):
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        super().fit(*args, **kwargs)
        self.mean_ = self.mean_ + np.float32(2)
        return self


class TakesThemInAnotherOrder(Good):
    def with_models(self, columns: IntArray) -> Self:
        return super().with_models(columns[::-1])


class ChangesItself(Good):
    def with_models(self, columns: IntArray) -> Self:
        self.weights_ = self.weights_[:, columns]
        self.mean_ = self.mean_[columns]
        return self


BROKEN: list[tuple[Callable[[], Router], str]] = [
    (ComputesInInit, "init_only_stores_its_arguments"),
    (StoresMoreInInit, "init_only_stores_its_arguments"),
    (StoresAnother, "init_only_stores_its_arguments"),
    (StoresAnotherAfterInit, "init_only_stores_its_arguments"),
    (ChecksNothing, "a_setting_of_the_wrong_type_is_refused"),
    (RefusedPreset, "presets_can_be_made"),
    (MisspeltPreset, "presets_can_be_made"),
    (NoDefaultPreset, "presets_can_be_made"),
    (ReturnsNothing, "fit_returns_self_and_predict_one_float32_score_per_model"),
    (WrongDtype, "fit_returns_self_and_predict_one_float32_score_per_model"),
    (WrongShape, "fit_returns_self_and_predict_one_float32_score_per_model"),
    (SpreadsUnknown, "fit_returns_self_and_predict_one_float32_score_per_model"),
    (UnknownScale, "fit_returns_self_and_predict_one_float32_score_per_model"),
    (FillsItsArguments, "fit_changes_none_of_its_arguments"),
    (GoesOn, "fit_twice_is_fit_once"),
    (IgnoresRng, "the_same_seed_gives_the_same_bits"),
    (IgnoresRngWhenValidated, "the_same_seed_gives_the_same_bits"),
    (SeedsNumpy, "global_randomness_is_left_alone"),
    (DrawsInPredict, "global_randomness_is_left_alone"),
    (CountsPredictions, "predict_changes_nothing"),
    (ChangesTheQueries, "predict_changes_nothing"),
    (ForgetsItsMean, "a_router_can_be_saved"),
    (LearnsAnObject, "a_router_can_be_saved"),
    (LearnsAFloat, "a_router_can_be_saved"),
    (SettingIsAnObject, "a_router_can_be_saved"),
    (SettingIsAnyText, "a_router_can_be_saved"),
    (IsNeverUnfitted, "saving_before_fitting_is_refused"),
    (PredictsWithTorch, "predict_needs_no_torch"),
    (SeesTheBatch, "a_query_scores_the_same_alone_and_in_any_batch"),
    (SeesTheOrder, "a_query_scores_the_same_alone_and_in_any_batch"),
    (NeedsQueries, "no_queries_give_no_scores"),
    (TakesAnyShape, "bad_training_data_is_refused"),
    (TakesHollowModels, "bad_training_data_is_refused"),
    (FailsOtherwise, "bad_training_data_is_refused"),
    (AnotherGraph, "the_graph_is_what_predict_does"),
    (LearnsNothing, "it_learns_what_can_be_learned"),
    (ScoresAreFarOff, "scores_are_what_they_say"),
    (TakesThemInAnotherOrder, "fewer_models_score_as_before"),
    (ChangesItself, "fewer_models_score_as_before"),
]


@pytest.mark.parametrize("check", ROUTER_CHECKS)
@pytest.mark.parametrize("kind", [Good, WithItsOwnInit])
def test_a_router_that_keeps_the_contract_passes(kind: type[Router], check: RouterCheck) -> None:
    check(kind)


@pytest.mark.parametrize(("broken", "name"), BROKEN)
def test_a_router_that_breaks_a_rule_fails_its_check(
    broken: Callable[[], Router], name: str
) -> None:
    check = {check.__name__: check for check in ROUTER_CHECKS}[name]
    with pytest.raises(AssertionError):
        check(broken)


def test_every_check_has_a_router_that_fails_it() -> None:
    assert {name for _, name in BROKEN} == {check.__name__ for check in ROUTER_CHECKS}


def test_all_at_once() -> None:
    assert check_router(Good) == len(ROUTER_CHECKS)
    with pytest.raises(AssertionError, match="predict gave float64: expected float32"):
        check_router(WrongDtype)


def test_a_failure_names_what_was_found_and_expected() -> None:
    with pytest.raises(AssertionError, match=r"\['double', 'penalty'\].*\['penalty'\]"):
        check_router(StoresMoreInInit)

"""FactorRouter: a few factors of the query, each with a loading per model, in closed form."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Self

import numpy as np
from pydantic import Field, PositiveInt

from equirouter.arrays import Float32Array, FloatArray
from equirouter.onnxgraph import OnnxGraph
from equirouter.routers.base import LeaveOneOutRouter, Training
from equirouter.routers.networks.forward import product
from equirouter.routers.new_model import Labelled, LinearEstimate, fit_estimate
from equirouter.routers.ridge import Factors, fit_factors, fit_lines, spectrum

LEAST_SHARE = np.float32(1e-3)
"""Of a task in a query, so that no query is without any."""


@dataclass(kw_only=True, eq=False)
class FactorRouter(LeaveOneOutRouter):
    """Performance of each model: its mean, plus loadings of the model times factors of the query.

    The factors are the principal components of the outcomes: what all models share (how hard a
    query is) comes first, then what sets models apart. Each is predicted from the query by ridge
    regression with a penalty of its own, the one under which the training outcomes are most likely,
    so a factor that the query says nothing about is shrunk to 0, and models that differ by chance
    alone are not told apart. So this is EquiRouter's family (a trunk for the query, an embedding
    per model, a head that all share) with a linear trunk and an inner product for a head.

    Three parts, each of which can be left out: the embedding; the task, as the text says it, where
    the table names tasks; and a second target, how far a model is behind the best of the query,
    which is what decides. In closed form, so the scores of a training query without that query are
    known exactly (`held_out`).
    """

    model_axes = MappingProxyType({"models_": 0, "level_": 0})

    scores_are = "expected_performance"

    needs_no_graph = True

    presets = MappingProxyType(
        {"default": {}, "no-tasks": {"tasks": False}, "no-regret": {"regret": 0.0}}
    )

    max_factors: PositiveInt = 32
    """How many factors of a target are kept at most, those of the largest variance."""

    regret: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The weight of the second target, 0 to 1: how far a model is behind the best of the query."""

    tasks: bool = True
    """Whether the table's task labels are learned; a query's task is then told from its text."""

    def _learn(self, training: Training) -> None:
        embeddings, performance, _ = training.outcomes  # the validation part is part of them
        tasks = training.tasks
        width = embeddings.shape[1]
        self.tasks_ = np.zeros((0, width), dtype=np.float32)
        self.task_level_ = np.zeros(0, dtype=np.float32)
        of = spectrum(embeddings)
        if self.tasks and tasks is not None and tasks.shape[1] > 1:
            told = fit_lines(of, np.where(tasks.any(axis=1, keepdims=True), tasks, np.nan))
            self.tasks_ = _as_float32(told.coef)
            self.task_level_ = told.level.astype(np.float32)
            del of  # as large as the embeddings in float64: not beside another one
            of = spectrum(embeddings, _shares(told.held_out))
        own = fit_factors(of, performance, self.max_factors)
        parts = [(own, _centred(len(own.level), 1.0 - self.regret, mean=True))]
        if self.regret > 0:
            known = np.where(np.isfinite(performance), performance, own.held_out)
            behind = performance - known.max(axis=1, keepdims=True)
            lost = fit_factors(of, behind, self.max_factors)
            parts.append((lost, _centred(len(own.level), self.regret, mean=False)))
        self._keep(parts, width)

    def _keep(self, parts: list[tuple[Factors, FloatArray]], width: int) -> None:
        """The targets added up, each with its factors; (K, K): how a target counts in a score."""
        trunk = np.vstack([each.trunk for each, _ in parts])  # (r, d + n_tasks)
        self.trunk_ = _as_float32(trunk[:, :width])
        self.trunk_tasks_ = _as_float32(trunk[:, width:])
        self.models_ = _as_float32(np.hstack([mix @ each.loadings for each, mix in parts]))
        level: FloatArray = np.sum([mix @ each.level for each, mix in parts], axis=0)
        self.level_ = level.astype(np.float32)
        held_out: FloatArray = np.sum([each.held_out @ mix.T for each, mix in parts], axis=0)
        self.held_out = held_out

    def with_added(self, labelled: Labelled) -> tuple[Self, LinearEstimate, FloatArray]:
        """One more model: loadings on the factors, and a factor of its own if it has one."""
        queries, others = labelled.embeddings, labelled.unlabelled
        estimate = fit_estimate(self.predict(queries), queries, labelled.performance)
        made = self._appended(
            {
                "models_": estimate.weights @ self.models_,
                "level_": float(estimate.weights @ self.level_) + estimate.level,
            }
        )
        if estimate.coef.any():
            own = np.zeros((len(made.models_), 1), dtype=np.float32)
            own[-1] = 1.0
            made.models_ = np.hstack([made.models_, own])
            made.trunk_ = np.vstack([made.trunk_, estimate.coef.astype(np.float32)])
            none = np.zeros((1, made.trunk_tasks_.shape[1]), dtype=np.float32)
            made.trunk_tasks_ = np.vstack([made.trunk_tasks_, none])
        return made, estimate, estimate.of(labelled.unlabelled_scores, others)

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Predicted performance (N, K); a query's is the same alone and in any batch."""
        factors = product(embeddings, self.trunk_)  # (N, r)
        if len(self.tasks_):
            shares = _shares(product(embeddings, self.tasks_) + self.task_level_)
            factors += product(shares, self.trunk_tasks_)
        return np.asarray(product(factors, self.models_) + self.level_, dtype=np.float32)

    def add_to_graph(self, graph: OnnxGraph, embeddings: str) -> str:
        """Add the products, and the task as the text says it."""
        factors = graph.affine("router.trunk", embeddings, self.trunk_, np.zeros(len(self.trunk_)))
        if len(self.tasks_):
            told = graph.affine("router.tasks", embeddings, self.tasks_, self.task_level_)
            least = graph.const("router.least_share", LEAST_SHARE)
            told = graph.op("Max", told, least)
            squared = graph.op("Mul", told, told)
            total = graph.op("ReduceSum", squared, graph.const("router.tasks.axis", np.array([1])))
            shares = graph.op("Div", squared, total)
            none = np.zeros(len(self.trunk_))
            of_tasks = graph.affine("router.trunk_tasks", shares, self.trunk_tasks_, none)
            factors = graph.op("Add", factors, of_tasks)
        return graph.affine("router.models", factors, self.models_, self.level_)


def _shares(told: FloatArray | Float32Array) -> Float32Array:
    """How far a query is of each task (N, n_tasks), from what its text says; rows sum to 1."""
    shares = np.maximum(told.astype(np.float32, copy=False), LEAST_SHARE)
    squared = shares * shares
    return np.asarray(squared / np.add.reduce(squared, axis=1, keepdims=True))


def _as_float32(array: FloatArray) -> Float32Array:
    """Row after row in memory, as in a loaded array: the last bits of products depend on it."""
    return np.ascontiguousarray(array, dtype=np.float32)


def _centred(n_models: int, weight: float, *, mean: bool) -> FloatArray:
    """(K, K): a query's values less their mean, times weight; and the mean itself, if wanted."""
    average = np.full((n_models, n_models), 1.0 / n_models)
    return np.asarray(weight * (np.eye(n_models) - average) + (average if mean else 0.0))

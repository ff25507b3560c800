"""Scores and predicted costs for serving: one ONNX graph, fast for one query and for a million.

Linear functions, which the default is made of, are as fast without one.

A row of a NumPy product may change in its last bits with the number of rows beside it. The products
of ONNX Runtime with constant weights do not, so a query gets the same numbers, and with them the
same decision, alone and in any batch, with any number of threads.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equirouter import __version__
from equirouter.arrays import Float32Array
from equirouter.cost import CostPredictor
from equirouter.errors import ConfigError, DataError, PipelineError
from equirouter.onnxgraph import OnnxGraph
from equirouter.processes import WithoutCached, usable_cores
from equirouter.routers.base import Router
from equirouter.routers.scale import LogisticScale

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

UseOfBlock = Callable[[slice, Float32Array, Float32Array], None]
"""What is done with the scores and costs (B, K) of these rows."""

CELLS_PER_RUN = 2816
"""Queries times models in one run of the graph: what a run holds stays in a core's own cache."""

MOST_ROWS_PER_RUN = 1024
RUNS_PER_TASK = 16  # what a thread does between two looks at the queue
LARGE_POOL = 256
"""From so many models on a single query is worth more than one thread."""


def decision_graph(
    router: Router,
    cost_model: CostPredictor,
    *,
    scale: LogisticScale | None = None,
    priced: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Router and cost model (fitted) as one ONNX model.

    Input: embeddings (N, d) float32, N at least 1. Outputs, float32: scores (N, K), where the
    router has a graph; predicted_cost_usd (N, K), or, not priced, the amounts (N, A) of the cost
    model under their name, which its prices make into costs; and, with scale, expected_performance
    (N, K). The same router and cost model give the same bytes.
    """
    graph = OnnxGraph()
    scores = router.add_to_graph(graph, "embeddings")
    amounts = cost_model.add_to_graph(graph, "embeddings")
    outputs = {cost_model.output: amounts}
    if priced:
        outputs = {"predicted_cost_usd": cost_model.add_usd_to_graph(graph, amounts)}
    if scores is not None:
        outputs["scores"] = scores
        if scale is not None:
            outputs["expected_performance"] = scale.add_to_graph(graph, scores)
    for name, inner in outputs.items():
        graph.rename(inner, name)
    columns = dict.fromkeys(outputs, cost_model.n_models)
    if not priced:
        columns[cost_model.output] *= cost_model.per_model
    return graph.serialized(
        "decision",
        {"embeddings": ["n_queries", cost_model.width]},
        {name: ["n_queries", columns[name]] for name in sorted(outputs, reverse=True)},
        metadata,
    )


def export_decision(
    router: Router,
    cost_model: CostPredictor,
    *,
    models: Sequence[str],
    encoder_fingerprint: str,
    scale: LogisticScale | None = None,
) -> bytes:
    """The decision as an ONNX file for other programs: see decision_graph for inputs and outputs.

    models: names in the order of the columns. encoder_fingerprint: of the encoder whose embeddings
    it takes. Both are in the file's metadata, as `models` (a JSON list) and `encoder_fingerprint`,
    beside `equirouter_version` and `scores_are`. Raises ConfigError for a router that has no graph.
    """
    metadata = {
        "equirouter_version": __version__,
        "models": json.dumps(list(models)),
        "encoder_fingerprint": encoder_fingerprint,
        "scores_are": router.scores_are,
    }
    graph = OnnxGraph()
    if router.add_to_graph(graph, "embeddings") is None:
        raise ConfigError(
            f"{type(router).__name__} cannot be exported: a router that looks up training queries, "
            "or chooses models by a first stage, has no ONNX graph; train equirouter with "
            "first_stage=0, or mlp"
        )
    return decision_graph(router, cost_model, scale=scale, priced=True, metadata=metadata)


class Scorer(WithoutCached):
    """Router and cost model made ready to run: `scores, costs = scorer(embeddings)`.

    graph: what decision_graph made of the two, or None, which runs their `predict`. A router that
    has no graph is run by `predict` as well. threads: that run at once; None takes every core this
    process may use. Nothing is loaded before the first call. Raises ConfigError for fewer than 1.
    """

    def __init__(
        self,
        graph: bytes | None,
        router: Router,
        cost_model: CostPredictor,
        *,
        threads: int | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigError(f"threads={threads}: at least 1 is needed, None takes every core")
        self.graph = graph
        self.router = router
        self.cost_model = cost_model
        self.n_models, self.width = cost_model.n_models, cost_model.width
        self.threads = threads or usable_cores()
        self.rows_per_run = min(MOST_ROWS_PER_RUN, max(1, CELLS_PER_RUN // self.n_models))

    @classmethod
    def of(
        cls, router: Router, cost_model: CostPredictor, *, threads: int | None = None
    ) -> "Scorer":
        """From a fitted router and cost model; no graph where both are as good without one."""
        plain = router.needs_no_graph and not cost_model.hidden
        graph = None if plain else decision_graph(router, cost_model)
        return cls(graph, router, cost_model, threads=threads)

    def state(self) -> dict[str, NDArray[Any]]:
        """The graph as an array of bytes, to be saved; `restore` takes it back."""
        return {} if self.graph is None else {"graph": np.frombuffer(self.graph, dtype=np.uint8)}

    @classmethod
    def restore(
        cls,
        state: Mapping[str, NDArray[Any]],
        router: Router,
        cost_model: CostPredictor,
    ) -> "Scorer":
        """From what `state` gave, and the router and cost model that it was made of."""
        graph = state.get("graph")
        return cls(None if graph is None else graph.tobytes(), router, cost_model)

    def __call__(self, embeddings: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Scores and predicted_cost_usd, (N, K) float32 each, for embeddings (N, d).

        Raises DataError for embeddings of another width.
        """
        if embeddings.ndim == 2 and 0 < len(embeddings) <= self.rows_per_run:
            return self._run(embeddings)
        shape = (len(embeddings), self.n_models)
        scores, costs = np.empty(shape, np.float32), np.empty(shape, np.float32)

        def keep(rows: slice, of_rows: Float32Array, costs_usd: Float32Array) -> None:
            scores[rows], costs[rows] = of_rows, costs_usd

        self.each(embeddings, keep)
        return scores, costs

    def each(self, embeddings: Float32Array, use: UseOfBlock) -> None:
        """Call use(rows, scores, costs) for all rows of embeddings (N, d), block by block.

        Only the blocks at work are in memory, so embeddings may be memory-mapped. The calls come
        from several threads and in any order, each for rows of its own.
        """
        n, step = len(embeddings), self.rows_per_run * RUNS_PER_TASK
        tasks = [slice(start, min(start + step, n)) for start in range(0, n, step)]
        if not tasks:
            self._check(embeddings)
        if len(tasks) < 2 or self._threads_at_once == 1:
            for rows in tasks:
                self._task(embeddings, rows, use)
            return
        with ThreadPoolExecutor(self._threads_at_once) as pool:
            list(pool.map(self._task, repeat(embeddings), tasks, repeat(use)))

    def _task(self, embeddings: Float32Array, rows: slice, use: UseOfBlock) -> None:
        shape = (rows.stop - rows.start, self.n_models)
        scores, costs = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for start in range(0, shape[0], self.rows_per_run):
            part = slice(start, min(start + self.rows_per_run, shape[0]))
            block = embeddings[rows.start + part.start : rows.start + part.stop]
            scores[part], costs[part] = self._run(block)
        use(rows, scores, costs)

    def _run(self, embeddings: Float32Array) -> tuple[Float32Array, Float32Array]:
        self._check(embeddings)
        x = np.ascontiguousarray(embeddings, dtype=np.float32)
        if self.graph is None:
            return self.router.predict(x), self.cost_model.predict(x).astype(np.float32)
        outputs = self._session.run(self._outputs, {"embeddings": x})
        costs = self.cost_model.usd(outputs[0]).astype(np.float32, copy=False)
        return outputs[-1] if len(outputs) > 1 else self.router.predict(x), costs

    def _check(self, embeddings: Float32Array) -> None:
        if embeddings.ndim != 2 or embeddings.shape[1] != self.width:
            raise DataError(
                f"embeddings have the shape {embeddings.shape}: expected (n_queries, "
                f"{self.width}), as in training"
            )

    @property
    def _threads_at_once(self) -> int:
        """Threads that run the graph, each on its own queries; of a large pool one does."""
        return 1 if self.n_models >= LARGE_POOL else self.threads

    @cached_property
    def _outputs(self) -> list[str]:
        names = [output.name for output in self._session.get_outputs()]
        return [name for name in (self.cost_model.output, "scores") if name in names]

    @cached_property
    def _session(self) -> "InferenceSession":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads // self._threads_at_once
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.force_spinning_stop", "1")  # idle means idle
        try:
            return onnxruntime.InferenceSession(
                self.graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors have no common class
            raise PipelineError(
                f"the graph that decides cannot be run ({type(error).__name__}: {error}); train "
                "again, or use the version of onnxruntime that it was trained with"
            ) from error

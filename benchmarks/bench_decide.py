"""Deciding without the encoder: scores, predicted costs and policy, for one query and for many.

    python benchmarks/bench_decide.py [one] [many] [walk] [--threads 2] [--queries 1000000]
    python benchmarks/bench_decide.py saved --pipeline FOLDER ...

`one`: medians in microseconds for one query at K = 11, 100, 1,000 and 8,500 models: the scorer (one
ONNX graph), the policy's full order, both; beside them the same router and cost model in NumPy
(`predict`) and in torch, which scores as the paper writes it, with the concatenation of Eq. 7, and
as this package trains it. `many`: RoutingPipeline.decide_many on embeddings in memory and in a
memory-mapped file, K = 11, and NumPy and torch in blocks of 4,096 on a tenth of them; the memory is
what the process holds beside the mapped file and the embeddings themselves (RssAnon). `walk`: CPU
time per query of all that is neither encoder nor scorer, where the two return what they are given;
K = 11. Weights are random: no figure there depends on what was learned. `saved`: CPU time of one
decision by pipelines that were saved, on a text of 20 words, and of the encoder in it.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from equirouter.arrays import Float32Array
from equirouter.cost import CostModel
from equirouter.cost.fit import NETWORK_WIDTH
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.pipeline.scorer import Scorer
from equirouter.pipeline.stage import Familiarity, Stage
from equirouter.policy import BudgetPolicy, Certainty
from equirouter.routers import Router, make_router
from equirouter.routers.fitting.equirouter_net import EquiRouterNet
from equirouter.routers.fitting.loop import weights_of
from equirouter.routers.fitting.networks import MLP
from equirouter.routers.scale import LogisticScale

WIDTH = 384
BUDGET_USD = 0.004
BLOCK_ROWS = 4096


class Parts:
    """A router and a cost model with random weights, in NumPy and in torch."""

    def __init__(self, preset: str, n_models: int) -> None:
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        self.router: Router = make_router(f"equirouter:{preset}" if preset else "equirouter")
        wanted = ("trunk", "model_width", "head_width", "joint_feature")
        shape = {name: self.router.settings[name] for name in wanted}
        self.network = EquiRouterNet(WIDTH, n_models, dropout=0.0, **shape).eval()
        self.router.restore(
            {f"weights_.{name}": array for name, array in weights_of(self.network).items()}
        )
        self.cost_model = CostModel(hidden=NETWORK_WIDTH)
        self.cost_network = MLP(WIDTH, self.cost_model.hidden, n_models).eval()
        mean_usd = rng.uniform(1e-3, 1e-2, n_models)
        self.cost_model.restore(
            {f"weights_.{name}": array for name, array in weights_of(self.cost_network).items()}
            | {"mean_": mean_usd, "spread_": mean_usd / 3, "lowest_": mean_usd / 9}
        )
        ends = (mean_usd / 3, mean_usd, mean_usd / 9)
        self.spread, self.mean, self.lowest = (torch.tensor(e, dtype=torch.float32) for e in ends)

    def numpy(self, x: Float32Array) -> tuple[np.ndarray, np.ndarray]:
        """Scores and costs by the two `predict`."""
        return self.router.predict(x), self.cost_model.predict(x)

    @torch.inference_mode()
    def as_trained(self, x: Float32Array) -> tuple[np.ndarray, np.ndarray]:
        """Scores and costs by the torch modules."""
        q = torch.from_numpy(x)
        return self.network(q).numpy(), self._costs(q)

    @torch.inference_mode()
    def as_written(self, x: Float32Array) -> tuple[np.ndarray, np.ndarray]:
        """Eq. 5-7 with the concatenation: [z_j, e_j, z_j * e_j, |z_j - e_j|] for every pair."""
        q, net = torch.from_numpy(x), self.network
        gamma, beta = net.phi(net.models).chunk(2, dim=1)
        z = gamma * net.encode(q)[:, None, :] + beta  # (B, K, D)
        e = net.psi(net.models).expand_as(z)
        joint = torch.cat([z, e, z * e, (z - e).abs()], dim=2)
        hidden = torch.nn.functional.gelu(net.head(joint), approximate="tanh")
        return net.score(net.head_norm(hidden)).squeeze(-1).numpy(), self._costs(q)

    def _costs(self, q: torch.Tensor) -> np.ndarray:
        amounts = torch.maximum(self.cost_network(q) * self.spread + self.mean, self.lowest)
        return np.asarray(amounts.numpy())


def median_us(
    call: Callable[[], object], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Median time of a call in microseconds, over some seconds of calls, after a few unmeasured."""
    for _ in range(3):
        call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = clock()
        call()
        times.append(clock() - start)
    return statistics.median(times) * 1e6


def one(preset: str, threads: int, seconds: float) -> None:
    print("\n| K | scorer | order | both | NumPy | torch as trained | torch as written |")
    print("|---|---|---|---|---|---|---|")
    policy = BudgetPolicy(BUDGET_USD)
    for n_models in (11, 100, 1000, 8500):
        parts = Parts(preset, n_models)
        scorer = Scorer.of(parts.router, parts.cost_model, threads=threads)
        x = unit(1)
        scores, costs = scorer(x)

        def both(scorer: Scorer = scorer, x: Float32Array = x) -> object:
            return policy.rank(*scorer(x))

        calls: list[Callable[[], object]] = [
            lambda scorer=scorer, x=x: scorer(x),  # type: ignore[misc]
            lambda scores=scores, costs=costs: policy.rank(scores, costs),  # type: ignore[misc]
            both,
            lambda parts=parts, x=x: parts.numpy(x),  # type: ignore[misc]
            lambda parts=parts, x=x: parts.as_trained(x),  # type: ignore[misc]
            lambda parts=parts, x=x: parts.as_written(x),  # type: ignore[misc]
        ]
        cells = [f"{median_us(call, seconds):,.0f}" for call in calls]
        print(f"| {n_models:,} | {' | '.join(cells)} |", flush=True)


def many(preset: str, threads: int, n_queries: int) -> None:
    parts = Parts(preset, 11)
    scorer = Scorer.of(parts.router, parts.cost_model, threads=threads)
    pipeline = pipeline_of(parts, FixedWidth(), scorer)
    x = unit(n_queries)
    print("\n| path | queries | seconds | queries/s | memory beside the input, MB |")
    print("|---|---|---|---|---|")

    def decide(rows: Float32Array) -> None:
        pipeline.decide_many(embeddings=rows, budget_usd=BUDGET_USD)

    decide(x[:20_000])
    row("decide_many, in memory", n_queries, lambda: decide(x))
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "x.npy", x)
        mapped = np.load(Path(folder) / "x.npy", mmap_mode="r")
        row("decide_many, memory-mapped", n_queries, lambda: decide(mapped))
    policy = BudgetPolicy(BUDGET_USD)
    tenth = x[: n_queries // 10]
    peers = {
        "NumPy": parts.numpy,
        "torch as trained": parts.as_trained,
        "torch as written": parts.as_written,
    }
    for name, predict in peers.items():

        def blocks(predict: Callable[[Float32Array], Any] = predict) -> None:
            for start in range(0, len(tenth), BLOCK_ROWS):
                policy.choose(*predict(tenth[start : start + BLOCK_ROWS]))

        row(name, len(tenth), blocks)


def pipeline_of(parts: Parts, encoder: object, scorer: object) -> RoutingPipeline:
    """A pipeline of 11 models of which no part was learned."""
    stage = Stage(
        encoder=cast(Any, encoder),
        router=parts.router,
        router_name="equirouter",
        cost_model=parts.cost_model,
        scale=LogisticScale((0.0,) * 11, (1.0,) * 11, centred=False, lowest=0.0, highest=1.0),
        scorer=cast(Any, scorer),
        certainty=Certainty(0.0, 1.0, -1.0, 0.0, 1.0),
        familiar=Familiarity(unit(64), np.inf),
    )
    return RoutingPipeline(
        stage=stage,
        models=tuple(f"model{j}" for j in range(11)),
        calibration=cast(Any, BudgetPolicy),  # only its setting is asked for
        baseline=cast(Any, None),
        record=cast(Any, None),
    )


def walk(seconds: float) -> None:
    print("\n| queries | control | CPU microseconds per query |")
    print("|---|---|---|")
    rng = np.random.default_rng(0)
    for n_queries in (1000, 1):
        numbers = rng.random((2, n_queries, 11), np.float32)
        scorer = Given((numbers[0], numbers[1] * 0.01))
        pipeline = pipeline_of(Parts("", 11), Given(unit(n_queries)), scorer)
        texts = [f"query {number}" for number in range(n_queries)]
        controls: dict[str, Any] = {"budget_usd": BUDGET_USD, "lambda_": 10.0}
        for name, value in controls.items():

            def decide(
                texts: list[str] = texts,
                control: dict[str, Any] = {name: value},  # noqa: B006
                pipeline: RoutingPipeline = pipeline,
            ) -> object:
                return pipeline.decide_many(texts, **control)

            per_query = median_us(decide, seconds, time.process_time) / n_queries
            print(f"| {n_queries:,} | {name} | {per_query:.2f} |", flush=True)


def saved(folders: list[Path], seconds: float) -> None:
    print("\n| encoder | models | decide, us | its encoder, us | the rest, us |")
    print("|---|---:|---:|---:|---:|")
    text = " ".join(f"word{number}" for number in range(20))
    for folder in folders:
        pipeline = RoutingPipeline.load(folder)
        encoder = pipeline.stage.encoder
        whole, part = (
            median_us(call, seconds, time.process_time)
            for call in (lambda: pipeline.decide(text), lambda: encoder.encode([text]))  # noqa: B023
        )
        figures = f"{whole:.1f} | {part:.1f} | {whole - part:.1f}"
        print(f"| {encoder.name} | {len(pipeline.models)} | {figures} |", flush=True)


def row(name: str, n_queries: int, call: Callable[[], object], repeats: int = 3) -> None:
    """Print one row: the median of some calls, and how far the memory rose in them."""
    before, most, times = anonymous_mb(), 0.0, []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
        most = max(most, anonymous_mb())
    seconds = statistics.median(times)
    rate = n_queries / seconds
    print(f"| {name} | {n_queries:,} | {seconds:.2f} | {rate:,.0f} | {most - before:.0f} |")


def anonymous_mb() -> float:
    """Memory of this process that no file backs, in MB."""
    status = Path("/proc/self/status").read_text("ascii")
    line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def unit(n: int) -> Float32Array:
    """Random rows of length 1."""
    x = np.random.default_rng(0).standard_normal((n, WIDTH), dtype=np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


class Given:
    """Stands where an encoder or a scorer would, and returns always the same."""

    name = "none"
    dimension = WIDTH
    accepts_images = False

    def __init__(self, result: object) -> None:
        self.result = result

    def encode(self, *_: object) -> object:
        """What it was given."""
        return self.result

    __call__ = encode


class FixedWidth:
    """Stands where an encoder would: only its width is asked for."""

    name = "none"
    dimension = WIDTH


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", choices=["one", "many", "walk", "saved", []], default=[])
    parser.add_argument("--pipeline", type=Path, nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--preset", default="")
    parser.add_argument("--seconds", type=float, default=1.0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"preset {args.preset or 'default'}, {args.threads} threads")
    if "one" in args.what or not args.what:
        one(args.preset, args.threads, args.seconds)
    if "many" in args.what or not args.what:
        many(args.preset, args.threads, args.queries)
    if "walk" in args.what or not args.what:
        walk(args.seconds)
    if "saved" in args.what:
        saved(args.pipeline, args.seconds)


if __name__ == "__main__":
    main()

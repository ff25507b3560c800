"""Gain of deciding in batches under load, and cost of the way through the thread.

    python benchmarks/bench_decider.py PIPELINE [--rounds 5] [--loop-ms 0.3] [--threads N]

One event loop with 1 and with 64 clients; each asks for a decision, and before that keeps the loop
busy for --loop-ms, as the rest of a request would. Every query is another text: equal ones would be
encoded once. `short` are 20 words, `mixed` 4 to 200. Settings are asked in turn, round after round;
medians over the rounds, and processor time per decision of the whole process. PIPELINE is a folder
from `equirouter train`.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from equirouter.pipeline.decision import Ask
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.serve.plan.decision_thread import DecisionThread
from equirouter.serve.settings import PipelineSettings
from equirouter.serve.watch.prometheus import Metrics

WORDS = (
    "river",
    "stone",
    "garden",
    "winter",
    "letter",
    "music",
    "bridge",
    "market",
    "paper",
    "ship",
)
DECISIONS = {1: 60, 64: 512}


class Sizes(Metrics):
    """Remembers how many queries were decided together."""

    def __init__(self) -> None:
        super().__init__(models=(), upstreams=())
        self.counts: list[int] = []

    def batched(self, size: int) -> None:
        """Note a size."""
        self.counts.append(size)


def texts(kind: str, rng: random.Random) -> Iterator[str]:
    """Endless queries."""
    while True:
        yield " ".join(rng.choices(WORDS, k=20 if kind == "short" else rng.randint(4, 200)))


def busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


async def load(
    decider: DecisionThread, queries: Iterator[str], clients: int, loop_seconds: float
) -> tuple[float, float, float]:
    """Decisions per second, milliseconds per decision (median), processor milliseconds."""
    left, taken = DECISIONS[clients], []

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            start = time.perf_counter()
            busy(loop_seconds)
            await decider.decide(Ask(next(queries)))
            taken.append(time.perf_counter() - start)

    start, processor = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(clients)))
    seconds = time.perf_counter() - start
    n = len(taken)
    return n / seconds, median(taken) * 1e3, (time.process_time() - processor) / n * 1e3


async def measured(
    deciders: dict[int, tuple[DecisionThread, Sizes]], kind: str, rounds: int, loop_seconds: float
) -> None:
    rng = random.Random(0)  # noqa: S311
    queries = texts(kind, rng)
    by_setting: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    for _ in range(rounds):
        for size, (decider, sizes) in deciders.items():
            for clients in DECISIONS:
                if clients > 1:
                    sizes.counts.clear()
                result = await load(decider, queries, clients, loop_seconds)
                by_setting.setdefault((size, clients), []).append(result)
    for (size, clients), results in by_setting.items():
        rate, ms, processor = (median(column) for column in zip(*results, strict=True))
        together = deciders[size][1].counts
        mean = sum(together) / len(together) if together else 0
        gain = rate / median(r for r, _, _ in by_setting[1, clients])
        print(
            f"| {kind} | {clients} | {size} | {rate:.0f} | {gain:.2f} | {ms:.2f} | {processor:.2f} "
            f"| {mean if clients > 1 else 1:.1f} |"
        )


async def run(folder: Path, sizes: Sequence[int], args: argparse.Namespace) -> None:
    models = RoutingPipeline.load(folder).models
    deciders = {}
    for size in sizes:
        settings = PipelineSettings(path=folder, batch_size=size, threads=args.threads)
        counted = Sizes()
        deciders[size] = DecisionThread(settings, models, counted), counted
    first = deciders[sizes[0]][0].loaded
    print(
        f"{folder}: {first.decision_ms:.3f} ms alone, on the loop up to {first.quick_characters} "
        "characters\n"
    )
    print("| queries | clients | batch_size | decisions/s | gain | ms | processor ms | together |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in ("short", "mixed"):
        await measured(deciders, kind, args.rounds, args.loop_ms / 1e3)
    for decider, _ in deciders.values():
        await decider.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop-ms", type=float, default=0.3)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    asyncio.run(run(args.pipeline, (1, 4, 16, 64), args))


if __name__ == "__main__":
    main()

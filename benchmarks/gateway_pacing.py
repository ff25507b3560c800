"""Mean cost of requests where the gateway keeps a mean spend: pipeline.spend_usd.

    python benchmarks/gateway_pacing.py [DATASET] [--clients 16] [--requests 3000]
        [--at 0.1 0.3 0.5 0.7 0.9]

A pipeline with the `static` encoder is fitted on the training part of a data set (`simulated`);
queries of its test part are then sent to a gateway, --clients at once, in random order, as often as
it takes. A fake provider charges what the table says that this model's answer to this query cost.
--at: targets, on the way from the least that any lambda costs on validation queries (0) to what
lambda 0 costs there (1). Beside them the same requests at the fixed lambda that
cost the target on validation queries. Prints Markdown: the mean over all requests, the mean without
the first 200, both over the target, and the mean performance.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import aiohttp
import numpy as np
from aiohttp import web
from bench_gateway import wait_for

from equirouter.arrays import FloatArray, IntArray
from equirouter.data import load_dataset
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import split_outcomes
from equirouter.encoders import make_encoder
from equirouter.evaluation.train import train

GATEWAY, PROVIDER = 19300, 19301
WARM_UP = 200


class Stream(NamedTuple):
    """Rows of a table in the order in which they are asked."""

    outcomes: Outcomes
    rows: IntArray


class Provider:
    """Answers as the table says: a token costs a millionth of a USD, and so many are charged."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._row = {text: row for row, text in enumerate(outcomes.texts)}
        self._column = {model: column for column, model in enumerate(outcomes.models)}
        self._cost_usd = outcomes.cost_usd

    async def answer(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        row = self._row[body["messages"][-1]["content"]]
        tokens = max(round(self._cost_usd[row, self._column[body["model"]]] * 1e6), 1)
        message = {"role": "assistant", "content": "a"}
        return web.json_response(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens},
            }
        )


def configuration(folder: Path, models: Sequence[str], spend_usd: float | None) -> Path:
    (folder / "gateway.db").unlink(missing_ok=True)
    lines = [
        f"[server]\nport = {GATEWAY}\n[pipeline]\npath = {json.dumps(str(folder / 'pipeline'))}",
        "" if spend_usd is None else f"spend_usd = {spend_usd!r}",
        f"[store]\nurl = {json.dumps(f'sqlite:///{folder}/gateway.db')}",
        "[sessions]\nenabled = false",
        f'[upstreams.fake]\nbase_url = "http://127.0.0.1:{PROVIDER}/v1"\nauth = "none"',
    ]
    for model in models:
        price = "price = { input = 0.0, output = 1.0 }"
        lines.append(f'[models.{json.dumps(model)}]\nupstream = "fake"\n{price}')
    path = folder / "gateway.toml"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


async def asked(stream: Stream, model: str, clients: int) -> tuple[FloatArray, FloatArray]:
    """Cost and performance of each request, in the order of the answers."""
    answers: list[tuple[float, float]] = []
    waiting = iter(stream.rows.tolist())
    column = {name: place for place, name in enumerate(stream.outcomes.models)}

    async def client(session: aiohttp.ClientSession) -> None:
        for row in waiting:
            messages = [{"role": "user", "content": stream.outcomes.texts[row]}]
            body = {"model": model, "messages": messages}
            async with session.post("/v1/chat/completions", json=body) as response:
                response.raise_for_status()
                await response.read()
                cost = float(response.headers["x-equirouter-cost-usd"])
                answered_by = column[response.headers["x-equirouter-model"]]
            answers.append((cost, float(stream.outcomes.performance[row, answered_by])))

    async with aiohttp.ClientSession(f"http://127.0.0.1:{GATEWAY}") as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    costs, performance = np.array(answers).T
    return costs, performance


async def measured(
    folder: Path, stream: Stream, model: str, spend_usd: float | None, clients: int
) -> tuple[FloatArray, FloatArray]:
    config = configuration(folder, stream.outcomes.models, spend_usd)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", Provider(stream.outcomes).answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PROVIDER).start()
    log = folder / "gateway.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "equirouter", "serve", str(config)]
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        await asyncio.to_thread(wait_for, GATEWAY, log, "/readyz")
        return await asked(stream, model, clients)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", nargs="?", default="simulated")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--at", type=float, nargs="+", default=[0.1, 0.3, 0.5, 0.7, 0.9])
    args = parser.parse_args()
    outcomes = load_dataset(args.dataset)
    pipeline = train(outcomes, make_encoder("static"), policy="utility", resamples=0)
    test = split_outcomes(outcomes, seed=42).test
    test = test[outcomes.is_complete[test]]
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.permutation(test) for _ in range(args.requests // len(test) + 1)])
    stream = Stream(outcomes, rows[: args.requests])
    seen = pipeline.calibration
    # of validation queries: what the pacer itself begins with
    least, most = min(seen.cost_usd), max(seen.cost_usd)
    print(
        f"{outcomes.name}, {args.requests} requests, {args.clients} at once\n\n"
        "| target at | USD | paced | without the first | lambda of validation | "
        "performance, paced | at that lambda |\n|---|---|---|---|---|---|---|"
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        pipeline.save(folder / "pipeline")
        for share in args.at:
            spend = least + share * (most - least)
            fixed = seen.lambda_at(spend)
            run = partial(measured, folder, stream, clients=args.clients)
            paced, good = asyncio.run(run(model="equirouter/auto", spend_usd=spend))
            plain, other = asyncio.run(run(model=f"equirouter/lambda-{fixed!r}", spend_usd=None))
            print(
                f"| {share:.0%} | {spend:.6f} | {paced.mean() / spend:.3f} | "
                f"{paced[WARM_UP:].mean() / spend:.3f} | {plain.mean() / spend:.3f} | "
                f"{good.mean():.4f} | {other.mean():.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

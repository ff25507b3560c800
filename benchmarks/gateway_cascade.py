"""Time to the first byte where two models are asked at once and a third follows.

    python benchmarks/gateway_cascade.py [--requests 300]

A fake provider takes 60 and 100 ms for the whole answers of two cheap models, and 40 ms to the
first byte of the third one's stream. The pipeline has the `static` encoder and the agreement rule.
The gateway runs in a process of its own with a key, its budget, the log and the metrics on. Prints
what it adds to the slower of the two and the third, in milliseconds: median, 95 % and the most;
then the same where the two agree, and where cascades are off and the third is asked alone.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import numpy as np
from aiohttp import web
from bench_gateway import make_key, wait_for

from equirouter.data import load_dataset
from equirouter.encoders import make_encoder
from equirouter.evaluation.train import train
from equirouter.pipeline import Ask
from equirouter.policy.plans import Plans
from equirouter.policy.pool_plans import AgreementRule, PoolPlans

GATEWAY, PROVIDER = 19310, 19311
DELAY_MS = {"a": 60.0, "b": 100.0, "c": 40.0}
USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
HEAD = {"id": "x", "created": 1, "model": "m"}


class Provider:
    """Answers after the model's time, with a number; a and b give the same where they agree."""

    def __init__(self, delay_ms: dict[str, float]) -> None:
        self.agree = False
        self.took_ms: dict[str, list[float]] = {model: [] for model in delay_ms}
        self._delay_ms = delay_ms

    async def answer(self, request: web.Request) -> web.StreamResponse:
        start = time.perf_counter()
        body: dict[str, Any] = await request.json()
        model = body["model"]
        await asyncio.sleep(self._delay_ms[model] / 1000)
        self.took_ms[model].append((time.perf_counter() - start) * 1000)
        text = "7" if self.agree else {name: str(n) for n, name in enumerate(self.took_ms)}[model]
        if not body.get("stream"):
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            document = {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}
            return web.json_response(document)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop"}
        chunk = {**HEAD, "object": "chat.completion.chunk", "choices": [choice]}
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n")
        return response


def saved(folder: Path) -> tuple[list[str], Sequence[str]]:
    """A pipeline of three models with the agreement rule; their names, and queries it compares."""
    outcomes = load_dataset("simulated:n_queries=400")
    names = list(outcomes.models[:3])
    made = train(outcomes.with_models(names), make_encoder("static"), policy="utility", resamples=0)
    rule = AgreementRule((0, 1), 2, 0.5)
    made = replace(made, plans=PoolPlans("number@1", Plans(len(names)), rule))
    made.save(folder)
    decided = made.decide_each([Ask(text, may_check=True) for text in outcomes.texts])
    known = zip(outcomes.texts, decided, strict=True)
    return names, [text for text, decision in known if not decision.far]


def configuration(folder: Path, names: Sequence[str]) -> Path:
    lines = [
        f"[server]\nport = {GATEWAY}\n[pipeline]\npath = {json.dumps(str(folder / 'pipeline'))}",
        f"[store]\nurl = {json.dumps(f'sqlite:///{folder}/gateway.db')}",
        "[cascade]\nenabled = true\naudit_share = 0.0\n[sessions]\nenabled = false",
        f'[upstreams.fake]\nbase_url = "http://127.0.0.1:{PROVIDER}/v1"\nauth = "none"',
    ]
    for name, theirs in zip(names, DELAY_MS, strict=True):
        price = "price = { input = 0.1, output = 1.0 }"
        lines.append(f'[models.{json.dumps(name)}]\nupstream = "fake"\n{price}')
        lines.append(f'upstream_model = "{theirs}"')
    path = folder / "gateway.toml"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


async def added_ms(
    provider: Provider, key: str, texts: Sequence[str], model: str, asked: str
) -> list[float]:
    """What the gateway adds to the times of those who are waited for, one request at a time.

    asked: those that are waited for one after the other, such as "ab c".
    """
    added = []
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{GATEWAY}", headers=headers) as session:
        for text in texts:
            for took in provider.took_ms.values():
                took.clear()
            message = {"role": "user", "content": text}
            body = {"model": model, "messages": [message], "stream": True}
            start = time.perf_counter()
            async with session.post("/v1/chat/completions", json=body) as response:
                response.raise_for_status()
                await response.content.readany()
                ms = (time.perf_counter() - start) * 1000
                await response.read()
            waited = (max(provider.took_ms[name][0] for name in each) for each in asked.split())
            added.append(ms - sum(waited))
    return added


async def measured(folder: Path, n: int) -> None:
    provider = Provider(DELAY_MS)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", provider.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PROVIDER).start()
    names, texts = await asyncio.to_thread(saved, folder / "pipeline")
    config = configuration(folder, names)
    key = await asyncio.to_thread(make_key, config)
    log = folder / "gateway.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "equirouter", "serve", str(config)], stdout=out, stderr=out
        )
    try:
        await asyncio.to_thread(wait_for, GATEWAY, log, "/readyz")
        print("| added, ms | median | 95 % | most |\n|---|---|---|---|")
        for name, model, agree, asked in (
            ("two that differ, then the third", "equirouter/auto", False, "ab c"),
            ("two that agree", "equirouter/auto", True, "ab"),
            ("the third alone, named", names[2], False, "c"),
        ):
            provider.agree = agree
            added = await added_ms(provider, key, texts[:n], model, asked)
            low, high = np.percentile(added[n // 10 :], [50, 95])
            print(f"| {name} | {low:.2f} | {high:.2f} | {max(added[n // 10 :]):.2f} |", flush=True)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=300)
    args = parser.parse_args()
    with TemporaryDirectory() as name:
        asyncio.run(measured(Path(name), args.requests))


if __name__ == "__main__":
    main()

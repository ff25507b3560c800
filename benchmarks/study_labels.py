"""How many labels are worth their money, end to end on real answers.

    python benchmarks/study_labels.py ZEROEVAL.parquet ANSWERS.parquet [--queries 500] [--draws 3]

A provider on 127.0.0.1 plays back what ten models answered to questions of ZeroEval; `collect` asks
it, and the answers are scored by `exact` against references, by `agreement` and by a noisy `judge`
without any, and by that judge corrected by people's labels of 50 queries. Pipelines are trained on
50 to 500 of these queries, and measured on the true scores of all others.

The references are what a model that was right answered. The judge is made up: it knows the truth,
says so with noise, and likes length; what a real one is worth is to be measured on real labels.
"""

import argparse
import asyncio
import hashlib
import json
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from aiohttp import web
from pages import record

from equirouter.arrays import Float32Array, FloatArray
from equirouter.data import Outcomes, read_table
from equirouter.data.query_table import AskedQuery
from equirouter.encoders import EmbeddingCache, make_encoder
from equirouter.encoders.cache import encode_cached
from equirouter.errors import DataError
from equirouter.evaluation.train import train
from equirouter.labelling.collecting import collect
from equirouter.labelling.graders import Case, make_grader
from equirouter.labelling.graders.base import Surroundings
from equirouter.labelling.review.correcting import corrected
from equirouter.labelling.scoring import score

MODELS = (
    "gemma-2-2b-it",
    "Meta-Llama-3-8B-Instruct",
    "gpt-3.5-turbo-0125",
    "Qwen2-72B-Instruct",
    "Meta-Llama-3.1-70B-Instruct",
    "deepseek-v2.5-0908",
    "gpt-4o-mini-2024-07-18",
    "claude-3-5-haiku-20241022",
    "Mistral-Large-2",
    "claude-3-5-sonnet-20241022",
)
SIZES = (50, 100, 200, 500)
LABELLED = 50
QUALITIES = (0.95, 0.98)
ENCODER = "lexical+minilm"


class Playback:
    """What the models answered, and a judge that knows what is right."""

    def __init__(self, truth: Outcomes, said: dict[tuple[str, str], str]) -> None:
        self.row = {text: row for row, text in enumerate(truth.texts)}
        self.truth, self.said = truth, said
        self.right: dict[str, set[str]] = defaultdict(set)
        for (query_id, model), answer in said.items():
            row, column = truth.query_ids.index(query_id), truth.models.index(model)
            if truth.performance[row, column] == 1:
                self.right[query_id].add(answer)

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        text, model = body["messages"][-1]["content"], body["model"]
        if model == "judge":
            return web.json_response(completion(self.judged(text), len(text) // 4, 60))
        row, column = self.row[text], self.truth.models.index(model)
        given, made = (int(table[row, column]) for table in tokens_of(self.truth))
        answer = self.said.get((self.truth.query_ids[row], model), "")
        return web.json_response(completion(answer, given, made))

    def judged(self, prompt: str) -> str:
        text = prompt.partition("<request>\n[user]\n")[2].partition("\n</request>")[0]
        answer = prompt.rpartition("<answer>\n")[2].partition("\n</answer>")[0]
        is_right = answer in self.right[self.truth.query_ids[self.row[text]]]
        seed = int.from_bytes(hashlib.sha256((text + answer).encode()).digest()[:4], "big")
        noise = np.random.default_rng(seed).normal(0, 2.5)
        mark = (7.5 if is_right else 4.0) + noise + 0.05 * len(answer)
        return f"Score: {int(np.clip(round(mark), 0, 10))}"


def tokens_of(truth: Outcomes) -> tuple[FloatArray, FloatArray]:
    if truth.tokens is None:
        raise DataError(f"{truth.name}: the table has no tokens, by which answers are priced")
    return truth.tokens


def completion(text: str, given: int, made: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "played back",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": given,
            "completion_tokens": made,
            "total_tokens": given + made,
        },
    }


@contextmanager
def provider(playback: Playback) -> Iterator[str]:
    loop, ready, stop, url = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), []

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", playback.handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield url[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def gateway(folder: Path, url: str, truth: Outcomes) -> Path:
    """gateway.toml with the prices that explain the costs of the table."""
    lines = [f'[upstreams.played]\nbase_url = "{url}"']
    for column, model in enumerate(truth.models):
        used = np.column_stack([table[:, column] for table in tokens_of(truth)])
        price = np.linalg.lstsq(used, truth.cost_usd[:, column], rcond=None)[0] * 1e6
        lines.append(
            f'[models."{model}"]\nupstream = "played"\n'
            f"price = {{ input = {max(price[0], 0):.6f}, output = {max(price[1], 0):.6f} }}"
        )
    lines.append('[models.judge]\nupstream = "played"\nprice = { input = 1.0, output = 4.0 }')
    path = folder / "gateway.toml"
    path.write_text("\n".join(lines), "utf-8")
    return path


def tables(
    folder: Path, truth: Outcomes, playback: Playback
) -> tuple[dict[str, Outcomes], dict[str, float]]:
    """The scored tables of the queries that were asked, and what the run says of itself."""
    asked = [
        AskedQuery(
            query_id=name,
            query=text,
            task=task,
            messages=json.dumps([{"role": "user", "content": text}]),
        )
        for name, text, task in zip(truth.query_ids, truth.texts, truth.tasks, strict=True)
    ]
    references = {
        name: min(playback.right[name]) if playback.right[name] else "(nobody was right)"
        for name in truth.query_ids
    }
    with provider(playback) as url:
        config = gateway(folder, url, truth)
        done = collect(config, asked, folder / "answers", models=MODELS, concurrency=16)
        made = {
            "exact": score(folder / "answers", ["exact"], references=references),
            "judge": score(folder / "answers", ["judge"], judge="judge", concurrency=16),
        }
    facts = {"answers": done.answered, "usd": done.spent_usd, "all_usd": made["judge"].spent_usd}
    return {name: one.table.with_models(truth.models) for name, one in made.items()}, facts


def cases(table: Outcomes, playback: Playback) -> list[Case]:
    return [
        Case(name, text, model, playback.said.get((name, model), ""))
        for name, text in zip(table.query_ids, table.texts, strict=True)
        for model in table.models
    ]


def by_agreement(table: Outcomes, playback: Playback) -> Outcomes:
    """The queries of a table scored by their answers alone."""
    grader = make_grader("agreement:by_answer=exact")
    grades = grader.grade(cases(table, playback), Surroundings())
    scores = np.array([one.score for one in grades], dtype=np.float64)
    return replace(table, performance=scores.reshape(table.performance.shape))


def with_labels(judged: Outcomes, truth: Outcomes) -> Outcomes:
    """The judge's table corrected by the true scores of its first queries, as if by a person."""
    pairs = [
        ((name, model), row, column)
        for row, name in enumerate(judged.query_ids)
        for column, model in enumerate(judged.models)
    ]
    scores = {key: (float(judged.performance[row, column]), "judge") for key, row, column in pairs}
    labels = {
        key: float(truth.performance[row, column]) for key, row, column in pairs if row < LABELLED
    }
    chance = min(1.0, LABELLED / judged.n_queries)
    chances = dict.fromkeys(judged.query_ids[:LABELLED], chance)
    new = corrected(scores, labels, chances).scores
    values = np.array([new[key][0] for key, _, _ in pairs]).reshape(judged.performance.shape)
    return replace(judged, performance=values)


def costs_at(
    table: Outcomes, embeddings: Float32Array, test: Outcomes, at: Float32Array, seed: int
) -> list[float]:
    """Train, and read the cost at each quality of the strongest model off the true test scores."""
    pipeline = train(
        table, make_encoder(ENCODER), embeddings=embeddings, seed=seed, resamples=0, quality=0.9
    )
    rows = np.arange(test.n_queries)
    best = int(np.nanmean(test.performance, axis=0).argmax())
    whole = test.performance[:, best].mean(), test.cost_usd[:, best].mean()
    found = [(1.0, 1.0)]
    for price in (0.0, *np.geomspace(1, 1e5, 60)):
        chosen = pipeline.decide_many(embeddings=at, lambda_=float(price)).chosen
        found.append(
            (
                test.performance[rows, chosen].mean() / whole[0],
                test.cost_usd[rows, chosen].mean() / whole[1],
            )
        )
    return [min(cost for quality, cost in found if quality >= wanted) for wanted in QUALITIES]


def agreement_with_truth(table: Outcomes, truth: Outcomes) -> tuple[float, float]:
    """Correlation of scores with true ones, and Kendall's tau of the models' means."""
    scores, true = table.performance.ravel(), truth.performance.ravel()
    known = np.isfinite(scores) & np.isfinite(true)
    means, right = np.nanmean(table.performance, axis=0), np.nanmean(truth.performance, axis=0)
    pairs = [(i, j) for i in range(len(means)) for j in range(i) if right[i] != right[j]]
    signs = [np.sign(means[i] - means[j]) * np.sign(right[i] - right[j]) for i, j in pairs]
    return float(np.corrcoef(scores[known], true[known])[0, 1]), float(np.mean(signs))


def shown(values: Sequence[Sequence[float]]) -> str:
    array: FloatArray = np.array(values, dtype=np.float64)
    if not array.size:
        return "too few"
    columns = zip(array.mean(axis=0), array.std(axis=0), strict=True)
    return " / ".join(f"{mean:.2f} ± {spread:.2f}" for mean, spread in columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table")
    parser.add_argument("answers")
    parser.add_argument("--queries", type=int, default=max(SIZES))
    parser.add_argument("--draws", type=int, default=3)
    args = parser.parse_args()
    truth = read_table(args.table).with_models(MODELS)
    truth = truth.take(truth.is_complete)
    rows = pq.read_table(args.answers).to_pylist()
    said = {
        (row["query_id"], row["model"]): row["answer"] or ""
        for row in rows
        if row["model"] in MODELS and row["query_id"] in set(truth.query_ids)
    }
    playback = Playback(truth, said)
    order = np.random.default_rng(11).permutation(truth.n_queries)
    kept, rest = order[: args.queries], order[args.queries :]
    embeddings = encode_cached(make_encoder(ENCODER), truth.texts, cache=EmbeddingCache())
    asked, test = truth.take(kept), truth.take(rest)
    with tempfile.TemporaryDirectory() as folder:
        scored, facts = tables(Path(folder), asked, playback)
    print(facts, file=sys.stderr)
    results: dict[tuple[str, int], list[list[float]]] = defaultdict(list)
    likeness: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for draw in range(args.draws):
        shuffled = np.random.default_rng(draw).permutation(len(kept))
        for size in (size for size in SIZES if size <= len(kept)):
            part = shuffled[:size]
            true = asked.take(part)
            arms = {
                "the true ones": true,
                "`exact`, against references": scored["exact"].take(part),
                "`agreement`: no labels": by_agreement(true, playback),
                "`judge`, a noisy one": scored["judge"].take(part),
                "judge, 50 queries labelled": with_labels(scored["judge"].take(part), true),
                "50 labelled alone": true.take(np.arange(min(size, LABELLED))),
            }
            for name, table in arms.items():
                likeness[name, size].append(
                    agreement_with_truth(table, true.take(np.arange(table.n_queries)))
                )
                at = embeddings[kept[part[: table.n_queries]]]
                try:
                    results[name, size].append(costs_at(table, at, test, embeddings[rest], draw))
                except DataError as error:
                    print(f"{name}, {size}: {error}", file=sys.stderr)
            print(f"draw {draw}, {size} queries", file=sys.stderr)
    rows = []
    for name in dict.fromkeys(name for name, _ in likeness):
        like = np.mean(likeness[name, min(args.queries, SIZES[-1])], axis=0)
        cells = [shown(results[name, size]) if results[name, size] else "" for size in SIZES]
        rows.append([name, f"{like[0]:.2f}, {like[1]:.2f}", *cells])
    record("labels", rows)


if __name__ == "__main__":
    main()

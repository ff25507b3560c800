"""A year of a gateway that learns from what it serves, beside one that does not, on real outcomes.

    nice -n 15 python benchmarks/study_loop.py ZEROEVAL.parquet ROUTERBENCH.parquet  # 40 minutes

Thirteen months of four weeks. Requests go through a real gateway to a provider that plays the
outcomes of the two tables back, under the names of four roles. In month 3 the middle model's price
halves, in month 5 the small one gets worse behind its name, in month 7 a new task arrives (that of
the second table), in month 10 a model joins. Half of the answers are rated: a tenth of the ratings
is wrong, and 5 % of the users say the opposite of what is so. Shadows are scored by a grader that
errs on 5 % of the answers. Arms: `never` is the first pipeline, `loop` retrains every month by
`equirouter retrain`, `ungated` retrains every week and takes whatever comes out.
"""

import argparse
import asyncio
import json
import logging
import re
import shutil
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import numpy as np
from aiohttp import web

from equirouter import train
from equirouter.cost.prices import Price
from equirouter.data.outcomes import Outcomes
from equirouter.data.tables import read_table, write_table
from equirouter.encoders import make_encoder
from equirouter.errors import UserError
from equirouter.evaluation.promotion.retrain import trained_like, with_log
from equirouter.labelling.log_scoring import score_log
from equirouter.pipeline import PipelineVersions, RoutingPipeline
from equirouter.serve.money.log_export import export_log
from equirouter.serve.money.store.store import connected
from equirouter.serve.run.assembly import open_gateway
from equirouter.serve.run.server import make_runner
from equirouter.serve.settings_file import read_settings
from equirouter.training.joining import with_model
from equirouter.training.pool_changes import repriced

MONTHS, WEEKS = 13, 4
CHEAPER, WORSE, NEW_TASK, JOINS = 2, 4, 6, 9  # months, counted from 0
QUALITY = 0.95
FIRST_LABELS, JOIN_LABELS = 600, 100
RATED, WRONG, MALICIOUS, JUDGE_ERRS = 0.5, 0.1, 0.05, 0.05
NEW_SHARE = 0.4
EXPLORED, SHADOWED = 0.04, 0.05
AT_ONCE = 16
ROLES = {
    "strong": ("gpt-4o-2024-08-06", "gpt-4-1106-preview"),
    "middle": ("Mistral-Large-2", "zero-one-ai/Yi-34B-Chat"),
    "small": ("Meta-Llama-3.1-70B-Instruct", "mistralai/mixtral-8x7b-chat"),
    "joined": ("gpt-4o-mini-2024-07-18", "gpt-3.5-turbo-1106"),
    "worse": ("Meta-Llama-3-8B-Instruct", "WizardLM/WizardLM-13B-V1.2"),  # than small, which it is
}
PRICES = {"strong": (2.5, 10.0), "middle": (2.0, 6.0), "small": (0.9, 0.9), "joined": (0.15, 0.6)}
FIRST_POOL = ("strong", "middle", "small")
NUMBER = re.compile(r"\(request (\d+)\)$")


@dataclass(frozen=True, eq=False)
class World:
    """Queries of both tables under one set of names. is_new (n,): of the task that comes later."""

    table: Outcomes
    is_new: np.ndarray

    @classmethod
    def of(cls, first: Outcomes, second: Outcomes) -> "World":
        parts = []
        for which, table in enumerate((first, second)):
            models = [pair[which] for pair in ROLES.values()]
            chosen = table.choose_models(models)
            chosen = chosen.take(chosen.is_complete)
            parts.append(
                Outcomes(
                    query_ids=tuple(f"{which}-{name}" for name in chosen.query_ids),
                    texts=chosen.texts,
                    tasks=chosen.tasks,
                    models=tuple(ROLES),
                    performance=chosen.performance,
                    cost_usd=chosen.cost_usd,
                )
            )
        a, b = parts
        joined = Outcomes(
            **{
                name: getattr(a, name) + getattr(b, name)
                for name in ("query_ids", "texts", "tasks")
            },
            models=a.models,
            performance=np.vstack([a.performance, b.performance]),
            cost_usd=np.vstack([a.cost_usd, b.cost_usd]),
        )
        return cls(joined, np.arange(joined.n_queries) >= a.n_queries)

    def column(self, model: str, month: int) -> int:
        """Whose outcomes a model has in a month."""
        return list(ROLES).index("worse" if model == "small" and month >= WORSE else model)

    def tokens(self, row: int, model: str, month: int) -> tuple[int, int]:
        """Tokens that cost, at the first price, what the table says."""
        read = max(1, len(self.table.texts[row]) // 4)
        given, said = PRICES[model]
        cost = float(self.table.cost_usd[row, self.column(model, month)])
        return read, max(1, round((cost * 1e6 - read * given) / said))

    def price(self, model: str, month: int) -> Price:
        """Per million tokens."""
        scale = 0.5 if model == "middle" and month >= CHEAPER else 1.0
        given, said = PRICES[model]
        return Price(input_usd_per_mtok=scale * given, output_usd_per_mtok=scale * said)

    def usd(self, row: int, model: str, month: int) -> float:
        """The cost of an answer."""
        price, (read, said) = self.price(model, month), self.tokens(row, model, month)
        return (read * price.input_usd_per_mtok + said * price.output_usd_per_mtok) / 1e6

    def right(self, row: int, model: str, month: int) -> float:
        """How good an answer is."""
        return float(self.table.performance[row, self.column(model, month)])

    def labelled(self, rows: np.ndarray, models: tuple[str, ...], month: int) -> Outcomes:
        """What models made of queries, as a table with tokens."""

        def grid(of: Callable[[int, str], float]) -> np.ndarray:
            return np.array(
                [[of(int(row), model) for model in models] for row in rows], dtype=float
            )

        tokens = grid(lambda row, model: self.tokens(row, model, month)[0])
        said = grid(lambda row, model: self.tokens(row, model, month)[1])
        part = self.table.take(rows)
        return replace(
            part,
            models=models,
            performance=grid(lambda row, model: self.right(row, model, month)),
            cost_usd=grid(lambda row, model: self.usd(row, model, month)),
            input_tokens=tokens,
            output_tokens=said,
        )


def chance(*parts: object) -> float:
    """A number from 0 to 1 that is always the same for the same parts."""
    return zlib.crc32(repr(parts).encode()) / 2**32


@dataclass
class Traffic:
    """The requests of the year: rows of the world by number, and which month it is."""

    world: World
    rows: list[int]
    seed: int
    month: int = 0

    @classmethod
    def of(cls, world: World, per_month: int, seed: int) -> "Traffic":
        rng = np.random.default_rng(seed)
        old, new = np.flatnonzero(~world.is_new), np.flatnonzero(world.is_new)
        rows: list[int] = []
        for month in range(MONTHS):
            of_new = rng.random(per_month) < (NEW_SHARE if month >= NEW_TASK else 0.0)
            picked = np.where(of_new, rng.choice(new, per_month), rng.choice(old, per_month))
            rows += picked.tolist()
        return cls(world, rows, seed)

    def text(self, number: int) -> str:
        return f"{self.world.table.texts[self.rows[number]]}\n(request {number})"

    def row(self, text: str) -> int:
        found = NUMBER.findall(text)
        return self.rows[int(found[0])]

    async def answer(self, request: web.Request) -> web.Response:
        """The provider: an answer that says whether it is right, as far as the judge will see."""
        body = await request.json()
        text, model = body["messages"][-1]["content"], body["model"]
        row = self.row(text)
        right = self.world.right(row, model, self.month) >= 0.5
        if chance("judge", text, model) < JUDGE_ERRS:
            right = not right
        read, said = self.world.tokens(row, model, self.month)
        return web.json_response(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 1,
                "model": model,
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "RIGHT" if right else "WRONG"},
                        "finish_reason": "stop",
                    }
                ],
                "usage": {
                    "prompt_tokens": read,
                    "completion_tokens": said,
                    "total_tokens": read + said,
                },
            }
        )


def config(folder: Path, url: str, world: World, pool: tuple[str, ...], month: int) -> Path:
    """gateway.toml of a month."""
    models = "".join(
        f'[models.{name}]\nupstream = "p"\nprice = {{ input = {price.input_usd_per_mtok}, '
        f"output = {price.output_usd_per_mtok} }}\n"
        for name in pool
        for price in (world.price(name, month),)
    )
    path = folder / "gateway.toml"
    path.write_text(
        f'[store]\nurl = "sqlite:///{folder}/gateway.db"\n'
        f'[pipeline]\npath = "p"\n[log]\nlog_texts = true\n'
        f'[retrain]\ntable = "base.parquet"\n'
        f"[explore]\nshare = {EXPLORED}\n"
        f'[shadow]\nshare = {SHADOWED}\nscore = ["regex:pattern=^RIGHT"]\n'
        f'[server]\nshutdown_seconds = 5.0\n[upstreams.p]\nbase_url = "{url}"\n{models}'
    )
    return path


@asynccontextmanager
async def provider(traffic: Traffic) -> AsyncIterator[str]:
    """Its base URL."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", traffic.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@dataclass(frozen=True, eq=False)
class Got:
    """What clients got in a month: true quality and cost in USD (n,) each, of which model (n,)."""

    right: np.ndarray
    usd: np.ndarray
    model: np.ndarray

    @classmethod
    def of(cls, traffic: Traffic, numbers: range, models: Sequence[str]) -> "Got":
        """models: one per request."""
        world, month = traffic.world, traffic.month
        rows = [traffic.rows[number] for number in numbers]
        return cls(
            np.array([world.right(*asked, month) for asked in zip(rows, models, strict=True)]),
            np.array([world.usd(*asked, month) for asked in zip(rows, models, strict=True)]),
            np.array(models),
        )

    @classmethod
    def joined(cls, parts: Sequence["Got"]) -> "Got":
        """Of parts that follow each other."""
        return cls(*(np.concatenate(column) for column in zip(*map(astuple, parts), strict=True)))


async def one(http: aiohttp.ClientSession, traffic: Traffic, number: int) -> str:
    """Ask, and rate the answer; which model gave it."""
    body = {
        "model": "equirouter/auto",
        "messages": [{"role": "user", "content": traffic.text(number)}],
    }
    async with http.post("/v1/chat/completions", json=body) as answer:
        answer.raise_for_status()
        await answer.read()
        model, request = (answer.headers[f"x-equirouter-{n}"] for n in ("model", "request-id"))
    row, world = traffic.rows[number], traffic.world
    right = world.right(row, model, traffic.month)
    if chance("rated", number) < RATED:
        wrong = chance("user", number) < MALICIOUS or chance("noise", number) < WRONG
        said = {"request_id": request, "score": 1 - right if wrong else right}
        async with http.post("/v1/feedback", json=said) as answer:
            answer.raise_for_status()
    return model


async def served(config: Path, traffic: Traffic, numbers: range) -> Got:
    """A month through the gateway."""
    settings = read_settings(config)
    async with open_gateway(settings) as gateway:
        runner = make_runner(gateway)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        waiting, found = iter(numbers), dict[int, str]()
        async with aiohttp.ClientSession(url) as http:

            async def client() -> None:
                for number in waiting:
                    found[number] = await one(http, traffic, number)

            await asyncio.gather(*(client() for _ in range(AT_ONCE)))
            await gateway._all_ended(30)  # shadows
        await runner.cleanup()
    return Got.of(traffic, numbers, [found[number] for number in numbers])


def spent_beside(config: Path) -> float:
    """What shadows have cost so far, in USD."""
    import sqlite3

    with sqlite3.connect(config.parent / "gateway.db") as store:
        row = store.execute("SELECT SUM(cost_nusd) FROM log WHERE decided_by = 'shadow'").fetchone()
    return (row[0] or 0) / 1e9


def command(*words: object) -> str:
    """By the command line, with the gate."""
    ran = subprocess.run(
        [sys.executable, "-m", "equirouter", *map(str, words), "--json", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {0: "promoted", 3: "refused"}.get(ran.returncode, "failed") + (
        "" if ran.returncode == 0 else ": " + ran.stderr.strip().rsplit("\n", 1)[-1][:300]
    )


async def retrained_ungated(config: Path, champion: RoutingPipeline) -> str:
    """Whatever comes out becomes current."""
    settings = read_settings(config)
    async with connected(settings.store) as database:
        log = (await database.read(export_log)).table
    try:
        made = trained_like(champion, with_log(read_table(config.parent / "base.parquet"), log))
    except UserError as error:
        return f"failed: {error}"[:300]
    add(PipelineVersions(config.parent / "p"), made, "retrain without a gate")
    return "promoted"


def add(versions: PipelineVersions, made: RoutingPipeline, how: str) -> None:
    """Add a version, and make it current."""
    version = versions.add(made, how=how)
    versions.promote(version, over=versions.current, how=how, forced=True)


def changed(folder: Path, traffic: Traffic, per_month: int, *, gated: bool) -> str | None:
    """What an operator does in a month; how it went when a model was to join.

    The new price is told. From the month on in which the model is there, it answers 100 more of the
    last month's requests every month, until the gate lets it join; without a gate it joins at once.
    """
    versions, month, world = PipelineVersions(folder / "p"), traffic.month, traffic.world
    before = RoutingPipeline.load(versions.path())
    if month == CHEAPER:
        add(versions, repriced(before, {"middle": world.price("middle", month)}), "models price")
    if month < JOINS or "joined" in before.models:
        return None
    last = traffic.rows[(month - 1) * per_month : month * per_month]
    picked = np.random.default_rng(traffic.seed).permutation(last)
    rows = np.unique(picked[: JOIN_LABELS * (month - JOINS + 1)])
    table = world.labelled(rows, ("joined",), month)
    if not gated:
        add(versions, with_model(before, table, "joined").pipeline, "models add")
        return f"joined from {len(rows)} labels"
    write_table(table, folder / "joined.parquet")
    said = command(
        "models", "add", folder / "p", "--name", "joined", "--outcomes", folder / "joined.parquet"
    )
    return f"joins from {len(rows)} labels: {said}"


@dataclass
class Arm:
    """What one way of going on came to, a month after the other. saved: a folder for it."""

    name: str
    saved: Path | None = None
    months: list[dict[str, Any]] = field(default_factory=list)

    def keep(self, part: str, pipeline: Path, got: Got, beside: float) -> None:
        """Save what a month, or a week of it, came to, and the version that served it."""
        if self.saved is None:
            return
        folder = self.saved / self.name / part
        shutil.copytree(pipeline, folder / "p", dirs_exist_ok=True)
        np.savez(folder / "got.npz", beside=beside, **vars(got))

    def note(self, facts: Mapping[str, Any]) -> None:
        self.months.append(dict(facts))
        sys.stdout.write(json.dumps({"arm": self.name, **facts}) + "\n")
        sys.stdout.flush()


def figures(traffic: Traffic, numbers: range, got: Got, beside: float) -> dict[str, Any]:
    """Shares of always the strongest model on the same requests."""
    best = Got.of(traffic, numbers, ["strong"] * len(numbers))
    return {
        "month": traffic.month + 1,
        "quality": round(float(got.right.mean() / best.right.mean()), 4),
        "cost": round(float(got.usd.mean() / best.usd.mean()), 4),
        "beside": round(beside / float(best.usd.sum()), 4),
    }


async def year(arm: Arm, traffic: Traffic, per_month: int, first: Path) -> None:
    """Thirteen months of one arm. first: the folder of the first version and the base table."""
    with TemporaryDirectory() as name:
        folder, world = Path(name), traffic.world
        for path in first.rglob("*"):
            if path.is_file():
                target = folder / path.relative_to(first)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        beside = paid = 0.0
        never = RoutingPipeline.load(folder / "p")
        async with provider(traffic) as url:
            for month in range(MONTHS):
                traffic.month = month
                numbers = range(month * per_month, (month + 1) * per_month)
                if arm.name == "never":
                    chosen = [never.decide(traffic.text(n)).model or "" for n in numbers]
                    got = Got.of(traffic, numbers, chosen)
                    arm.keep(f"{month + 1:02}", PipelineVersions(folder / "p").path(), got, 0.0)
                    arm.note(figures(traffic, numbers, got, 0.0))
                    continue
                joins = changed(folder, traffic, per_month, gated=arm.name == "loop")
                weeks = 1 if arm.name == "loop" else WEEKS
                parts = []
                for week, of_part in enumerate(np.array_split(numbers, weeks)):
                    version = PipelineVersions(folder / "p").path()
                    pool = RoutingPipeline.load(version).models
                    path = config(folder, url, world, pool, month)
                    got = await served(path, traffic, range(of_part[0], of_part[-1] + 1))
                    total = spent_beside(path)
                    named = f"{month + 1:02}" + (f"-{week + 1}" if weeks > 1 else "")
                    arm.keep(named, version, got, total - paid)
                    parts.append(got)
                    paid = total
                    settings, now = read_settings(path), time.time() + 60
                    while (await asyncio.to_thread(score_log, path, settings, now=now)).answers:
                        pass
                    if arm.name == "loop":
                        said = await asyncio.to_thread(command, "retrain", path)
                    else:
                        current = RoutingPipeline.load(PipelineVersions(folder / "p").path())
                        said = await retrained_ungated(path, current)
                facts = figures(traffic, numbers, Got.joined(parts), paid - beside)
                beside = paid
                arm.note(facts | {"retrain": said} | ({"joins": joins} if joins else {}))


def main() -> None:
    """A line of JSON per arm and month, then one per arm of the whole year and its last quarter."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tables", nargs=2, type=Path)
    parser.add_argument("--per-month", type=int, default=1500)
    parser.add_argument("--arms", default="never,loop,ungated")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--save", type=Path, help="a folder for what every month came to")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    world = World.of(*(read_table(path) for path in asked.tables))
    traffic = Traffic.of(world, asked.per_month, asked.seed)
    rng = np.random.default_rng([asked.seed, 1])
    rows = np.sort(rng.permutation(np.flatnonzero(~world.is_new))[:FIRST_LABELS])
    with TemporaryDirectory() as name:
        first = Path(name)
        base = world.labelled(rows, FIRST_POOL, 0)
        write_table(base, first / "base.parquet")
        encoder = make_encoder("lexical", dimension=256)
        made = train(base, encoder, router="factors", quality=QUALITY, resamples=100)
        add(PipelineVersions(first / "p"), made, "train")
        for which in asked.arms.split(","):
            arm = Arm(which, asked.save and asked.save / str(asked.seed))
            asyncio.run(year(arm, traffic, asked.per_month, first))
            for span, months in (("year", arm.months), ("last quarter", arm.months[-3:])):
                means = {
                    key: round(float(np.mean([one[key] for one in months])), 4)
                    for key in ("quality", "cost", "beside")
                }
                sys.stdout.write(json.dumps({"arm": which, "span": span, **means}) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Every model of the pool answers every query that lacks its answer."""

import asyncio
import json
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from equirouter.data.query_table import AskedQuery, read_queries
from equirouter.errors import ConfigError
from equirouter.labelling.batching import BatchRun, require_batches
from equirouter.labelling.collection_store import Collection, KeptAnswer, KeptQuery
from equirouter.labelling.estimate import CostEstimate
from equirouter.labelling.pool_calls import (
    GivenUp,
    ModelReply,
    Question,
    check_models,
    open_asker,
)
from equirouter.labelling.purse import CollectionPurse, limit_in_nusd
from equirouter.labelling.work_left import WorkLeft, waiting_in_batches
from equirouter.progress import Progress, silent
from equirouter.serve.records import usd
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.settings_file import read_settings

_OF_BEDROCK = re.compile(r"^(?:[a-z]+\.)+|-v\d+(?::\d+)?$|:[a-z]+$")
_DATE = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|\d{4}|latest)$")
_MARKS = re.compile(r"[^a-z0-9]")


@dataclass(frozen=True, slots=True)
class OtherName:
    """A model of the log that is not in the pool. answers: of it in the log.

    likely: models of the pool that it may be, none for no idea.
    """

    name: str
    answers: int
    likely: tuple[str, ...]


def other_names(asked: Sequence[AskedQuery], settings: GatewaySettings) -> tuple[OtherName, ...]:
    """The models of a log that answered and are not in the pool, most answers first."""
    counts = Counter(
        str(query.model) for query in asked if query.model and query.answer is not None
    )
    pool = {name: model for name, model in settings.models.items() if model.kind == "chat"}
    return tuple(
        OtherName(
            name,
            n,
            tuple(
                known
                for known, model in pool.items()
                if _plain(name) in {_plain(known), _plain(model.upstream_model or known)}
            ),
        )
        for name, n in counts.most_common()
        if name not in pool
    )


def under_pool_names(
    asked: Sequence[AskedQuery], same: Mapping[str, str], settings: GatewaySettings
) -> list[AskedQuery]:
    """The queries with the names of the pool. same: name in the log -> name in the pool.

    Raises ConfigError for a name that is in neither.
    """
    in_log = {query.model for query in asked if query.model}
    for logged, known in same.items():
        if known not in settings.models:
            raise ConfigError(
                f"--same {logged}={known}: {known} is not in the pool, whose models are "
                f"{', '.join(settings.models)}"
            )
        if logged not in in_log:
            names = ", ".join(sorted(in_log)) or "nobody: it has no column model"
            raise ConfigError(f"--same {logged}={known}: in these queries answered {names}")
    return [replace(query, model=same.get(query.model or "", query.model)) for query in asked]


def _plain(name: str) -> str:
    """A name without its provider, date and punctuation."""
    last = _OF_BEDROCK.sub("", name.rpartition("/")[2].lower())
    return _MARKS.sub("", _DATE.sub("", last))


CONCURRENCY = 8
_SETTINGS = "gateway.toml"


@dataclass(slots=True)
class Collected:
    """The account of a run.

    answered, failed: calls of this run. missing: answers that are still not there, of those that
    can be had. spent_usd: of all runs into the folder. lost: calls that an earlier run left when it
    was killed, counted at their bound, lost_usd. given_up: model -> why it was not asked any more.
    waiting: calls in batches that are still with a provider. other_names: models of the log that
    are not in the pool, so that their answers do not count. stopped: why the run ended before its
    end, None where it did not.
    """

    estimate: CostEstimate
    answered: int = 0
    failed: int = 0
    missing: int = 0
    spent_usd: float = 0.0
    lost: int = 0
    lost_usd: float = 0.0
    given_up: GivenUp = field(default_factory=GivenUp)
    waiting: int = 0
    other_names: tuple[OtherName, ...] = ()
    stopped: str | None = None


def collect(
    config: str | Path,
    queries: str | Path | Sequence[AskedQuery],
    out: str | Path,
    *,
    limit_usd: float | None = None,
    models: Sequence[str] | None = None,
    same: Mapping[str, str] = MappingProxyType({}),
    dry_run: bool = False,
    batch: bool = False,
    concurrency: int = CONCURRENCY,
    progress: Progress = silent,
    spending: Callable[[float], None] = lambda _: None,
    told: Callable[[CostEstimate], None] = lambda _: None,
) -> Collected:
    r"""Ask the models of a gateway's pool, and keep their answers in a folder.

    config: gateway.toml. queries: a table of queries, or its rows. limit_usd: most that the folder
    may have cost in all its runs; a call starts only if the most that it can cost still fits.
    models: names of the pool, None for all that chat. same: a model's name in the log -> its name
    in the pool, whose answers those in the log then are. dry_run: only estimate, without a key.
    batch: ask in batches where a provider's settings have batch_price_factor, and wait for them,
    up to a day. concurrency: most calls of a provider at once, where its settings set none.
    spending: hears of the USD spent. told: hears of the estimate before the first call.

    What is there already is not asked again; what failed is. Raises ConfigError and DataError.

    >>> from pathlib import Path
    >>> _ = Path("gateway.toml").write_text(
    ...     '[upstreams.local]\nbase_url = "http://127.0.0.1:8000/v1"\n'
    ...     '[models.small]\nupstream = "local"\nprice = { input = 0.1, output = 0.2 }\n'
    ... )
    >>> _ = Path("mine.csv").write_text("query\n2 + 2?\n")
    >>> collect("gateway.toml", "mine.csv", "answers", dry_run=True).estimate.calls
    1
    """
    settings = read_settings(config)
    chosen = check_models(settings, models)
    limit = limit_in_nusd(limit_usd)
    if batch:
        require_batches(settings, chosen)
    if concurrency < 1:
        raise ConfigError(f"concurrency is {concurrency}: expected at least 1")
    read = read_queries(queries) if isinstance(queries, str | Path) else list(queries)
    asked = under_pool_names(read, same, settings)
    with Collection.create(out) as collection:
        lost, lost_nusd = collection.count_lost()
        collection.note(_SETTINGS, str(Path(config).absolute()))
        collection.add_queries(_kept_queries(asked, settings.models))

        async def run() -> Collected:
            async with open_asker(
                settings, concurrency=concurrency, is_limited=limit is not None, asks=not dry_run
            ) as asker:
                purse = CollectionPurse(collection, limit)
                batches = BatchRun(collection, asker, purse, waits=batch, kept=_kept)
                if not dry_run:
                    await batches.settle_unsent()
                work = WorkLeft(collection, asker, purse, asked, chosen, in_batches=batch)
                done = Collected(
                    work.estimate(),
                    lost=lost,
                    lost_usd=usd(lost_nusd),
                    other_names=other_names(asked, settings),
                )
                told(done.estimate)
                if not dry_run:
                    work.keep_known()
                    await _Run(work, done, progress, spending, batches).run(concurrency)
                done.spent_usd = usd(collection.spent_nusd())
                done.missing = work.count_missing()
                done.waiting = len(waiting_in_batches(collection))
                return done

        try:
            return asyncio.run(run())
        except asyncio.CancelledError:  # a second Ctrl-C: what was on its way counts at its bound
            raise KeyboardInterrupt from None


def _kept_queries(asked: Iterable[AskedQuery], pool: Iterable[str]) -> list[KeptQuery]:
    known = set(pool)
    return [
        KeptQuery(
            query.query_id,
            place,
            query.query,
            json.dumps(query.body(), ensure_ascii=False),
            query.task,
            query.weight,
            query.feedback if query.model in known else None,
            query.model if query.model in known else None,
            query.reference,
        )
        for place, query in enumerate(asked)
    ]


class _Run:
    """Workers of each provider take its questions in order, beside its batches."""

    def __init__(
        self,
        work: WorkLeft,
        done: Collected,
        progress: Progress,
        spending: Callable[[float], None],
        batches: BatchRun,
    ) -> None:
        self._work, self._done, self._batches = work, done, batches
        batches.ended, batches.moved = self._batch_ended, self._batch_moved
        self._progress, self._spending = progress, spending
        self._total = done.estimate.calls + len(waiting_in_batches(work.collection))
        self._over = 0

    async def run(self, concurrency: int) -> None:
        """Ask all, until an end. Raises what stopped a worker, such as a full disk."""
        try:
            async with _stopped_by_interrupt(self._stop), asyncio.TaskGroup() as group:
                for upstream, questions in self._work.possible().items():
                    most = self._work.asker.settings.upstreams[upstream].max_concurrency
                    waiting = iter(questions)
                    for _ in range(min(most or concurrency, len(questions))):
                        group.create_task(self._worker(waiting))
                group.create_task(self._batches.run_open())
                group.create_task(self._send_batches())
        except BaseExceptionGroup as raised:
            error: BaseException = raised
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise error from None
        self._done.given_up.update(self._batches.left)

    def _stop(self) -> None:
        self._done.stopped = self._done.stopped or "interrupted"
        self._batches.stop.set()

    async def _send_batches(self) -> None:
        short = await self._batches.run_new(self._work.in_batches())
        self._done.stopped = self._done.stopped or short

    def _batch_moved(self, n_done: int) -> None:
        self._progress("collect", self._over + n_done, self._total)

    def _batch_ended(self, replies: Sequence[ModelReply]) -> None:
        for reply in replies:
            self._count(reply)
        self._over += len(replies)
        self._spending(usd(self._work.purse.spent_nusd))

    async def _worker(self, waiting: "Iterable[tuple[str, Question]]") -> None:
        for query_id, question in waiting:
            if self._done.stopped is not None:
                return
            if question.model not in self._done.given_up:
                await self._one(query_id, question)
            self._over += 1
            self._progress("collect", self._over, self._total)

    async def _one(self, query_id: str, question: Question) -> None:
        purse, done = self._work.purse, self._done
        ticket = await purse.ticket("answer", question.model, question.bound.nusd)
        if ticket is None:
            done.stopped = done.stopped or purse.short(question.model, question.bound.nusd)
            return
        if done.stopped is not None:  # meanwhile
            ticket.release()
            return
        asked_at = time.time()
        reply = await self._work.asker.ask(question, ticket)
        ticket.end(reply.cost_nusd, _kept(query_id, reply, asked_at))
        self._spending(usd(purse.spent_nusd))
        self._count(reply)
        self._done.given_up.count(reply)

    def _count(self, reply: ModelReply) -> None:
        self._done.answered += reply.error is None
        self._done.failed += reply.error is not None


@asynccontextmanager
async def _stopped_by_interrupt(stop: Callable[[], None]) -> AsyncIterator[None]:
    """Within it the first Ctrl-C calls stop, and lets calls under way end; the next one cuts."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    presses = 0

    def pressed() -> None:
        nonlocal presses
        presses += 1
        stop()
        if presses > 1 and task is not None:
            task.cancel()

    try:
        loop.add_signal_handler(signal.SIGINT, pressed)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows; another thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _kept(query_id: str, reply: ModelReply, asked_at: float) -> KeptAnswer:
    is_answer = reply.error is None
    message = None if reply.message is None else json.dumps(reply.message, ensure_ascii=False)
    return KeptAnswer(
        query_id,
        reply.model,
        "answered" if is_answer else "failed",
        answer=reply.text if is_answer else None,
        message=message,
        finish_reason=reply.finish_reason,
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
        cost_nusd=reply.cost_nusd,
        charged_by=reply.charged_by,
        latency_seconds=reply.latency_seconds,
        attempts=reply.attempts,
        status=reply.status,
        error=reply.error,
        asked_at=asked_at,
    )

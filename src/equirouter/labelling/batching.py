"""Questions in batches of a provider: sent, awaited, and taken in, whoever is killed meanwhile."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from equirouter.errors import ConfigError, UpstreamError
from equirouter.labelling.collection_store import Collection, KeptAnswer
from equirouter.labelling.open_batches import BatchCall, OpenBatch, OpenBatches
from equirouter.labelling.pool_calls import Asker, ModelReply, Question, failure, priced
from equirouter.labelling.purse import CollectionPurse
from equirouter.serve.call.answer_check import answer_document
from equirouter.serve.call.batches import (
    MOST_BYTES,
    MOST_CALLS,
    Batches,
    BatchState,
    is_refusal,
    line_of,
)
from equirouter.serve.call.upstream import NO_HEADERS
from equirouter.serve.settings import GatewaySettings

_LONGEST_PAUSE_SECONDS = 60.0
_FORGOTTEN_SECONDS = 7 * 86_400.0
"""A batch that its provider has not known for so long is given up; it ends within a day."""


def batch_price_factor(settings: GatewaySettings, model: str) -> float | None:
    """The price of a call in a batch, as a share of the model's price; None: it has no batches."""
    return settings.upstreams[settings.models[model].upstream].batch_price_factor


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for coroutine in work:
            group.create_task(coroutine)


def require_batches(settings: GatewaySettings, models: Sequence[str]) -> None:
    """Raise ConfigError where no provider of the models has batches."""
    if all(batch_price_factor(settings, model) is None for model in models):
        raise ConfigError(
            "--batch: no provider of these models has batch_price_factor. Set it in gateway.toml "
            "for one that has OpenAI's /v1/batches, below [upstreams.NAME]: batch_price_factor = "
            "0.5 where a call in a batch costs half"
        )


@dataclass(slots=True)
class BatchRun:
    """The batches of a run of collect.

    waits: whether batches are awaited; else only those that are over are taken in. kept: makes the
    row of a reply. ended: hears of the replies of a batch that is over. moved: hears of the calls
    that are over at the provider, of all batches that are awaited. stop: ends the waiting. left:
    model -> why its batches were left as they are.
    """

    collection: Collection
    asker: Asker
    purse: CollectionPurse
    waits: bool
    kept: Callable[[str, ModelReply, float], KeptAnswer]
    ended: Callable[[Sequence[ModelReply]], None] = lambda _: None
    moved: Callable[[int], None] = lambda _: None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    left: dict[str, str] = field(default_factory=dict)
    _at_provider: dict[int, int] = field(default_factory=dict)  # batch -> its calls that are over

    @property
    def _open(self) -> OpenBatches:
        return OpenBatches(self.collection)

    async def settle_unsent(self) -> None:
        """Batches that an earlier run left before it had their names: found, or never sent."""
        for batch in self._open.all():
            if batch.batch_id is not None:
                continue
            self.purse.hold(batch.reserved_nusd, is_counted=True)
            batch_id = None
            if batch.file_id is not None:  # it may have been begun
                try:
                    batch_id = await self._api(batch).find(batch.file_id, batch.began)
                except UpstreamError as failed:
                    self._leave(batch, failed)
                    continue
            if batch_id is None:
                self._open.close(batch, [(0, None)] * len(batch.calls))
                self.purse.over(batch.reserved_nusd, 0)
            else:
                self._open.named(batch, file_id=batch.file_id, batch_id=batch_id)
                self._set_aside(batch)

    async def run_open(self) -> None:
        """Take in what earlier runs sent."""
        waiting = [batch for batch in self._open.all() if batch.batch_id is not None]
        for batch in waiting:
            self.purse.hold(batch.reserved_nusd, is_counted=True)
        await _together(self._until_over(batch) for batch in waiting)

    async def run_new(self, questions: Iterable[tuple[str, Sequence[Question]]]) -> str | None:
        """Send questions, query by query as the money allows, and take in their answers.

        Why the rest is not sent, None where all was.
        """
        left = [(query_id, list(asked)) for query_id, asked in questions if asked]
        while left and not self.stop.is_set():
            left = [
                (query_id, rest)
                for query_id, asked in left
                if (rest := [question for question in asked if question.model not in self.left])
            ]
            chosen = self._affordable(left)
            if chosen:
                by_model: dict[str, list[tuple[str, Question]]] = {}
                for query_id, asked in left[:chosen]:
                    for question in asked:
                        by_model.setdefault(question.model, []).append((query_id, question))
                await _together(self._all(some) for some in by_model.values())
                left = left[chosen:]
            elif left and not await self.purse.changed():
                most_expensive = max(left[0][1], key=self._most_nusd)
                return self.purse.short(most_expensive.model, sum(map(self._most_nusd, left[0][1])))
        return None

    def _affordable(self, queries: Sequence[tuple[str, Sequence[Question]]]) -> int:
        """How many of the queries, from the first on, fit the money together."""
        total = 0
        for place, (_, asked) in enumerate(queries):
            total += sum(map(self._most_nusd, asked))
            if not self.purse.fits(total):
                return place
        return len(queries)

    def _most_nusd(self, question: Question) -> int:
        return priced(question.bound.nusd, self._factor(question.model))

    def _factor(self, model: str) -> float:
        factor = batch_price_factor(self.asker.settings, model)
        if factor is None:
            raise ConfigError(
                f"{model} has calls in a batch, and its provider has no batch_price_factor any "
                f"more: set it in [upstreams.{self.asker.settings.models[model].upstream}], so "
                "that they can be charged"
            )
        return factor

    async def _all(self, asked: Sequence[tuple[str, Question]]) -> None:
        """Send the questions of one model in as many batches as it takes."""
        parts: list[tuple[list[tuple[str, Question]], list[bytes]]] = []
        size = MOST_BYTES
        for query_id, question in asked:
            body = self.asker.body(question)
            size += len(body) + 200  # what is around it
            if size > MOST_BYTES or len(parts[-1][0]) == MOST_CALLS:
                parts.append(([], []))
                size = len(body) + 200
            parts[-1][0].append((query_id, question))
            parts[-1][1].append(body)
        entered = [self._entered(some) for some, _ in parts]
        await _together(
            self._one(batch, bodies) for batch, (_, bodies) in zip(entered, parts, strict=True)
        )

    def _entered(self, asked: Sequence[tuple[str, Question]]) -> OpenBatch:
        """The money of a batch, reserved for all of it at once."""
        model = asked[0][1].model
        costs = [(query_id, self._most_nusd(question)) for query_id, question in asked]
        upstream = self.asker.pool.routes[model].upstream_name
        batch = self._open.enter(upstream, model, costs)
        self.purse.hold(batch.reserved_nusd)
        return batch

    async def _one(self, batch: OpenBatch, bodies: Sequence[bytes]) -> None:
        """Send a batch, and take in its answers. Its names are kept before anything follows."""
        api = self._api(batch)
        lines = [
            line_of(call.custom_id, body) for call, body in zip(batch.calls, bodies, strict=True)
        ]
        try:
            batch = self._open.named(batch, file_id=await api.upload(lines))
            assert batch.file_id is not None  # noqa: S101  # it was just given
            batch_id = await api.create(batch.file_id, batch.began)
        except UpstreamError as failed:
            if batch.file_id is None or is_refusal(failed):
                self.left[batch.model] = self._text(failed)
                self._close(batch, [failure(batch.model, failed, ())] * len(batch.calls))
            else:
                self._leave(batch, failed)
            return
        await self._until_over(self._open.named(batch, file_id=batch.file_id, batch_id=batch_id))

    async def _until_over(self, batch: OpenBatch) -> None:
        """Ask how far a batch is until it is over, or the run is to end."""
        api, pause = self._api(batch), self.asker.settings.retries.backoff_seconds
        try:
            while True:
                state = await api.state(batch.batch_id or "")
                self._at_provider[batch.number] = state.n_done
                self.moved(sum(self._at_provider.values()))
                if state.is_over:
                    await self._take(batch, api, state)
                    return
                if not self.waits or await self._is_stopped_within(pause):
                    self._set_aside(batch)
                    return
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        except UpstreamError as failed:
            self._leave(batch, failed)

    async def _is_stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        except TimeoutError:
            return False
        return True

    async def _take(self, batch: OpenBatch, api: Batches, state: BatchState) -> None:
        """Keep what a batch brought, in one step. Raises UpstreamError."""
        most_bytes = self.asker.settings.limits.max_answer_bytes
        lines: dict[str, Mapping[str, Any]] = {}
        for file_id in (state.output_file_id, state.error_file_id):
            for line in [] if file_id is None else await api.results(file_id, most_bytes):
                lines.setdefault(str(line.get("custom_id")), line)
        queries = {query.query_id: query for query in self.collection.queries()}
        self._close(
            batch,
            [
                self._reply(batch.model, call, queries[call.query_id].body, lines, state)
                for call in batch.calls
            ],
        )

    def _reply(
        self,
        model: str,
        call: BatchCall,
        body: str,
        lines: Mapping[str, Mapping[str, Any]],
        state: BatchState,
    ) -> ModelReply:
        """The reply to one of the calls of a batch that is over."""
        line = lines.get(call.custom_id)
        if line is None:
            why = state.why or f"the batch is {state.status}, and says nothing about this call"
            # of one that was not worked to its end nothing is paid but what was answered
            paid = call.reserved_nusd if state.status == "completed" else 0
            return ModelReply(model, cost_nusd=paid, attempts=1, error=why)
        response, error = line.get("response"), line.get("error")
        status = response.get("status_code") if isinstance(response, dict) else None
        if error or not isinstance(response, dict) or status != 200:
            refusal = {"error": error} if error else (response or {}).get("body")
            refused = UpstreamError(
                "status",
                "not answered in a batch" if error else f"status {status}",
                status=status,
                body=orjson.dumps(refusal),
            )
            return replace(failure(model, refused, ()), attempts=1)
        question = self.asker.question(model, orjson.loads(body), f"query {call.query_id!r}")
        try:
            document = answer_document(orjson.dumps(response.get("body")), "/chat/completions")
        except UpstreamError as broken:
            return replace(failure(model, broken, ()), attempts=1, cost_nusd=call.reserved_nusd)
        factor = self._factor(model)
        reply = self.asker.reply(question, document, NO_HEADERS, (), factor)
        return replace(reply, attempts=1)

    def _close(self, batch: OpenBatch, replies: Sequence[ModelReply]) -> None:
        self._open.close(
            batch,
            [
                (reply.cost_nusd, self.kept(call.query_id, reply, batch.began))
                for call, reply in zip(batch.calls, replies, strict=True)
            ],
        )
        self.purse.over(batch.reserved_nusd, sum(reply.cost_nusd for reply in replies))
        self._at_provider.pop(batch.number, None)
        self.ended(replies)

    def _leave(self, batch: OpenBatch, failed: UpstreamError) -> None:
        """A batch whose end is not known stays open, and its money reserved, for a later run."""
        why = self._text(failed)
        if failed.status == 404 and time.time() - batch.began > _FORGOTTEN_SECONDS:
            lost = ModelReply(batch.model, attempts=1, error=f"the batch is gone: {why}")
            self._close(
                batch, [replace(lost, cost_nusd=call.reserved_nusd) for call in batch.calls]
            )
            return
        self.left[batch.model] = f"{why}; its batch is left as it is, and a later run asks for it"
        self._set_aside(batch)

    def _set_aside(self, batch: OpenBatch) -> None:
        """No call of this run waits for the money of a batch: it counts as all of its bound."""
        self.purse.over(batch.reserved_nusd, batch.reserved_nusd)

    def _text(self, failed: UpstreamError) -> str:
        return str(failure("", failed, ()).error)

    def _api(self, batch: OpenBatch) -> Batches:
        upstream = self.asker.pool.http.get(batch.upstream)
        if upstream is None or batch.model not in self.asker.pool.routes:
            raise ConfigError(
                f"a batch of {batch.model} is with [upstreams.{batch.upstream}], and gateway.toml "
                "does not have both any more: put them back until the batch is over"
            )
        return Batches(upstream, self.asker.settings.retries)

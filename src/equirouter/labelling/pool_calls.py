"""One question to one model of the gateway's pool, by the gateway's own calls, prices and rules."""

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from equirouter.cost.prices import estimated_tokens
from equirouter.errors import ConfigError, DataError, GatewayError, NoAnswerError, UpstreamError
from equirouter.labelling.purse import HeldMoney
from equirouter.serve.call.attempts import Call, Served, pause_seconds, walk
from equirouter.serve.call.client.pool import HttpClient
from equirouter.serve.call.model_pool import ModelPool, Route
from equirouter.serve.call.quirks import answer_limit, chat_body
from equirouter.serve.call.relay import answer_text
from equirouter.serve.call.sse import service_tier_of
from equirouter.serve.chat import ChatRequest, chat_request
from equirouter.serve.http.body import outgoing
from equirouter.serve.plan.feasible import Bound, Feasible
from equirouter.serve.plan.prompt_tokens import prompt_tokens
from equirouter.serve.records import Attempt, Candidate, RequestControl
from equirouter.serve.settings import GatewaySettings, RetrySettings
from equirouter.serve.settling import Bounds, Report, charge, reported_nusd, unseen_nusd

FAILURES_IN_A_ROW = 10
"""Calls of a model after which it is given up."""
_TRIES = 6
_LONGEST_PAUSE_SECONDS = 120.0
_CIRCUIT_WAITS = 6
"""How often a question waits for an upstream whose circuit is open before it is given up."""
_LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class Question:
    """A request as one model gets it. bound: the most that the call may have and cost.

    impossible: why the model cannot take it, None where it can.
    """

    model: str
    chat: ChatRequest
    bound: Bound
    impossible: str | None


@dataclass(frozen=True, slots=True)
class ModelReply:
    """The end of a question. text: the answer, calls of tools as JSON. message: the whole of it.

    cost_nusd: with what failed calls may cost. latency_seconds: of the call that was answered.
    error: why there is no answer, None where there is one; status: HTTP's, of the last failure.
    """

    model: str
    text: str = ""
    message: Mapping[str, Any] | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_nusd: int = 0
    charged_by: str | None = None
    latency_seconds: float | None = None
    attempts: int = 0
    status: int | None = None
    error: str | None = None


class GivenUp(dict[str, str]):
    """Models that are asked no more, as their calls fail, one after the other -> why."""

    def __init__(self, given: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(given)
        self._in_a_row: Counter[str] = Counter()

    def count(self, reply: ModelReply) -> None:
        """Count a call that is over."""
        if reply.error is None:
            self._in_a_row[reply.model] = 0
            return
        self._in_a_row[reply.model] += 1
        row = self._in_a_row[reply.model]
        if row >= FAILURES_IN_A_ROW:
            self[reply.model] = f"{row} calls in a row failed: {reply.error}"


@asynccontextmanager
async def open_asker(
    settings: GatewaySettings, *, concurrency: int, is_limited: bool, asks: bool = True
) -> AsyncIterator["Asker"]:
    """The models of the pool, ready to be asked. Raises ConfigError for a missing key or price.

    concurrency: most calls of a provider at once, where its settings name no number. is_limited:
    whether a limit of money relies on the bounds. asks: False where nobody is called, and no key
    is needed. The pipeline may be one that is still to be trained, on these answers: prices are
    then those of the settings and of the package's table.
    """
    path = settings.pipeline.path
    if path is not None and not path.exists():
        later = settings.pipeline.model_copy(update={"path": None})
        settings = settings.model_copy(update={"pipeline": later})
    keyless = {} if asks else {"api_key_env": None, "api_key_file": None}
    upstreams = {
        name: upstream.model_copy(
            update={"max_concurrency": upstream.max_concurrency or concurrency, **keyless}
        )
        for name, upstream in settings.upstreams.items()
    }
    async with HttpClient() as client:
        bounded = settings.model_copy(update={"upstreams": upstreams})
        yield Asker(bounded, ModelPool(bounded, client), is_limited=is_limited)


class Asker:
    """Asks models; patient where a gateway must not be: a limit of a provider is waited for."""

    def __init__(self, settings: GatewaySettings, pool: ModelPool, *, is_limited: bool) -> None:
        self.settings = settings
        self.pool = pool
        self._is_limited = is_limited and settings.money.unbounded == "refuse"
        prices = {name: route.price for name, route in pool.routes.items()}
        self._feasible = Feasible(settings, prices, lambda _: None)
        given = settings.retries
        self._retries = RetrySettings(
            max_attempts=1,
            same_model=1,
            backoff_seconds=given.backoff_seconds,
            max_wait_seconds=max(given.max_wait_seconds, _LONGEST_PAUSE_SECONDS),
        )
        self._free_at: dict[str, float] = {}  # upstream -> when it may be called again

    def question(self, model: str, body: Mapping[str, Any], place: str) -> Question:
        """A request for a model. place: names it in messages. Raises DataError for a bad one."""
        whole = {name: value for name, value in body.items() if name not in ("stream", "n")}
        whole.pop("stream_options", None)  # of streams alone
        try:
            chat = chat_request({**whole, "model": model}, self.settings.limits)
        except GatewayError as error:
            raise DataError(f"{place}: {error.message}") from error
        bounds = self._feasible.bounds(
            (model,), chat, prompt_tokens(chat), is_limited=self._is_limited
        )
        removed = self._feasible.removed(
            (model,), bounds, chat, RequestControl(), None, is_limited=self._is_limited
        )
        removal = removed.get(model)
        return Question(model, chat, bounds[model], None if removal is None else removal.text)

    async def ask(self, question: Question, ticket: HeldMoney) -> ModelReply:
        """Ask, and again where that may help. The ticket is for the caller to end.

        Where this is cut off the ticket ends at its bound.
        """
        attempts: list[Attempt] = []
        try:
            return await self._patiently(question, ticket, attempts)
        except BaseException:
            ticket.end_at_bound()
            raise

    async def _patiently(
        self, question: Question, ticket: HeldMoney, attempts: list[Attempt]
    ) -> ModelReply:
        route = self.pool.routes[question.model]
        failed: UpstreamError | None = None
        tries = circuit_waits = 0
        while tries < _TRIES:
            await self._until_free(route.upstream_name)
            try:
                served = await self._once(question, route, ticket, attempts)
            except NoAnswerError as nobody:
                failed = nobody.last or failed
            else:
                served.close()
                return self.reply(question, served.document, served.answer.headers, attempts)
            if failed is None or ticket.is_short:
                break
            if failed.outcome == "refused":  # not called: a limit per minute, or an open circuit
                circuit_waits += route.guard.why_not() is not None
                if circuit_waits > _CIRCUIT_WAITS:
                    break
                await asyncio.sleep(failed.retry_seconds or 1.0)
                continue
            tries += 1
            pause = pause_seconds(failed, tries, self._retries)
            if pause is None:
                break
            self._hold(route.upstream_name, failed, pause)
            await asyncio.sleep(pause)
        return failure(question.model, failed, attempts)

    async def _once(
        self, question: Question, route: Route, ticket: HeldMoney, attempts: list[Attempt]
    ) -> Served:
        bound, price = question.bound, _bounds(question, route)
        unknown = self.settings.money.charge_unknown
        candidate = Candidate(question.model, bound.nusd, bound.answer)
        call = Call(
            "/chat/completions",
            lambda _: self.body(question),
            stream=False,
            most_bytes=self.settings.limits.max_answer_bytes,
            names_parameter=lambda _model, _failed: False,  # there is no other model to try
            unseen_nusd=lambda _model, seconds: unseen_nusd(price, seconds, unknown),
        )
        return await walk(
            (candidate,), self.pool, call, ticket, attempts, self._retries, bound.nusd
        )

    def body(self, question: Question) -> bytes:
        """The request as it is sent."""
        route, body = self.pool.routes[question.model], question.chat.body
        if question.bound.answer is not None:
            limit = answer_limit("chat.completions", route.upstream_settings)
            body = {**body, limit: question.bound.answer}
        fitted, _ = route.fitting.applied(chat_body(body, route.upstream_settings))
        return outgoing(fitted, route.upstream_model)

    def reply(
        self,
        question: Question,
        document: dict[str, Any],
        headers: Mapping[str, str],
        attempts: Sequence[Attempt],
        price_factor: float = 1.0,
    ) -> ModelReply:
        """The end of a question that was answered. document: a completion, with its headers.

        price_factor: what the call costs as a share of its price.
        """
        route, usage = self.pool.routes[question.model], document.get("usage")
        charged = charge(
            _bounds(question, route),
            Report(
                usage,
                lambda: estimated_tokens(answer_text(document)),
                reported_nusd(usage, headers),
                service_tier_of(document),
            ),
            unknown=self.settings.money.charge_unknown,
            by_reported_cost=route.upstream_settings.charge_reported_cost,
        )
        cost = charged.cost_nusd
        if charged.by != "reported":  # the provider's own figure is what it takes
            cost = priced(cost, price_factor)
        choice = document["choices"][0]
        message = choice.get("message") or {"content": choice.get("text")}
        return ModelReply(
            model=question.model,
            text=_text(message),
            message=message,
            finish_reason=_finish(choice, message),
            input_tokens=charged.tokens.input,
            output_tokens=charged.tokens.output,
            cost_nusd=cost + _of_failed(attempts),
            charged_by=charged.by,
            latency_seconds=attempts[-1].ms / 1000.0 if attempts else None,
            attempts=_calls(attempts),
        )

    async def _until_free(self, upstream: str) -> None:
        while (wait := self._free_at.get(upstream, 0.0) - time.monotonic()) > 0:
            await asyncio.sleep(wait)

    def _hold(self, upstream: str, failed: UpstreamError, pause: float) -> None:
        """All calls of a provider wait where it asked one of them to."""
        if failed.retry_seconds is not None:
            until = time.monotonic() + pause
            self._free_at[upstream] = max(until, self._free_at.get(upstream, 0.0))


def _bounds(question: Question, route: Route) -> Bounds:
    bound, chat = question.bound, question.chat
    return Bounds(
        route.price,
        bound.nusd,
        bound.prompt,
        bound.output,
        is_whole=not (chat.kept_elsewhere or chat.unpriced),
        service_tier=None if "service_tier" in route.fitting.drop else chat.service_tier,
    )


def priced(nano_usd: int, factor: float) -> int:
    """Nano-USD of a call that costs so much of its price, rounded up."""
    return math.ceil(nano_usd * factor)


def failure(model: str, failed: UpstreamError | None, attempts: Sequence[Attempt]) -> ModelReply:
    """No answer. What a provider's own filter refused is an answer without a text."""
    cost, calls = _of_failed(attempts), _calls(attempts)
    if failed is None:
        return ModelReply(
            model, cost_nusd=cost, attempts=calls, error="the money that is left is short"
        )
    code, message = _said(failed.body)
    if code == "content_filter":
        return ModelReply(model, finish_reason=code, cost_nusd=cost, attempts=calls)
    error = f"{failed}: {message}" if message else str(failed)
    return ModelReply(
        model,
        cost_nusd=cost,
        attempts=calls,
        status=failed.status,
        error=error[:_LONGEST_ERROR],
    )


def _said(body: bytes) -> tuple[str | None, str]:
    """The code and the message of a provider's error."""
    try:
        details = orjson.loads(body)["error"]
        return details.get("code"), str(details.get("message") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, ""


def _of_failed(attempts: Sequence[Attempt]) -> int:
    return sum(attempt.cost_nusd or 0 for attempt in attempts)


def _calls(attempts: Sequence[Attempt]) -> int:
    return sum(attempt.outcome != "refused" for attempt in attempts)


def _text(message: Mapping[str, Any]) -> str:
    """The text of a message: its content, else a refusal, else the calls of tools as JSON."""
    content = message.get("content")
    if isinstance(content, list):  # of parts, as some providers send it
        content = "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    if content:
        return str(content)
    if message.get("refusal"):
        return str(message["refusal"])
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        return ""
    named = [call.get("function") for call in calls if isinstance(call, dict)]
    return json.dumps(named, ensure_ascii=False)


def _finish(choice: Mapping[str, Any], message: Mapping[str, Any]) -> str | None:
    reason = choice.get("finish_reason")
    if message.get("refusal") and reason in (None, "stop"):
        return "refusal"
    return reason if isinstance(reason, str) else None


def check_models(settings: GatewaySettings, models: Sequence[str] | None) -> list[str]:
    """The models to ask: those named, else all of the pool that chat. Raises ConfigError."""
    pool = [name for name, model in settings.models.items() if model.kind == "chat"]
    if models is None:
        return pool
    unknown = [name for name in models if name not in pool]
    if unknown or not models:
        raise ConfigError(
            f"{', '.join(unknown) or 'no model'}: not in the pool, whose models that chat are "
            f"{', '.join(pool)}"
        )
    return list(dict.fromkeys(models))

"""One request on its way: planned, paid for, answered, logged."""

import asyncio
import random
import time
from collections.abc import Mapping

import orjson
from aiohttp import web

from equirouter.cost.prices import estimated_tokens
from equirouter.errors import GatewayError, NoAnswerError, PassedOnError
from equirouter.serve.call.attempts import PASSED_ON, Call, Served, walk
from equirouter.serve.call.model_pool import Route
from equirouter.serve.call.quirks import answer_limit, asks_for_usage, chat_body
from equirouter.serve.call.relay import Relay, answer_text, typed
from equirouter.serve.call.sse import service_tier_of, usage_in
from equirouter.serve.call.translation import DIALECTS, translated, without_own_thoughts
from equirouter.serve.chat import ChatRequest
from equirouter.serve.contracts import Reservation
from equirouter.serve.http.bill import Bill
from equirouter.serve.http.body import outgoing
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.records import (
    Attempt,
    Endpoint,
    Key,
    Plan,
    RequestControl,
    RequestRecord,
    usd,
)
from equirouter.serve.settling import reported_nusd

__all__ = ["Exchange", "request_id"]

PATHS = {
    "chat.completions": "/chat/completions",
    "embeddings": "/embeddings",
    **{endpoint: dialect.path for endpoint, dialect in DIALECTS.items()},
}
ANTHROPIC_VERSION = "2023-06-01"
OVER_BUDGET = "x-equirouter-over-budget-usd"
HUNG_UP = 499  # as nginx counts a client that did not wait for its answer


def request_id() -> str:
    """A new id; ids of later milliseconds sort behind those of earlier ones."""
    # no secret: feedback on another key's request is refused whatever its id
    return f"{int(time.time() * 1000):012x}{random.getrandbits(64):016x}"


class Exchange:
    """A request and all that happens to it. plan: where there is nothing to decide."""

    def __init__(
        self,
        gateway: Gateway,
        request: web.Request,
        chat: ChatRequest,
        control: RequestControl,
        key: Key | None,
        *,
        plan: Plan | None = None,
    ) -> None:
        self._gateway = gateway
        self._request = request
        self._chat = chat
        self._control = control
        self._key = key
        self._given_plan = plan
        self._start = time.perf_counter()
        self._adds_usage = False
        self.record = RequestRecord(
            request_id=request_id(),
            started_at=time.time(),
            endpoint=chat.endpoint,
            requested_model=chat.model,
            stream=chat.stream,
            key_id=None if key is None else key.id,
            session=control.session,
        )
        self._bill = Bill(gateway, self.record, chat, control)
        if gateway.settings.log.log_texts:
            self.record.prompt = orjson.dumps(chat.messages).decode()

    async def answered(self) -> web.StreamResponse:
        """Do all of it. Whatever happens, the money is settled once and the record is logged."""
        record, gateway = self.record, self._gateway
        gateway.metrics.in_flight(1)
        try:
            gateway.admission.check_rate(self._key)
            plan = await self._planned()
            ticket = await gateway.admission.admit(
                self._key,
                plan.candidates[0].upper_nusd,
                tokens=plan.prompt_tokens + plan.max_output_tokens,
                request_id=record.request_id,
            )
            try:
                return await self._served(plan, ticket)
            finally:
                self._bill.settle(ticket)
        except GatewayError as error:
            record.status, record.error = error.status, error.message
            error.headers.setdefault("x-equirouter-request-id", record.request_id)
            raise
        except (asyncio.CancelledError, ConnectionError):
            if gateway.is_cutting:
                record.status, record.error = 503, "cut off: the gateway stopped"
            else:
                record.status, record.error = HUNG_UP, "the client hung up"
            raise
        except Exception as error:
            record.status, record.error = 500, f"{type(error).__name__}: {error}"
            raise
        finally:
            record.total_ms = self._ms()
            gateway.metrics.in_flight(-1)
            gateway.finished(record, self._request.headers)

    async def _planned(self) -> Plan:
        plan = self._given_plan
        if plan is None:
            plan = await self._gateway.planner.plan(self._chat, self._control, self._key)
        plan = self._gateway.pool.refused.last(plan, self._chat)
        self.record.plan = plan
        if plan.candidates:
            return plan
        is_down = any(removal.kind == "unavailable" for removal in plan.removed.values())
        removed = {model: removal.text for model, removal in plan.removed.items()}
        raise GatewayError(
            503 if is_down else 400,
            "no model may answer this request: "
            + "; ".join(f"{model}: {reason}" for model, reason in removed.items()),
            type_="upstream_error" if is_down else "invalid_request_error",
            code="no_feasible_model",
            headers={"Retry-After": "5"} if is_down else None,
            detail={"removed": removed},
        )

    async def _served(self, plan: Plan, ticket: Reservation) -> web.StreamResponse:
        chat, gateway = self._chat, self._gateway
        call = Call(
            PATHS[chat.endpoint],
            self._body_for,
            chat.stream,
            gateway.settings.limits.max_answer_bytes,
            lambda model, failed: gateway.pool.refused.names_one(model, failed, chat),
            self._bill.unseen_nusd,
            lambda route: passed_headers(self._request.headers, chat.endpoint, route),
        )
        try:
            served = await walk(
                plan, gateway.pool, call, ticket, self.record.attempts, gateway.settings.retries
            )
        except NoAnswerError as nobody:
            raise self._refusal(nobody) from nobody
        try:
            self.record.served_model = served.route.model
            if chat.stream:
                return await self._streamed(plan, served)
            return self._document(plan, served)
        finally:
            served.close()

    def _body_for(self, route: Route) -> bytes:
        chat = self._chat
        body = chat.body
        limit = self._bill.candidate(route.model).answer_tokens
        if limit is not None and chat.endpoint != "embeddings":
            body = {**body, answer_limit(chat.endpoint, route.upstream_settings): limit}
        if chat.endpoint == "chat.completions":
            body = chat_body(body, route.upstream_settings)
            self._adds_usage = asks_for_usage(body) and not chat.include_usage
        if translated(chat.endpoint, route.upstream_settings) is None:
            body, _ = route.fitting.applied(body)  # else it is a chat completion that is fitted
            if chat.endpoint == "messages":
                body = without_own_thoughts(body)
        return outgoing(body, route.upstream_model)

    def _lost(self, route: Route) -> list[str]:
        """Parts of the request that a model was not sent."""
        body = self._chat.body
        dialect = translated(self._chat.endpoint, route.upstream_settings)
        if dialect is None:
            return route.fitting.applied(body)[1]
        return [*dialect.left_out(body), *route.fitting.applied(dialect.as_chat(body))[1]]

    def _document(self, plan: Plan, served: Served) -> web.Response:
        """An answer that came in one piece."""
        record, document = self.record, served.document
        usage = usage_in(document)
        self._bill.charge(
            served,
            usage=usage,
            output_tokens=estimated_tokens(answer_text(document)),
            reported=reported_nusd(usage, served.answer.headers),
            service_tier=service_tier_of(document),
        )
        if self._gateway.settings.log.log_texts:
            record.answer = answer_text(document)
        body = served.body
        if self._gateway.settings.server.answer_model == "pool" and "model" in document:
            body = outgoing(document, served.route.model)
        record.status = 200
        record.first_byte_ms = self._ms()
        headers = self._headers(plan, served)
        headers["Content-Type"] = typed(served.answer.content_type, "application/json")
        if record.cost_nusd is not None:
            headers["x-equirouter-cost-usd"] = _figure(usd(record.cost_nusd))
        if record.over_budget_nusd is not None:
            headers[OVER_BUDGET] = _figure(usd(record.over_budget_nusd))
        return web.Response(body=body, headers=headers)

    async def _streamed(self, plan: Plan, served: Served) -> web.StreamResponse:
        """An answer that comes in pieces; what it cost is known when it is over."""
        settings, record = self._gateway.settings, self.record
        headers = self._headers(plan, served)
        over = self._bill.over_budget(served.candidate.upper_nusd)
        if over is not None:
            headers[OVER_BUDGET] = _figure(usd(over))
        relay = Relay(
            served,
            self._request,
            headers,
            drop_usage=self._adds_usage,
            model=served.route.model if settings.server.answer_model == "pool" else None,
            keep_text=settings.log.log_texts,
            endpoint=self._chat.endpoint,
            most_bytes=settings.limits.max_answer_bytes,
        )
        record.status = 200
        try:
            response = await relay.run(lambda: setattr(record, "first_byte_ms", self._ms()))
        finally:
            reader = relay.reader
            self._bill.charge(
                served,
                usage=reader.usage,
                output_tokens=-(-reader.output_bytes // 4),
                reported=reported_nusd(reader.usage, {}),
                service_tier=reader.service_tier,
            )
            record.error = relay.error
            if reader.text:
                record.answer = "".join(reader.text)
        return response

    def _headers(self, plan: Plan, served: Served) -> dict[str, str]:
        headers = self._common_headers(plan)
        headers["x-equirouter-model"] = _safe(served.route.model)
        lost = self._lost(served.route)
        if lost:
            headers["x-equirouter-dropped"] = ", ".join(_safe(name) for name in lost)
        predicted = served.candidate.predicted_cost_usd
        if predicted is not None:
            headers["x-equirouter-predicted-cost-usd"] = _figure(predicted)
        return headers

    def _common_headers(self, plan: Plan) -> dict[str, str]:
        record = self.record
        headers = {
            "x-equirouter-request-id": record.request_id,
            "x-equirouter-decision-ms": f"{plan.decision_ms:.3f}",
            "x-equirouter-attempts": str(
                sum(attempt.outcome != "refused" for attempt in record.attempts)
            ),
        }
        failed = [attempt for attempt in record.attempts if attempt.outcome != "ok"]
        if failed:
            headers["x-equirouter-failed"] = "; ".join(
                f"{_safe(attempt.model)}: {attempt.status or attempt.outcome}" for attempt in failed
            )
        return headers

    def _refusal(self, nobody: NoAnswerError) -> GatewayError:
        """The answer to the client when no upstream answered."""
        record, last = self.record, nobody.last
        assert record.plan is not None  # noqa: S101  # set before anybody is called
        headers = self._common_headers(record.plan)
        if last is not None and last.retry_seconds is not None:
            headers["Retry-After"] = str(max(1, round(last.retry_seconds)))
        if last is not None and last.status and last.status in PASSED_ON and last.body:
            return PassedOnError(last.status, last.body, last.content_type, headers)
        status = {"timeout": 504, "refused": 503}.get(last.outcome, 502) if last else 402
        return GatewayError(
            status,
            "no upstream answered: "
            + "; ".join(f"{attempt.model}: {_why(attempt)}" for attempt in record.attempts),
            type_="upstream_error",
            code="upstream_timeout" if status == 504 else "upstream_failed",
            headers=headers,
            detail={
                "attempts": [
                    {"model": attempt.model, "outcome": attempt.outcome, "status": attempt.status}
                    for attempt in record.attempts
                ]
            },
        )

    def _ms(self) -> float:
        return (time.perf_counter() - self._start) * 1000.0


def passed_headers(
    headers: Mapping[str, str], endpoint: Endpoint, route: Route
) -> Mapping[str, str]:
    """Headers of the client that an upstream is sent: those of its settings, and Anthropic's."""
    settings = route.upstream_settings
    passed = {name: headers[name] for name in settings.pass_headers if name in headers}
    if endpoint == "messages" and settings.messages:
        passed["anthropic-version"] = headers.get("anthropic-version", ANTHROPIC_VERSION)
        if "anthropic-beta" in headers:
            passed["anthropic-beta"] = headers["anthropic-beta"]
    return passed


def _why(failed: Attempt) -> str:
    """Why a call failed, for the client: not where the upstream is, which the log says."""
    if failed.outcome == "connect":
        return "cannot be reached"
    return failed.error or failed.outcome


def _figure(amount_usd: float) -> str:
    return f"{amount_usd:.9f}".rstrip("0").rstrip(".")


def _safe(name: str) -> str:
    """A model's name as a header can hold it."""
    return name if name.isascii() and name.isprintable() else ascii(name)[1:-1]

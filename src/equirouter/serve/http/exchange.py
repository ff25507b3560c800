"""One request on its way: planned, paid for, answered, logged."""

import asyncio
import random
import time
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from equirouter.errors import GatewayError, NoAnswerError, PassedOnError
from equirouter.serve.call.attempts import PASSED_ON, Call, Served, walk
from equirouter.serve.call.model_pool import Route
from equirouter.serve.call.quirks import answer_limit, asks_for_usage, chat_body
from equirouter.serve.call.relay import Relay, WholeAnswer, answer_text, typed, whole_stream
from equirouter.serve.call.translation import DIALECTS, translated, without_own_thoughts
from equirouter.serve.chat import ChatRequest
from equirouter.serve.contracts import Reservation
from equirouter.serve.front.asked import Answer, Asked, PlainReply, open_stream
from equirouter.serve.http.bill import Bill
from equirouter.serve.http.body import cascade_headers, figure, outgoing, passed_headers, safe
from equirouter.serve.http.cascade import Cascade
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.money.user_signals import HUNG_UP
from equirouter.serve.records import (
    Attempt,
    Key,
    Plan,
    RequestControl,
    RequestRecord,
    usd,
)

PATHS = {
    "chat.completions": "/chat/completions",
    "embeddings": "/embeddings",
    **{endpoint: dialect.path for endpoint, dialect in DIALECTS.items()},
}
OVER_BUDGET = "x-equirouter-over-budget-usd"


def request_id() -> str:
    """A new id; ids of later milliseconds sort behind those of earlier ones."""
    # no secret: feedback on another key's request is refused whatever its id
    return f"{int(time.time() * 1000):012x}{random.getrandbits(64):016x}"


class Exchange:
    """A request and all that happens to it. plan: where there is nothing to decide."""

    def __init__(
        self,
        gateway: Gateway,
        request: Asked,
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
        self._cascade: Cascade | None = None
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

    async def answered(self) -> Answer:
        """Do all of it. Whatever happens, the money is settled once and the record is logged."""
        record, gateway = self.record, self._gateway
        audit: Coroutine[Any, Any, None] | None = None
        gateway.metrics.in_flight(1)
        try:
            gateway.admission.check_rate(self._key)
            plan, ticket = await self._admitted(await self._planned())
            try:
                response = await self._served(plan, ticket)
                audit = self._audit(ticket)
                return response
            finally:
                if audit is None:
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
            if audit is None:
                gateway.finished(record, self._request.headers)
            else:
                gateway.begin(audit)

    async def _admitted(self, plan: Plan) -> tuple[Plan, Reservation]:
        """Reserve what the first calls can cost at most.

        Where a budget or a rate has no room for two calls at once, or for that of another model, it
        may have it for the one that the router chose.
        """
        if plan.pair is None and plan.decided_by != "explore":
            return plan, await self._reserved(plan)
        if self._bill.over_budget(plan.first_nusd) is None:
            try:
                return plan, await self._reserved(plan)
            except GatewayError as refused:
                if refused.code != "insufficient_quota" and refused.type != "tokens":
                    raise
        if plan.pair is None:
            plan = self._gateway.withdrawn(plan)
        else:
            plan = replace(plan, pair=None, cascade=None, decided_by="policy")
        self.record.plan = plan
        return plan, await self._reserved(plan)

    async def _reserved(self, plan: Plan) -> Reservation:
        calls = 1 if plan.pair is None else len(plan.pair.models)
        return await self._gateway.admission.admit(
            self._key,
            plan.first_nusd,
            tokens=calls * (plan.prompt_tokens + plan.max_output_tokens),
            request_id=self.record.request_id,
        )

    async def _planned(self) -> Plan:
        plan = self._given_plan
        if plan is None:
            plan = await self._gateway.planner.plan(self._chat, self._control, self._key)
        plan = self._gateway.pool.refused.last(plan, self._chat)
        plan = self._gateway.explored(plan, self._chat, self._control, self._key)
        self.record.plan = plan
        if plan.refused is not None:
            raise plan.refused
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

    async def _served(self, plan: Plan, ticket: Reservation) -> Answer:
        try:
            served = await self._found(plan, ticket)
        except NoAnswerError as nobody:
            raise self._refusal(nobody) from nobody
        try:
            self.record.served_model = served.route.model
            if self._chat.stream:
                return await self._streamed(plan, served)
            return self._document(plan, served)
        finally:
            served.close()

    async def _found(self, plan: Plan, ticket: Reservation) -> Served:
        """The answer: the beginning of a stream, or all of it, which is charged.

        Raises NoAnswerError.
        """
        gateway, record = self._gateway, self.record
        pool, settings = gateway.pool, gateway.settings
        if plan.pair is not None:
            self._cascade = cascade = Cascade(gateway, self._chat, plan, record, self._bill)
            return await cascade.answer(self._call(is_whole=True), self._call(), ticket)
        call, attempts = self._call(), record.attempts
        reserved = plan.first_nusd
        served = await walk(
            plan.candidates, pool, call, ticket, attempts, settings.retries, reserved
        )
        if served.document:
            self._bill.charge_document(served)
        return served

    def _audit(self, ticket: Reservation) -> Coroutine[Any, Any, None] | None:
        """The work that is left once the client has its answer, None for none."""
        cascade = self._cascade
        if cascade is None or not cascade.draws_audit():
            return None
        return self._audited(cascade, ticket)

    async def _audited(self, cascade: Cascade, ticket: Reservation) -> None:
        """Ask one more model, and only then settle the request and log it."""
        try:
            await cascade.audit(self._call(is_whole=True), ticket)
        finally:
            self._bill.settle(ticket)
            self._gateway.finished(self.record, self._request.headers)

    def _call(self, *, is_whole: bool = False) -> Call:
        """A call of this request's endpoint. is_whole: for an answer in one piece in any case."""
        chat, gateway = self._chat, self._gateway
        return Call(  # not kept: it holds this object
            PATHS[chat.endpoint],
            partial(self._body_for, is_whole=is_whole),
            chat.stream and not is_whole,
            gateway.settings.limits.max_answer_bytes,
            lambda model, failed: gateway.pool.refused.names_one(model, failed, chat),
            self._bill.unseen_nusd,
            lambda route: passed_headers(self._request.headers, chat.endpoint, route),
        )

    def _body_for(self, route: Route, *, is_whole: bool = False) -> bytes:
        """The body that a model is sent. is_whole: for an answer in one piece in any case."""
        chat = self._chat
        body = chat.body
        if is_whole:
            body = {name: value for name, value in body.items() if not name.startswith("stream")}
        limit = self._bill.candidate(route.model).answer_tokens
        if limit is not None and chat.endpoint != "embeddings":
            body = {**body, answer_limit(chat.endpoint, route.upstream_settings): limit}
        if chat.endpoint == "chat.completions":
            body = chat_body(body, route.upstream_settings)
            self._adds_usage = asks_for_usage(body) and not chat.include_usage
        if translated(chat.endpoint, route.upstream_settings) is None:
            is_message = chat.endpoint == "messages"
            # else it is a chat completion that is fitted
            body, _ = route.fitting.applied(body, is_message=is_message)
            if is_message:
                body = without_own_thoughts(body)
        return outgoing(body, route.upstream_model)

    def _lost(self, route: Route) -> list[str]:
        """Parts of the request that a model was not sent."""
        body = self._chat.body
        dialect = translated(self._chat.endpoint, route.upstream_settings)
        if dialect is None:
            return route.fitting.applied(body)[1]
        return [*dialect.left_out(body), *route.fitting.applied(dialect.as_chat(body))[1]]

    def _document(self, plan: Plan, served: Served) -> PlainReply:
        """An answer that came in one piece."""
        record, document = self.record, served.document
        self._bill.serves(served.route.model)
        if self._gateway.settings.log.log_texts:
            record.answer = answer_text(document)
        body = served.body
        if self._gateway.settings.server.answer_model == "pool" and "model" in document:
            body = outgoing(document, served.route.model)
        record.status = 200
        record.first_byte_ms = self._ms()
        headers = self._headers(plan, served)
        headers["Content-Type"] = typed(served.answer.content_type, "application/json")
        return PlainReply(body, headers | self._cost_headers())

    async def _streamed(self, plan: Plan, served: Served) -> Answer:
        """An answer that comes in pieces; what it cost is known when it is over."""
        settings, record, cascade = self._gateway.settings, self.record, self._cascade
        headers = self._headers(plan, served)
        if served.document:
            headers |= self._cost_headers()
            wants_usage = self._chat.include_usage
            served.body = whole_stream(served.document, include_usage=wants_usage)
            served.answer = WholeAnswer(served.answer.headers)
        else:
            over = self._bill.over_budget(self._bill.spent_nusd + served.candidate.upper_nusd)
            if over is not None:
                headers[OVER_BUDGET] = figure(usd(over))
        relay = Relay(
            served,
            drop_usage=self._adds_usage and not served.document,
            model=served.route.model if settings.server.answer_model == "pool" else None,
            keep_text=settings.log.log_texts or cascade is not None,
            endpoint=self._chat.endpoint,
            most_bytes=settings.limits.max_answer_bytes,
        )
        record.status = 200
        outlet = await open_stream(self._request, headers | relay.headers)
        try:
            await relay.run(outlet, lambda: setattr(record, "first_byte_ms", self._ms()))
        except ConnectionResetError:
            if self._request.transport is not None:
                self._request.transport.abort()  # it may be there, and not read
            raise
        finally:
            reader = relay.reader
            if not served.document:  # which was charged when it was whole
                self._bill.charge_stream(served, reader)
            self._bill.serves(served.route.model)
            record.error = relay.error
            text = "".join(reader.text)
            if cascade is not None and not served.document:
                cascade.read(served, text)
            if text and settings.log.log_texts:
                record.answer = text
        return outlet

    def _cost_headers(self) -> dict[str, str]:
        """The cost of the request, where that is known before its answer is sent."""
        record, headers = self.record, {}
        if record.cost_nusd is not None:
            headers["x-equirouter-cost-usd"] = figure(usd(record.cost_nusd))
        if record.over_budget_nusd is not None:
            headers[OVER_BUDGET] = figure(usd(record.over_budget_nusd))
        return headers

    def _headers(self, plan: Plan, served: Served) -> dict[str, str]:
        headers = self._common_headers(plan) | cascade_headers(self.record)
        headers["x-equirouter-model"] = safe(served.route.model)
        lost = self._lost(served.route)
        if lost:
            headers["x-equirouter-dropped"] = ", ".join(safe(name) for name in lost)
        if plan.decided_by == "explore":
            headers["x-equirouter-explored"] = "yes"
        predicted = plan.predicted_costs_usd.get(served.route.model)
        if plan.pair is not None:
            predicted = plan.pair.expected_cost_usd
        if predicted is not None:
            headers["x-equirouter-predicted-cost-usd"] = figure(predicted)
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
        if plan.version is not None:
            headers["x-equirouter-version"] = plan.version
        failed = [attempt for attempt in record.attempts if attempt.outcome != "ok"]
        if failed:
            headers["x-equirouter-failed"] = "; ".join(
                f"{safe(attempt.model)}: {attempt.status or attempt.outcome}" for attempt in failed
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


def _why(failed: Attempt) -> str:
    """Why a call failed, for the client: not where the upstream is, which the log says."""
    if failed.outcome == "connect":
        return "cannot be reached"
    return failed.error or failed.outcome
